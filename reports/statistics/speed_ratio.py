"""Ratios of two speeds or times with an interval. Different kinds of machine are not compared."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from unrolled.bench.errors import plural
from unrolled.bench.machine_kind import machine_difference
from unrolled.reports.statistics.estimators import t_interval
from unrolled.reports.statistics.interval import Interval
from unrolled.reports.statistics.power import ALPHA

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 3
"""Pairs of speeds, stored runs of a benchmark, or rounds of a run, from which a ratio has an interval."""


Speed = tuple[float, Mapping[str, str]]  # tokens a second, and the kind of the machine


@dataclass(frozen=True, kw_only=True)
class SpeedRatio:
    """The ratio of two speeds or times; differences within the margin are no finding."""

    ratio: float
    interval: Interval
    margin: float

    @property
    def word(self) -> str:
        """For a ratio of speeds: "faster" or "slower" if the whole interval lies outside the margin."""
        if self.interval.low > 1 + self.margin:
            return "faster"
        if self.interval.high < 1 - self.margin:
            return "slower"
        return f"not told apart from ±{100 * self.margin:g} % of noise"

    @property
    def fault(self) -> tuple[str, ...]:
        """For a ratio of times, candidate over baseline: a message if it is slower beyond the margin."""
        low, high = self.interval.low, self.interval.high
        if low <= 1 + self.margin:
            return ()
        zone = f"{100 * self.margin:g} %"
        return (f"slower: the baseline's time ×{self.ratio:.3f} [{low:.3f}, {high:.3f}], margin {zone}",)


def speed_ratio(
    pairs: Sequence[tuple[float, float]], *, margin: float = 0.02, level: float = 1 - ALPHA
) -> SpeedRatio | None:
    """The first speed over the second, by a paired t of the log ratio; None under 3 pairs.

    Raises ValueError on a speed that is not positive and finite.
    """
    if len(pairs) < FEWEST:
        return None
    speeds = np.array(pairs, dtype=float)
    if not (np.isfinite(speeds) & (speeds > 0)).all():
        raise ValueError("speeds are positive and finite")
    logs = np.log(speeds[:, 0] / speeds[:, 1])
    low, high = t_interval(logs, level)
    ends = Interval(float(low), float(high), level).exp()
    return SpeedRatio(ratio=math.exp(logs.mean()), interval=ends, margin=margin)


def ratios_of_speeds(
    pairs: Mapping[str, Sequence[tuple[float, float]]], margin: float
) -> dict[str, SpeedRatio]:
    """Ratios of times from (before, after) tokens/s of like seeds, by name; none from under 3 pairs.

    Intervals are Bonferroni's over the names: all of them hold together at 95 %.
    """
    level = 1 - ALPHA / max(1, sum(len(speeds) >= FEWEST for speeds in pairs.values()))
    ratios = {name: speed_ratio(speeds, margin=margin, level=level) for name, speeds in pairs.items()}
    return {name: ratio for name, ratio in ratios.items() if ratio}


def ratios_of_like_machines(
    pairs: Mapping[str, Sequence[tuple[Speed, Speed]]], margin: float
) -> tuple[dict[str, SpeedRatio], str]:
    """Ratios of times by name from pairs of one kind of machine; and why other pairs, or all, have none."""
    every = [pair for speeds in pairs.values() for pair in speeds]
    if not every:
        return {}, "there is no seed with a speed on both sides"
    refused = [pair for pair in every if unlike([machine for _, machine in pair])]
    like = {n: [(a[0], b[0]) for a, b in speeds if not unlike([a[1], b[1]])] for n, speeds in pairs.items()}
    ratios = ratios_of_speeds(like, margin)
    if refused:
        some = f"{len(refused)} of {plural(len(every), 'pair')}, " if len(refused) < len(every) else ""
        return ratios, some + unlike([machine for pair in refused for _, machine in pair])
    return ratios, "" if ratios else f"no arm has {FEWEST} seeds with a speed on both sides"


def ratios_of_rounds(
    pairs: Mapping[str, tuple["pd.DataFrame", "pd.DataFrame"]], margin: float
) -> dict[str, SpeedRatio]:
    """Ratios of times from each side's stored runs of like benchmarks (oldest first), by name.

    A run has `seconds` (the median of its rounds), their `iqr` and their number, `rounds`. Welch's interval
    of the log medians. With 3 stored runs or more the runs are the replicates; with fewer, the last run's
    rounds, by the standard error of their median. Names with under 3 of either have none.
    """
    known = {name: (_log_median(a), _log_median(b)) for name, (a, b) in pairs.items()}
    whole = {name: (a, b) for name, (a, b) in known.items() if a and b}
    level, ratios = 1 - ALPHA / max(1, len(whole)), {}
    for name, ((before, error, df), (after, error2, df2)) in whole.items():
        total = error**2 + error2**2
        joint = total**2 / (error**4 / df + error2**4 / df2) if total else 1.0
        half = float(special.stdtrit(joint, (1 + level) / 2)) * math.sqrt(total)
        ends = Interval(after - before - half, after - before + half, level).exp()
        ratios[name] = SpeedRatio(ratio=math.exp(after - before), interval=ends, margin=margin)
    return ratios


def _log_median(runs: "pd.DataFrame") -> tuple[float, float, int] | None:
    """Log of the median time, its standard error and degrees of freedom.

    A median's standard error is 1.25 IQR / (1.35 √n): "Variations of Box Plots", McGill, Tukey, Larsen 1978.
    """
    if len(runs) >= FEWEST:
        logs = np.log(runs.seconds)
        return float(logs.mean()), float(logs.std(ddof=1)) / math.sqrt(len(logs)), len(logs) - 1
    last = runs.iloc[-1]
    if last["rounds"] < FEWEST:
        return None
    error = 1.25 * last.iqr / (1.35 * math.sqrt(last["rounds"])) / last.seconds
    return math.log(last.seconds), error, int(last["rounds"]) - 1


def unlike(machines: Sequence[Mapping[str, str]]) -> str:
    """Why machines are not of one kind, or "". A machine without a description is of no known kind."""
    if not all(machines):
        return "the machine of some trials is not recorded"
    differ = machine_difference(machines)
    return f"unlike machines: {differ}" if differ else ""
