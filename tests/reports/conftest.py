"""The smallest measurements of the chapter's page, made once for all tests of the page."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))  # synthetic.py

FACTS = {"commit": "0123456789abcdef", "dirty": False, "cpu": "Xeon 8481C", "threads": 1}


@pytest.fixture(scope="session")
def measured() -> dict[str, Any]:
    """Every measurement, as small as it can be, as JSON gives it back."""
    import torch

    from bench.analyses import (
        MEASURED,
        anatomy,
        cells,
        floats,
        history,
        learning,
        parts,
        recall,
        trained,
        validation_text,
    )
    from bench.trial import canonical

    torch.set_num_threads(1)  # two threads take ten times as long where another test runs on the other core
    found = {
        "sources": parts.sources(),
        "batches": validation_text.batches(),
        "context": validation_text.context(),
        "coverage": validation_text.coverage(),
        "targets": learning.targets(seeds=[0], epochs=1),
        "stability": learning.stability(seeds=[0, 1], epochs=1),
        "halved": learning.halved(seeds=[0, 1], epochs=1),
        "history": history.history(count=3),
        "cells": cells.cells(seeds=[0], epochs=1),
        "recall": recall.recall(seeds=[0], distances=[2, 4], steps=3),
        "trained": trained.trained(seeds=[0], epochs=1),
        "spacing": floats.spacing(),
        "precision": floats.precision(steps=16),
        "tanh": floats.tanh(),
        "same": parts.same(size=8),
        "dropout": parts.dropout(draws=2**12),
        "anatomy": anatomy.anatomy(),
    }
    assert set(found) == set(MEASURED)
    whole = {name: {"found": f, "seconds": 1.0, "environment": FACTS} for name, f in found.items()}
    return dict(json.loads(canonical(whole)))


@pytest.fixture(scope="session")
def found(measured: dict[str, Any]) -> dict[str, Any]:
    return {name: m["found"] for name, m in measured.items()}
