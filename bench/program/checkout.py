"""Checkouts: the files of a commit in a folder of their own, where a study's program runs.

    results/commits/3f2a…/            the files of the commit with this tree
    results/commits/3f2a…/data/x.txt  a link to a file that git does not have, which a study names in `data`

A checkout is named by its tree, so that commits with the same files share one.
"""

import os
import shutil
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from unrolled.bench.errors import BadInput, require
from unrolled.bench.files import PARTIAL, explaining_errors, make_folder
from unrolled.bench.program.repository import GITLINK, Commit, Repository, find_pointers

WRITTEN = 946_684_800  # unix seconds: the time that every file of a checkout has, until someone edits it


def make_checkout(repository: Repository, commit: Commit, folder: Path) -> Path:
    """Write the files of a commit into a folder below `folder`, and return that.

    Of one that is there already, files that are missing or were edited are restored. Raises BadInput where
    git or the disk refuses.
    """
    checkout = folder / commit.tree
    modes = repository.list_modes(commit.tree)
    paths = [path for path, mode in modes.items() if mode != GITLINK]
    if all(_is_as_written(checkout / path) for path in paths):
        return checkout
    draft = checkout.with_name(f".{commit.tree}.{os.getpid()}.{threading.get_ident()}{PARTIAL}")
    try:
        with explaining_errors(checkout):
            make_folder(draft)
            repository.write_files(commit.tree, draft)
            for path in paths:
                os.utime(draft / path, (WRITTEN, WRITTEN), follow_symlinks=False)
            _move_into_place(draft, checkout, paths)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return checkout


def refuse_missing_files(
    repository: Repository, commit: Commit, checkout: Path, folder: str, linked: Iterable[str]
) -> None:
    """Raise BadInput for a submodule or a pointer of Git LFS below a folder, whose content a checkout lacks.

    `linked` are files that a study names in `data`: what they link to stands in a pointer's place.
    """
    modes = repository.list_modes(commit.tree, folder)
    for path, mode in modes.items():
        require(
            mode != GITLINK,
            "is a submodule, of which a commit has no files",
            place=f"commit {commit.name!r}",
            key=path,
            cure="copy its files into the repository, or name them in `data`",
        )
    pointers = set(find_pointers(checkout, list(modes))) - set(linked)
    for path in sorted(pointers):
        raise BadInput(
            "is a pointer of Git LFS, and not the file",
            place=f"commit {commit.name!r}",
            key=path,
            cure="name it in `data`, which links the file of the work tree",
        )


def link_data(source: Path, target: Path, paths: Iterable[str], tracked: Iterable[str]) -> None:
    """Link data files, by their paths from `source`, at the same places below `target`, the program's folder.

    A file that the commit has itself stays, but for a pointer of Git LFS.
    """
    kept = set(tracked) - set(find_pointers(target, list(tracked)))
    for path in paths:
        link = target / path
        if path in kept or Path(path).is_absolute():
            continue
        with explaining_errors(link):
            make_folder(link.parent)
            if not link.is_symlink() or link.readlink() != source / path:
                draft = link.with_name(f".{link.name}.{os.getpid()}.{threading.get_ident()}{PARTIAL}")
                draft.symlink_to(source / path)
                draft.replace(link)


def _is_as_written(path: Path) -> bool:
    try:
        return path.lstat().st_mtime == WRITTEN
    except OSError:
        return False


def _move_into_place(draft: Path, checkout: Path, paths: Iterable[str]) -> None:
    """Rename a draft to the checkout or, if that is there, move the files that it lacks or that differ."""
    with suppress(OSError):  # it is there
        draft.rename(checkout)
        return
    for path in paths:
        if not _is_as_written(checkout / path):
            (checkout / path).parent.mkdir(parents=True, exist_ok=True)
            (draft / path).replace(checkout / path)
