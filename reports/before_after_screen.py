"""Before and after as one screen for a terminal, and as Markdown for a pull request. Names are escaped."""

import textwrap
from collections.abc import Sequence

from bench.errors import plural
from reports.before_after import ArmChange, BeforeAfter
from reports.formats import columns, interval, markdown_cell, number, pipe_table, short
from reports.statistics.verdicts import sentence

WIDTH = 108  # columns of the screen
_ROWS, _REASONS = 7, 8  # lines of each, so that all of it stays within 24 lines
_MOST = 50  # arms, reasons and claims in a comment, which GitHub cuts at 65,536 characters
_HEADS = ("Δ [90 % interval]", "seeds", "verdict", "time ×")


def screen(found: BeforeAfter) -> str:
    """The verdict, what failed and why, in at most 24 lines."""
    said = (headline(found), f"baseline   {found.before}", f"candidate  {found.after}")
    lines = [short(line, WIDTH) for line in (*said, f"asked      {found.asked}")] + [""]
    shown = _worst_first(found)[:_ROWS]
    lines += columns([_heads(found), *(_cells(j) for j in shown)])
    if rest := len(found.arms) - len(shown):
        failed = sum(bool(j.faults) for j in _worst_first(found)[_ROWS:])
        lines.append(f"   and {rest} more, of which {failed or 'none'} failed")
    reasons = [_wrapped(f"✗ {short(name)}: {why}") for name, why in _why(found)]
    reasons += [_wrapped(f"  {note}") for note in _asides(found)]
    return "\n".join([*lines, *_fitting(reasons)]) + "\n"


def markdown(found: BeforeAfter) -> str:
    """The same for a pull request: a table, the reasons, and each claim in full."""
    ordered = _worst_first(found)
    cells = ((_code(j.name), *_cells(j)) for j in ordered[:_MOST])
    rows = [(sign, name, *map(markdown_cell, rest)) for name, sign, _, *rest in cells]
    claims = [sentence(j.verdict, j.name, "baseline", unit=found.unit) for j in ordered if j.verdict]
    parts = [
        f"### {'✅' if found.passed else '❌'} {markdown_cell(headline(found))}",
        f"{_code(found.before)} → {_code(found.after)}: {_code(found.asked)}",
        pipe_table([_heads(found), *rows]).rstrip(),
        _bullets([f"{short(name)}: {why}" for name, why in _why(found)]),
        _bullets(_asides(found)),
    ]
    if claims:
        summary = "<details><summary>The claims in full</summary>"
        parts.append(f"{summary}\n\n{_bullets(claims)}\n\n</details>")
    return "\n\n".join(filter(None, parts)) + "\n"


def _bullets(texts: Sequence[str]) -> str:
    more = [f"- and {len(texts) - _MOST} more"] if len(texts) > _MOST else []
    return "\n".join([*(f"- {_code(text)}" for text in texts[:_MOST]), *more])


def headline(found: BeforeAfter) -> str:
    """Passed or failed, and by how much."""
    if found.passed and found.noun == "benchmark":
        return f"passed: none of {_count(found)} is shown to be slower"
    if found.passed:
        same = sum(j.identical for j in found.arms)
        return f"passed: {_count(found)} no worse" + (f", {same} bit-identical" if same else "")
    if not found.failed:
        return f"FAILED: {found.faults[0]}"
    return f"FAILED: {len(found.failed)} of {_count(found)}"


def _count(found: BeforeAfter) -> str:
    return plural(len(found.arms), found.noun)


def _worst_first(found: BeforeAfter) -> list[ArmChange]:
    return sorted(found.arms, key=lambda j: not j.faults)  # a stable sort: else in declared order


def _why(found: BeforeAfter) -> list[tuple[str, str]]:
    whole = [("gate", fault) for fault in found.faults]
    return whole + [(j.name, fault) for j in _worst_first(found) for fault in j.faults]


def _asides(found: BeforeAfter) -> list[str]:
    """Remarks that do not decide the outcome."""
    return [
        *found.notes,
        *(f"{short(arm.name)}: {note}" for arm in _worst_first(found) for note in arm.notes),
    ]


def _heads(found: BeforeAfter) -> list[str]:
    return ["", found.noun, *_HEADS]


def _cells(j: ArmChange) -> tuple[str, ...]:
    """Sign, name, difference, pairs, verdict, ratio of times."""
    c = j.verdict.contrast if j.verdict else None
    delta, word = "–", "–"
    if j.identical:
        delta, word = "bit-identical", "≡ bit-identical"
    elif c and j.verdict:
        delta = number(c.mean, sign=True)
        delta += f" {interval(c.interval90, sign=True)}" if c.interval90 else ""
        word = f"{j.verdict.symbol} {j.verdict.word}"
    time = f"{number(j.speed_ratio.ratio, 3)} {interval(j.speed_ratio.interval, 3)}" if j.speed_ratio else "–"
    return "✗" if j.faults else "✓", short(j.name, 22), delta, str(c.pairs) if c else "–", word, time


def _code(text: str) -> str:
    """Text that GitHub makes no mention, link or issue of."""
    return f"<code>{markdown_cell(short(text, 400))}</code>"


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(short(line, 3 * WIDTH), WIDTH, subsequent_indent="    ", break_on_hyphens=False)


def _fitting(reasons: Sequence[Sequence[str]]) -> list[str]:
    """As many reasons as there is room for, and how many are left out."""
    lines: list[str] = []
    for i, reason in enumerate(reasons):
        room = _REASONS - (i < len(reasons) - 1)  # the last line tells of the rest
        if len(lines) + len(reason) > room:
            return ["", *lines, f"  and {len(reasons) - i} more remarks (--markdown FILE has all of them)"]
        lines += reason
    return ["", *lines] if lines else []
