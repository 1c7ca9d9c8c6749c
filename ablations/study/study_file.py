"""A study's file: where it is found, how it is read, which tables and keys it may have."""

import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    WithJsonSchema,
    field_validator,
)

from unrolled.ablations.study.errors import error_context, explain
from unrolled.ablations.study.seeds import MOST
from unrolled.bench.chapter.text import read_regular_file
from unrolled.bench.errors import BadInput, nearest, require
from unrolled.bench.metric import Kind, Metric

LARGEST = 1_000_000
"""Bytes that a study's file may have: those of some 20,000 arms one by one, read within a second."""
DEEPEST = 10
"""Levels of tables and arrays that a study may have."""
FOUR_LEVELS = "a study needs four levels"

Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
Patterns = Annotated[tuple[str, ...], Field(strict=False)]
Look = Annotated[int, Field(ge=1, le=MOST)]
Levels = dict[str, Annotated[list[Any], Field(min_length=1)]]


class Table(BaseModel):
    """A table of a study's file: unknown keys and loose types are refused."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class AddOneTable(Table):
    """One arm for each factor, which is added alone to `base`, given as changes of the baseline."""

    factors: list[str]
    """the factors"""
    base: dict[str, Any] = {}
    """settings against the baseline, to which each factor is added"""


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
    """settings of the grid; an arm is compared with the one that has the same levels of these and otherwise \
the baseline's"""

    @field_validator("add_one", mode="before")
    @classmethod
    def _bare_list(cls, value: Any) -> Any:
        return {"factors": value} if isinstance(value, list) else value

    @property
    def count(self) -> int:
        """An upper bound of the number of arms. None is built, and equal arms count twice."""
        factors, axes = self.add_one.factors, self.grid.values()
        return (
            len(self.leave_one_out)
            + (len(factors) + bool(self.add_one.base) if factors else 0)
            + (2 ** len(self.factorial) if self.factorial else 0)
            + sum(len(levels) for levels in self.one_at_a_time.values())
            + (prod(len(levels) for levels in axes) if axes else 0)
        )


class ArmTable(Table):
    """An [[arm]]. Designs make them too; one without a name is named after what it sets."""

    name: Text
    """the arm's name"""
    set: dict[str, Any]
    """settings against the baseline"""
    question: str = ""
    """what this arm asks; the report lists it"""
    note: str = ""
    """a remark, which the report lists beside it"""
    exploratory: bool = False
    """reported without a part in the correction for several contrasts"""
    identical: bool = False
    """of a program: this arm may tell the very numbers of its baseline"""
    against: str = ""
    """the name of an arm before this one, to compare with in place of the baseline; an arm that others name \
has a contrast of its own only where it names one itself, which may be the baseline"""


def _check_delta(value: Any) -> float | str:
    """A number above 0, or a share in per cent. Raises ValueError."""
    share = isinstance(value, str) and re.fullmatch(r"[0-9]+(\.[0-9]+)? ?%", value)
    if not share and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError('should be a number, or a share such as "5%"')
    number = float(value.rstrip("% ")) if share else value
    if not 0 < number <= sys.float_info.max:
        raise ValueError("should be more than 0" if number <= 0 else "should be a finite number")
    return str(value) if share else float(number)


def _check_value(value: Any) -> Any:
    """A word, or a number of points. Raises ValueError."""
    known = value in ("last", "best") if isinstance(value, str) else type(value) is int and value > 0
    if not known:
        raise ValueError('should be "last", "best", or how many of the last points the mean is of')
    return value


