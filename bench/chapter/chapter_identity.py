"""Identity of a trial of the chapter: hashes of its code and its text, versions of its packages."""

import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from unrolled.bench.chapter.models.registry import find_model
from unrolled.bench.chapter.models.spec import PLUGIN_PENALTIES, find_active_penalties
from unrolled.bench.chapter.text import (
    HUMAN_NUMBERS,
    hash_corpus,
    is_human_numbers,
)
from unrolled.bench.errors import BadInput, require
from unrolled.bench.sources.identity import (
    ROOT,
    RUNNER,
    find_plugin_hash,
    hash_code,
    hash_contents,
    read_package_version,
)
from unrolled.bench.sources.module_sources import Sources
from unrolled.bench.trial import Scalar, Trial

BENCH = Path(__file__).parents[1]

SHARED = (
    "files/canonical_json.py",
    "numbers.py",
    "trainer.py",
    "trial.py",
    "chapter/chapter_trial.py",
    "chapter/corpus.py",
    "chapter/diagnostics.py",
    "chapter/metrics.py",
    "chapter/models/recurrent.py",
    "chapter/models/spec.py",
    "chapter/regularization.py",
    "chapter/chapter_run.py",
    "chapter/text.py",
    "chapter/torch_device.py",
    "chapter/training/record.py",
    "chapter/training/train.py",
    "chapter/witnesses/witness_tables.py",
    "chapter/witnesses/data_witnesses.py",
    "chapter/witnesses/model_witnesses.py",
    "chapter/witnesses/observer.py",
    "chapter/witnesses/training_witnesses.py",
    "chapter/witnesses/witness.py",
)
"""Files that compute or record a number of every trial's result."""

ENGINES = {
    "learner": ("learner",),
    "loop": ("loop", "optimizer", "checkpoint"),
}
"""The modules of `bench.chapter.training` that make up an engine."""


def compute_identity_fields(
    model: str, engine: str, options: Mapping[str, Scalar], corpus: str
) -> dict[str, Any]:
    """Return the fields of a trial that identify its code, text and versions.

    The option of a plugged-in penalty is left out if its strength is 0, so that a plug-in changes only trials
    that use it. A file with the text of Human Numbers counts as the built-in text. Raises BadInput if the
    trial needs a plug-in that is not loaded.
    """
    spec = find_model(model)
    penalties = find_active_penalties(options)
    if unknown := [key for key in options if key not in spec.options]:
        cure = "a regulariser of your own needs its file: --plugin FILE.py"
        raise BadInput(f"has no option {unknown[0]!r}", place=f"model {model!r}", cure=cure)
    inactive = PLUGIN_PENALTIES.keys() - penalties.keys()
    return {
        "options": {key: value for key, value in options.items() if key not in inactive},
        "corpus": HUMAN_NUMBERS if is_human_numbers(corpus) else corpus,
        "source": hash_source(model, engine, tuple(penalties)),
        "data": hash_corpus(corpus),
        "versions": ", ".join(list_versions(model, engine, penalties)),
    }


def check_as_planned(trial: Trial, current: Trial) -> None:
    """Raise BadInput if code or packages have changed since a trial was planned.

    `current` is the trial as this process identifies it.
    """
    cure = "run the study again"
    rule = f"{current.versions} is loaded, but {trial.versions} when the study was planned"
    require(current.versions == trial.versions, rule, cure=cure)
    rule = "a file of its plug-in was edited after the study was planned"
    require(find_plugin_hash(current) == find_plugin_hash(trial), rule, cure=cure)
    rule = "the code of Unrolled was edited after planning"
    require(current.source == trial.source, rule, cure=cure)


def list_plugin_files(model: str, penalties: Iterable[str]) -> set[Path]:
    """Return the files of the plug-ins of a model and its penalties, which count in a trial's identity."""
    return {Path(file) for sources in find_plugin_sources(model, penalties) for file in sources.files}


def list_versions(model: str, engine: str, penalties: Iterable[str]) -> list[str]:
    """Return the packages that compute a trial, with their versions: "torch 2.13.0", then others by name.

    fastai is listed if it trains or provides the model, other packages if a plug-in imports them. A CPU build
    and a CUDA build of one release have the same version; the build is among a result's facts.
    """
    names = {*find_model(model).packages}
    if engine == "learner":
        names.add("fastai")
    for sources in find_plugin_sources(model, penalties):
        names.update(sources.packages)
    return [f"{name} {read_package_version(name)}" for name in ("torch", *sorted(names - {"torch"}))]


@functools.cache
def hash_source(model: str, engine: str, penalties: tuple[str, ...]) -> str:
    """Return the sha256 of the code that a model, its engine and its penalties use.

    For plug-ins, a second hash follows after a "-". Raises BadInput for an unknown model.
    """
    hash_of_package = hash_package(model, engine, BENCH, penalties)
    files = sorted(list_plugin_files(model, penalties), key=lambda path: (path.name, path))
    return f"{hash_of_package}-{hash_contents(files)}" if files else hash_of_package


def hash_package(model: str, engine: str, folder: Path, penalties: tuple[str, ...] = ()) -> str:
    """Return the first hash of `hash_source`, for the copy of `bench` in `folder` and its sibling packages.

    Raises OSError if a file is missing.
    """
    files = [folder / name for name in list_package_files(model, engine, penalties)]
    files += [folder.parent / path.relative_to(ROOT) for path in RUNNER]
    return hash_code(files, find_model(model).builder)


def list_package_files(model: str, engine: str, penalties: tuple[str, ...] = ()) -> list[str]:
    """Return the files of `bench` that compute or record a trial's numbers, relative to its folder."""
    spec = find_model(model)
    module = spec.module.removeprefix("unrolled.bench.").replace(".", "/")
    model_files = {
        f"chapter/models/{Path(file).name}"
        for part in find_plugin_sources(model, penalties)
        for file in part.zoo_files
    }
    model_files.add("chapter/plugins.py" if spec.file else f"{module}.py")
    return [*SHARED, *sorted(model_files), *(f"chapter/training/{name}.py" for name in ENGINES[engine])]


def find_plugin_sources(model: str, penalties: Iterable[str]) -> Iterator[Sources]:
    """Yield the sources of the plug-ins, if any, that registered a model and these penalties."""
    spec = find_model(model)
    if spec.file:
        yield spec.sources
    yield from (PLUGIN_PENALTIES[name].sources for name in penalties)
