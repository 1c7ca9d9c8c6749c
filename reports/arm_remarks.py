"""Why an arm is not compared with its baseline."""

from collections.abc import Mapping
from enum import StrEnum

from unrolled.reports.design import Design, MeasuredArm, Statuses


class ArmRemark(StrEnum):
    """Why an arm is not compared, or not to be believed; the values are what is shown."""

    COUNTED = "reference: the same on every seed"
    REFERENCE = "reference: others are compared with it"
    NO_RESULTS = "no results yet"
    OTHER_TASK = "another task"
    DEAD = "dead toggle: the weights equal the baseline's"
    NO_SHARED_SEED = "no result that can be compared with the baseline's"
    BLOCKED = "open"


def find_arm_remarks(statuses: Statuses, design: Design) -> dict[str, ArmRemark | None]:
    """Return why each arm but the baseline is not compared; None where it is."""
    return {arm.name: _find_remark(arm, statuses, design) for arm in design.arms[1:]}


def arms_to_compare(remarks: Mapping[str, ArmRemark | None]) -> list[str]:
    """Return the arms that are compared, or will be."""
    compared = (None, ArmRemark.NO_RESULTS, ArmRemark.DEAD)
    return [name for name, remark in remarks.items() if remark in compared]


def _find_remark(arm: MeasuredArm, statuses: Statuses, design: Design) -> ArmRemark | None:
    baseline = design.find_base(arm)
    if not arm.uses_seed and not arm.against:
        return ArmRemark.COUNTED
    if not arm.against and any(rival.against == arm.name for rival in design.arms):
        return ArmRemark.REFERENCE
    if not (statuses[arm.name] and statuses[baseline.name]):
        return ArmRemark.NO_RESULTS
    if arm.find_task_differences(baseline):
        return ArmRemark.OTHER_TASK
    return ArmRemark.DEAD if _has_same_weights(baseline, arm) else None


def _has_same_weights(baseline: MeasuredArm, arm: MeasuredArm) -> bool:
    """Return True if a change of settings left every shared seed's weights as they were.

    A different model with equal weights is allowed.
    """
    of_arm, of_baseline = (
        {r.trial.seed: weights for r in side.finished_results if (weights := r.fingerprints.get("weights"))}
        for side in (arm, baseline)
    )
    shared = of_arm.keys() & of_baseline.keys()
    settings_alone = arm.model == baseline.model and bool(arm.changes)
    return settings_alone and bool(shared) and all(of_arm[s] == of_baseline[s] for s in shared)
