"""Trial and Result: the settings of a training and its outcome. Frozen data with an identity.

A planned trial is trained until it has a result. If its process is killed, it is started again. A study that
judges other metrics may give the same result another status:

| its training | status of its result | status in a study, where it differs |
|---|---|---|
| ended | done | failed: a judged number is missing, or a judged time is not the whole |
| ended, in a program | done | also diverged: a judged number is not finite |
| lost a finite loss | diverged | diverged |
| failed, or was killed too often | failed | diverged: a program's judged number is not finite |

A failed trial is trained again with --retry, and if it is among a program's first trials.

Nothing here imports torch, so that planning, reading results and reporting stay light.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, NewType, Self

from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.metric import COST_KINDS, Kind
from unrolled.bench.trainer import TRAINERS, Trainer

RESULT_FORMAT = 10
"""Version of the trial and result format; part of every identity."""

FileState = tuple[int, ...]
"""Size, inode and times of a file: see `bench.sources.identity.read_file_state`."""

Scalar = bool | int | float | str

PLANNED_FIELDS = ("device", "source", "data", "versions", "occasion")
"""Fields of Trial that no study sets: planning determines them."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One arm and one seed of a study: everything that decides the numbers.

    Each trainer has a subclass, whose further fields are the settings: ChapterTrial for the models of the
    chapter, ProgramTrial for a user's program. `source` is a hash of the code and `data` of what it reads;
    `versions` names the packages that compute ("torch 2.13.0").

    `occasion` names the training of a study that judges a time, a speed or memory, in which arms take turns
    on one machine. It makes other trials of equal settings, which are trained anew, as a time of another day
    is no evidence. `ablations.plans.planning` makes it, a hash of the identities of all arms' first trials;
    in a chain it is a proposal's name until then (`ablations.commits.chain.chain_study`). It does not change
    from run to run of one plan: `ablations.training.remeasuring` finds the times to measure again.
    """

    seed: int
    device: str = "cpu"  # cpu | cuda
    source: str = ""
    data: str = ""
    versions: str = ""
    occasion: str = ""  # "" unless its study judges a time, a speed or memory

    trainer_name: ClassVar[str]
    """Name of its trainer, a key of `bench.trainer.TRAINERS`."""
    uses_torch: ClassVar[bool] = False
    """Whether torch trains it: torch then has to support the GPU."""
    unhashed_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that do not enter the identity, such as the path of a text: its content enters, as `data`."""
    later_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that were added later: one that is "" stays out of the identity, so that older results count."""
    same_draw_fields: ClassVar[tuple[str, ...]] = ()
    """Fields after whose change the random draws are the same: how numbers are read, and threads."""
    task_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that define the task: trials that differ in one of them cannot be compared."""
    task_settings: ClassVar[tuple[str, ...]] = ()
    """The settings by which a user chooses the task: a text's path in place of the hash in `task_fields`."""

    @property
    def trainer(self) -> Trainer:
        """What its trainer supplies."""
        return TRAINERS[self.trainer_name]

    @property
    def id(self) -> str:
        """Sixteen hex digits of the content's hash."""
        content = {
            name: value
            for name, value in self.to_dict().items()
            if name not in self.unhashed_fields and (value != "" or name not in self.later_fields)
        }
        return hashlib.sha256(canonical_json({**content, "format": RESULT_FORMAT})).hexdigest()[:16]

    @property
    def declared_fields(self) -> dict[str, Any]:
        """The fields that a study declares: all but those in PLANNED_FIELDS and `unhashed_fields`."""
        left_out = (*self.unhashed_fields, *PLANNED_FIELDS)
        return {name: value for name, value in self.to_dict().items() if name not in left_out}

    @property
    def comparable_content(self) -> dict[str, Any]:
        """The settings and the data: equal for the trials of an arm, whatever their study, seed or code."""
        settings = {name: value for name, value in self.declared_fields.items() if name != "seed"}
        return {**settings, "data": self.data}

    @property
    def command_template(self) -> str:
        """The command line with its settings in braces: "train.py --lr {lr}"; "" where there is none."""
        return ""

    @property
    def newest_code(self) -> str:
        """The file of the user's code that was written last; "" where there is none."""
        return ""

    @classmethod
    def find_cost_kinds(cls) -> Mapping[str, Kind]:
        """Return the kind of each cost that its trainer measures, by the metric's name: seconds → "time"."""
        return COST_KINDS

    @property
    def title(self) -> str:
        """What is trained, as a page calls it."""
        return ""

    @property
    def configured_class(self) -> str:
        """What its settings configure, such as a class. Trials of one class differ in their settings."""
        return ""

    @property
    def data_name(self) -> str:
        """The data's name, without its folder, which may be the user's home."""
        return "data"

    @property
    def main_metrics(self) -> tuple[str, ...]:
        """The metrics that a line on its result shows, besides those that its study judges."""
        return ()

    @property
    def uses_seed(self) -> bool:
        """False if its numbers are the same for every seed, as those of n-gram counts are."""
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
        """Seconds that an attempt may take if the user gives no limit."""
        return 3600.0

    @property
    def expected_seconds(self) -> float:
        """Seconds that it is expected to take on one core, if no such trial has been measured."""
        estimate_seconds = self.trainer.estimate_seconds
        return estimate_seconds.load()(self) if estimate_seconds else 60.0

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
        """Return this trial's settings whose value in `base` differs, or that `base` lacks."""
        base_settings = base.flat_settings()
        settings = self.flat_settings()
        return {name: value for name, value in settings.items() if base_settings.get(name) != value}

    def decide_status(self, result: "Result", metrics: Sequence[str]) -> "Result":
        """Return the result with the status by these judged metrics: failed, say, if one is missing.

        `Plan.make_result_in_study` decides the status in a study, by this and by how time was measured.
        """
        return result

    def rename_commit(self, name: str) -> Self:
        """Return the trial with another name for the commit that it runs, if it runs one."""
        return self

    def describe_identity(self) -> str:
        """Return a line on the user's files and the versions that enter its identity; "" for no files."""
        return ""

    def list_hashed_files(self) -> dict[str, Path]:
        """Return the user's files that enter its identity, by name."""
        return {}

    def identify(self) -> Self:
        """Return the trial with `source`, `data` and `versions`, computed from today's files.

        Raises BadInput if code or data cannot be read.
        """
        raise NotImplementedError

    def read_planned_file_states(self) -> Mapping[Path, FileState]:
        """Return the state of the user's files that enter its identity, in the process that trains it.

        The runner compares them with their state after the trial. Raises BadInput if code, data or versions
        are no longer those that were planned.
        """
        raise NotImplementedError

    def select_plugins(self, plugins: Sequence[str]) -> list[str]:
        """Return the plug-ins, among those that its study has loaded, that this trial needs."""
        return list(plugins)

    def read_files_to_send(self) -> dict[str, bytes]:
        """Return the bytes of the user's files that another machine needs, by their path there."""
        return {}

    def relocate_to(self, folder: Path) -> Self:
        """Return the same trial for a machine that has its `read_files_to_send` below `folder`."""
        return self


