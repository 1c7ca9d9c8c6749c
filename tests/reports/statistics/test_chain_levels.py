"""Levels of chains. Known answers: the definition, a simulation made elsewhere, R's onlineFDR."""

import math

import numpy as np
import pytest

from unrolled.reports.statistics.chain_levels import AlphaSpending, Saffron, compute_next_level

INFINITE = 0.4374901658 / np.arange(1, 16) ** 1.6  # onlineFDR's default: normalised over all terms
P_VALUES = [
    2.90e-08, 0.06743, 0.01514, 0.08174, 0.00171, 3.60e-05, 0.79149, 0.27201,
    0.28295, 7.59e-08, 0.69274, 0.30443, 0.00136, 0.72342, 0.54757,
]  # fmt: skip
"""The example of onlineFDR's functions, in its order of dates."""
DRAWN = [0, 1, 2, 3, 4, 7, 5, 6, 9, 8, 10, 13, 11, 14, 12]  # its order within dates by set.seed(1)


@pytest.mark.parametrize(
    ("p_values", "levels"),
    [
        ([0.9] * 9, [
            0.01099, 0.00362, 0.00189, 0.00120, 0.00084, 0.00062, 0.00049, 0.00039, 0.00033, 0.00028,
        ]),
        ([0.001, 0.9, 0.9, 0.3], [0.01099, 0.02197, 0.00725, 0.00379, 0.00379]),
    ],
)  # fmt: skip
def test_saffron_has_the_levels_of_a_simulation_made_elsewhere(p_values, levels) -> None:
    assert Saffron(alpha=0.1).compute_levels(p_values) == pytest.approx(levels, abs=5e-6)
    assert compute_next_level("saffron", p_values, 0.1) == pytest.approx(levels[-1], abs=5e-6)


@pytest.mark.parametrize(
    ("order", "options", "levels"),
    [
        (range(15), {"alpha": 0.05}, [
            0.005468627, 0.010937254, 0.010937254, 0.010937254, 0.010937254,
            0.021874508, 0.032811762, 0.010823845, 0.010823845, 0.010823845,
            0.021761099, 0.009265591, 0.009265591, 0.020202846, 0.009064367,
        ]),
        (DRAWN, {"alpha": 0.05}, [
            0.005468627, 0.010937254, 0.010937254, 0.010937254, 0.010937254,
            0.021874508, 0.021874508, 0.032811762, 0.010823845, 0.021761099,
            0.021761099, 0.009265591, 0.005456418, 0.005456418, 0.003688669,
        ]),
        (DRAWN, {"alpha": 0.1, "wealth": 0.025}, [
            0.005468627, 0.021874508, 0.021874508, 0.043749017, 0.043749017,
            0.065623525, 0.065623525, 0.087498033, 0.028863587, 0.050738095,
            0.050738095, 0.022302945, 0.013293195, 0.013293195, 0.009042997,
        ]),
    ],
)  # fmt: skip
def test_saffron_has_the_levels_that_onlinefdr_documents(order, options, levels) -> None:
    rule = Saffron(**options, gammas=INFINITE)
    p_values = [P_VALUES[i] for i in order]
    assert rule.compute_levels(p_values)[:-1] == pytest.approx(levels, abs=5e-10)


def test_alpha_spending_has_the_levels_that_onlinefdr_documents() -> None:
    j = np.arange(1, 16)
    gammas = 0.07720838 * np.log(np.maximum(j, 2)) / (j * np.exp(np.sqrt(np.log(j))))
    levels = AlphaSpending(alpha=0.05, gammas=gammas).compute_levels(P_VALUES)[:-1]
    assert levels[[0, 1, 2, 9, 14]] == pytest.approx(
        [0.0026758385, 0.0005819103, 0.0004956249, 0.0001949126, 0.0001344368], abs=5e-11
    )


