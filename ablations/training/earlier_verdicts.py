"""Verdicts of earlier plans in the ledger on a plan's contrasts: each had its own chance of a wrong claim."""

from collections.abc import Collection
from dataclasses import replace
from operator import attrgetter

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.plan import EarlierVerdict, Plan
from unrolled.ablations.publishing.plan_comparison import make_plan_design
from unrolled.bench.metric import FEWEST_SEEDS


def add_earlier_verdicts(plan: Plan, ledger: Ledger) -> Plan:
    """Return a plan with the verdicts of earlier plans on its contrasts, oldest first.

    Contrasts are the same if both sides have the same program, settings and data; study, seeds and code may
    differ. An earlier plan has no verdict if it has too few seeds or no pair of results, or if its first
    trials stopped it.

    Shipped studies share trials: "no tying" is an arm of `regularization` and of `toggles`. All shipped
    studies were declared together, so that two plans with verdicts on a shared trial are one declaration. For
    a shipped `plan`, a verdict that rests on trials of `plan` alone is therefore left out.

    `plan` replaces the earlier plan of its study in the ledger. Verdicts on contrasts that only the earlier
    plan has are kept in `unlisted_verdicts`.
    """
    shared_trials = set(plan.ids) if plan_store.is_shipped_plan(plan) else set()
    contrasts = plan.contrast_keys
    verdicts: dict[str, dict[tuple[object, ...], EarlierVerdict]] = {}
    for earlier in plan_store.load_plans(ledger):
        if plan_store.is_same_plan(earlier, plan):
            continue
        keys = {*earlier.contrast_keys.values(), *earlier.unlisted_verdicts}
        # the study's own earlier plan is replaced: all its verdicts are kept
        if earlier.study_name != plan.study_name:
            keys &= {*contrasts.values()}
        for key, of_contrast in _collect_verdicts(earlier, keys, shared_trials, ledger).items():
            verdicts.setdefault(key, {}).update(  # a later verdict replaces an older one
                {(verdict.study, verdict.declared_at, verdict.arm): verdict for verdict in of_contrast}
            )
    ordered = {
        key: tuple(sorted(by_declaration.values(), key=attrgetter("declared_at")))
        for key, by_declaration in verdicts.items()
        if by_declaration
    }
    return replace(
        plan,
        earlier_verdicts={arm: ordered[key] for arm, key in contrasts.items() if key in ordered},
        unlisted_verdicts={
            key: of_contrast for key, of_contrast in ordered.items() if key not in contrasts.values()
        },
    )


def _collect_verdicts(
    plan: Plan, keys: Collection[str], shared_trials: Collection[str], ledger: Ledger
) -> dict[str, list[EarlierVerdict]]:
    """Return, by contrast, the verdicts that a stored plan lists, and last the verdict of the plan itself."""
    names = [arm for arm, key in plan.contrast_keys.items() if key in keys]
    can_decide = names and len(plan.rules.seeds) >= FEWEST_SEEDS and not plan.stop_reason
    latest = _find_verdicts_of_plan(plan, names, shared_trials, ledger) if can_decide else {}
    verdicts = {key: [*of_contrast] for key, of_contrast in plan.unlisted_verdicts.items() if key in keys}
    for arm in names:
        of_contrast = verdicts.setdefault(plan.contrast_keys[arm], [])
        of_contrast += plan.earlier_verdicts.get(arm, ())
        if arm in latest:
            of_contrast.append(latest[arm])
    return verdicts


def _find_verdicts_of_plan(
    plan: Plan, names: Collection[str], shared_trials: Collection[str], ledger: Ledger
) -> dict[str, EarlierVerdict]:
    """Return the verdicts of a plan on the contrasts of these arms.

    A verdict that rests on `shared_trials` alone is left out.
    """
    from unrolled.reports.compare.contrast_decisions import decide_looks  # imports scipy

    results = plan.read_results(ledger)
    if not results:
        return {}
    metric = plan.rules.metrics[0]
    design = make_plan_design(plan, results)
    verdicts = decide_looks(design).verdicts
    earlier_verdicts = {}
    for name in verdicts.keys() & names:
        verdict = verdicts[name][metric.name]
        seeds = verdict.contrast.seeds
        arms = [arm for arm in plan.arms if arm.name in (name, design.bases[name])]
        trials = {arm.trial_ids[seed] for arm in arms for seed in seeds}
        if seeds and not trials.issubset(shared_trials):
            earlier_verdicts[name] = EarlierVerdict(
                study=plan.study_name,
                declared_at=plan.declared_at,
                arm=name,
                baseline=design.bases[name],
                seeds=seeds,
                metric=metric.name,
                delta=metric.shown_delta,
                verdict=verdict.text,
                command_template=plan.command_template,
            )
    return earlier_verdicts
