"""A study in MLflow: a run for each trial, one for each arm and one for the report, made from the results."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from unrolled.ablations.mlflow import views
from unrolled.ablations.mlflow.experiment import FIRST_LOOK_TAG, Experiment, runs
from unrolled.ablations.mlflow.fields import (
    TAG_LENGTH,
    dataset,
    digest,
    milliseconds,
    params,
    points,
    tags,
    text,
)
from unrolled.ablations.study.plan import Plan
from unrolled.bench.tracking import CurvePoint
from unrolled.bench.trial import Result, Scalar, canonical

PARENT = "mlflow.parentRunId"  # tag with the run under which MLflow's pages list a run
NOTE = "mlflow.note.content"  # tag with a description, in Markdown
ROLE = "unrolled.role"  # tag: trial, arm or study
PLAN = "unrolled.plan"  # tag that tells plans apart, see `plan_mark`
SUMMARY = "unrolled.summary"  # tag with the hash of what an arm's run shows

ENDED = ("FINISHED", "FAILED")  # the statuses of a run that was written whole


@dataclass(frozen=True, kw_only=True)
class ArmRun:
    """One arm over its seeds, with the report's numbers.

    `metrics` and `curves` are means over the finished seeds, by the names of Result.metrics; a curve is by
    epoch or step. `seeds` counts the finished seeds and the others: "15 of 40, decided, 1 diverged".
    """

    name: str
    trials: tuple[str, ...] = ()  # identities
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    title: str = ""  # the arm's name with its mean and interval
    seeds: str = ""
    verdict: str = ""  # in words: "better by more than δ"
    claim: str = ""  # the report's sentence
    started: float = 0.0  # unix seconds, of the first trial
    ended: float = 0.0


@dataclass(frozen=True)
class _TrialRun:
    run_id: str
    status: str  # of its result
    start: int  # unix milliseconds
    plan: str
    parent: str = ""
    first_look: str = ""


class StudyRuns:
    """The runs of one study.

    Each run is written whole and then ended: one that has not ended was left by a process that was killed,
    and is deleted when the study is opened. Slow to open: it imports mlflow, creates the database and reads
    every run. Methods raise what MLflow raises; it is then unknown what was written, so open the study again.
    """

    def __init__(self, plan: Plan, where: str) -> None:
        self._plan, self._mark = plan, plan_mark(plan)
        self._experiment = Experiment(f"unrolled/{plan.study}", where)
        self._client = self._experiment.client
        self._trials: dict[tuple[str, str], _TrialRun] = {}  # by arm and trial
        self._summaries: dict[str, Mapping[str, str]] = {}  # tags of the runs of arms and reports, by run
        first_seeds = plan.seeds[: plan.looks[0]]
        self._first_look = {
            (text(arm.name, TAG_LENGTH), id)
            for arm in plan.arms
            for seed, id in arm.trials.items()
            if seed in first_seeds
        }
        self._read_runs()
        if self._client.get_experiment(self._experiment.id).tags.get(PLAN) != self._mark:
            self._describe()

    def _read_runs(self) -> None:
        """Read which runs there are. Delete those not written whole, and second copies of a trial."""
        outdated = []  # deleted once all are read: a page begins after so many runs as were read before
        for run in runs(self._client, self._experiment.id):
            found, info = run.data.tags, run.info
            if ROLE not in found:  # a run of the user's own
                continue
            key = found.get("unrolled.arm", ""), found.get("unrolled.trial", "")
            if info.status not in ENDED or key in self._trials:
                outdated.append(info.run_id)
            elif found[ROLE] == "trial":
                status, plan, parent, first_look = (
                    found.get(tag, "") for tag in ("unrolled.status", PLAN, PARENT, FIRST_LOOK_TAG)
                )
                trial_run = _TrialRun(info.run_id, status, info.start_time, plan, parent, first_look)
                self._trials[key] = trial_run
            else:
                self._summaries[info.run_id] = found
        for run_id in outdated:
            self._client.delete_run(run_id)

    def write_trial(self, arm: str, result: Result) -> bool:
        """Write one trial, unless it has a run of this status and start. Returns whether it was written."""
        result, key = self._plan.judge_result(result), (text(arm, TAG_LENGTH), result.trial.id)
        start, existing = milliseconds(result.started), self._trials.get(key)
        if existing and (existing.status, existing.start) == (result.status, start):
            return False
        if existing:
            self._client.delete_run(existing.run_id)
        tracking, ended = self._plan.tracking, result.started + result.seconds
        run_id = self._experiment.write_run(
            f"{text(arm, 200)}/seed={result.trial.seed}",
            {**self._tags("trial", arm), **tags(result), FIRST_LOOK_TAG: self._is_of_first_look(key)},
            started=result.started,
            ended=ended,
            status="FINISHED" if result.done else "FAILED",
            points=points(tracking.points(result), tracking.numbers(result), result.started, ended),
            params=params(arm, result),
            dataset=dataset(result.trial),
        )
        first_look = self._is_of_first_look(key)
        self._trials[key] = _TrialRun(run_id, result.status, start, self._mark, first_look=first_look)
        return True

    def _is_of_first_look(self, key: tuple[str, str]) -> str:
        return str(key in self._first_look)

    def publish(self, page_folder: Path, answers: tuple[str, ...], arms: tuple[ArmRun, ...]) -> None:
        """Write the arms, the report and its answers to the study's question.

        `page_folder` has the page. Runs of earlier arms and reports are deleted. Trials that are not of this
        plan keep their runs, which are then listed beneath no arm.
        """
        arm_runs = {text(arm.name, TAG_LENGTH): self._write_arm(arm) for arm in arms}
        self._place_trials({(text(arm.name, TAG_LENGTH), id) for arm in arms for id in arm.trials}, arm_runs)
        report_run = self._write_report(page_folder, arms)
        outdated = self._summaries.keys() - {report_run, *arm_runs.values()}
        for run_id in outdated:  # no trial is beneath them any more
            self._client.delete_run(run_id)
            del self._summaries[run_id]
        self._describe(answers, report_run)

    def _write_arm(self, arm: ArmRun) -> str:
        """The id of the arm's run. A run that shows other numbers is not changed: a new one is written.

        MLflow would keep the old value of a metric beside the new one.
        """
        content_hash = digest(self._mark + canonical(asdict(arm)).decode())
        for run_id, found in self._summaries.items():
            if found.get(SUMMARY) == content_hash:
                return run_id
        shown = {
            **self._tags("arm", arm.name),
            "unrolled.seeds": arm.seeds,
            "unrolled.verdict": arm.verdict,
            "unrolled.claim": arm.claim,
            NOTE: views.describe_arm(arm.claim, arm.seeds),
            SUMMARY: content_hash,
        }
        lasted, every = arm.ended - arm.started, arm.curves.items()
        curves = (CurvePoint(name, x, y, lasted) for name, curve in every for x, y in curve.items())
        run_id = self._experiment.write_run(
            arm.title or arm.name,
            shown,
            started=arm.started,
            ended=arm.ended,
            points=points(curves, arm.metrics, arm.started, arm.ended),
            params={"arm": arm.name, **arm.settings},
        )
        self._summaries[run_id] = shown
        return run_id

    def _place_trials(self, present: set[tuple[str, str]], arm_runs: Mapping[str, str]) -> None:
        """Put the trials of the plan beneath their arms' runs, and no other trial beneath any.

        `present` has arm and trial of those of the plan, `arm_runs` the id of each arm's run.
        """
        for key, trial in self._trials.items():
            parent, plan = (arm_runs[key[0]], self._mark) if key in present else ("", trial.plan)
            if plan != trial.plan:
                self._client.set_tag(trial.run_id, PLAN, plan)
            if (first_look := self._is_of_first_look(key)) != trial.first_look:
                self._client.set_tag(trial.run_id, FIRST_LOOK_TAG, first_look)
            if parent and parent != trial.parent:
                self._client.set_tag(trial.run_id, PARENT, parent)
            elif trial.parent and not parent:  # MLflow's pages would list a deleted parent
                self._client.delete_tag(trial.run_id, PARENT)
            self._trials[key] = replace(trial, plan=plan, parent=parent, first_look=first_look)

    def _write_report(self, page_folder: Path, arms: Iterable[ArmRun]) -> str:
        """The id of the study's own run, with the report's folder among its artifacts."""
        times = [moment for arm in arms if arm.started for moment in (arm.started, arm.ended)]
        times = times or [time.time()]
        for run_id, found in self._summaries.items():
            if found[ROLE] == "study" and found[PLAN] == self._mark:
                self._client.log_artifacts(run_id, str(page_folder))
                self._client.set_terminated(run_id, "FINISHED", milliseconds(max(times)))
                return run_id
        shown = self._tags("study")
        title = f"study {self._plan.study}"
        run_id = self._experiment.write_run(
            title, shown, started=min(times), ended=max(times), artifacts=[page_folder]
        )
        self._summaries[run_id] = shown
        return run_id

    def _describe(self, answers: tuple[str, ...] = (), report_run: str = "") -> None:
        """Write the experiment's description and saved views, and the description of the report's run."""
        links = views.study_links(self._experiment.id, report_run)
        note = views.describe_study(self._plan, answers, links)
        if report_run:
            self._client.set_tag(report_run, NOTE, note)
        shown = {NOTE: note, **views.saved_views(self._plan, self._mark), PLAN: self._mark}
        shown["mlflow.experimentKind"] = "custom_model_development"  # without a kind the page asks for one
        for name, value in shown.items():
            self._client.set_experiment_tag(self._experiment.id, name, value)

    def _tags(self, role: str, arm: str = "") -> dict[str, str]:
        return {"unrolled.study": self._plan.study, ROLE: role, "unrolled.arm": arm, PLAN: self._mark}


def plan_mark(plan: Plan) -> str:
    """A plan's `unrolled.plan` tag: a plan of other settings, code or data has another one."""
    return text(f"{plan.hash}-{digest(' '.join(sorted(plan.ids)))[:16]}", TAG_LENGTH)
