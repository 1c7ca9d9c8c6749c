"""MLflow as a projection of the ledger: written while trials train, rebuilt from the results at any time.

mlflow is imported inside functions, as it takes more than a second: here, in experiment and store.
"""

import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ablations.design.plan import Plan
from ablations.tracking import browsing
from ablations.tracking.arms import ArmFacts, ArmRuns
from ablations.tracking.entry import (
    NAME_LENGTH,
    PARAM_LENGTH,
    TAG_LENGTH,
    Ended,
    dataset,
    digest,
    mark,
    milliseconds,
    params,
    points,
    tags,
    text,
)
from ablations.tracking.experiment import Experiment, runs
from ablations.tracking.store import public, reached, sqlite_path
from bench.trial import BadInput, Result

PARENT = "mlflow.parentRunId"  # under which MLflow's pages list a run


@dataclass(frozen=True)
class Synced:
    """Counts of `sync`: trials written, trials that were there already, leftovers removed."""

    written: int
    kept: int
    removed: int

    def __str__(self) -> str:
        return f"{self.written} written, {self.kept} there already, {self.removed} leftovers removed"


@dataclass(frozen=True)
class _Row:
    """The facts of a run that is there."""

    run_id: str
    status: str
    start: int  # unix milliseconds
    plan: str
    parent: str = ""


