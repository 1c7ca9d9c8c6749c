"""A study's verdicts, computed a second time by other code than that of `reports`."""

import math
import re
from collections.abc import Callable
from html import unescape
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.recompute import NUMBERS, recompute
from unrolled import shipped
from unrolled.ablations.study import loading
from unrolled.ablations.tables import study_tables
from unrolled.reports.page.exports import format_comparison_csv
from unrolled.reports.page.render import render
from unrolled.reports.words.answer import write_answer

NUMBER = r"[+−]?\d+(?:\.\d+)?"
ENDS = rf"{NUMBER} % CI \[(?P<low>{NUMBER}), (?P<high>{NUMBER})\]"
ROW = re.compile(
    rf"(?P<before>{NUMBER}) → (?P<after>{NUMBER})(?: %| nats)? (?P<size>{NUMBER}) "
    rf"(?P<unit>points|nats|%) (?P<way>higher|lower) {ENDS} (?P<wins>\d+) of (?P<pairs>\d+)"
)
SENTENCE = re.compile(
    rf"(?P<way>gains|loses|saves|costs) (?P<size>{NUMBER}) (?P<unit>points|nats|%)"
    rf"(?: (?:over|against) .*)?, {ENDS}"
)
UNITS: dict[str, tuple[str, Callable[[float], float], Callable[[float], float]]] = {
    "points": ("valid_accuracy", lambda x: 100 * x, lambda x: 100 * x),
    "nats": ("valid_loss", float, float),
    "%": ("valid_loss", math.exp, lambda x: 100 * math.expm1(x)),
}
"""By the unit of a difference its metric, and how the page reads levels and differences."""


@pytest.mark.parametrize("study", ["order", "gru"])
def test_comparison_csv_is_recomputed_by_pandas_and_scipy(study: str) -> None:
    table = shipped(study)
    design = loading.load_study(study).file
    table_of_page = pd.read_csv(
        StringIO(format_comparison_csv(study_tables.compare_study_table(table)))
    ).set_index("arm")
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


def is_rounded(shown: str, number: float) -> bool:
    """Return True if a number of a page is this one, rounded to the digits that are shown."""
    digits = len(shown.partition(".")[2])
    return abs(float(shown.replace("−", "-")) - number) <= 0.5001 * 10**-digits


def read_first_screen(page: Path, arms: list[str]) -> list[tuple[str, re.Match[str]]]:
    """Return each row with an interval of the page's figures, and each sentence with one, with its arm."""
    html = page.read_text("utf-8").partition('id="numbers"')[0]
    rows = re.findall(r'(?s)<tr data-arm="(\d+)"[^>]*>(.*?)</tr>', html)
    texts = [(arms[int(index)], ROW, row) for index, row in rows]
    sentences = re.findall(r"<li data-claim><b>(.*?)</b>(.*?)</li>", html)
    texts += [(unescape(arm), SENTENCE, sentence) for arm, sentence in sentences]
    matches = [
        (arm, pattern.search(" ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())))
        for arm, pattern, text in texts
    ]
    return [(arm, match) for arm, match in matches if match and not arm.startswith("A/A")]


@pytest.mark.parametrize("study", ["order", "toggles"])
def test_a_page_has_the_numbers_of_its_table_of_trials(study: str, tmp_path: Path) -> None:
    table = shipped(study)
    file = loading.load_study(study).file
    metrics = [(m.name, m.delta, m.name.endswith("loss")) for m in file.metrics]
    recomputed = recompute(table, tuple(file.looks), metrics)
    comparison = study_tables.compare_study_table(table)
    parts = read_first_screen(render(comparison, tmp_path), [row.name for row in comparison.arms])
    for arm, match in parts:
        shown = match.groupdict()
        metric, read_level, read_difference = UNITS[shown["unit"]]
        expected = recomputed[metric][arm]
        delta, *ends = (
            read_difference(expected[name]) for name in ("difference", "difference_low", "difference_high")
        )
        low, high = ends if match.re is ROW else sorted(map(abs, ends))
        assert is_rounded(shown["size"], abs(delta)), match[0]
        assert is_rounded(shown["low"], low) and is_rounded(shown["high"], high), match[0]
        assert (shown["way"] in ("higher", "gains", "costs")) == (delta > 0), match[0]
        if match.re is ROW:
            assert is_rounded(shown["before"], read_level(expected["baseline_mean"])), match[0]
            assert is_rounded(shown["after"], read_level(expected["arm_mean"])), match[0]
            assert int(shown["pairs"]) == expected["pairs"]
    in_rows, in_sentences = ({arm for arm, match in parts if match.re is form} for form in (ROW, SENTENCE))
    assert in_rows == set(recomputed["valid_accuracy"])
    assert len(in_sentences) > 4


def test_the_order_on_two_tasks_agrees_with_the_verdicts() -> None:
    comparison = study_tables.compare_study_table(shipped("split"))
    arms = {arm.name: arm for arm in comparison.arms}
    gru = [arm for name, arm in arms.items() if name.endswith("nn.GRU")]
    assert [arm.verdict.direction for arm in gru] == ["better", "better"], "over LMModel6, on both tasks"
    unclear = "".join(line for line in write_answer(comparison) if "is not shown on every task" in line)
    assert "nn.GRU" not in unclear
