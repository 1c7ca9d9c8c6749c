"""Equal numbers: of arms that computed the same, of an arm that ignores its seed, or by chance."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from tests.helpers.arms import make_arm, make_counting_arm, set_metrics
from tests.helpers.designs import BOTH, LOOKS, compare, compare_table, design_arms
from unrolled.ablations.training.terminal_table import print_arms
from unrolled.bench.metric import Metric
from unrolled.reports.foreign.columns import Columns
from unrolled.reports.foreign.row_means import find_one_run_arms
from unrolled.reports.page.exports import write_comparison_csv, write_screen
from unrolled.reports.words.page_warnings import list_warnings
from unrolled.reports.words.table_notes import list_notes

COLUMNS = Columns(("arm",), ("seed",), (Metric("accuracy", 0.01),))


def test_a_perfect_error_rate_is_no_copy_and_the_worst_one_is() -> None:
    metric = Metric("error_rate", 0.01)
    rates = np.random.default_rng(0).random(10)
    for value, is_copy in ((0.0, False), (1.0, True)):
        frame = pd.concat(
            [
                pd.DataFrame({"arm": a, "seed": range(10), "error_rate": x})
                for a, x in (("a", rates), ("b", value))
            ]
        )
        assert compare_table(frame, replace(COLUMNS, metrics=(metric,))).arms[1].is_one_run is is_copy


@pytest.mark.parametrize("baseline", ["a", "b"])
@pytest.mark.parametrize("pair", [("seed",), ()])
def test_an_arm_that_ignores_its_seed_shows_no_difference(baseline: str, pair: tuple) -> None:
    columns = replace(LOSS, pair=pair, baseline=baseline)
    runs = pd.DataFrame({"arm": "a", "seed": range(10), "loss": DRAWN})
    comparison = compare_table(pd.concat([runs, runs.assign(arm="b", loss=0.5)]), columns)
    arm = comparison.arms[1]
    assert (arm.verdict.kind, arm.contrast.pair_count, arm.contrast.lost_count) == ("open", 1, 9)
    assert "one run" in arm.state.halt_reason
    assert [r.name for r in comparison.arms if r.is_one_run] == ["b"]
    assert "one run" in write_screen(comparison)
    assert any("one run" in text for text in list_warnings(comparison))


# one run, copied for every seed

DRAWN = 1.0 + 0.1 * np.random.default_rng(2).standard_normal(10)
LOSS = Columns(("arm",), ("seed",), (Metric("loss", 0.01),))


def test_an_arm_declared_without_seed_is_one_value() -> None:
    base = make_arm("base", 0.0, 0.1)
    stuck = set_metrics(make_counting_arm("counts", 0.0), valid_loss=0.5)
    arm = compare(design_arms((base, replace(stuck, against="base")))).arms[1]
    losses = np.array([result.metrics["valid_loss"] for result in base.results.values()])
    assert arm.verdict.kind == "better"
    assert arm.contrast.pair_count == 10
    assert not arm.is_one_run
    assert arm.contrast.p >= 0.99 * stats.ttest_1samp(0.5 - losses, 0).pvalue
    assert (arm.done_count, arm.describe_seeds_of_mean(), arm.summary.mean, arm.summary.sd) == (
        10,
        "10 alike",
        0.5,
        None,
    )
    undeclared = compare(design_arms((base, replace(stuck, against="base", uses_seed=True)))).arms[1]
    assert undeclared.is_one_run
    assert undeclared.verdict.kind == "open"


def test_an_arm_that_another_number_tells_apart_is_no_copy() -> None:
    accuracy = Metric("accuracy", 0.01)
    rows = pd.DataFrame({"arm": "a", "seed": range(10), "loss": DRAWN, "accuracy": 0.7 + 0.1 * DRAWN})
    solved = rows.assign(arm="b", accuracy=1.0, loss=DRAWN[::-1])
    columns = replace(LOSS, metrics=(accuracy, *LOSS.metrics))
    arm = compare_table(pd.concat([rows, solved]), columns).arms[1]
    assert not arm.is_one_run
    assert arm.verdict.kind == "better"
    single = compare_table(pd.concat([rows, solved]), replace(LOSS, metrics=(accuracy,))).arms[1]
    assert not single.is_one_run and single.verdict.kind == "better", "there is no higher value than 1"
    doubts = [
        any("best possible" in text for text in list_notes(compare_table(pd.concat([rows, solved]), x)))
        for x in (columns, replace(LOSS, metrics=(accuracy,)))
    ]
    assert doubts == [False, True], "only a loss tells whether they are ten runs"
    stuck = compare_table(pd.concat([rows, solved.assign(accuracy=0.9)]), replace(LOSS, metrics=(accuracy,)))
    assert stuck.arms[1].is_one_run
    assert stuck.arms[1].verdict.kind == "open"


def test_an_arm_beside_a_constant_has_the_mean_of_all_its_seeds() -> None:
    runs = pd.DataFrame({"arm": "model", "seed": range(10), "loss": DRAWN})
    comparison = compare_table(pd.concat([runs.assign(arm="constant", loss=0.9), runs]), LOSS)
    arm = comparison.arms[1]
    assert (arm.verdict.kind, arm.summary.n, arm.contrast.pair_count) == ("open", 10, 1)
    console = Console(width=80)
    with console.capture() as table:
        print_arms(comparison, console)
    assert " 1 of 10 " in table.get().splitlines()[-1], "the row's two means are of one pair"
    low, high = stats.t.interval(0.95, 9, DRAWN.mean(), stats.sem(DRAWN))
    record = pd.read_csv(io.StringIO(write_comparison_csv(comparison))).iloc[1]
    assert [record.loss_mean, record.loss_mean_low, record.loss_mean_high] == pytest.approx(
        [DRAWN.mean(), low, high]
    )


@pytest.mark.parametrize("name", ["latency", "fit_time", "Wall-Time"])
def test_known_costs_tell_no_seeds_apart(name: str) -> None:
    cost = Metric(name, 1.0, kind="time")
    rows = pd.DataFrame({"arm": "a", "seed": range(10), "loss": DRAWN, name: DRAWN})
    stuck = rows.assign(arm="b", loss=2.0, **{name: DRAWN[::-1]})
    arm = compare_table(pd.concat([rows, stuck]), replace(LOSS, metrics=(*LOSS.metrics, cost))).arms[1]
    assert arm.is_one_run
    quality = Metric(name, 1.0, "lower", kind="quality")
    arm = compare_table(pd.concat([rows, stuck]), replace(LOSS, metrics=(*LOSS.metrics, quality))).arms[1]
    assert not arm.is_one_run, "a study may say that it is no cost"


@pytest.mark.parametrize(
    ("seeds", "marks_differ", "pairs", "kind"),
    [(40, False, 1, "open"), (40, True, 10, "worse"), (9, False, 9, "open")],
)
def test_a_study_asks_for_no_more_seeds_of_one_run(seeds, marks_differ, pairs, kind) -> None:
    """Once the first look has ended, and unless the fingerprints of its trials differ."""
    stuck = set_metrics(
        make_arm("stuck", 0.4, seeds=seeds, settings={"clip": 1.0}), valid_accuracy=0.3, valid_loss=2.0
    )
    if not marks_differ:
        results = {s: replace(r, fingerprints={"numbers": "x"}) for s, r in stuck.results.items()}
        stuck = replace(stuck, results=results)
    comparison = compare(design_arms((make_arm("base", 0.0, seeds=40), stuck), metrics=BOTH, **LOOKS))
    arm = comparison.arms[1]
    assert (arm.contrast.pair_count, arm.verdict.kind, arm.is_one_run) == (pairs, kind, pairs == 1)
    assert ("repeats seed 0" in arm.state.halt_reason) is arm.is_one_run


@pytest.mark.parametrize(
    ("copied", "fault"),
    [
        (("base",), "the base ignores the seed"),
        (("head",), "the head ignores the seed"),
        (("base", "head"), "the head and the base ignore the seed"),
        ((), ""),
    ],
)
def test_a_gate_fails_where_a_side_ignores_its_seed(copied, fault) -> None:
    """An accuracy that is stuck beside a loss that seeds change is no copy."""
    sides = []
    for name in ("base", "head"):
        losses = None if name in copied else dict(enumerate(DRAWN))
        changes = {"clip": 1.0} if name == "head" else {}
        side = set_metrics(make_arm(name, 0.0, settings=changes), accuracy=0.875, valid_accuracy=None)
        side = set_metrics(side, valid_loss=2.0) if losses is None else set_metrics(side, valid_loss=losses)
        results = {s: replace(r, fingerprints={"numbers": "x"}) for s, r in side.results.items()}
        sides.append(replace(side, results=results))
    metrics = (Metric("accuracy", 0.5),)
    gate = compare(design_arms((*sides,), metrics=metrics, stopping_rule="gate")).gate
    assert gate is not None
    assert gate.fault == fault
    assert gate.has_passed is not bool(copied)


@pytest.mark.parametrize(
    ("name", "numbers", "is_copied"),
    [
        ("elapsed", DRAWN, True),
        ("step_time/train", DRAWN, True),
        ("stamp", DRAWN, True),
        ("noisy_loss", DRAWN, False),
        ("seed", np.arange(10), True),
        ("run", 100 + 10 * np.arange(10), True),
        ("top5_loss", DRAWN, False),
        ("best_epoch", np.array([3, 4, 5, 6, 6, 7, 8, 9, 9, 9]), False),
    ],
)
def test_only_numbers_that_a_seed_decides_distinguish_runs(name, numbers, is_copied) -> None:
    """Equal trials differ in `stamp`, a clock, as much as seeds do, and in `noisy_loss` far less."""
    numbers_by_name = {"valid_loss": None, "valid_accuracy": None, name: dict(enumerate(map(float, numbers)))}
    base = set_metrics(make_arm("base", 0.0), accuracy=dict(enumerate(0.8 + 0.1 * DRAWN)), **numbers_by_name)
    stuck = set_metrics(make_arm("stuck", 0.4, settings={"clip": 1.0}), accuracy=0.875, **numbers_by_name)
    logged = [
        replace(
            side,
            results={
                seed: replace(r, fingerprints={"numbers": f"{seed}"}) for seed, r in side.results.items()
            },
        )
        for side in (base, stuck)
    ]
    design = design_arms(
        (*logged,),
        metrics=(Metric("accuracy", 0.01),),
        tolerances={"stamp": 1.0, "noisy_loss": 1e-7, "elapsed": 1e-7},
    )
    arm = compare(design).arms[1]
    assert arm.is_one_run is is_copied
    assert (arm.verdict.kind == "open") is is_copied
    perfect = replace(design, arms=(logged[0], set_metrics(logged[1], accuracy=1.0)))
    assert any("best possible" in text for text in list_warnings(compare(perfect))) is is_copied


@pytest.mark.parametrize(
    ("distance", "noise", "is_copied"), [(1e-4, 3e-5, True), (0.0, 3e-5, False), (0.1, 3e-5, False)]
)
def test_the_noise_of_equal_trials_tells_no_seeds_apart(distance, noise, is_copied):
    """Unless two trials of one seed differ as two seeds do: then each trial is a draw of its own."""
    rng = np.random.default_rng(7)
    stuck = make_arm("stuck", 0.4, settings={"clip": 1.0})
    losses = dict(enumerate(1.7 + noise * rng.standard_normal(10)))
    noisy = {
        s: replace(r, metrics={**r.metrics, "valid_loss": losses[s]}, fingerprints={"numbers": f"{s}"})
        for s, r in stuck.results.items()
    }
    varied = {"valid_loss": distance} if distance else {}
    design = design_arms(
        (make_arm("base", 0.0, 0.1), replace(stuck, results=noisy)), repetition_differences=varied
    )
    arm = compare(design).arms[1]
    assert arm.is_one_run is is_copied
    assert (arm.verdict.kind == "open") is is_copied
    unmeasured = compare(replace(design, repetition_differences=None))
    arm = unmeasured.arms[1]
    assert arm.is_one_run and arm.verdict.kind == "open", "some distance would make it one run"
    assert "may repeat seed 0" in arm.state.halt_reason
    assert any("maybe one run" in w for w in list_warnings(unmeasured))


@pytest.mark.parametrize("distance", [None, {}, {"valid_loss": 1e-4}])
def test_seeds_that_differ_as_much_as_those_of_other_arms_make_claims(distance):
    design = design_arms(
        (make_arm("base", 0.0, 0.1), make_arm("other", 0.4, 0.05, settings={"clip": 1.0})),
        repetition_differences=distance,
    )
    arm = compare(design).arms[1]
    assert not arm.is_one_run
    assert arm.verdict.makes_claim


def draw_questions(arm: str, share: float, seeds: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return rows of an arm that is right on this share of questions, of which each seed draws its own."""
    rows = [
        (arm, seed, question, float(rng.random() < share), "done")
        for seed in range(seeds)
        for question in rng.choice(1000, 20, replace=False)
    ]
    return pd.DataFrame(rows, columns=["arm", "seed", "question", "accuracy", "status"])


