"""Reading a table of results: from a file of rows, or from an MLflow experiment."""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from unrolled.ablations.ledger import MISREAD
from unrolled.ablations.mlflow.database import hide_credentials
from unrolled.ablations.mlflow.experiment import FIRST_LOOK_TAG, describe_end, read_ended_runs
from unrolled.bench.errors import BadInput, require
from unrolled.bench.result_table import FIRST_LOOK
from unrolled.bench.table_files import FORMATS, check_header, read_rows
from unrolled.reports.foreign.columns import STATUS


def read_delimited(path: Path, separator: str) -> pd.DataFrame:
    """Return a table whose first line has the names of its columns.

    Raises ValueError for what `check_header` refuses, and for a row of more cells.
    """
    # "None" and "NA" are names of arms; an empty cell alone is none
    options: dict[str, Any] = {"sep": separator, "keep_default_na": False, "na_values": [""]}
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, **options).loc[0].fillna("")
    check_header([*header], separator)
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
SOURCES = f"{', '.join(FORMATS)}, a results folder, or mlflow:URI"


def read_table(source: str, experiment: str, metrics: Sequence[str] = ()) -> pd.DataFrame:
    """Return the rows of a source, a column for everything that they have; `metrics` are judged.

    Raises BadInput.
    """
    if source.startswith("mlflow:"):
        return _read_experiment(source.removeprefix("mlflow:"), experiment, metrics)
    path = Path(source)
    suffix = path.suffix.lower()
    require(suffix in FORMATS, "is of no known kind", place=path, cure=f"give {SOURCES}")
    try:
        if suffix in BY_PANDAS:
            table: pd.DataFrame = BY_PANDAS[suffix](path).reset_index(drop=True)
            return table
        return pd.DataFrame(read_rows(path))
    except BadInput:
        raise
    except UnicodeDecodeError as error:
        raise BadInput("is not UTF-8", place=path, cure="save the file as UTF-8") from error
    except (*MISREAD, OSError) as error:  # pandas' and pyarrow's own derive from them
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadInput(
            f"cannot be read as {suffix[1:]} ({reason})", place=path, cure="put that right"
        ) from error


def _read_experiment(uri: str, experiment: str, metrics: Sequence[str]) -> pd.DataFrame:
    """Return the ended runs of an experiment: end, judged metrics, parameters, metrics and tags, by rank."""
    name, runs = read_ended_runs(uri, experiment)
    require(
        any(describe_end(run) == "done" for run in runs),
        f"experiment {name!r} has no finished run",
        place=hide_credentials(uri),
    )
    frame = pd.DataFrame(
        [
            {
                **run.data.tags,
                **run.data.metrics,
                **run.data.params,
                **{name: run.data.metrics[name] for name in metrics if name in run.data.metrics},
                STATUS: describe_end(run),
            }
            for run in runs
        ]
    )
    if "unrolled.study" in frame and FIRST_LOOK_TAG not in frame:  # of an earlier version: no trial counts
        frame[FIRST_LOOK_TAG] = False
    return frame.rename(columns={FIRST_LOOK_TAG: FIRST_LOOK})


def is_trials_table(table: pd.DataFrame, source: str) -> bool:
    """Return True if a table is the trials.csv of a page. Raises BadInput for its comparison.csv."""
    require(
        not {"arm", "seeds_ok", "verdict"} <= {*table.columns},
        "is a page's comparison.csv, which has no trials",
        place=source,
        cure="give the trials.csv beside it",
    )
    return {"trial", "arm", "seed", "status"} <= {*table.columns}
