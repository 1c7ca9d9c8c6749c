"""docs/chapter12.ipynb: every question is answered, and every answer is what its cell measures."""

import re
import subprocess
import sys
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from nbconvert.exporters import HTMLExporter
from nbconvert.preprocessors import TagRemovePreprocessor

NOTEBOOK = Path(__file__).parents[1] / "docs" / "chapter12.ipynb"
TEMPLATE = NOTEBOOK.with_suffix(".html.j2")
QUESTIONS = [*map(str, range(1, 40)), "R1", "R2", "R3", "R4", "B1", "B2"]
HIDDEN = "remove-cell"
"""The tag of the cells that only tests need: `make chapter` leaves them out of the page."""
HEADING = re.compile(r"^## (\w+)\. ", re.MULTILINE)
ANSWER = re.compile(r"^\*\*Answer (\w+)\. (.*?)\*\*$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`]*`")
NUMBER = re.compile(r"(?<![\w.])[-−]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-−]?\d+)?")
ELSEWHERE = 0.2
"""How far another processor may lead from a number that an answer calls "about", as a share of it."""


@dataclass(frozen=True)
class Answer:
    """An answer's text, and what its hidden cell printed, or the error that it ended with."""

    name: str
    text: str
    printed: str

    def list_stated_numbers(self) -> list[str]:
        """The numbers of the text, in its order; those in code are none."""
        return [
            number.replace("−", "-").replace(",", "") for number in NUMBER.findall(CODE.sub("", self.text))
        ]

    def list_errors(self, elsewhere: float = 0.0) -> list[str]:
        """The numbers of the text that were not measured, to the digits that it states."""
        head, _, numbers = self.printed.partition(":")
        if head != f"answer {self.name}":
            return [self.printed or "printed nothing"]
        stated = self.list_stated_numbers()
        measured = numbers.split()
        if len(stated) != len(measured):
            return [f"states {', '.join(stated)}, and its cell {', '.join(measured)}"]
        return [
            f"states {claim}, and its cell {value}"
            for claim, value in zip(stated, measured, strict=True)
            if not abs(float(claim) - float(value)) <= max(half_a_digit(claim), elsewhere * abs(float(claim)))
        ]


def half_a_digit(number: str) -> float:
    digits, _, exponent = number.partition("e")
    return 0.5000001 * 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))


def is_hidden(cell: nbformat.NotebookNode) -> bool:
    return HIDDEN in cell.metadata.get("tags", [])


def read_answers(notebook: nbformat.NotebookNode) -> dict[str, Answer]:
    """The bold sentence of each section, with the text between its evidence and its hidden cell."""
    answers_by_name: dict[str, Answer] = {}
    for above, cell in pairwise(notebook.cells):
        if match := ANSWER.search(above.source):
            name, sentence = match.groups()
        if is_hidden(cell):
            assert name not in answers_by_name, name
            below = above.source if above.cell_type == "markdown" else ""
            outputs = [o.get("text") or f"{o.get('ename')}: {o.get('evalue')}" for o in cell.outputs]
            answers_by_name[name] = Answer(name, f"{sentence}\n\n{below}", "".join(outputs).strip())
    return answers_by_name


WRITTEN = nbformat.read(NOTEBOOK, as_version=4)
ANSWERS = read_answers(WRITTEN)


@pytest.fixture(scope="module")
def executed_answers(tmp_path_factory) -> dict[str, Answer]:
    """The answers of the notebook as a clean kernel executes it."""
    folder = tmp_path_factory.mktemp("notebook")
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--allow-errors"]
    done = subprocess.run([*command, "--output-dir", folder, NOTEBOOK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return read_answers(nbformat.read(folder / NOTEBOOK.name, as_version=4))


def test_every_question_of_the_book_is_answered_in_its_order() -> None:
    assert list(ANSWERS) == QUESTIONS


def test_a_bold_sentence_below_the_heading_answers_the_question() -> None:
    cells = [cell.source for cell in WRITTEN.cells if HEADING.search(cell.source)]
    for pattern in (HEADING, ANSWER):
        assert [match and match[1] for match in map(pattern.search, cells)] == QUESTIONS


def test_an_assert_stands_below_every_answer() -> None:
    hidden = [cell.source for cell in WRITTEN.cells if is_hidden(cell)]
    assert len(hidden) == len(ANSWERS)
    assert [code for code in hidden if "assert " not in code] == []


def test_the_page_links_all_headings_and_lacks_cells_for_tests() -> None:
    hide = TagRemovePreprocessor(remove_cell_tags={HIDDEN}, enabled=True)
    page, _ = HTMLExporter(template_file=str(TEMPLATE), preprocessors=[hide]).from_notebook_node(WRITTEN)
    assert "answer 1:" not in page and "<script" not in page
    contents = WRITTEN.cells[1].source
    _title, _contents, _how_to_read, *headings = re.findall(r'<h[12] id="([^"]*)"', page)
    assert re.findall(r"\]\(#(.*)\)$", contents, re.MULTILINE) == headings


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_states_the_numbers_that_stand_below_it(name: str) -> None:
    assert ANSWERS[name].list_errors() == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_holds_where_it_is_measured_again(name: str, executed_answers: dict[str, Answer]) -> None:
    assert executed_answers[name].list_errors(ELSEWHERE if "about" in ANSWERS[name].text else 0.0) == []


@pytest.mark.parametrize("name", [name for name, answer in ANSWERS.items() if answer.list_stated_numbers()])
def test_another_number_in_an_answer_is_noticed(name: str) -> None:
    text = CODE.sub("", ANSWERS[name].text)
    for number in NUMBER.finditer(text):
        last = number.end() - 1
        changed = f"{text[:last]}{(int(text[last]) + 1) % 10}{text[last + 1 :]}"
        assert replace(ANSWERS[name], text=changed).list_errors(), number[0]


def test_the_notebook_is_read_in_half_an_hour_and_github_shows_it() -> None:
    prose = " ".join(cell.source for cell in WRITTEN.cells if cell.cell_type == "markdown")
    assert len(prose.split()) <= 8000
    assert NOTEBOOK.stat().st_size < 1_500_000
    code = [cell for cell in WRITTEN.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)], "executed once, in order"
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
