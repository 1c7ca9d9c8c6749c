"""A study's results as a table, one row a trial. Tables that come with Unrolled lie beside the study files.

`shipped` reads such a table, `compare_study_table` compares its arms by the study file, `write_tables` makes
the tables from a ledger (`make shipped-results`).
"""

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.study import loading, plan_store
from unrolled.ablations.study import plan as plans
from unrolled.ablations.study.plan import Plan
from unrolled.ablations.study.study import Study
from unrolled.ablations.tables.reader import read_table
from unrolled.ablations.training.comparison import compare_plan, design_of_plan
from unrolled.bench.atomic_files import save_file
from unrolled.bench.errors import BadInput, require
from unrolled.bench.result_table import FIRST_LOOK, IS_COUNTED, OTHER_TASK
from unrolled.bench.trial import CountedResult, Trial, canonical_json

if TYPE_CHECKING:
    from unrolled.reports.comparison import Comparison
    from unrolled.reports.foreign.columns import Columns

FOLDER = resources.files("unrolled.ablations.studies")
MARKS = ("study", "design", "arm", "seed", "status")
"""Columns by which a study's table is recognised and read."""
DIGITS = 6


def shipped(study: str) -> pd.DataFrame:
    """Return the results that come with Unrolled for one of its studies, one row for each trial.

    The columns are study, design, arm, baseline (the arm that it is compared with), seed, status, counts
    (whether the trial enters a contrast), the settings in which arms differ and the study's metrics.
    """
    loading.load_study(study)
    file = FOLDER / f"{study}.csv"
    require(
        file.is_file(),
        "has no results that come with Unrolled",
        place=f"study {study!r}",
        cure=f"`unrolled run {study}` makes some",
    )
    with resources.as_file(file) as path:
        table = read_table(str(path), "")
    load_study_of(table)
    return table


def is_study_table(table: pd.DataFrame) -> bool:
    """Return True if a table has the columns of a study's."""
    return set(MARKS) <= set(table.columns)


def load_study_of(table: pd.DataFrame) -> Study:
    """Return the shipped study that a table is of. Raises BadInput where today's design of it is another."""
    is_one_study = is_study_table(table) and table.study.nunique(dropna=False) == 1
    require(
        is_one_study,
        "is not a study's table",
        place="table",
        cure="give that of one study, as `shipped(…)` is",
    )
    (name,) = table.study.unique()
    study = loading.load_study(name)
    cure = f"`unrolled run {name}` makes results of today's"
    is_current = set(table.design) == {hash_design(study)}
    require(is_current, "the table is of another design of it", place=f"study {name!r}", cure=cure)
    return study


def compare_study_table(table: pd.DataFrame) -> "Comparison":
    """Return the comparison of the arms of a study's table, by the looks, metrics and δ of the study file.

    Raises BadInput for a table of another design, for a row of no trial of the study or of another setting,
    and for a value that is no number.
    """
    from unrolled.reports import comparison
    from unrolled.reports.foreign.columns import Columns, arrange_table

    study = load_study_of(table)
    plan, trials = plans.make_plan(study, f"unrolled run {study.name}")
    arms = {arm.name: arm for arm in plan.arms}
    for arm, seed in zip(table.arm, table.seed, strict=True):
        if arm not in arms or seed not in arms[arm].trial_ids:
            raise BadInput(f"has no trial of arm {arm!r} and seed {seed}", place=f"study {study.name!r}")
    planned_trials = {trial.id: trial for trial in trials}
    trial_of_arm = {name: planned_trials[next(iter(arm.trial_ids.values()))] for name, arm in arms.items()}
    _check_settings(table, trial_of_arm, study.name)
    design = design_of_plan(plan, {})
    measured = [replace(arm, trial=trial_of_arm[arm.name]) for arm in design.arms]
    columns = Columns(("arm",), ("seed",), plan.metrics)
    rows = arrange_table(table.reset_index(drop=True), columns, f"study {study.name!r}")
    return comparison.compare(rows, replace(design, arms=tuple(measured), planned=0.0))


