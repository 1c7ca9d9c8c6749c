"""A gate opens for what is shown to be no worse, and for nothing else."""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from synthetic import HERE, A, B, C, D

from unrolled.bench.errors import BadInput
from unrolled.bench.metric import Metric
from unrolled.reports.before_after import BeforeAfter, ResultSet, compare_results
from unrolled.reports.before_after_arms import WAITING, seeds_to_show
from unrolled.reports.before_after_screen import WIDTH, markdown, screen
from unrolled.reports.statistics.contrasts import contrast

FAST = (10120.0, 10050.0, 9980.0, 10200.0, 10090.0)  # tokens/s
SLOW = (9400.0, 9310.0, 9250.0, 9480.0, 9390.0)
Rows = list[dict[str, Any]]


def trained(losses: Iterable[float], speeds: Iterable[float] = (), **cells: Any) -> Rows:
    """An arm: a row a seed with its loss, its speed, and cells that all of them have."""
    facts = {"machine": HERE, "settings": {}, **cells}
    rows = [{"seed": seed, "loss": loss, **facts} for seed, loss in enumerate(losses)]
    for row, speed in zip(rows, speeds, strict=False):
        row["speed_train"] = speed
    return rows


def side(name: str = "base", metric: str = "valid_loss", **arms: Rows) -> ResultSet:
    defaults = {"status": "done", "reason": "", "fingerprints": "", "numbers": {}, "speed_train": math.nan}
    rows = [{**defaults, "arm": arm, **row, metric: row["loss"]} for arm, of in arms.items() for row in of]
    return ResultSet(name=name, study="s", table=pd.DataFrame(rows))


def gate(
    before: Rows, after: Rows, metric: str = "valid_loss", delta: float = 0.02, **how: Any
) -> BeforeAfter:
    sides = side("base", metric, a=before), side("candidate", metric, a=after)
    return compare_results(*sides, Metric(metric, delta), **{"margin": 0.05, **how})


def fault(found: BeforeAfter) -> str:
    (arm,) = found.arms
    return "; ".join(arm.faults)


def noted(found: BeforeAfter) -> str:
    """The remark on speeds; "" where they are compared."""
    return next((note.removeprefix("speed not compared: ") for note in found.notes if "speed" in note), "")


@pytest.mark.parametrize(
    ("losses", "delta", "word", "passes"),
    [
        (A, 0.02, "better", True),  # −.0450 [−.05682, −.03318]
        (D, 0.02, "worse", False),
        (C, 0.01, "same", True),  # 0, 90 % interval ±.00620
        (C, 0.005, "open", False),
        (C, 0.0063, "same", True),
        (C, 0.0061, "open", False),
    ],
)
def test_an_arm_passes_when_its_interval_ends_below_delta(losses, delta, word, passes) -> None:
    found = gate(trained(B), trained(losses), delta=delta)
    assert (found.arms[0].verdict.kind, found.passed) == (word, passes)


def test_an_arm_that_passes_alone_passes_beside_fourteen_others() -> None:
    # .014 worse, standard error .0026: a difference, and alone within δ = .02; Holm over 15 leaves that open
    slightly = [b + 0.014 + 0.0069 * (-1) ** i for i, b in enumerate(B)]
    noisy = [b + 0.05 * (-1) ** i for i, b in enumerate(B)]
    arms = {"a": slightly} | {f"other {i}": noisy for i in range(14)}
    alone = gate(trained(B), trained(slightly))
    beside = judged(
        side(**{name: trained(B) for name in arms}),
        side("c", **{name: trained(x) for name, x in arms.items()}),
    )
    assert beside.arms[0].verdict.kind == "worse" and beside.arms[0].verdict.contrast.family == 15
    assert alone.passed and beside.arms[0].faults == ()


def test_an_inconclusive_arm_passes_where_only_how_much_better_it_is_is_open() -> None:
    # −.015 ± .0172 (90 %): neither significant nor within ±.02, and certainly not .02 worse
    losses = [
        b - 0.015 + step for b, step in zip(B, [-0.04, 0.04, -0.02, 0.02, -0.02, 0.02, 0, 0], strict=True)
    ]
    found = gate(trained(B), trained(losses))
    assert (found.arms[0].verdict.kind, found.passed) == ("open", True)


def test_the_interval_of_a_metric_that_rises_is_judged_the_other_way_round() -> None:
    assert gate(trained(B), trained(C), metric="valid_accuracy", delta=0.0063).passed
    assert not gate(trained(B), trained(C), metric="valid_accuracy", delta=0.0061).passed


