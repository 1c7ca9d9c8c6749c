"""Five words and the sentences made of them."""

import math
import re
from statistics import stdev

import pytest

from reports.statistics.contrasts import Contrast, contrast
from reports.statistics.verdicts import Verdict, Word, self_check, sentence, verdict, verdicts

SPREAD = (-1.3, 0.4, 1.1, -0.2, 0.7, -0.9, 1.5, -0.5, 0.1, -0.9)  # sums to zero


def differing(mean: float, sd: float, n: int = 10, *, delta: float = 0.02, **facts: object) -> Contrast:
    """An arm that differs from its baseline by mean ± sd over n seeds; n = 10 makes the mean exact."""
    baseline = {s: 1.3 + 0.05 * x for s, x in enumerate(reversed(SPREAD[:n]))}
    arm = {s: baseline[s] + mean + sd / stdev(SPREAD) * x for s, x in enumerate(SPREAD[:n])}
    return contrast(arm, baseline, delta=delta, lower_is_better=bool(facts.get("lower", True)))


def judged(c: Contrast) -> Verdict:
    return verdict(c, c.p)


@pytest.mark.parametrize(
    ("mean", "sd", "word"),
    [
        (-0.05, 0.02, Word.IMPROVES),
        (+0.05, 0.02, Word.WORSENS),
        (0.0, 0.01, Word.EQUIVALENT),
        (0.01, 0.004, Word.NEGLIGIBLE),
        (-0.01, 0.004, Word.NEGLIGIBLE),
        (0.01, 0.05, Word.INCONCLUSIVE),
    ],
)
def test_each_word_has_its_case(mean: float, sd: float, word: Word) -> None:
    assert judged(differing(mean, sd)).word is word
    turned = {Word.IMPROVES: Word.WORSENS, Word.WORSENS: Word.IMPROVES}  # of an accuracy
    assert judged(differing(mean, sd, lower=False)).word is turned.get(word, word)


def test_there_are_five_words_with_five_symbols() -> None:
    assert len({word.symbol for word in Word}) == len(Word) == 5


def test_the_adjusted_p_decides_and_not_the_raw_one() -> None:
    c = differing(-0.05, 0.02)
    assert c.p < 0.05
    assert verdict(c, 0.2).word is Word.INCONCLUSIVE


@pytest.mark.parametrize(("mean", "sd"), [(-0.5, 0.001), (0.0, 0.0), (0.0, 0.001)])
def test_under_five_seeds_the_only_verdict_is_inconclusive(mean: float, sd: float) -> None:
    c = differing(mean, sd, n=4)
    assert verdict(c, 0.0).word is Word.INCONCLUSIVE
    assert "under 5 seeds nothing is decided" in sentence(verdict(c, 0.0), "x", "y")
    assert verdict(differing(mean, sd, n=5), 0.0).word is not Word.INCONCLUSIVE


def test_identical_arms_are_equivalent() -> None:
    said = sentence(judged(differing(0.0, 0.0)), "nn.LSTM", "ours")
    assert (
        said
        == "≡ EQUIVALENT — nn.LSTM against ours: bitwise identical on every one of 10 seeds; no failures."
    )


def test_a_diverged_seed_leaves_no_equivalence() -> None:
    c = differing(0.0, 0.01)
    arm = {s: 1.3 + d for s, d in c.differences.items()}
    baseline = dict.fromkeys(arm, 1.3)
    assert judged(contrast(arm, baseline, delta=0.02)).word is Word.EQUIVALENT
    v = judged(contrast({**arm, 0: math.inf}, baseline, delta=0.02))
    assert v.word is Word.INCONCLUSIVE
    said = sentence(v, "x", "y")
    assert "diverged 1 of 10 against 0 of 10" in said and "given convergence" in said and "medians" in said


def test_an_arm_that_always_diverges_worsens() -> None:
    baseline = {s: 1.3 + 0.01 * s for s in range(10)}
    v = judged(contrast(dict.fromkeys(baseline, math.inf), baseline, delta=0.02))
    assert v.word is Word.WORSENS
    assert "medians ∞ nats and 1.3450 nats" in sentence(v, "x", "y")


