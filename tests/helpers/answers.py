"""The answer to a study as a reader sees it, without markup."""

from tests.helpers.synthetic_studies import compare
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.compare.design import Design
from unrolled.reports.words.answer import write_answer


def write_texts(design: Design) -> list[str]:
    """Return the lines of the answer to a study."""
    return write_lines(compare(design))


def write_lines(comparison: Comparison) -> list[str]:
    """Return the lines of the answer to a comparison."""
    return [line.striptags() for line in write_answer(comparison)]
