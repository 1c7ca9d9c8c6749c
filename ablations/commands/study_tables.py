"""A study's results as a table, one row a trial. Those that come with Unrolled lie beside the studies' files.

`shipped` reads such a table, `judge` compares its arms as the study's file says, `write` makes the tables
from a ledger (`make shipped-results`).
"""

import hashlib
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ablations.commands import compare_sources, report
from ablations.ledger import Ledger
from ablations.study import loading
from ablations.study import plan as plans
from ablations.study.plan import Plan
from ablations.study.study import Study
from ablations.study.study_file import shipped as shipped_studies
from bench.files import save
from bench.trial import BadInput, Result, canonical, failure, require

if TYPE_CHECKING:
    from reports.comparison import Comparison

FOLDER = resources.files("ablations.studies")
MARKS = ("study", "design", "arm", "seed", "status")
"""Columns by which a study's table is recognised and read."""
DIGITS = 6


def shipped(study: str) -> pd.DataFrame:
    """The results that come with Unrolled for one of its studies, one row for each trial.

    The columns are study, design, arm, baseline (the arm that it is compared with), seed, status, counts, the
    settings in which arms differ and the study's metrics. `counts` tells whether the trial enters its arm's
    contrast; a baseline's, any contrast. `compare` and `verdicts` take the table in place of a study's name.
    Raises BadInput for a study that has no such table, or one of another design.
    """
    loading.load(study)
    file = FOLDER / f"{study}.csv"
    cure = f"`unrolled run {study}` makes some"
    require(file.is_file(), "has no results that come with Unrolled", place=f"study {study!r}", cure=cure)
    with resources.as_file(file) as path:
        table = compare_sources.rows(str(path), "")
    study_of(table)
    return table


def is_study(table: pd.DataFrame) -> bool:
    """Whether a table has the columns of a study's."""
    return set(MARKS) <= set(table.columns)


def study_of(table: pd.DataFrame) -> Study:
    """The shipped study that a table is of. Raises BadInput where today's design of it is another."""
    require(is_study(table) and len(table), "is not a study's table", place="table", cure="give `shipped(…)`")
    (name,) = table.study.unique()
    study = loading.load(name)
    cure = f"`unrolled run {name}` makes results of today's"
    same = set(table.design) == {design(study)}
    require(same, "the table is of another design of it", place=f"study {name!r}", cure=cure)
    return study


def judge(table: pd.DataFrame) -> "Comparison":
    """The arms of a study's table side by side, by the looks, metrics and δ of the study's file.

    Raises BadInput for a table of another design, and for a row of no trial of the study.
    """
    study = study_of(table)
    plan, trials = plans.decide(study, f"unrolled run {study.name}")
    known = {trial.id: trial for trial in trials}
    arms = {arm.name: arm for arm in plan.arms}
    results: dict[str, Result] = {}
    for row in table.to_dict("records"):
        arm, seed = arms.get(str(row["arm"])), int(row["seed"])
        if arm is None or seed not in arm.trials:
            raise BadInput(
                f"has no trial of arm {row['arm']!r} and seed {seed}", place=f"study {study.name!r}"
            )
        trial = known[arm.trials[seed]]
        if row["status"] == "done":
            metrics = {m.name: float(row[m.name]) for m in plan.metrics}
            results[trial.id] = Result(trial=trial, status="done", metrics=metrics)
        else:
            results[trial.id] = failure(trial, str(row["status"]), status=str(row["status"]))
    return report.comparison(plan, results)


def tabulate(study: Study, plan: Plan, results: Mapping[str, Result]) -> pd.DataFrame:
    """The table of a study's results, given by the identities of their trials."""
    rows: list[dict[str, Any]] = []
    found = report.comparison(plan, results)
    for planned, row in zip(found.evidence.arms, found.rows, strict=True):
        compared = row.contrast or row.declared
        facts = {"study": study.name, "design": design(study), "arm": row.arm.name}
        facts["baseline"] = found.base(row).arm.name if compared else ""
        for seed, result in planned.trials.items():
            about = {**facts, "seed": seed, "status": result.status, "counts": seed in row.arm.results}
            numbers = {m.name: round(result.metrics[m.name], DIGITS) for m in plan.metrics if result.done}
            rows.append({**about, **result.trial.factors(), **numbers})
    table = pd.DataFrame(rows)
    first = [*facts, "seed", "status", "counts"]
    metrics = [m.name for m in plan.metrics]
    differ = [c for c in table if c not in (*first, *metrics) and table[c].nunique() > 1]
    return table[[*first, *differ, *metrics]]


def design(study: Study) -> str:
    """Twelve hex digits of what a study's file sets: all of it but its texts."""
    texts: Any = {"question": True, "about": True, "arm": {"__all__": {"question", "note"}}}
    sets = study.file.model_dump(exclude=texts, exclude_defaults=True)
    return hashlib.sha256(canonical(sets)).hexdigest()[:12]


def write(results: Path, folder: Path) -> list[Path]:
    """Write the table of every shipped study that a ledger has of today's design; returns the files."""
    ledger, written = Ledger(results), []
    for plan in plans.all_stored(ledger):
        if plan.study in shipped_studies() and plan.hash == (study := loading.load(plan.study)).plan:
            table = tabulate(study, plan, ledger.results(plan.ids))
            written.append(folder / f"{plan.study}.csv")
            save(written[-1], table.to_csv(index=False).encode())
    return written


if __name__ == "__main__":
    for path in write(Path(sys.argv[1]), Path(__file__).parents[1] / "studies"):
        print(path)
