"""One trial alone in a fresh process. However the process ends, the outcome is a Result.

The process comes from a fork server, which has torch loaded for models (28 ms; 0.9 s in a new interpreter).
`child` is the side that runs in the process. What is killed, and when:

- the process group that the process leads: when the process ends, however it ends
- what a program started and has left the group (setsid): before each new attempt, and at the trial's end
- whatever else has left the group: when this run ends, by `run_folder`; if this run was killed, when the next
  one starts

A process that has left the group is found by a variable of its environment, which it inherits.
"""

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count
from math import inf
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from unrolled.ablations import run_folder
from unrolled.ablations.ledger import MALFORMED_DATA_ERRORS
from unrolled.ablations.runner import child
from unrolled.ablations.runner.child import ProcessConditions, clear_checkpoints
from unrolled.ablations.runner.gpus import read_gpu_facts
from unrolled.bench.errors import BadInput, require
from unrolled.bench.hardware.devices import Gpu, make_visibility_variables
from unrolled.bench.metric import find_kind
from unrolled.bench.phrases import plural
from unrolled.bench.trial import STATUSES, Cause, Result, Trial, make_failed_result

ENVIRONMENT = {
    # One thread a process: two threads in a process collapse on a busy machine.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # glibc reads these when a program starts. Keeping freed memory makes nn.LSTM ×1.3–1.6, same bits.
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
    "MALLOC_TOP_PAD_": "67108864",
    # The order of a set of strings must not depend on the process.
    "PYTHONHASHSEED": "0",
}
"""The environment of every trial's process."""

FORK_SERVER_LOST = 255  # exit code if the fork server died, or could not start the process

PRELOADED = ["unrolled.ablations.runner.fork_server", "unrolled.ablations.runner.child"]
"""The modules that the fork server imports first."""

PIPE_BYTES = 1 << 20  # more bytes than a pipe holds
MOST_WAIT_SECONDS = 3600.0  # seconds, because `poll` takes at most 24 days
OUTPUT_BYTES = 64 * 1024  # bytes kept of the end of a trial's output, if it fails or reports no quality


@dataclass(frozen=True, kw_only=True)
class _Attempt:
    """How one attempt ended. `code` is the exit code, −n for signal n."""

    code: int
    started: float  # unix seconds, after the start, so that loading torch in the fork server does not count
    seconds: float = 0.0
    answer: bytes = b""
    output: bytes = b""
    timed_out: bool = False
    stopped: bool = False


def run_in_process(
    trial: Trial,
    conditions: ProcessConditions,
    *,
    checkpoints: Path,
    stop: Connection | None = None,
    gpus: Sequence[Gpu] = (),
) -> Result | None:
    """Run a trial in a fresh process, and in another process if that is killed. Returns its result.

    The fork server imports the modules to preload, or the one with the function to call if there are none;
    the trial's process imports the plug-ins. `checkpoints` is where the trial may keep its state between
    epochs, for the next attempt. The process sees only these `gpus`. Without any it sees none, unless the
    conditions leave them visible.

    Returns None if `stop` became readable before the end. Raises BadInput if the trial cannot be computed as
    planned: its code, its text or its versions have changed, or memory is limited on a GPU, whose driver maps
    more memory than any limit.
    """
    conditions = conditions.adapt_to_trial(trial)
    can_limit = trial.device == "cpu" or not conditions.limits.memory_bytes
    require(can_limit, "--memory-limit is for trials on the CPU", cure="leave it out, or use --device cpu")
    attempt, result, number = _run_attempts(trial, conditions, checkpoints, stop, gpus)
    if attempt.stopped:
        return None
    if result is None:
        reason = _describe_failure(attempt, conditions.limits.time_limit, number)
        result = make_failed_result(trial, reason, cause=Cause.TIME_LIMIT if attempt.timed_out else "")
    has_quality = result.is_done and any(
        find_kind(name, trial.find_cost_kinds()) == "quality" for name in result.metrics
    )
    return replace(
        result,
        reason=result.reason + _describe_checkpoint(checkpoints, result),
        attempts=number,
        started=attempt.started,
        attempt_seconds=attempt.seconds,
        output="" if has_quality else attempt.output.decode(errors="replace"),
        provenance={**result.provenance, **read_gpu_facts(gpus)},
    )