class MetricTable(Table):
    """One of `metrics`: what arms are judged by."""

    name: Text
    """the metric: of the chapter valid_accuracy, valid_loss, valid_perplexity, valid_bits, train_loss, \
`seconds`, `speed_train` or `memory_peak`; of a program one that it tells, `seconds` or `memory_peak`"""
    delta: Annotated[Any, AfterValidator(_check_delta), WithJsonSchema({"type": "number"})]
    """δ, in the metric's unit: a smaller difference counts as none; `"5%"` compares arms by their ratio, \
from 1/1.05 to 1.05, which is meant for times"""
    kind: Kind | None = None
    """`"time"`, `"speed"` or `"memory"` of a metric that differs from run to run, as the cost of training \
does: trials are then trained one at a time; by default `"quality"`, but for what Unrolled measures itself"""
    better: Literal["higher", "lower"] | None = None
    """whether higher or lower is better, where kind and name do not tell it ([Metrics](#metrics))"""
    value: Annotated[Any, AfterValidator(_check_value), WithJsonSchema({"type": "string"})] = "last"
    """what counts of a program's curve: its last value, its best one, or the mean of so many last ones"""

    @property
    def reduction(self) -> str:
        """The same in the words of `ProgramTrial.reduction`."""
        if self.value == "best":
            return "min" if self.metric.lower_is_better else "max"
        return "last" if self.value == "last" else f"mean {self.value}"

    @property
    def metric(self) -> Metric:
        """The same as what arms are judged by."""
        ratio = isinstance(self.delta, str)
        delta = float(str(self.delta).rstrip("% "))
        return Metric(self.name, delta, self.better or "", ratio, self.kind or "")


class ProgramTable(Table):
    """The [program] table: a program of one's own, which is trained in place of the chapter's models."""

    run: str = ""
    """the command line: `{seed}`, `{out}` (a folder of the trial's own) and every setting of [baseline] in \
braces; a boolean as `{tying?--tie:--no-tie}`; `python` is the interpreter that runs Unrolled"""
    function: str = ""
    """in place of `run`, a function as `module:name`, which returns its metrics by name"""
    metrics: str = ""
    """the file in `{out}` with its metrics, such as `{out}/metrics.csv`: .csv, .tsv, .json (an object, or a \
list of them), .jsonl, .ndjson, .parquet or TensorBoard's events; `"mlflow"` for what it logs there; by \
default the lines of its output that are JSON objects"""
    rows: str = ""
    """the key of the list that has the rows in a .json, such as `"log_history"`"""
    patterns: dict[str, str] = {}
    """metric = a regular expression with a group `value`, and perhaps `step`, for the lines of its output \
or of the file that `metrics` names"""
    repository: str = "."
    """the git repository of its commits, from the folder of the study's file ([commits.md](commits.md))"""
    folder: str = "."
    """where it runs and finds its files, from `repository`"""
    code: Patterns = ()
    """patterns of the files whose content counts in the identity; by default code, and configuration beside \
it. Files that they import, and those that `run` names, count as well ([programs.md](programs.md))"""
    data: Patterns = ()
    """patterns of the files that it reads besides; their content counts, too"""
    frozen: Patterns = ()
    """patterns of files that a gate takes from the base, so that no change weakens its own test, as it does
    with `data`"""
    packages: Patterns = ()
    """packages whose versions count; by default those that the code imports"""
    keep: Patterns = ()
    """patterns of files in `{out}` that stay, in the folder `kept` of the results; not on a cluster"""
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    """CPU threads of a trial"""
    gpus: Annotated[int, Field(ge=1, le=1024)] = 1
    """GPUs of a trial, which sees these alone; on the CPU of no effect ([gpu.md](gpu.md))"""
    disk: Annotated[int, Field(ge=0)] = 0
    """MiB that `{out}` may have; 0 is no limit"""
    time_limit: Annotated[float, Field(ge=0)] = 0.0
    """seconds that an attempt of a trial may take; 0 is no limit"""
    repeat: bool = True
    """`false` spares the second training of the baseline's first trial, by which the first checks see whether
    equal trainings give equal numbers ([programs.md](programs.md#what-is-checked-first))"""
    _study: str = PrivateAttr("")  # the folder of the study's file

    @property
    def study_folder(self) -> str:
        """The folder of the study's file, {study} in `run`; "" where there is none."""
        return self._study

    def placed(self, study_folder: Path) -> "ProgramTable":
        """The table with its folders, which it gives from that of the study's file."""
        repository = study_folder / self.repository
        places = {"repository": str(repository), "folder": str(repository / self.folder)}
        return self.model_copy(update=places).with_study_folder(study_folder)

    def with_study_folder(self, study_folder: Path) -> "ProgramTable":
        """The table whose {study} is this folder."""
        table = self.model_copy()
        table._study = str(study_folder)
        return table


