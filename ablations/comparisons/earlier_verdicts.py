"""Earlier plans of a plan's contrasts in the same ledger: each had its own chance of a wrong claim."""

from collections.abc import Collection
from operator import attrgetter

from unrolled.ablations.comparisons.plan_comparison import design_of_plan
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.plan import EarlierVerdict, Plan
from unrolled.bench.metric import FEWEST_SEEDS


def find_earlier_verdicts(plan: Plan, ledger: Ledger) -> dict[str, tuple[EarlierVerdict, ...]]:
    """Return, by arm, the verdicts of earlier plans on its contrast, oldest first.

    Contrasts are the same if both sides have the same program, settings and data; study, seeds and code may
    differ. A plan has no verdict if it has too few seeds or no pair of results, or if its first trials
    stopped it. The studies that ship were declared together, so that trials which two of them share are one
    attempt: "no tying" of `regularization` and of `toggles`. Of a shipped `plan`, verdicts that rest on its
    own trials alone are therefore left out.
    """
    shared_trials = set(plan.ids) if plan_store.is_shipped_plan(plan) else set()
    contrasts = plan.contrast_keys
    verdicts: dict[frozenset[str], dict[tuple[object, ...], EarlierVerdict]] = {}
    for earlier in plan_store.load_plans(ledger):
        keys = {arm: key for arm, key in earlier.contrast_keys.items() if key in contrasts.values()}
        if not keys or plan_store.is_same_plan(earlier, plan):
            continue
        can_decide = len(earlier.seeds) >= FEWEST_SEEDS and not earlier.refusal
        latest = _find_verdicts_of_plan(earlier, keys, shared_trials, ledger) if can_decide else {}
        for arm, key in keys.items():
            present = [latest[arm]] if arm in latest else []
            # a later verdict replaces an older one
            for verdict in (*earlier.earlier_verdicts.get(arm, ()), *present):
                verdicts.setdefault(key, {})[verdict.study, verdict.declared_at, verdict.arm] = verdict
    return {
        arm: tuple(sorted(verdicts[key].values(), key=attrgetter("declared_at")))
        for arm, key in contrasts.items()
        if key in verdicts
    }


def _find_verdicts_of_plan(
    plan: Plan, names: Collection[str], shared_trials: Collection[str], ledger: Ledger
) -> dict[str, EarlierVerdict]:
    """Return the verdicts of a plan on the contrasts of these arms.

    A verdict that rests on `shared_trials` alone is left out.
    """
    from unrolled.reports.contrast_decisions import decide_looks  # imports scipy

    results = plan.make_study_results(ledger.read_results(plan.ids))
    if not results:
        return {}
    usable = {id for id, result in results.items() if result.status != "failed"}
    metric = plan.metrics[0]
    design = design_of_plan(plan, results)
    verdicts = decide_looks(design).verdicts
    earlier_verdicts = {}
    for name in verdicts.keys() & names:
        arms = [arm for arm in plan.arms if arm.name in (name, design.bases[name])]
        seeds = tuple(seed for seed in plan.seeds if usable.issuperset(arm.trial_ids[seed] for arm in arms))
        trials = {arm.trial_ids[seed] for arm in arms for seed in seeds}
        if seeds and not trials.issubset(shared_trials):
            earlier_verdicts[name] = EarlierVerdict(
                study=plan.study,
                declared_at=plan.declared_at,
                arm=name,
                baseline=design.bases[name],
                seeds=seeds,
                metric=metric.name,
                delta=metric.shown_delta,
                verdict=verdicts[name][metric.name].text,
                command_template=plan.command_template,
            )
    return earlier_verdicts
