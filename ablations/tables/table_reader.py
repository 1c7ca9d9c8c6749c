"""Reading a table of results: from a file of rows, or from an MLflow experiment."""

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from unrolled.ablations.mlflow.database import hide_credentials
from unrolled.ablations.mlflow.experiment import (
    FIRST_LOOK_TAG,
    STANDING_TAG,
    describe_end,
    has_ended,
    read_trial_runs,
)
from unrolled.ablations.study.arms import AA_OFFSET
from unrolled.bench.errors import require
from unrolled.bench.files.regular_files import explain_unread_file
from unrolled.bench.formats.file_formats import FORMATS, find_format
from unrolled.bench.formats.table_files import read_rows
from unrolled.bench.phrases import choose_form, plural
from unrolled.bench.table_columns import AA_NAME, FIRST_LOOK, STANDING
from unrolled.reports.foreign.columns import STATUS
from unrolled.reports.formats import join_first_names

KNOWN_SOURCES = f"{', '.join(FORMATS)}, a results folder, or mlflow:URI"
MOST_LISTED_RUNS = 5  # runs that a line names before it counts the rest


def read_table(source: str, experiment: str, metrics: Sequence[str] = ()) -> pd.DataFrame:
    """Return the rows of a file or of an MLflow experiment, with a column for each of their fields.

    `metrics` are the names of judged metrics, which a run of MLflow may also use for a parameter. Raises
    BadInput.
    """
    if source.startswith("mlflow:"):
        return _read_experiment(source.removeprefix("mlflow:"), experiment, metrics)
    path = Path(source)
    require(
        path.suffix.lower() in FORMATS,
        "is of no known kind",
        place=path,
        cure=f"give {KNOWN_SOURCES}; a file needs the suffix of its format",
    )
    try:
        path.open("rb").close()
    except OSError as error:
        raise explain_unread_file(error, path, f"give {KNOWN_SOURCES}") from error
    rows = read_rows(path, find_format(path.name), finished=True)
    require(rows, "has no rows", place=path, cure="give a table with results")
    return pd.DataFrame(rows)


def _read_experiment(uri: str, experiment: str, metrics: Sequence[str]) -> pd.DataFrame:
    """Return a row for each run of an experiment, with its parameters, metrics, tags and status.

    If several fields have one name, the first of these is taken: judged metric, parameter, other metric, tag.
    A run that has not ended counts as failed; a line on stderr names such runs.
    """
    name, runs = read_trial_runs(uri, experiment)
    require(
        any(describe_end(run) == "done" for run in runs),
        f"experiment {name!r} has no finished run",
        place=hide_credentials(uri),
    )
    if names := [str(run.info.run_name) for run in runs if not has_ended(run)]:
        verb = choose_form(len(names), "is", "are")
        line = (
            f"{plural(len(names), 'run')} {verb} still RUNNING: {join_first_names(names, MOST_LISTED_RUNS)}"
        )
        print(f"{hide_credentials(uri)}: {line}; counted as failed", file=sys.stderr)
    frame = pd.DataFrame(
        [
            {
                **run.data.tags,
                **(numbers := _restore_infinities(run.data.metrics)),
                **run.data.params,
                **{name: numbers[name] for name in metrics if name in numbers},
                STATUS: describe_end(run),
            }
            for run in runs
        ]
    )
    if "unrolled.study" in frame:
        repeats = frame["unrolled.study"].notna() & (frame.arm == AA_NAME)
        # a run has the seed of its training, and a table that of its pair
        frame.loc[repeats, "seed"] = (frame.seed[repeats].astype(int) - AA_OFFSET).astype(str)
        if FIRST_LOOK_TAG not in frame:  # written by an earlier version
            frame[FIRST_LOOK_TAG] = False
    return frame.rename(columns={FIRST_LOOK_TAG: FIRST_LOOK, STANDING_TAG: STANDING})


def _restore_infinities(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics of a run, with infinity for NaN, and for the largest float, MLflow's infinity."""
    largest = sys.float_info.max  # NaN is not less than it
    return {name: x if abs(x) < largest else math.copysign(math.inf, x) for name, x in metrics.items()}


def is_trials_table(table: pd.DataFrame, source: str) -> bool:
    """Return True if a table is the trials.csv of a page. Raises BadInput for its comparison.csv."""
    require(
        not {"arm", "seeds_ok", "verdict"} <= {*table.columns},
        "is a page's comparison.csv, which has no trials",
        place=source,
        cure="give the trials.csv beside it",
    )
    return {"trial", "arm", "seed", "status"} <= {*table.columns}
