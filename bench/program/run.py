"""One trial of a program, in the process that the runner gives it: start it, listen, read its numbers."""

import glob
import importlib.util
import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from unrolled.bench import machine
from unrolled.bench.devices import visible_gpus
from unrolled.bench.differences import fingerprint_result
from unrolled.bench.errors import BadInput
from unrolled.bench.files import save_file
from unrolled.bench.git import HOOK_VARIABLES
from unrolled.bench.identity import record_contents
from unrolled.bench.machine_kind import find_machine_kind, machine_difference
from unrolled.bench.program.at_start.sitecustomize import list_loaded_files
from unrolled.bench.program.files import Exclusions
from unrolled.bench.program.identity import READERS
from unrolled.bench.program.loaded_files import FOLDERS, check_report, find_other_files, variables_of_commit
from unrolled.bench.program.output import MLFLOW, ReportedMetrics, read_files, read_mlflow
from unrolled.bench.program.patterns import Patterns
from unrolled.bench.program.template import fill_template, fill_word
from unrolled.bench.program.trial import REASON_LENGTH, ProgramTrial, shorten_names
from unrolled.bench.table_files import parse_row
from unrolled.bench.trial import DISK_LIMIT, Result, canonical_json, failed_result

THREADS = ("OMP", "MKL", "OPENBLAS", "NUMEXPR")
"""Prefixes of the environment variables that set the threads of libraries: OMP_NUM_THREADS and so on."""

LINE_BYTES = 1 << 20  # a longer line is read as several, and may be no row of numbers
CHECK_SECONDS = 1.0  # between two checks of the size of a program's folder
PIPE_SECONDS = 2.0  # how long to read on after a program's end, if a process that it left holds a pipe
MESSAGE_LINES = 5  # of an exception, which the reason of a failure quotes
MLFLOW_FOLDER = "mlruns"  # in {out}: the tracking store that a program gets which logs to MLflow


record_contents(READERS)  # by the process that all trials are forked from


class Failure(Exception):
    """Why a program counts as failed."""


def run_trial(trial: ProgramTrial) -> Result:
    """Run the program or the function, and read its numbers. A failure has numbers, too."""
    started = time.time()
    clock = time.perf_counter()
    environment = _describe_environment(trial)
    out, earlier_attempt = _make_trial_folder(trial, find_machine_kind(environment))
    environment |= earlier_attempt
    reported = ReportedMetrics(Patterns(trial.patterns))
    if not trial.metrics:  # a file of metrics is the program's own to keep
        reported.resume(out.with_suffix(".rows"))
    reason = ""
    ended = 0.0
    try:
        with _limited_folder(trial, out):
            ended = (_call_function if trial.function else _run_command)(trial, out, reported)
    except Failure as error:
        reason = str(error)
    seconds = (ended or time.perf_counter()) - clock
    if reported.not_numbers:
        environment["not_numbers"] = reported.not_numbers
    if reported.patterns.unmatched:
        environment["unmatched"] = reported.patterns.unmatched
    metrics = {
        name: reported.reduce_metric(name, trial.reduction.get(name, "last")) for name in reported.last
    }
    facts: dict[str, Any] = {
        "started": started,
        "environment": environment,
        "seconds": seconds,
        "curves": {name: tuple(sorted(curve.items())) for name, curve in reported.curves.items()},
        "metrics": metrics
        | {"seconds": seconds, "memory_peak": machine.memory_peak(of_children=not trial.function)},
    }
    reason = reason or _find_other_setting(trial, reported)
    if reason:
        return failed_result(trial, reason + _find_hidden_file(trial, reason), **facts)
    _keep_files(trial, out)
    witnesses = {
        name: {"ok": True, "declared": value, "seen": value}
        for name, value in trial.settings.items()
        if name in reported.settings
    }
    fingerprints = {"numbers": fingerprint_result(facts)}
    return Result(trial=trial, status="done", witnesses=witnesses, fingerprints=fingerprints, **facts)


