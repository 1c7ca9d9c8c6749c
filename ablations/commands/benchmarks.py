"""What pytest-benchmark stored, as `make bench` does: rounds for a table, runs for before and after."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ablations.ledger import explaining_misread, read_required
from bench.errors import BadInput, require
from reports.before_after import ResultSet


def rounds(path: Path) -> pd.DataFrame:
    """A row for each benchmark of a stored run, or for each of its rounds where they were kept."""
    found = []
    for benchmark in _stored_run(path)["benchmarks"]:
        about = {"name": benchmark["name"], "group": benchmark.get("group")}
        about |= {f"param.{key}": value for key, value in (benchmark.get("params") or {}).items()}
        stats = benchmark["stats"]
        if rounds := stats.get("data"):
            found += [{**about, "round": n, "seconds": seconds} for n, seconds in enumerate(rounds)]
        else:
            found.append({**about, "seconds": stats["median"]})
    require(found, "holds no benchmark", place=path, cure="give a run of at least one")
    return pd.DataFrame(found)


def timings(source: str) -> ResultSet:
    """One side's benchmarks, a row a stored run, oldest first: of a file, or a folder such as `.benchmarks`.

    Raises BadInput for files of another kind.
    """
    path = Path(source)
    files = [path] if path.is_file() else sorted(path.rglob("*.json"))
    stored = {file: _stored_run(file) for file in files}
    if not stored:
        raise BadInput("holds neither a ledger nor pytest-benchmark's stored runs (*.json)", place=source)
    rows = []
    for file, run in sorted(stored.items(), key=lambda pair: str(pair[1].get("datetime", ""))):
        with explaining_misread(file, "was stored by another version", "measure anew"):
            machine = _machine(run["machine_info"])
            for benchmark in run["benchmarks"]:
                median, iqr, rounds = (float(benchmark["stats"][n]) for n in ("median", "iqr", "rounds"))
                if not median > 0:
                    raise ValueError("a time is not positive")
                about = {"arm": str(benchmark["fullname"]), "machine": machine}
                rows.append({**about, "seconds": median, "iqr": iqr, "rounds": rounds})
    columns = ["arm", "machine", "seconds", "iqr", "rounds"]
    return ResultSet(name=source, table=pd.DataFrame(rows, columns=columns))


def _machine(info: Mapping[str, Any]) -> dict[str, str]:
    """The facts that a benchmark's time depends on, without the machine's name."""
    cpu = info.get("cpu") or {}
    facts = {"cpu": cpu.get("brand_raw", cpu.get("brand")), "cores": cpu.get("count")}
    names = ("machine", "system", "python_implementation", "python_version")
    facts |= {name: info.get(name) for name in names}
    return {name: str(value) for name, value in facts.items() if value is not None}


def _stored_run(file: Path) -> dict[str, Any]:
    """A stored run. Raises BadInput where the file is none."""
    rule, cure = "is not a file of pytest-benchmark", "`make bench` writes them"
    with explaining_misread(file, rule, cure):
        stored = json.loads(read_required(file))
        if not isinstance(stored["benchmarks"], list):
            raise TypeError("no list of benchmarks")
    return dict(stored)
