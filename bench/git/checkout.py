"""Checkouts: the files of a commit in a folder of their own, where a study's program runs.

    commits/3f2a…/              the files of the commit with this tree
    commits/3f2a….made          when they were written
    commits/3f2a…-9c1e07d2/     the same, with links to data that git does not have

The name has the hash of the tree, so that commits with the same files share a checkout. With links it also
has a hash of these, so that a program finds the data that its own study names, and no other.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from unrolled.bench.errors import BadInput, require
from unrolled.bench.files.atomic_files import explain_file_errors, make_draft_path, make_folder, save_file
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.git.repository import (
    EXECUTABLE,
    GITLINK,
    LINK,
    POINTER,
    Commit,
    Repository,
    TreeEntry,
    is_pointer,
)
from unrolled.bench.program.at_start.sitecustomize import CHECKOUT_MTIME
from unrolled.bench.sources.file_selection import match_files

MODULE_SUFFIXES = (".py", ".pth", ".pyc", ".pyd", ".so")
"""Suffixes of files that Python would import."""


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """The files of a commit, written into the folder `root`.

    `subfolder` is the program's folder, by its path from `root`. `tracked` are the files that git tracks
    below it, by their paths from there. `file_modes` has those that are links or executable: ("run.sh",
    "executable"), ("a.txt", "link to b.txt"). `repository` is the top of the user's work tree; None if there
    is none, as for the files of a bundle.
    """

    root: Path
    subfolder: str = ""
    tracked: tuple[str, ...] = ()
    file_modes: tuple[tuple[str, str], ...] = ()
    commit: Commit | None = None
    repository: Path | None = None

    @property
    def folder(self) -> Path:
        """The program's folder in the checkout."""
        return self.root / self.subfolder

    @property
    def work_tree_folder(self) -> Path | None:
        """The program's folder in the user's work tree."""
        return self.repository and self.repository / self.subfolder

    def is_users_own(self, path: Path) -> bool:
        """Return True for a path in the user's work tree, or in another checkout beside this one."""
        is_in_work_tree = self.repository is not None and path.is_relative_to(self.repository)
        is_in_other_checkout = self.commit is not None and path.is_relative_to(self.root.parent)
        return (is_in_work_tree or is_in_other_checkout) and not path.is_relative_to(self.root)

    def has_at_same_place(self, path: Path) -> bool:
        """Return True for a user's own path that has a counterpart: the commit has a file at the same place.

        A path in another checkout counts as having one.
        """
        if self.repository is None or not self.is_users_own(path) or not path.is_relative_to(self.repository):
            return self.is_users_own(path)
        return os.path.lexists(self.root / path.relative_to(self.repository))


def check_out(
    repository: Repository,
    commit: Commit,
    checkouts: Path,
    subfolder: str,
    data: Sequence[str],
    tracked_elsewhere: Collection[str] = (),
) -> Checkout:
    """Write the files of a commit into a folder below `checkouts`, unless they are there.

    `subfolder` is the program's folder in the repository. `data` are patterns of files below it. A file of
    the work tree that matches is linked into the checkout if it is neither in this commit nor among the names
    `tracked_elsewhere`. Raises BadInput for a folder that the commit lacks, for a submodule or a pointer of
    Git LFS, and if git or the disk refuses.
    """
    files = repository.list_files(commit.tree)
    program_files = _select_program_files(commit, files, subfolder)
    links = _find_links(repository, commit, subfolder, data, files, tracked_elsewhere)
    mark = hashlib.sha256(canonical_json({link: str(path) for link, path in links.items()})).hexdigest()[:8]
    root = checkouts.absolute() / (f"{commit.tree}-{mark}" if links else commit.tree)
    _make_checkout(repository, commit.tree, root, files)
    _refuse_pointers(commit, root, [path for path in program_files if path not in links])
    _link_files(root, links)
    tracked = [os.path.relpath(path, subfolder or ".") for path in program_files]
    return Checkout(
        root=root,
        subfolder=subfolder,
        tracked=tuple(tracked),
        file_modes=_list_file_modes(root, subfolder, program_files),
        commit=commit,
        repository=repository.root,
    )


def _select_program_files(
    commit: Commit, files: Mapping[str, TreeEntry], subfolder: str
) -> dict[str, TreeEntry]:
    """Return the files of a commit below a folder. Raises BadInput if there are none, and for a submodule."""
    program_files = {
        path: entry for path, entry in files.items() if not subfolder or path.startswith(f"{subfolder}/")
    }
    place = f"commit {commit.name!r}"
    rule = f"has no folder {subfolder}" if subfolder else "has no file"
    cure = "name a later commit, or the folder of the program: `folder` in [program]"
    require(program_files, rule, place=place, cure=cure)
    for path, entry in program_files.items():
        rule = "is a submodule, of which a commit has no files"
        require(entry.mode != GITLINK, rule, place=place, key=path, cure="copy its files into the repository")
    return program_files


def _list_file_modes(
    root: Path, subfolder: str, files: Mapping[str, TreeEntry]
) -> tuple[tuple[str, str], ...]:
    """Return the `file_modes` of a Checkout, by the paths of the files from `subfolder`."""
    modes = []
    for path, entry in files.items():
        name = os.path.relpath(path, subfolder or ".")
        if entry.mode == LINK:
            modes.append((name, f"link to {(root / path).readlink()}"))
        elif entry.mode == EXECUTABLE:
            modes.append((name, "executable"))
    return tuple(modes)


