"""Two arms on the folds of a cross-validation, or on random splits, of one data set.

Folds share most of their training rows, so that their differences are not independent. The variance of the
mean of k folds is taken as (1/k + n_test/n_train) s²: C. Nadeau and Y. Bengio, "Inference for the
Generalization Error", Machine Learning 52 (2003).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scipy import special

from reports.statistics.contrasts import Contrast, Interval, contrast
from reports.statistics.power import ALPHA


@dataclass(frozen=True, kw_only=True)
class FoldContrast(Contrast):
    """An arm minus the baseline over folds, of each of which `test_share` of the data is the test set.

    The signs of dependent differences prove nothing: with a diverged fold, or without any spread, nothing is
    claimed. More folds of the same data would show little more, so that none are asked for.
    """

    test_share: float

    @property
    def p(self) -> float:
        """The p of the corrected t test; 1 where there is none."""
        return 1.0 if self.given_convergence or self.t_p is None else self.t_p

    @property
    def mde(self) -> None:
        """None: see the class."""
        return None

    @property
    def seeds_needed(self) -> None:
        """None: see the class."""
        return None


def compare_folds(
    arm: Mapping[int, float],
    baseline: Mapping[int, float],
    *,
    delta: float,
    test_share: float,
    lower_is_better: bool = True,
    family: int = 1,
) -> FoldContrast:
    """Compare two arms by their values by fold; δ and the family as in `contrast`."""
    plain = contrast(arm, baseline, delta=delta, lower_is_better=lower_is_better, family=family)
    tested = {} if not plain.sd or plain.mean is None else _test(plain, plain.mean, plain.sd, test_share)
    none = dict.fromkeys(("t", "t_p", "tost_p", "interval", "interval90"))
    return FoldContrast(**{**vars(plain), **none, **tested}, test_share=test_share)


def _test(plain: Contrast, mean: float, sd: float, test_share: float) -> dict[str, Any]:
    """The fields of a contrast that rest on the variance of the mean."""
    folds = len(plain.differences)
    error = sd * math.sqrt(1 / folds + test_share / (1 - test_share))
    ends = {}
    for name, level in (("interval", 1 - ALPHA), ("interval90", 1 - 2 * ALPHA)):
        half = float(special.stdtrit(folds - 1, (1 + level) / 2)) * error
        ends[name] = Interval(mean - half, mean + half, level)
    t = mean / error
    below, above = special.stdtr(folds - 1, [-abs(t), (abs(mean) - plain.delta) / error])
    return {"t": t, "t_p": float(2 * below), "tost_p": float(above), **ends}
