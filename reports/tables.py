"""The comparison as CSV, Markdown and LaTeX, and every trial as CSV, beside the page."""

from collections.abc import Mapping, Sequence

import pandas as pd

from bench.trial import visible
from reports.comparison import ComparedArm, Comparison, mean_of
from reports.evidence import Evidence
from reports.formats import csv_cell, interval, latex_cell, markdown_cell, number, p_value
from reports.statistics.contrasts import Interval


def tables(c: Comparison) -> dict[str, str]:
    """The tables by the name of their file."""
    return {
        "comparison.csv": comparison_csv(c),
        "comparison.md": comparison_markdown(c),
        "comparison.tex": comparison_latex(c),
        "trials.csv": trials_csv(c.evidence),
    }


def comparison_csv(c: Comparison) -> str:
    """One line an arm, numbers in full; empty where there is none."""
    return _csv([_record(row, c) for row in c.rows])


def comparison_markdown(c: Comparison) -> str:
    """A pipe table of the printed digits, baseline first."""
    table = _printed(c).map(markdown_cell)
    lines = [table.columns, ["---"] * len(table.columns), *table.to_numpy()]
    return f"{markdown_cell(caption(c))}\n\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def comparison_latex(c: Comparison) -> str:
    """A booktabs table, ready to be read with \\input."""
    table = _printed(c).map(latex_cell)
    heads, *rows = (" & ".join(cells) + " \\\\\n" for cells in (map(latex_cell, table), *table.to_numpy()))
    return (
        f"% {visible(caption(c))}\n\\begin{{tabular}}{{ll{'r' * 7}ll}}\n\\toprule\n{heads}"
        f"\\midrule\n{''.join(rows)}\\bottomrule\n\\end{{tabular}}\n"
    )


def trials_csv(evidence: Evidence) -> str:
    """One line a trial, failures included: its settings, and whatever it measured."""
    records = []
    for arm in evidence.arms:
        for seed, result in arm.trials.items():
            facts = {"trial": result.trial.id, "arm": arm.name, "seed": seed, "status": result.status}
            facts |= {"reason": result.reason, "attempts": result.attempts, "seconds": result.spent}
            measured = result.metrics if result.done else {}
            records.append({**facts, **result.trial.factors(), **dict(sorted(measured.items())), **facts})
    return _csv(records)


def caption(c: Comparison) -> str:
    """The caption: metric, unit, direction, and the meaning of intervals and Δ."""
    return (
        f"{c.evidence.study}: {c.title}{f', {c.unit}' if c.unit else ''}, "
        f"{'lower' if c.lower_is_better else 'higher'} is better; "
        "intervals are over seeds, given this validation set; Δ is the arm minus "
        f"{'the baseline' if c.bases == c.rows[0].arm.name else c.bases}"
    )


def _record(row: ComparedArm, comparison: Comparison) -> dict[str, object]:
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
    return record | {"witness": "; ".join(map(str, row.shown))}


def _ends(name: str, ends: Interval | None) -> dict[str, float | None]:
    return {f"{name}_low": ends.low if ends else None, f"{name}_high": ends.high if ends else None}


def _printed(c: Comparison) -> pd.DataFrame:
    """The comparison in printed digits, one row an arm."""
    lines = []
    for row in c.rows:
        k, s, parameters = row.contrast, row.summary, mean_of(row.arm, "model_parameters")
        lines.append(
            {
                "arm": row.arm.name,
                "changed": row.changed or ("baseline" if row.index == 0 else "–"),
                "parameters": "–" if parameters is None else f"{parameters:.0f}",
                "seeds": f"{row.done}/{row.total}",
                "mean ± SD": f"{number(s.mean)} ± {number(s.sd)}",
                "Δ [95 % CI]": f"{number(k.mean, sign=True)} {interval(k.interval, sign=True)}" if k else "–",
                "p": p_value(row.adjusted),
                "wins": f"{k.wins}/{k.pairs}" if k else "–",
                "r": number(k.r, 2) if k else "–",
                "verdict": row.verdict.word if row.verdict else "–",
                "note": row.note,
            }
        )
    return pd.DataFrame(lines, dtype=object)


def _csv(records: Sequence[Mapping[str, object]]) -> str:
    """Records that may have different fields, as CSV that a spreadsheet opens as data and never as code."""
    cells = [{csv_cell(key): csv_cell(value) for key, value in one.items()} for one in records]
    return pd.DataFrame(cells, dtype=object).to_csv(index=False, lineterminator="\n")
