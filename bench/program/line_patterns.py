"""Numbers in lines of text, found by the regular expressions of a study.

With test_loss = 'step (?P<step>\\d+) .* test loss: (?P<value>\\S+)' in [program.patterns], the line
"step 10 of 20, test loss: 0.5" is the row {"step": 10.0, "test_loss": 0.5}.
"""

import heapq
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from unrolled.bench.errors import BadInput, require
from unrolled.bench.formats.table_files import Row

SIMILAR_LINES = 3  # lines that a failure quotes if a pattern matches no line
LINE_LENGTH = 200  # characters of a quoted line
_NOT_FINITE = re.compile(r"(?<![\w.])(nan|infinity|inf)(?![\w.])", re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")


class LinePatterns:
    """The patterns of a study by metric and, for each that has matched nothing, the most similar lines."""

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self._expressions = {name: compile_pattern(name, text) for name, text in patterns.items()}
        self._words = {name: _find_literal_words(text) for name, text in patterns.items()}
        self._similar: dict[str, list[tuple[int, int, str]]] = {name: [] for name in patterns}
        self._line_count = 0

    def __bool__(self) -> bool:
        """Return True if there are any patterns."""
        return bool(self._expressions)

    def match_line(self, line: str) -> list[Row]:
        """Return the values that the patterns match in a line, a row for each step.

        A matched text that is no number stays text. A pattern of digits matches nan, inf and infinity, too. A
        pattern that has not matched yet remembers the line if it is among the SIMILAR_LINES lines that share
        most words with the pattern.
        """
        rows: dict[str, dict[str, float | str]] = {}
        self._line_count += 1
        finite_line = _NOT_FINITE.sub(lambda word: "0" * len(word[0]), line)
        for name, expression in self._expressions.items():
            if match := expression.search(line) or expression.search(finite_line):
                self._similar.pop(name, None)
                step = match.groupdict().get("step") or ""
                row = rows.setdefault(step, {"step": _number_or_text(step)} if step else {})
                row[name] = _number_or_text(line[slice(*match.span("value"))])
            elif name in self._similar and line.strip():
                likeness = sum(word in line for word in self._words[name]) + bool(re.search(r"\d", line))
                ranked = (likeness, self._line_count, line.strip()[:LINE_LENGTH])
                self._similar[name] = heapq.nlargest(SIMILAR_LINES, [*self._similar[name], ranked])
        return list(rows.values())

    def match_file(self, path: Path) -> Iterator[Row]:
        """Yield the rows of the lines of a file. Raises BadInput where it cannot be read."""
        try:
            text = path.read_text("utf-8", errors="replace")
        except OSError as error:
            rule = f"cannot be read ({error.strerror})"
            raise BadInput(rule, place=path, cure="make it readable") from error
        for line in text.splitlines():
            yield from self.match_line(line)

    @property
    def similar_lines(self) -> dict[str, list[str]]:
        """For each metric whose pattern matched no line, the most similar lines, the best first."""
        return {
            name: [line for likeness, _, line in lines if likeness] for name, lines in self._similar.items()
        }


def compile_pattern(metric: str, text: str) -> re.Pattern[str]:
    """Compile a pattern. Raises BadInput if it is no regular expression, or has no group `value`."""
    key = f"patterns.{metric}"
    try:
        expression = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        rule = f"is no regular expression ({error})"
        raise BadInput(rule, key=key, cure="write it in single quotes") from error
    groups = expression.groupindex
    cure = r"name the number: 'loss (?P<value>\S+)'"
    require("value" in groups, "has no group `value`", key=key, cure=cure)
    for group in sorted(groups.keys() - {"value", "step"}):
        raise BadInput(f"has a group {group!r}", key=key, cure="name `value` and `step` alone")
    return expression


def _number_or_text(text: str) -> float | str:
    """Return a text as a number if it is one, and else the text: "1,234.5" → 1234.5, "5%" → 5.0.

    "0,5" stays text: a comma separates thousands.
    """
    number = text.rstrip("%")
    try:
        return float(number.replace(",", "") if _THOUSANDS.fullmatch(number) else number)
    except ValueError:
        return text


def _find_literal_words(pattern: str) -> set[str]:
    """Return the words of a pattern that match literally: 'test loss: (?P<value>…)' → {"test", "loss"}."""
    return set(re.findall(r"[A-Za-z]{2,}", re.sub(r"\(\?P<\w+>|\\.|\[[^\]]*\]", " ", pattern)))
