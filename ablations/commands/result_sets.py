"""One side of before and after: a results folder, an MLflow experiment, or pytest-benchmark's stored runs.

It may have been written by another version of the code, so only the fields that are compared are read.
Nothing is written or moved.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from unrolled.ablations.ledger import Ledger, explaining_misread, read_required, unseal
from unrolled.ablations.mlflow.database import public
from unrolled.ablations.mlflow.experiment import EndedRun, read_ended_runs
from unrolled.ablations.mlflow.fields import MACHINE, metric_key
from unrolled.ablations.study.loading import AA_NAME, AA_OFFSET
from unrolled.ablations.study.plan import Plan, PlannedArm
from unrolled.ablations.study.stored_plans import PLAN
from unrolled.ablations.training.seed_scheduler import SeedScheduler
from unrolled.bench.differences import fingerprint, measured
from unrolled.bench.errors import BadInput, require, suggestion, visible
from unrolled.bench.machine_kind import kind
from unrolled.bench.table_files import FORMATS
from unrolled.bench.trial import Result, canonical, trial_type
from unrolled.reports.before_after import ResultSet
from unrolled.reports.before_after_arms import WAITING

_ASKED = (
    *("study", "question", "about", "metrics", "seeds", "looks", "decide", "to_the_end"),
    *("hash", "command", "trainer", "varying"),
)
"""The parts of a plan that are read, beside its arms."""
_MISREAD = "is damaged, or of no known format", "run its study again"


def holds_results(source: str) -> bool:
    """Whether a source is the path or the address of results, and not the name of a model."""
    return bool(_address(source)) or Path(source).exists()


def is_ledger(path: Path) -> bool:
    """Whether a folder holds results; one that may not be read holds none."""
    with suppress(OSError):
        return (path / "plans").is_dir()
    return False


def kind_of(source: str) -> str:
    """What a source holds: `tables`, `timings` of pytest-benchmark, or `results`; BadInput for none."""
    path = Path(source)
    if _address(source):
        return "results"
    cure = "name a results folder, an MLflow address, a table, or pytest-benchmark's JSON"
    if path.suffix == ".db":
        cure = f"write sqlite:///{source}"
    if within := is_ledger(path / "results"):
        cure = f"name {path / 'results'}"
    there = source and not within and (path.is_file() or (path.is_dir() and any(path.iterdir())))
    require(there and path.suffix != ".db", "there are no results", place=source or "''", cure=cure)
    if path.suffix.lower() in FORMATS.keys() - {".json"}:
        return "tables"
    return "results" if is_ledger(path) else "timings"


def results(source: str, study: str, metric: str) -> ResultSet:
    """One side's results; `study` and `metric` may be "" where they follow. Raises BadInput for none."""
    if address := _address(source):
        rule, cure = "has no plan that says what is compared", "give --metric NAME=δ"
        require(metric, rule, place=public(source), cure=cure)
        return _of_mlflow(source, address, study, metric)
    return _of_ledger(source, study, metric)


def _address(source: str) -> str:
    """The tracking URI of an MLflow source; "" for a path."""
    return source.removeprefix("mlflow:") if source.startswith("mlflow:") or "://" in source else ""


def _of_ledger(source: str, study: str, metric: str) -> ResultSet:
    ledger = Ledger(Path(source))
    plan = _chosen({plan.study: plan for plan in _plans(ledger)}, study, source)
    metric = metric or plan.metrics[0].name
    arm_and_seed = plan.arm_and_seed
    paths = {id: ledger.path(id) for id in arm_and_seed}
    trained = {id: _result(path, id, ledger, plan) for id, path in paths.items() if path.exists()}
    _check_metric(source, metric, {name for _, result in trained.values() for name in result.metrics})
    pending = SeedScheduler(plan, {id: result for id, (_, result) in trained.items()}).pending
    rows = []
    for arm in plan.arms:
        offset = AA_OFFSET if arm.name == AA_NAME else 0
        waiting = [seed for id, (owner, seed) in arm_and_seed.items() if owner is arm and id in pending]
        rows += [{"arm": arm.name, "seed": seed + offset, "status": WAITING} for seed in waiting]
        for id in arm.trials.values():
            if found := trained.get(id):
                # by the trial's own seed, as MLflow has it: the A/A arm's are not the plan's
                rows.append({"arm": arm.name, "seed": found[1].trial.seed, **_row(*found, metric, plan)})
    metrics = tuple(m for m in plan.metrics if m.name == metric)
    baseline = plan.arms[0].name if plan.arms else ""
    first = plan.seeds[: plan.looks[0]] if plan.looks else plan.seeds
    return ResultSet(
        name=source,
        study=plan.study,
        table=_table(rows, metric),
        metrics=metrics,
        baseline=baseline,
        first_look={seed + offset for seed in first for offset in (0, AA_OFFSET)},
    )


