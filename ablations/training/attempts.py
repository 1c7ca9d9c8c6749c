"""Earlier plans of a plan's contrasts in the same ledger: each had its own chance of a wrong claim."""

from collections.abc import Collection, Mapping

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.study import stored_plans
from unrolled.ablations.study.loading import FEWEST
from unrolled.ablations.study.plan import Attempt, Plan
from unrolled.ablations.training.comparison import design_of_plan
from unrolled.bench.trial import Result


def find_attempts(plan: Plan, ledger: Ledger) -> dict[str, tuple[Attempt, ...]]:
    """By arm, the earlier plans of its contrast, oldest first, each with the verdict that it has by now.

    A contrast is the same if its two sides have the same program, settings and data, whatever the study, the
    seeds and the code. A plan without a pair that it could judge is no attempt, nor is one of so few seeds
    that it decides nothing, or one that its first trials stopped. For a study that ships, nor is one whose
    trials are all its own: such studies were declared together, and share trials.
    """
    shared = set(plan.ids) if stored_plans.ships(plan) else set()
    attempts: dict[str, dict[tuple[object, ...], Attempt]] = {}
    for other in stored_plans.all_stored(ledger):
        sides = {name: pair for name, pair in other.sides.items() if pair in plan.sides.values()}
        if not sides or stored_plans.same_plan(other, plan):
            continue
        can_decide = len(other.seeds) >= FEWEST and not other.refusal
        latest = _attempts_of(other, sides, shared, ledger) if can_decide else {}
        for arm, pair in plan.sides.items():
            for name in (name for name, its in sides.items() if its == pair):
                for attempt in (*other.attempts.get(name, ()), *latest.get(name, ())):
                    key = attempt.study, attempt.planned, attempt.arm  # what it is by now comes last
                    attempts.setdefault(arm, {})[key] = attempt
    return {arm: tuple(sorted(by_key.values(), key=_planned)) for arm, by_key in attempts.items()}


def _planned(attempt: Attempt) -> float:
    return attempt.planned


def _attempts_of(
    plan: Plan, names: Collection[str], shared: Collection[str], ledger: Ledger
) -> Mapping[str, tuple[Attempt, ...]]:
    """The attempts that a plan made at these contrasts, by arm."""
    from unrolled.reports.contrast_decisions import decide_looks  # scipy

    results = {id: plan.judge_result(result) for id, result in ledger.results(plan.ids).items()}
    metric = plan.metrics[0]
    design = design_of_plan(plan, results)
    verdicts = decide_looks(design).verdicts if results else {}
    attempts = {}
    for name in names:
        arms = [arm for arm in plan.arms if arm.name in (name, design.bases[name])]
        seeds = tuple(s for s in plan.seeds if all(_has_result(arm.trials[s], results) for arm in arms))
        trials = {arm.trials[seed] for arm in arms for seed in seeds}
        if name in verdicts and seeds and not trials <= {*shared}:
            attempt = Attempt(
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
            attempts[name] = (attempt,)
    return attempts


def _has_result(id: str, results: Mapping[str, Result]) -> bool:
    return id in results and results[id].status != "failed"
