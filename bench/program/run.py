"""One trial of a program, in the process that the runner gives it: start it, listen, read its numbers."""

import glob
import importlib.util
import inspect
import json
import os
import re
import resource
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
from unrolled.bench.differences import fingerprint
from unrolled.bench.errors import BadInput
from unrolled.bench.files import save
from unrolled.bench.git import OF_ANOTHER_CALL
from unrolled.bench.identity import record_loaded_files
from unrolled.bench.machine_kind import kind, machine_difference
from unrolled.bench.program.at_start.sitecustomize import list_loaded_files
from unrolled.bench.program.files import Exclusions
from unrolled.bench.program.identity import READERS
from unrolled.bench.program.loaded_files import FOLDERS, check_report, find_other_files, variables_of_commit
from unrolled.bench.program.output import MLFLOW, ReportedMetrics, read_files, read_mlflow
from unrolled.bench.program.patterns import Patterns
from unrolled.bench.program.template import fill, fill_word
from unrolled.bench.program.trial import ProgramTrial, shorten_names
from unrolled.bench.table_files import parse_row
from unrolled.bench.trial import DISK_LIMIT, Result, canonical, failure

THREADS = ("OMP", "MKL", "OPENBLAS", "NUMEXPR")
"""Prefixes of the environment variables that set the threads of libraries: OMP_NUM_THREADS and so on."""

LINE_BYTES = 1 << 20  # a longer line is read as several, and may be no row of numbers
CHECK_SECONDS = 1.0  # between two checks of the size of a program's folder
PIPE_SECONDS = 2.0  # how long to read on after a program's end, if a process that it left holds a pipe
MESSAGE_LINES = 5  # of an exception, which the reason of a failure quotes
REASON_LENGTH = 300  # characters of a program's last line that the reason of its failure quotes
MLFLOW_FOLDER = "mlruns"  # in {out}: the tracking store that a program gets which logs to MLflow


record_loaded_files(READERS)  # by the process that all trials are forked from


class Failure(Exception):
    """Why a program counts as failed."""


def run_trial(trial: ProgramTrial) -> Result:
    """Run the program or the function, and read its numbers, which a failure has, too."""
    started, clock = time.time(), time.perf_counter()
    versions = dict(line.split(" ") for line in trial.versions.split(", ") if line)
    environment = machine.basic_facts(trial.device, None if trial.checkout else Path(trial.folder))
    environment |= {"threads": trial.threads, "packages": versions}
    if trial.checkout and trial.checkout.commit:
        environment |= {"commit": trial.checkout.commit.hash, "dirty": False, "diff": ""}
    out, earlier_attempt = _own_folder(trial, kind(environment))
    environment |= earlier_attempt
    facts: dict[str, Any] = {"started": started, "environment": environment}
    reported, failed, ended = ReportedMetrics(), "", 0.0
    patterns = Patterns(trial.patterns)
    run = _call if trial.function else _execute
    if not trial.metrics:  # a file of metrics is the program's own to keep
        reported.resume(out.with_suffix(".rows"))
    try:
        with _limited_folder(trial, out):
            ended = run(trial, out, reported, patterns)
    except Failure as error:
        failed = str(error)
    environment |= {"not_numbers": reported.not_numbers} if reported.not_numbers else {}
    environment |= {"unmatched": patterns.unmatched} if patterns.unmatched else {}
    facts["seconds"] = seconds = (ended or time.perf_counter()) - clock
    facts["curves"] = {name: tuple(sorted(curve.items())) for name, curve in reported.curves.items()}
    metrics = {name: reported.value(name, trial.reduction.get(name, "last")) for name in reported.last}
    facts["metrics"] = metrics | {"seconds": seconds, "memory_peak": _memory_peak(trial)}
    if reason := failed or _other_settings(trial, reported):
        return failure(trial, reason + _find_hidden_file(trial, reason), **facts)
    _keep(trial, out)
    marks = {"numbers": fingerprint(facts)}
    return Result(trial=trial, status="done", witnesses=_proofs(trial, reported), fingerprints=marks, **facts)