def test_seeds_that_would_show_it_are_those_of_a_one_sided_test() -> None:
    # statsmodels TTestPower().solve_power(.5, alpha=.05, power=.8, alternative="larger"): 26.1; 1.0: 7.7
    # and with power=.8 ** (1 / 4), for the last of four arms to pass too: 43.6; a pair more by both tests
    for spread, family, seeds in ((0.04, 1, 27), (0.02, 1, 9), (0.04, 4, 45)):
        d = np.array([-1, 1, -1, 1, -1, 1]) * spread * math.sqrt(5 / 6)
        c = contrast(dict(enumerate(d)), dict.fromkeys(range(6), 0.0), delta=0.02, family=family)
        assert seeds_to_show(c) == seeds


def test_a_gate_that_stays_shut_says_how_many_seeds_it_takes() -> None:
    assert fault(gate(trained(B[:4]), trained(C[:4]))) == (
        "4 seeds in common; under 5 nothing is decided; 5 seeds would mostly show it, if nothing changed"
    )
    wide = gate(trained(B), trained([b + s for b, s in zip(B, [0.05, -0.05] * 4, strict=True)]))
    assert "47 seeds would mostly show it" in fault(wide)  # statsmodels, by t: dz = .02 / .05345, 45.5


def same_bits(values: Iterable[float], mark: str = "w") -> Rows:
    return [{**row, "fingerprints": f"{mark}{row['loss']}"} for row in trained(values)]


def changed(rows: Rows, seed: int, **cells: Any) -> Rows:
    """The arm with other cells on one seed."""
    return [{**row, **cells} if row["seed"] == seed else row for row in rows]


def test_the_same_bits_pass_on_any_number_of_seeds_and_are_called_that() -> None:
    found = gate(same_bits(B[:2]), same_bits(B[:2]))
    assert found.passed and found.arms[0].identical
    assert "1 bit-identical" in screen(found) and "≡ bit-identical" in screen(found)


def test_other_numbers_with_the_same_fingerprints_are_a_fault_and_not_bit_identical() -> None:
    def with_numbers(mark: str = "w", **numbers: str) -> Rows:
        return changed(same_bits(B, mark), 3, numbers=numbers)

    before = with_numbers(valid_loss="1.5", valid_hits="9.0")
    found = gate(before, with_numbers(valid_loss="1.25", valid_hits="9.0"))
    assert not found.arms[0].identical and fault(found).startswith(
        "the same fingerprints and other numbers, seed 3: valid_loss 1.5 in the baseline, 1.25 in the "
        "candidate: one was changed or damaged, or is measured in another way"
    )
    # what only one side measures, or another fingerprint, is no contradiction
    assert (
        gate(with_numbers(valid_loss="1.5"), with_numbers(valid_loss="1.5", valid_new="2.0"))
        .arms[0]
        .identical
    )
    assert "fingerprints" not in fault(gate(before, with_numbers("x", valid_loss="1.4")))


def test_equal_losses_of_other_weights_or_without_fingerprints_are_not_called_bit_identical() -> None:
    for few in (gate(same_bits(B[:2]), same_bits(B[:2], "x")), gate(trained(B[:2]), trained(B[:2]))):
        assert not few.arms[0].identical and not few.passed
    whole = gate(same_bits(B), same_bits(B, "x"))
    assert not whole.arms[0].identical and not whole.passed  # equal losses show nothing of others


def broken(arm: Rows, **seeds: str) -> Rows:
    """Trials by seed (s3) that diverged, or failed for another reason."""
    for name, reason in seeds.items():
        seed, status = int(name[1:]), "diverged" if reason.startswith("diverged") else "failed"
        cells = {"loss": math.nan, "status": status, "reason": reason, "fingerprints": reason}
        if seed not in [row["seed"] for row in arm]:
            arm = [*arm, {**arm[0], "seed": seed}]
        arm = changed(arm, seed, **cells)
    return arm


DIVERGED, KILLED = "diverged at step 312: loss is nan", "killed by signal 9"


@pytest.mark.parametrize(
    ("before", "after", "said", "noted"),
    [
        (trained(B), broken(trained(A), s3=DIVERGED), f"1 new failure, seed 3: {DIVERGED}", ()),
        (trained(B), broken(trained(A), s3=KILLED), f"1 new failure, seed 3: {KILLED}", ()),
        (
            trained(B[:7]),
            broken(trained(A), s7=KILLED),
            f"1 new failure, seed 7: {KILLED}",
            ("only on one side: seed 7",),
        ),
        (broken(trained(B), s3=DIVERGED), broken(trained(A), s3=DIVERGED), "", ("fails as before: seed 3",)),
        (
            broken(trained(B), s3=KILLED),
            broken(trained(A), s3=DIVERGED),
            "has no result for seed 3: run the study to its end",
            ("fails as before: seed 3",),
        ),
        (broken(trained(B), s3=DIVERGED), trained(A), "", ("no longer fails: seed 3",)),
    ],
)
def test_a_failure_shuts_the_gate_where_it_is_new_and_only_there(before, after, said, noted) -> None:
    found = gate(before, after)
    assert (fault(found), found.arms[0].notes, found.passed) == (said, noted, not said)


