"""A study's results as a table, one row a trial. Tables that come with Unrolled lie beside the study files.

`shipped` reads such a table. `compare_study_table` compares its arms by the study file. `write_tables` makes
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
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.plans.planning import make_plan
from unrolled.ablations.publishing.plan_comparison import compare_plan, make_plan_design
from unrolled.ablations.study import loading
from unrolled.ablations.study.study import Study
from unrolled.ablations.tables.table_reader import read_table
from unrolled.bench.errors import BadInput, require
from unrolled.bench.files.atomic_files import save_file
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.table_columns import FIRST_LOOK, IS_COUNTED, OTHER_TASK
from unrolled.bench.trial import ResultInStudy

if TYPE_CHECKING:
    from unrolled.reports.compare.comparison import Comparison
    from unrolled.reports.compare.design import Design
    from unrolled.reports.foreign.columns import Columns

SHIPPED_FOLDER = resources.files("unrolled.ablations.studies")
REQUIRED_COLUMNS = ("study", "design", "arm", "seed", "status")
"""Columns that make a table the table of a study."""
DIGITS = 6  # decimals of a metric


def shipped(study: str) -> pd.DataFrame:
    """Return the results that come with Unrolled for one of its studies, one row for each trial.

    The columns are study, design, arm, baseline (the arm that it is compared with), seed, status, counts
    (whether the trial enters a contrast), the settings in which arms differ and the study's metrics.
    """
    loading.load_study(study)
    file = SHIPPED_FOLDER / f"{study}.csv"
    require(
        file.is_file(),
        "has no results that come with Unrolled",
        place=f"study {study!r}",
        cure=f"`unrolled run {study}` makes some",
    )
    with resources.as_file(file) as path:
        table = read_table(str(path), "")
    load_study_of_table(table)
    return table


def is_study_table(table: pd.DataFrame) -> bool:
    """Return True if a table has the REQUIRED_COLUMNS."""
    return set(REQUIRED_COLUMNS) <= set(table.columns)


def load_study_of_table(table: pd.DataFrame) -> Study:
    """Return the shipped study of a table. Raises BadInput if the study has another design today."""
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
    require(is_current, "has another design today than in this table", place=f"study {name!r}", cure=cure)
    return study


def compare_study_table(table: pd.DataFrame) -> "Comparison":
    """Return the comparison of the arms of a study's table, by the looks, metrics and δ of the study file.

    Raises BadInput for a table of another design, for a row that is no trial of the study or has other
    settings than its arm, and for a value that is no number.
    """
    from unrolled.reports.compare import comparison
    from unrolled.reports.foreign.columns import Columns, arrange_table

    design = _make_shipped_design(load_study_of_table(table))
    place = f"study {design.rules.name!r}"
    for arm, seed in zip(table.arm, table.seed, strict=True):
        require(
            arm in design.arms_by_name and seed in design.rules.seeds,
            f"has no trial of arm {arm!r} and seed {seed}",
            place=place,
        )
    _check_settings(table, design)
    columns = Columns(("arm",), ("seed",), design.rules.metrics)
    rows = arrange_table(table.reset_index(drop=True), columns, place)
    return comparison.compare(rows, design)


def _make_shipped_design(study: Study) -> "Design":
    """Return the design of a shipped study today: each arm has a trial, and none has results."""
    plan, trials = make_plan(study, f"unrolled run {study.name}")
    trials_by_id = {trial.id: trial for trial in trials}
    example_trials = {arm.name: trials_by_id[arm.trial_ids[plan.rules.seeds[0]]] for arm in plan.arms}
    design = make_plan_design(plan, {})
    arms = tuple(replace(arm, trial=example_trials[arm.name]) for arm in design.arms)
    return replace(design, arms=arms, declared_at=0.0)


def _check_settings(table: pd.DataFrame, design: "Design") -> None:
    """Raise BadInput for a row whose settings differ from those of its arm's trials."""
    settings_by_arm = {arm.name: arm.trial.flat_settings() for arm in design.arms if arm.trial}
    names = {name for settings in settings_by_arm.values() for name in settings} & {*table.columns}
    for arm, rows in table.groupby("arm", sort=False):
        settings = settings_by_arm[str(arm)]
        for name in sorted(names):
            value = settings.get(name)
            cells = rows[name]
            deviations = cells[cells.notna() if value is None else ~cells.isin([value, str(value)])]
            if len(deviations):
                raise BadInput(
                    f"arm {arm!r} has {value} by the study's file",
                    place=f"study {design.rules.name!r}",
                    key=f"{name} = {deviations.iloc[0]}",
                    cure=f"`unrolled run {design.rules.name}` makes results of today's",
                )