def _find_hidden_file(trial: ProgramTrial, reason: str) -> str:
    """A hint on a file that a failure names and that no commit has, as git ignores it; or ""."""
    original = trial.checkout.original if trial.checkout else None
    if original is None:
        return ""
    for quoted, word in re.findall(r"""['"]([^'"]+)['"]|([^\s'"]+)""", reason):
        name = os.path.relpath(Path(trial.folder, quoted or word.rstrip(".,:;)")), trial.folder)
        if os.path.lexists(original / name) and not os.path.lexists(Path(trial.folder, name)):
            is_installed = Exclusions(original).has_file(original / name)
            cure = "write its absolute path" if is_installed else "name it in `data` of [program]"
            return f"; {name} is in the work tree and not in the commit: {cure}"
    return ""


def _proofs(trial: ProgramTrial, reported: ReportedMetrics) -> dict[str, dict[str, Any]]:
    """A witness for each setting that the program says it used."""
    return {
        name: {"ok": True, "declared": value, "seen": value}
        for name, value in trial.settings.items()
        if name in reported.settings
    }


def _own_folder(trial: ProgramTrial, machine_kind: Mapping[str, str]) -> tuple[Path, dict[str, Any]]:
    """The trial's own folder, which its command line calls {out}, and facts on an earlier attempt.

    These are `restart`, why it begins anew, or `resumed`, if that attempt left something. What it left is
    kept, but for that of an attempt on a machine of another kind, which a file beside the folder tells: one
    result would have numbers of two kinds.
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
    save(kind_file, canonical(machine_kind))
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
    over = threading.Event()

    def stop(*_: object) -> None:
        reason = f"{DISK_LIMIT} of {trial.disk:,} MiB: write less to {{out}}, or raise `disk` in [program]"
        raise Failure(reason)

    def watch() -> None:
        while not over.wait(CHECK_SECONDS):
            if _size(out) > trial.disk << 20:
                os.kill(os.getpid(), signal.SIGUSR1)
                return

    signal.signal(signal.SIGUSR1, stop)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
        if _size(out) > trial.disk << 20:
            stop()
    finally:
        over.set()


def _execute(trial: ProgramTrial, out: Path, reported: ReportedMetrics, patterns: Patterns) -> float:
    """Run the command line. Returns when it ended, by `time.perf_counter`. Raises Failure where it fails.

    If a signal ended it, this process ends itself by the same signal, so that the runner tries again.
    """
    places = trial.places
    values = {**trial.settings, "seed": trial.seed, "out": str(out), "study": str(places.study)}
    words = [places.locate_program(word) for word in fill(trial.run, values)]
    environ = _environ(trial, out)
    if trial.checkout:  # what `env` sets comes behind the folders of the commit
        own = f"PYTHONPATH={environ['PYTHONPATH']}{os.pathsep}"
        words = [re.sub("^PYTHONPATH=", lambda _: own, word) for word in words]
    words[0] = sys.executable if words[0] in ("python", "python3") else words[0]
    pipe = subprocess.PIPE if not trial.metrics else None
    try:
        program = subprocess.Popen(
            words, cwd=trial.folder, env=environ, stdin=subprocess.DEVNULL, stdout=pipe,
            stderr=subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        raise Failure(f"cannot start {words[0]!r}: {error.strerror}") from error
    listener = _Listener(program, reported, Patterns({}) if trial.metrics else patterns)
    code, ended = listener.wait()
    if trial.checkout and trial.checkout.repository and not code:
        _refuse(check_report(trial, out))
    if trial.metrics and code >= 0:  # a program that failed may have told of NaN before
        with suppress(Failure) if code else nullcontext():
            _read_file(trial, out, values, reported, patterns)
    if code < 0:
        with suppress(OSError):  # the handler of SIGKILL cannot be set
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    if code:
        reason = listener.last_exception or listener.last_line or "it printed nothing"
        raise Failure(f"exit code {code}: {reason[:REASON_LENGTH]}")
    return ended


class _Listener:
    """Reads the rows of numbers that a program prints, and prints its other lines."""

    last_line = ""  # of those that are no row
    last_error = ""  # of its standard error, which may be read before an earlier line of the other pipe
    exception: Sequence[str] | None = None  # the message of its last traceback, and what follows it
    error: Exception | None = None  # of a reading thread, which ends the program: its pipe would fill up

    def __init__(
        self, program: "subprocess.Popen[bytes]", reported: ReportedMetrics, patterns: Patterns
    ) -> None:
        self._program = program
        self._reported = reported
        self._patterns = patterns
        self._lock = threading.Lock()  # both pipes are matched
        pipes = [(program.stderr, self._log_error), (program.stdout, self._take)]
        self._threads = [
            threading.Thread(target=self._read, args=one, daemon=True) for one in pipes if one[0]
        ]
        for thread in self._threads:
            thread.start()

    def wait(self) -> tuple[int, float]:
        """The exit code of the program and when it ended. Raises Failure where its output was not read."""
        code, ended = self._program.wait(), time.perf_counter()
        for thread in self._threads:
            thread.join(PIPE_SECONDS)
        if self.error:
            raise Failure(f"its output cannot be read: {self.error}") from self.error
        return code, ended

    def _read(self, pipe: IO[bytes], take: Callable[[str], None]) -> None:
        try:
            for line in iter(lambda: pipe.readline(LINE_BYTES), b""):
                take(line.decode(errors="replace"))
        except Exception as error:
            self.error = error
            self._program.kill()

    def _take(self, line: str) -> None:
        row = parse_row(line)
        if row is None and line.startswith("{") and len(line) >= LINE_BYTES:
            raise ValueError(f"a row of numbers has more than {LINE_BYTES:,} bytes")
        self._reported.add(row) if row is not None else self._log(line)

    def _log_error(self, line: str) -> None:
        self._log(line)
        if line.startswith("Traceback (most recent call last)"):
            self.exception = []
        elif self.exception is not None and line.strip() and (self.exception or not line.startswith(" ")):
            self.exception = [*self.exception[: MESSAGE_LINES + 1], line.strip()]
        self.last_error = line.strip() or self.last_error

    @property
    def last_exception(self) -> str:
        """The message of its last exception, if that has few lines and ends its standard error.

        Otherwise the last line there.
        """
        message = self.exception or []
        return " ".join(message) if 0 < len(message) <= MESSAGE_LINES else self.last_error

    def _log(self, line: str) -> None:
        print(line, end="", file=sys.stderr, flush=True)
        self.last_line = line.strip() or self.last_line
        if self._patterns:
            with self._lock:
                for part in line.split("\r"):  # as progress bars write over themselves
                    self._reported.add_texts(self._patterns.rows(part))


def _read_file(
    trial: ProgramTrial,
    out: Path,
    values: Mapping[str, Any],
    reported: ReportedMetrics,
    patterns: Patterns,
) -> None:
    """Read the rows of the files of metrics. Raises Failure where there are none that can be read."""
    texts = {name: glob.escape(x) if isinstance(x, str) else x for name, x in values.items()}
    pattern = Path(glob.escape(trial.folder), fill_word(trial.metrics, texts))
    try:
        if trial.metrics == MLFLOW:
            rows = read_mlflow(out / MLFLOW_FOLDER)
        else:
            rows, reported.not_numbers = read_files(str(pattern), trial.rows, patterns)
    except BadInput as error:
        written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
        there = "" if error.place else f"; {{out}} has {shorten_names(written) or 'no file'}"
        raise Failure(f"{error}{there}") from error
    for row in rows:
        reported.add(row)
    if not reported.last:
        raise Failure(
            f"its {pattern.name} has no number{f': its first row is {rows[0]!r:.100}' if rows else ''}"
        )


def _call(trial: ProgramTrial, out: Path, reported: ReportedMetrics, patterns: Patterns) -> float:
    """Call the function. Returns when it ended. The runner reports its exceptions."""
    os.environ.update(_environ(trial, out))
    sys.path[:0] = map(str, trial.places.python_path)
    module, _, name = trial.function.partition(":")
    function: Callable[..., Any] = getattr(_import(module, trial.folder), name)
    places = {"out": out} if "out" in inspect.signature(function).parameters else {}
    try:
        returned = function(seed=trial.seed, **trial.settings, **places)
    except FileNotFoundError as error:
        raise Failure(f"FileNotFoundError: {error}") from error
    if trial.checkout and trial.checkout.repository:
        _refuse(find_other_files(trial, list_loaded_files(*(os.environ[name] for name in FOLDERS))))
    several = isinstance(returned, Iterable) and not isinstance(returned, Mapping)
    for row in returned if several else [returned]:
        if not isinstance(row, Mapping):
            raise Failure(f"returned {type(row).__name__}, and no dictionary of metrics")
        reported.add(row)
    return time.perf_counter()


def _import(name: str, folder: str) -> ModuleType:
    """Import a module from a folder, even if another one of its name is installed."""
    sys.path.insert(0, folder)
    file = Path(folder, f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, file) if file.is_file() else None
    if spec is None or spec.loader is None:  # a package, or a module of one
        return importlib.import_module(name)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _refuse(reason: str) -> None:
    """Raise Failure for a reason, if there is one."""
    if reason:
        raise Failure(reason)


def _environ(trial: ProgramTrial, out: Path) -> dict[str, str]:
    threads = {f"{library}_NUM_THREADS": str(trial.threads) for library in THREADS}
    own = {"UNROLLED_SEED": str(trial.seed), "UNROLLED_OUT": str(out), "PYTHONUNBUFFERED": "1"}
    own["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    inherited = dict(os.environ)
    if trial.checkout:
        inherited = {name: value for name, value in inherited.items() if name not in OF_ANOTHER_CALL}
        own |= variables_of_commit(trial.checkout, trial.places, out)
    if trial.metrics == MLFLOW:
        own["MLFLOW_TRACKING_URI"] = (out / MLFLOW_FOLDER).as_uri()
        own["MLFLOW_ALLOW_FILE_STORE"] = "true"  # MLflow asks for it: a database takes seconds a trial
    return {**inherited, **threads, **own}


def _size(folder: Path) -> int:
    """Bytes of the files below a folder. A file that is removed meanwhile counts as none."""
    size = 0
    for inner, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += Path(inner, name).lstat().st_size
    return size


def _memory_peak(trial: ProgramTrial) -> float:
    """The peak memory of the largest of its processes, in MiB."""
    whose = resource.RUSAGE_SELF if trial.function else resource.RUSAGE_CHILDREN
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB on Linux
    return resource.getrusage(whose).ru_maxrss * unit / 2**20


def _other_settings(trial: ProgramTrial, reported: ReportedMetrics) -> str:
    """Why a program counts as failed that says it used other settings than the trial's; or ""."""
    for name, value in reported.settings.items():
        if name in trial.settings and value != trial.settings[name]:
            return f"it used {name} = {value!r}, and not {trial.settings[name]!r}"
    return ""


def _keep(trial: ProgramTrial, out: Path) -> None:
    """Move files that match `trial.keep`, and all in folders that do, to `kept` beside the checkpoints."""
    matches = {path for pattern in trial.keep for path in out.rglob(pattern)}
    within = {path for folder in matches if folder.is_dir() for path in folder.rglob("*")}
    files = [path for path in matches | within if path.is_file()]
    for path in sorted(files, key=Path.is_symlink, reverse=True):  # links while there is what they lead to
        target = out.parents[1] / "kept" / trial.id / path.relative_to(out)
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copy2 if path.is_symlink() else shutil.move)(path, target)