class Projection:
    """One study in MLflow: its runs are read and tidied once, then trials are written one by one.

    Slow to construct: imports mlflow, creates the database. Every method raises what MLflow raises; after
    that it is unknown what was written, so construct another one, which reads everything again.
    """

    def __init__(self, plan: Plan, where: str) -> None:
        self._study, self._plan, self._answers = plan, mark(plan), tuple[str, ...]()
        self._served = where if where.startswith("http") else ""
        self._experiment = Experiment(f"unrolled/{plan.study}", where)
        self._client = self._experiment.client
        self.removed = 0
        self._trials: dict[tuple[str, str], _Row] = {}  # by (arm, trial id)
        self._of_study: list[_Row] = []
        self._arms = ArmRuns(self._experiment, plan.study, self._plan, plan.metrics[0].name)
        self._read()
        self._describe()

    def _describe(self) -> None:
        """Write the experiment's description and its saved views."""
        present = self._client.get_experiment(self._experiment.id).tags
        marks = {"unrolled.plan": self._plan, **browsing.views(self._study, self._plan)}
        marks["mlflow.experimentKind"] = "custom_model_development"  # without a kind the UI asks for one
        if self._answers or present.get("unrolled.plan") != self._plan:  # an answer stays until the next
            marks["mlflow.note.content"] = self._note()
        for name, value in marks.items():
            if present.get(name) != value:
                self._client.set_experiment_tag(self._experiment.id, name, value)

    def _note(self) -> str:
        number = self._experiment.id
        links = {
            "Means by arm": browsing.view_link(number, browsing.ARMS),
            "Charts by arm": browsing.view_link(number, browsing.ARMS, charts=True),
            "Trials by arm": browsing.view_link(number, browsing.TRIALS),
        }
        if self._answers and (own := self._report_run()):
            links["Report"] = browsing.run_link(number, own, "index.html")
        return browsing.description(self._study, self._answers, links)

    def _read(self) -> None:
        """Index what is there; delete half-written trials and second copies."""
        for run in runs(self._client, self._experiment.id):
            seen, info = run.data.tags, run.info
            role, plan = seen.get("unrolled.role", ""), seen.get("unrolled.plan", "")
            row = _Row(info.run_id, info.status, info.start_time, plan, seen.get(PARENT, ""))
            cell = (seen.get("unrolled.arm", ""), seen.get("unrolled.trial", ""))
            if role == "study":
                self._of_study.append(row)
            elif role in ("arm", "search"):
                self._arms.read(run)
            elif role == "trial" and (cell in self._trials or info.status not in ("FINISHED", "FAILED")):
                self._delete(row)
            elif role == "trial":
                self._trials[cell] = row

    def _delete(self, row: _Row) -> None:
        self._client.delete_run(row.run_id)
        self.removed += 1

    def record(self, arm: str, result: Result) -> bool:
        """Write one trial, unless this very attempt is there. Returns whether it was written."""
        cell = (text(arm, TAG_LENGTH), result.trial.id)
        status, start = "FINISHED" if result.done else "FAILED", milliseconds(result.started)
        there = self._trials.get(cell)
        parent = self._arms.open(arm, start)
        if there and (there.status, there.start) == (status, start):
            if there.plan != self._plan:
                self._client.set_tag(there.run_id, "unrolled.plan", self._plan)
            self._trials[cell] = replace(self._beneath(parent, there), plan=self._plan)
            return False
        if there:
            self._delete(self._trials.pop(cell))
        run_id = self._write(arm, result, status, parent)
        self._trials[cell] = _Row(run_id, status, start, self._plan, parent)
        return True

    def _beneath(self, parent: str, row: _Row) -> _Row:
        """The trial's row with that parent, "" being none."""
        if parent and row.parent != parent:
            self._client.set_tag(row.run_id, PARENT, parent)
        elif row.parent and not parent:
            self._client.delete_tag(row.run_id, PARENT)
        return replace(row, parent=parent)

    def _write(self, arm: str, result: Result, status: str, parent: str) -> str:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        client, title = self._client, f"{text(arm, 200)}/seed={result.trial.seed}"
        own = {"study": self._study.study, "role": "trial", "arm": arm, "plan": self._plan}
        more = {**tags(result), PARENT: parent}
        run_id = self._experiment.create(title, milliseconds(result.started), own, more)
        whole = params(arm, result)
        self._experiment.log(run_id, [point for point in points(result) if math.isfinite(point[1])], whole)
        if data := dataset(result.trial):
            context = InputTag("mlflow.data.context", "training, validation")
            client.log_inputs(run_id, [DatasetInput(Dataset(**data), [context])])
        for name, value in whole.items():
            if len(value) > PARAM_LENGTH:
                client.log_text(run_id, value, f"params/{digest(name)[:16]}.txt")
        client.set_terminated(run_id, status, milliseconds(result.started + result.seconds))
        return run_id

    def begin(self, started: float) -> None:
        """Open or resume the study's run of this plan; close runs of other plans that are still RUNNING."""
        for row in self._of_study:
            if row.status == "RUNNING" and row.plan != self._plan:
                self._client.set_terminated(row.run_id, "KILLED")
        if there := self._report_run():
            self._client.update_run(there, status="RUNNING")
            return
        start, name = milliseconds(started), self._study.study
        own = {"study": name, "role": "study", "plan": self._plan}
        run_id = self._experiment.create(f"study {name}", start, own, {"mlflow.note.content": self._note()})
        self._of_study.append(_Row(run_id, "RUNNING", start, self._plan))

    def _report_run(self) -> str | None:
        """The run that holds this plan's report, if there is one."""
        return next((row.run_id for row in self._of_study if row.plan == self._plan), None)

    def publish(self, folder: Path, answers: tuple[str, ...] = (), arms: tuple[ArmFacts, ...] = ()) -> None:
        """Write the report to the study's run, its answers to the descriptions, and the arms' means.

        Reports and means of earlier plans are deleted; their trials stay, without a parent.
        """
        alone = self._report_run() is None
        if alone:
            self.begin(time.time())
        self._client.log_artifacts(self._report_run(), str(folder))
        self._summarise(arms)
        for row in [row for row in self._of_study if row.run_id != self._report_run()]:
            self._delete(row)
            self._of_study.remove(row)
        self._answers = answers
        self._describe()
        self._client.set_tag(self._report_run(), "mlflow.note.content", self._note())
        if alone:
            self.finish()

    def _summarise(self, arms: tuple[ArmFacts, ...]) -> None:
        """Write the arms' summaries, put their trials beneath them, and delete the summaries before."""
        if not arms:
            return
        parents = {text(one.name, TAG_LENGTH): self._arms.write(one) for one in arms}
        present = {(text(one.name, TAG_LENGTH), id) for one in arms for id in one.trials}
        for cell, row in self._trials.items():  # MLflow's pages would list a deleted parent
            self._trials[cell] = self._beneath(parents[cell[0]] if cell in present else "", row)
        self._arms.tidy()

    def finish(self, status: str = "FINISHED", ended: float | None = None) -> None:
        """Close the study's own run, if there is one (FINISHED, FAILED or KILLED), and arms without means."""
        self._arms.close()
        if own := self._report_run():
            self._client.set_terminated(own, status, None if ended is None else milliseconds(ended))

    def settle(self, results: Iterable[Result]) -> None:
        """Close the study's own run with the times of its trials, as `sync` finds them."""
        started = [(r.started, r.started + r.seconds) for r in results]
        if started:
            self.begin(min(start for start, _ in started))
            self.finish(ended=max(end for _, end in started))

    def link(self, arm: str, trial_id: str) -> str | None:
        """The address of a trial's page: absolute on a server, else from the UI's root; None if unwritten."""
        row = self._trials.get((text(arm, TAG_LENGTH), trial_id))
        root = re.sub(r"//[^/@]*@", "//", self._served).rstrip("/") + "/" if self._served else ""
        return root + browsing.run_link(self._experiment.id, row.run_id) if row else None


