"""One trial of a program, in the process that the runner gives it: it is started, and its numbers read."""

import glob
import importlib.util
import inspect
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from unrolled.bench.differences import fingerprint_result
from unrolled.bench.errors import BadInput
from unrolled.bench.formats.file_formats import MLFLOW
from unrolled.bench.formats.mlflow_store import read_mlflow
from unrolled.bench.git.git_command import HOOK_VARIABLES
from unrolled.bench.hardware import machine
from unrolled.bench.hardware.devices import list_visible_gpus
from unrolled.bench.hardware.machine_kind import find_machine_kind
from unrolled.bench.program.at_start.sitecustomize import list_loaded_files
from unrolled.bench.program.identity.program_identity import HASHED_FILES
from unrolled.bench.program.import_report import (
    FOLDER_VARIABLES,
    check_report,
    find_other_files,
    make_commit_variables,
)
from unrolled.bench.program.line_patterns import LinePatterns
from unrolled.bench.program.listener import Failure, Listener
from unrolled.bench.program.output import ReportedMetrics, read_metrics_files
from unrolled.bench.program.program_trial import REASON_LENGTH, ProgramTrial, shorten_names
from unrolled.bench.program.template import fill_template, fill_word
from unrolled.bench.program.trial_folder import keep_files, limit_folder_size, make_trial_folder
from unrolled.bench.sources.file_selection import Exclusions
from unrolled.bench.sources.identity import record_sources
from unrolled.bench.trial import Cause, Result, make_failed_result

THREADS = ("OMP", "MKL", "OPENBLAS", "NUMEXPR")
"""Prefixes of the environment variables that set the threads of libraries: OMP_NUM_THREADS and so on."""

MLFLOW_FOLDER = "mlruns"  # folder in {out}: the tracking store for a program that logs to MLflow


record_sources(HASHED_FILES)  # run by the process that all trials are forked from


def run_trial(trial: ProgramTrial) -> Result:
    """Run the program or the function, and return its Result. A failed one has the numbers until then."""
    start = time.perf_counter()
    provenance = _describe_provenance(trial)
    out, earlier_attempt = make_trial_folder(trial, find_machine_kind(provenance))
    provenance |= earlier_attempt
    reported = ReportedMetrics(LinePatterns(trial.patterns))
    if not trial.metrics_source:  # a program with a file of metrics keeps its rows itself
        reported.open_journal(out.with_suffix(".rows"))
    reason = ""
    cause = ""
    try:
        with limit_folder_size(trial, out):
            end = (_call_function if trial.function else _run_command)(trial, out, reported)
    except Failure as error:
        reason = str(error)
        cause = error.cause
        end = time.perf_counter()
    facts = {
        "provenance": provenance | reported.unread_metrics,
        **_collect_numbers(trial, reported, end - start),
    }
    reason = reason or _find_other_setting(trial, reported)
    if reason:
        return make_failed_result(trial, reason + _find_hidden_file(trial, reason), cause=cause, **facts)
    keep_files(trial, out)
    witnesses = {
        name: {"ok": True, "declared": value, "seen": value}
        for name, value in trial.settings.items()
        if name in reported.settings
    }
    fingerprints = {"numbers": fingerprint_result(facts)}
    return Result(trial=trial, status="done", witnesses=witnesses, fingerprints=fingerprints, **facts)


def _collect_numbers(trial: ProgramTrial, reported: ReportedMetrics, seconds: float) -> dict[str, Any]:
    """Return the curves and metrics of a result; `seconds` and `memory_peak` are among the metrics."""
    metrics = {
        name: reported.reduce_metric(name, trial.reduction.get(name, "last")) for name in reported.last
    }
    peak = machine.measure_memory_peak(of_children=not trial.function)
    return {
        "curves": {name: tuple(sorted(curve.items())) for name, curve in reported.curves.items()},
        "metrics": metrics | {"seconds": seconds, "memory_peak": peak},
    }


def _describe_provenance(trial: ProgramTrial) -> dict[str, Any]:
    """Return the facts of this machine, and of the code and the packages of a program."""
    provenance = machine.read_basic_facts(trial.device, None if trial.checkout else Path(trial.folder))
    provenance["threads"] = trial.threads
    if trial.device == "cuda":  # a machine with two kinds of cards is rare
        provenance["gpu"] = ", ".join(dict.fromkeys(gpu.name for gpu in list_visible_gpus()))
    provenance["packages"] = dict(line.split(" ") for line in trial.versions.split(", ") if line)
    if assumption := trial.describe_assumption():
        provenance["packages are"] = assumption
    if trial.checkout and trial.checkout.commit:
        provenance |= {"commit": trial.checkout.commit.hash, "dirty": False, "diff": ""}
    return provenance


