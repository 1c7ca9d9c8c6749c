"""A study's verdicts, computed a second time by other code than that of `reports`."""

from io import StringIO

import pandas as pd
import pytest
from recompute import NUMBERS, recompute

from unrolled import shipped
from unrolled.ablations.study import loading
from unrolled.ablations.tables import study_tables
from unrolled.reports.exports import comparison_csv


@pytest.mark.parametrize("study", ["order", "gru"])
def test_comparison_csv_is_what_pandas_and_scipy_make_of_the_table_of_trials(study: str) -> None:
    table = shipped(study)
    design = loading.load_study(study).file
    table_of_page = pd.read_csv(StringIO(comparison_csv(study_tables.compare_study_table(table)))).set_index(
        "arm"
    )
    metrics = [(m.name, m.delta, m.name.endswith("loss")) for m in design.metrics]
    recomputed = recompute(table, tuple(design.looks), metrics)
    for metric, rows in recomputed.items():
        expected = pd.DataFrame.from_dict(rows, orient="index")
        shown_rows = table_of_page.loc[expected.index]
        assert shown_rows[f"{metric}_verdict"].tolist() == expected.verdict.tolist()
        assert shown_rows.pairs.tolist() == expected.pairs.tolist()
        for number in NUMBERS:
            assert shown_rows[f"{metric}_{number}"].tolist() == pytest.approx(
                expected[number].tolist(), rel=1e-9
            )
    assert len(table_of_page.verdict.dropna()) == len(recomputed[metrics[0][0]])
