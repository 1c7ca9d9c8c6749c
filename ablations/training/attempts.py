"""Earlier plans of a plan's contrasts in the same ledger: each had its own chance of a wrong claim."""

from collections.abc import Collection
from operator import attrgetter

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.study import plan_store
from unrolled.ablations.study.plan import Attempt, Plan
from unrolled.ablations.training.comparison import design_of_plan
from unrolled.bench.metric import FEWEST_SEEDS


def find_attempts(plan: Plan, ledger: Ledger) -> dict[str, tuple[Attempt, ...]]:
    """Return, by arm, the earlier plans of its contrast, oldest first, each with its present verdict.

    A contrast is the same if its two sides have the same program, settings and data, whatever the study, the
    seeds and the code. A plan without a pair that it could judge is no attempt, nor is one of so few seeds
    that it decides nothing, or one that its first trials stopped. For a study that ships, nor is one whose
    trials are all its own: such studies were declared together, and share trials.
    """
    shared = set(plan.ids) if plan_store.is_shipped_plan(plan) else set()
    attempts: dict[str, dict[tuple[object, ...], Attempt]] = {}
    pairs = plan.experiment_pairs
    for earlier in plan_store.load_plans(ledger):
        sides = {name: pair for name, pair in earlier.experiment_pairs.items() if pair in pairs.values()}
        if not sides or plan_store.is_same_plan(earlier, plan):
            continue
        can_decide = len(earlier.seeds) >= FEWEST_SEEDS and not earlier.refusal
        latest = _attempts_of_plan(earlier, sides, shared, ledger) if can_decide else []
        for arm, pair in pairs.items():
            for name in (name for name, earlier_pair in sides.items() if earlier_pair == pair):
                for attempt in (*earlier.attempts.get(name, ()), *(a for a in latest if a.arm == name)):
                    # the present verdict comes last and replaces an older one
                    key = attempt.study, attempt.planned, attempt.arm
                    attempts.setdefault(arm, {})[key] = attempt
    planned = attrgetter("planned")
    return {arm: tuple(sorted(by_key.values(), key=planned)) for arm, by_key in attempts.items()}


def _attempts_of_plan(
    plan: Plan, names: Collection[str], shared: Collection[str], ledger: Ledger
) -> list[Attempt]:
    """Return the attempts that a plan made at the contrasts of these arms.

    An attempt whose trials are all in `shared` is left out.
    """
    from unrolled.reports.contrast_decisions import decide_looks  # scipy

    results = {id: plan.judge_result(result) for id, result in ledger.results(plan.ids).items()}
    if not results:
        return []
    usable = {id for id, result in results.items() if result.status != "failed"}
    metric = plan.metrics[0]
    design = design_of_plan(plan, results)
    verdicts = decide_looks(design).verdicts
    attempts = []
    for name in verdicts.keys() & names:
        arms = [arm for arm in plan.arms if arm.name in (name, design.bases[name])]
        seeds = tuple(seed for seed in plan.seeds if usable.issuperset(arm.trials[seed] for arm in arms))
        trials = {arm.trials[seed] for arm in arms for seed in seeds}
        if seeds and not trials.issubset(shared):
            attempts.append(
                Attempt(
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
    return attempts