def test_a_sentence_gives_effect_interval_p_seeds_and_failures() -> None:
    c = differing(-0.05, 0.02)
    said = sentence(verdict(c, 0.004), "lstm", "rnn")
    assert said == (
        "▲ IMPROVES — lstm against rnn: −0.0500 nats, 95 % CI [−0.0643, −0.0357] over seeds, given this "
        "validation set; Holm p .004; better on 10 of 10 seeds; no failures."
    )  # half width t(.975, 9)·.02/√10 = .0143


def test_an_inconclusive_sentence_says_what_would_decide() -> None:
    c = differing(0.01, 0.05)
    said = sentence(judged(c), "x", "y")
    assert said.startswith("? INCONCLUSIVE — x against y: +0.0100 nats")
    # statsmodels' TTestPower: .9960 SD have power .8 at 10 pairs; .02/.05 SD need 52
    assert said.endswith("10 seeds detect 0.0498 nats with 80 % power; 52 would detect 0.02 nats.")
    assert "; 1\u202f968 would detect 0.02 nats." in sentence(judged(differing(0.01, 0.3165)), "x", "y")


def test_an_equivalence_names_its_zone_and_its_90_percent_interval() -> None:
    said = sentence(judged(differing(0.0, 0.01)), "x", "y")
    assert "within ±0.02 nats (TOST, Holm p <.001, 90 % CI [−0.0058, +0.0058])" in said


def test_no_sentence_calls_a_large_p_sameness() -> None:
    said = sentence(judged(differing(0.0, 0.2)), "x", "y")
    assert not re.search(r"equal|same|equivalent|no difference", said, re.IGNORECASE)


def test_few_seeds_make_a_claim_provisional() -> None:
    assert judged(differing(-0.05, 0.01, n=9)).provisional
    assert not judged(differing(-0.05, 0.01, n=10)).provisional
    assert "provisional under 10 seeds" in sentence(judged(differing(-0.05, 0.01, n=9)), "x", "y")


def test_a_sentence_names_seeds_without_a_partner() -> None:
    baseline = {s: 1.3 + 0.01 * s for s in range(6)}
    arm = {s: 1.2 + 0.011 * s for s in (0, 1, 2, 3, 5)}
    said = sentence(judged(contrast(arm, baseline, delta=0.02)), "x", "y", correction="Benjamini–Hochberg")
    assert "without a partner: seed 4" in said and "Benjamini–Hochberg p <.001" in said


def test_a_contrast_of_nothing_has_a_sentence() -> None:
    said = sentence(judged(contrast({0: 1.0}, {1: 1.0}, delta=0.02)), "x", "y", unit="")
    assert said.startswith("? INCONCLUSIVE — x against y: no seed in common; Holm p 1;")


def test_equivalences_are_corrected_as_a_family_of_their_own() -> None:
    zero, near = dict.fromkeys(range(10), 0.0), {s: 0.01 * x for s, x in enumerate(SPREAD)}
    alone = verdicts({0: (near, zero)}, delta=0.006)[0]
    assert 0.01 < alone.p_equivalent <= 0.05 and alone.word is Word.EQUIVALENT
    for v in verdicts(dict.fromkeys(range(5), (near, zero)), delta=0.006).values():
        assert v.p_equivalent == pytest.approx(5 * alone.p_equivalent)
        assert v.word is Word.INCONCLUSIVE


def test_the_self_check_is_judged_at_one_in_a_hundred() -> None:
    c = differing(0.01, 0.012)
    assert 0.01 < c.p < 0.05 and self_check(c).startswith("A/A check passed on 10 seeds")
    assert self_check(differing(0.02, 0.012)).startswith("A/A check failed on 10 seeds")
    assert "undecided on 4 seeds" in self_check(differing(0.5, 0.001, n=4))