def _table(rows: list[dict[str, Any]], metric: str) -> pd.DataFrame:
    """A row a trial. One that is waiting has nothing; a metric that no trial has is a column of none."""
    empty: dict[str, Any] = {
        "reason": "",
        "fingerprints": "",
        "commit": "",
        "numbers": {},
        "settings": {},
        "task": (),
    }
    empty |= {"machine": {}, metric: math.nan, "speed_train": math.nan}
    return pd.DataFrame([{**empty, **row} for row in rows])


def _plans(ledger: Ledger) -> Iterator[Plan]:
    """The plans of a ledger. One that cannot be read is warned of: it may be of a study not asked for."""
    for path in sorted((ledger.root / "plans").glob("*.json")):
        try:
            yield _plan(path)
        except BadInput as error:
            ledger.warn(f"{error}; skipped")


def _chosen(plans: Mapping[str, Plan], study: str, source: str) -> Plan:
    """The plan of the study, or the only one that there is."""
    if study in plans:
        return plans[study]
    known = ", ".join(sorted(map(visible, plans)))
    if not plans:
        raise BadInput(
            "holds no study that was run",
            place=source,
            cure=f"`unrolled run STUDY --results {source}` runs one",
        )
    if study:
        raise BadInput(f"has no study {study!r}", place=source, cure=f"it has {known}: name it with --study")
    if len(plans) > 1:
        raise BadInput(f"has the studies {known}", place=source, cure="choose one with --study")
    return next(iter(plans.values()))


def _plan(path: Path) -> Plan:
    with explaining_misread(path, *_MISREAD):
        stored = unseal(read_required(path))["plan"]
        known = {field.name for field in fields(PlannedArm)}
        arms = [{"trial_fields": {}} | {n: arm[n] for n in arm if n in known} for arm in stored["arms"]]
        return PLAN.validate_json(
            canonical({**{name: stored[name] for name in _ASKED if name in stored}, "arms": arms})
        )


def _result(path: Path, id: str, ledger: Ledger, plan: Plan) -> tuple[dict[str, Any], Result]:
    """A result as it is stored, and the parts that are read, as the plan counts them."""
    with explaining_misread(path, *_MISREAD):
        body = unseal(read_required(path))
        stored = body["result"] | ledger.details(id, body["details"])
        type_, told = trial_type(plan.trainer), stored["trial"]
        trial = type_(**{field.name: told[field.name] for field in fields(type_) if field.name in told})
        metrics = {name: float(value) for name, value in stored.get("metrics", {}).items()}
        parts = ("status", "reason", "records", "fingerprints", "environment")
        read = {name: stored[name] for name in parts if name in stored}
        return stored, plan.judge_result(Result(trial=trial, metrics=metrics, **read))


def _row(stored: Mapping[str, Any], result: Result, metric: str, plan: Plan) -> dict[str, Any]:
    """A trial's cells; its numbers by its own names, and by those that MLflow has them under."""
    known = "weights", "metrics", "numbers"  # of the chapter's trials, and of a program's
    prints = {name: mark for name, mark in result.fingerprints.items() if name in known}
    shown = plan.tracking.numbers(result).items()
    held = {metric_key(name): value for name, value in shown if math.isfinite(value)}
    whole = {**stored, "metrics": {**result.metrics, **held}}
    left_out = plan.irreproducible | set(map(metric_key, plan.irreproducible))
    if "numbers" in prints:  # a program's own is of all that it told, what varies included
        prints["numbers"] = fingerprint(stored, left_out)
    return {
        "status": result.status,
        "reason": result.reason or ("" if metric in result.metrics else f"there is no {metric}"),
        "fingerprints": " ".join(f"{n}={mark}" for n, mark in sorted(prints.items())) or result.reason,
        "numbers": measured(whole, left_out) if prints else {},
        "settings": _settings(stored["trial"]),
        "task": tuple(result.trial.task),
        "machine": kind(result.environment),
        "commit": _commit(result.environment),
        "speed_train": result.metrics.get("speed_train", math.nan),
        metric: _number(result.metrics.get(metric)),
    }


