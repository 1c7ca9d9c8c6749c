"""A study in MLflow: a run for each trial, one for each arm and one for the report, made from the results."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from unrolled.ablations.mlflow import views
from unrolled.ablations.mlflow.experiment import (
    FIRST_LOOK_TAG,
    STANDING_TAG,
    Experiment,
    RunContent,
    read_runs,
)
from unrolled.ablations.mlflow.fields import (
    TAG_LENGTH,
    describe_dataset,
    fit_text,
    hash_value,
    make_metric_points,
    make_trial_tags,
    round_number,
    to_milliseconds,
)
from unrolled.ablations.plans.plan import Plan
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.mlflow_metrics import CurvePoint
from unrolled.bench.trial import Result, Scalar

# names of tags
PARENT = "mlflow.parentRunId"  # run under which MLflow's pages list a run
NOTE = "mlflow.note.content"  # description in Markdown
ROLE = "unrolled.role"  # trial, arm or study
ARM = "unrolled.arm"
TRIAL = "unrolled.trial"
STATUS = "unrolled.status"  # status of a trial's result
PLAN = "unrolled.plan"  # mark of a plan; see `plan_mark`
SUMMARY = "unrolled.summary"  # hash of the numbers in an arm's run

ENDED = ("FINISHED", "FAILED")  # statuses of runs that were written completely


@dataclass(frozen=True, kw_only=True)
class ArmRun:
    """One arm over its seeds, with the report's numbers.

    `metrics` and `curves` are means over the finished seeds, by the names of Result.metrics; a curve is by
    epoch or step. `coverage` counts the finished seeds and the others: "15 of 40, decided, 1 diverged".
    """

    name: str
    trial_ids: tuple[str, ...] = ()
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    title: str = ""  # the arm's name, with its mean and interval
    coverage: str = ""
    standing: str = ""  # what weakens its claim, such as "exploratory"
    verdict: str = ""  # the verdict in words, such as "better by more than δ"
    claim: str = ""  # the report's sentence
    started: float = 0.0  # start of the first trial, in unix seconds
    ended: float = 0.0


@dataclass(frozen=True)
class _TrialRun:
    run_id: str
    start: int  # unix milliseconds
    tags: Mapping[str, str]  # its tags among STATUS, PLAN, PARENT, FIRST_LOOK_TAG and STANDING_TAG


class MlflowRuns:
    """The runs of one study.

    Each run is written completely and then ended. A run that has not ended comes from a process that was
    killed, and is deleted when the study is opened. Opening is slow: it imports mlflow, creates the database
    and reads every run. Methods raise what MLflow raises. It is then unknown what was written, so that the
    study has to be opened again.
    """

    def __init__(self, plan: Plan, uri: str) -> None:
        self._plan = plan
        self._mark = plan_mark(plan)
        self._experiment = Experiment(f"unrolled/{plan.study_name}", uri)
        self._client = self._experiment.client
        self._trials: dict[tuple[str, str], _TrialRun] = {}  # runs by arm and trial
        self._summaries: dict[str, Mapping[str, str]] = {}  # tags of the runs of arms and reports, by run
        self._first_look = {
            _make_trial_key(arm.name, arm.trial_ids[seed])
            for arm in plan.arms
            for seed in plan.rules.first_look_seeds
        }
        self._standings = {
            fit_text(arm.name, TAG_LENGTH): ", ".join(plan.find_standing(arm)) for arm in plan.arms
        }
        self._read_runs()
        if self._client.get_experiment(self._experiment.id).tags.get(PLAN) != self._mark:
            self._describe_study()

    def _read_runs(self) -> None:
        """Read the runs of the study. Delete incomplete ones, and second copies of a trial."""
        outdated_runs = []  # deleted after the last page, because a page starts after the runs before it
        for run in read_runs(self._client, self._experiment.id):
            run_id = run.info.run_id
            tags = run.data.tags
            if ROLE not in tags:  # a run that the user added
                continue
            key = tags.get(ARM, ""), tags.get(TRIAL, "")
            if run.info.status not in ENDED or key in self._trials:
                outdated_runs.append(run_id)
            elif tags[ROLE] == "trial":
                names = (STATUS, PLAN, PARENT, FIRST_LOOK_TAG, STANDING_TAG)
                stored_tags = {name: tags[name] for name in names if name in tags}
                self._trials[key] = _TrialRun(run_id, run.info.start_time, stored_tags)
            else:
                self._summaries[run_id] = tags
        for run_id in outdated_runs:
            self._client.delete_run(run_id)

    def write_trial(self, arm: str, stored_result: Result) -> bool:
        """Write one trial, unless it has a run of this status and start. Returns True if it was written."""
        result = self._plan.make_result_in_study(stored_result)
        key = _make_trial_key(arm, result.trial.id)
        start = to_milliseconds(result.started)
        if stored_run := self._trials.get(key):
            if (stored_run.tags.get(STATUS), stored_run.start) == (result.status, start):
                return False
            self._client.delete_run(stored_run.run_id)
        mlflow_metrics = self._plan.mlflow_metrics
        # `compare` may read the judged metrics from here, so that they are not rounded
        judged_metrics = set(self._plan.rules.metric_names)
        numbers = {
            name: number if name in judged_metrics else round_number(number)
            for name, number in mlflow_metrics.collect_final_numbers(result).items()
        }
        ended = result.started + result.attempt_seconds
        tags = {**self._make_role_tags("trial", arm), **make_trial_tags(result), **self._make_study_tags(key)}
        content = RunContent(
            title=f"{fit_text(arm, 200)}/seed={result.trial.seed}",
            tags=tags,
            started=result.started,
            ended=ended,
            status="FINISHED" if result.is_done else "FAILED",
            points=make_metric_points(
                mlflow_metrics.list_curve_points(result), numbers, result.started, ended
            ),
            params={**result.trial.flat_settings(), "arm": arm, "seed": result.trial.seed},
            dataset=describe_dataset(result.trial),
        )
        run_id = self._experiment.write_run(content)
        self._trials[key] = _TrialRun(
            run_id, start, {name: tags[name] for name in (STATUS, PLAN, FIRST_LOOK_TAG, STANDING_TAG)}
        )
        return True

    def _make_study_tags(self, key: tuple[str, str]) -> dict[str, str]:
        """Return the tags that `compare` reads of a trial: its place in the looks, and its arm's standing."""
        return {FIRST_LOOK_TAG: str(key in self._first_look), STANDING_TAG: self._standings.get(key[0], "")}

    def publish_report(self, page_folder: Path, claims: tuple[str, ...], arms: tuple[ArmRun, ...]) -> None:
        """Write the arms and the report, with its claims: a sentence for each contrast.

        `page_folder` has the page. Runs of earlier arms and reports are deleted. Trials that are not part of
        this plan keep their runs, which are then listed beneath no arm.
        """
        arm_runs = {arm.name: self._write_arm(arm) for arm in arms}
        # a plan does not know which results repeat earlier ones
        self._standings = {fit_text(arm.name, TAG_LENGTH): arm.standing for arm in arms}
        self._attach_trials(
            {_make_trial_key(arm.name, id): arm_runs[arm.name] for arm in arms for id in arm.trial_ids}
        )
        report_run = self._write_report(page_folder, arms)
        for run_id in self._summaries.keys() - {report_run, *arm_runs.values()}:  # outdated runs
            self._client.delete_run(run_id)
            del self._summaries[run_id]
        self._describe_study(claims, report_run)

    def _write_arm(self, arm: ArmRun) -> str:
        """Return the id of the arm's run. If its numbers differ, a new run is written beside the old one.

        MLflow would keep the old value of a metric beside the new one.
        """
        summary = hash_value(self._mark + canonical_json(asdict(arm)).decode())
        for run_id, tags in self._summaries.items():
            if tags.get(SUMMARY) == summary:
                return run_id
        arm_tags = {
            **self._make_role_tags("arm", arm.name),
            "unrolled.seeds": arm.coverage,
            "unrolled.verdict": arm.verdict,
            "unrolled.claim": arm.claim,
            NOTE: views.describe_arm(arm.claim, arm.coverage),
            SUMMARY: summary,
        }
        duration = arm.ended - arm.started
        curves = (
            CurvePoint(name, step, value, duration)
            for name, curve in arm.curves.items()
            for step, value in curve.items()
        )
        content = RunContent(
            title=arm.title or arm.name,
            tags=arm_tags,
            started=arm.started,
            ended=arm.ended,
            points=make_metric_points(curves, arm.metrics, arm.started, arm.ended),
            params={"arm": arm.name, **arm.settings},
        )
        run_id = self._experiment.write_run(content)
        self._summaries[run_id] = arm_tags
        return run_id

    def _attach_trials(self, parents: Mapping[tuple[str, str], str]) -> None:
        """Put the trials of the plan beneath their arms' runs, and no other trial beneath any.

        `parents` maps arm and trial to the arm's run, for each trial of the plan.
        """
        for key, trial in self._trials.items():
            tags = {**trial.tags, PARENT: parents.get(key, ""), **self._make_study_tags(key)}
            if key in parents:
                tags[PLAN] = self._mark
            for name, value in tags.items():
                if value and value != trial.tags.get(name):
                    self._client.set_tag(trial.run_id, name, value)
                elif trial.tags.get(name) and not value:  # MLflow's pages would list a deleted parent
                    self._client.delete_tag(trial.run_id, name)
            self._trials[key] = replace(trial, tags=tags)

    def _write_report(self, page_folder: Path, arms: Iterable[ArmRun]) -> str:
        """Return the id of the study's own run, with the report's folder among its artifacts."""
        times = [moment for arm in arms if arm.started for moment in (arm.started, arm.ended)] or [
            time.time()
        ]
        for run_id, tags in self._summaries.items():
            if tags[ROLE] == "study" and tags[PLAN] == self._mark:
                self._client.log_artifacts(run_id, str(page_folder))
                self._client.set_terminated(run_id, "FINISHED", to_milliseconds(max(times)))
                return run_id
        study_tags = self._make_role_tags("study")
        content = RunContent(
            title=f"study {self._plan.study_name}",
            tags=study_tags,
            started=min(times),
            ended=max(times),
            artifacts=page_folder,
        )
        run_id = self._experiment.write_run(content)
        self._summaries[run_id] = study_tags
        return run_id

    def _describe_study(self, claims: tuple[str, ...] = (), report_run: str = "") -> None:
        """Write the experiment's description and saved views, and the description of the report's run."""
        note = views.describe_study(
            self._plan, claims, views.make_study_links(self._experiment.id, report_run)
        )
        if report_run:
            self._client.set_tag(report_run, NOTE, note)
        tags = {
            NOTE: note,
            # until the arms of this plan have runs
            **views.make_saved_views(self._plan, self._mark if report_run else ""),
            PLAN: self._mark,
            "mlflow.experimentKind": "custom_model_development",  # without a kind, the page asks for one
        }
        for name, value in tags.items():
            self._client.set_experiment_tag(self._experiment.id, name, value)

    def _make_role_tags(self, role: str, arm: str = "") -> dict[str, str]:
        return {"unrolled.study": self._plan.study_name, ROLE: role, ARM: arm, PLAN: self._mark}


def _make_trial_key(arm: str, id: str) -> tuple[str, str]:
    """Return the key of a trial's run: the value of its tag `unrolled.arm`, and the trial's identity."""
    return fit_text(arm, TAG_LENGTH), id


def plan_mark(plan: Plan) -> str:
    """Return the `unrolled.plan` tag of a plan, which differs if its settings, code or data do."""
    return fit_text(f"{plan.study_hash}-{hash_value(' '.join(sorted(plan.ids)))[:16]}", TAG_LENGTH)
