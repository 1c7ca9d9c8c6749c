"""One trial alone in a fresh process: whatever happens in there, what comes back is a Result.

The process comes from a fork server that has torch loaded (28 ms, against 0.9 s for a new interpreter).
It leads a process group of its own and adopts orphans, so that what the trial started ends with it: see
`descendants`, and `fork_server` for what a killed trial or a killed program leaves behind.
"""

import atexit
import functools
import json
import math
import multiprocessing
import os
import pkgutil
import resource
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ablations import scratch
from ablations.trials import descendants
from ablations.trials.gpus import Seat
from ablations.trials.usage import Usage
from bench import identity, plugins
from bench.trial import STATUSES, BadInput, Result, Trial, canonical, counted, failure

ENVIRONMENT = {
    # One thread a process: two in one process collapse on a busy machine.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # glibc reads these when a program starts. Keeping freed memory makes nn.LSTM ×1.3–1.6, same bits.
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
    "MALLOC_TOP_PAD_": "67108864",
    # The order of a set of strings must not depend on the process.
    "PYTHONHASHSEED": "0",
}
"""What every trial's process is started with."""

LOST = 255
"""The exit code that multiprocessing gives when the fork server died before it could tell the real one."""

FIRST = "ablations.trials.fork_server"
"""The module that the fork server imports first."""

PIPE_BYTES = 1 << 20  # more than a pipe holds
UNLIMITED = "--memory-limit is for trials on the CPU: leave it out on device {}"
"""RLIMIT_DATA may deny a GPU's driver the memory that it maps, and torch would say that there is no GPU."""

