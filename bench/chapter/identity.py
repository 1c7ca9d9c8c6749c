"""Identity of a trial of the chapter: hashes of its code and its text, versions of its packages."""

import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from unrolled.bench.chapter.models.registry import spec_of
from unrolled.bench.chapter.models.spec import PENALTIES, Sources, active_penalties
from unrolled.bench.chapter.text import HUMAN_NUMBERS, data_hash, is_human_numbers, text_of
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.errors import BadInput, require
from unrolled.bench.identity import ROOT, RUNNER, digest, file_state, source_parts, version
from unrolled.bench.trial import FileState

BENCH = Path(__file__).parents[1]

SHARED = (
    "environment.py",
    "trial.py",
    "chapter/trial.py",
    "chapter/corpus.py",
    "chapter/diagnostics.py",
    "chapter/flops.py",
    "chapter/metrics.py",
    "chapter/models/recurrent.py",
    "chapter/models/spec.py",
    "chapter/regularization.py",
    "chapter/run.py",
    "chapter/text.py",
    "chapter/throughput.py",
    "chapter/training/record.py",
    "chapter/training/train.py",
    "chapter/witnesses/__init__.py",
    "chapter/witnesses/data.py",
    "chapter/witnesses/model.py",
    "chapter/witnesses/observer.py",
    "chapter/witnesses/training.py",
    "chapter/witnesses/types.py",
)
"""Files that compute or record a number of every trial's result."""

ENGINES = {
    "learner": ("learner",),
    "loop": ("loop", "optimizer", "checkpoint"),
}
"""The modules of `bench.chapter.training` that an engine is made of."""


def identify(trial: ChapterTrial) -> dict[str, Any]:
    """The fields of a trial that tell of its code, text and versions: a change makes it another trial.

    A plugged-in penalty of strength 0 is left out, so that a plug-in touches only the trials that have it.
    Human Numbers from a file has the built-in text's name.
    Raises BadInput where the trial needs a plug-in that is not loaded.
    """
    spec, own = spec_of(trial.model), active_penalties(trial.options)
    if unknown := [key for key in trial.options if key not in spec.options]:
        cure = "a regulariser of your own needs its file: --plugin FILE.py"
        raise BadInput(f"has no option {unknown[0]!r}", place=f"model {trial.model!r}", cure=cure)
    options = {key: value for key, value in trial.options.items() if key in own or key not in PENALTIES}
    return {
        "options": options,
        "corpus": HUMAN_NUMBERS if is_human_numbers(trial.corpus) else trial.corpus,
        "source": source_hash(trial.model, trial.engine, tuple(own)),
        "data": data_hash(trial.corpus),
        "versions": ", ".join(versions(trial)),
    }


def check(trial: ChapterTrial) -> dict[Path, FileState]:
    """The state of the files of its plug-ins, which may import them late. Its text is read already.

    Raises BadInput if this process would not compute the trial as it was planned. A trial without the hashes
    of `identify` is not checked.
    """
    if not trial.source:
        return {}
    states = {path: file_state(path) for path in plug_in_files(trial)}
    again, now = "run the study again", trial.identify()
    same = hashlib.sha256(text_of(trial.corpus).encode()).hexdigest() == trial.data
    rule = "the text was edited after the study was planned"
    require(same, rule, place=f"corpus {trial.corpus}", cure=again)
    rule = f"{now.versions} is loaded, but {trial.versions} when the study was planned"
    require(now.versions == trial.versions, rule, cure=again)
    rule = "a file of its plug-in was edited after the study was planned"
    require(source_parts(now)[2] == source_parts(trial)[2], rule, cure=again)
    rule = "the code of Unrolled was edited after planning"
    require(now.source == trial.source, rule, cure=again)
    return states


def plug_in_files(trial: ChapterTrial) -> set[Path]:
    """The files of a trial's plug-ins, which count in its identity."""
    return {
        Path(file) for part in plugged(trial.model, active_penalties(trial.options)) for file in part.files
    }


def versions(trial: ChapterTrial) -> list[str]:
    """The packages that compute a trial, with their versions: "torch 2.13.0", then others by name.

    fastai counts where it trains or provides the model, others where a plug-in imports them. A CPU build and
    a CUDA build of one release are the same version; the build is among a result's facts.
    """
    spec, names = spec_of(trial.model), {"torch"}
    names |= set(spec.packages) | ({"fastai"} if trial.engine == "learner" else set())
    for sources in plugged(trial.model, active_penalties(trial.options)):
        names |= set(sources.packages)
    return [f"{name} {version(name)}" for name in sorted(names, key=lambda name: (name != "torch", name))]


@functools.cache
def source_hash(model: str, engine: str, penalties: tuple[str, ...]) -> str:
    """sha256 of the source files that a model, its engine and its penalties use.

    The files of plug-ins have a second hash, after a "-". Raises BadInput for an unknown model.
    """
    package = package_hash(model, engine, BENCH, penalties)
    files = {Path(file) for part in plugged(model, penalties) for file in part.files}
    own = sorted(files, key=lambda path: (path.name, path))
    return f"{package}-{digest(own)}" if own else package


def package_hash(model: str, engine: str, folder: Path, penalties: tuple[str, ...] = ()) -> str:
    """The first hash of `source_hash`, of the copy of this package in `folder` and of what stands beside it.

    Raises OSError where a file is missing.
    """
    files = [folder / name for name in package_files(model, engine, penalties)]
    files += [folder.parent / path.relative_to(ROOT) for path in RUNNER]
    return digest(files, spec_of(model).builder)


def package_files(model: str, engine: str, penalties: tuple[str, ...] = ()) -> list[str]:
    """The files of this package that compute or record a trial's numbers, relative to it."""
    spec = spec_of(model)
    module = spec.module.removeprefix("unrolled.bench.").replace(".", "/")
    families = {
        f"chapter/models/{Path(file).name}" for part in plugged(model, penalties) for file in part.families
    }
    families.add("plugins.py" if spec.file else f"{module}.py")
    return [*SHARED, *sorted(families), *(f"chapter/training/{name}.py" for name in ENGINES[engine])]


def plugged(model: str, penalties: Iterable[str]) -> Iterator[Sources]:
    """The sources of a model and its penalties; those that do not come from a plug-in are left out."""
    if (spec := spec_of(model)).file:
        yield spec.sources
    yield from (PENALTIES[name].sources for name in penalties)
