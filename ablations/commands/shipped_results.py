"""Results that come with Unrolled: slim copies of the shipped studies' trials, beside the studies' files.

`read` compares a study's arms by them: a trial is found by its settings, its text and its seed, so that
results of a design that was changed are not used. `write` makes the files (`make shipped-results`).
"""

import hashlib
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablations.commands import report
from ablations.design import loading
from ablations.design import plan as plans
from ablations.design.study import Study
from ablations.ledger import Ledger
from bench.files import save
from bench.trial import Result, Trial, canonical, settings

if TYPE_CHECKING:
    from reports.comparison import Comparison

FOLDER = resources.files("ablations.studies")
DIGITS = 6


def read(study: Study, folder: Traversable = FOLDER) -> "Comparison | None":
    """A study's comparison by the results that ship; None where an arm lacks a seed of the first look."""
    file = folder / f"{study.name}.json"
    if not file.is_file():
        return None
    stored = json.loads(file.read_text(encoding="utf-8"))
    plan, trials = plans.decide(study, f"unrolled run {study.name}")
    results = {trial.id: result for trial in trials if (result := _result(trial, stored))}
    first = plan.seeds[: plan.looks[0]]
    if any(arm.trials[seed] not in results for arm in plan.arms for seed in first):
        return None
    return report.comparison(plan, results)


def _result(trial: Trial, stored: Mapping[str, Any]) -> Result | None:
    """What is known of a trial: its metrics, the start of its weights' fingerprint, the machine, the day."""
    found = stored["trials"].get(_key(trial), {}).get(str(trial.seed))
    if found is None:
        return None
    facts: dict[str, Any] = {"started": stored["started"], "environment": stored["environment"]}
    if not found:
        return Result(trial=trial, status="diverged", reason="diverged", **facts)
    *numbers, weights = found
    metrics = {name: float(value) for name, value in zip(stored["metrics"], numbers, strict=True)}
    return Result(trial=trial, status="done", metrics=metrics, fingerprints={"weights": weights}, **facts)


def _key(trial: Trial) -> str:
    """Of the text and the settings that are not Trial's defaults, so that a later setting changes no key."""
    usual = {field.name: field.default for field in fields(Trial)}
    content = {key: value for key, value in settings(trial).items() if value != usual[key] and key != "seed"}
    content["data"] = trial.data
    return hashlib.sha256(canonical(content)).hexdigest()[:12]


def write(results: Path, folder: Path) -> list[Path]:
    """Write the slim copy of every study of the chapter's page that a ledger has; returns the files."""
    from reports.chapter.questions import STUDIES  # matplotlib

    ledger = Ledger(results)
    written = []
    for plan in filter(lambda plan: plan.study in STUDIES, plans.all_stored(ledger)):
        ended = [result for _, _, result in plan.cells(ledger) if result.done or result.diverged]
        if ended:
            names = [metric.name for metric in plan.metrics]
            written.append(folder / f"{plan.study}.json")
            save(written[-1], canonical(_slim(names, ended)) + b"\n")
    return written


def _slim(metrics: list[str], ended: Sequence[Result]) -> dict[str, Any]:
    trials: dict[str, dict[int, list[Any]]] = {}
    for result in ended:
        row: list[Any] = []  # of a diverged one
        if result.done:
            row = [round(result.metrics.get(name, math.inf), DIGITS) for name in metrics]
            row.append(result.fingerprints.get("weights", "")[:8])
        trials.setdefault(_key(result.trial), {})[result.trial.seed] = row
    machines = [result.environment for result in ended if result.done]
    cpu = " | ".join(dict.fromkeys(str(machine["cpu"]) for machine in machines))
    torch = " | ".join(dict.fromkeys(str(machine["packages"]["torch"]) for machine in machines))
    environment = {"cpu": cpu, "packages": {"torch": torch}}
    last = max(result.started for result in ended)
    return {"metrics": metrics, "started": last, "environment": environment, "trials": trials}


if __name__ == "__main__":
    for path in write(Path(sys.argv[1]), Path(__file__).parents[1] / "studies"):
        shown = read(loading.load(path.stem)) is not None
        print(path if shown else f"{path}: not all arms of today's design, so it is not shown")
