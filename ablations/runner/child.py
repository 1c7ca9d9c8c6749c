"""The process of a trial: it leaves the parent's process group, does the work and answers with the result.

This module imports little, because every trial's process loads it. The parent's side is in `process`.
"""

import importlib
import math
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path

from unrolled.bench.errors import BadInput
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.sources.identity import RUNNER, find_changed_files, record_sources
from unrolled.bench.sources.module_sources import ReadAudit
from unrolled.bench.trainer import ImportName
from unrolled.bench.trial import FileState, Result, Trial, make_failed_result

# the files as this process loads them: later edits do not change what its trials are identified by
record_sources(RUNNER)

BAD_INPUT = f"{BadInput.__name__}: "
"""The beginning of the reason of a trial that raised BadInput."""
MESSAGE_LENGTH = 500  # characters of an exception's message; the output has it in full
LOCK = ".lock"  # suffix of the file that locks a trial, beside its checkpoints

SAFE_PATH = "PYTHONSAFEPATH"
"""The variable that keeps the working folder off the module path of `python -c` and `python -m`."""
SAFE_PATH_OF_SERVER = "of the fork server"
"""The value of SAFE_PATH in the fork server, unless the user has set one. Trials do not inherit it."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one trial."""

    time_limit: float = 3600.0  # seconds that an attempt may take, by wall clock
    memory_bytes: int = 0  # most private memory (RLIMIT_DATA) of each of its processes; 0 sets no limit
    attempts: int = 3  # number of starts of a trial whose process is killed


@dataclass(frozen=True, kw_only=True)
class ProcessConditions:
    """The modules that the process of a trial loads, the function that it calls, and its limits."""

    run_import: str = ""  # import name of the function that it calls; "" for the trial's own function
    preload: Sequence[str] = ()  # modules, by name
    plugins: Sequence[str] = ()  # files of the user, by path
    limits: Limits = Limits()
    resumes: bool = True  # whether it resumes from the state that a killed attempt left
    hides_gpus: bool = True  # whether a trial that is given no GPUs sees none

    def adapt_to_trial(self, trial: Trial) -> "ProcessConditions":
        """Return the conditions of one trial: with its own function, and only the plug-ins that it needs."""
        return ProcessConditions(
            run_import=self.run_import or trial.trainer.run_trial,
            preload=self.preload,
            plugins=tuple(trial.select_plugins(self.plugins)),
            limits=self.limits,
            resumes=self.resumes,
            hides_gpus=self.hides_gpus,
        )


def main(
    trial: Trial,
    conditions: ProcessConditions,
    checkpoints: Path,
    environ: Mapping[str, str],
    answer: Connection,
    output: Connection,
) -> None:
    """Do the work of a trial and answer with the result as canonical JSON. The process runs only this."""
    os.setsid()
    os.environ.update(environ)  # before torch looks for a GPU, which it does only once
    if os.environ.get(SAFE_PATH) == SAFE_PATH_OF_SERVER:
        del os.environ[SAFE_PATH]  # a program needs its own folder on its module path
    # An open copy would keep the fork server alive after the driver.
    os.close(forkserver._forkserver._forkserver_alive_fd)  # type: ignore[attr-defined]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a signal may be pending from before setsid
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_die_with_parent, daemon=True).start()
    # The kernel's limit, for code that holds the interpreter's lock after the parent has died.
    signal.alarm(math.ceil(min(conditions.limits.time_limit, 1e9)) + 60)
    for descriptor in (1, 2):
        os.dup2(output.fileno(), descriptor)
    output.close()
    os.environ["UNROLLED_CHECKPOINTS"] = str(checkpoints.absolute())
    data = _run_trial(trial, conditions)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # the trial may have closed or replaced the streams
            stream.flush()
    with open(answer.fileno(), "wb", closefd=False) as pipe:
        pipe.write(data)
    os._exit(0)  # threads left by the trial do not delay the exit; the parent ends its process group


def end_group(leader: int) -> None:
    """Kill the process group of a trial, if there is one."""
    with suppress(ProcessLookupError, PermissionError):  # the group is gone or, on macOS, has only zombies
        os.killpg(leader, signal.SIGKILL)


