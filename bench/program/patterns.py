"""Numbers in lines of text, found by the regular expressions that a study writes down.

[program.patterns]
test_loss = 'step (?P<step>\\d+) .* test loss: (?P<value>\\S+)'
"""

import heapq
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from unrolled.bench.errors import BadInput, require
from unrolled.bench.table_files import Row

SIMILAR = 3  # how many lines are told of a pattern that matches none
LINE_LENGTH = 200  # characters of such a line


class Match(NamedTuple):
    """What a pattern found in a line."""

    metric: str
    text: str  # of the group `value`
    step: str  # of the group `step`; "" where there is none


class Patterns:
    """The patterns of a study by metric, and the lines most like those that matched nothing yet."""

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self._expressions = {name: compile_pattern(name, text) for name, text in patterns.items()}
        self._words = {
            name: set(re.findall(r"[A-Za-z]{2,}", _literal(text))) for name, text in patterns.items()
        }
        self._unmatched: dict[str, list[tuple[int, int, str]]] = {name: [] for name in patterns}
        self._lines = 0

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._expressions)

    def rows(self, line: str) -> Iterator[Row]:
        """Yield what the patterns find in a line: a row for each step. Text that is no number stays text."""
        rows: dict[str, dict[str, float | str]] = {}
        for match in self._matches(line):
            row = rows.setdefault(match.step, {"step": _parse_number(match.step)} if match.step else {})
            row[match.metric] = _parse_number(match.text)
        yield from rows.values()

    def rows_of(self, path: Path) -> Iterator[Row]:
        """Yield the rows of the lines of a file. Raises BadInput where it cannot be read."""
        try:
            text = path.read_text("utf-8", errors="replace")
        except OSError as error:
            raise BadInput(
                f"cannot be read ({error.strerror})", place=path, cure="make it readable"
            ) from error
        for line in text.splitlines():
            yield from self.rows(line)

    def _matches(self, line: str) -> Iterator[Match]:
        """Yield what each pattern finds in a line; of one that matches nothing remember the line."""
        self._lines += 1
        for name, expression in self._expressions.items():
            if found := expression.search(line):
                self._unmatched.pop(name, None)
                yield Match(name, found["value"], found.groupdict().get("step") or "")
            elif name in self._unmatched and line.strip():
                likeness = sum(word in line for word in self._words[name]) + bool(re.search(r"\d", line))
                heapq.heappush(self._unmatched[name], (likeness, self._lines, line.strip()[:LINE_LENGTH]))
                if len(self._unmatched[name]) > SIMILAR:
                    heapq.heappop(self._unmatched[name])

    @property
    def unmatched(self) -> dict[str, list[str]]:
        """By metric whose pattern matched no line, the lines most like it, the most similar first."""
        return {
            name: [line for likeness, _, line in sorted(lines, reverse=True) if likeness]
            for name, lines in self._unmatched.items()
        }


def compile_pattern(metric: str, text: str) -> re.Pattern[str]:
    """A pattern of [program.patterns]. Raises BadInput where it is none, and where it has no `value`."""
    key = f"patterns.{metric}"
    try:
        expression = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise BadInput(
            f"is no regular expression ({error})", key=key, cure="write it in single quotes"
        ) from error
    groups = expression.groupindex
    cure = r"name the number: 'loss (?P<value>\S+)'"
    require("value" in groups, "has no group `value`", key=key, cure=cure)
    others = groups.keys() - {"value", "step"}
    require(
        not others, f"has a group {min(others, default='')!r}", key=key, cure="name `value` and `step` alone"
    )
    return expression


def _parse_number(text: str) -> float | str:
    """The number that a text is, also one with commas between its thousands; else the text."""
    try:
        return float(text.replace(",", "").rstrip("%"))
    except ValueError:
        return text


def _literal(pattern: str) -> str:
    """The words of a pattern that stand for themselves."""
    return re.sub(r"\(\?P<\w+>|\\.|\[[^\]]*\]", " ", pattern)
