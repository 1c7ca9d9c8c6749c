"""What a trial's numbers depend on beside its settings: the code that makes them and the text."""

import functools
import hashlib
from dataclasses import replace
from pathlib import Path

from bench.models.registry import spec_of
from bench.text import data_hash
from bench.trial import Trial

SHARED = (
    "corpus.py",
    "environment.py",
    "metrics.py",
    "regularization.py",
    "run.py",
    "text.py",
    "training/engine.py",
    "models/recurrent.py",
)
"""Files of this package that every trial's numbers come from. Clocks and diagnostics change no number."""


def identify(trial: Trial) -> Trial:
    """The trial with the hashes of its code and its text: an edit of either makes it another trial."""
    return replace(trial, source=source_hash(trial.model, trial.engine), data=data_hash(trial.corpus))


@functools.cache
def source_hash(model: str, engine: str) -> str:
    """sha256 of the files that a model under an engine runs through. Raises BadInput for an unknown model."""
    here, spec = Path(__file__).parent, spec_of(model)
    family = here / (spec.module.removeprefix("bench.").replace(".", "/") + ".py")
    digest = hashlib.sha256()
    for path in (
        *(here / name for name in SHARED),
        Path(spec.file or family),
        here / f"training/{engine}.py",
    ):
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