class Cause(StrEnum):
    """The causes of a failure that code acts on. The reason of such a failure begins with its cause."""

    TIME_LIMIT = "time limit"
    DISK_LIMIT = "disk limit"
    EXIT_CODE = "exit code"


DETAIL_FIELDS = ("curves", "records", "trace", "output")
"""Fields of Result that no comparison of arms uses: the ledger keeps them in a separate file."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of one trial. Divergence and failure are results too: `status` and `reason` tell them.

    `metrics` are numbers by name, `curves` are points (step, value) by metric. The metrics of every trainer
    include `seconds` and `memory_peak` (MiB); `bench.chapter.metric_table` lists those of the chapter.
    `witnesses` maps a setting to {"ok": bool, "declared": …, "seen": …}: the proof that it took effect.

    If the process of a trial is killed, another attempt follows. Seconds of a result:

    - `attempt_seconds`: the last attempt alone, from the start to the end of its process. Only the runner
      measures it, and `unrolled.train`, which starts no process; a trainer leaves it and `started` at 0.
    - `metrics["seconds"]`: what the trainer measured within the process. A trial of the chapter that resumed
      from a checkpoint adds the epochs of earlier attempts (`bench.chapter.chapter_run`). A program's trial
      adds nothing. If it resumed, a study that judges time counts it as failed: see `resumed` below.
    - `training_seconds`: `metrics["seconds"]`; of a trial that failed before it had any, `total_seconds`.
    - `total_seconds`: the larger of `attempt_seconds` and `metrics["seconds"]`.

    Keys of `records`, which only trials of the chapter have, about the validation set:

    - `roles`: for each role of a token, such as "hundred": [sum of nats, hits, targets]
    - `passage`: its first tokens, each {"token": …, "guess": …, "p": probability of the token}
    - `continuation`: the words that the model writes after the passage
    - `warning`: "always predicts “the”", if all predictions are the same token

    Keys of `provenance`; each trainer records those that it knows:

    - code: `commit`, `dirty`, `diff` (hash of uncommitted changes)
    - machine: `python`, `platform`, `cpu`, `cpus`, `cpu_capability`, `device`, `threads`, `variables`,
      `mkldnn`, `deterministic`, `torch_build`, `trials_at_a_time`
    - GPU: `gpu`, `gpu_index`, `gpu_uuid`, `gpu_capability`, `driver`, `cuda`, `cudnn`, `same_bits`
    - packages: `packages` (name → version); of a program whose command names no Python, `packages are`
    - of a program's attempts: `resumed` (True if it found files of an earlier attempt), `restart` (why these
      were removed instead)
    - of a program's output: `not_numbers` (metric → what was text instead), `unmatched` (metric whose pattern
      matched no line → the most similar lines)
    """

    trial: Trial
    status: str  # done | diverged | failed
    reason: str = ""
    cause: str = ""  # cause of a failure, if it is one of Cause
    attempts: int = 1  # number of attempts, with those of earlier results of the trial that failed
    run_token: str = ""  # of the run that measured it; "" unless a cost is judged. A pair needs equal tokens
    started: float = 0.0  # unix seconds
    attempt_seconds: float = 0.0  # seconds of the last attempt, from the start of its process to its end
    curves: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    witnesses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    records: Mapping[str, Any] = field(default_factory=dict)
    trace: Mapping[str, Any] = field(default_factory=dict)  # see `bench.chapter.training.record.Trace`
    provenance: Mapping[str, Any] = field(default_factory=dict)
    output: str = ""  # end of the output of a trial that failed, or reported no number

    @property
    def is_done(self) -> bool:
        """True if the training finished, so that its numbers may be used."""
        return self.status == "done"

    @property
    def diverged(self) -> bool:
        """True if the training diverged. That is a result: a diverged seed counts as an infinite loss."""
        return self.status == "diverged"

    @property
    def stopped_by_limit(self) -> bool:
        """True if a limit of time or of disk ended it: it may be resumed."""
        return self.cause in (Cause.TIME_LIMIT, Cause.DISK_LIMIT)

    @property
    def total_seconds(self) -> float:
        """Seconds that the result took: see Result."""
        return max(self.attempt_seconds, self.metrics.get("seconds", 0.0))

    @property
    def training_seconds(self) -> float:
        """Seconds that the trainer measured: see Result."""
        return self.metrics.get("seconds", self.total_seconds)

    @property
    def trouble(self) -> str:
        """Why it is not done: the reason of a divergence, or "FAILED: " and the reason of a failure."""
        return self.reason if self.diverged else f"FAILED: {self.reason}"

    @property
    def warning(self) -> str:
        """Why a finished trial has learnt nothing, such as "always predicts “the”"; "" for most."""
        return str(self.records.get("warning", ""))

    def drop_details(self) -> Self:
        """Return the same result with every field of DETAIL_FIELDS empty."""
        return replace(self, curves={}, records={}, trace={}, output="")

    def to_dict(self) -> dict[str, Any]:
        """Return every field as plain data, for `canonical_json`."""
        data = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**data, "trainer": self.trial.trainer_name, "trial": self.trial.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote, with or without DETAIL_FIELDS. Raises TypeError or KeyError."""
        data = dict(data)
        data["trial"] = TRAINERS[data.pop("trainer")].trial_type.load()(**data["trial"])
        data["metrics"] = {name: float(value) for name, value in data["metrics"].items()}
        data["curves"] = {
            name: tuple((float(step), float(value)) for step, value in points)
            for name, points in data.get("curves", {}).items()
        }
        return cls(**data)


ResultInStudy = NewType("ResultInStudy", Result)
"""A Result with the status that it has in a study: failed, say, if it lacks a metric that the study judges.

A Result is what a trainer measured, as the ledger stores it, whatever the study. `Plan.make_result_in_study`
makes a ResultInStudy of it, the only kind of result by which seeds are wanted, arms compared and pages made.
"""

STATUSES = ("done", "diverged", "failed")


def make_failed_result(trial: Trial, reason: str, *, status: str = "failed", **fields: Any) -> Result:
    """Return the Result of a trial that is not done, with its reason in one line."""
    return Result(trial=trial, status=status, reason=" ".join(reason.split()), **fields)
