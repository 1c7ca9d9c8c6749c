"""Two arms on the folds of a cross-validation, or on random splits, of one data set.

Folds share most of their training rows, so that their differences are not independent. The variance of the
mean of k folds is taken as (1/k + n_test/n_train) s²: C. Nadeau and Y. Bengio, "Inference for the
Generalization Error", Machine Learning 52 (2003).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy import special

from reports.statistics.contrasts import Contrast, contrast


@dataclass(frozen=True, kw_only=True)
class FoldContrast(Contrast):
    """An arm minus the baseline over folds, of each of which `test_share` of the data is the test set.

    The signs of dependent differences prove nothing: with a diverged fold, or without any spread, nothing is
    claimed. More folds of the same data would show little more, so that none are asked for.
    """

    test_share: float

    @property
    def by_signs(self) -> bool:
        """Always false: see the class."""
        return False

    @property
    def _error(self) -> float:
        """The standard error of the mean; 0 where there is no test."""
        if self.given_convergence or not self.sd:
            return 0.0
        return self.sd * math.sqrt(1 / self.pairs + self.test_share / (1 - self.test_share))

    def _tails(self, mu: float) -> tuple[float, float]:
        if self.mean is None or not self._error:
            return 1.0, 1.0
        t = (self.mean - mu) / self._error
        return float(special.stdtr(self.pairs - 1, -t)), float(special.stdtr(self.pairs - 1, t))

    def _ends(self, alpha: float) -> tuple[float, float] | None:
        if self.mean is None or not self._error:
            return None
        half = float(special.stdtrit(self.pairs - 1, 1 - alpha / 2)) * self._error
        return self.mean - half, self.mean + half

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
    return FoldContrast(**vars(plain), test_share=test_share)
