"""Trial and Result: the settings of a training and its outcome. Frozen data, canonical JSON, identity.

Nothing here imports torch, so that planning, reading results and reporting stay light.
"""

import hashlib
import json
import math
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, NewType, Self

from unrolled.bench.metric import COST_KINDS, Kind

RESULT_FORMAT = 9
"""Version of the trial and result format; part of every identity."""

FileState = tuple[int, ...]
"""Size, inode and times of a file: see `bench.identity.file_state`."""

Scalar = bool | int | float | str

PLANNED_FIELDS = ("device", "source", "data", "versions")
"""Fields of Trial that no study sets: planning determines them."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One arm and one seed of a study: everything that decides the numbers.

    Each trainer has a subclass, whose further fields are the settings: ChapterTrial in `bench.chapter.trial`
    for the models of the chapter, ProgramTrial in `bench.program.trial` for a user's program. `source` is a
    hash of the code and `data` of what it reads; `versions` names the packages that compute ("torch 2.13.0").
    """

    seed: int
    device: str = "cpu"  # cpu | cuda
    source: str = ""
    data: str = ""
    versions: str = ""

    trainer: ClassVar[str]
    """The name of its trainer, one of TRIAL_TYPES."""
    mlflow_metrics_import: ClassVar[str]
    """Import name of the `bench.mlflow_metrics.MlflowMetrics` that MLflow shows."""
    presentation_import: ClassVar[str]
    """Import name of the `reports.presentation.Presentation` by which pages show it."""
    run_import: ClassVar[str]
    """Import name of the function from a trial to its Result, so that planning loads no torch."""
    first_batch_import: ClassVar[str] = ""
    """The function that trains the first batch of an arm before its study starts; "" for none."""
    uses_torch: ClassVar[bool] = False
    """Whether torch trains it, in which case torch has to support the GPU."""
    unhashed_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that do not enter the identity, such as the path of a file, whose content enters it."""
    task_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that define the task: trials that differ in one of them cannot be compared."""

    @property
    def id(self) -> str:
        """Sixteen hex digits of the content's hash."""
        content = {name: value for name, value in self.to_dict().items() if name not in self.unhashed_fields}
        return hashlib.sha256(canonical_json({**content, "format": RESULT_FORMAT})).hexdigest()[:16]

    @property
    def declared_fields(self) -> dict[str, Any]:
        """The fields that a study declares: all but those in PLANNED_FIELDS and `unhashed_fields`."""
        left_out = (*self.unhashed_fields, *PLANNED_FIELDS)
        return {name: value for name, value in self.to_dict().items() if name not in left_out}

    @property
    def comparable_content(self) -> dict[str, Any]:
        """Everything that is trained, its settings and data, except the seed and the code that does it.

        Equal content marks the same contrast across studies, seeds and versions of the code.
        """
        settings = {name: value for name, value in self.declared_fields.items() if name != "seed"}
        return {**settings, "data": self.data}

    @property
    def command_template(self) -> str:
        """The template of its command line; "" where it has none."""
        return ""

    @classmethod
    def metric_kinds(cls) -> Mapping[str, Kind]:
        """Return the kinds of the metrics that are measured of it and differ from run to run, by name."""
        return COST_KINDS

    @property
    def title(self) -> str:
        """What is trained, as a page calls it."""
        return ""

    @property
    def comparable_class(self) -> str:
        """What the settings configure. Trials of one comparable_class differ in their settings alone."""
        return ""

    @property
    def data_name(self) -> str:
        """The data's name, without its folder, which may be the user's home."""
        return "data"

    @property
    def main_metrics(self) -> tuple[str, ...]:
        """The metrics that a line on its result shows beside those that its study judges."""
        return ()

    @property
    def uses_seed(self) -> bool:
        """False if no seed changes its numbers, as of a model that is fitted by counting."""
        return True

    @property
    def task(self) -> dict[str, Scalar]:
        """The values of `task_fields`."""
        return {name: getattr(self, name) for name in self.task_fields}

    @property
    def preload(self) -> tuple[str, ...]:
        """The modules that are loaded once for all trials like this one."""
        return ()

    @property
    def usual_time_limit(self) -> float:
        """Seconds that an attempt may take where the user gives no limit."""
        return 3600.0

    @property
    def expected_seconds(self) -> float:
        """Expected seconds on a core, before any such trial was measured."""
        return 60.0

    @property
    def gpu_count(self) -> int:
        """How many GPUs it gets."""
        return 0 if self.device == "cpu" else 1

    def to_dict(self) -> dict[str, Any]:
        """Return every field by its name, as plain data."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def flat_settings(self) -> dict[str, Scalar]:
        """Return every setting but the seed, by its flat name, as tables and MLflow show it."""
        raise NotImplementedError

    def find_changes(self, base: "Trial") -> dict[str, Scalar]:
        """Return the settings that another trial has at another value, or lacks."""
        base_settings = base.flat_settings()
        return {name: x for name, x in self.flat_settings().items() if base_settings.get(name) != x}

    def count_result(self, result: "Result", metrics: Sequence[str]) -> "CountedResult":
        """Return the result as it counts in a study that judges these metrics."""
        return CountedResult(result)

    def identify(self) -> Self:
        """Return the trial with `source`, `data` and `versions`; if one of them changes it is another trial.

        Raises BadInput if code or data cannot be read.
        """
        raise NotImplementedError

    def confirm_identity(self) -> Mapping[Path, FileState]:
        """Return the state of the user's files that count, which may be read until the trial has ended.

        Raises BadInput if this process would not compute the trial as it was planned.
        """
        raise NotImplementedError

    def select_modules(self, loaded: Sequence[str]) -> list[str]:
        """Return those of a study's modules and plug-ins that this trial needs."""
        return list(loaded)

    def files_to_ship(self) -> dict[str, bytes]:
        """Return the user's files that another machine needs to train it, by their path there."""
        return {}

    def relocated_to(self, folder: Path) -> Self:
        """Return the same trial with its `files_to_ship` below another folder."""
        return self


