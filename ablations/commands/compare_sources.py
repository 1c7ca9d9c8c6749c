"""The results that `unrolled compare` reads: a table in a file, an MLflow experiment, or benchmarks."""

from pathlib import Path

import pandas as pd

from ablations.commands import benchmarks
from ablations.tracking import projection, store
from bench.trial import BadInput, require

KINDS = ".csv, .tsv, .jsonl, .parquet, pytest-benchmark's .json, or mlflow:URI"


def rows(source: str, experiment: str) -> pd.DataFrame:
    """The rows of a source, a column for everything that they have. Raises BadInput."""
    if source.startswith("mlflow:"):
        return _of_mlflow(source.removeprefix("mlflow:"), experiment)
    path = Path(source)
    kind = path.suffix.lower()
    try:
        if kind in (".csv", ".tsv"):
            # "None" and "NA" are names of arms; an empty cell alone is none
            sep = "\t" if kind == ".tsv" else ","
            return pd.read_csv(path, sep=sep, keep_default_na=False, na_values=[""])
        if kind in (".jsonl", ".ndjson"):
            return pd.read_json(path, lines=True, dtype=False)
        if kind == ".parquet":
            return pd.read_parquet(path)
        if kind == ".json":
            return _of_benchmarks(path)
    except BadInput:
        raise
    except UnicodeDecodeError as error:
        raise BadInput("is not UTF-8", place=path, cure="save the file as UTF-8") from error
    except (ValueError, KeyError, TypeError, OSError) as error:  # pandas' and pyarrow's own derive from them
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadInput(f"cannot be read as {kind[1:]} ({why})", place=path, cure="put that right") from error
    raise BadInput("is of no known kind", place=path, cure=f"give {KINDS}")


def _of_mlflow(where: str, experiment: str) -> pd.DataFrame:
    """The ended runs of an experiment: their metrics, parameters and tags, in this order of rank."""
    _, runs = projection.ended(where, experiment, flag="--experiment")
    done = [run for run in sorted(runs, key=lambda run: run.started) if run.done]
    if not done:
        raise BadInput(f"experiment {experiment!r} has no finished run", place=store.public(where))
    return pd.DataFrame([{**run.tags, **run.params, **run.metrics} for run in done])


def _of_benchmarks(path: Path) -> pd.DataFrame:
    """A row for each benchmark of a stored run, or for each of its rounds where they were kept."""
    found = []
    for benchmark in benchmarks.read(path)["benchmarks"]:
        about = {"name": benchmark["name"], "group": benchmark.get("group")}
        about |= {f"param.{key}": value for key, value in (benchmark.get("params") or {}).items()}
        stats = benchmark["stats"]
        if rounds := stats.get("data"):
            found += [{**about, "round": n, "seconds": seconds} for n, seconds in enumerate(rounds)]
        else:
            found.append({**about, "seconds": stats["median"]})
    require(found, "holds no benchmark", place=path, cure="give a run of at least one")
    return pd.DataFrame(found)
