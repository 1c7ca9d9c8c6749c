"""A trial's work that tells which files of the project its process has loaded. Imports little itself."""

import os
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path

from unrolled.ablations.runner.child import ProcessConditions
from unrolled.bench.identity import ROOT
from unrolled.bench.trial import Result, Trial


def modules(trial: Trial) -> Result:
    """A trial's work, which prints the files of the project that its process has loaded at the end."""
    work: Callable[[Trial], Result] = pkgutil.resolve_name(trial.run_import)
    result = work(trial)
    files = [module.__file__ for name, module in sys.modules.items() if name.startswith("unrolled.")]
    print(*files, sep="\n")
    raise RuntimeError(f"prints are kept of trials that fail; this one is {result.status}")


def loaded_files(trial: Trial, checkpoints: Path) -> set[str]:
    """Return the files of the package `bench` that a trial's process loads, relative to it."""
    from unrolled.ablations.runner.process import run_alone  # which no trial's process loads

    result = run_alone(trial, ProcessConditions(run_import=f"{__name__}:modules"), checkpoints=checkpoints)
    assert result is not None and result.reason.endswith("this one is done"), result
    files = [Path(line) for line in result.output.splitlines() if line.startswith(str(ROOT))]
    return {os.path.relpath(file, ROOT / "bench") for file in files if file.suffix == ".py"}