def define_levels(p_values: list[float], alpha: float) -> list[float]:
    """Return the levels as the paper writes them, with sums over rejections τ_j and candidates C_j."""
    total = math.fsum(j**-1.6 for j in range(1, 5_001))
    levels: list[float] = []
    for t in range(1, len(p_values) + 2):
        candidates = [i for i in range(1, t) if p_values[i - 1] <= 0.5]
        rejections = [i for i in range(1, t) if p_values[i - 1] <= levels[i - 1]]
        terms = [(alpha / 2, t - len(candidates))]
        for k, tau in enumerate(rejections):
            since = sum(i > tau for i in candidates)
            terms.append((alpha if k else alpha - alpha / 2, t - tau - since))
        levels.append(min(0.5, 0.5 * math.fsum(w * j**-1.6 / total for w, j in terms)))
    return levels


def test_saffron_is_the_papers_definition() -> None:
    p_values = np.random.default_rng(0).random((20, 60)) ** 4  # many are rejected
    levels = Saffron(alpha=0.1).compute_levels(p_values)
    assert (p_values <= levels[:, :-1]).sum() > 100
    for row, p in zip(levels, p_values, strict=True):
        assert row == pytest.approx(define_levels(p.tolist(), 0.1), rel=1e-12)


@pytest.mark.parametrize("rule", ["saffron", "family-wise"])
def test_a_level_depends_on_the_tests_before_it_alone(rule: str) -> None:
    p_values = (np.random.default_rng(1).random(30) ** 3).tolist()
    levels = [compute_next_level(rule, p_values[:n], 0.1) for n in range(31)]
    changed = [*p_values[:20], *([1.0] * 10)]
    assert [compute_next_level(rule, changed[:n], 0.1) for n in range(21)] == levels[:21]


def test_a_smaller_p_value_never_lowers_a_later_level() -> None:
    rng = np.random.default_rng(2)
    p_values = rng.random((500, 40)) ** 2
    smaller = np.where(rng.random(p_values.shape) < 0.2, p_values * rng.random(p_values.shape), p_values)
    rule = Saffron(alpha=0.1)
    assert (rule.compute_levels(smaller) >= rule.compute_levels(p_values) - 1e-15).all()


def test_alpha_spending_spends_alpha_at_most() -> None:
    p_values = np.zeros(5_100)
    levels = AlphaSpending(alpha=0.1).compute_levels(p_values)
    assert levels.sum() == pytest.approx(0.1)
    first = compute_next_level("saffron", [], 0.1)  # (1 − λ)·w₀·γ₁, with λ .5 and w₀ α/2
    assert compute_next_level("family-wise", [], 0.1) == pytest.approx(4 * first)
    assert levels[5_000:].tolist() == [0.0] * 101


def test_false_rejections_are_bounded_for_uniform_nulls() -> None:
    """One test in ten is no null; E[false] ≤ α · E[max(rejections, 1)], and any false one in α of chains."""
    rng = np.random.default_rng(3)
    p_values = rng.random((2_000, 100))
    is_null = rng.random(p_values.shape) < 0.9
    p_values[~is_null] *= 1e-4
    rejected = p_values <= Saffron(alpha=0.1).compute_levels(p_values)[:, :-1]
    false = (rejected & is_null).sum(1)
    assert 0.05 < false.mean() / np.maximum(rejected.sum(1), 1).mean() <= 0.1
    spending = AlphaSpending(alpha=0.1).compute_levels(p_values)[:, :-1]
    assert 0.04 < ((p_values <= spending) & is_null).any(1).mean() <= 0.1


def test_a_test_that_has_not_ended_earns_nothing() -> None:
    p_values = [0.9, 0.004, 0.9]  # 0.004 is above the level of the second test, unless the first is kept
    level = compute_next_level("saffron", p_values, 0.1)
    assert level < compute_next_level("saffron", [0.001, *p_values[1:]], 0.1)
    assert compute_next_level("saffron", [1.0, *p_values[1:]], 0.1) == level


def test_unknown_rules_and_impossible_numbers_are_refused() -> None:
    for rule, p_values, alpha in (("lord", [], 0.1), ("saffron", [1.1], 0.1), ("saffron", [], 1.0)):
        with pytest.raises(ValueError):
            compute_next_level(rule, p_values, alpha)
    with pytest.raises(ValueError):
        compute_next_level("saffron", [math.nan], 0.1)