MESSAGE_LENGTH = 500  # characters of an exception's message; the whole of it is in the output


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one trial may use."""

    seconds: float = 3600.0  # wall clock, an attempt
    memory_bytes: int = 0  # private memory (RLIMIT_DATA) of each of its processes; 0 sets no limit
    attempts: int = 3  # how often a trial is started whose process gets killed
    output_bytes: int = 64 * 1024  # of the end of what it prints, kept if it fails


@dataclass(frozen=True, kw_only=True)
class _End:
    """How one attempt ended. `code` is the exit code, −n for signal n."""

    code: int
    started: float  # unix seconds, once the process was there: a fork server takes its time to load torch
    seconds: float = 0.0
    answer: bytes = b""
    output: bytes = b""
    late: bool = False
    stopped: bool = False
    usage: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def run_alone(
    trial: Trial,
    work: str,
    limits: Limits,
    *,
    preload: Sequence[str] = (),
    checkpoints: Path | None = None,
    stop: Connection | None = None,
    seat: Seat | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Result | None:
    """Run `work(trial)` in a fresh process, again if that gets killed, and say what came of it.

    `work` is the import name of the function, as "bench.run:run_trial". `preload` has modules to import
    first: by name, in the fork server if they can be (torch); by the path of a .py file (a plug-in).
    `checkpoints` is where the trial may keep its state from epoch to epoch, for the next attempt. A trial on
    the CPU sees no GPU, one with a `seat` that one alone. `facts` are added to the result's environment.
    Returns None if `stop` became readable before the end. Raises BadInput where the trial cannot be computed
    as it was planned: its code, its text or its versions have changed.
    """
    attempt = 0
    while True:
        attempt += 1
        end = _attempt(trial, work, limits, preload, checkpoints, stop, seat)
        if end.stopped:
            return None
        if (result := _judge(trial, end, limits, attempt)) is not None:
            output = "" if result.done else end.output.decode(errors="replace")
            return replace(
                result,
                attempts=attempt,
                started=end.started,
                seconds=end.seconds,
                usage=end.usage,
                output=output,
                metrics={**result.metrics, **(seat.watch.metrics() if seat else {})},
                environment={**(seat.facts if seat else {}), **(facts or {}), **result.environment},
            )
        if end.code == LOST:
            time.sleep(0.2 * attempt)  # until the system has buried the fork server, no new one starts


def forget(checkpoints: Path, trial: Trial) -> None:
    """Remove the state that a trial kept, on whatever device: it has ended."""
    for kept in checkpoints.glob(f"{trial.id}.*"):
        kept.unlink(missing_ok=True)


def _judge(trial: Trial, end: _End, limits: Limits, attempt: int) -> Result | None:
    """Tell what an end means for the trial: a result, or None for another attempt."""
    if (result := _read_answer(trial, end.answer)) is not None:
        return result
    if end.late:
        return failure(trial, f"time limit of {limits.seconds:g} s")
    if end.code < 0 or end.code == LOST:
        if attempt < limits.attempts:
            return None
        what = f"killed by signal {-end.code}" if end.code < 0 else "lost with the fork server"
        return failure(trial, f"{what} ({counted(attempt, 'attempt')})")
    if end.answer:
        return failure(trial, f"answered with something that is not its result (exit code {end.code})")
    return failure(trial, f"ended without a result (exit code {end.code})")


def _read_answer(trial: Trial, answer: bytes) -> Result | None:
    try:
        body = json.loads(answer)
        if "refused" in body:
            raise BadInput(str(body["refused"]))
        result = Result.from_dict(body)
    except BadInput:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    fits = result.trial.id == trial.id and result.status in STATUSES
    return replace(result, trial=trial) if fits else None


def _attempt(
    trial: Trial,
    work: str,
    limits: Limits,
    preload: Sequence[str],
    checkpoints: Path | None,
    stop: Connection | None,
    seat: Seat | None,
) -> _End:
    """Start a process, listen until it ends or has to be ended, and leave nothing of it behind."""
    environ = seat.environ if seat else {} if trial.device != "cpu" else {"CUDA_VISIBLE_DEVICES": ""}
    answer, answer_in = multiprocessing.Pipe(duplex=False)
    output, output_in = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("forkserver").Process(
        target=_trial_process,
        args=(trial, work, preload, checkpoints, limits, environ, answer_in, output_in),
    )
    with answer, output:
        try:
            with (
                answer_in,
                output_in,
                _apart([FIRST, *(m for m in preload if not m.endswith(".py")), work.partition(":")[0]]),
            ):
                process.start()
        except (OSError, EOFError) as error:
            reason = f"its process could not be started: {error!r}"
            return _End(code=LOST, started=time.time(), output=reason.encode())
        try:
            usage = Usage(process.pid, seat.watch if seat else None)
            end = _listen(process, answer, output, stop, limits, usage)
        finally:
            _end_group(process)
            process.close()
    if end.code != 0 or not end.answer:  # else it ended by itself, and what it started before
        _end_orphans()
    return end


def _listen(
    process: BaseProcess,
    answer: Connection,
    output: Connection,
    stop: Connection | None,
    limits: Limits,
    usage: Usage,
) -> _End:
    """Collect what a process says until it ends; end it when its time is up or `stop` is readable."""
    started, clock = time.time(), time.monotonic()
    deadline = clock + limits.seconds
    said = {answer: b"", output: b""}
    keep = {answer: sys.maxsize, output: limits.output_bytes}
    open_pipes = [answer, output]
    ended = late = stopped = False
    while not (ended or late or stopped):
        left = max(0.0, deadline - time.monotonic())
        ready = wait([*open_pipes, process.sentinel, *([stop] if stop else [])], min(left, usage.wait()))
        usage.sample()
        ended, stopped = process.sentinel in ready, stop in ready
        late = time.monotonic() >= deadline
        if ended or late or stopped:
            _end_group(process)
            ready = wait(open_pipes, 0)  # what a dead process leaves fits into one read
        for pipe in [pipe for pipe in open_pipes if pipe in ready]:
            chunk = os.read(pipe.fileno(), PIPE_BYTES)
            said[pipe] = (said[pipe] + chunk)[-keep[pipe] :]
            if not chunk:
                open_pipes.remove(pipe)
    return _End(
        code=LOST if process.exitcode is None else process.exitcode,
        started=started,
        seconds=time.monotonic() - clock,
        answer=said[answer],
        output=said[output],
        late=late and not ended,
        stopped=stopped,
        usage=usage.series(),
    )


def _end_group(process: BaseProcess) -> None:
    """Kill a process, if it still lives, and all that it started. SIGKILL, as SIGTERM can be ignored."""
    assert process.pid is not None
    if process.exitcode in (None, LOST):
        descendants.kill_tree(process.pid)
    with suppress(ProcessLookupError, PermissionError):  # gone, or nothing but zombies on macOS
        os.killpg(process.pid, signal.SIGKILL)
    process.join()


def _end_orphans() -> None:
    """Kill what trials that were killed have left: children of the fork server that nobody here waits for."""
    with _starting:
        waited_for = {child.pid for child in multiprocessing.process._children}  # type: ignore[attr-defined]
        if server := forkserver._forkserver._forkserver_pid:  # type: ignore[attr-defined]
            descendants.kill_below(server, waited_for)


_starting = threading.Lock()


@contextmanager
def _apart(preload: list[str]) -> Iterator[None]:
    """Start a process, and if need be the fork server, that inherits nothing of this program by chance."""
    with _starting:
        multiprocessing.get_context("forkserver").set_forkserver_preload(preload)
        wanted = {**ENVIRONMENT, scratch.MARK: _place()}
        main, environment = sys.modules["__main__"], {name: os.environ.get(name) for name in wanted}
        # Ctrl-C in a terminal reaches the whole foreground group. It is for the parent alone. The tracker
        # comes first: starting it would let SIGINT through again, also to the fork server after it.
        resource_tracker.ensure_running()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.environ.update(wanted)
        # Otherwise every trial would import the program that started it, and what that imports.
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main
            for name, value in environment.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@functools.cache
def _place() -> str:
    """The folder of the fork server's socket. By itself multiprocessing makes one that stays after a kill."""
    place = str(scratch.folder())
    multiprocessing.current_process()._config["tempdir"] = place  # type: ignore[attr-defined]
    atexit.register(_end_fork_server, os.getpid())
    return place


