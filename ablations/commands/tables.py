"""The table of a file or of an MLflow experiment, and the columns of it that `unrolled compare` judges."""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import pandas as pd

from unrolled.ablations.ledger import MISREAD
from unrolled.ablations.mlflow.database import hide_credentials
from unrolled.ablations.mlflow.experiment import FIRST_LOOK_TAG, read_ended_runs
from unrolled.ablations.options import CompareOptions
from unrolled.bench.errors import BadInput, require
from unrolled.bench.metric import BETTER_CURE, Metric
from unrolled.bench.table_files import FORMATS, read_rows
from unrolled.bench.trial import TABLE_COLUMNS
from unrolled.reports.foreign_table import FIRST_LOOK, STATUS, Columns


def read_delimited(path: Path, separator: str) -> pd.DataFrame:
    """A table whose first line has the names of its columns.

    Raises ValueError for a name that is there twice, and for a row of more cells.
    """
    # "None" and "NA" are names of arms; an empty cell alone is none
    options: dict[str, Any] = {"sep": separator, "keep_default_na": False, "na_values": [""]}
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, **options).loc[0].dropna()
    if header.duplicated().any():
        raise ValueError(f"the header names {header[header.duplicated()].iloc[0]!r} twice")
    with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
        try:
            table: pd.DataFrame = pd.read_csv(path, index_col=False, **options)
        except pd.errors.ParserWarning as warning:
            raise ValueError("a row has more cells than the header") from warning
    return table


BY_PANDAS: dict[str, Callable[..., Any]] = {
    ".csv": partial(read_delimited, separator=","),
    ".tsv": partial(read_delimited, separator="\t"),
    ".jsonl": partial(pd.read_json, lines=True, dtype=False),
    ".ndjson": partial(pd.read_json, lines=True, dtype=False),
    ".parquet": pd.read_parquet,
}
"""The formats that pandas reads, a million rows in seconds; a line that is no row is an error to it."""
KINDS = f"{', '.join(FORMATS)}, a results folder, or mlflow:URI"


def read_table(source: str, experiment: str, metrics: Sequence[str] = ()) -> pd.DataFrame:
    """The rows of a source, a column for everything that they have; `metrics` are judged. Raises BadInput."""
    if source.startswith("mlflow:"):
        return _read_experiment(source.removeprefix("mlflow:"), experiment, metrics)
    path = Path(source)
    kind = path.suffix.lower()
    require(kind in FORMATS, "is of no known kind", place=path, cure=f"give {KINDS}")
    try:
        if kind in BY_PANDAS:
            table: pd.DataFrame = BY_PANDAS[kind](path).reset_index(drop=True)
            return table
        return pd.DataFrame(read_rows(path))
    except BadInput:
        raise
    except UnicodeDecodeError as error:
        raise BadInput("is not UTF-8", place=path, cure="save the file as UTF-8") from error
    except (*MISREAD, OSError) as error:  # pandas' and pyarrow's own derive from them
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadInput(
            f"cannot be read as {kind[1:]} ({reason})", place=path, cure="put that right"
        ) from error


def _read_experiment(uri: str, experiment: str, metrics: Sequence[str]) -> pd.DataFrame:
    """The ended runs of an experiment: end, judged metrics, parameters, metrics and tags, by rank."""
    name, runs = read_ended_runs(uri, experiment)
    require(
        any(run.done for run in runs),
        f"experiment {name!r} has no finished run",
        place=hide_credentials(uri),
    )
    frame = pd.DataFrame(
        [
            {
                **run.tags,
                **run.metrics,
                **run.params,
                **{name: run.metrics[name] for name in metrics if name in run.metrics},
                STATUS: run.end,
            }
            for run in runs
        ]
    )
    if "unrolled.study" in frame and FIRST_LOOK_TAG not in frame:  # of an earlier version: no trial counts
        frame[FIRST_LOOK_TAG] = False
    return frame.rename(columns={FIRST_LOOK_TAG: FIRST_LOOK})


def is_trials_table(table: pd.DataFrame, source: str) -> bool:
    """Whether a table is the trials.csv of a page. Raises BadInput for its comparison.csv."""
    require(
        not {"arm", "seeds_ok", "verdict"} <= {*table.columns},
        "is a page's comparison.csv, which has no trials",
        place=source,
        cure="give the trials.csv beside it",
    )
    return {"trial", "arm", "seed", "status"} <= {*table.columns}