def _run_attempts(
    trial: Trial,
    conditions: ProcessConditions,
    checkpoints: Path,
    stop: Connection | None,
    gpus: Sequence[Gpu],
) -> tuple[_Attempt, Result | None, int]:
    """Run a trial until an attempt is not killed, or is the last. Returns that, its result and its number."""
    absolute_checkpoints = checkpoints.resolve()  # the same name, whatever links a run is given
    _end_strays(absolute_checkpoints, trial)  # processes of a run that was killed
    for number in count(1):
        if not conditions.resumes:
            clear_checkpoints(checkpoints, trial)
        attempt = _run_attempt(trial, conditions, absolute_checkpoints, stop, gpus)
        _end_strays(absolute_checkpoints, trial)
        result = None if attempt.stopped else _read_answer(trial, attempt.answer)
        if attempt.code == FORK_SERVER_LOST:
            time.sleep(0.2 * number)  # the system must reap the fork server before a new one starts
        was_killed = attempt.code < 0 or attempt.code == FORK_SERVER_LOST
        is_final = attempt.stopped or attempt.timed_out or not was_killed
        if result or is_final or number >= conditions.limits.attempts:
            break
    return attempt, result, number


def _end_strays(checkpoints: Path, trial: Trial) -> None:
    """Kill the processes of a program that have left its process group, as torchrun's workers do.

    They would continue to write to its folder, {out}, which another attempt may be using.
    """
    folder = checkpoints / f"{trial.id}.out"
    if folder.is_dir():
        run_folder.end_processes("UNROLLED_OUT", folder)


def format_reason(result: Result) -> str:
    """Return why a trial failed: "BadInput: no such file" → "no such file"."""
    return result.reason.removeprefix(child.BAD_INPUT)


def remove_checkpoints(checkpoints: Path, result: Result) -> None:
    """Remove the checkpoints and the folder of a trial that has ended, unless a limit stopped it."""
    if not result.stopped_by_limit:
        clear_checkpoints(checkpoints, result.trial)


def _describe_checkpoint(checkpoints: Path, result: Result) -> str:
    """Return a clause on the checkpoint of a trial that a limit stopped; "" if there is no checkpoint."""
    for suffix in ("out", "pt") if result.stopped_by_limit else ():
        for path in checkpoints.glob(f"{result.trial.id}.*{suffix}"):
            return f"; what it wrote stays in {path}, and another run goes on from there"
    return ""


def _describe_failure(attempt: _Attempt, seconds: float, attempts: int) -> str:
    """Return why the last attempt has no result; `seconds` is its time limit."""
    if attempt.timed_out:
        return f"{Cause.TIME_LIMIT} of {seconds:g} s: --time-limit, or the study, sets it"
    if attempt.code < 0:
        return f"killed by signal {-attempt.code} ({plural(attempts, 'attempt')})"
    if attempt.code == FORK_SERVER_LOST:
        return f"exit code 255, or lost with the fork server ({plural(attempts, 'attempt')})"
    fault = "answered with something that is not its result" if attempt.answer else "ended without a result"
    return f"{fault} (exit code {attempt.code})"


def _read_answer(trial: Trial, answer: bytes) -> Result | None:
    """Return the result in an answer; None if there is none. Raises BadInput for a refused trial."""
    try:
        body = json.loads(answer)
        if "refused" not in body:
            return check_result(body, trial)
        refusal = str(body["refused"])
    except MALFORMED_DATA_ERRORS:
        return None
    raise BadInput(refusal)


def check_result(data: Mapping[str, Any], trial: Trial) -> Result:
    """Return the trial's result from plain data. Raises one of MALFORMED_DATA_ERRORS for an invalid field."""
    result = Result.from_dict(data)
    types = {"status": str, "reason": str, "cause": str, "output": str, "attempts": int}
    wrong = [name for name, type_ in types.items() if type(getattr(result, name)) is not type_]
    if wrong or result.status not in STATUSES:
        raise ValueError(*wrong or ["status"])
    if type(result.attempt_seconds) not in (int, float) or not 0 <= result.attempt_seconds < inf:
        raise ValueError("attempt_seconds")
    if result.trial.id != trial.id:
        raise ValueError("it is of another trial")
    return replace(result, trial=trial)


def _run_attempt(
    trial: Trial,
    conditions: ProcessConditions,
    checkpoints: Path,
    stop: Connection | None,
    gpus: Sequence[Gpu],
) -> _Attempt:
    """Start a process, read its pipes until it ends or is to be ended, and kill the rest of its group."""
    environ = make_visibility_variables(gpus) if gpus or conditions.hides_gpus else {}
    modules = conditions.preload or [conditions.run_import.partition(":")[0]]
    answer, answer_writer = multiprocessing.Pipe(duplex=False)
    output, output_writer = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("forkserver").Process(
        target=child.main, args=(trial, conditions, checkpoints, environ, answer_writer, output_writer)
    )
    with answer, output:
        try:
            with answer_writer, output_writer, _start_environment([*PRELOADED, *modules]):
                process.start()
                _running.add(process)
        except (OSError, EOFError) as error:
            reason = f"its process could not be started: {error!r}"
            return _Attempt(code=FORK_SERVER_LOST, started=time.time(), output=reason.encode())
        try:
            return _listen_to_process(process, answer, output, stop, conditions.limits.time_limit)
        finally:
            _end_group(process)
            process.close()
            _running.discard(process)


