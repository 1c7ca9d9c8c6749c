"""An arm's own run in MLflow: its means over all its seeds, and the parent of its trials.

MLflow computes the means of a group over the runs that a page has loaded, a hundred at most, so nothing is
grouped there: the numbers come from the report's statistics and are written once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ablations.tracking import browsing
from ablations.tracking.entry import (
    NAME_LENGTH,
    PARAM_LENGTH,
    TAG_LENGTH,
    Point,
    StudyFacts,
    digest,
    key,
    milliseconds,
    section,
    text,
)
from bench.trial import Scalar, canonical

SUMMARY = "unrolled.summary"
"""Tag with the hash of what a run shows, written last: a run without it is not whole."""

METRICS_A_CALL, PARAMS_A_CALL = 800, 100  # log_batch takes 1000 things, 100 of them parameters


@dataclass(frozen=True, kw_only=True)
class ArmFacts:
    """One arm over its seeds, as the report has it.

    `metrics` go by the names of Result.metrics; those in `curves` have a mean for every epoch as well. Each
    is over all finished seeds. `seeds` says in words how many those are, and what became of the others.
    """

    name: str
    role: str = "arm"  # or "search": one level of a tuned setting, which decides nothing by itself
    trials: tuple[str, ...] = ()  # identities
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    seeds: str = ""
    verdict: str = ""
    started: float = 0.0  # unix seconds, of the first trial
    ended: float = 0.0

    @property
    def digest(self) -> str:
        """Hash of everything that its run shows."""
        return digest(canonical(asdict(self)).decode())


@dataclass(frozen=True)
class _Row:
    """What has to be known of a run that is there."""

    run_id: str
    digest: str  # of the summary that it holds, "" while it holds none


class ArmRuns:
    """The runs of a study's arms: opened when an arm's first trial is written, filled by its summary."""

    def __init__(self, client: Any, experiment: str, study: StudyFacts) -> None:
        self._client, self._experiment, self._study = client, experiment, study
        self._plan = text(study.mark, TAG_LENGTH)
        self._rows: dict[str, _Row] = {}  # of this plan, by arm
        self._outdated: set[str] = set()  # runs of other plans, and second copies

    def read(self, run: Any) -> None:
        """Take note of a run that is there; one whose summary was cut short is deleted."""
        told, run_id = run.data.tags, run.info.run_id
        row = _Row(run_id, told.get(SUMMARY, ""))
        arm = told.get("unrolled.arm", "")
        before = self._rows.get(arm)
        if run.data.metrics and not row.digest:
            self._client.delete_run(run_id)
        elif told.get("unrolled.plan") != self._plan or (before and (before.digest or not row.digest)):
            self._outdated.add(run_id)
        else:
            self._outdated |= {before.run_id} if before else set()
            self._rows[arm] = row

    def open(self, arm: str, started: int) -> str:
        """The run of an arm, made if it is not there; `started` in unix milliseconds."""
        arm = text(arm, TAG_LENGTH)
        if arm not in self._rows:
            facts = {"study": self._study.name, "role": "arm", "arm": arm, "plan": self._plan}
            marks = {f"unrolled.{name}": text(value, TAG_LENGTH) for name, value in facts.items()}
            made = self._client.create_run(self._experiment, started, marks, text(arm, NAME_LENGTH))
            self._rows[arm] = _Row(made.info.run_id, "")
        return self._rows[arm].run_id

    def write(self, facts: ArmFacts) -> str:
        """Show an arm's summary, in a run of its own where another one was shown. Returns the run's id."""
        arm, mark = text(facts.name, TAG_LENGTH), facts.digest
        there = self._rows.get(arm)
        if there and there.digest == mark:
            return there.run_id
        if there and there.digest:  # MLflow keeps every value of a metric, and parameters for ever
            self._outdated.add(self._rows.pop(arm).run_id)
        run_id = self.open(arm, milliseconds(facts.started))
        log(self._client, run_id, _points(facts), {"arm": facts.name, **facts.settings})
        for name, value in self._tags(facts, run_id).items():
            self._client.set_tag(run_id, name, text(value, TAG_LENGTH))
        self._client.set_tag(run_id, SUMMARY, mark)
        self._client.set_terminated(run_id, "FINISHED", milliseconds(facts.ended))
        self._rows[arm] = replace(self._rows[arm], digest=mark)
        return run_id

    def _tags(self, facts: ArmFacts, run_id: str) -> dict[str, str]:
        """What the table shows beside the numbers, and the description of the run's page."""
        said = {"role": facts.role, "seeds": facts.seeds, "verdict": facts.verdict}
        link = browsing.children_link(self._experiment, run_id, self._study.metric)
        return {
            **{f"unrolled.{name}": value for name, value in said.items() if value},
            "mlflow.note.content": browsing.arm_description(facts.verdict, facts.seeds, link),
        }

    def tidy(self) -> None:
        """Delete what shows other plans' means. No trial may have such a run as its parent any more."""
        while self._outdated:
            self._client.delete_run(self._outdated.pop())

    def close(self) -> None:
        """End the runs that hold no summary: nothing is trained for them any more."""
        for row in self._rows.values():
            if not row.digest:
                self._client.set_terminated(row.run_id, "KILLED")


def _points(facts: ArmFacts) -> list[Point]:
    """Curves by epoch and then the metrics: at the last epoch where there is a curve, else once."""
    end = milliseconds(facts.ended)
    at: dict[tuple[str, int], float] = {}
    for name, curve in facts.curves.items():
        at |= {(section(name), epoch): value for epoch, value in curve.items()}
    for name, value in facts.metrics.items():
        at[section(name), max(facts.curves.get(name, ()), default=0)] = value
    return [(name, value, end, step) for (name, step), value in at.items()]


def log(client: Any, run_id: str, points: list[Point], settings: Mapping[str, Scalar]) -> None:
    """Write metrics and parameters in calls of a size that MLflow takes; long parameters are cut."""
    from mlflow.entities import Metric, Param

    metrics = [Metric(*point) for point in points]
    params = [Param(key(name), text(str(value), PARAM_LENGTH)) for name, value in settings.items()]
    for some, few in _batches(metrics, params):
        client.log_batch(run_id, some, few)


def _batches(metrics: list[Any], params: list[Any]) -> Iterator[tuple[list[Any], list[Any]]]:
    while metrics or params:
        yield metrics[:METRICS_A_CALL], params[:PARAMS_A_CALL]
        metrics, params = metrics[METRICS_A_CALL:], params[PARAMS_A_CALL:]
