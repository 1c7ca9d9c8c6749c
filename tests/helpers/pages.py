"""What a reader sees of a page (text, pictures, each arm's row of the main figure) and of an answer."""

import html
import re
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.helpers.designs import compare
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.compare.design import Design
from unrolled.reports.words.answer import write_answer

CELLS = {"plot": "why", "num": "levels", "num effect": "effect", "num wins": "wins", "word": "verdict"}
"""The name here of a cell by its class."""


def read_arm_rows(page: Path) -> dict[str, dict[str, str]]:
    """Return the texts of each arm's cells by its name: {"tying": {"wins": "7 of 10", …}, …}."""
    markup = page.read_text(encoding="utf-8")
    figure = re.sub(r"(?s)<svg.*?</svg>", " ", markup.partition('<table class="arms')[2])
    rows = {}
    for row in re.findall(r"(?s)<tr data-arm.*?</tr>", figure.partition("</table>")[0]):
        name = read_text(row.partition("</th>")[0])
        cells = re.findall(r'(?s)<td class="([^"]*)"[^>]*>(.*?)</td>', row)
        rows[name] = {CELLS[kind]: read_text(cell) for kind, cell in cells if kind in CELLS}
    return rows


def read_text(markup: str) -> str:
    """Return what a reader sees of a piece of a page, with single spaces."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def read_page_text(page: Path) -> str:
    """Return what a reader sees, pictures apart, with single spaces."""
    bare = re.sub(r"(?s)<(style|script|svg)\b.*?</\1>", " ", page.read_text(encoding="utf-8"))
    return read_text(bare)


def parse_svgs(markup: str) -> list[ET.Element]:
    """Return the pictures of a page."""
    return [ET.fromstring(text) for text in re.findall(r"<svg.*?</svg>", markup, re.S)]


def list_labels(svg: ET.Element) -> list[str]:
    """Return the texts of a picture."""
    return [t.text or "" for t in svg.iter("text")]


def is_self_contained(page: str) -> bool:
    """Return whether a page names nothing to fetch, no inline style, and the policy that forbids both."""
    links = r"""(?:src|href)=["'](?!#|(?:(?:[\w-]+|\.\.)/)?index\.html["']|(?:comparison|trials)\.\w+["'])"""
    return "default-src &#39;none&#39;" in page and not re.search(rf"{links}|\sstyle=|url\((?!#)", page)


def write_texts(design: Design) -> list[str]:
    """Return the lines of the answer to a study."""
    return write_lines(compare(design))


def write_lines(comparison: Comparison) -> list[str]:
    """Return the lines of the answer to a comparison."""
    return [line.striptags() for line in write_answer(comparison)]
