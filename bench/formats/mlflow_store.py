"""The metrics that a program logs to MLflow, in the folder of its file store."""

from operator import itemgetter
from pathlib import Path

from unrolled.bench.errors import require
from unrolled.bench.formats.table_files import Format, Row


def read_mlflow(folder: Path) -> list[Row]:
    """Return the metrics in MLflow's file store by their names, a row for each value, oldest first.

    Each metric has a file with a line for each value: time, value and step; a metric of a data set, as
    autolog logs for scikit-learn, also has the set's name and digest. Raises BadInput if there is no metric.
    """
    values: list[tuple[int, Row]] = []
    for metrics in folder.glob("*/*/metrics"):
        for path in filter(Path.is_file, metrics.rglob("*")):
            for line in path.read_text("utf-8").splitlines():
                moment, value, step = line.split(" ")[:3]
                row = {"step": int(step), path.relative_to(metrics).as_posix(): float(value)}
                values.append((int(moment), row))
    require(values, "it logged no metric to MLflow", cure="log one, or let autolog do it")
    return [row for _, row in sorted(values, key=itemgetter(0))]


MLFLOW_STORE = Format(read_mlflow)
