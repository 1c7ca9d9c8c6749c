"""The folder of a trial, {out} in its command line: making it, limiting its size, keeping files of it."""

import json
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from unrolled.bench.files.atomic_files import save_file
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.hardware.machine_kind import describe_machine_difference
from unrolled.bench.program.listener import Failure
from unrolled.bench.program.program_trial import ProgramTrial
from unrolled.bench.trial import Cause

CHECK_SECONDS = 1.0  # seconds between two checks of the folder's size


def make_trial_folder(trial: ProgramTrial, machine_kind: Mapping[str, str]) -> tuple[Path, dict[str, Any]]:
    """Return the trial's folder, and facts about an earlier attempt for the provenance.

    If an earlier attempt left files, the fact is {"resumed": True}. A file beside the folder names the kind
    of machine of that attempt. If this one is of another kind, the attempt's files are removed, since a
    result must not mix numbers of two kinds, and the fact is {"restart": why}.
    """
    checkpoints = os.environ.get("UNROLLED_CHECKPOINTS")
    out = Path(checkpoints, f"{trial.id}.out") if checkpoints else Path(tempfile.mkdtemp())
    kind_file = out.with_suffix(".kind")
    earlier_kind = json.loads(kind_file.read_bytes()) if kind_file.exists() else {}
    difference = describe_machine_difference([earlier_kind, machine_kind]) if out.exists() else ""
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
def limit_folder_size(trial: ProgramTrial, out: Path) -> Iterator[None]:
    """Raise Failure inside the block once the folder holds more than `trial.disk_limit` MiB; 0 sets no limit.

    The program is still running then. The runner ends its processes together with the trial's.
    """
    if not trial.disk_limit:
        yield
        return
    limit = trial.disk_limit << 20
    ended = threading.Event()

    def raise_failure(*_: object) -> None:
        cure = "write less to {out}, or raise `disk` in [program]"
        raise Failure(f"{Cause.DISK_LIMIT} of {trial.disk_limit:,} MiB: {cure}", Cause.DISK_LIMIT)

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


def keep_files(trial: ProgramTrial, out: Path) -> None:
    """Move the files, and those in folders, that match `trial.keep` to `kept` beside the checkpoints."""
    paths = {path for pattern in trial.keep for path in out.rglob(pattern)}
    paths |= {path for folder in paths if folder.is_dir() for path in folder.rglob("*")}
    files = [path for path in paths if path.is_file()]
    # links come before the folders that they lead to
    for path in sorted(files, key=Path.is_symlink, reverse=True):
        target = out.parents[1] / "kept" / trial.id / path.relative_to(out)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            shutil.copy2(path, target)
        else:
            shutil.move(path, target)


def _measure_folder(folder: Path) -> int:
    """Return the bytes of the files below a folder. A file that vanishes meanwhile is left out."""
    size = 0
    for inner, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += Path(inner, name).lstat().st_size
    return size
