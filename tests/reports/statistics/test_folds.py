"""Folds of one data set are no independent pairs; see `simulate_compare.py` for the rates in full."""

import numpy as np
import pytest
from scipy import stats

from tests.helpers.designs import four_errors
from tests.simulations.simulate_compare import simulate_fold_rates
from unrolled.reports.statistics.error_contrasts import compare_folds, welch
from unrolled.reports.statistics.pairs import JudgedScale, LostPairs, compare_pairs
from unrolled.reports.statistics.verdicts import judge_contrasts

DIFFERENCES = dict(enumerate([0.02, 0.05, -0.01, 0.04, 0.03, 0.06, 0.00, 0.05, 0.02, 0.04]))
ZEROS = dict.fromkeys(DIFFERENCES, 0.0)


def test_the_variance_is_that_of_nadeau_and_bengio() -> None:
    contrast = compare_folds(DIFFERENCES, ZEROS, JudgedScale(0.05), test_share=0.1)
    d = np.array([*DIFFERENCES.values()])
    error = d.std(ddof=1) * np.sqrt(1 / 10 + 1 / 9)
    law = stats.t(9)
    ends = contrast.interval()
    assert contrast.p == pytest.approx(2 * law.sf(d.mean() / error))
    assert (ends.low, ends.high) == pytest.approx(
        (d.mean() - law.ppf(0.975) * error, d.mean() + law.ppf(0.975) * error)
    )
    assert contrast.equivalence_p == pytest.approx(law.sf((0.05 - d.mean()) / error))
    assert compare_pairs(DIFFERENCES, ZEROS, JudgedScale(0.05)).p < contrast.p


@pytest.mark.parametrize(
    "odd", [{0: float("inf")}, dict.fromkeys(range(6), float("inf")), dict.fromkeys(DIFFERENCES, 0.03)]
)
def test_nothing_is_claimed_of_a_diverged_fold_or_without_spread(odd) -> None:
    contrast = compare_folds({**DIFFERENCES, **odd}, ZEROS, JudgedScale(0.02), test_share=0.1)
    assert (contrast.p, contrast.equivalence_p, contrast.divergence_p) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("identical", [True, False])
def test_folds_are_the_same_by_computation_and_not_by_ties(identical) -> None:
    contrast = compare_folds(
        DIFFERENCES,
        DIFFERENCES,
        JudgedScale(0.02, highest=1.0),
        test_share=0.1,
        equal_seeds=DIFFERENCES if identical else (),
    )
    verdict = judge_contrasts({"x": contrast})["x"]
    assert verdict.text == ("the same within δ" if identical else "open")


def test_equal_learners_are_called_different_at_most_once_in_twenty() -> None:
    plain, corrected = simulate_fold_rates(np.random.default_rng(3), repeats=3, studies=200)
    assert corrected <= 0.05 + four_errors(0.05, 200)
    assert plain > 0.2, "as independent pairs they would be"


def test_folds_and_samples_with_a_lost_row_have_no_interval() -> None:
    """Beside a p of 1 stood the interval of the rows that were left."""
    arm = {fold: 1.0 + 0.01 * (fold % 3) for fold in range(9)}
    base = {fold: 0.9 + 0.01 * (fold % 4) for fold in range(10)}
    whole = {fold: base[fold] for fold in arm}
    for lost, sides in ((0, (arm, whole)), (1, (arm, base))):
        folds = compare_folds(*sides, JudgedScale(0.02), test_share=0.1, lost_pairs=LostPairs(lost))
        samples = welch(
            [*sides[0].values()], [*sides[1].values()], JudgedScale(0.02), lost_pairs=LostPairs(lost)
        )
        for c in (folds, samples):
            assert (c.interval() is None, c.p == 1) == (lost > 0, lost > 0)
