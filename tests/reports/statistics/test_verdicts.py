"""Directions and sizes."""

import math
import re

import numpy as np
import pytest
from scipy import stats

from tests.helpers.contrasts import SPREAD, judge_alone, make_contrast, make_diverging
from unrolled.reports.statistics.corrections import Adjusted
from unrolled.reports.statistics.pairs import JudgedScale, LostPairs, compare_pairs
from unrolled.reports.statistics.power import ALPHA
from unrolled.reports.statistics.verdicts import Direction, Size, Verdict, judge_contrast, judge_contrasts

BETTER = Direction.BETTER
WORSE = Direction.WORSE


@pytest.mark.parametrize(
    ("mean", "sd", "text"),
    [
        (-0.05, 0.02, "better by more than δ"),
        (-0.025, 0.02, "better, size not settled"),
        (-0.01, 0.004, "better by less than δ"),
        (+0.05, 0.02, "worse by more than δ"),
        (+0.025, 0.02, "worse, size not settled"),
        (+0.01, 0.004, "worse by less than δ"),
        (0.0, 0.01, "the same within δ"),
        (0.01, 0.05, "open"),
    ],
)
def test_each_verdict_has_its_case_and_its_symbol(mean: float, sd: float, text: str) -> None:
    verdict = judge_alone(make_contrast(mean, sd))
    turned = judge_alone(make_contrast(mean, sd, lower=False))  # of an accuracy
    assert verdict.text == text
    swapped = {"better": "worse", "worse": "better"}
    assert turned.text == re.sub("better|worse", lambda m: swapped[m[0]], text)
    assert verdict.swap_sides().text == turned.text
    assert (verdict.swap_sides().symbol == verdict.symbol) == (verdict.text == turned.text)


def test_a_verdict_is_read_off_the_interval_beside_it() -> None:
    """Whatever p says: the interval excludes zero, or lies within ±δ or beyond it, where the words say so."""
    rng = np.random.default_rng(5)
    texts = set()
    for _ in range(100):
        contrasts = {i: make_contrast(rng.normal(0, 0.03), rng.gamma(2, 0.01)) for i in range(4)}
        for v in judge_contrasts(contrasts).values():
            low = v.interval.low
            high = v.interval.high
            delta = v.contrast.zone
            assert (v.direction is not Direction.NONE) == (low > 0 or high < 0)
            assert (v.size is Size.LESS) == (-delta < low and high < delta) or v.kind == "open"
            assert (v.size is Size.MORE) == (low > delta or high < -delta)
            assert (v.kind == "better") == (high < 0)
            texts.add(v.text)
    assert len(texts) == 8


def test_the_interval_of_sameness_holds_zero_since_no_direction_is_shown() -> None:
    contrast = make_contrast(0.008, 0.009)
    low, high = (getattr(contrast.interval(ALPHA, tails=1), end) for end in ("low", "high"))
    assert low > 0
    verdict = judge_contrast(contrast, Adjusted(0.2, ALPHA), Adjusted(0.01, ALPHA))
    assert verdict.kind == "same"
    assert (verdict.interval.low, verdict.interval.high) == (0.0, high)


def test_a_contrast_that_t_alone_would_decide_is_open_by_its_skewness() -> None:
    def judge_differences(differences: list[float]) -> Verdict:
        return judge_alone(
            compare_pairs(dict(enumerate(differences)), dict.fromkeys(range(10), 0.0), JudgedScale(0.02))
        )

    tail = [0.9, 1.0, 1.0, 1.1, 1.1, 1.2, 1.2, 1.3, 1.3, -1.7]
    for sign in (1, -1):
        verdict = judge_differences([sign * x for x in tail])
        assert verdict.kind == "open"
        assert abs(verdict.contrast.mean_difference) > stats.sem(tail) * stats.t.ppf(0.975, 9)
        assert verdict.is_open_by_skewness
    plain = judge_differences([1.1, 1.6, 1.1, -0.6, 1.7, 1.2, 0.2, 1.3, 1.1, 1.0])
    assert plain.kind == "open"
    assert not plain.contrast.is_skewed
    assert not plain.is_open_by_skewness
    wide = judge_differences([x - 1.0 for x in tail])
    assert wide.kind == "open"
    assert not wide.is_open_by_skewness
    assert not judge_alone(make_contrast(0.01, 0.05)).is_open_by_skewness
    assert not judge_alone(make_contrast(-0.05, 0.02)).is_open_by_skewness


