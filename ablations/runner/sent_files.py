"""The files of trials that go elsewhere, to a cluster's workers or into a bundle."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from unrolled.bench.errors import BadInput
from unrolled.bench.files.atomic_files import save_file
from unrolled.bench.trial import Trial


def select_distinct_trials(trials: Iterable[Trial]) -> list[Trial]:
    """Return one trial for each code and data: those that differ only in the seed have the same files."""
    return list({(trial.source, trial.data, trial.data_name): trial for trial in trials}.values())


def read_trial_files(trials: Iterable[Trial]) -> dict[str, bytes]:
    """Return the texts and programs of trials, by their paths below the folder of `Trial.relocate_to`.

    Raises BadInput if one of them cannot be read.
    """
    return {
        path: content
        for trial in select_distinct_trials(trials)
        for path, content in trial.read_files_to_send().items()
    }


def read_files_to_send(
    trials: Sequence[Trial], plugins: Sequence[str]
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return texts and plug-ins by their paths on a worker, and the worker's name of each plug-in.

    Raises BadInput if one of them cannot be read, or if a plug-in needs other files.
    """
    files = read_trial_files(trials)
    names = {}
    for name in plugins:
        if companions := trials[0].trainer.plugins.load().find_companion_files(name):
            cure = "a plug-in for a cluster is a single file"
            raise BadInput(f"needs {Path(companions[0]).name}", place=f"plug-in {name}", cure=cure)
        content = Path(name).read_bytes()
        names[name] = f"{hashlib.sha256(content).hexdigest()}/{Path(name).name}"
        files[names[name]] = content
    return files, names


def store_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the sent files that are not there, each in a folder named by its content's hash.

    A file that is there may be in use by a trial, which is refused if it was written meanwhile.
    """
    for name, content in files.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            save_file(path, content)