def answer_own_question(table: pd.DataFrame, columns: "Columns") -> "Comparison | None":
    """Return the study's own comparison, by the metrics of these columns; None if they ask something else.

    They ask for it if they name the study's arms and baseline, pair by seed, and have δ as the study has it.
    """
    study = load_study_of_table(table)
    is_paired_by_seed = (columns.arm, columns.pair, columns.test_share) == (("arm",), ("seed",), 0.0)
    has_own_baseline = columns.baseline in ("", study.arms[0].name)
    if not (is_paired_by_seed and has_own_baseline and {*columns.metrics} <= {*study.rules.metrics}):
        return None
    views = {view.metric: view for view in compare_study_table(table).views}
    first_metric, *further_metrics = columns.metrics
    return replace(views[first_metric], other_views=tuple(views[metric] for metric in further_metrics))


def mark_trials(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table of a study with the columns FIRST_LOOK and OTHER_TASK."""
    return mark_rows(table, _make_shipped_design(load_study_of_table(table)))


def mark_rows(rows: pd.DataFrame, design: "Design") -> pd.DataFrame:
    """Return the rows of a study's trials with the columns FIRST_LOOK and OTHER_TASK."""
    other_tasks = {arm.name: design.describe_other_task(arm) for arm in design.arms}
    marked_rows = rows.assign(**{FIRST_LOOK: rows.seed.isin(design.rules.first_look_seeds)})
    marked_rows[OTHER_TASK] = marked_rows.arm.map(other_tasks)
    return marked_rows


def tabulate_study(study: Study, plan: Plan, results: Mapping[str, ResultInStudy]) -> pd.DataFrame:
    """Return the table of a study's results. `results` are by the identities of their trials."""
    comparison = compare_plan(plan, results)
    bases = {
        arm.name: comparison.find_base(arm).name
        for arm in comparison.arms
        if arm.contrast or arm.state.has_contrast
    }
    metrics = plan.rules.metric_names
    table = comparison.table.assign(
        study=study.name, design=hash_design(study), baseline=comparison.table.arm.map(bases)
    )
    table[metrics] = table[metrics].astype(float).round(DIGITS)
    leading = ["study", "design", "arm", "baseline", "seed", "status", IS_COUNTED]
    settings = dict.fromkeys(
        name
        for arm in comparison.arms
        if (trial := arm.counted_arm.example_trial)
        for name in trial.flat_settings()
    )
    varied_settings = [name for name in settings if table[name].nunique() > 1]
    return table[[*leading, *varied_settings, *metrics]]


def hash_design(study: Study) -> str:
    """Return a hash of a study's file without its questions and notes, twelve hex digits."""
    texts: Any = {"question": True, "about": True, "arm": {"__all__": {"question", "note"}}}
    sets = study.file.model_dump(exclude=texts, exclude_defaults=True)
    return hashlib.sha256(canonical_json(sets)).hexdigest()[:12]


def write_tables(results: Path, folder: Path) -> list[Path]:
    """Write a table for every shipped study that the ledger has, of today's design. Returns the files."""
    ledger = Ledger(results)
    paths = []
    for plan in plan_store.load_plans(ledger):
        if plan_store.is_shipped_plan(plan):
            table = tabulate_study(loading.load_study(plan.study_name), plan, plan.read_results(ledger))
            paths.append(folder / f"{plan.study_name}.csv")
            save_file(paths[-1], table.to_csv(index=False).encode())
    return paths


if __name__ == "__main__":
    for path in write_tables(Path(sys.argv[1]), Path(__file__).parents[1] / "studies"):
        print(path)
