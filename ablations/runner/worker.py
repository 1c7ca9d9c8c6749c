"""A cluster worker's side of a trial: the check that it has the driver's code, and the run.

It does not import Dask.
"""

import hashlib
import multiprocessing
import platform
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from unrolled.ablations.runner.child import ProcessConditions
from unrolled.ablations.runner.gpus import GpuSlots
from unrolled.ablations.runner.process import remove_checkpoints, run_in_process
from unrolled.bench.errors import BadInput
from unrolled.bench.hardware.devices import check_gpus, list_visible_gpus
from unrolled.bench.hardware.machine import read_package_versions
from unrolled.bench.trial import Result, Trial

POLL_SECONDS = 0.2  # seconds between two checks whether a trial is cancelled
ROOT = Path(__file__).parents[2]


def collect_facts() -> dict[str, str]:
    """Return the facts that must be equal on both sides: Python, the packages that decide numbers, files.

    A CPU and a CUDA build of one version of torch count as the same. A file whose code a trial may run is
    compared by its sha256.
    """
    facts = {
        "Python": platform.python_version(),
        **{name: version.partition("+")[0] for name, version in read_package_versions().items()},
    }
    files = [ROOT / "ablations" / name for name in ("ledger.py", "run_folder.py")]
    for folder in (ROOT / "bench", ROOT / "ablations" / "runner"):
        files += folder.rglob("*.py")
    return facts | {
        str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)
    }


def find_difference(driver_facts: Mapping[str, str]) -> str:
    """Return a difference from the driver's machine that may change numbers, and its cure; "" for none."""
    if multiprocessing.current_process().daemon:
        return "may start no process: start it with DASK_DISTRIBUTED__WORKER__DAEMON=False"
    worker_facts = collect_facts()
    for name in {**driver_facts, **worker_facts}:
        version = worker_facts.get(name)
        if driver_facts.get(name) != version:
            if name.endswith(".py"):
                return f"has another {name} than the driver: install the same code there, then restart it"
            return f"has {name} {version}, the driver {driver_facts.get(name)}: install the same there"
    return ""


def find_gpu_fault(gpu_count: int, *, with_torch: bool) -> str:
    """Return why trials that get so many GPUs cannot be trained here, and the cure; "" if they can."""
    try:
        check_gpus(list_visible_gpus(), gpu_count, with_torch=with_torch)
    except BadInput as error:
        return f"cannot train on its GPUs: {error}"
    return ""


@cache
def _make_gpu_slots() -> GpuSlots:
    """Return one slot on each GPU that this worker sees."""
    return GpuSlots(list_visible_gpus(), 1)


def run_trial(
    trial: Trial, conditions: ProcessConditions, ledger: str, folder: Path, is_cancelled: Callable[[], bool]
) -> dict[str, object]:
    """Run a trial whose files `store_files` put into `folder`, until it ends or `is_cancelled` returns True.

    Drivers with other ledgers may run the same trial here: each `ledger` has separate checkpoints.
    Returns {"result": …}, {"refused": reason}, or {} for a cancelled trial.
    """
    local_trial = trial.relocate_to(folder)
    local_conditions = replace(conditions, plugins=[str(folder / name) for name in conditions.plugins])
    checkpoints = folder.parent / "unrolled-checkpoints" / ledger
    try:
        with _watch_cancellation(is_cancelled) as stop, _make_gpu_slots().hold_gpus(trial.gpu_count) as gpus:
            result = run_in_process(
                local_trial, local_conditions, checkpoints=checkpoints, stop=stop, gpus=gpus
            )
    except BadInput as error:
        return {"refused": f"cannot compute a trial as it was planned: {error}"}
    if result is None:
        return {}
    remove_checkpoints(checkpoints, result)
    return {"result": _restore_paths(result, trial, local_trial, folder).to_dict()}


def _restore_paths(result: Result, trial: Trial, local_trial: Trial, folder: Path) -> Result:
    """Return the result with the driver's paths in place of the worker's."""

    def restore_text(text: str) -> str:
        for name in trial.unhashed_fields:
            local_path = getattr(local_trial, name)
            if isinstance(local_path, str):
                text = text.replace(local_path, getattr(trial, name))
        return re.sub(re.escape(f"{folder}/") + "[0-9a-f]{64}/", "", text)

    return replace(
        result, trial=trial, reason=restore_text(result.reason), output=restore_text(result.output)
    )


@contextmanager
def _watch_cancellation(is_cancelled: Callable[[], bool]) -> Iterator[Connection]:
    """Yield a connection that becomes readable once `is_cancelled` returns True."""
    stop, writer = Pipe(duplex=False)
    ended = threading.Event()

    def close_when_cancelled() -> None:
        while not (ended.wait(POLL_SECONDS) or is_cancelled()):
            pass
        writer.close()

    watcher = threading.Thread(target=close_when_cancelled, daemon=True)
    watcher.start()
    with stop:
        try:
            yield stop
        finally:
            ended.set()
            watcher.join()