class StudyFile(Table):
    """A study's file, checked for keys, types and ranges."""

    name: Text
    """the study's name: that of its folder in reports and of its experiment in MLflow"""
    question: Text
    """what the study asks, the title of its report"""
    about: str = ""
    """a paragraph below the title"""
    program: ProgramTable | None = None
    """a program of your own, which is trained in place of the chapter's models"""
    metrics: Annotated[tuple[MetricTable, ...], Field(strict=False, min_length=1)] = ()
    """what arms are judged by, the most important first: its verdicts decide how many seeds are trained; by
    default, without [program], the accuracy with a δ of 0.02, then the loss with a δ of 0.05 nats"""
    seeds: Any = None
    """how many seeds (`10` is 0 to 9), a range `"10-19"`, or a list `"0,3,5"` or `[0, 3, 5]`; without
    `looks` all of them are trained; by default as many as the last look needs"""
    looks: Annotated[tuple[Look, ...], Field(strict=False, min_length=1)] | None = None
    """after how many seeds verdicts are sought: a contrast that is decided needs no more; by default
    [10, 15, 20, 30, 40] where there are no `seeds`, and otherwise once, after all seeds"""
    decide: Literal["direction", "size"] = "direction"
    """what has to be known before a contrast gets no more seeds: whether the arm is better, worse or the
    same within δ (`"direction"`), or also whether a difference is more or less than δ (`"size"`)"""
    to_the_end: bool = False
    """gives seeds up to the last look also to a contrast that is unlikely to be decided by then"""
    aa: bool = False
    """adds the baseline once more under other seeds (1000 higher), where no difference should be found"""
    baseline_name: Annotated[str, Field(max_length=200)] = ""
    """the baseline's name in the report, if not that of its model or, of a program, `baseline`"""
    baseline: dict[str, Any]
    """settings of the arm that the others are compared with; without [program], `model` is required"""
    design: DesignTable = DesignTable()
    """arms made by rule"""
    arm: tuple[ArmTable, ...] = Field(default=(), strict=False)
    """an arm written out; any number of these tables"""

    @field_validator("metrics")
    @classmethod
    def _each_once(cls, value: tuple[MetricTable, ...]) -> tuple[MetricTable, ...]:
        if len({metric.name for metric in value}) < len(value):
            raise ValueError("a metric is given twice; keep one of them")
        return value

    @field_validator("seeds")
    @classmethod
    def _no_number_in_quotes(cls, value: Any) -> Any:
        """On the command line, where all is text, `--seeds 3` is fine."""
        if isinstance(value, str) and value.strip().isdigit():
            raise ValueError(f"write {value} for the seeds below it, or [{value}] for that one seed")
        return value

    def max_trials(self, seeds: int) -> int:
        """How many trials at most, by arithmetic, on so many seeds."""
        return (1 + self.design.count + len(self.arm) + self.aa) * seeds


_TABLES: dict[str, type[Table]] = {
    "": StudyFile,
    "metrics": MetricTable,
    "design": DesignTable,
    "add_one": AddOneTable,
    "program": ProgramTable,
    "arm": ArmTable,
}


