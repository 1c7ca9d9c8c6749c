"""Before and after as one screen for a terminal, and as Markdown for a pull request. Names are escaped."""

import textwrap
from collections.abc import Sequence

from unrolled.bench.errors import plural
from unrolled.reports.before_after import ArmChange, BeforeAfter
from unrolled.reports.formats import columns, interval, markdown_cell, number, pipe_table, short
from unrolled.reports.statistics.power import ALPHA
from unrolled.reports.statistics.wording import sentence

WIDTH = 108  # columns of the screen
_ROWS, _REASONS = 7, 8  # lines of each, so that all of it stays within 24 lines
_HEADS = ("Δ [90 % interval]", "seeds", "verdict", "time × [interval] level")


def screen(changes: BeforeAfter) -> str:
    """The verdict, what failed and why, in at most 24 lines."""
    head = (headline(changes), f"baseline   {changes.before}", f"candidate  {changes.after}")
    lines = [short(line, WIDTH) for line in (*head, f"asked      {changes.asked}")] + [""]
    shown = _worst_first(changes)[:_ROWS]
    lines += columns([_heads(changes), *(_cells(arm, changes) for arm in shown)])
    if rest := len(changes.arms) - len(shown):
        failed = sum(bool(arm.faults) for arm in _worst_first(changes)[_ROWS:])
        lines.append(f"   and {rest} more, of which {failed or 'none'} failed")
    reasons = [f"✗ {short(name)}: {why}" for name, why in _why(changes)]
    reasons += [f"  {note}" for note in _asides(changes)]
    wrapped = [line for reason in reasons for line in _wrap(reason)]
    lines += ["", *wrapped[:_REASONS]] if wrapped else []
    lines += ["  and more (--markdown FILE has all of it)"] if len(wrapped) > _REASONS else []
    return "\n".join(lines) + "\n"


def markdown(changes: BeforeAfter) -> str:
    """The same for a pull request: a table of all arms, the reasons, and last each claim in full."""
    ordered = _worst_first(changes)
    cells = ((_code(arm.name), *_cells(arm, changes)) for arm in ordered)
    rows = [(sign, name, *map(markdown_cell, rest)) for name, sign, _, *rest in cells]
    claims = [sentence(arm.verdict, arm.name, "baseline", changes.scale) for arm in ordered if arm.verdict]
    parts = [
        f"### {'✅' if changes.passed else '❌'} {markdown_cell(headline(changes))}",
        f"{_code(changes.before)} → {_code(changes.after)}: {_code(changes.asked)}",
        pipe_table([_heads(changes), *rows]).rstrip(),
        _bullets([f"{short(name)}: {why}" for name, why in _why(changes)]),
        _bullets(_asides(changes)),
    ]
    if claims:
        summary = "<details><summary>The claims in full</summary>"
        parts.append(f"{summary}\n\n{_bullets(claims)}\n\n</details>")
    return "\n\n".join(filter(None, parts)) + "\n"


def _bullets(texts: Sequence[str]) -> str:
    return "\n".join(f"- {_code(text)}" for text in texts)


def headline(changes: BeforeAfter) -> str:
    """Passed or failed, and by how much."""
    if changes.passed and changes.noun == "benchmark":
        return f"passed: none of {_count(changes)} is shown to be slower"
    if changes.passed:
        same = sum(arm.identical for arm in changes.arms)
        passed = f"passed: {_count(changes)} less than δ worse, if at all"
        return passed + (f"; {same} bit-identical" if same else "")
    if not changes.failed:
        return f"FAILED: {changes.faults[0]}"
    return f"FAILED: {len(changes.failed)} of {_count(changes)}"


def _count(changes: BeforeAfter) -> str:
    return plural(len(changes.arms), changes.noun)


def _worst_first(changes: BeforeAfter) -> list[ArmChange]:
    return sorted(changes.arms, key=lambda arm: not arm.faults)  # a stable sort: else in declared order


def _why(changes: BeforeAfter) -> list[tuple[str, str]]:
    whole = [("gate", fault) for fault in changes.faults]
    return whole + [(arm.name, fault) for arm in _worst_first(changes) for fault in arm.faults]


def _asides(changes: BeforeAfter) -> list[str]:
    """Remarks that do not decide the outcome."""
    return [
        *changes.notes,
        *(f"{short(arm.name)}: {note}" for arm in _worst_first(changes) for note in arm.notes),
    ]


def _heads(changes: BeforeAfter) -> list[str]:
    return ["", changes.noun, *_HEADS]


def _cells(arm: ArmChange, changes: BeforeAfter) -> tuple[str, ...]:
    """Sign, name, difference, pairs, verdict, ratio of times."""
    c = arm.verdict.contrast if arm.verdict else None
    delta, word = "–", "–"
    if arm.identical:
        delta, word = "bit-identical", "≡ bit-identical"
    elif c and arm.verdict:
        delta, ends = changes.scale.cell_by(c.estimate, sign=True), c.interval(ALPHA, sides=1)
        delta += f" {changes.scale.cell_ends(ends)}" if ends else ""
        word = f"{arm.verdict.symbol} {arm.verdict.text}"
    time = "–"
    if ratio := arm.speed_ratio:
        time = f"{number(ratio.ratio, 3)} {interval(ratio.interval, 3)} {ratio.interval.percent}"
    return "✗" if arm.faults else "✓", short(arm.name, 22), delta, str(c.pairs) if c else "–", word, time


def _code(text: str) -> str:
    """Text that GitHub makes no mention, link or issue of."""
    return f"<code>{markdown_cell(short(text, 400))}</code>"


def _wrap(line: str) -> list[str]:
    return textwrap.wrap(short(line, 3 * WIDTH), WIDTH, subsequent_indent="    ", break_on_hyphens=False)