def _end_fork_server(owner: int) -> None:
    """End the fork server, and with it all that is left of trials, before this program's end."""
    if os.getpid() == owner:  # and not a process forked from it
        with suppress(OSError):
            forkserver._forkserver._stop()  # type: ignore[attr-defined]


def _trial_process(
    trial: Trial,
    work: str,
    preload: Sequence[str],
    checkpoints: Path | None,
    limits: Limits,
    environ: Mapping[str, str],
    answer: Connection,
    output: Connection,
) -> None:
    """Do the work and answer with the result, as canonical JSON. This is all that the child runs."""
    os.setsid()
    os.environ.update(environ)  # before torch looks for a GPU, which it does once
    descendants.adopt_orphans()
    os.close(forkserver._forkserver._forkserver_alive_fd)  # type: ignore[attr-defined]  # ends with the driver
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # one may be pending from before setsid
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_die_with_parent, daemon=True).start()
    # The kernel's own limit, for code that holds the interpreter's lock after the parent has died.
    signal.alarm(math.ceil(min(limits.seconds, 1e9)) + 60)
    for descriptor in (1, 2):
        os.dup2(output.fileno(), descriptor)
    output.close()
    if checkpoints:
        os.environ["UNROLLED_CHECKPOINTS"] = str(checkpoints.absolute())
    data = _work(trial, work, preload, limits)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # the trial may have closed or replaced them
            stream.flush()
    with open(answer.fileno(), "wb", closefd=False) as pipe:
        pipe.write(data)
    descendants.kill_own()
    os._exit(0)  # threads that the trial left running do not keep it


def _die_with_parent() -> None:
    """End the trial and what it started when the program that started it dies.

    So does the fork server, also of a trial that holds the interpreter's lock; but it may be dead, too.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    descendants.kill_below(os.getpid())
    os.killpg(0, signal.SIGKILL)


def _work(trial: Trial, work: str, preload: Sequence[str], limits: Limits) -> bytes:
    """The result as canonical JSON; an exception becomes a failed result."""
    usual = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        function: Callable[[Trial], Result] = pkgutil.resolve_name(work)
        before = set(sys.modules)
        try:
            for module in preload:
                plugins.load(module)
            identity.check(trial)
            if limits.memory_bytes and trial.device != "cpu":
                raise BadInput(UNLIMITED.format(trial.device))
        except BadInput as error:
            return canonical({"refused": str(error)})
        if limits.memory_bytes:
            resource.setrlimit(resource.RLIMIT_DATA, (limits.memory_bytes, usual[1]))
        result = function(trial)
        if not isinstance(result, Result):
            raise TypeError(f"{work} returned {type(result).__name__}, not a Result")
        plugins.check_imports(trial, set(sys.modules) - before)
        if trial.device != "cpu":  # as this process has it, whoever set it
            seen = {"gpu_uuid": os.environ.get("CUDA_VISIBLE_DEVICES", "")}
            result = replace(result, environment={**result.environment, **seen})
        return canonical(result.to_dict())
    except BaseException as error:
        resource.setrlimit(resource.RLIMIT_DATA, usual)  # room to tell what happened
        traceback.print_exc()
        return canonical(failure(trial, _reason(error, limits)).to_dict())


def _reason(error: BaseException, limits: Limits) -> str:
    """One line for an exception. torch on a CPU reports lack of memory as a RuntimeError."""
    message = str(error)
    memory = isinstance(error, MemoryError) or "t allocate memory" in message
    if memory and limits.memory_bytes:
        return f"out of memory (limit {limits.memory_bytes / 2**20:.0f} MiB)"
    if memory or "out of memory" in message:
        return f"out of memory ({message})" if message else "out of memory"
    where = "" if isinstance(error, BadInput) else plugins.place(error)
    return f"{where}{type(error).__name__}: {message[:MESSAGE_LENGTH]}".rstrip(": ")