def test_seeds_that_diverged_on_both_sides_and_rows_that_were_left_out_are_no_evidence() -> None:
    both = {f"s{seed}": DIVERGED for seed in range(20)}
    losses = [1 + s / 100 for s in range(30)]
    worse = gate(
        broken(trained(losses), **both), broken(trained([x + 0.5 + x / 100 for x in losses]), **both)
    )
    assert not worse.passed and "worse on 10 of 10 seeds" in fault(worse)
    less = [row for row in trained(losses) if row["seed"] >= 12]
    for sides in ((trained(losses), less), (less, trained(losses))):
        assert "has no result for seed 0, 1" in fault(gate(*sides))


def test_an_arm_that_is_worse_where_it_converged_is_told_to_be_in_the_line_and_in_the_table() -> None:
    losses = [1 + s / 100 for s in range(10)]
    after = trained([*(x + 0.05 + 0.001 * (s % 3) for s, x in enumerate(losses[:9])), 0.0])
    found = gate(trained(losses), broken(after, s9=DIVERGED))
    assert "worse on 9 of 9 seeds, by +0.0510" in fault(found)
    assert "+0.0510 [+0.0" in screen(found)


def test_arms_that_diverge_in_the_same_way_on_every_seed_are_the_same() -> None:
    all_of_them = {f"s{i}": f"diverged at step {i}" for i in range(8)}
    assert gate(broken(trained(B), **all_of_them), broken(trained(B), **all_of_them)).passed


def judged(before: ResultSet, after: ResultSet) -> BeforeAfter:
    return compare_results(before, after, Metric("valid_loss", 0.02), margin=0.05)


def test_what_is_missing_on_a_side_shuts_the_gate_or_is_told() -> None:
    gone = judged(side(a=trained(B), b=trained(B)), side("c", a=trained(A)))
    assert [arm.faults for arm in gone.arms] == [(), ("is missing from the candidate",)]
    new = judged(side(a=trained(B)), side("c", a=trained(A), b=trained(B)))
    assert new.passed and "new in the candidate, not judged: b" in new.notes
    fewer = gate(trained(B), trained(A[:6]))
    assert fault(fewer) == "has no result for seed 6, 7: run the study to its end"
    first_look = replace(side(a=trained(B)), first_look=range(5))
    decided = judged(first_look, side("c", a=trained(A[:6])))
    assert decided.passed and decided.arms[0].notes == ("only on one side: seed 6, 7",)
    waiting = trained((math.nan,) * 8, status=WAITING)[6:]
    unfinished = gate(trained(B), [*trained(A[:6]), *waiting])
    assert fault(unfinished) == "has no result for seed 6, 7: run the study to its end"
    apart = gate(trained(B), [{**trained([1.2])[0], "seed": 99}])
    assert fault(apart) == "has no seed in common with the baseline"


def test_the_studys_own_baseline_is_paired_though_its_settings_name_it() -> None:
    before, after = (
        ResultSet(name=name, study="s", table=side(**{name: trained(losses)}).table, baseline=name)
        for name, losses in (("lr 0.1", B), ("lr 0.2", A))
    )
    found = judged(before, after)
    assert found.passed and [arm.name for arm in found.arms] == ["lr 0.1"]


def test_other_settings_are_told_and_another_task_is_refused() -> None:
    def arm(losses: Iterable[float], **settings: str) -> Rows:
        return trained(losses, settings=settings, task=("data", "target"))

    tuned = gate(arm(B, lr="0.1", source="x"), arm(A, lr="0.2", source="y"))
    assert tuned.passed and tuned.arms[0].notes == ("its settings changed: lr 0.1 → 0.2",)
    other = gate(arm(B, data="3a3e", target="every"), arm(A, data="beef", target="last"))
    assert "another task, so that the numbers cannot be compared: data, target changed" in fault(other)


# speed


