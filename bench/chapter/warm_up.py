"""Imported once by the process that trials are forked from, so that they start warm.

The one module whose import does something: it loads torch and fastai, writes out and tokenises Human
Numbers, asks git and the installation for their versions, and makes an optimizer, whose first one loads
torch's compiler (1.4 s). It uses neither CUDA nor NVML, which do not work after a fork.
"""

from pathlib import Path

from bench import identity


def _files() -> dict[Path, bytes]:
    """Each file of the package as it is now."""
    return {path: path.read_bytes() for path in Path(__file__).parents[1].rglob("*.py")}


def _warm() -> tuple[object, ...]:
    # imported here, between two looks at the files that are loaded
    import torch

    import bench.chapter.run
    import bench.chapter.training.learner
    import bench.chapter.training.loop
    from bench import machine
    from bench.chapter import corpus
    from bench.chapter.models import awd, counts, elman, gru, lstm
    from bench.trial import Trial

    return (
        (bench.chapter.run, bench.chapter.training, awd, counts, elman, gru, lstm),
        corpus.load(Trial(model="lm4", seed=0)),
        machine.code_version(),
        machine.package_versions(),
        torch.optim.AdamW([torch.zeros(1)], fused=True),
    )


_BEFORE = _files()
WARM = _warm()
if _files() != _BEFORE:  # which text was loaded cannot be told, so no trial may start from here
    raise SystemExit("the code was edited while it was loaded")
for _path, _content in _BEFORE.items():
    identity.loaded(_path, _content)
