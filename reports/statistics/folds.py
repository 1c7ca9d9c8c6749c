"""Contrasts of folds, or of random splits, of one data set.

They share most of their training rows, so that their differences are not independent: the variance of the
mean of k folds is taken as (1/k + n_test/n_train) s², see C. Nadeau and Y. Bengio, "Inference for the
Generalization Error", Machine Learning 52 (2003).
"""

import math
from typing import Any

from unrolled.reports.statistics.pairs import compare_pairs
from unrolled.reports.statistics.seed_values import SeedValues
from unrolled.reports.statistics.unpaired import ErrorContrast


class FoldContrast(ErrorContrast):
    """An arm minus the baseline over folds. More of the same data would show little: none are asked for."""

    mde = None
    seeds_needed = None


def compare_folds(
    arm: SeedValues, baseline: SeedValues, *, test_share: float, **options: Any
) -> FoldContrast:
    """Compare two arms by their values by fold, of each of which `test_share` of the data is the test set.

    Options as of `compare_pairs`.
    """
    plain = compare_pairs(arm, baseline, **options)
    error = math.nan
    if plain.sd and not plain.given_convergence:
        error = plain.sd * math.sqrt(1 / plain.pairs + test_share / (1 - test_share))
    return FoldContrast(**vars(plain), error=error, df=plain.pairs - 1)
