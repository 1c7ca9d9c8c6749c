"""Whether a plan agrees with itself: its trials, what it says of its arms, and its trainer.

A stored plan is sealed against accidents, not against forgers: whoever edits one can seal it again. The
identity of a trial is the hash of its fields, and a result is found by it. A plan whose identities are those
of its arms' fields and seeds therefore has no result of another seed, other settings or another device.
"""

from collections.abc import Iterable, Iterator

from unrolled.ablations.study.plan import Plan, PlannedArm
from unrolled.bench.trial import Scalar


def plan_faults(plan: Plan) -> Iterator[str]:
    """Yield a sentence on each contradiction. Raises TypeError or LookupError for fields of no trial."""
    if plan.nondeterminism and not plan.of_program:
        yield "equal trials are said to differ, which those of the chapter do not"
    for arm in plan.arms:
        if set(arm.trials) != set(plan.seeds):
            yield f"arm {arm.name!r}: its seeds are not the plan's"
        yield from _arm_faults(plan, arm)


def _arm_faults(plan: Plan, arm: PlannedArm) -> Iterator[str]:
    """Yield a sentence on each contradiction of an arm."""
    wrong_seeds = [seed for seed, id in arm.trials.items() if plan.trial(arm, seed).id != id]
    if wrong_seeds:
        seeds = ", ".join(map(str, wrong_seeds))
        yield f"arm {arm.name!r}: its trials have another seed, device or setting (seeds {seeds})"
    if arm.seed_offset and arm.changes:
        yield f"arm {arm.name!r}: has other seeds than its base, which only the baseline again has"
    trial = plan.trial(arm, min(arm.trials))
    factors = trial.factors()
    for key, value in _declared_settings(plan, arm, factors).items():
        # a plug-in's penalty of strength 0 is in `changes`, but in no trial
        if key not in trial.uncounted and factors.get(key, 0) != value:
            yield f"arm {arm.name!r}: its trials have another {key} than the plan says"
    if arm.commit and arm.changes.get("commit", arm.commit.name) != arm.commit.name:
        yield f"arm {arm.name!r}: its commit is another than the plan says"
    if trial.title not in (arm.title, arm.model):  # its model's name where the plug-in is not loaded
        yield f"arm {arm.name!r}: its trials have another title than the plan says"


def _declared_settings(plan: Plan, arm: PlannedArm, names: Iterable[str]) -> dict[str, Scalar | None]:
    """The settings of these names by an arm's `changes` and its base; None for one that neither has."""
    base = next((other for other in plan.arms if other.name == arm.against), plan.arms[0])
    inherited = plan.trial(base, min(base.trials)).factors()
    model = {"model": arm.model} if arm.model else {}
    return {name: inherited.get(name) for name in names} | dict(arm.changes) | model