def sync(
    plan: Plan,
    results: Mapping[str, Iterable[Result]],
    where: str,
    report: Callable[[Projection], tuple[Path, tuple[str, ...], tuple[ArmFacts, ...]]] | None = None,
) -> Synced:
    """Write to MLflow the results (by arm) that it lacks, each exactly once.

    The caller holds the study's lock. `report` returns the arguments of `Projection.publish`; it can get
    links from the projection.
    Raises BadInput with the reason when MLflow cannot be read or written.
    """
    cells = [(arm, result) for arm, of_arm in results.items() for result in of_arm]
    with reached(where, "written", again="sync"):
        projection = Projection(plan, where)
        written = sum(projection.record(arm, result) for arm, result in cells)
        projection.settle(result for _, result in cells)
    if report and cells:
        made = report(projection)
        with reached(where, "written", again="sync"):
            projection.publish(*made)
    return Synced(written, len(cells) - written, projection.removed)


def ended(where: str, study: str, flag: str = "--study") -> tuple[str, list[Ended]]:
    """A study's name and its ended runs: of the experiment `unrolled/STUDY`, or STUDY; the only one for "".

    `flag` is the one that chooses. Raises BadInput with the reason when MLflow cannot be read, or several
    studies fit.
    """
    path = sqlite_path(where)
    if path is not None and not path.exists():  # MLflow would create it
        raise BadInput("there is no such database", place=where, cure="correct the address")
    with reached(where, "read"):
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=where)
        known = {e.name: e.experiment_id for e in client.search_experiments()}
        ours = [name for name in known if name.startswith("unrolled/")]
        named = [n for n in (text(f"unrolled/{study}", NAME_LENGTH), study) if n in known] if study else ours
        if not named or (len(named) > 1 and not study):
            have = ", ".join(sorted(ours or known)) or "there is none"
            what = "it has several studies" if named or not study else f"it has no experiment {study!r}"
            raise BadInput(what, place=public(where), cure=f"choose an experiment with {flag}: {have}")
        every = [(run.info, run.data) for run in runs(client, known[named[0]])]
    return named[0].removeprefix("unrolled/"), [
        Ended(info.status, info.start_time or 0, data.params, data.tags, data.metrics)
        for info, data in every
        if info.end_time and data.tags.get("unrolled.role", "trial") == "trial"
    ]


