"""Imported once by the process that trials are forked from, so that they start warm.

The import has side effects: it loads torch, writes out and tokenises Human Numbers, asks git and the
installation for their versions, and makes an optimizer, because the first optimizer loads torch's compiler
(1.4 s). It uses neither CUDA nor NVML, which do not work after a fork. `warm_up_fastai` loads fastai, which
takes three seconds more.
"""

from collections.abc import Callable
from pathlib import Path

from unrolled.bench.sources import identity


def load_unchanged(load: Callable[[], object]) -> object:
    """Call `load`, which imports modules of the package, and record which text of the files was loaded.

    Raises SystemExit if a file was edited meanwhile, so that no trial is forked from this process.
    """
    sources = _read_package_files()
    modules = load()
    if _read_package_files() != sources:
        raise SystemExit("the code was edited while it was loaded")
    for path, source in sources.items():
        identity.record_source(path, source)
    return modules


def _read_package_files() -> dict[Path, bytes]:
    """Return the present source of each module of the package."""
    return {path: path.read_bytes() for path in Path(__file__).parents[1].rglob("*.py")}


def _load_modules() -> tuple[object, ...]:
    # imported inside the function, so that `load_unchanged` can compare the files before and after
    import torch

    from unrolled.bench.chapter import chapter_run, corpus
    from unrolled.bench.chapter.chapter_trial import ChapterTrial
    from unrolled.bench.chapter.models import counts, elman, gru, lstm
    from unrolled.bench.chapter.training import loop
    from unrolled.bench.hardware import machine

    return (
        (chapter_run, loop, counts, elman, gru, lstm),
        corpus.load_corpus(ChapterTrial(model="lm4", seed=0)),
        machine.read_code_version(),
        machine.read_package_versions(),
        torch.optim.AdamW([torch.zeros(1)], fused=True),
    )


WARM = load_unchanged(_load_modules)
