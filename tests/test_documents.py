"""The numbers of `models` in the documents are those of the results that ship."""

from pathlib import Path

import pytest

from unrolled import shipped
from unrolled.ablations.tables.study_tables import compare_study_table
from unrolled.reports.compare.comparison import Comparison

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def models() -> Comparison:
    """Return the comparison of the arms of `models` by the table that ships."""
    return compare_study_table(shipped("models"))


def read_document(name: str) -> str:
    """Return a document's text, with single spaces."""
    return " ".join((ROOT / name).read_text("utf-8").split())


def test_documents_quote_the_results_of_models_that_ship(models: Comparison) -> None:
    row = next(row for row in models.arms if row.name == "LMModel7")
    k = row.contrast
    assert k is not None and row.interval is not None and row.summary.interval is not None
    assert k.arm_mean is not None and k.base_mean is not None and k.estimate is not None
    low, high = (f"{100 * end:.0f}" for end in (row.interval.low, row.interval.high))
    first, last = (f"{100 * end:.1f}" for end in (row.summary.interval.low, row.summary.interval.high))
    ordinal = ("first", "second", "third")[models.design.looks.index(k.pairs)]
    quotes = {
        "README.md": [
            f"LMModel7 predicts {100 * k.arm_mean:.0f} % of the words and LMModel6 "
            f"{100 * k.base_mean:.0f} %, over {k.pairs} seeds",
            f"the {100 * models.metric.delta:.0f} points that the study declared not to matter",
        ],
        "docs/glossary.md": [
            f"LMModel7 predicts {100 * k.estimate:.0f} points more of the words than LMModel6",
            f"LMModel7 was decided at its {ordinal} look",
            f"as it ships rest on {models.table.counts.sum()} of its {len(models.table)}",
            f"its interval, {low} to {high} points, lies beyond {100 * models.metric.delta:.0f}",
        ],
        "docs/mlflow.md": [f"`LMModel7 · {100 * k.arm_mean:.1f} %, 95 % CI [{first}, {last}]`"],
        "docs/trust.md": [
            f"{k.pairs} decided {k.arm_mean:.4f} ± {row.summary.sd:.4f} {k.estimate:+.4f} "
            f"[{row.interval.low:+.4f}, {row.interval.high:+.4f}] {row.interval.percent}"
        ],
    }
    missing = [
        (name, quote)
        for name, of_name in quotes.items()
        for quote in of_name
        if quote not in read_document(name)
    ]
    assert missing == []
