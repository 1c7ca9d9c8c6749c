"""Finding arms of equal numbers: two that computed the same, and one run that is copied for every seed."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from unrolled.bench.metric import FEWEST_SEEDS, LARGEST_FINITE, Metric, is_known_cost
from unrolled.reports.compare.design import Design, DesignArm, JudgedValues, Statuses
from unrolled.reports.statistics.decisions import OWN_RULES
from unrolled.reports.statistics.looks import list_seeds_to_detect_copies
from unrolled.reports.statistics.seed_values import SeedValues, select_seeds, select_side_seeds
from unrolled.reports.statistics.values import are_computed_alike, count_decimals, select_finite

COPY_FACTOR = 4
"""If two equal trials differ by d, a third equal trial differs from both by at most this multiple of d."""
LAST_DIGITS = 1e-5
"""The largest relative difference of a run's numbers if it is repeated, as on a GPU."""
LAST_UNITS = 2
"""The largest difference of a run's printed numbers if it is repeated, in units of their last decimal."""
FINE_GRAINED_UNITS = 1000
"""Numbers of so many units of their last decimal are fine: several runs do not agree to `LAST_UNITS`."""
FROM_BOUND = 25
"""A share that is fewer units from its bound, such as 1, is not fine: seeds then differ by few items."""
FAR = 1000
"""A number whose range over seeds is so many times the difference of two equal trials is no noise."""


def find_equal_seeds(arm: DesignArm, base: DesignArm, values: JudgedValues, design: Design) -> frozenset[Any]:
    """Return the seeds on which two arms are known to have computed the same.

    On such a seed all judged numbers are equal, except clocks, and so are the weights of both trials. For a
    program or a table the weights are unknown. All logged numbers must then be equal, and on the seeds of the
    first look one judged metric must be too fine to be equal by chance: see `are_computed_alike`.
    """
    sides = {
        metric: (values[metric.name][arm.name], values[metric.name][base.name])
        for metric in design.rules.metrics
        if metric.is_quality
    }
    if not sides:
        return frozenset()
    equal = [
        seed
        for seed in next(iter(sides.values()))[0]
        if all(
            seed in of_arm and of_arm[seed] == of_base.get(seed) and math.isfinite(of_arm[seed])
            for of_arm, of_base in sides.values()
        )
        and _read_fingerprints(arm, seed, design) == _read_fingerprints(base, seed, design)
    ]
    if any("weights" in result.fingerprints for side in (arm, base) for result in side.results.values()):
        return frozenset(seed for seed in equal if _read_fingerprints(arm, seed, design))
    rules = design.rules
    first_seeds = list_seeds_to_detect_copies(rules.seeds, rules.looks) if rules.looks else equal
    equal_first = [seed for seed in equal if seed in first_seeds]
    family_size = 1 if rules.stopping_rule in OWN_RULES else max(1, len(design.arms) - 1)
    is_fine_grained = any(
        are_computed_alike(*select_side_seeds(of_metric, equal_first), metric.zone, family_size)
        for metric, of_metric in sides.items()
    )
    return frozenset(equal) if is_fine_grained else frozenset()


def _read_fingerprints(arm: DesignArm, seed: Any, design: Design) -> dict[str, str]:
    """Return the fingerprints of a trial: of its weights or, of a program, its logged numbers by metric.

    Known costs are left out, and numbers that differ between two equal trials of the study.
    """
    if seed not in arm.results:
        return {}
    result = arm.results[seed]
    if "numbers" not in result.fingerprints:
        return dict(result.fingerprints)
    computed = {name: x for name, x in result.metrics.items() if not is_known_cost(name)}
    return {f"numbers {name}": repr(x) for name, x in computed.items() if name not in design.tolerances}


