"""The ledger: the results of trials by their identities. All other output can be made again from it.

A result is two files of canonical JSON:

- `trials/<id>.json`: the numbers by which arms are compared, and the sha256 of the details
- `details/<id>.<sha>.json`: everything else (see `bench.trial.DETAIL_FIELDS`), nine tenths of a result

The name of a file of details has their hash, so that a result is never read with the details of another
attempt. Files are written as drafts, synced and renamed, the details first: a reader finds a whole result or
none, even after a crash.
"""

import fcntl
import fnmatch
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from unrolled.bench.errors import BadInput, find_nearest, require
from unrolled.bench.files.atomic_files import (
    PARTIAL,
    explain_file_errors,
    make_folder,
    make_output_folder,
    remove_abandoned_drafts,
    save_files,
)
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.trial import DETAIL_FIELDS, RESULT_FORMAT, Result

MALFORMED_DATA_ERRORS = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""The errors that reading malformed data raises."""

Content = TypeVar("Content")

_SEED = re.compile(rb'"seed":([0-9]+)')


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


@dataclass(frozen=True)
class Ledger:
    """The results in one folder. `warn` is called with a line for each file that is set aside."""

    root: Path
    warn: Callable[[str], None] = _to_stderr
    _warned: set[str] = field(default_factory=set, repr=False, compare=False)
    _parts: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)  # see `_intern`

    def __post_init__(self) -> None:
        require(not self.root.is_file(), "is a file", place=self.root, cure="give the folder of the results")

    def warn_once(self, line: str) -> None:
        """Call `warn` with a line, unless it was called with the same line before."""
        if line not in self._warned:
            self._warned.add(line)
            self.warn(line)

    def find_result_path(self, id: str) -> Path:
        """Return the path of a trial's result, which may not exist yet."""
        return self.root / f"trials/{id[:2]}/{id}.json"

    def find_details_path(self, id: str, digest: str) -> Path:
        """Return the path of the details of a trial's result; `digest` is their sha256."""
        return self.root / f"details/{id[:2]}/{id}.{digest[:16]}.json"

    def list_seeds(self) -> set[int]:
        """Return the seeds of all results. Files are searched for `"seed":`, which other keys may contain."""
        seeds: set[int] = set()
        for path in self.find_result_files().values():
            seeds |= {int(seed) for seed in _SEED.findall(read_bytes(path) or b"")}
        return seeds

    @property
    def nearest_ledger_hint(self) -> str:
        """A hint at the nearest folder above this one that has a ledger; "" if none has."""
        for folder in self.root.absolute().parent.parents:
            results = folder / "results"
            if (results / "plans").is_dir():
                return f"a ledger is in {folder}: cd there, or give --results {results}"
        return ""

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints of long trials."""
        return self.root / "checkpoints"

    def find_result_files(self) -> dict[str, Path]:
        """Return the file of every result, by the identity of its trial. No file is opened.

        Raises BadInput for a folder that cannot be read.
        """
        folders = filter(Path.is_dir, list_folder(self.root / "trials"))
        return {path.stem: path for folder in folders for path in list_folder(folder, "*.json")}

    def record_result(self, result: Result) -> None:
        """Store a result durably, in place of an earlier one of the same trial.

        A failure does not replace a result that is no failure. In place of a failure, a result counts its
        attempts, too: where equal trials differ, trying again may pick the good runs, and pages warn of it.
        Raises BadInput if it cannot be written.
        """
        id = result.trial.id
        if earlier_result := self._read_file(id, details=False):
            if earlier_result.status != "failed" and result.status == "failed":
                return
            if earlier_result.started == result.started:  # the same result
                result = replace(result, attempts=earlier_result.attempts)
            elif earlier_result.status == "failed":
                result = replace(result, attempts=result.attempts + earlier_result.attempts)
        fields = result.to_dict()
        details = canonical_json({name: fields.pop(name) for name in DETAIL_FIELDS})
        digest = hashlib.sha256(details).hexdigest()
        sealed = seal({"format": RESULT_FORMAT, "result": fields, "details": digest})
        save_files({self.find_details_path(id, digest): details, self.find_result_path(id): sealed})

    def remove_result(self, id: str) -> None:
        """Remove the result of a trial. Raises BadInput if it cannot be removed."""
        path = self.find_result_path(id)
        with explain_file_errors(path):
            path.unlink(missing_ok=True)

    def read_result(self, id: str) -> Result | None:
        """Return the result of a trial with its details, or None if it has none.

        A result that is damaged, or whose details are damaged or missing, is set aside and counts as missing.
        Raises BadInput if a version with another format wrote it, or if it cannot be read at all.
        """
        return self._read_file(id, details=True)

    def read_results(self, ids: Iterable[str]) -> dict[str, Result]:
        """Return the results of trials, without details, by id; trials without a result are left out.

        Sets results aside and raises as `read_result` does. Files of details are not opened.
        """
        return {id: result for id in ids if (result := self._read_file(id, details=False))}

    def read_all_results(self) -> Iterator[Result]:
        """Yield every result, without details. Results in another format, or unreadable, are left out."""
        for id in self.find_result_files():
            with suppress(BadInput):
                if result := self._read_file(id, details=False):
                    yield result

    def find_result(self, id: str) -> Result:
        """Return the result of the trial whose identity begins with `id`.

        Raises BadInput for none or several.
        """
        ids = [name for name in self.find_result_files() if id and name.startswith(id.lower())]
        if len(ids) > 1:
            examples = ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")
            raise BadInput(
                f"{len(ids)} identities begin so ({examples})", place=f"trial {id!r}", cure="write more of it"
            )
        result = self.read_result(ids[0]) if ids else None
        if result is None:
            cure = "a study's page lists its trials, `unrolled show models` the models"
            if words := find_nearest(id, ["models", "corpus"]):
                cure = f"did you mean {words[0]!r}?"
            raise BadInput(f"no trial in {self.root} has this identity", place=f"trial {id!r}", cure=cure)
        return result

    def read_details(self, id: str, digest: str) -> dict[str, Any]:
        """Return the details with this sha256 as plain data. Raises ValueError if missing or damaged."""
        data = read_bytes(self.find_details_path(id, digest))
        if data is None or hashlib.sha256(data).hexdigest() != digest:
            raise ValueError("there are no such details")
        details: dict[str, Any] = json.loads(data)
        return details

    def find_trial_files(self, id: str) -> tuple[Path, Path]:
        """Return the paths of a trial's two files. Raises BadInput if the first is missing."""
        path = self.find_result_path(id)
        return path, self.find_details_path(id, unseal(read_required(path))["details"])

    def _read_file(self, id: str, *, details: bool) -> Result | None:
        path = self.find_result_path(id)
        if (data := read_bytes(path)) is None:
            return None
        fault = "damaged"
        try:
            body = unseal(data)
            require(
                body["format"] == RESULT_FORMAT,
                f"has format {body['format']}, and this version of unrolled reads {RESULT_FORMAT}",
                place=path,
                cure="choose another results folder, or the version that wrote it",
            )
            fields = body["result"]
            if details:
                fault = "its details are damaged or missing"
                fields |= self.read_details(id, body["details"])
            witnesses = {name: self._intern(value) for name, value in fields["witnesses"].items()}
            fields |= {"witnesses": witnesses, "provenance": self._intern(fields["provenance"])}
            for name in ("metrics", "fingerprints", "curves"):  # thousands of results have the same names
                fields |= {name: {sys.intern(key): value for key, value in fields.get(name, {}).items()}}
            fields["trial"] = {key: self._intern(setting) for key, setting in fields["trial"].items()}
            result = Result.from_dict(fields)
            if result.trial.id != id:
                raise ValueError("holds another trial")
        except BadInput:
            raise
        except MALFORMED_DATA_ERRORS:
            self.set_aside(path, data, f"{fault}, so it counts as missing")
            return None
        return result

    def _intern(self, part: Any) -> Any:
        """Return an equal object that an earlier result has, which saves memory: most results share parts."""
        return self._parts.setdefault(repr(part), part)

    @contextmanager
    def lock_study(self, study: str, *, alone: bool = False) -> Iterator[None]:
        """Lock a study, so that one process at a time runs it; `alone` lets no other study run beside it.

        Raises BadInput, naming the other process.
        """
        name = hashlib.sha256(study.encode()).hexdigest()[:16]
        refusal = "costs are measured alone, and another study of this ledger is being run"
        with (
            self._lock_file("ledger", fcntl.LOCK_EX, refusal) if alone else self.lock_out_measuring(),
            self._lock_file(name, fcntl.LOCK_EX, f"study {study!r} is already being run"),
        ):
            self._sweep_drafts()
            yield

    @contextmanager
    def lock_out_measuring(self) -> Iterator[None]:
        """Lock the ledger, so that no study of it that judges a cost is run. Raises BadInput if one is."""
        refusal = "a study that judges a cost is being run, or old results are being removed,"
        with self._lock_file("ledger", fcntl.LOCK_SH, refusal):
            yield

    @contextmanager
    def lock_chain(self, chain: str) -> Iterator[None]:
        """Lock a chain of proposals, so that only one process at a time judges one. Raises BadInput."""
        name = hashlib.sha256(f"chain {chain}".encode()).hexdigest()[:16]
        with self._lock_file(name, fcntl.LOCK_EX, f"chain {chain!r} is judging another proposal"):
            yield

    @contextmanager
    def lock_all(self) -> Iterator[None]:
        """Lock the ledger, so that no process runs a study of it. Raises BadInput if one does."""
        with self._lock_file("ledger", fcntl.LOCK_EX, "a study of this ledger is being run"):
            self._sweep_drafts()
            yield

    def _sweep_drafts(self) -> None:
        """Remove half-written results, plans and checkpoints of killed processes."""
        remove_abandoned_drafts(self.root.rglob(f".*{PARTIAL}"))

    @contextmanager
    def _lock_file(self, name: str, mode: int, refusal: str) -> Iterator[None]:
        """Hold a lock file, alone (LOCK_EX, which writes this process's id into it) or with others (LOCK_SH).

        Raises BadInput with `refusal` and the id of the process that holds it.
        """
        path = self.root / "locks" / f"{name}.lock"
        make_output_folder(self.root)
        with explain_file_errors(path):
            make_folder(path.parent)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
                process = f" by process {holder}" if holder else ""
                raise BadInput(
                    f"{refusal}{process}", cure=f"wait for it to end or stop it (lock: {path})"
                ) from None
            with explain_file_errors(path):
                os.ftruncate(descriptor, 0)  # discard the content of the process that held the lock before
                if mode == fcntl.LOCK_EX:
                    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)  # also frees the lock; the file stays, as removing it would race

    def set_aside(self, path: Path, data: bytes, reason: str) -> None:
        """Move a damaged file to the folder set-aside, where it can be inspected and no longer counts."""
        target = self.root / "set-aside" / f"{path.stem}-{hashlib.sha256(data).hexdigest()[:8]}.json"
        try:
            make_folder(target.parent)
            path.replace(target)
        except OSError as error:
            self.warn(f"{path}: {reason}; it could not be moved ({error.strerror})")
        else:
            self.warn(f"{path}: {reason}; moved to {target}")


