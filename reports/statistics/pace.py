"""Ratios of times with an interval: of paired speeds, or of two benchmarks' rounds; like machines only."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy import special

from bench.kinds import kinds_apart
from reports.statistics.contrasts import Interval
from reports.statistics.curves import throughput_ratio
from reports.statistics.power import ALPHA

FEWEST = 3
"""Pairs of speeds, stored runs of a benchmark, or rounds of a run, from which a ratio has an interval."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The candidate's time over the baseline's for the same work: above 1 is slower."""

    ratio: float
    interval: Interval
    margin: float

    @property
    def slow(self) -> bool:
        """Whether the whole interval lies beyond the margin."""
        return self.interval.low > 1 + self.margin

    @property
    def fault(self) -> tuple[str, ...]:
        """Why it is one: nothing where it is none."""
        if not self.slow:
            return ()
        low, high = self.interval.low, self.interval.high
        zone = f"{100 * self.margin:g} %"
        return (f"slower: the baseline's time ×{self.ratio:.3f} [{low:.3f}, {high:.3f}], margin {zone}",)


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """One stored run of a benchmark, as pytest-benchmark sums it up. Times are in seconds."""

    median: float
    iqr: float
    rounds: int


def of_speeds(pairs: Mapping[str, Sequence[tuple[float, float]]], margin: float) -> dict[str, Pace]:
    """Paces from (baseline, candidate) tokens/s of like seeds, by name; names with under 3 pairs have none.

    Intervals are Bonferroni's over the names: all of them hold together at 95 %.
    """
    enough = {name: found for name, found in pairs.items() if len(found) >= FEWEST}
    paces = {}
    for name, found in enough.items():
        before, after = zip(*found, strict=True)
        measured = throughput_ratio(before, after, zone=margin, level=1 - ALPHA / len(enough))
        paces[name] = Pace(ratio=measured.ratio, interval=measured.interval, margin=margin)
    return paces


def of_rounds(
    pairs: Mapping[str, tuple[Sequence[Rounds], Sequence[Rounds]]], margin: float
) -> dict[str, Pace]:
    """Paces from each side's stored runs of like benchmarks (oldest first), by name.

    Welch's interval of the log medians. With 3 stored runs or more the runs are the replicates; with fewer,
    the last run's rounds, by the standard error of their median. Names with under 3 of either have none.
    """
    known = {name: (_log_median(a), _log_median(b)) for name, (a, b) in pairs.items()}
    whole = {name: (a, b) for name, (a, b) in known.items() if a and b}
    paces = {}
    for name, ((before, error, df), (after, error2, df2)) in whole.items():
        variances = error**2, error2**2
        total = sum(variances)
        joint = total**2 / (variances[0] ** 2 / df + variances[1] ** 2 / df2) if total else 1.0
        half = float(special.stdtrit(joint, 1 - ALPHA / len(whole) / 2)) * math.sqrt(total)
        ends = Interval(after - before - half, after - before + half, 1 - ALPHA / len(whole))
        paces[name] = Pace(ratio=math.exp(after - before), interval=ends.exp(), margin=margin)
    return paces


def _log_median(runs: Sequence[Rounds]) -> tuple[float, float, int] | None:
    """Log of the median time, its standard error and degrees of freedom.

    A median's standard error is 1.25 IQR / (1.35 √n): "Variations of Box Plots", McGill, Tukey, Larsen 1978.
    """
    if len(runs) >= FEWEST:
        logs = [math.log(run.median) for run in runs]
        return fmean(logs), stdev(logs) / math.sqrt(len(logs)), len(logs) - 1
    if not runs or runs[-1].rounds < FEWEST:
        return None
    last = runs[-1]
    error = 1.25 * last.iqr / (1.35 * math.sqrt(last.rounds)) / last.median
    return math.log(last.median), error, last.rounds - 1


def unlike(machines: Sequence[Mapping[str, str]]) -> str:
    """What differs between machines, or nothing. A machine that is not described is like no other."""
    if not all(machines):
        return "not every trial says which machine it ran on"
    differ = kinds_apart(machines)
    return f"unlike machines: {differ}" if differ else ""
