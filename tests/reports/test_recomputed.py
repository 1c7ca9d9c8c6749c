"""A study's verdicts, computed a second time by other code than that of `reports`."""

from io import StringIO

import pandas as pd
import pytest
from recompute import NUMBERS, recompute

from unrolled import shipped
from unrolled.ablations.study import loading
from unrolled.ablations.tables import study_tables
from unrolled.reports.tables import comparison_csv


@pytest.mark.parametrize("study", ["order", "gru"])
def test_comparison_csv_is_what_pandas_and_scipy_make_of_the_table_of_trials(study: str) -> None:
    table = shipped(study)
    design = loading.load_study(study).file
    stated = pd.read_csv(StringIO(comparison_csv(study_tables.compare_study_table(table)))).set_index("arm")
    metrics = [(m.name, m.delta, m.name.endswith("loss")) for m in design.metrics]
    again = recompute(table, tuple(design.looks), metrics)
    for metric, rows in again.items():
        found = pd.DataFrame.from_dict(rows, orient="index")
        judged = stated.loc[found.index]
        assert judged[f"{metric}_verdict"].tolist() == found.verdict.tolist()
        assert judged.pairs.tolist() == found.pairs.tolist()
        for number in NUMBERS:
            assert judged[f"{metric}_{number}"].tolist() == pytest.approx(found[number].tolist(), rel=1e-9)
    assert len(stated.verdict.dropna()) == len(again[metrics[0][0]])