def shipped() -> tuple[str, ...]:
    """The names of the studies that ship."""
    files = resources.files("unrolled.ablations.studies").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def read(name: str) -> tuple[str, str]:
    """A study's origin, for messages, and its text."""
    is_path = name.endswith(".toml") or "/" in name or "\\" in name
    if is_path or name not in shipped():
        _refuse_other_file(name)
    if not is_path and name not in shipped():
        cure = suggest_study(name) or f"give the path of your own .toml, or one of {', '.join(shipped())}"
        raise BadInput(f"no shipped study {name!r} exists", cure=cure)
    try:
        if not is_path:
            return f"{name}.toml", (resources.files("unrolled.ablations.studies") / f"{name}.toml").read_text(
                "utf-8"
            )
        return name, read_regular_file(name, LARGEST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"byte {error.start} is not UTF-8", place=name, cure="save the file as UTF-8"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        cure = suggest_study(name) or f"give the path of a .toml, or one of {', '.join(shipped())}"
        raise BadInput(reason, place=name, cure=cure) from error


def _refuse_other_file(name: str) -> None:
    """Raise BadInput for a folder, and for a file that is no .toml."""
    path, cure = Path(name), "give the path of a .toml"
    if "\0" in name or not path.exists():
        return
    if path.is_dir():
        files = sorted(map(str, path.glob("*.toml")))
        raise BadInput("is a folder", place=name, cure=f"{cure}, such as {files[0]}" if files else cure)
    require(path.suffix == ".toml", "is a file, and no study's", place=name, cure=cure)


def suggest_study(name: str, others: Sequence[str] = ()) -> str:
    """'did you mean …?' with the nearest study that ships, of `others` or of this folder's files, or ""."""
    files = {path.stem: str(path) for path in sorted(Path().glob("*.toml"))}
    near = nearest(name.removesuffix(".toml"), [*others, *files, *shipped()])
    shown = [study if study in others else files.get(study, study) for study in near]
    return f"did you mean {' or '.join(map(repr, shown))}?" if shown else ""


def check(keys: Mapping[str, Any]) -> StudyFile:
    """The keys of a study's file, checked. Raises BadInput, naming the key."""
    cure = "two studies do it: see docs/studies.md"
    require("tuning" not in keys, "is no key any more", key="[tuning]", cure=cure)
    check_texts(keys)
    try:
        return StudyFile.model_validate(keys)
    except ValidationError as error:
        raise explain(error, _TABLES) from error


def check_texts(value: Any, place: tuple[str, ...] = ()) -> None:
    """Raise BadInput, naming the key, for a NUL, for what UTF-8 cannot write, and for deep nesting."""
    require(len(place) <= DEEPEST, "is nested too deeply", key=".".join(place[:4]), cure=FOUR_LEVELS)
    if isinstance(value, str) and (wrong := re.search("[\0\ud800-\udfff]", value)):
        rule = f"has the character U+{ord(wrong[0]):04X}, which no text has"
        raise BadInput(rule, key=".".join(place), cure="take it out")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            check_texts(key, (*place, ascii(key)))
            check_texts(inner, (*place, str(key)))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            check_texts(inner, (*place, str(index)))


def parse(text: str) -> StudyFile:
    """A study's text, checked. Raises BadInput, naming the line or the key."""
    try:
        keys = tomllib.loads(f"{text}\n")  # with a line end every error has a line
    except RecursionError as error:
        raise BadInput("is nested too deeply", cure=FOUR_LEVELS) from error
    except ValueError as error:  # also for an integer of 5,000 digits
        where = re.search(r"\(at line (\d+)", str(error))
        line = f"line {where[1]}: " if where else ""
        if where and re.match(r"Cannot (overwrite|declare|mutate)|Duplicate", str(error)):
            repeated = text.split("\n")[int(where[1]) - 1].strip()
            raise BadInput(f"{line}a key is given twice: {repeated}", cure="keep one of them") from error
        raise BadInput(f"{line}is not TOML: {error}") from error
    return check(keys)


def name_in(path: str) -> str:
    """The name of the study in a file. Its settings may be those of a plug-in that is not loaded."""
    path, text = read(path)
    with error_context(path):
        return parse(text).name