def _find_hidden_file(trial: ProgramTrial, reason: str) -> str:
    """Return a hint if a failure names a file that the work tree has and the commit lacks; else ""."""
    work_tree = trial.layout.work_tree_folder
    if work_tree is None:
        return ""
    for quoted, word in re.findall(r"""['"]([^'"]+)['"]|([^\s'"]+)""", reason):
        name = os.path.relpath(Path(trial.folder, quoted or word.rstrip(".,:;)")), trial.folder)
        if os.path.lexists(work_tree / name) and not os.path.lexists(Path(trial.folder, name)):
            is_installed = Exclusions(work_tree).has_file(work_tree / name)
            cure = "write its absolute path" if is_installed else "name it in `data` of [program]"
            return f"; {name} is in the work tree and not in the commit: {cure}"
    return ""


def _run_command(trial: ProgramTrial, out: Path, reported: ReportedMetrics) -> float:
    """Run the command line. Returns when it ended, by `time.perf_counter`. Raises Failure if it failed.

    If a signal ended the command, this process ends itself by the same signal, so that the runner starts
    another attempt.
    """
    study = str(trial.layout.study_folder)
    values = {**trial.settings, "seed": trial.seed, "out": str(out), "study": study}
    environ = _make_program_environment(trial, out)
    words = _compose_command(trial, values, environ)
    try:
        program = subprocess.Popen(
            words,
            cwd=trial.folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=None if trial.metrics_source else subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise Failure(f"cannot start {words[0]!r}: {error.strerror}") from error
    listener = Listener(program, reported, matches_lines=not trial.metrics_source)
    code, end = listener.wait_for_end()
    if trial.checkout and trial.checkout.repository and not code and (reason := check_report(trial, out)):
        raise Failure(reason)
    if trial.metrics_source and code >= 0:  # a program that failed may have reported NaN before
        with suppress(Failure) if code else nullcontext():
            _read_file(trial, out, values, reported)
    if code < 0:
        with suppress(OSError):  # the handler of SIGKILL cannot be set
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    if code:
        reason = listener.last_exception or listener.last_line or "it printed nothing"
        raise Failure(f"{Cause.EXIT_CODE} {code}: {reason[:REASON_LENGTH]}", Cause.EXIT_CODE)
    return end


def _compose_command(trial: ProgramTrial, values: Mapping[str, Any], environ: Mapping[str, str]) -> list[str]:
    """Return the words of the command line, with these values in place of its fields."""
    words = [trial.layout.locate_program(word) for word in fill_template(trial.run, values)]
    if trial.checkout:  # values that `env` sets come after the folders of the commit
        python_path = f"PYTHONPATH={environ['PYTHONPATH']}{os.pathsep}"
        words = [re.sub("^PYTHONPATH=", lambda _: python_path, word) for word in words]
    if words[0] in ("python", "python3"):
        words[0] = sys.executable
    return words


def _read_file(trial: ProgramTrial, out: Path, values: Mapping[str, Any], reported: ReportedMetrics) -> None:
    """Add the rows of the files of metrics to `reported`. Raises Failure if no number can be read."""
    texts = {name: glob.escape(value) if isinstance(value, str) else value for name, value in values.items()}
    pattern = Path(glob.escape(trial.folder), fill_word(trial.metrics_source, texts))
    try:
        if trial.metrics_source == MLFLOW:
            rows = read_mlflow(out / MLFLOW_FOLDER)
        else:
            rows, reported.not_numbers = read_metrics_files(str(pattern), trial.rows_key, reported.patterns)
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
    """Call the function. Returns when it ended, by `time.perf_counter`. The runner reports exceptions."""
    os.environ.update(_make_program_environment(trial, out))
    sys.path[:0] = map(str, trial.layout.python_path)
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
        files = list_loaded_files(*(os.environ[name] for name in FOLDER_VARIABLES))
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
    if spec is None or spec.loader is None:  # it is a package, or a module of one
        return importlib.import_module(name)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _make_program_environment(trial: ProgramTrial, out: Path) -> dict[str, str]:
    """Return the environment variables that a program gets."""
    environ = dict(os.environ)
    if trial.checkout:
        environ = {name: value for name, value in environ.items() if name not in HOOK_VARIABLES}
    environ |= {f"{library}_NUM_THREADS": str(trial.threads) for library in THREADS}
    environ |= {"UNROLLED_SEED": str(trial.seed), "UNROLLED_OUT": str(out), "PYTHONUNBUFFERED": "1"}
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    if trial.checkout:
        environ |= make_commit_variables(trial.checkout, trial.layout, out)
    if trial.metrics_source == MLFLOW:
        environ["MLFLOW_TRACKING_URI"] = (out / MLFLOW_FOLDER).as_uri()
        environ["MLFLOW_ALLOW_FILE_STORE"] = "true"  # MLflow asks for it: a database takes seconds a trial
    return environ


def _find_other_setting(trial: ProgramTrial, reported: ReportedMetrics) -> str:
    """Return which setting the program reports to have used at another value; "" if none."""
    for name, value in reported.settings.items():
        words = " ".join(map(str, value)) if isinstance(value, list) else value  # a trial has it as words
        if name in trial.settings and words != trial.settings[name]:
            return f"it used {name} = {value!r}, and not {trial.settings[name]!r}"
    return ""
