"""Two commits of a repository, and what the base decides for both: the study file, `data` and `frozen`."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from unrolled.ablations.study.checkouts import find_place
from unrolled.ablations.study.program_factory import ProgramFactory
from unrolled.ablations.study.study_reader import parse_study, read_study_text
from unrolled.bench.errors import BadInput, require
from unrolled.bench.git.repository import LINK, Commit, Repository, TreeEntry
from unrolled.bench.program.template import split_template
from unrolled.bench.sources.file_selection import match_names

STUDY_FILE = "unrolled.toml"
"""The file of the study of a gate, an audit or a chain by default, at the top of the repository."""


class CommitPair:
    """A base and a head, and the files of both, by their paths in the repository."""

    def __init__(self, repository: Repository, base: Commit, head: Commit) -> None:
        self.repository = repository
        self.base = base
        self.head = head
        self.base_files = repository.list_files(base.tree)
        self.head_files = repository.list_files(head.tree)

    def find_edits(self, patterns: Iterable[str]) -> dict[str, TreeEntry | None]:
        """Return the files that match and differ between the two commits: name → the base's version, or None.

        None stands for a file that the base lacks.
        """
        names = sorted({*self.base_files, *self.head_files})
        matches = {name for pattern in patterns for name in match_names(names, pattern)}
        edited = [name for name in sorted(matches) if self.base_files.get(name) != self.head_files.get(name)]
        return {name: self.base_files.get(name) for name in edited}

    def describe_edit(self, name: str) -> str:
        """Return the name of an edited file: "train.py", "new.py (added)", "old.py (deleted)"."""
        if name not in self.base_files:
            return f"{name} (added)"
        return name if name in self.head_files else f"{name} (deleted)"


def list_base_patterns(factory: ProgramFactory, study_place: str | None, pair: CommitPair) -> list[str]:
    """Return patterns of the files that are taken from the base for both commits.

    They are `data`, `frozen` and the files of {study}, by their paths from the repository's top. A frozen
    train.py also covers train/ and train.*, which Python might import in its place. Raises BadInput for a
    frozen file that is in neither commit.
    """
    table = factory.table
    place = find_place(table, pair.repository)
    frozen = [os.path.normpath(f"{place}/{pattern}".lstrip("/")) for pattern in table.frozen]
    for pattern in frozen:
        names = match_names([*pair.base_files, *pair.head_files], pattern)
        require(names, "no file of the two commits matches", key=f"frozen: {pattern!r}", cure="correct it")
    modules = [pattern.removesuffix(".py") for pattern in frozen if pattern.endswith(".py")]
    patterns = [*frozen, *modules, *(f"{module}.*" for module in modules)]
    patterns += [os.path.normpath(f"{place}/{pattern}".lstrip("/")) for pattern in table.data]
    if study_place is not None and "{study}" in table.run:
        words = [word.partition("{study}/")[2] for word in split_template(table.run) if "{study}/" in word]
        names = [os.path.normpath(f"{study_place}/{word}".lstrip("/")) for word in words]
        program_files = [name for name in names if not place or name.startswith(f"{place}/")]
        require(
            not program_files,
            "is a file of the program's own folder",
            key=f"run: {{study}}/{', '.join(program_files)}",
            cure="name it without {study}, and in `frozen` if the base decides it",
        )
        has_program = not study_place or place == study_place or place.startswith(f"{study_place}/")
        patterns += names if has_program else [study_place]
    return patterns


def find_program_folder(path: str) -> Path:
    """Return the folder whose repository has the program, as the study's file in the work tree says.

    If the file is missing or has a mistake, return the folder of the file. The study itself is read later,
    from the base.
    """
    folder = Path(path).parent
    with suppress(BadInput):
        program = parse_study(read_study_text(path)[1]).program
        return folder / program.repository if program else folder
    return folder


def find_file_place(path: Path, repository: Repository) -> str:
    """Return the path of a file from the repository's top; "" if it lies outside."""
    folder = repository.find_subfolder(path.parent)
    return "" if folder is None else f"{folder}/{path.name}".lstrip("/")


def read_study_at(path: Path, repository: Repository, commit: Commit) -> str:
    """Return the text of a study's file in a commit or, if the commit lacks the file, its present text."""
    place = find_file_place(path, repository)
    entry = repository.list_files(commit.tree).get(place)
    if entry is None:
        return read_study_text(str(path))[1]
    require(entry.mode != LINK, "is a link", place=place, cure="name the file that it leads to")
    return repository.read_file(entry).decode("utf-8-sig", errors="replace")