def _describe_environment(trial: ProgramTrial) -> dict[str, Any]:
    """Return the facts of this machine, and of the code and the packages of a program."""
    environment = machine.basic_facts(trial.device, None if trial.checkout else Path(trial.folder))
    environment["threads"] = trial.threads
    if trial.device == "cuda":  # a machine has cards of one kind, but for the rare one with two
        environment["gpu"] = ", ".join(dict.fromkeys(gpu.name for gpu in visible_gpus()))
    environment["packages"] = dict(line.split(" ") for line in trial.versions.split(", ") if line)
    if assumption := trial.describe_assumption():
        environment["packages are"] = assumption
    if trial.checkout and trial.checkout.commit:
        environment |= {"commit": trial.checkout.commit.hash, "dirty": False, "diff": ""}
    return environment


def _find_hidden_file(trial: ProgramTrial, reason: str) -> str:
    """Return a hint on a file that a failure names and that no commit has, as git ignores it; or ""."""
    original = trial.places.original
    if original is None:
        return ""
    for quoted, word in re.findall(r"""['"]([^'"]+)['"]|([^\s'"]+)""", reason):
        name = os.path.relpath(Path(trial.folder, quoted or word.rstrip(".,:;)")), trial.folder)
        if os.path.lexists(original / name) and not os.path.lexists(Path(trial.folder, name)):
            is_installed = Exclusions(original).has_file(original / name)
            cure = "write its absolute path" if is_installed else "name it in `data` of [program]"
            return f"; {name} is in the work tree and not in the commit: {cure}"
    return ""


def _make_trial_folder(trial: ProgramTrial, machine_kind: Mapping[str, str]) -> tuple[Path, dict[str, Any]]:
    """Return the trial's folder, which its command line calls {out}, and facts on an earlier attempt.

    The facts are `resumed`, if that attempt left files, or `restart`, the reason why they were removed: an
    attempt on another kind of machine, which a file beside the folder names, would give one result numbers of
    two kinds.
    """
    checkpoints = os.environ.get("UNROLLED_CHECKPOINTS")
    out = Path(checkpoints, f"{trial.id}.out") if checkpoints else Path(tempfile.mkdtemp())
    kind_file = out.with_suffix(".kind")
    earlier_kind = json.loads(kind_file.read_bytes()) if kind_file.exists() else {}
    difference = machine_difference([earlier_kind, machine_kind]) if out.exists() else ""
    if difference:
        shutil.rmtree(out, ignore_errors=True)
        out.with_suffix(".rows").unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    save_file(kind_file, canonical_json(machine_kind))
    facts: dict[str, Any] = {"resumed": True} if any(out.iterdir()) else {}
    if difference:
        facts["restart"] = f"began anew: its checkpoint is of another kind of machine ({difference})"
    return out.absolute(), facts


@contextmanager
def _limited_folder(trial: ProgramTrial, out: Path) -> Iterator[None]:
    """Raise Failure in the block once the folder holds more than `trial.disk`, if that is a limit.

    The program still runs then; the runner ends its processes with the trial's.
    """
    if not trial.disk:
        yield
        return
    limit = trial.disk << 20
    ended = threading.Event()

    def raise_failure(*_: object) -> None:
        raise Failure(
            f"{DISK_LIMIT} of {trial.disk:,} MiB: write less to {{out}}, or raise `disk` in [program]"
        )

    def watch_size() -> None:
        while not ended.wait(CHECK_SECONDS):
            if _measure_folder(out) > limit:
                os.kill(os.getpid(), signal.SIGUSR1)
                return

    signal.signal(signal.SIGUSR1, raise_failure)
    threading.Thread(target=watch_size, daemon=True).start()
    try:
        yield
        if _measure_folder(out) > limit:
            raise_failure()
    finally:
        ended.set()