TRIAL_TYPES = {
    "chapter": "unrolled.bench.chapter.trial:ChapterTrial",
    "program": "unrolled.bench.program.trial:ProgramTrial",
}
"""The kinds of trials, by import name because each imports this module."""


def trial_type(trainer: str) -> type[Trial]:
    """Return the kind of trial of a trainer. Raises KeyError for a name that is not in TRIAL_TYPES."""
    trial_class: type[Trial] = pkgutil.resolve_name(TRIAL_TYPES[trainer])
    return trial_class


DETAIL_FIELDS = ("curves", "records", "trace", "output")
"""Fields of Result that no comparison of arms uses: the ledger keeps them in a separate file."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of one trial. Divergence and failure are results too: `status`, and the reason.

    `metrics` are numbers by name, `curves` are points (step, value) by metric. The metrics of every trainer
    include `seconds` (see `total_seconds`) and `memory_peak` (MiB); `metric_table` has those of the chapter.
    `records` and `trace` are plain data in a form that each trainer chooses; the property `warning` reads the
    records. `witnesses` maps a setting to {"ok": bool, "declared": …, "seen": …}: the proof that it
    took effect. `provenance` says where the numbers come from: machine, commit and packages, whether the
    trial went on from an earlier attempt, and which metrics of a program could not be read.
    """

    trial: Trial
    status: str  # done | diverged | failed
    reason: str = ""
    attempts: int = 1
    started: float = 0.0  # unix seconds
    seconds: float = 0.0  # seconds of the last attempt, with all that its process did, by a monotonic clock
    curves: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    witnesses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    records: Mapping[str, Any] = field(default_factory=dict)
    trace: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    output: str = ""  # end of the output of a trial that failed, or reported no number

    @property
    def done(self) -> bool:
        """True if the training finished, so that its numbers may be used."""
        return self.status == "done"

    @property
    def diverged(self) -> bool:
        """True if the training diverged. That is a result: a diverged seed counts as an infinite loss."""
        return self.status == "diverged"

    @property
    def stopped_by_limit(self) -> bool:
        """True if a limit of time or of disk ended it: it keeps its checkpoint, and may go on from there."""
        return self.status == "failed" and self.reason.startswith((TIME_LIMIT, DISK_LIMIT))

    @property
    def total_seconds(self) -> float:
        """Seconds of all attempts that are part of this result."""
        return max(self.seconds, self.metrics.get("seconds", 0.0))

    @property
    def training_seconds(self) -> float:
        """The seconds that it measured of its training; all of its seconds where it has no such number."""
        return self.metrics.get("seconds", self.total_seconds)

    @property
    def trouble(self) -> str:
        """The reason of a trial that is not done; a divergence is a result, anything else a failure."""
        return self.reason if self.diverged else f"FAILED: {self.reason}"

    @property
    def warning(self) -> str:
        """Why a finished trial has learnt nothing, such as "always predicts “the”"; "" for most."""
        return str(self.records.get("warning", ""))

    def main_numbers(self, judged: Sequence[str]) -> list[str]:
        """Return the metrics that its study judges, then its other main ones, as "loss 0.4213"."""
        names = dict.fromkeys([*judged, *self.trial.main_metrics])
        numbers = {name: self.metrics[name] for name in names if name in self.metrics}
        return [f"{name.removeprefix('valid_')} {number:.4f}" for name, number in numbers.items()]

    def without_details(self) -> Self:
        """Return the same result with every field of DETAIL_FIELDS empty."""
        return replace(self, curves={}, records={}, trace={}, output="")

    def to_dict(self) -> dict[str, Any]:
        """Return every field as plain data, for `canonical_json`."""
        data = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**data, "trainer": self.trial.trainer, "trial": self.trial.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote, with or without DETAIL_FIELDS. Raises TypeError or KeyError."""
        data = dict(data)
        data["trial"] = trial_type(data.pop("trainer"))(**data["trial"])
        data["metrics"] = {name: float(value) for name, value in data["metrics"].items()}
        data["curves"] = {
            name: tuple((float(step), float(value)) for step, value in points)
            for name, points in data.get("curves", {}).items()
        }
        return cls(**data)


CountedResult = NewType("CountedResult", Result)
"""A result as a study counts it; a ledger has results as they were measured. See `Trial.count_result`."""

STATUSES = ("done", "diverged", "failed")

TIME_LIMIT = "time limit"  # beginning of the reason of a trial that took too long
DISK_LIMIT = "disk limit"  # beginning of the reason of a trial that wrote too much


def failed_result(trial: Trial, reason: str, *, status: str = "failed", **fields: Any) -> Result:
    """Return the Result of a trial that is not done, with its reason in one line."""
    return Result(trial=trial, status=status, reason=" ".join(reason.split()), **fields)


def canonical_json(data: Any) -> bytes:
    """ASCII JSON with sorted keys and no spaces: equal data gives equal bytes.

    Python writes floats so that they read back to the same bits; JSON has no NaN and no infinity, so
    these become the strings "nan", "inf" and "-inf", which `float()` reads.
    """
    return json.dumps(
        _replace_non_finite(data), sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode()


def _replace_non_finite(data: Any) -> Any:
    if isinstance(data, float) and not math.isfinite(data):
        return str(data)
    if isinstance(data, Mapping):
        return {str(key): _replace_non_finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_replace_non_finite(value) for value in data]
    return data
