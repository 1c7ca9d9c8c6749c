"""What a trial's numbers depend on beside its settings: the code that makes them and the text."""

import functools
import hashlib
from dataclasses import replace
from pathlib import Path

from bench.models.registry import PENALTIES, spec_of, strengths
from bench.text import data_hash
from bench.trial import BadInput, Trial

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
"""Files that every trial's numbers come from. Clocks, diagnostics and checkpoints change no number."""

ENGINES = {"learner": ("learner",), "loop": ("loop", "steps"), "sgd": ("sgd", "steps")}
"""The modules of `bench.training` that an engine is made of."""


def identify(trial: Trial) -> Trial:
    """The trial with the hashes of its code and its text: an edit of either makes it another trial.

    A plugged-in penalty of strength 0 is left out, so that a plug-in touches only the trials that have it.
    Raises BadInput where the trial needs a plug-in that is not loaded.
    """
    spec, own = spec_of(trial.model), strengths(trial.options)
    if unknown := [key for key in trial.options if key not in spec.options]:
        raise BadInput(
            f"model {trial.model!r} has no option {unknown[0]!r}; "
            "a regulariser of your own needs its file: --plugin FILE.py"
        )
    kept = {key: value for key, value in trial.options.items() if key in own or key not in PENALTIES}
    source = source_hash(trial.model, trial.engine, tuple(PENALTIES[name].file for name in own))
    return replace(trial, options=kept, source=source, data=data_hash(trial.corpus))


@functools.cache
def source_hash(model: str, engine: str, penalties: tuple[str, ...] = ()) -> str:
    """sha256 of the files that a model under an engine runs through, and of the penalties that it has.

    What comes from plug-ins has a hash of its own, behind a "-". Raises BadInput for an unknown model.
    """
    here, spec = Path(__file__).parent, spec_of(model)
    family = here / (spec.module.removeprefix("bench.").replace(".", "/") + ".py")
    families = map(Path, spec.families) if spec.file else [family]
    own = [here / f"training/{name}.py" for name in ENGINES[engine]]
    package = _digest(*(here / name for name in SHARED), *families, *own)
    plugged = [Path(file) for file in (spec.file, *penalties) if file]
    return f"{package}-{_digest(*plugged)}" if plugged else package


def _digest(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