def _check_settings(table: pd.DataFrame, trial_of_arm: Mapping[str, Trial], study: str) -> None:
    """Raise BadInput where a row has another setting than the trials of its arm."""
    names = {name for trial in trial_of_arm.values() for name in trial.flat_settings()} & {*table.columns}
    for arm, rows in table.groupby("arm", sort=False):
        settings = trial_of_arm[str(arm)].flat_settings()
        for name in sorted(names):
            planned = settings.get(name)
            cells = rows[name]
            deviations = cells[cells.notna() if planned is None else ~cells.isin([planned, str(planned)])]
            if len(deviations):
                raise BadInput(
                    f"arm {arm!r} has {planned} by the study's file",
                    place=f"study {study!r}",
                    key=f"{name} = {deviations.iloc[0]}",
                    cure=f"`unrolled run {study}` makes results of today's",
                )


def answer_own_question(table: pd.DataFrame, columns: "Columns") -> "Comparison | None":
    """Return the study's own comparison by the metrics of these columns, if they ask what the study asks.

    The study asks for its arms against its baseline, by seed, with its δ. Returns None for any other
    question.
    """
    study = load_study_of(table)
    by_seed = (columns.arm, columns.pair, columns.test_share) == (("arm",), ("seed",), 0.0)
    own_baseline = columns.baseline in ("", study.arms[0].name)
    if not (by_seed and own_baseline and {*columns.metrics} <= {*study.metrics}):
        return None
    views = {view.metric: view for view in compare_study_table(table).per_metric}
    first, *further = columns.metrics
    return replace(views[first], other_views=tuple(views[metric] for metric in further))


def mark_trials(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table of a study with columns on its trials: of its first look, and of which other task."""
    study = load_study_of(table)
    tasks = {arm.name: arm.factory.task_settings(arm.trial_fields).items() for arm in study.arms}
    base = tasks[study.arms[0].name]
    other_tasks = {
        name: ", ".join(f"{key}={value}" for key, value in task if (key, value) not in base)
        for name, task in tasks.items()
    }
    marked = table.assign(**{FIRST_LOOK: table.seed.isin(study.seeds[: study.looks[0]])})
    marked[OTHER_TASK] = marked.arm.map(other_tasks)
    return marked


def tabulate_study(study: Study, plan: Plan, results: Mapping[str, CountedResult]) -> pd.DataFrame:
    """Return the table of a study's results, given by the identities of their trials."""
    comparison = compare_plan(plan, results)
    bases = {
        arm.name: comparison.find_base(arm).name
        for arm in comparison.arms
        if arm.contrast or arm.has_contrast_to_decide
    }
    metrics = [metric.name for metric in plan.metrics]
    table = comparison.table.assign(
        study=study.name, design=hash_design(study), baseline=comparison.table.arm.map(bases)
    )
    table[metrics] = table[metrics].astype(float).round(DIGITS)
    leading = ["study", "design", "arm", "baseline", "seed", "status", IS_COUNTED]
    settings = dict.fromkeys(
        name for arm in comparison.arms if (t := arm.measured.example_trial) for name in t.flat_settings()
    )
    varied = [name for name in settings if table[name].nunique() > 1]
    return table[[*leading, *varied, *metrics]]


def hash_design(study: Study) -> str:
    """Return twelve hex digits of what a study's file sets: all of it but its texts."""
    texts: Any = {"question": True, "about": True, "arm": {"__all__": {"question", "note"}}}
    sets = study.file.model_dump(exclude=texts, exclude_defaults=True)
    return hashlib.sha256(canonical_json(sets)).hexdigest()[:12]


def write_tables(results: Path, folder: Path) -> list[Path]:
    """Write the table of every shipped study that a ledger has of today's design; returns the files."""
    ledger = Ledger(results)
    written = []
    for plan in plan_store.load_plans(ledger):
        if plan_store.is_shipped_plan(plan):
            judged = plan.count_results(ledger.read_results(plan.ids))
            table = tabulate_study(loading.load_study(plan.study), plan, judged)
            written.append(folder / f"{plan.study}.csv")
            save_file(written[-1], table.to_csv(index=False).encode())
    return written


if __name__ == "__main__":
    for path in write_tables(Path(sys.argv[1]), Path(__file__).parents[1] / "studies"):
        print(path)
