"""The tables and keys that a study's file may have, and their types and ranges."""

import re
import sys
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    WithJsonSchema,
    field_validator,
)

from unrolled.ablations.study.seeds import MOST_SEEDS
from unrolled.bench.metric import Kind, Metric

Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
Patterns = Annotated[tuple[str, ...], Field(strict=False)]
Look = Annotated[int, Field(ge=1, le=MOST_SEEDS)]
Levels = dict[str, Annotated[list[Any], Field(min_length=1)]]


class Table(BaseModel):
    """A table of a study's file: unknown keys and loose types are refused."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class AddOneTable(Table):
    """One arm for each factor: `base` with that factor alone switched on."""

    factors: list[str]
    """the factors"""
    base: dict[str, Any] = {}
    """the arm to which each factor is added, as changes of the baseline"""


class DesignTable(Table):
    """The [design] table. Factors are those of `FACTORS`, or a program's boolean settings."""

    leave_one_out: list[str] = []
    """factors; an arm for each, with that factor off"""
    add_one: AddOneTable = AddOneTable(factors=[])
    """factors, or a table as below; an arm for each, with that factor alone on"""
    factorial: list[str] = []
    """factors; an arm for each combination of off and on"""
    one_at_a_time: Levels = {}
    """setting = levels; an arm for each level"""
    grid: Levels = {}
    """setting = levels; an arm for each combination of levels"""
    within: list[str] = []
    """settings of the grid: each arm is compared with the cell that shares these with it and has the \
baseline's other settings; `["model"]` compares it with the baseline cell of its own model"""

    @field_validator("add_one", mode="before")
    @classmethod
    def _wrap_list(cls, value: Any) -> Any:
        return value if isinstance(value, dict) else {"factors": value}

    def count_arms(self) -> int:
        """Return an upper bound of the number of arms. None is built, and equal arms count twice."""
        count = len(self.leave_one_out)
        if self.add_one.factors:
            count += len(self.add_one.factors) + bool(self.add_one.base)
        if self.factorial:
            count += 2 ** len(self.factorial)
        count += sum(map(len, self.one_at_a_time.values()))
        if self.grid:
            count += prod(map(len, self.grid.values()))
        return count


class ArmTable(Table):
    """An [[arm]]. Designs make such tables, too. An arm without a name is named after its changes."""

    name: Text
    """the arm's name"""
    set: dict[str, Any]
    """settings against the baseline"""
    question: str = ""
    """what this arm asks, for the report"""
    note: str = ""
    """a remark for the report"""
    exploratory: bool = False
    """its verdict suggests and does not confirm: it is corrected among exploratory arms, by \
Benjamini–Hochberg"""
    identical: bool = False
    """of a program: it may have the same numbers as its baseline"""
    against: str = ""
    """the earlier arm to compare this one with, in place of the baseline. That one is then compared with \
nothing, unless it has an `against` of its own, such as the baseline's name"""


def _check_delta(value: Any) -> float | str:
    """Return a δ: a number above 0, or a text such as "5%". Raises ValueError for anything else."""
    share = isinstance(value, str) and re.fullmatch(r"[0-9]+(\.[0-9]+)? ?%", value)
    if not share and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError('should be a number, or a share such as "5%"')
    number = float(value.rstrip("% ")) if share else value
    if not 0 < number <= sys.float_info.max:
        raise ValueError("should be more than 0" if number <= 0 else "should be a finite number")
    return str(value) if share else float(number)


def _check_value(value: Any) -> Any:
    """Return "last", "best" or a number of points. Raises ValueError for anything else."""
    if value in ("last", "best") or (type(value) is int and value > 0):
        return value
    raise ValueError('should be "last", "best", or how many of the last points the mean is of')


class MetricTable(Table):
    """One of `metrics`: what arms are judged by."""

    name: Text
    """what a program reports, `seconds` or `memory_peak`; for the chapter's models one of \
[these](#names-of-metrics)"""
    delta: Annotated[Any, AfterValidator(_check_delta), WithJsonSchema({"type": "number"})]
    """δ, in the metric's unit: a smaller difference counts as none; `"5%"`, meant for times: ratios from \
1/1.05 to 1.05"""
    kind: Kind | None = None
    """`"time"`, `"speed"` or `"memory"` for a cost, for which trials are trained one at a time; by default \
`"quality"`, but not for a name such as `latency`, which needs one of the four"""
    better: Literal["higher", "lower"] | None = None
    """`"higher"` or `"lower"`, where kind and name do not say it ([names](#names-of-metrics))"""
    value: Annotated[Any, AfterValidator(_check_value), WithJsonSchema({"type": "string"})] = "last"
    """what counts of a program's curve: its `"last"` value, its `"best"`, the mean of the last `5`"""

    @property
    def reduction(self) -> str:
        """How a curve becomes one value, as `ProgramTrial.reduction` says it: "last", "min", "mean 5"."""
        if self.value == "best":
            return "min" if self.metric.lower_is_better else "max"
        return "last" if self.value == "last" else f"mean {self.value}"

    @property
    def metric(self) -> Metric:
        """The metric that judges arms."""
        ratio = isinstance(self.delta, str)
        delta = float(str(self.delta).rstrip("% "))
        return Metric(self.name, delta, self.better or "", ratio, self.kind or "")


