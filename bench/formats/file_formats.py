"""The format of a program's numbers, found by the name of their file. Each is a module of `bench.formats`.

The identity of a trial has the file of its format and no other, so that a new format changes no trial.
"""

import importlib.util
from pathlib import Path

from unrolled.bench.errors import BadInput
from unrolled.bench.formats.delimited import DELIMITED
from unrolled.bench.formats.json_lines import JSON_LINES
from unrolled.bench.formats.json_value import JSON
from unrolled.bench.formats.mlflow_store import MLFLOW_STORE
from unrolled.bench.formats.parquet import PARQUET
from unrolled.bench.formats.table_files import Format
from unrolled.bench.formats.tensorboard import EVENTS

FORMATS = {
    ".csv": DELIMITED,
    ".tsv": DELIMITED,
    ".json": JSON,
    ".jsonl": JSON_LINES,
    ".ndjson": JSON_LINES,
    ".parquet": PARQUET,
}
"""The format of each suffix. A further one needs a row in `WRITERS` of `test_table_files`."""

MLFLOW = "mlflow"
"""Stands for a file of metrics: the program logs them to MLflow."""


def find_format(name: str, key: str = "") -> Format:
    """Return the format of a file by its suffix, by "tfevents" in its name for TensorBoard, or of MLFLOW.

    Raises BadInput for any other name, and for a format whose package is not installed.
    """
    if name == MLFLOW:
        return MLFLOW_STORE
    path = Path(name)
    suffix = path.suffix.lower()
    file_format = EVENTS if "tfevents" in path.name else FORMATS.get(suffix)
    if file_format is None:
        rule = f"{suffix} is no format that is read" if suffix else f"{path.name!r} has no suffix"
        suffixes = ", ".join(FORMATS)
        cure = f"name the file by its format: {suffixes}, or tfevents in the name; or write {MLFLOW!r}"
        raise BadInput(rule, key=key, cure=cure)
    if file_format.package and not importlib.util.find_spec(file_format.package):
        cure = f"pip install {file_format.requirement or file_format.package}"
        raise BadInput(f"needs the package {file_format.package}", key=key, cure=cure)
    return file_format
