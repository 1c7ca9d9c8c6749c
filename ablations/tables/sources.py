"""The sources that `unrolled compare` makes one table of: files, MLflow experiments and results folders."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from unrolled.ablations.ledger import Ledger, list_folder
from unrolled.ablations.mlflow.database import hide_credentials
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.publishing.plan_comparison import make_plan_design
from unrolled.ablations.tables import study_tables
from unrolled.ablations.tables.table_reader import is_trials_table, read_table
from unrolled.bench.errors import BadInput, require
from unrolled.bench.hardware.machine_kind import find_machine_kind
from unrolled.bench.metric import Metric
from unrolled.bench.table_columns import FIRST_LOOK, STANDING
from unrolled.reports.compare.trial_frame import tabulate_results
from unrolled.reports.foreign.columns import STATUS
from unrolled.reports.statistics.speed_ratio import describe_unlike_machines

SOURCE = "source"
"""The column that says from which of several sources a row comes."""
_DEFAULT_CELLS: dict[str, Any] = {STATUS: "done", FIRST_LOOK: True}
"""The cells of a column that a table lacks. Without the column all rows count as done, or as first look."""


@dataclass(frozen=True, kw_only=True)
class SourceTable:
    """The rows of one source; of a results folder also its plan's metrics and its results' machines."""

    name: str  # as typed, without credentials
    rows: pd.DataFrame
    metrics: tuple[Metric, ...] = ()
    machines: tuple[Mapping[str, str], ...] = ()


def is_results_source(source: str) -> bool:
    """Return True if a source is results, and not the name of a model."""
    return source.startswith("mlflow:") or Path(source).exists()


def is_results_folder(source: str | Path) -> bool:
    """Return True if a folder holds results of studies; False also if it may not be read."""
    with suppress(OSError):
        return (Path(source) / "plans").is_dir()
    return False


def read_sources(
    sources: Sequence[str], *, experiment: str, study: str, metrics: Sequence[str]
) -> list[SourceTable]:
    """Return a table for each source; the tables of several have the column `SOURCE`. Raises BadInput.

    `experiment` chooses an experiment of MLflow, and `study` a study of a results folder. `metrics` are the
    names of judged metrics.
    """
    tables = [_read_source(source, experiment, study, metrics) for source in sources]
    return tables if len(tables) == 1 else _mark_sources(tables)


def _read_source(source: str, experiment: str, study: str, metrics: Sequence[str]) -> SourceTable:
    if is_results_folder(source):
        return _read_results(source, study)
    if Path(source).is_dir():
        list_folder(Path(source))  # raises BadInput for one that may hold results and cannot be read
    subfolder = Path(source, "results")
    require(not is_results_folder(subfolder), "is no results folder", place=source, cure=f"name {subfolder}")
    rows = read_table(source, experiment, metrics)
    if is_trials_table(rows, source):
        # undoes reports.formats.format_csv_cell
        rows["arm"] = rows.arm.replace(r"^'(?=[=+@-])", "", regex=True)
    return SourceTable(name=hide_credentials(source), rows=rows)


def _read_results(folder: str, study: str) -> SourceTable:
    """Return a row for each trial of a study."""
    ledger = Ledger(Path(folder))
    plan = _find_plan(ledger, study)
    results = plan.read_results(ledger)
    design = make_plan_design(plan, results)
    rows = study_tables.mark_rows(tabulate_results(design).infer_objects(), design)
    rows[STANDING] = rows.arm.map({arm.name: ", ".join(design.find_standing(arm)) for arm in design.arms})
    return SourceTable(
        name=folder,
        rows=rows,
        metrics=plan.rules.metrics,
        machines=tuple(find_machine_kind(result.provenance) for result in results.values()),
    )


def _find_plan(ledger: Ledger, study: str) -> Plan:
    """Return the plan of a study, or for "" the only one. Raises BadInput."""
    plans = {plan.study_name: plan for plan in plan_store.load_plans(ledger)}
    names = ", ".join(plans)
    cure = f"`unrolled run STUDY --results {ledger.root}` runs one"
    require(plans, "has no study that was run", place=ledger.root, cure=cure)
    if study:
        cure = f"name with --study one that it has: {names}"
        require(study in plans, f"has no study {study!r}", place=ledger.root, cure=cure)
        return plans[study]
    require(len(plans) == 1, f"has the studies {names}", place=ledger.root, cure="choose one with --study")
    return next(iter(plans.values()))


def _mark_sources(sources: Sequence[SourceTable]) -> list[SourceTable]:
    """Return the tables with the column `SOURCE`, and with each column of `_DEFAULT_CELLS` that any has."""
    marked_tables = []
    for source in sources:
        is_free = SOURCE not in source.rows.columns
        rule = f"has a column {SOURCE!r}, in which the source of each row is to stand"
        require(is_free, rule, place=source.name, cure="rename the column")
        rows = source.rows.assign(**{SOURCE: source.name})
        marked_tables.append(study_tables.mark_trials(rows) if study_tables.is_study_table(rows) else rows)
    column_names = {name for rows in marked_tables for name in rows.columns}
    return [
        replace(
            source,
            rows=rows.assign(
                **{
                    name: _DEFAULT_CELLS[name]
                    for name in (column_names & {*_DEFAULT_CELLS}) - {*rows.columns}
                }
            ),
        )
        for source, rows in zip(sources, marked_tables, strict=True)
    ]


def require_one_machine(sources: Sequence[SourceTable]) -> None:
    """Raise BadInput unless the results of all these folders are of one kind of machine."""
    if reason := describe_unlike_machines([machine for source in sources for machine in source.machines]):
        place = " and ".join(source.name for source in sources)
        cure = "train all on one machine, or judge another --metric"
        raise BadInput(f"no time, speed or memory is compared: {reason}", place=place, cure=cure)