def test_the_interval_has_the_level_of_the_contrasts_own_step() -> None:
    contrasts = {
        "sure": make_contrast(-0.05, 0.02),
        "open": make_contrast(0.02, 0.05),
        "wide": make_contrast(0.01, 0.05),
    }
    verdicts = judge_contrasts(contrasts)
    levels = {name: 1 - x.interval.confidence for name, x in verdicts.items()}
    assert levels == pytest.approx({"sure": ALPHA / 3, "open": ALPHA / 2, "wide": ALPHA / 2})
    same = judge_contrasts({"same": make_contrast(0.0, 0.01), "wide": make_contrast(0.01, 0.05)})["same"]
    assert same.kind == "same"
    assert 1 - same.interval.confidence == pytest.approx(2 * ALPHA / 2)


def test_the_adjusted_p_decides_and_not_the_raw_one() -> None:
    contrast = make_contrast(-0.05, 0.02)
    assert contrast.p < 0.05
    assert judge_contrast(contrast, Adjusted(0.2, ALPHA), Adjusted(1.0, ALPHA)).text == "open"


def test_an_interval_that_disagrees_with_p_leaves_the_contrast_open() -> None:
    contrast = make_contrast(-0.005, 0.05)  # p of an earlier look, and an interval that has turned wide
    different = judge_contrast(contrast, Adjusted(0.01, ALPHA), Adjusted(1.0, ALPHA))
    assert (different.text, different.difference_p, different.equivalence_p) == ("open", None, 1.0)
    same = judge_contrast(contrast, Adjusted(1.0, ALPHA), Adjusted(0.01, ALPHA))
    assert (same.text, same.difference_p, same.equivalence_p) == ("open", 1.0, None)
    assert (
        judge_contrast(make_contrast(-0.05, 0.02), Adjusted(0.01, ALPHA), Adjusted(1.0, ALPHA)).difference_p
        == 0.01
    )


@pytest.mark.parametrize(("mean", "sd"), [(-0.5, 0.001), (0.0, 0.0), (0.0, 0.001)])  # the second is identical
def test_under_five_seeds_a_contrast_is_open(mean: float, sd: float) -> None:
    sure = Adjusted(0.0, ALPHA), Adjusted(0.0, ALPHA)
    verdict = judge_contrast(make_contrast(mean, sd, n=4), *sure)
    assert verdict.text == "open"
    assert judge_contrast(make_contrast(mean, sd, n=5), *sure).makes_claim


def test_nothing_good_is_claimed_of_an_arm_that_diverges_more_often() -> None:
    assert make_diverging(8).p < 0.05
    assert make_diverging(8).divergence_p == 2**-7
    (verdict,) = judge_contrasts({0: make_diverging(8)}).values()
    assert (verdict.direction, verdict.divergence_direction, verdict.text) == (
        Direction.NONE,
        WORSE,
        "diverges more often",
    )
    assert (verdict.kind, verdict.is_harmful) == ("worse", True)
    among = judge_contrasts({0: make_diverging(8)} | {i: make_contrast(0.0, 0.2) for i in range(1, 9)})[0]
    assert among.adjusted_divergence.p > 0.05
    assert among.text == "open"  # Holm's p claims; the plain one forbids
    (rare,) = judge_contrasts({0: make_diverging(3)}).values()
    assert rare.direction is BETTER
    assert rare.divergence_direction is Direction.NONE


def test_nothing_bad_is_claimed_of_an_arm_whose_baseline_diverges_more_often() -> None:
    (verdict,) = judge_contrasts({0: make_diverging(0, 8, gain=-0.02)}).values()
    assert (verdict.direction, verdict.divergence_direction, verdict.text) == (
        Direction.NONE,
        BETTER,
        "diverges less often",
    )
    assert not verdict.is_harmful
    (worse,) = judge_contrasts({0: make_diverging(8, gain=-0.02)}).values()
    assert (worse.direction, worse.divergence_direction) == (WORSE, WORSE)
    (good,) = judge_contrasts({0: make_diverging(0, 8)}).values()
    assert (good.direction, good.divergence_direction) == (BETTER, BETTER)


