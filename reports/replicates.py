"""What equal numbers tell: which arms computed the same."""

import math
from typing import Any

from unrolled.reports.arms import Side, Values
from unrolled.reports.design import Design, MeasuredArm
from unrolled.reports.statistics.power import CLAIM_SEEDS


def equal_seeds(arm: MeasuredArm, base: MeasuredArm, values: Values, design: Design) -> frozenset[Any]:
    """The seeds on which two arms are known to have computed the same, bit for bit.

    All numbers that are judged are equal, clocks apart, and so are the fingerprints of both trials. Where
    there are none, as in a table, one of the numbers has to differ between the seeds of the first look, ten
    or more: equal accuracies of a few items may be chance.
    """
    metrics = [metric for metric in design.metrics if metric.is_quality]
    numbers = [(values[m.name][arm.name], values[m.name][base.name]) for m in metrics]
    equal = (
        [seed for seed in numbers[0][0] if all(_same(*sides, seed) for sides in numbers)] if numbers else []
    )
    if any(result.fingerprints for side in (arm, base) for result in side.results.values()):
        return frozenset(
            seed for seed in equal if _fingerprints(arm, seed) == _fingerprints(base, seed) != {}
        )
    tells_seeds_apart = any(
        metric.highest == math.inf and _differs(side, design)
        for metric, (side, _) in zip(metrics, numbers, strict=True)
    )
    return frozenset(equal if tells_seeds_apart else ())


def _same(arm: Side, base: Side, seed: Any) -> bool:
    return seed in arm and seed in base and arm[seed] == base[seed] and math.isfinite(arm[seed])


def _fingerprints(arm: MeasuredArm, seed: Any) -> dict[str, str]:
    return dict(arm.results[seed].fingerprints) if seed in arm.results else {}


def _differs(numbers: Side, design: Design) -> bool:
    """Whether an arm has another number on every seed of the first look."""
    first = [x for seed, x in numbers.items() if not design.looks or seed in design.first_look]
    return len(set(first)) == len(first) >= CLAIM_SEEDS