def _die_with_parent() -> None:
    """End the trial and its group when the program that started it dies.

    The fork server also ends trials, even if they hold the interpreter's lock, but it may be dead.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.killpg(0, signal.SIGKILL)


def clear_checkpoints(checkpoints: Path, trial: Trial) -> None:
    """Remove the checkpoints and the folder of a trial, so that it starts anew.

    Its lock stays until the run that holds it is finished with the trial: see `trial_queue`.
    """
    for path in checkpoints.glob(f"{trial.id}.*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix != LOCK:
            path.unlink(missing_ok=True)


def _run_trial(trial: Trial, conditions: ProcessConditions) -> bytes:
    """Return the result as canonical JSON; an exception becomes a failed result."""
    limit = resource.getrlimit(resource.RLIMIT_DATA)
    memory_bytes = conditions.limits.memory_bytes
    plugins = conditions.plugins
    states: Mapping[Path, FileState] = {}
    try:
        work: Callable[[Trial], Result] = ImportName(conditions.run_import).load()
        modules = [*conditions.preload, trial.trainer.plugins] if plugins else conditions.preload
        for module in modules:
            importlib.import_module(module)
        # made after the modules are loaded, because the files that these read do not count
        reads = ReadAudit() if plugins else None
        try:
            for plugin in plugins:
                trial.trainer.plugins.load().load_plugin(plugin)
            states = trial.read_planned_file_states()
        except BadInput as error:
            return canonical_json({"refused": str(error)})
        if memory_bytes:
            resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, limit[1]))
        with _refuse_uncounted_files(trial, reads, plugins):
            result = work(trial)
        if not isinstance(result, Result):
            raise TypeError(f"{conditions.run_import} returned {type(result).__name__}, not a Result")
        answer = canonical_json(result.to_dict())
    except BaseException as error:
        resource.setrlimit(resource.RLIMIT_DATA, limit)  # leaves memory to report the failure
        traceback.print_exc()
        answer = canonical_json(
            make_failed_result(trial, _describe_error(error, trial, memory_bytes, plugins)).to_dict()
        )
    if paths := find_changed_files(states):
        # the checkpoints may come from a trial that read a file before and after an edit
        clear_checkpoints(Path(os.environ["UNROLLED_CHECKPOINTS"]), trial)
        rule = f"{paths[0].name} was written during the training, whose result was discarded"
        cure = "run the study again; a file that trials write belongs in {out}, or `code` names the others"
        return canonical_json({"refused": str(BadInput(rule, place=trial.title, cure=cure))})
    return answer


def _refuse_uncounted_files(
    trial: Trial, reads: ReadAudit | None, plugins: Sequence[str]
) -> AbstractContextManager[None]:
    """Refuse, within the block, that a plug-in reads files that do not count in the trial's identity."""
    if reads is None or not trial.source:
        return nullcontext()
    paths = [*trial.list_hashed_files(), os.environ["UNROLLED_CHECKPOINTS"]]
    return reads.refuse_other_files(paths, Path(plugins[0]).name)


def _describe_error(error: BaseException, trial: Trial, memory_bytes: int, plugins: Sequence[str]) -> str:
    """Return a line on an exception: its place, type and message, or the cure for a lack of memory.

    torch on a CPU reports a lack of memory as a RuntimeError.
    """
    message = str(error)
    lacks_memory = isinstance(error, MemoryError) or "t allocate memory" in message
    if memory_bytes and (lacks_memory or "t start new thread" in message):  # no memory for the thread's stack
        limit = f"limit {memory_bytes / 2**20:.0f} MiB"
        return f"out of memory ({limit}): raise --memory-limit, or make batches or the model smaller"
    message = message[:MESSAGE_LENGTH]
    if lacks_memory or "out of memory" in str(error):
        cure = "fewer trials at a time (-j), or smaller batches or a smaller model"
        return f"out of memory ({message}): {cure}"
    if isinstance(error, BadInput):
        return BAD_INPUT + message
    place = _locate_error(error, trial, plugins)
    return ": ".join(filter(None, (place, type(error).__name__, message)))


def _locate_error(error: BaseException, trial: Trial, plugins: Sequence[str]) -> str:
    """Return "train.py, line 9" if the error passed through a file of the user, else ""."""
    if plugins and (place := trial.trainer.plugins.load().locate_error(error)):
        return place
    names: dict[Path, str] = {}
    with suppress(BadInput):  # the file may be gone by now
        names = {path.resolve(): name for name, path in trial.list_hashed_files().items()}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if name := names.get(Path(frame.filename).resolve()):
            return f"{name}, line {frame.lineno}"
    return ""
