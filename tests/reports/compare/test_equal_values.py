"""What equal values of two arms show: that they computed the same, ties, or nothing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.helpers.arms import make_arm, set_metrics
from tests.helpers.designs import BOTH, LOOKS, compare, compare_table, design_arms
from tests.helpers.study_rules import change_rules
from unrolled.bench.metric import Metric
from unrolled.reports.foreign.columns import Columns
from unrolled.reports.statistics.pairs import JudgedScale, compare_pairs

COLUMNS = Columns(("arm",), ("seed",), (Metric("accuracy", 0.01),))


def make_table(accuracy: np.ndarray, **losses: np.ndarray) -> pd.DataFrame:
    """Return rows of two arms with the same accuracies by seed."""
    rows = {"seed": np.arange(len(accuracy)), "accuracy": accuracy}
    return pd.concat([pd.DataFrame({"arm": name, **rows, **losses}) for name in "ab"])


def judge_kind(frame: pd.DataFrame, *metrics: Metric) -> str:
    """Return the kind of verdict on a table by accuracy and these metrics."""
    columns = replace(COLUMNS, metrics=(*COLUMNS.metrics, *metrics))
    return compare_table(frame, columns).arms[1].verdict.kind


@pytest.mark.parametrize("n", [5, 10, 298, 299])  # .99 to the 298th is .05004
def test_equal_accuracies_of_a_few_items_are_no_equality(n: int) -> None:
    items = np.random.default_rng(0).binomial(25, 0.9, n) / 25
    assert judge_kind(make_table(items)) == ("same" if n > 298 else "open")


@pytest.mark.parametrize(("value", "p"), [(0.0, 1.0), (0.5, 0.99**299), (1.0, 0.99**299), (50.0, 1.0)])
def test_a_delta_of_points_tells_per_cents_from_a_share(value: float, p: float) -> None:
    equal = dict.fromkeys(range(299), value)
    share = Metric("error_rate", 0.01)
    points = Metric("error_rate", 1.0)
    contrasts = [
        compare_pairs(equal, equal, JudgedScale(0.01, highest=metric.highest)) for metric in (share, points)
    ]
    assert [c.equivalence_p for c in contrasts] == pytest.approx([p, 0.9999**299 if value else 1.0])


def test_equal_fine_numbers_are_of_one_computation() -> None:
    items = np.random.default_rng(0).binomial(25, 0.9, 10) / 25
    fine = 1.3 + np.random.default_rng(1).random(10)
    loss = Metric("loss", 0.1)
    assert judge_kind(make_table(items, loss=fine), loss) == "same"
    assert judge_kind(make_table(items, loss=fine.round(2)), Metric("loss", 0.001)) == "open", (
        "δ moves a tenth of a step"
    )
    assert judge_kind(make_table(items, loss=np.repeat(fine[:5], 2)), loss) == "open", "seeds share it"
    clock = Metric("seconds", 0.1)
    assert judge_kind(make_table(items, seconds=fine), clock) == "open", (
        "a clock is no number that is computed"
    )


@pytest.mark.parametrize("same_weights", [True, False])
def test_equal_numbers_of_a_study_are_the_same_where_their_fingerprints_are(same_weights: bool) -> None:
    base = make_arm("base", 0.0, seeds=40)
    results = {
        seed: replace(r, fingerprints=r.fingerprints if same_weights else {"weights": f"other {seed}"})
        for seed, r in base.results.items()
    }
    twin = replace(base, name="twin", model="lm7", changes={"model": "lm7"}, results=results)
    arm = compare(design_arms((base, twin), metrics=BOTH, **LOOKS)).arms[1]
    assert (arm.verdict.kind, arm.contrast.pair_count) == (("same", 10) if same_weights else ("open", 40))
    assert arm.contrast.is_all_tied


@pytest.mark.parametrize(("items", "kind"), [(25, "open"), (10_000, "same")])
def test_equal_scores_are_the_same_only_where_fine(items: int, kind: str) -> None:
    """Of a program nothing else is known: it may have got other items right."""
    scores = dict(enumerate(np.random.default_rng(0).binomial(items, 0.8, 40) / items))
    base = set_metrics(make_arm("base", 0.0, seeds=40), accuracy=scores)
    programs = [
        replace(side, results={s: replace(r, fingerprints={"numbers": "x"}) for s, r in side.results.items()})
        for side in (base, replace(base, name="head", changes={"lr": 0.1}))
    ]
    design = design_arms((*programs,), metrics=(Metric("accuracy", 0.01),), **LOOKS)
    assert compare(design).arms[1].verdict.kind == kind
    gate = compare(change_rules(design, stopping_rule="gate")).gate
    assert gate is not None
    assert gate.has_passed is (kind == "same")


def test_equal_means_of_coarse_shares_are_no_equality() -> None:
    """A balanced accuracy of 15 + 35 items: worse by δ = .003 passed a gate in .21."""
    rng = np.random.default_rng(0)
    score = Metric("balanced_accuracy", 0.003)
    values = (rng.binomial(15, 0.8, 10) / 15 + rng.binomial(35, 0.8, 10) / 35) / 2
    frame = pd.concat(
        [pd.DataFrame({"arm": a, "seed": range(10), "balanced_accuracy": values}) for a in "ab"]
    )
    assert compare_table(frame, replace(COLUMNS, metrics=(score,))).arms[1].verdict.kind == "open"


def test_shares_that_were_printed_with_fewer_digits_are_ties() -> None:
    items = np.random.default_rng(0).integers(20, 30, 10) / 30
    frame = make_table(items)
    frame.loc[frame.arm == "b", "accuracy"] = items.round(4)
    assert compare_table(frame, COLUMNS).arms[1].contrast.is_all_tied


def test_losses_that_differ_by_rounding_are_the_same() -> None:
    rng = np.random.default_rng(1)
    losses = 2.5 + 0.1 * rng.standard_normal(10)
    rounded_losses = losses * (1 + 1e-7 * rng.standard_normal(10))
    rows = [
        pd.DataFrame({"arm": a, "seed": range(10), "loss": x})
        for a, x in (("a", losses), ("b", rounded_losses))
    ]
    comparison = compare_table(pd.concat(rows), replace(COLUMNS, metrics=(Metric("loss", 0.02),)))
    assert comparison.arms[1].verdict.kind == "same"


@pytest.mark.parametrize(("n", "text"), [(10, "worse, size not settled"), (600, "worse by less than δ")])
def test_equal_differences_show_a_size_only_where_they_are_many(n, text) -> None:
    """One item of fifty, won in .95 of seeds, is a gain of .018: ten equal ones were called more in .56."""
    scores = np.random.default_rng(0).integers(20, 30, n) / 50
    frame = make_table(scores)
    frame.loc[frame.arm == "b", "accuracy"] -= 0.02
    columns = replace(COLUMNS, metrics=(Metric("accuracy", 0.03),))
    assert compare_table(frame, columns).arms[1].verdict.text == text


@pytest.mark.parametrize("single", [False, True])
def test_ties_are_ties_where_one_side_was_stored_in_single_precision(single: bool) -> None:
    scores = np.random.default_rng(0).integers(1, 10, 10) / 10
    frame = make_table(scores)
    if single:
        frame.loc[frame.arm == "b", "accuracy"] = scores.astype(np.float32).astype(float)
    contrast = compare_table(frame, COLUMNS).arms[1].contrast
    assert contrast.is_all_tied
    assert contrast.equivalence_p > 0.05


def test_values_with_fewer_decimals_are_ties_only_within_half_a_unit() -> None:
    """One decimal beside two hid that all of ten pairs were worse by .06 to .10, with a δ of .06."""
    seeds = range(10)
    coarse = {seed: 0.5 + 0.1 * (seed % 3) for seed in seeds}
    lower = {seed: coarse[seed] - 0.06 - 0.01 * (seed % 4) for seed in seeds}
    rounded = {seed: coarse[seed] + 0.04 * (-1) ** seed for seed in seeds}
    scale = JudgedScale(0.06, lower_is_better=False, highest=1.0)
    assert not compare_pairs(lower, coarse, scale).is_all_tied
    assert compare_pairs(lower, coarse, scale).worse_count == 10
    ties = compare_pairs(rounded, coarse, scale)
    assert ties.is_all_tied and not ties.better_count and not ties.worse_count