def _find_links(
    repository: Repository,
    commit: Commit,
    subfolder: str,
    data: Sequence[str],
    files: Mapping[str, TreeEntry],
    tracked_elsewhere: Collection[str],
) -> dict[str, Path]:
    """Return the files of the work tree that a checkout links to, by their paths in it: see `check_out`.

    If the commit has a pointer of Git LFS, the file is linked if it has the content that the pointer names.
    Raises BadInput if it has other content, and for a pattern that leads out of the repository.
    """
    matches: dict[str, Path] = {}
    for pattern in data:
        with suppress(BadInput):  # all matching files may be in the commit; the checkout reports it otherwise
            names = match_files(repository.root / subfolder, [pattern])
            matches |= {name: path for name, path in names.items() if not Path(name).is_absolute()}
    links: dict[str, Path] = {}
    folders = {path for path, entry in files.items() if entry.mode == LINK}
    for name, path in matches.items():
        if not path.is_relative_to(repository.root):
            rule = "lies outside of the repository"
            raise BadInput(rule, key=f"data: {name}", cure="name it by its absolute path")
        relative_path = path.relative_to(repository.root)
        # the path may lie behind a link that git tracks
        if any(parent.as_posix() in folders for parent in relative_path.parents):
            real = Path(os.path.realpath(path))
            if not real.is_relative_to(repository.root):
                continue  # the link in the checkout leads there, too
            relative_path = real.relative_to(repository.root)
        name_in_tree = relative_path.as_posix()
        entry = files.get(name_in_tree)
        if entry is None:
            is_linked = name_in_tree not in tracked_elsewhere
        else:
            is_linked = _is_file_of_pointer(commit, name_in_tree, repository.read_file(entry), path)
        if is_linked:
            links[name_in_tree] = path
    return links


def _is_file_of_pointer(commit: Commit, name: str, pointer: bytes, path: Path) -> bool:
    """Return True if the commit has a pointer of Git LFS, and the work tree the file that it stands for.

    Raises BadInput if the file in the work tree has other content.
    """
    if not pointer.startswith(POINTER) or is_pointer(path):
        return False
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    require(
        f"sha256:{sha256}".encode() in pointer,
        "is stored by Git LFS, and the work tree has another version of it",
        place=f"commit {commit.name!r}",
        key=name,
        cure="name commits that have the same version of it",
    )
    return True


def _refuse_pointers(commit: Commit, root: Path, paths: Sequence[str]) -> None:
    """Raise BadInput for a pointer of Git LFS, whose content a checkout lacks."""
    for path in paths:
        require(
            not is_pointer(root / path),
            "is a pointer of Git LFS, and not the file",
            place=f"commit {commit.name!r}",
            key=path,
            cure="fetch it (git lfs pull) and name it in `data`",
        )


def _make_checkout(repository: Repository, tree: str, checkout: Path, files: Mapping[str, TreeEntry]) -> None:
    """Write the files of a tree into a folder.

    If the folder exists, files that are missing, edited or made executable are restored, and Python files
    that git does not track are removed. The checkout has an empty folder .git: a program that looks for the
    top of its repository finds that, and not the user's repository.
    """
    time_file = checkout.with_name(f"{checkout.name}.made")
    moment = int(time_file.read_bytes()) if time_file.exists() else 0
    paths = [path for path, entry in files.items() if entry.mode != GITLINK]
    _remove_foreign_modules(checkout, paths)
    if moment and all(_is_intact(checkout / path, moment) for path in paths):
        return
    draft = make_draft_path(checkout)
    try:
        with explain_file_errors(checkout):
            make_folder(draft / ".git")
            repository.write_files(tree, draft)
            for path in paths:
                os.utime(draft / path, (CHECKOUT_MTIME, CHECKOUT_MTIME), follow_symlinks=False)
            _move_into_place(draft, checkout, paths, moment)
            save_file(time_file, str(time.time_ns()).encode())
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _remove_foreign_modules(checkout: Path, paths: Iterable[str]) -> None:
    """Remove files that Python would import and git does not have; a program may have written them."""
    tracked = {checkout / path for path in paths}
    for folder, _, names in os.walk(checkout):
        for name in names:
            path = Path(folder, name)
            if path.suffix in MODULE_SUFFIXES and path not in tracked:
                with suppress(OSError):  # another run may remove it at the same time
                    path.unlink()


def _link_files(root: Path, links: Mapping[str, Path]) -> None:
    """Make links, by their paths in the checkout. A pointer of Git LFS is replaced by its link."""
    for name, target in links.items():
        link = root / name
        with explain_file_errors(link):
            make_folder(link.parent)
            if not link.is_symlink() or link.readlink() != target:
                draft = make_draft_path(link)
                draft.symlink_to(target)
                draft.replace(link)


def _is_intact(path: Path, moment: int) -> bool:
    """Return True for a link of data, and for a file not written since `moment`, in nanoseconds.

    The time of the inode's last change also shows an edit that restores the time of modification.
    """
    try:
        state = path.lstat()
    except OSError:
        return False
    is_link_of_data = path.is_symlink() and path.readlink().is_absolute()
    return is_link_of_data or (state.st_mtime == CHECKOUT_MTIME and state.st_ctime_ns <= moment)


def _move_into_place(draft: Path, checkout: Path, paths: Iterable[str], moment: int) -> None:
    """Rename a draft to the checkout or, if that exists, move into it the files that it needs anew."""
    with suppress(OSError):  # the checkout exists already
        draft.rename(checkout)
        return
    for path in paths:
        if not _is_intact(checkout / path, moment):
            (checkout / path).parent.mkdir(parents=True, exist_ok=True)
            (draft / path).replace(checkout / path)
