"""The comparison as CSV, Markdown and LaTeX, and every trial as CSV, beside the page."""

import csv
import io
from collections.abc import Iterable, Sequence

from bench.trial import visible
from reports.comparison import Comparison, Row, mean_of
from reports.evidence import Evidence
from reports.statistics.contrasts import Interval
from reports.text import csv_cell, interval, latex_cell, markdown_cell, number, p_value

_HEADINGS = (
    "arm",
    "changed",
    "parameters",
    "seeds",
    "mean ± SD",
    "Δ [95 % CI]",
    "p",
    "wins",
    "r",
    "verdict",
    "note",
)


def tables(comparison: Comparison) -> dict[str, str]:
    """The tables by the name of their file."""
    return {
        "comparison.csv": comparison_csv(comparison),
        "comparison.md": comparison_markdown(comparison),
        "comparison.tex": comparison_latex(comparison),
        "trials.csv": trials_csv(comparison.evidence),
    }


def comparison_csv(comparison: Comparison) -> str:
    """One line an arm, numbers in full; empty where there is none."""
    return _csv([_record(row, comparison) for row in comparison.rows])


def comparison_markdown(comparison: Comparison) -> str:
    """A pipe table of the printed digits, baseline first."""
    lines = [_HEADINGS, ["---"] * len(_HEADINGS)]
    lines += [[markdown_cell(cell) for cell in _printed(row)] for row in comparison.rows]
    head = f"{markdown_cell(caption(comparison))}\n\n"
    return head + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def comparison_latex(comparison: Comparison) -> str:
    """A booktabs table, ready to be read with \\input."""
    lines = [[latex_cell(cell) for cell in _printed(row)] for row in comparison.rows]
    body = "".join(f"{' & '.join(cells)} \\\\\n" for cells in lines)
    heads = " & ".join(latex_cell(h) for h in _HEADINGS)
    return (
        f"% {visible(caption(comparison))}\n\\begin{{tabular}}{{ll{'r' * 7}ll}}\n\\toprule\n{heads} \\\\\n"
        f"\\midrule\n{body}\\bottomrule\n\\end{{tabular}}\n"
    )


def trials_csv(evidence: Evidence) -> str:
    """One line a trial, failures included: its settings, and whatever it measured."""
    records = []
    for arm in evidence.arms:
        for seed, result in sorted(arm.results.items()):
            facts = {"trial": result.trial.id, "arm": arm.name, "seed": seed, "status": result.status}
            facts |= {"reason": result.reason, "attempts": result.attempts, "seconds": result.spent}
            measured = result.metrics if result.done else {}
            records.append({**facts, **result.trial.factors(), **dict(sorted(measured.items())), **facts})
    return _csv(records)


def caption(comparison: Comparison) -> str:
    """What the numbers of the comparison are."""
    unit = f", {comparison.unit}" if comparison.unit else ""
    better = "lower" if comparison.lower_is_better else "higher"
    return (
        f"{comparison.evidence.study}: {comparison.title}{unit}, {better} is better; "
        "intervals are over seeds, given this validation set; Δ is the arm minus the baseline"
    )


def _record(row: Row, comparison: Comparison) -> dict[str, object]:
    c, s = row.contrast, row.summary
    record: dict[str, object] = {"arm": row.arm.name, "model": row.arm.model, "changed": row.changed}
    record |= {"parameters": mean_of(row.arm, "model_parameters"), "seeds_ok": row.done, "seeds": row.total}
    record |= {"diverged": row.diverged, "failed": row.failed, "mean": s.mean, "sd": s.sd}
    record |= {**_ends("mean", s.interval), "median": s.median}
    record |= {"delta": c and c.mean, **_ends("delta", c.interval if c else None)}
    if comparison.in_nats:
        record |= {"ratio": c and c.ratio, **_ends("ratio", c.ratio_interval if c else None)}
    record |= {"p": c and c.p, "p_adjusted": row.adjusted, "wins": c and c.wins, "pairs": c and c.pairs}
    record |= {"r": c and c.r, "verdict": row.verdict and row.verdict.word, "note": row.note}
    record |= {"witness": "; ".join(map(str, row.shown))}
    return record


def _ends(name: str, ends: Interval | None) -> dict[str, float | None]:
    return {f"{name}_low": ends.low if ends else None, f"{name}_high": ends.high if ends else None}


def _printed(row: Row) -> Sequence[str]:
    c, s = row.contrast, row.summary
    parameters = mean_of(row.arm, "model_parameters")
    delta = f"{number(c.mean, sign=True)} {interval(*_pair(c.interval), sign=True)}" if c else "–"
    return (
        row.arm.name,
        row.changed or ("baseline" if row.index == 0 else "–"),
        "–" if parameters is None else f"{parameters:.0f}",
        f"{row.done}/{row.total}",
        f"{number(s.mean)} ± {number(s.sd)}",
        delta,
        p_value(row.adjusted),
        f"{c.wins}/{c.pairs}" if c else "–",
        number(c.r, 2) if c else "–",
        row.verdict.word if row.verdict else "–",
        row.note,
    )


def _pair(ends: Interval | None) -> tuple[float | None, float | None]:
    return (ends.low, ends.high) if ends else (None, None)


def _csv(records: Iterable[dict[str, object]]) -> str:
    """Records that may have different fields, as CSV that a spreadsheet opens as data and never as code."""
    records = list(records)
    columns = list(dict.fromkeys(name for record in records for name in record))
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow([csv_cell(column) for column in columns])
    writer.writerows([csv_cell(record.get(column)) for column in columns] for record in records)
    return written.getvalue()
