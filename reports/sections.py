"""The data of the page's later sections: each function returns rows, or nothing if there are no data."""

from collections import Counter
from collections.abc import Mapping, Sequence

from unrolled.bench.errors import plural
from unrolled.bench.machine_kind import find_machine_kind, machine_difference
from unrolled.bench.metric import kind_of
from unrolled.bench.trial import canonical_json
from unrolled.reports.compared_arm import ComparedArm
from unrolled.reports.comparison import Comparison
from unrolled.reports.design import ArmRemark, MeasuredArm
from unrolled.reports.formats import merge_facts
from unrolled.reports.statistics.arm_summary import ArmSummary

Sweep = tuple[str, tuple[tuple[float, ArmSummary], ...]]
"""One model at several learning rates, rising, everything else equal."""

ArmCosts = tuple[ComparedArm, Mapping[str, float], Mapping[str, float]]
"""The costs of an arm by name, a trial on average, and those of its base that they may be compared with."""

_RATES = "lr", "learning_rate", "learning-rate"


def find_sweeps(c: Comparison) -> tuple[Sweep, ...]:
    """Return groups of arms that differ in the learning rate alone."""
    groups: dict[bytes, dict[float, ComparedArm]] = {}
    for row in c.arms:
        if trial := row.arm.example_trial:
            settings = trial.flat_settings()
            lr = next((settings.pop(name) for name in _RATES if name in settings), None)
            if isinstance(lr, float):
                groups.setdefault(canonical_json([trial.data, settings]), {}).setdefault(lr, row)
    return tuple(
        (next(iter(rows.values())).arm.title, tuple((lr, rows[lr].summary) for lr in sorted(rows)))
        for rows in groups.values()
        if len(rows) > 1
    )


def average_costs(c: Comparison) -> tuple[ArmCosts, ...]:
    """Return the mean costs of each arm's trials, by the names of `Presentation.costs`.

    Times and speeds are compared only if both arms were trained on one kind of machine.
    """
    scales = c.design.presentation.costs
    names = [name for name in scales if not name.startswith("speed") or describe_devices(c)]
    costs = [
        {name: scales[name].factor * x for name in names if (x := _average_cost(row.arm, name)) is not None}
        for row in c.arms
    ]
    return tuple(
        (row, arm_costs, _select_comparable(costs[c.find_base(row).index], row, c))
        for row, arm_costs in zip(c.arms, costs, strict=True)
        if arm_costs
    )


def count_cost_digits(costs: Sequence[ArmCosts], c: Comparison) -> dict[str, int]:
    """Return the decimals of each cost; one more where some would not subtract to their difference."""
    decimals = {}
    for name, scale in c.design.presentation.costs.items():
        digits = scale.digits or 0
        pairs = [(own[name], base[name]) for _, own, base in costs if name in own and name in base]
        subtracts = all(
            round(round(x, digits) - round(y, digits), digits) == round(x - y, digits) for x, y in pairs
        )
        decimals[name] = digits if subtracts else digits + 1
    return decimals


def describe_devices(c: Comparison) -> tuple[str, ...]:
    """Return the GPUs that trials were trained on, with driver, CUDA and number of trials; () for none."""
    trials = Counter(
        tuple(str(r.provenance.get(fact, "unknown")) for fact in ("gpu", "driver", "cuda"))
        for row in c.arms
        for r in row.arm.finished_results
        if r.provenance.get("gpu")
    )
    return tuple(
        f"{plural(number, 'trial')} on {gpu}, driver {driver}, CUDA {cuda}"
        for (gpu, driver, cuda), number in sorted(trials.items())
    )


def _select_comparable(costs: Mapping[str, float], row: ComparedArm, c: Comparison) -> dict[str, float]:
    """Return the costs of a base that the arm's may be compared with; none for an arm that has no base."""
    if row.remark in (ArmRemark.COUNTED, ArmRemark.REFERENCE, ArmRemark.OTHER_TASK):
        return {}
    base = c.find_base(row)
    both = [] if row is base else [*row.arm.finished_results, *base.arm.finished_results]
    difference = machine_difference(find_machine_kind(result.provenance) for result in both)
    return {name: x for name, x in costs.items() if not difference or kind_of(name) == "quality"}


def _average_cost(arm: MeasuredArm, name: str) -> float | None:
    if name == "seconds":
        durations = [r.training_seconds for r in arm.finished_results]
        return sum(durations) / len(durations) if durations else None
    return arm.average_metric(name)


def merge_environments(c: Comparison) -> dict[str, str]:
    """Return facts of the machines, each with all the values that the trials saw."""
    return dict(sorted(merge_facts(r.provenance for row in c.arms for r in row.arm.results.values()).items()))
