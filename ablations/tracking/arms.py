"""An arm's own run in MLflow: its means over all its seeds, and the parent of its trials.

MLflow computes the means of a group over the runs that a page has loaded, a hundred at most, so nothing is
grouped there: the numbers come from the report's statistics and are written once.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ablations.tracking import browsing
from ablations.tracking.entry import TAG_LENGTH, Point, digest, milliseconds, section, text
from ablations.tracking.experiment import Experiment
from bench.trial import Scalar, canonical

SUMMARY = "unrolled.summary"
"""Tag with the hash of a run's summary, written last: without it the summary is not whole."""


@dataclass(frozen=True, kw_only=True)
class ArmFacts:
    """The summary of one arm over its seeds, with the report's numbers.

    `metrics` and `curves` are means over the finished seeds, by the names of Result.metrics; `curves` are
    by epoch. `seeds` counts the finished seeds and the others: "15 of 40, decided, 1 diverged".
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
        """Hash of all fields, by which a changed summary is recognised."""
        return digest(canonical(asdict(self)).decode())


class ArmRuns:
    """The runs of a study's arms: opened when an arm's first trial is written, filled by its summary."""

    def __init__(self, experiment: Experiment, study: str, plan: str, metric: str) -> None:
        self._experiment, self._client = experiment, experiment.client
        self._study, self._plan, self._metric = study, plan, metric
        self._runs: dict[str, str] = {}  # of this plan, by arm
        self._shown: dict[str, str] = {}  # the hash of each run's summary, "" without one
        self._outdated: set[str] = set()  # runs of other plans, and second copies

    def read(self, run: Any) -> None:
        """Add an existing run to the index; delete it if its summary is incomplete."""
        tags, run_id = run.data.tags, run.info.run_id
        arm, shown = tags.get("unrolled.arm", ""), tags.get(SUMMARY, "")
        before = self._runs.get(arm)
        if run.data.metrics and not shown:
            self._client.delete_run(run_id)
        elif tags.get("unrolled.plan") != self._plan or (before and (self._shown[before] or not shown)):
            self._outdated.add(run_id)
        else:
            self._outdated |= {before} if before else set()
            self._runs[arm], self._shown[run_id] = run_id, shown

    def open(self, arm: str, started: int) -> str:
        """The run of an arm, made if it is not there; `started` in unix milliseconds."""
        arm = text(arm, TAG_LENGTH)
        if arm not in self._runs:
            tags = {"study": self._study, "role": "arm", "arm": arm, "plan": self._plan}
            self._runs[arm] = self._experiment.create(arm, started, tags)
            self._shown[self._runs[arm]] = ""
        return self._runs[arm]

    def write(self, facts: ArmFacts) -> str:
        """Write an arm's summary, to a new run if the present one holds another. Returns the run's id."""
        arm, mark = text(facts.name, TAG_LENGTH), facts.digest
        there = self._runs.get(arm, "")
        if there and self._shown[there] == mark:
            return there
        if there and self._shown[there]:  # MLflow keeps every value of a metric, and parameters for ever
            self._outdated.add(self._runs.pop(arm))
        run_id = self.open(arm, milliseconds(facts.started))
        self._experiment.log(run_id, _points(facts), {"arm": facts.name, **facts.settings})
        link = browsing.children_link(self._experiment.id, run_id, self._metric)
        tags = {
            "unrolled.role": facts.role,
            "unrolled.seeds": facts.seeds,
            "unrolled.verdict": facts.verdict,
            "mlflow.note.content": browsing.arm_description(facts.verdict, facts.seeds, link),
            SUMMARY: mark,  # last
        }
        for name, value in tags.items():
            if value:
                self._client.set_tag(run_id, name, text(value, TAG_LENGTH))
        self._client.set_terminated(run_id, "FINISHED", milliseconds(facts.ended))
        self._shown[run_id] = mark
        return run_id

    def tidy(self) -> None:
        """Delete the means of other plans. No trial may have such a run as its parent any more."""
        while self._outdated:
            self._client.delete_run(self._outdated.pop())

    def close(self) -> None:
        """End the runs that hold no summary."""
        for run_id in self._runs.values():
            if not self._shown[run_id]:
                self._client.set_terminated(run_id, "KILLED")


def _points(facts: ArmFacts) -> list[Point]:
    """Curves by epoch and then the metrics: at the last epoch where there is a curve, else once."""
    end = milliseconds(facts.ended)
    at: dict[tuple[str, int], float] = {}
    for name, curve in facts.curves.items():
        at |= {(section(name), epoch): value for epoch, value in curve.items()}
    for name, value in facts.metrics.items():
        at[section(name), max(facts.curves.get(name, ()), default=0)] = value
    return [(name, value, end, step) for (name, step), value in at.items()]
