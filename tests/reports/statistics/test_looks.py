"""Looks, their p values and their intervals. Known answers: 2·10⁶ draws made elsewhere."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import special, stats

from tests.helpers.contrasts import LOOKS
from unrolled.reports.statistics import looks
from unrolled.reports.statistics.estimators import mean_interval, moments
from unrolled.reports.statistics.looks import DRAWS, SINGLE_LOOK, Look, Looks, simulate_table
from unrolled.reports.statistics.pairs import JudgedScale, compare_pairs

SHORT = Looks((10, 20, 40))
EARLY = Looks((5, 10, 15, 20, 30, 40))
STORED = 10_000_000  # draws behind the stored table
ELSEWHERE = 2_000_000  # draws behind the known answers


def four_errors_of_ratio(p: float, *draws: int) -> float:
    """Return four standard errors of the ratio of two simulated tails of probability p."""
    return 4 * math.sqrt((1 - p) / p * sum(1 / n for n in draws))


@pytest.mark.parametrize(
    ("looks", "alpha", "two_sided", "one_sided", "draws"),
    [
        (LOOKS, 0.05, 0.02090, 0.02252, STORED),
        (LOOKS, 0.01, 0.00367, 0.00384, STORED),
        (LOOKS, 0.05 / 15, 0.00113, 0.00119, STORED),
        (SHORT, 0.05, 0.02698, 0.02835, DRAWS),
        (EARLY, 0.05, 0.01848, 0.01999, DRAWS),
    ],
)
def test_critical_values(looks: Looks, alpha: float, two_sided: float, one_sided: float, draws: int) -> None:
    tolerance = four_errors_of_ratio(alpha, draws, ELSEWHERE)
    assert looks.find_critical_q(alpha) == pytest.approx(two_sided, rel=tolerance)
    assert looks.find_critical_q(alpha, tails=1) == pytest.approx(one_sided, rel=tolerance)


@pytest.mark.parametrize(
    ("looks", "alpha", "deciding"),
    [
        (LOOKS, 0.05, (3.22, 2.85, 2.68, 2.51, 2.41)),
        (LOOKS, 0.05 / 15, (5.20, 4.33, 3.98, 3.67, 3.51)),
        (SHORT, 0.05, (3.06, 2.56, 2.30)),
        (EARLY, 0.05, (5.20, 3.30, 2.91, 2.74, 2.56, 2.46)),
    ],
)
def test_t_values_that_decide(looks: Looks, alpha: float, deciding: tuple[float, ...]) -> None:
    tolerance = four_errors_of_ratio(alpha, STORED if looks is LOOKS else DRAWS, ELSEWHERE)
    for k, (n, t) in enumerate(zip(looks.pair_counts, deciding, strict=True)):
        level = Look(looks, k).compute_level(alpha)
        low, high = (special.stdtrit(n - 1, 1 - level * x / 2) for x in (1 + tolerance, 1 - tolerance))
        assert low - 0.005 <= t <= high + 0.005  # as printed


def test_p_values_at_the_default_looks() -> None:
    for q, two_sided, one_sided in ((0.02, 0.0480, 0.0450), (0.001, 0.0030, 0.0028)):
        tolerance = four_errors_of_ratio(two_sided, STORED, ELSEWHERE) * two_sided + 0.00005  # as printed
        assert float(LOOKS.compute_p(q)) == pytest.approx(two_sided, abs=tolerance)
        assert float(LOOKS.compute_p(q, tails=1)) == pytest.approx(one_sided, abs=tolerance)


def test_the_stored_table_agrees_with_a_fresh_simulation() -> None:
    fresh = simulate_table(LOOKS.pair_counts, seed=1)
    for tails in (1, 2):
        for p in (0.5, 0.05, 0.01, 0.003, 0.0003):
            fresh_p = np.interp(LOOKS.find_critical_q(p, tails), fresh[tails], fresh[0])
            assert fresh_p == pytest.approx(p, rel=four_errors_of_ratio(p, DRAWS, STORED))


def test_a_simulation_of_whole_studies_agrees_with_drawn_means_and_squares() -> None:
    studies = 20_000
    d = np.random.default_rng(2).standard_normal((studies, 12))
    looks = Looks((4, 5, 12))
    stages = zip(looks.pair_counts, looks.weights, strict=True)
    smallest = np.min([stats.ttest_1samp(d[:, :n], 0, axis=1).pvalue / w for n, w in stages], axis=0)
    for p in (0.3, 0.05):
        rate = np.mean(smallest <= looks.find_critical_q(p))
        assert rate == pytest.approx(p, rel=four_errors_of_ratio(p, studies, DRAWS))


def test_the_table_is_the_same_each_time_and_rises() -> None:
    first = simulate_table((5, 8), draws=3_000)
    second = simulate_table((5, 8), draws=3_000)
    assert np.array_equal(first, second)
    assert (np.diff(first, axis=1) >= 0).all()
    assert first[0, [0, 1, -1]] == pytest.approx([1 / 3001, 2 / 3001, 1.0])


def test_a_stored_table_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(looks, "__file__", str(tmp_path / "looks.py"))
    (tmp_path / "boundaries").mkdir()
    numbers = (3, 11)  # of no other test: a process reads a table once
    table = simulate_table(numbers, draws=2_000)
    np.save(tmp_path / "boundaries" / "looks_3_11.npy", table)
    p, _, two_sided_q = table
    assert np.array_equal(Looks(numbers).compute_p(two_sided_q), p)


def test_p_and_critical_value_are_inverse_and_keep_to_their_range() -> None:
    for tails in (1, 2):
        for alpha in (0.2, 0.05, 0.0033, 1e-5):
            assert float(LOOKS.compute_p(LOOKS.find_critical_q(alpha, tails), tails)) == pytest.approx(alpha)
        p = LOOKS.compute_p([0.0, 1e-9, 0.01, 0.5, 1.0], tails)
        assert (np.diff(p) >= 0).all()
        assert 0 < p[0] < 1e-6
        assert p[-1] == 1
        # one look alone has Q ≤ q with probability w_k q, and all of them at most with their sum (Boole)
        assert 0.01 < p[2] <= 0.01 * sum(LOOKS.weights)


def test_one_look_is_the_ordinary_test() -> None:
    single = Looks((10,))
    assert float(single.compute_p(0.0312)) == 0.0312
    assert single.find_critical_q(0.05 / 7, tails=1) == 0.05 / 7
    assert single.weights == (1.0,)


@pytest.mark.parametrize("numbers", [(), (1, 5), (5, 5), (10, 8)])
def test_looks_that_do_not_rise_from_two_are_refused(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="rise strictly from 2"):
        Looks(numbers)


def test_intervals_of_a_contrast_are_the_repeated_ones() -> None:
    d = np.random.default_rng(3).normal(0.01, 0.03, 15)
    sides = dict(enumerate(d)), dict.fromkeys(range(15), 0.0)
    contrast = compare_pairs(*sides, JudgedScale(0.02), family_size=4, look=Look(LOOKS, 1))
    w = math.sqrt(15 / 40)
    for tails, tail in (
        (2, w * LOOKS.find_critical_q(0.01) / 2),
        (1, w * LOOKS.find_critical_q(0.01, tails=1)),
    ):
        ends = contrast.interval(0.01, tails)
        expected = mean_interval(moments(d), 2 * tail)
        assert (ends.low, ends.high) == pytest.approx(expected)
    assert (
        contrast.interval().confidence,
        contrast.interval(0.01).confidence,
        contrast.interval(tails=1).confidence,
    ) == (
        0.95,
        0.99,
        0.9,
    )
    plain = compare_pairs(*sides, JudgedScale(0.02), family_size=4)
    assert plain.look is SINGLE_LOOK
    assert (contrast.p, contrast.equivalence_p, contrast.mean_difference) == (
        plain.p,
        plain.equivalence_p,
        plain.mean_difference,
    )
    assert contrast.mde > plain.mde
    assert contrast.seeds_needed > plain.seeds_needed


def test_planning_and_deciding_load_no_pictures() -> None:
    heavy = "{'scipy.stats', 'scipy.optimize', 'torch', 'urllib.request', 'matplotlib', 'mlflow'}"
    light = ("reports.statistics.expected_seeds", "reports.words.answer", "ablations.commands.compare")
    names = ", ".join(f"unrolled.{name}" for name in (*light, "ablations.commands.studies"))
    code = f"import sys, {names}; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
