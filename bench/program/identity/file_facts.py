"""The hash and the imports of each file that counts; a file is read again only if its state has changed."""

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from unrolled.bench.errors import BadInput
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.program.identity.command_line import is_python
from unrolled.bench.sources.identity import read_file_state
from unrolled.bench.sources.imports import UNREADABLE, import_names
from unrolled.bench.trial import FileState

_SETTLED_NS = 2_000_000_000  # an edit within a tick of a file's times would be missed; some disks tick in 2 s


class FileFacts(NamedTuple):
    """The hash and the imports of a file, and its state before it was read."""

    path: Path
    state: FileState
    is_settled: bool  # whether any later edit changes the state, as the last edit is not too recent
    sha256: str
    imports: tuple[str, ...] | None  # modules that a Python source imports; None if it cannot be read


_FACTS: dict[Path, FileFacts] = {}


def inspect_file(path: Path) -> FileFacts:
    """Return the hash and the imports of a file, without reading it again if its state is the same.

    Raises BadInput if it cannot be read.
    """
    state = read_file_state(path)
    facts = _FACTS.get(path)
    if facts is not None and facts.is_settled and facts.state == state:
        return facts
    is_settled = bool(state) and time.time_ns() - max(state[2:]) > _SETTLED_NS
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        imports = _read_imports(path)
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", place=path, cure="make it readable") from error
    facts = _FACTS[path] = FileFacts(path, state, is_settled, sha256, imports)
    return facts


def _read_imports(path: Path) -> tuple[str, ...] | None:
    """Return the modules that a file imports, relative ones with dots; None for Python with a mistake."""
    if not is_python(path):
        return ()
    try:
        return tuple(dict.fromkeys(import_names(path.read_bytes())))
    except UNREADABLE:
        return None


def inspect_files(files: Mapping[str, Path]) -> dict[str, FileFacts]:
    """Return the facts of each file, by its name."""
    return {name: inspect_file(path) for name, path in files.items()}


def remember_facts(facts: Iterable[FileFacts]) -> None:
    """Keep the facts that another process has read."""
    for file_facts in facts:
        _FACTS.setdefault(file_facts.path, file_facts)


def hash_files(files: Mapping[str, FileFacts], file_modes: Sequence[tuple[str, str]] = ()) -> str:
    """Return the sha256 of names and contents, and of the modes of links and executable files."""
    content: object = {name: facts.sha256 for name, facts in files.items()}
    return hashlib.sha256(canonical_json([content, file_modes] if file_modes else content)).hexdigest()
