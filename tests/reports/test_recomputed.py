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
    recomputed = recompute(table, tuple(design.looks), metrics)
    for metric, rows in recomputed.items():
        expected = pd.DataFrame.from_dict(rows, orient="index")
        reported = stated.loc[expected.index]
        assert reported[f"{metric}_verdict"].tolist() == expected.verdict.tolist()
        assert reported.pairs.tolist() == expected.pairs.tolist()
        for number in NUMBERS:
            assert reported[f"{metric}_{number}"].tolist() == pytest.approx(
                expected[number].tolist(), rel=1e-9
            )
    assert len(stated.verdict.dropna()) == len(recomputed[metrics[0][0]])