def test_questions_that_two_seeds_share_make_no_copied_run() -> None:
    """Of tables of 20 of 1,000 questions and five seeds, some honest arm was called one run in .48."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        table = pd.concat([draw_questions("a", 0.9, 5, rng), draw_questions("b", 0.7, 5, rng)])
        assert not find_one_run_arms(table, ["accuracy"], table.question.astype(str))
    one_run = draw_questions("c", 0.8, 1, rng)
    copied = pd.concat([one_run.assign(seed=seed) for seed in range(5)])
    table = pd.concat([draw_questions("a", 0.9, 5, rng), copied])
    assert find_one_run_arms(table, ["accuracy"], table.question.astype(str)) == ["c"]


def test_arms_that_all_ignore_their_seed_are_one_run_each() -> None:
    rng = np.random.default_rng(3)
    arms = []
    for name, loss in (("base", 1.7), ("other", 1.8)):
        losses = dict(enumerate(loss + 1e-6 * rng.standard_normal(10)))
        changes = {"clip": 1.0} if name == "other" else {}
        arms.append(
            set_metrics(make_arm(name, 0.0, settings=changes), valid_loss=losses, valid_accuracy=None)
        )
    design = design_arms(
        (*arms,), repetition_differences={"valid_loss": 1e-6}, metrics=(Metric("valid_loss", 0.05),)
    )
    comparison = compare(design)
    assert all(arm.is_one_run for arm in comparison.arms)
    assert comparison.arms[1].verdict.kind == "open"
