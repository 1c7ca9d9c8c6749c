"""A cluster worker's side of a trial: the check that it has the driver's code, and the run. No Dask."""

import hashlib
import multiprocessing
import platform
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from unrolled.ablations.runner.child import TaskSpec
from unrolled.ablations.runner.gpus import GpuSlots
from unrolled.ablations.runner.process import remove_checkpoints, run_alone
from unrolled.bench import plugins
from unrolled.bench.devices import check_gpus
from unrolled.bench.errors import BadInput, require
from unrolled.bench.files import save
from unrolled.bench.machine import package_versions
from unrolled.bench.nvidia import visible_gpus
from unrolled.bench.trial import Result, Trial

POLL = 0.2  # seconds between two looks at whether a trial is still wanted
ROOT = Path(__file__).parents[2]


def code_hashes() -> dict[str, str]:
    """sha256 of every file that a trial may run through, by its path in the project."""
    folders = (ROOT / "bench", ROOT / "ablations" / "runner")
    files = [f for folder in folders for f in folder.rglob("*.py")]
    files += [ROOT / "ablations" / name for name in ("ledger.py", "run_folder.py")]
    return {str(f.relative_to(ROOT)): hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(files)}


def facts() -> dict[str, str]:
    """What must be equal on both sides: Python, the packages that decide numbers, and the files.

    A CPU and a CUDA build of one torch count as the same.
    """
    versions = {name: version.partition("+")[0] for name, version in package_versions().items()}
    return {"Python": platform.python_version(), **versions, **code_hashes()}


def mismatch(theirs: Mapping[str, str]) -> str:
    """The difference from the driver's machine that would change numbers, and its cure; "" if none."""
    if multiprocessing.current_process().daemon:
        return "may start no process: start it with DASK_DISTRIBUTED__WORKER__DAEMON=False"
    mine = facts()
    for name in {**theirs, **mine}:
        if (other := theirs.get(name)) != (own := mine.get(name)):
            if name.endswith(".py"):
                return f"has another {name} than the driver: install the same code there, then restart it"
            return f"has {name} {own}, the driver {other}: install the same there"
    return ""


def find_gpu_fault(gpu_count: int, *, with_torch: bool) -> str:
    """Why trials cannot be trained here that get so many GPUs, and the cure; "" if they can."""
    try:
        check_gpus(visible_gpus(), gpu_count, with_torch=with_torch)
    except BadInput as error:
        return f"cannot train on its GPUs: {error}"
    return ""


@cache
def _gpu_slots() -> GpuSlots:
    """One slot on each GPU that this worker sees."""
    return GpuSlots(visible_gpus(), 1)


def distinct_trials(trials: Iterable[Trial]) -> list[Trial]:
    """One trial of each code and data, whose files are then read once and not once a seed."""
    return list({(trial.source, trial.data, trial.data_name): trial for trial in trials}.values())


def trial_files(trials: Iterable[Trial]) -> dict[str, bytes]:
    """The texts and programs of trials, by their paths below the folder that `Trial.moved` takes.

    Raises BadInput if one of them cannot be read.
    """
    return {path: content for trial in distinct_trials(trials) for path, content in trial.files().items()}


def files_to_ship(trials: Sequence[Trial], preload: Sequence[str]) -> tuple[dict[str, bytes], dict[str, str]]:
    """The user's texts and plug-ins by their path on a worker, and the name of each `preload` there.

    Raises BadInput if one of them cannot be read, or if a plug-in needs other files.
    """
    files = trial_files(trials)
    there = {}
    for name in preload:
        there[name] = name
        if plugins.is_plug_in(name):
            more, cure = plugins.companions(name), "a plug-in for a cluster is a single file"
            require(not more, f"needs {Path(*more[:1]).name}", place=f"plug-in {name}", cure=cure)
            content = Path(name).read_bytes()
            there[name] = f"{hashlib.sha256(content).hexdigest()}/{Path(name).name}"
            files[there[name]] = content
    return files, there


def store_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the shipped files, each in a folder named by its content's hash."""
    for name, content in files.items():
        save(folder / name, content)


def run_trial(
    trial: Trial, spec: TaskSpec, ledger: str, folder: Path, cancelled: Callable[[], bool]
) -> dict[str, object]:
    """Run a trial whose files `store_files` put into `folder`, until it ends or is `cancelled`.

    Drivers with other ledgers may have the same trial run here: each `ledger` has checkpoints of its own.
    Returns {"result": …}, {"refused": why}, or {} for a cancelled trial.
    """
    local = trial.moved(folder)
    names = [str(folder / name) if plugins.is_plug_in(name) else name for name in spec.preload]
    local_spec, checkpoints = replace(spec, preload=names), folder.parent / "unrolled-checkpoints" / ledger
    try:
        with _stop(cancelled) as stop, _gpu_slots().take(local.gpu_count) as gpus:
            result = run_alone(local, local_spec, checkpoints=checkpoints, stop=stop, gpus=gpus)
    except BadInput as error:
        return {"refused": f"cannot compute a trial as it was planned: {error}"}
    if result is None:
        return {}
    remove_checkpoints(checkpoints, result)
    return {"result": _with_drivers_paths(result, trial, local, folder).to_dict()}


def _with_drivers_paths(result: Result, trial: Trial, local: Trial, folder: Path) -> Result:
    """The result with the driver's paths for the worker's."""

    def clean(text: str) -> str:
        for name in trial.uncounted:
            if isinstance(here := getattr(local, name), str):
                text = text.replace(here, getattr(trial, name))
        return re.sub(re.escape(f"{folder}/") + "[0-9a-f]{64}/", "", text)

    return replace(result, trial=trial, reason=clean(result.reason), output=clean(result.output))


@contextmanager
def _stop(cancelled: Callable[[], bool]) -> Iterator[Connection]:
    """A connection that becomes readable once `cancelled` returns true."""
    stop, held = Pipe(duplex=False)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL):
            if cancelled():
                break
        held.close()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    with stop:
        try:
            yield stop
        finally:
            over.set()
            watcher.join()