@pytest.mark.parametrize(("margin", "passes"), [(0.05, False), (0.074, False), (0.075, True), (0.1, True)])
def test_speed_fails_where_the_whole_interval_lies_beyond_the_margin(margin: float, passes: bool) -> None:
    assert gate(trained(B[:5], FAST), trained(A[:5], SLOW), margin=margin).passed is passes
    assert gate(trained(B[:5], SLOW), trained(A[:5], FAST), margin=margin).passed


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({**HERE, "cpu": "Xeon 8481C"}, "unlike machines: cpu EPYC 9V74 / Xeon 8481C"),
        ({**HERE, "threads": "2"}, "unlike machines: threads 1 / 2"),
        ({**HERE, "device": "cuda", "gpu": "H100"}, "unlike machines: device cpu / cuda"),
        ({**HERE, "torch_build": "def"}, "unlike machines: torch build abc / def"),
        ({}, "the machine of some trials is not recorded"),
    ],
)
def test_speed_is_not_compared_across_unlike_machines_and_results_are(other, said: str) -> None:
    before, after = trained(B[:5], FAST), trained(A[:5], SLOW, machine=other)
    found = gate(before, after)
    assert found.passed and noted(found) == said and found.arms[0].verdict is not None
    assert f"speed not compared: {said}" in screen(found)
    required = gate(before, after, require_speed=True)
    assert not required.passed and "speed is required" in screen(required).splitlines()[0]


def test_only_seeds_of_like_machines_have_their_speeds_paired() -> None:
    before, after = trained(B[:5], FAST), trained(A[:5], SLOW)
    moved = changed(after, 0, machine={**HERE, "threads": "2"})
    found = gate(before, moved)
    assert noted(found) == "1 of 5 pairs, unlike machines: threads 1 / 2"
    four = gate(trained(B[1:5], FAST[1:]), trained(A[1:5], SLOW[1:]))
    assert found.arms[0].speed_ratio == four.arms[0].speed_ratio is not None
    assert not gate(before, moved, require_speed=True).passed


@pytest.mark.parametrize("metric", ["speed_train", "seconds", "memory_peak"])
def test_pairs_of_two_kinds_of_machine_are_noted_and_a_clock_that_is_judged_is_refused(metric: str) -> None:
    before, after = trained(B), trained(A, machine={**HERE, "cpu_capability": "AVX2", "threads": "2"})
    (note,) = [note for note in gate(before, after).notes if "pairs" in note]
    assert note.startswith("8 of 8 pairs compare results of two kinds of machine (threads 1 / 2): their diff")
    with pytest.raises(BadInput, match=f"{metric}: unlike machines: threads 1 / 2; train both sides"):
        gate(before, after, metric)
    told = gate(trained(B, machine={}), trained(A, machine={}), metric)  # none is recorded in a table
    assert told.arms[0].verdict is not None


def test_speed_is_not_compared_on_fewer_than_three_pairs() -> None:
    found = gate(trained(B, FAST[:2]), trained(A, SLOW[:2]))
    assert found.passed and noted(found) == "no arm has 3 seeds with a speed on both sides"
    assert noted(gate(trained(B), trained(A))) == "there is no seed with a speed on both sides"


# what is said


def hostile() -> BeforeAfter:
    names = [
        "<script>alert(1)</script>",
        "@everyone #1 | `x`",
        "nul\0\x1b[31m\u202e",
        "x" * 300,
        "$x_$ ~~*a*~~",
    ]
    names += [f"arm {i}" for i in range(40)]
    reason = "diverged `</code><img src=x>` " * 30
    before = side(**{name: trained(B, settings={"lr": "1"}) for name in names})
    after = {name: trained(D, settings={"lr": "y" * 900}) for name in names}
    after[names[0]] = broken(trained(B), s1=reason)
    long = ResultSet(name="b" * 500, study="s" * 300, table=before.table)
    return judged(long, side("<b>", **after))


def test_the_screen_has_at_most_24_lines_of_the_width_whatever_the_names_are() -> None:
    for found in (hostile(), gate(trained(B), trained(C)), gate(trained(B), trained(D))):
        lines = screen(found).splitlines()
        assert len(lines) <= 24 and max(map(len, lines)) <= WIDTH
        assert not any(c in screen(found) for c in "\0\x1b\u202e")


def test_the_markdown_holds_hostile_names_as_text() -> None:
    text = markdown(hostile())
    assert "<script" not in text and "<img" not in text and "\0" not in text and "\u202e" not in text
    (row,) = [line for line in text.splitlines() if line.startswith("| ✗ | <code>@everyone")]
    assert row.count(" | ") == 4 and "\\|" in row and "\\`x\\`" in row


def test_the_markdown_has_every_arm_reason_and_claim() -> None:
    names = [f"arm {i:02}" for i in range(60)]
    text = markdown(judged(*(side(**dict.fromkeys(names, trained(losses))) for losses in (B, D))))
    assert {text.count(name) for name in names} == {3}