def read_bytes(path: Path) -> bytes | None:
    """Return a file's bytes, or None if there is no file. Raises BadInput if it cannot be read."""
    return _read_path(path, Path.read_bytes)


def list_folder(folder: Path, pattern: str = "*") -> list[Path]:
    """Return the paths in a folder whose names fit, sorted; [] if there is no folder.

    Raises BadInput for a folder that cannot be read, in which `Path.glob` finds nothing.
    """
    names = _read_path(folder, os.listdir) or []
    return sorted(folder / name for name in fnmatch.filter(names, pattern))


def _read_path(path: Path, read: Callable[[Path], Content]) -> Content | None:
    try:
        return read(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", place=path, cure="make it readable") from error


def read_required(path: Path) -> bytes:
    """Return a file's bytes. Raises BadInput if it is missing or cannot be read."""
    data = read_bytes(path)
    if data is None:
        raise BadInput("there is no such file", place=path, cure="see that its path is right")
    return data


@contextmanager
def explain_misread(path: Path, rule: str, cure: str) -> Iterator[None]:
    """Turn one of MALFORMED_DATA_ERRORS inside the block into a BadInput that names the file."""
    try:
        yield
    except BadInput:
        raise
    except MALFORMED_DATA_ERRORS as error:
        raise BadInput(rule, place=path, cure=cure) from error


def seal(body: Mapping[str, Any]) -> bytes:
    """Return one line of canonical JSON that ends with a checksum of its content."""
    return _add_checksum(canonical_json(body))


def unseal(data: bytes) -> dict[str, Any]:
    """Return the content of a sealed line. Raises ValueError if any byte has changed."""
    content = data[:-_CHECKSUM_BYTES].removesuffix(b",") + b"}"
    if _add_checksum(content) != data:
        raise ValueError("the bytes differ from those that were sealed")
    body: dict[str, Any] = json.loads(content)
    return body


def _add_checksum(content: bytes) -> bytes:
    head = b"{" if content == b"{}" else content[:-1] + b","
    return head + f'"sha256":"{hashlib.sha256(content).hexdigest()}"}}\n'.encode()


_CHECKSUM_BYTES = len(_add_checksum(b"{}")) - 1  # bytes of a checksum at the end of a file