def have_equal_fingerprints(arm: DesignArm, seeds: Iterable[Any], design: Design) -> bool:
    """Return True if the trials of these seeds have equal fingerprints.

    Two sorts of numbers are treated in another way:

    - A counter counts as equal, such as 100, 110 and 120 for the seeds 0, 1 and 2.
    - A number that differs between two equal trials, for example by .001, is ignored. If its range over the
      seeds is more than `FAR` times this difference, here 1, the runs are different. Known costs are always
      ignored.
    """
    for name, distance in design.tolerances.items():
        numbers = [arm.results[seed].metrics[name] for seed in seeds if name in arm.results[seed].metrics]
        if numbers and not is_known_cost(name) and 0 < distance < (max(numbers) - min(numbers)) / FAR:
            return False
    by_seed = {arm.find_trained_seed(seed): _read_fingerprints(arm, seed, design) for seed in seeds}
    names = {name for fingerprints in by_seed.values() for name in fingerprints}
    return all(
        _are_equal_or_count({seed: fingerprints.get(name, "") for seed, fingerprints in by_seed.items()})
        for name in names
    )


def _are_equal_or_count(by_seed: Mapping[Any, str]) -> bool:
    """Return True for equal texts, and for numbers that rise evenly with the seed, such as 100, 110, 120."""
    if len({*by_seed.values()}) == 1:
        return True
    try:
        numbers = np.array([*map(float, by_seed.values())])
    except ValueError:
        return False
    if not (np.abs(numbers) < LARGEST_FINITE).all():
        return False
    rises = numbers - numbers[0]
    steps = np.array([*by_seed], dtype=float) - next(iter(by_seed))
    return np.allclose(rises * steps[1], rises[1] * steps, rtol=1e-9, atol=0)


def find_one_run_arms(statuses: Statuses, values: JudgedValues, design: Design) -> dict[str, Any]:
    """Return the arms that are one run, each with the seed of this run.

    Such an arm ignores its seed, and has one value on all seeds, by every judged metric. Clocks and known
    costs count only if nothing else is judged:

        seed   0     1     2     3     4
        a    .812  .843  .790  .835  .821   five runs
        b    .852  .852  .852  .852  .852   one run, copied     → {"b": 0}

    A study is read up to its first look with five seeds or more. A run that is repeated, on a GPU for
    example, may give slightly different numbers. They are one value if their range is at most the noise:

    - d is the distance of two equal trials, which a study measures.
    - s is the widest spread of an arm: twice the range of its middle half.
    - ε is δ/100 or `LAST_DIGITS` times the numbers, whichever is smaller.

    An example: numbers near .85, δ = .02 and s = .04, so that ε = .0000085.

    | results | noise | in the example | one value |
    |---|---|---|---|
    | d = 0 | 0; fingerprints must be equal, too | 0 | .852 |
    | s > `COPY_FACTOR`² · d | √(d s), as a single d may be far too small | d = .001: .0063 | .850 to .856 |
    | s ≤ `COPY_FACTOR`² · d | ε, as seeds hardly differ more than d | d = .01: ε | .852000 to .852008 |
    | d is unknown | s / `COPY_FACTOR` | .01 | .850 to .860 |
    | a table from elsewhere | s/100, from ε up to 10 `LAST_DIGITS` · .85 | .000085 | .85200 to .85208 |

    If a table prints few digits, its noise is at least `measure_printing_noise`. Two sorts of arms are never
    returned: an arm whose model declares that no seed changes it, and an arm with the best possible value on
    every seed, which several runs may reach.
    """
    metrics = [metric for metric in design.rules.metrics if metric.is_quality]
    if not metrics:
        return {}
    first_values = {
        arm.name: {
            metric: select_seeds(values[metric.name][arm.name], _find_first_seeds(design, statuses[arm.name]))
            for metric in metrics
        }
        for arm in design.arms
    }
    widest = {
        metric: _measure_widest([by_metric[metric] for by_metric in first_values.values()])
        for metric in metrics
    }
    one_run_seeds = {}
    for arm in design.arms:
        by_metric = first_values[arm.name]
        seeds = [seed for by_seed in by_metric.values() for seed in by_seed]
        noise = {
            metric: _find_noise(metric, [*by_seed.values()], widest[metric], design)
            for metric, by_seed in by_metric.items()
        }
        if not arm.uses_seed or not (any(noise.values()) or have_equal_fingerprints(arm, seeds, design)):
            continue
        has_one_value = all(
            _is_one_value([*by_seed.values()], noise[metric]) for metric, by_seed in by_metric.items()
        )
        is_perfect = all(metric.are_best(by_seed.values()) for metric, by_seed in by_metric.items())
        if has_one_value and not is_perfect:
            one_run_seeds[arm.name] = seeds[0]
    return one_run_seeds


