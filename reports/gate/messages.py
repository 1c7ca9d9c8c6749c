"""The gate's output: one screen for a terminal, and Markdown for a pull request. Names are escaped."""

import textwrap
from collections.abc import Sequence

from bench.trial import counted
from reports.formats import columns, interval, markdown_cell, number, pipe_table, short
from reports.gate.judgement import Gate, JudgedArm
from reports.statistics.verdicts import sentence

WIDTH = 108  # columns of the screen
_ROWS, _REASONS = 7, 8  # lines of each, so that all of it stays within 24 lines
_MOST = 50  # arms, reasons and claims in a comment, which GitHub cuts at 65,536 characters
_HEADS = ("Δ [90 % interval]", "seeds", "verdict", "time ×")


def screen(gate: Gate) -> str:
    """The verdict, what failed and why, in at most 24 lines."""
    said = (headline(gate), f"baseline   {gate.baseline}", f"candidate  {gate.candidate}")
    lines = [short(line, WIDTH) for line in (*said, f"asked      {_asked(gate)}")] + [""]
    shown = _worst_first(gate)[:_ROWS]
    lines += columns([_heads(gate), *(_cells(j) for j in shown)])
    if rest := len(gate.judged) - len(shown):
        failed = sum(bool(j.faults) for j in _worst_first(gate)[_ROWS:])
        lines.append(f"   and {rest} more, of which {failed or 'none'} failed")
    reasons = [_wrapped(f"✗ {short(name)}: {why}") for name, why in _why(gate)]
    reasons += [_wrapped(f"  {note}") for note in _asides(gate)]
    return "\n".join([*lines, *_fitting(reasons)]) + "\n"


def markdown(gate: Gate) -> str:
    """The same for a pull request: a table, the reasons, and each claim in full."""
    ordered = _worst_first(gate)
    cells = ((_code(j.name), *_cells(j)) for j in ordered[:_MOST])
    rows = [(sign, name, *map(markdown_cell, rest)) for name, sign, _, *rest in cells]
    claims = [sentence(j.verdict, j.name, "baseline", unit=gate.unit) for j in ordered if j.verdict]
    parts = [
        f"### {'✅' if gate.passed else '❌'} {markdown_cell(headline(gate))}",
        f"{_code(gate.baseline)} → {_code(gate.candidate)}: {_code(_asked(gate))}",
        pipe_table([_heads(gate), *rows]).rstrip(),
        _bullets([f"{short(name)}: {why}" for name, why in _why(gate)]),
        _bullets(_asides(gate)),
    ]
    if claims:
        summary = "<details><summary>The claims in full</summary>"
        parts.append(f"{summary}\n\n{_bullets(claims)}\n\n</details>")
    return "\n\n".join(filter(None, parts)) + "\n"


def _bullets(texts: Sequence[str]) -> str:
    more = [f"- and {len(texts) - _MOST} more"] if len(texts) > _MOST else []
    return "\n".join([*(f"- {_code(text)}" for text in texts[:_MOST]), *more])


def headline(gate: Gate) -> str:
    """Passed or failed, and by how much."""
    if gate.passed and not gate.title:
        return f"passed: none of {_count(gate)} is shown to be slower"
    if gate.passed:
        same = sum(j.identical for j in gate.judged)
        return f"passed: {_count(gate)} no worse" + (f", {same} bit-identical" if same else "")
    if not gate.failed:
        return f"FAILED: {gate.faults[0]}"
    return f"FAILED: {len(gate.failed)} of {_count(gate)}"


def _count(gate: Gate) -> str:
    return counted(len(gate.judged), "arm" if gate.title else "benchmark")


def _asked(gate: Gate) -> str:
    slow = f"not slower by more than {100 * gate.margin:g} %"
    if not gate.title:
        return f"{gate.study}: {slow}"
    zone = f"{gate.delta:g} {gate.unit}".rstrip()
    return f"{short(gate.study, 30)}: {gate.title} not worse by {zone} or more, {slow}"


def _worst_first(gate: Gate) -> list[JudgedArm]:
    return sorted(gate.judged, key=lambda j: not j.faults)  # a stable sort: else in declared order


def _why(gate: Gate) -> list[tuple[str, str]]:
    whole = [("gate", fault) for fault in gate.faults]
    return whole + [(j.name, fault) for j in _worst_first(gate) for fault in j.faults]


def _asides(gate: Gate) -> list[str]:
    """Remarks that do not decide the outcome."""
    unpaced = [f"speed not compared: {gate.unpaced}"] if gate.unpaced else []
    notes = [f"{short(j.name)}: {note}" for j in _worst_first(gate) for note in j.notes]
    return [*unpaced, *gate.notes, *notes]


def _heads(gate: Gate) -> list[str]:
    return ["", "arm" if gate.title else "benchmark", *_HEADS]


def _cells(j: JudgedArm) -> tuple[str, ...]:
    """Sign, name, difference, pairs, verdict, ratio of times."""
    c = j.verdict.contrast if j.verdict else None
    delta, word = "–", "–"
    if j.identical:
        delta, word = "bit-identical", "≡ bit-identical"
    elif c and j.verdict:
        delta = number(c.mean, sign=True)
        delta += f" {interval(c.interval90, sign=True)}" if c.interval90 else ""
        word = f"{j.verdict.symbol} {j.verdict.word}"
    time = f"{number(j.pace.ratio, 3)} {interval(j.pace.interval, 3)}" if j.pace else "–"
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
