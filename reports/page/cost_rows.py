"""The rows of the table of costs.

Without a trial on a GPU, the table lacks the columns of `Presentation.gpu_costs`.
"""

from collections.abc import Mapping, Sequence

from unrolled.bench.hardware.machine_kind import describe_machine_difference, find_machine_kind
from unrolled.bench.metric import COST_KINDS, find_kind
from unrolled.reports.compare.compared_arm import ComparedArm
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.compare.design import ArmRemark, DesignArm
from unrolled.reports.page.machines import list_devices

ArmCosts = tuple[ComparedArm, Mapping[str, float], Mapping[str, float]]
"""An arm, the mean costs of its trials by name, and the costs of its base that may be compared."""


def average_costs(comparison: Comparison) -> tuple[ArmCosts, ...]:
    """Return the mean costs of each arm's trials, by the names in `Presentation.cost_columns`.

    Those in `Presentation.gpu_costs` are left out if no trial was trained on a GPU. Times, speeds and
    memory are compared with the base only if both arms were trained on one kind of machine.
    """
    presentation = comparison.design.presentation
    scales = presentation.cost_columns
    has_gpu = bool(list_devices(comparison))
    names = [name for name in scales if has_gpu or name not in presentation.gpu_costs]
    costs = [
        {
            name: scales[name].multiplier * x
            for name in names
            if (x := _average_cost(arm.counted_arm, name)) is not None
        }
        for arm in comparison.arms
    ]
    return tuple(
        (arm, arm_costs, _select_comparable(costs[comparison.find_base(arm).index], arm, comparison))
        for arm, arm_costs in zip(comparison.arms, costs, strict=True)
        if arm_costs
    )


def count_cost_decimals(costs: Sequence[ArmCosts], comparison: Comparison) -> dict[str, int]:
    """Return the decimals of each cost, with one more if two rounded costs would not give their difference.

    1.04 and 1.26 differ by 0.22: with one decimal, 1.0 and 1.3 would not give 0.2.
    """
    decimals_by_cost = {}
    for name, scale in comparison.design.presentation.cost_columns.items():
        decimals = scale.decimals or 0
        pairs = [
            (of_arm[name], of_base[name])
            for _, of_arm, of_base in costs
            if name in of_arm and name in of_base
        ]
        subtracts = all(
            round(round(x, decimals) - round(y, decimals), decimals) == round(x - y, decimals)
            for x, y in pairs
        )
        decimals_by_cost[name] = decimals if subtracts else decimals + 1
    return decimals_by_cost


def _select_comparable(
    costs: Mapping[str, float], arm: ComparedArm, comparison: Comparison
) -> dict[str, float]:
    """Return the costs of the base that may be compared with the arm's; {} for an arm without a base.

    If the two arms were trained on different kinds of machine, times, speeds and memory are left out.
    """
    if arm.remark in (ArmRemark.WITHOUT_SEED, ArmRemark.REFERENCE, ArmRemark.OTHER_TASK):
        return {}
    base = comparison.find_base(arm)
    both = [] if arm is base else [*arm.counted_arm.finished_results, *base.counted_arm.finished_results]
    difference = describe_machine_difference(find_machine_kind(result.provenance) for result in both)
    trial = arm.counted_arm.example_trial
    kinds = trial.find_cost_kinds() if trial else COST_KINDS
    return {name: x for name, x in costs.items() if not difference or find_kind(name, kinds) == "quality"}


def _average_cost(arm: DesignArm, name: str) -> float | None:
    """Return the mean of a cost. Seconds are `Result.training_seconds`, which every result has."""
    if name == "seconds":
        durations = [r.training_seconds for r in arm.finished_results]
        return sum(durations) / len(durations) if durations else None
    return arm.average_measured_values(name)
