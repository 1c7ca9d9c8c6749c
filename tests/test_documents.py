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
    arm = next(arm for arm in models.arms if arm.name == "LMModel7")
    k = arm.contrast
    assert k is not None and arm.interval is not None and arm.summary.interval is not None
    assert k.arm_mean is not None and k.base_mean is not None and k.estimate is not None
    low, high = (f"{100 * end:.0f}" for end in (arm.interval.low, arm.interval.high))
    first, last = (f"{100 * end:.1f}" for end in (arm.summary.interval.low, arm.summary.interval.high))
    ordinal = ("first", "second", "third")[models.design.rules.looks.index(k.pair_count)]
    quotes = {
        "README.md": [
            f"LMModel7 predicts {100 * k.arm_mean:.0f} % of the words and LMModel6 "
            f"{100 * k.base_mean:.0f} %, over {k.pair_count} seeds",
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
            f"{k.pair_count} decided {k.arm_mean:.4f} ± {arm.summary.sd:.4f} {k.estimate:+.4f} "
            f"[{arm.interval.low:+.4f}, {arm.interval.high:+.4f}] {arm.interval.percent}"
        ],
    }
    missing = [
        (name, quote)
        for name, of_name in quotes.items()
        for quote in of_name
        if quote not in read_document(name)
    ]
    assert missing == []
