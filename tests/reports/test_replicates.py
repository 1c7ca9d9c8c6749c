"""Equal numbers: of arms that computed the same, or by chance."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from synthetic import BOTH, LOOKS, arm, compare, compare_table, study

from unrolled.bench.metric import Metric
from unrolled.reports.elsewhere import Columns

COLUMNS = Columns(("arm",), ("seed",), (Metric("accuracy", 0.01),))


def table(accuracy: np.ndarray, **losses: np.ndarray) -> pd.DataFrame:
    """Rows of two arms with the same accuracies by seed."""
    rows = {"seed": np.arange(len(accuracy)), "accuracy": accuracy}
    return pd.concat([pd.DataFrame({"arm": name, **rows, **losses}) for name in "ab"])


def kind(frame: pd.DataFrame, *metrics: Metric) -> str:
    columns = replace(COLUMNS, metrics=(*COLUMNS.metrics, *metrics))
    return compare_table(frame, columns).rows[1].verdict.kind


@pytest.mark.parametrize("n", [5, 10, 298, 299])  # .99 to the 298th is .05004
def test_equal_accuracies_of_a_few_items_are_no_equality(n: int) -> None:
    items = np.random.default_rng(0).binomial(25, 0.9, n) / 25
    assert kind(table(items)) == ("same" if n > 298 else "open")


def test_five_equal_zeros_show_nothing_and_percents_have_another_end() -> None:
    assert kind(table(np.zeros(5))) == kind(table(np.full(299, 71.0))) == "open"


def test_equal_numbers_that_tell_ten_seeds_apart_are_of_arms_that_computed_the_same() -> None:
    items = np.random.default_rng(0).binomial(25, 0.9, 10) / 25
    fine = 1.3 + np.random.default_rng(1).random(10)
    loss = Metric("loss", 0.1)
    assert kind(table(items, loss=fine), loss) == "same"
    assert kind(table(items[:9], loss=fine[:9]), loss) == "open"
    assert kind(table(items, loss=fine.round(1)), loss) == "open", "it is the same for several seeds"
    clock = Metric("seconds", 0.1)
    assert kind(table(items, seconds=fine), clock) == "open", "a clock is no number that is computed"


@pytest.mark.parametrize("same_weights", [True, False])
def test_equal_numbers_of_a_study_are_the_same_where_their_fingerprints_are(same_weights: bool) -> None:
    base = arm("base", 0.0, seeds=40)
    twin = {
        seed: replace(r, fingerprints=r.fingerprints if same_weights else {"weights": f"other {seed}"})
        for seed, r in base.results.items()
    }
    twin = replace(base, name="twin", model="lm7", changes={"model": "lm7"}, results=twin)
    row = compare(study((base, twin), metrics=BOTH, **LOOKS)).rows[1]
    assert (row.verdict.kind, row.contrast.pairs) == (("same", 10) if same_weights else ("open", 40))
    assert row.contrast.tied
