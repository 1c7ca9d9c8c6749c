"""Error rates of single contrasts and of families at a fixed number of seeds, on simulated studies.

A tolerance is four standard errors of the binomial; seeds are fixed, so that a failure is no accident.
"""

import numpy as np
import pytest
from synthetic import equivalence_p, four_errors

from reports.statistics.estimators import (
    mean_interval,
    mean_tails,
    moments,
    step_down,
    t_interval,
    tails_to_p,
)
from reports.statistics.verdicts import verdicts

SEEDS = (5, 8, 10)


def paired(studies: int, seeds: int, arms: int = 1, effect: float = 0.0) -> np.ndarray:
    """Differences (studies, arms, seeds) of arms and one baseline that share each seed's luck."""
    rng = np.random.default_rng(seeds)
    luck = rng.normal(0, 0.06, (studies, 1, seeds))
    losses = 1.3 + luck + rng.normal(0, 0.02, (studies, arms + 1, seeds))
    return losses[:, 1:] + effect - losses[:, :1]


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("level", [0.90, 0.95, 0.99])
def test_t_intervals_cover_at_their_level(seeds: int, level: float) -> None:
    studies = 40_000
    d = paired(studies, seeds)[:, 0]
    inside = [
        np.mean((low <= 0) & (high >= 0))
        for low, high in (t_interval(d, level), mean_interval(moments(d), 1 - level))
    ]
    assert inside[0] == pytest.approx(level, abs=four_errors(level, studies))
    assert inside[0] <= inside[1] <= level + 0.4 * (1 - level)  # that of a contrast allows for skewness


@pytest.mark.parametrize("seeds", SEEDS)
def test_prediction_intervals_cover_one_more_seed(seeds: int) -> None:
    studies = 40_000
    values = np.random.default_rng(seeds).normal(1.3, 0.06, (studies, seeds + 1))
    low, high = t_interval(values[:, :-1], one_more=True)
    inside = (low <= values[:, -1]) & (values[:, -1] <= high)
    assert inside.mean() == pytest.approx(0.95, abs=four_errors(0.95, studies))


@pytest.mark.parametrize("seeds", SEEDS)
def test_holm_keeps_the_family_wise_error_with_a_shared_baseline(seeds: int) -> None:
    studies, arms = 40_000, 5
    ps = tails_to_p(*mean_tails(moments(paired(studies, seeds, arms))))
    any_claim = np.mean(step_down(ps).min(-1) <= 0.05)
    raw = np.mean(ps.min(-1) <= 0.05)
    # the shared baseline correlates the contrasts (.5), so that Holm lies below its nominal rate
    assert 0.015 < any_claim <= 0.05 + four_errors(0.05, studies)
    assert raw > 0.09  # what would happen without a correction


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("side", [-1, 1])
def test_tost_calls_a_difference_of_delta_equivalent_in_one_of_twenty(seeds: int, side: int) -> None:
    studies, delta = 40_000, 0.06  # δ is large against the standard error: the size is attained there
    rate = np.mean(equivalence_p(paired(studies, seeds, effect=side * delta)[:, 0], delta) <= 0.05)
    assert 0.035 < rate <= 0.05 + four_errors(0.05, studies)


def test_tost_never_errs_more_often_when_the_zone_is_narrow() -> None:
    studies = 40_000
    ps = equivalence_p(paired(studies, 8, effect=0.01)[:, 0], 0.01)
    assert np.mean(ps <= 0.05) <= 0.05


def test_the_same_arm_twice_is_rarely_called_different() -> None:
    studies, arms = 1_500, 3
    claims = dict.fromkeys(("better", "worse", "same", "open"), 0)
    for study in paired(studies, 8, arms):
        pairs = {arm: (dict(enumerate(d)), dict.fromkeys(range(8), 0.0)) for arm, d in enumerate(study)}
        for kind in {v.kind for v in verdicts(pairs, delta=0.03).values()}:
            claims[kind] += 1
    assert claims["better"] + claims["worse"] <= studies * (0.05 + four_errors(0.05, studies))
    assert claims["same"] > 0.5 * studies  # and the true answer is found
