"""The comparison as CSV and Markdown, and every trial as CSV, beside the page."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO

from bench.trial import Result
from reports.arms import mean_of
from reports.comparison import ComparedArm, Comparison
from reports.formats import csv_cell, interval, markdown_cell, number, p_value, pipe_table
from reports.statistics.contrasts import Interval


def tables(c: Comparison) -> dict[str, str]:
    """The tables by the name of their file."""
    return {
        "comparison.csv": comparison_csv(c),
        "comparison.md": comparison_markdown(c),
        "trials.csv": trials_csv(c),
    }


def comparison_csv(c: Comparison) -> str:
    """One line an arm, numbers in full; empty where there is none."""
    return _csv([_record(row, c) for row in c.rows])


def comparison_markdown(c: Comparison) -> str:
    """A pipe table of the printed digits, baseline first."""
    lines = _printed(c)
    cells = [[markdown_cell(cell) for cell in line.values()] for line in lines]
    return f"{markdown_cell(caption(c))}\n\n{pipe_table([list(lines[0]), *cells])}"


def trials_csv(c: Comparison) -> str:
    """One line a trial that counts, failures included: its settings, and whatever it measured."""
    return _csv([record for record, counts in trial_records(c) if counts])


def trial_records(c: Comparison) -> Iterator[tuple[dict[str, object], bool]]:
    """Every trial as a record, and whether it counts: for its arm's contrast, a baseline's for any."""
    for arm, row in zip(c.evidence.arms, c.rows, strict=True):
        for seed, result in arm.trials.items():
            yield trial_record(arm.name, seed, result), seed in row.arm.results


def trial_record(arm: str, seed: int, result: Result) -> dict[str, object]:
    """A trial's outcome, settings and metrics; one that failed or diverged has no metric."""
    facts = {"trial": result.trial.id, "arm": arm, "seed": seed, "status": result.status}
    facts |= {"reason": result.reason, "attempts": result.attempts, "seconds": result.spent}
    measured = result.metrics if result.done else {}
    return {**facts, **result.trial.factors(), **dict(sorted(measured.items())), **facts}


def caption(c: Comparison) -> str:
    """The caption: metrics, units, directions, and the meaning of intervals and Δ."""
    judged_by = "; ".join(
        f"{view.title}{f', {view.unit}' if view.unit else ''}, "
        f"{'lower' if view.lower_is_better else 'higher'} is better"
        for view in c.views
    )
    return (
        f"{c.evidence.study}: {judged_by}; intervals are over seeds, given this validation set; Δ is the arm "
        f"minus {'the baseline' if c.bases == c.rows[0].arm.name else c.bases}"
    )


def _record(row: ComparedArm, c: Comparison) -> dict[str, object]:
    """The arm, then what it is by each metric, whose name begins its columns."""
    record: dict[str, object] = {"arm": row.arm.name, "model": row.arm.model, "changed": row.changed}
    record |= {"against": c.base(row).arm.name if row.contrast else ""}
    record |= {"parameters": mean_of(row.arm, "model_parameters"), "seeds_ok": row.done, "seeds": row.total}
    record |= {"diverged": row.diverged, "failed": row.failed, "verdict": row.verdict and row.verdict.word}
    record |= {"state": row.state, "pairs": row.contrast and row.contrast.pairs, "most_seeds": row.most}
    for view in c.views:
        found = _by_metric(view.rows[row.index], view)
        record |= {f"{view.metric.name}_{name}": value for name, value in found.items()}
    return record | {"note": row.note, "witness": "; ".join(map(str, row.shown))}


def _by_metric(row: ComparedArm, view: Comparison) -> dict[str, object]:
    k, s, v = row.contrast, row.summary, row.verdict
    found: dict[str, object] = {"mean": s.mean, "sd": s.sd, **_ends("mean", s.interval), "median": s.median}
    found |= {"perplexity": s.perplexity} if view.in_nats else {}
    found |= {"delta": k and k.mean, **_ends("delta", k.interval if k else None)}
    if view.in_nats:
        found |= {"ratio": k and k.ratio, **_ends("ratio", k.ratio_interval if k else None)}
    found |= {"p": k and k.p, "p_adjusted": v and v.p_adjusted, "p_equivalent": v and v.p_equivalent}
    return found | {"wins": k and k.wins, "r": k and k.r, "verdict": v and v.word}


def _ends(name: str, ends: Interval | None) -> dict[str, float | None]:
    return {f"{name}_low": ends.low if ends else None, f"{name}_high": ends.high if ends else None}


def _printed(c: Comparison) -> list[dict[str, str]]:
    """The comparison in printed digits, by column, one line an arm."""
    lines = []
    for row in c.rows:
        line = {"arm": row.arm.name, "changed": row.changed or ("baseline" if row.index == 0 else "–")}
        line["seeds"] = " ".join(filter(None, [f"{row.done}/{row.total}", row.state if c.sequential else ""]))
        for view in c.views:
            found = _printed_by(view.rows[row.index], view)
            line |= {f"{view.title}: {name}" if c.others else name: text for name, text in found.items()}
        lines.append({**line, "note": row.note})
    return lines


def _printed_by(row: ComparedArm, view: Comparison) -> dict[str, str]:
    k, s = row.contrast, row.summary
    found = {"mean ± SD": f"{number(s.mean)} ± {number(s.sd)}"}
    found |= {"perplexity": number(s.perplexity, 3)} if view.in_nats else {}
    delta = f"{number(k.mean, sign=True)} {interval(k.interval, sign=True)}" if k else "–"
    p, word = (p_value(v.p_adjusted), v.word) if (v := row.verdict) else ("–", "–")
    return found | {"Δ [95 % CI]": delta, "p": p, "verdict": word}


def _csv(records: Sequence[Mapping[str, object]]) -> str:
    """Records that may have different fields, as CSV that a spreadsheet opens as data and never as code."""
    fields, text = dict.fromkeys(key for one in records for key in one), StringIO()
    writer = csv.writer(text, lineterminator="\n")  # line by line: a DataFrame of thousands takes 20 MB more
    writer.writerow(map(csv_cell, fields))
    writer.writerows([csv_cell(one.get(key)) for key in fields] for one in records)
    return text.getvalue()