class ProgramTable(Table):
    """The [program] table: a program of one's own, which is trained in place of the chapter's models."""

    run: str = ""
    """the [command line](programs.md#the-studys-file), with `{seed}`, every setting of [baseline] and \
perhaps `{out}`"""
    function: str = ""
    """in place of `run`, a function as `module:name`, which returns its metrics by name"""
    metrics: str = ""
    """the [file with its metrics](programs.md#metrics), such as `{out}/metrics.csv`, or `"mlflow"`; by \
default JSON objects in its output"""
    rows: str = ""
    """the key of the list of rows in a .json, such as `"log_history"`"""
    patterns: dict[str, str] = {}
    """metric = a regular expression with a group `value`, and perhaps `step`, for the lines of its output \
or of `metrics`"""
    repository: str = "."
    """the git repository of its [commits](commits.md), from the folder of the study's file"""
    folder: str = "."
    """where it runs and finds its files, from `repository`"""
    code: Patterns = ()
    """patterns of the files that count in the identity; by default [code and its configuration](\
programs.md#what-counts-in-the-identity-of-a-trial)"""
    data: Patterns = ()
    """patterns of other files that it reads, which count, too"""
    frozen: Patterns = ()
    """patterns of files that no change may edit for its own test: a gate takes them and `data` from the \
base, and a chain refuses a proposal that edits one"""
    packages: Patterns = ()
    """packages whose versions count; by default what the code imports"""
    keep: Patterns = ()
    """patterns of files of `{out}` that stay, in `kept` of the results; not on a cluster"""
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    """CPU threads of a trial"""
    gpus: Annotated[int, Field(ge=1, le=1024)] = 1
    """[GPUs](gpu.md) of a trial"""
    disk: Annotated[int, Field(ge=0)] = 0
    """limit of `{out}` in MiB; 0 is none"""
    time_limit: Annotated[float, Field(ge=0)] = 0.0
    """limit of a trial's attempt in seconds; 0 is none"""
    repeat: bool = True
    """the baseline's first trial is [trained twice](programs.md#what-is-checked-first)"""
    _study_folder: str = PrivateAttr("")  # folder of the study file

    @property
    def study_folder(self) -> str:
        """The folder of the study's file, {study} in `run`; "" where there is none."""
        return self._study_folder

    def locate(self, study_folder: Path) -> "ProgramTable":
        """Return the table with its folders made relative to the folder of the study's file."""
        repository = study_folder / self.repository
        folders = {"repository": str(repository), "folder": str(repository / self.folder)}
        table = self.model_copy(update=folders)
        table._study_folder = str(study_folder)
        return table


class StudyFile(Table):
    """A study's file, checked for keys, types and ranges."""

    name: Text
    """its name, also in reports and MLflow"""
    question: Text
    """the title of its report"""
    about: str = ""
    """a paragraph below the title"""
    program: ProgramTable | None = None
    """a program of your own in place of the chapter's models"""
    metrics: Annotated[tuple[MetricTable, ...], Field(strict=False, min_length=1)] = ()
    """what arms are judged by; the first decides how many seeds are trained; for the chapter's models by \
default the accuracy, δ 0.02, and the loss, δ 0.05 nats"""
    seeds: Any = None
    """how many (`10` is 0 to 9), a range `"10-19"`, or a list `"0,3,5"` or `[0, 3, 5]`; by default as many \
as the last look needs; without `looks` all are trained"""
    looks: Annotated[tuple[Look, ...], Field(strict=False, min_length=1)] | None = None
    """after how many seeds verdicts are sought; by default [10, 15, 20, 30, 40] or, with `seeds`, \
after all"""
    decide: Literal["direction", "size"] = "direction"
    """a contrast stops once the arm is better, worse or the same within δ; with `"size"` once the \
difference is also shown to be more or less than δ"""
    to_the_end: bool = False
    """also trains contrasts that are unlikely to be decided by the last look"""
    aa: bool = False
    """adds the baseline again with seeds 1000 higher, to check that no difference is found"""
    baseline_name: Annotated[str, Field(max_length=200)] = ""
    """the baseline's name in reports; by default its model's or, of a program, `baseline`"""
    baseline: dict[str, Any]
    """settings of the baseline; without [program] `model` is needed"""
    design: DesignTable = DesignTable()
    """arms made by rule"""
    arm: tuple[ArmTable, ...] = Field(default=(), strict=False)
    """arms written out"""

    @field_validator("metrics")
    @classmethod
    def _refuse_repeated_metric(cls, value: tuple[MetricTable, ...]) -> tuple[MetricTable, ...]:
        if len({metric.name for metric in value}) < len(value):
            raise ValueError("a metric is given twice; keep one of them")
        return value

    @field_validator("seeds")
    @classmethod
    def _refuse_number_in_quotes(cls, value: Any) -> Any:
        """Raise ValueError for "3", which could be a count or a seed; on the command line all is text."""
        if isinstance(value, str) and value.strip().isdigit():
            raise ValueError(f"write {value} for the seeds below it, or [{value}] for that one seed")
        return value

    def count_trials(self, seeds: int) -> int:
        """Return an upper bound of the number of trials, on so many seeds."""
        return (1 + self.design.count_arms() + len(self.arm) + self.aa) * seeds

    def locate(self, folder: Path) -> "StudyFile":
        """Return the file, which lies in `folder`, with its program's folders made relative to that."""
        if self.program is None:
            return self
        return self.model_copy(update={"program": self.program.locate(folder)})
