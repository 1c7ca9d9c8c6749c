"""Options of the commands: a field is a flag, the string below it is its help."""

import ast
import re
from collections.abc import Container, Sequence
from dataclasses import dataclass, fields
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt
from cyclopts import Group, Parameter, Token, validators

from unrolled.bench.errors import require


def parse_time_span(_: Any, tokens: Sequence[Token]) -> float:
    """Return the seconds of 90s, 15m or 2h. Raises ValueError for anything else."""
    text = tokens[0].value
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smh])", text)
    seconds = float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if not seconds > 0:
        raise ValueError(f"{text} is not a time above 0 such as 90s, 15m or 2h")
    return seconds


def parse_set(text: str) -> tuple[str, list[Any]]:
    """Return the setting and the values of `--set`: 'lr=1e-3,1e-2' → ('lr', [0.001, 0.01]).

    An array is written in brackets: 'moms=[0.8,0.7,0.8]'. The value of `commit` is text. Raises BadInput.
    """
    key, equals, values = text.partition("=")
    require(
        equals and key.strip() and values.strip(),
        "is not a setting with its values",
        place=f"--set {text!r}",
        cure="write a setting, = and its values: --set lr=1e-3,1e-2",
    )
    key = key.strip()
    words = [word.strip() for word in re.split(r",(?![^\[]*\])", values)]  # at commas outside of brackets
    if key == "commit":  # a commit such as 1e5 must not become a number
        return key, words
    return key, [_parse_value(word) for word in words]


def _parse_value(text: str) -> Any:
    """Return a value as Python reads it, true and false as TOML does; a bare word is a string."""
    if text in ("true", "false"):
        return text == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text.strip("\"'")


Count = Annotated[int, Ge(1), Parameter(validator=validators.Number(gte=1, lt=10**18))]
Positive = Annotated[float, Gt(0), Parameter(validator=validators.Number(gt=0))]
TABLES = Group("For tables")
GATE = Group("What is compared")
HISTORY = Group("For a history")
CHAIN = Group("For a chain")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class StoredOptions:
    """Where results are stored, and the user's own code that they need."""

    results: Path = Path("results")
    """Folder of the results (the ledger)."""
    plugin: Annotated[tuple[str, ...], Parameter(name="--plugin")] = ()
    """A file with models, cells or regularisers of your own; may be repeated."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class WorkerOptions(StoredOptions):
    """Where trials run, and how many at a time."""

    workers: Annotated[Count | None, Parameter(alias="-j")] = None
    """Trials at a time (default: one for each core or GPU)."""
    cluster: str = ""
    """Run on the cluster of a Dask scheduler, such as tcp://HOST:8786."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """The limits of one trial."""

    time_limit: Positive | None = None
    """Time limit of one trial in seconds (default: 3600; for a program, its study's limit, if any)."""
    memory_limit: Annotated[int, Ge(0), Parameter(validator=validators.Number(gte=0))] = 0
    """Memory limit of one trial on the CPU in MiB (default: 0, no limit)."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PlanOptions(WorkerOptions):
    """Changes of a study before it is planned."""

    seeds: str | int | None = None
    """Seeds to train, such as 0-9 or 0,3,5."""
    set: tuple[str, ...] = ()
    """A setting to change, such as lr=1e-3; several values become arms: lr=1e-3,1e-2. May be repeated."""
    device: Literal["auto", "cpu", "cuda", "gpu"] = "auto"
    """auto (the default): as in a stored plan; else visible GPUs for a program, the CPU for the chapter."""
    to_the_end: bool = False
    """Give seeds also to contrasts that are unlikely to be decided by the last look."""
    yes: bool = False
    """Allow more than 10,000 trials."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RunOptions(LimitOptions, PlanOptions):
    """How a study is run: `run("toggles", RunOptions(seeds="0-9"))`."""

    out: Path = Path("out")
    """Folder of the reports."""
    dry_run: bool = False
    """Print the plan and stop."""
    fail_fast: bool = False
    """Start no more trials after a failure."""
    retry: bool = False
    """Run failed trials again."""
    budget: Annotated[float, Gt(0), Parameter(converter=parse_time_span)] = inf
    """Start no trial that is expected to end later than this, such as 90s, 15m or 2h."""