def _number(value: float | None) -> float:
    """A metric: infinite where it is no number, NaN where there is none."""
    if value is None:
        return math.nan
    return value if math.isfinite(value) and abs(value) < 1e300 else math.inf  # MLflow's inf is 1.8e308


def _settings(trial: Mapping[str, Any]) -> dict[str, str]:
    options = trial.get("options")
    flat = {**trial, **(options if isinstance(options, Mapping) else {})}
    return {
        name: ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        for name, value in flat.items()
        if name != "options"
    }


def _check_metric(source: str, metric: str, names: Iterable[str]) -> None:
    """Raise BadInput if there are metrics but none of that name."""
    known = sorted(names)
    if known and metric not in known and metric_key(metric) not in known:
        raise BadInput(
            f"no trial has the metric {metric!r}",
            place=public(source),
            cure=suggestion(metric, known),
        )


def _commit(environment: Mapping[str, Any]) -> str:
    commit = str(environment.get("commit") or "")[:7]
    return f"{commit}, changed" if commit and environment.get("dirty") else commit


def _of_mlflow(source: str, address: str, study: str, metric: str) -> ResultSet:
    """The ended runs of an experiment, by arm and seed; the latest counts. `#COMMIT` chooses those of one."""
    where, _, commit = address.partition("#")
    name, runs = read_ended_runs(where, study)
    arms: dict[str, dict[int, EndedRun]] = {}
    for run in runs:
        arm = run.tags.get("unrolled.arm") or run.params.get("arm") or run.tags.get("arm")
        seed = run.params.get("seed") or run.tags.get("seed") or ""
        if arm and seed.isdecimal() and run.commit.startswith(commit):
            arms.setdefault(arm, {})[int(seed)] = run
    if not arms:
        commits = ", ".join(sorted({run.commit[:7] for run in runs} - {""})) if commit else ""
        raise BadInput(
            f"experiment {name!r} has no ended run{f' of commit {commit}' if commit else ''} with an arm and "
            "a seed, as parameters or tags",
            place=public(source),
            cure=f"its runs are of {commits}" if commits else "log both",
        )
    _check_metric(
        source, metric, {name for by_seed in arms.values() for r in by_seed.values() for name in r.metrics}
    )
    rows = [
        {"arm": arm, "seed": seed, **_logged(run, metric)}
        for arm, by_seed in arms.items()
        for seed, run in by_seed.items()
    ]
    return ResultSet(name=public(source), study=name, table=_table(rows, metric))


def _logged(run: EndedRun, metric: str) -> dict[str, Any]:
    """A run's cells."""

    def logged(name: str) -> float | None:
        return run.metrics.get(metric_key(name), run.metrics.get(name))

    reason = run.tags.get("unrolled.reason", "" if run.done else f"MLflow says {run.status}")
    prints = sorted((name, mark) for name, mark in run.tags.items() if name.startswith("fingerprint."))
    settings = {name: value for name, value in run.params.items() if name not in ("arm", "seed")}
    if data := run.tags.get("unrolled.data"):
        settings["data"] = data
    value = _number(logged(metric))
    return {
        "status": run.end,
        "reason": reason or (f"there is no {metric}" if math.isnan(value) else ""),
        "fingerprints": " ".join(f"{name.partition('.')[2]}={mark}" for name, mark in prints) or reason,
        "numbers": measured({"metrics": run.metrics}) if prints else {},
        "settings": settings,
        "task": tuple(run.tags.get("unrolled.task", "").split()),
        "machine": {n.removeprefix(MACHINE): v for n, v in run.tags.items() if n.startswith(MACHINE)},
        "commit": run.commit[:7],
        "speed_train": _number(logged("speed_train")),
        metric: value,
    }