def _find_noise(metric: Metric, numbers: Sequence[float], widest: float, design: Design) -> float:
    """Return the largest range of one value: see `find_one_run_arms`. `widest` is an arm's widest spread."""
    size = 100.0 if metric.ratio else max(map(abs, select_finite(numbers)), default=0.0)
    if not design.is_study:
        most = max(10 * LAST_DIGITS * size, measure_printing_noise(metric, numbers))
        return max(min(LAST_DIGITS * size, metric.zone / 100), min(widest / 100, most))
    if design.repetition_differences is None:
        return widest / COPY_FACTOR
    distance = design.repetition_differences.get(metric.name, 0.0)
    if not distance:
        return 0.0
    last_digits = min(LAST_DIGITS * size, metric.zone / 100)
    if metric.ratio:
        smallest = min(map(metric.from_judged_scale, numbers), default=math.inf)
        distance = 100 * math.log1p(distance / smallest)
    if widest > COPY_FACTOR**2 * distance:
        return max(last_digits, math.sqrt(distance * widest))
    return last_digits


def measure_printing_noise(metric: Metric, numbers: Sequence[float]) -> float:
    """Return the largest range of a run's printed numbers if it is repeated; 0 if they are not fine.

    .85201 and .85203 are fine: they have 85,201 units of their last decimal or more, and may differ by
    `LAST_UNITS`. .85 has 85 units, which several runs may agree on by chance.
    """
    printed = np.array([round(metric.from_judged_scale(x), 10) for x in select_finite(numbers)])
    if not printed.size:
        return 0.0
    unit = 10.0 ** -count_decimals(printed)
    smallest = float(np.abs(printed).min())
    largest = float(np.abs(printed).max())
    bound = metric.highest if largest <= metric.highest else 100.0  # a share in per cent, whose δ is under 1
    if smallest < FINE_GRAINED_UNITS * unit or bound - largest < FROM_BOUND * unit:
        return 0.0
    noise = (LAST_UNITS + 0.1) * unit  # floats with that many decimals are not exact multiples of the unit
    return 100 * noise / smallest if metric.ratio else noise


def _measure_widest(arms: Iterable[SeedValues]) -> float:
    """Return the widest spread of an arm: twice the range of its middle half, without outliers."""
    spreads = [0.0]
    for by_seed in arms:
        numbers = select_finite(by_seed.values())
        if numbers.size >= FEWEST_SEEDS:
            low, high = np.percentile(numbers, (25, 75))
            spreads.append(2 * float(high - low))
    return max(spreads)


def _find_first_seeds(design: Design, statuses: Mapping[Any, str]) -> Collection[Any]:
    """Return the seeds of the first look with five or more, once all have ended; all seeds of a table."""
    if not design.rules.looks:
        return statuses.keys()
    seeds = list_seeds_to_detect_copies(design.rules.seeds, design.rules.looks)
    return seeds if set(seeds) <= statuses.keys() else ()


def _is_one_value(numbers: Sequence[float], noise: float) -> bool:
    """Return True if the numbers, five or more, are finite and have a range of at most the noise."""
    if len(numbers) < FEWEST_SEEDS or not all(map(math.isfinite, numbers)):
        return False
    return max(numbers) - min(numbers) <= noise