TRAINING_FLAGS = frozenset(field.name for field in fields(RunOptions)) - {"results", "out"}
"""The options of `run` that say what is trained and how; the others say where results and reports lie."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class GateOptions(RunOptions):
    """The two commits that a gate compares; the base decides the rules."""

    base: Annotated[str, Parameter(group=GATE)] = ""
    """The branch, tag or commit to compare with, by its merge base with the head (default: GITHUB_BASE_REF, \
then origin/HEAD)."""
    head: Annotated[str, Parameter(group=GATE)] = "HEAD"
    """The change: a commit, or worktree (default: HEAD)."""
    markdown: Annotated[Path | None, Parameter(group=GATE)] = None
    """Write a summary for a pull request to this file."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class AuditOptions(RunOptions):
    """How the changes of a history are judged."""

    forward: Annotated[bool, Parameter(group=HISTORY)] = False
    """Compare each commit with the one before it (default: the tip with the tip minus that commit)."""
    markdown: Annotated[Path | None, Parameter(group=HISTORY)] = None
    """Write the answer and a row for each change to this file."""
    json: Annotated[bool, Parameter(group=HISTORY)] = False
    """Print the answer as JSON, and all else to standard error."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class JudgeOptions(RunOptions):
    """A chain of proposals, and how one is judged; the rules are the chain's."""

    chain: Annotated[str, Parameter(group=CHAIN)] = ""
    """The name of the chain."""
    incumbent: Annotated[str, Parameter(group=CHAIN)] = ""
    """Begin the chain: the commit with which its first candidate is compared."""
    family_wise: Annotated[bool, Parameter(group=CHAIN)] = False
    """Begin a chain that bounds the chance of any false keep by .1 (default: their expected share)."""
    accept_simpler: Annotated[bool, Parameter(group=CHAIN)] = False
    """Make a simpler candidate the new incumbent, with exit code 0."""
    verify: Annotated[bool, Parameter(group=CHAIN)] = False
    """Before keeping a candidate, train it a second time; refuse it if the numbers differ."""
    json: Annotated[bool, Parameter(group=CHAIN)] = False
    """Print the outcome as JSON."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class VerifyOptions(LimitOptions, WorkerOptions):
    """How trials are trained again."""

    number: Annotated[Count, Parameter(alias="-n")] = 5
    """Number of trials to train again (default: 5)."""
    trust: bool = False
    """Of a bundle: run its plug-ins or its program, which are someone else's code."""
    out: Path = Path("out/verified")
    """Of a bundle: folder for a page of its results (default: out/verified)."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class CompareOptions(RunOptions):
    """How tables of results are compared. The options of `run` are for models, which are trained first."""

    arm: Annotated[str, Parameter(group=TABLES)] = ""
    """The columns that name an arm, such as model,lr."""
    pair: Annotated[str, Parameter(group=TABLES)] = ""
    """The column that pairs rows of two arms, such as seed."""
    item: Annotated[str, Parameter(group=TABLES)] = ""
    """A column that tells the rows of one arm and pair apart, such as document; equal items of two arms are
    compared. Write none if the rows are independent samples."""
    test_share: Annotated[float | None, Parameter(group=TABLES, validator=validators.Number(gt=0, lt=1))] = (
        None
    )
    """Pairs are folds or random splits of one data set, of which this share tests: 0.1 of ten folds."""
    metric: Annotated[tuple[str, ...], Parameter(group=TABLES)] = ()
    """A metric, and the difference in it that does not matter, such as accuracy=0.02, or time=5%; \
may be repeated."""
    kind: Annotated[tuple[str, ...], Parameter(group=TABLES)] = ()
    """The kind of a metric that is a cost: time, speed or memory, such as epoch_seconds=time."""
    baseline: Annotated[str, Parameter(group=TABLES)] = ""
    """The arm that others are compared with (default: that of the first row)."""
    lower: Annotated[tuple[str, ...], Parameter(group=TABLES)] = ()
    """A metric of which lower values are better, if its name does not tell."""
    higher: Annotated[tuple[str, ...], Parameter(group=TABLES)] = ()
    """A metric of which higher values are better, if its name does not tell."""
    experiment: Annotated[str, Parameter(group=TABLES)] = ""
    """The MLflow experiment."""
    study: Annotated[str, Parameter(group=TABLES)] = ""
    """The study, if the folder of results has several."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ShowOptions(StoredOptions):
    """The part of a trial, or of a corpus, that is shown."""

    generate: Annotated[Count | None, Parameter(group="For a trial")] = None
    """Train it again and generate this number of tokens."""
    set: Annotated[tuple[str, ...], Parameter(group="For corpus")] = ()
    """A setting to change, such as window=8 or model=lm7 (the default is lm4); may be repeated."""
    batches: Annotated[Count, Parameter(group="For corpus")] = 2
    """Number of batches (default: 2)."""
    rows: Annotated[Count, Parameter(group="For corpus")] = 3
    """Rows of each batch (default: 3)."""


def refuse_folder(path: Path | None, flag: str) -> None:
    """Raise BadInput for a folder in place of the file that a flag names, before anything is trained."""
    require(
        path is None or not path.is_dir(),
        "is a folder",
        place=f"{flag} {path}",
        cure="name the file to write in it",
    )


def refuse_flags(options: object, flags: Container[str], rule: str, cure: str) -> None:
    """Raise BadInput for the first of these flags that is set: it would change nothing."""
    for field in fields(options):  # type: ignore[arg-type]
        require(
            field.name not in flags or getattr(options, field.name) == field.default,
            rule,
            place=f"--{field.name.replace('_', '-')}",
            cure=cure,
        )
