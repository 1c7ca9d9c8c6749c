"""Checkouts: the files of a commit in a folder of their own, where a study's program runs.

    results/commits/3f2a…/               the files of the commit with this tree
    results/commits/3f2a…-9c1e07d2/      the same, with links to data that git does not have

A checkout is named by its tree, so that commits with the same files share one, and by the files that a study
names in `data`, so that no program reads what its study does not name.
"""

import hashlib
import os
import shutil
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from unrolled.bench.errors import BadInput, require
from unrolled.bench.files import PARTIAL, explaining_errors, make_folder
from unrolled.bench.program.files import files_of
from unrolled.bench.program.repository import GITLINK, Commit, Repository, find_pointers
from unrolled.bench.trial import canonical

WRITTEN = 946_684_800  # unix seconds: the time that every file of a checkout has, until someone edits it


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """The files of a commit.

    `place` is the program's folder in `root`, and in the repository; `tracked` are the files that git has
    below it, by their paths from there. `repository` is the top of the user's work tree; None where that is
    not at hand, as for the files of a bundle.
    """

    root: Path
    place: str = ""
    tracked: tuple[str, ...] = ()
    commit: Commit | None = None
    repository: Path | None = None

    @property
    def folder(self) -> Path:
        """The program's folder in the checkout."""
        return self.root / self.place

    @property
    def original(self) -> Path | None:
        """The program's folder in the user's work tree."""
        return self.repository and self.repository / self.place

    def is_users_own(self, path: Path) -> bool:
        """Return True for a file of the user's work tree, which is not that of the commit."""
        inside = self.repository is not None and path.is_relative_to(self.repository)
        return inside and not path.is_relative_to(self.root)


def check_out(
    repository: Repository, commit: Commit, checkouts: Path, place: str, data: Sequence[str]
) -> Checkout:
    """Write the files of a commit into a folder below `checkouts`, unless they are there.

    `place` is the program's folder in the repository, and `data` are patterns of files below it, of which
    those that git does not have are linked. Raises BadInput for a folder that the commit does not have, for a
    submodule and a pointer of Git LFS, and where git or the disk refuses.
    """
    files = repository.list_files(commit.tree, place)
    modes = {path: entry.mode for path, entry in files.items()}
    require(
        modes,
        f"has no folder {place}" if place else "has no file",
        place=f"commit {commit.name!r}",
        cure="name a later commit, or the folder of the program: `folder` in [program]",
    )
    matches = _match_data(repository.root, place, data)
    links = {name: path for name, path in matches.items() if name not in modes}
    stored = [
        name for name in matches if name in modes and name not in find_pointers(repository.root, [name])
    ]
    if stored:  # a pointer of Git LFS, where the work tree has the file, is none of the commit's files
        plain = _make_checkout(repository, commit.tree, checkouts.absolute() / commit.tree)
        links |= {name: matches[name] for name in find_pointers(plain, stored)}
    mark = hashlib.sha256(canonical({link: str(path) for link, path in links.items()})).hexdigest()[:8]
    folder = f"{commit.tree}-{mark}" if links else commit.tree
    root = _make_checkout(repository, commit.tree, checkouts.absolute() / folder)
    _refuse_missing_files(commit, root, modes, links)
    _link_files(root, links)
    tracked = [os.path.relpath(path, place or ".") for path, mode in modes.items() if mode != GITLINK]
    return Checkout(root=root, place=place, tracked=tuple(tracked), commit=commit, repository=repository.root)


def _match_data(repository: Path, place: str, data: Sequence[str]) -> dict[str, Path]:
    """The files of the work tree that match `data`, by their paths in it.

    Raises BadInput for a relative pattern that leads out of the repository.
    """
    matches: dict[str, Path] = {}
    for pattern in data:
        with suppress(BadInput):  # all that match may be files of the commit: the checkout will tell
            for name, path in files_of(repository / place, [pattern]).items():
                if Path(name).is_absolute():
                    continue
                inside = path.is_relative_to(repository)
                matches[os.path.relpath(path, repository) if inside else name] = path
    for name, path in matches.items():
        rule, cure = "lies outside of the repository", "name it by its absolute path"
        require(path.is_relative_to(repository), rule, key=f"data: {name}", cure=cure)
    return matches


def _make_checkout(repository: Repository, tree: str, checkout: Path) -> Path:
    """Write the files of a tree into a folder, which is returned.

    Of one that is there already, files that are missing or were edited are restored.
    """
    paths = [path for path, entry in repository.list_files(tree).items() if entry.mode != GITLINK]
    if checkout.is_dir() and all(_is_intact(checkout / path) for path in paths):
        return checkout
    draft = checkout.with_name(f".{checkout.name}.{os.getpid()}.{threading.get_ident()}{PARTIAL}")
    try:
        with explaining_errors(checkout):
            make_folder(draft)
            repository.write_files(tree, draft)
            for path in paths:
                os.utime(draft / path, (WRITTEN, WRITTEN), follow_symlinks=False)
            _move_into_place(draft, checkout, paths)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return checkout


def _refuse_missing_files(
    commit: Commit, root: Path, modes: Mapping[str, str], links: Mapping[str, Path]
) -> None:
    """Raise BadInput for a submodule or a pointer of Git LFS, whose content a checkout lacks."""
    place = f"commit {commit.name!r}"
    for path, mode in modes.items():
        rule, cure = "is a submodule, of which a commit has no files", "copy its files into the repository"
        require(mode != GITLINK, rule, place=place, key=path, cure=cure)
    for path in find_pointers(root, [path for path in modes if path not in links]):
        rule, cure = (
            "is a pointer of Git LFS, and not the file",
            "fetch it (git lfs pull) and name it in `data`",
        )
        raise BadInput(rule, place=place, key=path, cure=cure)


def _link_files(root: Path, links: Mapping[str, Path]) -> None:
    """Link files, by their paths in the checkout; a link stands in a pointer's place."""
    for name, target in links.items():
        link = root / name
        with explaining_errors(link):
            make_folder(link.parent)
            if not link.is_symlink() or link.readlink() != target:
                draft = link.with_name(f".{link.name}.{os.getpid()}.{threading.get_ident()}{PARTIAL}")
                draft.symlink_to(target)
                draft.replace(link)


def _is_intact(path: Path) -> bool:
    """Return True for a file that is there as it was written, and for a link that stands in its place."""
    try:
        return path.is_symlink() or path.lstat().st_mtime == WRITTEN
    except OSError:
        return False


def _move_into_place(draft: Path, checkout: Path, paths: Iterable[str]) -> None:
    """Rename a draft to the checkout or, if that is there, move the files that it lacks or that differ."""
    with suppress(OSError):  # it is there
        draft.rename(checkout)
        return
    for path in paths:
        if not _is_intact(checkout / path):
            (checkout / path).parent.mkdir(parents=True, exist_ok=True)
            (draft / path).replace(checkout / path)
