"""Lines on a terminal of eighty columns."""

import io
from contextlib import redirect_stdout

import pytest

from unrolled.ablations.terminal import print_line, print_rows

COLUMNS = 80


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def set_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))


def test_a_long_line_is_wrapped_between_words() -> None:
    words = [f"word{number}" for number in range(40)]
    terminal = Terminal()
    print_line(" ".join(words), terminal)
    lines = terminal.getvalue().splitlines()
    assert len(lines) > 1 and max(map(len, lines)) <= COLUMNS
    assert " ".join(lines).split() == words


def test_the_last_column_is_wrapped_where_it_begins() -> None:
    with redirect_stdout(Terminal()) as terminal:
        print_rows([("study", "question"), ("detach", "Should we? " * 12)])
    lines = terminal.getvalue().splitlines()
    assert max(map(len, lines)) <= COLUMNS
    start = lines[0].index("question")
    assert len(lines) > 2 and all(line[:start].strip() in ("detach", "") for line in lines[1:])
    assert not any(line[start].isspace() for line in lines[1:])


def test_a_line_that_is_piped_is_one_line_without_control_characters(capsys) -> None:
    print_line("a\x1b[2J" + 100 * " b")
    (line,) = capsys.readouterr().out.splitlines()
    assert "\x1b" not in line
