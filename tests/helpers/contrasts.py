"""Contrasts of a given mean and spread, their verdicts, and the looks that a study has by default."""

import math
from statistics import stdev

import numpy as np

from unrolled.bench.metric import DEFAULT_LOOKS
from unrolled.reports.statistics.contrasts import Contrast
from unrolled.reports.statistics.corrections import Adjusted
from unrolled.reports.statistics.looks import Looks
from unrolled.reports.statistics.pairs import JudgedScale, compare_pairs
from unrolled.reports.statistics.power import ALPHA
from unrolled.reports.statistics.verdicts import Verdict, judge_contrast

LOOKS = Looks(DEFAULT_LOOKS)
SPREAD = (-1.3, 0.4, 1.1, -0.2, 0.7, -0.9, 1.5, -0.5, 0.1, -0.9)  # sums to zero


def make_contrast(mean: float, sd: float, n: int = 10, *, lower: bool = True) -> Contrast:
    """Return the contrast of an arm that differs by mean ± sd over n seeds; n = 10 makes the mean exact."""
    baseline = {s: 1.3 + 0.05 * x for s, x in enumerate(reversed(SPREAD[:n]))}
    arm = {s: baseline[s] + mean + sd / stdev(SPREAD) * x for s, x in enumerate(SPREAD[:n])}
    return compare_pairs(
        arm,
        baseline,
        JudgedScale(0.02, lower_is_better=lower),
        equal_seeds=() if sd else range(n),
    )


def judge_alone(contrast: Contrast) -> Verdict:
    """Return the verdict on a contrast that is the only one."""
    return judge_contrast(contrast, Adjusted(contrast.p, ALPHA), Adjusted(contrast.equivalence_p, ALPHA))


def make_diverging(arm: int, baseline: int = 0, gain: float = 0.02, n: int = 30) -> Contrast:
    """Return a contrast in which some seeds of each side diverge; the others are better by gain."""
    rng = np.random.default_rng(6)
    baseline_losses = {s: 1.3 + 0.01 * rng.standard_normal() for s in range(n)}
    arm_losses = {s: math.inf if s < arm else x - gain for s, x in baseline_losses.items()}
    baseline_losses |= dict.fromkeys(range(n - baseline, n), math.inf)
    return compare_pairs(arm_losses, baseline_losses, JudgedScale(0.01))