def _listen_to_process(
    process: BaseProcess,
    answer: Connection,
    output: Connection,
    stop: Connection | None,
    seconds: float,
) -> _Attempt:
    """Read a process's pipes until it ends; end it when its time is up or `stop` is readable."""
    started = time.time()
    start = time.monotonic()
    bytes_by_pipe = {answer: bytearray(), output: bytearray()}
    open_pipes = [answer, output]
    watched_objects: list[Any] = [*filter(None, (process.sentinel, stop))]
    ended = timed_out = stopped = False
    while not (ended or timed_out or stopped):
        remaining = max(0.0, start + seconds - time.monotonic())
        ready = wait([*open_pipes, *watched_objects], min(remaining, MOST_WAIT_SECONDS))
        ended = process.sentinel in ready
        stopped = stop in ready
        timed_out = time.monotonic() >= start + seconds
        if ended or timed_out or stopped:
            ready = wait(open_pipes, 0)  # the last bytes of a dead process fit into one read
        for pipe in [pipe for pipe in open_pipes if pipe in ready]:
            chunk = os.read(pipe.fileno(), PIPE_BYTES)
            bytes_by_pipe[pipe] += chunk
            if not chunk:
                open_pipes.remove(pipe)
        bytes_by_pipe[output] = bytes_by_pipe[output][-OUTPUT_BYTES:]
    # Only after the answer is read: killing a trial's children may make it report a failure.
    _end_group(process)
    assert process.exitcode is not None  # the process was joined
    return _Attempt(
        code=process.exitcode,
        started=started,
        seconds=time.monotonic() - start,
        answer=bytes(bytes_by_pipe[answer]),
        output=bytes(bytes_by_pipe[output]),
        timed_out=timed_out and not ended,
        stopped=stopped,
    )


def _end_group(process: BaseProcess) -> None:
    """Kill a process, if it still lives, and its group. SIGKILL, as SIGTERM can be ignored."""
    assert process.pid is not None
    child.end_group(process.pid)
    if process.exitcode in (None, FORK_SERVER_LOST):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)  # it has no process group of its own yet
    process.join()


_starting = threading.Lock()
_running: set[BaseProcess] = set()
_preloaded: set[str] = set()  # modules of the present fork server


def _restart_fork_server(modules: list[str]) -> None:
    """Stop the fork server if it lacks one of these modules and no trial runs.

    The next process to be started starts a fork server that has them.
    """
    if not (_preloaded.issuperset(modules) or _running):
        forkserver._forkserver._stop()  # type: ignore[attr-defined]
        multiprocessing.get_context("forkserver").set_forkserver_preload(modules)
        _preloaded.clear()
        _preloaded.update(modules)


@contextmanager
def _start_environment(preload: list[str]) -> Iterator[None]:
    """Let a process start, within the block, with ENVIRONMENT, SIGINT blocked and an empty `__main__`."""
    with _starting:
        _restart_fork_server(preload)
        # The tracker and the fork server are started by `python -c`, which would otherwise import a user's
        # own types.py from the working folder. Trials do not inherit the variable: see `child`.
        safe_path = {child.SAFE_PATH: os.environ.get(child.SAFE_PATH) or child.SAFE_PATH_OF_SERVER}
        variables = {**ENVIRONMENT, **safe_path, run_folder.RUN_VARIABLE: str(run_folder.open_run_folder())}
        main = sys.modules["__main__"]
        before = {name: os.environ[name] for name in variables if name in os.environ}
        os.environ.update(safe_path)
        # Ctrl-C in a terminal reaches the whole foreground group, but only the parent handles it. The tracker
        # starts first, because starting it unblocks SIGINT, also for the fork server after it.
        resource_tracker.ensure_running()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.environ.update(variables)
        # For the fork server's socket: multiprocessing's own folder would remain after a SIGKILL.
        multiprocessing.current_process()._config["tempdir"] = variables[run_folder.RUN_VARIABLE]  # type: ignore[attr-defined]
        # Otherwise every trial would import the program that started it, and all that it imports.
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main
            for name in variables:
                del os.environ[name]
            os.environ.update(before)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
