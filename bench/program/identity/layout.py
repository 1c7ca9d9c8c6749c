"""Where the files of a program are, and how the identity names them."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from unrolled.bench.errors import require
from unrolled.bench.git.checkout import Checkout

STUDY_PREFIX = "{study}"
"""The first part of the name of a file that lies in the study's folder: "{study}/train.py"."""


@dataclass(frozen=True)
class Layout:
    """Where a program is: `folder`, in which it runs, and `study_folder`, which has its study's file.

    A commit's `folder` lies in `checkout`. `import_roots` are folders of the checkout, by their paths from
    its root. They take the place of the folders from which packages are installed as editable.
    """

    folder: Path
    study_folder: Path
    checkout: Checkout | None = None
    import_roots: tuple[str, ...] = ()

    def name_file(self, path: Path, default: str = "") -> str:
        """Return the name of a file in the identity, which is the same wherever the folders are.

        The name is relative to the program's folder ("model.py") or to the study's ("{study}/train.py"),
        whichever is the inner one. A file in neither has `default`, or else a path from the program's folder.
        """
        study_is_inner = self.study_folder != self.folder and self.study_folder.is_relative_to(self.folder)
        in_study = path.is_relative_to(self.study_folder)
        if path.is_relative_to(self.folder) and not (in_study and study_is_inner):
            return str(path.relative_to(self.folder))
        if in_study:
            return f"{STUDY_PREFIX}/{path.relative_to(self.study_folder)}"
        return default or os.path.relpath(path, self.folder)

    @property
    def work_tree_folder(self) -> Path | None:
        """The program's folder in the user's work tree, if it runs in a checkout."""
        return self.checkout.work_tree_folder if self.checkout else None

    @property
    def python_path(self) -> tuple[Path, ...]:
        """The folders that come first on the path of a commit's Python, after the script's own."""
        if self.checkout is None:
            return ()
        return (self.folder, *(self.checkout.root / root for root in self.import_roots))

    def locate_program(self, word: str) -> str:
        """Return a word of a command line, as a path if it is in a virtual environment of the work tree.

        No commit has the environment: "env/bin/python" → "/home/…/env/bin/python".
        """
        work_tree = self.work_tree_folder
        if work_tree is None or "/" not in word or "\0" in word or (self.folder / word).exists():
            return word
        path = Path(os.path.normpath(work_tree / word))
        environment = path.parent.parent
        is_environment = (environment / "pyvenv.cfg").exists() or (environment / "conda-meta").is_dir()
        return str(path) if is_environment and os.access(path, os.X_OK) else word

    def find_import_roots(self, entries: Iterable[str]) -> tuple[str, ...]:
        """Return the folders of the checkout that stand for entries of Python's path in the work tree."""
        if self.checkout is None or self.checkout.repository is None:
            return ()
        repository = self.checkout.repository
        user_paths = [Path(entry) for entry in entries if self.checkout.is_users_own(Path(entry))]
        roots = dict.fromkeys(os.path.relpath(path, repository) for path in user_paths)
        return tuple(root for root in roots if (self.checkout.root / root).is_dir())

    def refuse_work_tree(self, name: str, path: Path, *, is_named: bool) -> None:
        """Raise BadInput for a file or folder of the work tree if the commit has one at the same place.

        `is_named` is true if the command line or a pattern names it. A file in the study's folder is refused
        if the program's folder has a file of the same name.
        """
        checkout = self.checkout
        if checkout is None:
            return
        in_study = name.startswith(f"{STUDY_PREFIX}/")
        if in_study:
            is_foreign = (self.folder / name.removeprefix(f"{STUDY_PREFIX}/")).exists()
            cure = "move the study and what it starts by {study} into a folder of their own"
        elif ":" in name and not is_named:  # a file of an installed package
            is_foreign = checkout.is_users_own(path) and "site-packages" not in path.parts
            cure = "uninstall it from the work tree, or name a commit that has it at this place"
        else:
            is_foreign = checkout.has_at_same_place(Path(os.path.realpath(path)))
            cure = "name it from the program's folder"
        require(
            not is_foreign,
            "belongs to the work tree, and not to the commit",
            place=f"commit {checkout.commit.name!r}" if checkout.commit else "",
            key=str(path),
            cure=cure,
        )

    @property
    def separate_study_folder(self) -> Path | None:
        """The study's folder; None if it is the program's folder in the work tree, or a folder above that."""
        if self.work_tree_folder and self.work_tree_folder.is_relative_to(self.study_folder):
            return None
        return self.study_folder


def make_absolute_folder(folder: str) -> Path:
    """Return the absolute path of a folder, without the dots of a study's path. Links stay."""
    return Path(os.path.abspath(folder))  # noqa: PTH100
