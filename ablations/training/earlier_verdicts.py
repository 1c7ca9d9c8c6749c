"""Earlier plans of a plan's contrasts in the same ledger: each had its own chance of a wrong claim."""

from collections.abc import Collection
from operator import attrgetter

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.study import plan_store
from unrolled.ablations.study.plan import EarlierVerdict, Plan
from unrolled.ablations.training.comparison import design_of_plan
from unrolled.bench.metric import FEWEST_SEEDS


def find_earlier_verdicts(plan: Plan, ledger: Ledger) -> dict[str, tuple[EarlierVerdict, ...]]:
    """Return, by arm, the earlier plans of its contrast, oldest first, each with its present verdict.

    A contrast is the same if its two sides have the same program, settings and data, whatever the study, the
    seeds and the code. A plan without a pair that it could judge does not count, nor does one of so few seeds
    that it decides nothing, or one that its first trials stopped. For a study that ships, nor does one whose
    trials are all its own: such studies were declared together, and share trials.
    """
    shared = set(plan.ids) if plan_store.is_shipped_plan(plan) else set()
    verdicts_by_arm: dict[str, dict[tuple[object, ...], EarlierVerdict]] = {}
    pairs = plan.contrast_keys
    for earlier in plan_store.load_plans(ledger):
        sides = {name: pair for name, pair in earlier.contrast_keys.items() if pair in pairs.values()}
        if not sides or plan_store.is_same_plan(earlier, plan):
            continue
        can_decide = len(earlier.seeds) >= FEWEST_SEEDS and not earlier.refusal
        latest = _find_verdicts_of_plan(earlier, sides, shared, ledger) if can_decide else []
        for arm, pair in pairs.items():
            for name in (name for name, earlier_pair in sides.items() if earlier_pair == pair):
                for verdict in (
                    *earlier.earlier_verdicts.get(name, ()),
                    *(a for a in latest if a.arm == name),
                ):
                    # the present verdict comes last and replaces an older one
                    key = verdict.study, verdict.planned, verdict.arm
                    verdicts_by_arm.setdefault(arm, {})[key] = verdict
    planned = attrgetter("planned")
    return {arm: tuple(sorted(by_key.values(), key=planned)) for arm, by_key in verdicts_by_arm.items()}


def _find_verdicts_of_plan(
    plan: Plan, names: Collection[str], shared: Collection[str], ledger: Ledger
) -> list[EarlierVerdict]:
    """Return the verdicts of a plan on the contrasts of these arms.

    One whose trials are all in `shared` is left out.
    """
    from unrolled.reports.contrast_decisions import decide_looks  # scipy

    results = plan.judge_results(ledger.results(plan.ids))
    if not results:
        return []
    usable = {id for id, result in results.items() if result.status != "failed"}
    metric = plan.metrics[0]
    design = design_of_plan(plan, results)
    verdicts = decide_looks(design).verdicts
    earlier_verdicts = []
    for name in verdicts.keys() & names:
        arms = [arm for arm in plan.arms if arm.name in (name, design.bases[name])]
        seeds = tuple(seed for seed in plan.seeds if usable.issuperset(arm.trials[seed] for arm in arms))
        trials = {arm.trials[seed] for arm in arms for seed in seeds}
        if seeds and not trials.issubset(shared):
            earlier_verdicts.append(
                EarlierVerdict(
                    study=plan.study,
                    planned=plan.planned,
                    arm=name,
                    baseline=design.bases[name],
                    seeds=seeds,
                    metric=metric.name,
                    delta=metric.shown_delta,
                    verdict=verdicts[name][metric.name].text,
                    template=plan.template,
                )
            )
    return earlier_verdicts