@pytest.mark.parametrize(
    ("pairs", "failed", "kind"),
    [(60, 0, "same"), (60, 5, "same"), (60, 6, "open"), (20, 2, "same"), (20, 3, "open"), (30, 5, "open")],
)
def test_an_arm_that_failed_more_often_is_not_the_same(pairs: int, failed: int, kind: str) -> None:
    """McNemar's p is .0625 for five failures against none. Three pairs are enough if they are a tenth."""
    rng = np.random.default_rng(4)
    arm, base = ({s: 1 + 0.001 * x for s, x in enumerate(rng.standard_normal(pairs))} for _ in range(2))
    for sides in ((arm, base), (base, arm)):
        remaining = {s: x for s, x in sides[0].items() if s >= failed}
        for pair in ((remaining, sides[1]), (sides[1], remaining)):
            verdict = judge_alone(compare_pairs(*pair, JudgedScale(0.02), lost_pairs=LostPairs(failed)))
            assert verdict.kind == kind
            assert verdict.contrast.fails_unequally is (kind == "open")


def test_arms_that_diverge_on_every_seed_are_not_the_same() -> None:
    diverged = dict.fromkeys(range(10), math.inf)
    assert judge_alone(compare_pairs(diverged, diverged, JudgedScale(0.02))).kind == "open"


def test_a_diverged_seed_leaves_no_equivalence() -> None:
    contrast = make_contrast(0.0, 0.01)
    arm = {s: 1.3 + d for s, d in contrast.differences.items()}
    baseline = dict.fromkeys(arm, 1.3)
    assert judge_alone(compare_pairs(arm, baseline, JudgedScale(0.02))).kind == "same"
    verdict = judge_alone(compare_pairs({**arm, 0: math.inf}, baseline, JudgedScale(0.02)))
    earlier_p = Adjusted(0.01, ALPHA)  # of a look before it
    earlier = judge_contrast(verdict.contrast, Adjusted(1.0, ALPHA), earlier_p)
    assert verdict.kind == earlier.kind == "open"


def test_an_arm_that_always_diverges_has_no_mean_and_is_worse() -> None:
    baseline = {s: 1.3 + 0.01 * s for s in range(10)}
    verdict = judge_alone(compare_pairs(dict.fromkeys(baseline, math.inf), baseline, JudgedScale(0.02)))
    assert (verdict.direction, verdict.divergence_direction, verdict.kind, verdict.is_harmful) == (
        Direction.NONE,
        WORSE,
        "worse",
        True,
    )


def test_equivalences_are_corrected_as_a_family_of_their_own() -> None:
    close_contrast = compare_pairs(
        {s: 0.01 * x for s, x in enumerate(SPREAD)}, dict.fromkeys(range(10), 0.0), JudgedScale(0.006)
    )
    single, in_family = (judge_contrasts(dict.fromkeys(range(n), close_contrast))[0] for n in (1, 5))
    assert (single.kind, in_family.kind) == ("same", "open")
    assert in_family.adjusted_equivalence.p == pytest.approx(5 * single.adjusted_equivalence.p)


@pytest.mark.parametrize(
    ("structural", "n", "delta", "text", "interval"),
    [
        (False, 10, 0.02, "better, size not settled", None),
        (False, 600, 0.05, "better by less than δ", (0.034, 0.046)),
        (True, 10, 0.02, "better by more than δ", (0.04, 0.04)),
        (True, 10, 0.05, "better by less than δ", (0.04, 0.04)),
    ],
)
def test_the_size_of_one_difference_on_all_pairs_follows_from_its_interval(
    structural: bool, n: int, delta: float, text: str, interval: tuple[float, float] | None
) -> None:
    """Ten accuracies, all .04 higher, had an interval from .04 to .04, and an unsettled size."""
    arm = dict.fromkeys(range(n), 0.84)
    base = dict.fromkeys(range(n), 0.80)
    verdict = judge_alone(
        compare_pairs(
            arm, base, JudgedScale(delta, lower_is_better=False, is_structural=structural, highest=1.0)
        )
    )
    assert verdict.text == text
    ends = verdict.interval and (verdict.interval.low, verdict.interval.high)
    assert ends == (interval and pytest.approx(interval, abs=0.001))


def test_structural_numbers_are_known_to_be_the_same() -> None:
    parameters = dict.fromkeys(range(10), 1000.0)
    others = dict.fromkeys(range(10), 1010.0)
    assert (
        judge_alone(compare_pairs(parameters, parameters, JudgedScale(20, is_structural=True))).kind == "same"
    )
    assert judge_alone(compare_pairs(others, parameters, JudgedScale(20))).text == "worse, size not settled"
    varying = {**others, 3: 1011.0}
    assert not compare_pairs(varying, parameters, JudgedScale(20, is_structural=True)).is_known_exactly
