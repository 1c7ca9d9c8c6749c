"""Questions of the chapter that need no study: small measurements on the CPU, from fixed seeds.

A measurement is a function that gives plain data (numbers, texts, lists and mappings by text), so that it
can be kept as JSON. Its keywords make it smaller, for tests. Nothing here imports torch before it measures.
"""

import hashlib
import pkgutil
import time
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

FORMAT = 1

MEASURED = {
    "trained": "bench.analyses.trained:trained",
    "cells": "bench.analyses.cells:cells",
    "stability": "bench.analyses.learning:stability",
    "halved": "bench.analyses.learning:halved",
    "targets": "bench.analyses.learning:targets",
    "recall": "bench.analyses.recall:recall",
    "sources": "bench.analyses.parts:sources",
    "batches": "bench.analyses.validation_text:batches",
    "context": "bench.analyses.validation_text:context",
    "coverage": "bench.analyses.validation_text:coverage",
    "history": "bench.analyses.history:history",
    "spacing": "bench.analyses.floats:spacing",
    "precision": "bench.analyses.floats:precision",
    "tanh": "bench.analyses.floats:tanh",
    "same": "bench.analyses.parts:same",
    "dropout": "bench.analyses.parts:dropout",
    "anatomy": "bench.analyses.anatomy:anatomy",
}
"""The function of each measurement, as an import name; those that take longest come first."""


def measure(name: str) -> dict[str, Any]:
    """One measurement: {"found": its data, "seconds", "environment"}. Sets torch up for this process."""
    from bench import environment, machine  # torch

    environment.deterministic()
    clock = time.perf_counter()
    found = pkgutil.resolve_name(MEASURED[name])()
    return {"found": found, "seconds": time.perf_counter() - clock, "environment": machine.facts()}


@cache
def identity(name: str) -> str:
    """Sixteen hex digits: of the measurement's name, every file of `bench`, and torch's version."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256(f"{FORMAT}\0{name}\0{metadata.version('torch')}\0".encode())
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]