def make_columns(options: CompareOptions, planned: Sequence[Metric] = ()) -> Columns:
    """How the rows of a table are read, by the flags; judged by the `planned` metrics where none is given.

    Raises BadInput.
    """
    check_metric_flags(options)
    metrics = [make_metric(*parse_metric(text), options) for text in options.metric] or [*planned]
    arms, pair, item = (
        tuple(filter(None, (column.strip() for column in names.split(","))))
        for names in (options.arm, options.pair, options.item)
    )
    require(metrics, "is missing", place="--metric", cure=_METRIC_CURE)
    require(arms, "is missing", place="--arm", cure="name a column")
    names = [metric.name for metric in metrics]
    for metric in metrics:
        place = f"--metric {metric.name}"
        require(names.count(metric.name) == 1, "is given twice", place=place, cure="keep one of them")
        is_free = metric.name not in TABLE_COLUMNS
        require(is_free, "no metric can have this name", place=place, cure="rename the column")
    require(
        pair or not item, "is for several rows of one pair", place="--item", cure="name the pair: --pair seed"
    )
    return Columns(arms, pair, tuple(metrics), options.baseline, _test_share(pair, options), item)


def _test_share(pair: Sequence[str], options: CompareOptions) -> float:
    """The share of the data that tests, where pairs are folds or splits; else 0. Raises BadInput."""
    share = options.test_share or 0.0
    require(pair or not share, "is missing", place="--pair", cure="name the column of the fold")
    require(
        share or not {"fold", "folds"} & {*pair},
        "folds are not independent",
        place=f"--pair {options.pair}",
        cure="add --test-share 0.1, for ten of them",
    )
    require(
        share or len(pair) < 2,
        "names several columns",
        place=f"--pair {options.pair}",
        cure="name the one whose values are independent, and the others with --item",
    )
    return share


_METRIC_CURE = "write a column and the difference that does not matter: --metric accuracy=0.02"


def make_metric(name: str, delta: float, options: CompareOptions) -> Metric:
    """The metric with the kind and direction that flags give it, else those that its name tells."""
    kind = dict(map(_parse_kind, options.kind)).get(name, "")
    better = next((flag for flag in ("lower", "higher") if name in getattr(options, flag)), "")
    try:
        return Metric(name, delta, better, kind=kind)
    except BadInput as error:
        error.cure = error.cure.replace(BETTER_CURE, f"add --higher {name} or --lower {name}")
        raise


def _parse_kind(text: str) -> tuple[str, str]:
    """The two sides of "epoch_seconds=time"."""
    name, _, kind = text.rpartition("=")
    return name, kind


def list_metric_names(options: CompareOptions) -> list[str]:
    """The names that --metric gives, with or without δ."""
    return [text.rpartition("=")[0] or text for text in options.metric]


def check_metric_flags(options: CompareOptions) -> None:
    """Raise BadInput for --lower, --higher and --kind of something that is no --metric, or given twice."""
    names = list_metric_names(options)
    kinds = [_parse_kind(text)[0] for text in options.kind]
    for name, text in zip(kinds, options.kind, strict=True):
        is_unique = name in names and kinds.count(name) == 1
        cure = "give a column of --metric, and once: --kind epoch_seconds=time"
        require(is_unique, "names no metric, or one twice", place=f"--kind {text}", cure=cure)
    for flag, names_of_flag, opposite in (
        ("lower", options.lower, options.higher),
        ("higher", options.higher, options.lower),
    ):
        for column in names_of_flag:
            require(
                column in {*names} - {*opposite},
                "names no metric, or one of both directions",
                place=f"--{flag} {column}",
                cure="give a column of --metric, and once",
            )


def parse_metric(text: str) -> tuple[str, float]:
    """The two sides of "accuracy=0.02". Raises BadInput for a δ that is no number above 0."""
    name, _, delta = text.rpartition("=")
    try:
        number = float(delta)
    except ValueError:
        number = 0.0
    require(name and 0 < number < inf, "has no δ above 0", place=f"--metric {text}", cure=_METRIC_CURE)
    return name, number