def _run_command(trial: ProgramTrial, out: Path, reported: ReportedMetrics) -> float:
    """Run the command line. Returns when it ended, by `time.perf_counter`. Raises Failure if it fails.

    If a signal ended it, this process ends itself by the same signal, so that the runner tries again.
    """
    places = trial.places
    values = {**trial.settings, "seed": trial.seed, "out": str(out), "study": str(places.study)}
    words = [places.locate_program(word) for word in fill_template(trial.run, values)]
    environ = _program_environment(trial, out)
    if trial.checkout:  # what `env` sets comes behind the folders of the commit
        python_path = f"PYTHONPATH={environ['PYTHONPATH']}{os.pathsep}"
        words = [re.sub("^PYTHONPATH=", lambda _: python_path, word) for word in words]
    if words[0] in ("python", "python3"):
        words[0] = sys.executable
    try:
        program = subprocess.Popen(
            words,
            cwd=trial.folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=None if trial.metrics else subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise Failure(f"cannot start {words[0]!r}: {error.strerror}") from error
    listener = _Listener(program, reported, matches_lines=not trial.metrics)
    code, ended = listener.wait_for_end()
    if trial.checkout and trial.checkout.repository and not code and (reason := check_report(trial, out)):
        raise Failure(reason)
    if trial.metrics and code >= 0:  # a program that failed may have told of NaN before
        with suppress(Failure) if code else nullcontext():
            _read_file(trial, out, values, reported)
    if code < 0:
        with suppress(OSError):  # the handler of SIGKILL cannot be set
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    if code:
        reason = listener.last_exception or listener.last_line or "it printed nothing"
        raise Failure(f"exit code {code}: {reason[:REASON_LENGTH]}")
    return ended


class _Listener:
    """Threads that read the rows of numbers which a program prints, and print its other lines."""

    last_line = ""  # of those that are no row
    last_error_line = ""  # of its standard error, which may be read before an earlier line of the other pipe
    exception: Sequence[str] | None = None  # the message of its last traceback, and what follows it
    error: Exception | None = None  # of a reading thread, which ends the program: its pipe would fill up

    def __init__(
        self, program: "subprocess.Popen[bytes]", reported: ReportedMetrics, *, matches_lines: bool
    ) -> None:
        self._program = program
        self._reported = reported
        self._matches_lines = matches_lines
        self._threads = []
        for pipe, handle_line in (
            (program.stderr, self._handle_error_line),
            (program.stdout, self._handle_output_line),
        ):
            if pipe:
                thread = threading.Thread(target=self._read_pipe, args=(pipe, handle_line), daemon=True)
                thread.start()
                self._threads.append(thread)

    def wait_for_end(self) -> tuple[int, float]:
        """Return the program's exit code and when it ended. Raises Failure if its output was not read."""
        code = self._program.wait()
        ended = time.perf_counter()
        for thread in self._threads:
            thread.join(PIPE_SECONDS)
        if self.error:
            raise Failure(f"its output cannot be read: {self.error}") from self.error
        return code, ended

    @property
    def last_exception(self) -> str:
        """The message of its last exception, if that has few lines and ends its standard error.

        Otherwise the last line there.
        """
        message = self.exception or []
        return " ".join(message) if 0 < len(message) <= MESSAGE_LINES else self.last_error_line

    def _read_pipe(self, pipe: IO[bytes], handle_line: Callable[[str], None]) -> None:
        try:
            for line in iter(lambda: pipe.readline(LINE_BYTES), b""):
                handle_line(line.decode(errors="replace"))
        except Exception as error:
            self.error = error
            self._program.kill()

    def _handle_output_line(self, line: str) -> None:
        row = parse_row(line)
        if row is not None:
            self._reported.add_row(row)
        elif line.startswith("{") and len(line) >= LINE_BYTES:
            raise ValueError(f"a row of numbers has more than {LINE_BYTES:,} bytes")
        else:
            self._log_line(line)

    def _handle_error_line(self, line: str) -> None:
        self._log_line(line)
        if line.startswith("Traceback (most recent call last)"):
            self.exception = []
        elif self.exception is not None and line.strip() and (self.exception or not line.startswith(" ")):
            self.exception = [*self.exception[: MESSAGE_LINES + 1], line.strip()]
        self.last_error_line = line.strip() or self.last_error_line

    def _log_line(self, line: str) -> None:
        print(line, end="", file=sys.stderr, flush=True)
        self.last_line = line.strip() or self.last_line
        if self._matches_lines and self._reported.patterns:
            self._reported.add_line(line)


def _read_file(trial: ProgramTrial, out: Path, values: Mapping[str, Any], reported: ReportedMetrics) -> None:
    """Read the rows of the files of metrics. Raises Failure if there are none that can be read."""
    texts = {name: glob.escape(x) if isinstance(x, str) else x for name, x in values.items()}
    pattern = Path(glob.escape(trial.folder), fill_word(trial.metrics, texts))
    try:
        if trial.metrics == MLFLOW:
            rows = read_mlflow(out / MLFLOW_FOLDER)
        else:
            rows, reported.not_numbers = read_files(str(pattern), trial.rows, reported.patterns)
    except BadInput as error:
        files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
        listing = "" if error.place else f"; {{out}} has {shorten_names(files) or 'no file'}"
        raise Failure(f"{error}{listing}") from error
    for row in rows:
        reported.add_row(row)
    if not reported.last:
        first = f": its first row is {rows[0]!r:.100}" if rows else ""
        raise Failure(f"its {pattern.name} has no number{first}")


def _call_function(trial: ProgramTrial, out: Path, reported: ReportedMetrics) -> float:
    """Call the function. Returns when it ended. The runner reports its exceptions."""
    os.environ.update(_program_environment(trial, out))
    sys.path[:0] = map(str, trial.places.python_path)
    module, _, name = trial.function.partition(":")
    function: Callable[..., Any] = getattr(_import_module(module, trial.folder), name)
    keywords: dict[str, Any] = {"seed": trial.seed, **trial.settings}
    if "out" in inspect.signature(function).parameters:
        keywords["out"] = out
    try:
        returned = function(**keywords)
    except FileNotFoundError as error:
        raise Failure(f"FileNotFoundError: {error}") from error
    if trial.checkout and trial.checkout.repository:
        files = list_loaded_files(*(os.environ[name] for name in FOLDERS))
        if reason := find_other_files(trial, files):
            raise Failure(reason)
    if isinstance(returned, Mapping) or not isinstance(returned, Iterable):
        returned = [returned]
    for row in returned:
        if not isinstance(row, Mapping):
            raise Failure(f"returned {type(row).__name__}, and no dictionary of metrics")
        reported.add_row(row)
    return time.perf_counter()


def _import_module(name: str, folder: str) -> ModuleType:
    """Import a module from a folder, even if another one of its name is installed."""
    sys.path.insert(0, folder)
    file = Path(folder, f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, file) if file.is_file() else None
    if spec is None or spec.loader is None:  # a package, or a module of one
        return importlib.import_module(name)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _program_environment(trial: ProgramTrial, out: Path) -> dict[str, str]:
    """Return the environment variables that a program gets."""
    environ = dict(os.environ)
    if trial.checkout:
        environ = {name: value for name, value in environ.items() if name not in HOOK_VARIABLES}
    environ |= {f"{library}_NUM_THREADS": str(trial.threads) for library in THREADS}
    environ |= {"UNROLLED_SEED": str(trial.seed), "UNROLLED_OUT": str(out), "PYTHONUNBUFFERED": "1"}
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    if trial.checkout:
        environ |= variables_of_commit(trial.checkout, trial.places, out)
    if trial.metrics == MLFLOW:
        environ["MLFLOW_TRACKING_URI"] = (out / MLFLOW_FOLDER).as_uri()
        environ["MLFLOW_ALLOW_FILE_STORE"] = "true"  # MLflow asks for it: a database takes seconds a trial
    return environ


def _measure_folder(folder: Path) -> int:
    """Bytes of the files below a folder. A file that is removed meanwhile counts as none."""
    size = 0
    for inner, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += Path(inner, name).lstat().st_size
    return size


def _find_other_setting(trial: ProgramTrial, reported: ReportedMetrics) -> str:
    """Return how the settings that a program says it used differ from the trial's; or ""."""
    for name, value in reported.settings.items():
        words = " ".join(map(str, value)) if isinstance(value, list) else value  # as a trial has a list
        if name in trial.settings and words != trial.settings[name]:
            return f"it used {name} = {value!r}, and not {trial.settings[name]!r}"
    return ""


def _keep_files(trial: ProgramTrial, out: Path) -> None:
    """Move files that match `trial.keep`, and all in folders that do, to `kept` beside the checkpoints."""
    paths = {path for pattern in trial.keep for path in out.rglob(pattern)}
    paths |= {path for folder in paths if folder.is_dir() for path in folder.rglob("*")}
    files = [path for path in paths if path.is_file()]
    for path in sorted(files, key=Path.is_symlink, reverse=True):  # links while there is what they lead to
        target = out.parents[1] / "kept" / trial.id / path.relative_to(out)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            shutil.copy2(path, target)
        else:
            shutil.move(path, target)
