"""Where the files of a program are, and how the identity names them."""

import os
from dataclasses import dataclass
from pathlib import Path

from unrolled.bench.errors import require
from unrolled.bench.program.checkout import Checkout

STUDY = "{study}"
"""How the names of files begin that lie in the folder of the study's file and not in the program's."""


@dataclass(frozen=True)
class Places:
    """The folder in which a program runs, that of its study's file, and the checkout that it is of.

    `import_roots` are folders of the checkout, by their paths from its root, in which Python looks for
    packages that are installed from the user's work tree.
    """

    folder: Path
    study: Path
    checkout: Checkout | None = None
    import_roots: tuple[str, ...] = ()

    def name(self, path: Path, otherwise: str = "") -> str:
        """The name of a file, which is the same wherever the folders are.

        It is relative to the inner one of the two folders, or `otherwise`.
        """
        study_is_inner = self.study != self.folder and self.study.is_relative_to(self.folder)
        in_study = path.is_relative_to(self.study)
        if path.is_relative_to(self.folder) and not (in_study and study_is_inner):
            return str(path.relative_to(self.folder))
        if in_study:
            return f"{STUDY}/{path.relative_to(self.study)}"
        return otherwise or os.path.relpath(path, self.folder)

    @property
    def python_path(self) -> tuple[Path, ...]:
        """The folders that come first on the path of a commit's Python, after the script's own."""
        if self.checkout is None:
            return ()
        return (self.folder, *(self.checkout.root / root for root in self.import_roots))

    def locate_program(self, word: str) -> str:
        """A word of a command line, or its path in the work tree where that has it.

        It does if the word names a program of a virtual environment, which no commit has.
        """
        original = self.checkout and self.checkout.original
        if not original or "/" not in word or (self.folder / word).exists():
            return word
        path = Path(os.path.normpath(original / word))
        environment = path.parent.parent
        is_environment = (environment / "pyvenv.cfg").exists() or (environment / "conda-meta").is_dir()
        return str(path) if is_environment and os.access(path, os.X_OK) else word

    def import_root(self, name: str, path: Path) -> str:
        """The folder of the checkout from which to import a package that is installed from the work tree.

        `name` and `path` are those of a file of the package; "" for one that lies elsewhere. Raises BadInput
        where the commit does not have it.
        """
        if ":" not in name or self.checkout is None or not self.checkout.is_users_own(path):
            return ""
        repository = self.checkout.repository
        assert repository is not None
        inside = name.partition(":")[2]
        root = os.path.relpath(str(path).removesuffix(inside), repository)
        require(
            (self.checkout.root / root / inside.partition("/")[0]).exists() and root not in self.import_roots,
            f"is imported from the work tree, {path}, and not from the commit",
            place=f"commit {self.checkout.commit.name!r}" if self.checkout.commit else "",
            key=name.partition(":")[0],
            cure="uninstall it, or name a commit that has it at this place",
        )
        return root

    def refuse_work_tree(self, name: str, path: Path) -> None:
        """Raise BadInput for a file that a wrapper in the study's folder imports from the work tree.

        Python looks first in the folder of the wrapper. If that is the program's own folder in the work tree,
        it finds the program's files there, and not those of the commit.
        """
        checkout = self.checkout
        if checkout is None or not name.startswith(f"{STUDY}/") or self.study != checkout.original:
            return
        require(
            not (self.folder / name.removeprefix(f"{STUDY}/")).exists(),
            "is imported from the work tree, and not from the commit",
            place=f"commit {checkout.commit.name!r}" if checkout.commit else "",
            key=str(path),
            cure="move the study and what it starts by {study} into a folder of their own",
        )


def absolute(folder: str) -> Path:
    """The folder from the root, without the dots of a study's path; links stay."""
    return Path(os.path.abspath(folder))  # noqa: PTH100
