"""A git repository that is only read: its commits, its work tree, and copies of their files elsewhere.

Nothing is written into it: no index, branch, hook, stash or work tree entry. What git has to write goes
elsewhere: an index to a temporary file, the objects of a work tree that is not committed to a folder of ours
(see GIT_INDEX_FILE and GIT_OBJECT_DIRECTORY in `git help git`).
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from unrolled.bench.errors import BadInput, require, suggestion
from unrolled.bench.files import make_folder
from unrolled.bench.git import run_git
from unrolled.bench.program.files import Exclusions

WORK_TREE = "worktree"
"""The name of the files as they are now: those that git tracks, and new ones that it does not ignore.

What Unrolled and MLflow write, and studies, are not among the new ones.
"""

_NO_LFS = {f"filter.lfs.{name}": "" for name in ("process", "smudge", "clean")} | {
    "filter.lfs.required": "false"
}
"""Git LFS would download: what it stores as pointers stays one, and `find_pointers` finds them."""

POINTER = b"version https://git-lfs.github.com/spec/"
_POINTER_BYTES = 1024  # a pointer is shorter

# the modes of a submodule, a link and an executable file in a tree
GITLINK = "160000"
LINK = "120000"
EXECUTABLE = "100755"

FETCH = "fetch the history: git fetch --unshallow, or fetch-depth: 0 of actions/checkout"
"""The cure where a shallow clone lacks a commit."""


class TreeEntry(NamedTuple):
    """A file of a tree: its mode, and the hash of its content."""

    mode: str
    blob: str


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit, by the name that a study gives it, or the work tree: then `hash` is that of its HEAD."""

    name: str
    hash: str
    tree: str
    subject: str
    author_date: str  # ISO 8601, with the author's time zone

    @property
    def description(self) -> str:
        """Its hash, date and subject, in a line."""
        return "  ".join(filter(None, [self.hash[:10], self.author_date[:10], self.subject]))


@dataclass(frozen=True)
class Repository:
    """A repository.

    `root` is the top of its work tree; of a bare one, the repository itself. `objects` is a folder of ours
    for what the repository does not have, the files of a work tree that is not committed.
    """

    root: Path
    objects: Path

    @classmethod
    def containing(cls, folder: Path, objects: Path) -> "Repository":
        """Return the repository that a folder lies in.

        Raises BadInput without git, outside of a repository, and in one that git refuses to read because it
        belongs to another user.
        """
        cure = "name one that is there: `repository` and `folder` in [program]"
        require(folder.is_dir(), "there is no such folder", place=str(folder), cure=cure)
        bare = run_git(folder, "rev-parse", "--is-bare-repository").strip() == b"true"
        words = ("--absolute-git-dir",) if bare else ("--show-toplevel",)
        root = os.fsdecode(run_git(folder, "rev-parse", *words).rstrip(b"\n"))
        return cls(Path(root), objects.absolute())

    def resolve(self, name: str) -> Commit:
        """Return the commit of a name: a hash, branch, tag, "HEAD~3" … or "worktree".

        Raises BadInput for a name that git does not know, with the nearest branch or tag.
        """
        if name == WORK_TREE:
            rule = "has no work tree, as it is a bare repository"
            is_bare = not (self.root / ".git").exists()
            require(not is_bare, rule, place=f"repository {self.root}", cure="name a commit")
            return self._record_work_tree()
        words = ("--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        try:
            full = self._git("rev-parse", *words).decode().strip()
        except BadInput as error:
            names = self._git("for-each-ref", "--format=%(refname:short)").decode(errors="replace").split()
            choices = [choice for choice in (*names, WORK_TREE, "HEAD") if choice != name]
            raise BadInput(
                "names no commit",
                place=f"repository {self.root}",
                key=f"commit {name!r}",
                cure=FETCH if self.is_shallow else suggestion(name, choices),
            ) from error
        tree, date, subject = self._describe(full)
        return Commit(name=name, hash=full, tree=tree, subject=subject, author_date=date)

    def find_merge_base(self, left: str, right: str) -> str:
        """Return the hash of the best common ancestor of two commits, given by their hashes.

        Raises BadInput where there is none, also where a shallow clone lacks it.
        """
        try:
            return self._git("merge-base", left, right).decode().strip()
        except BadInput as error:
            shallow = self.is_shallow
            raise BadInput(
                "have no common ancestor" + (" in this shallow clone" if shallow else ""),
                place=f"repository {self.root}",
                key=f"commits {left} and {right}",
                cure=FETCH if shallow else "name two commits of one history",
            ) from error

    def list_files(self, tree: str) -> dict[str, TreeEntry]:
        """Return the files of a tree, by their paths from the root."""
        listing = self._git("ls-tree", "-r", "-z", "--full-tree", tree)
        entries = [entry.split(b"\t", 1) for entry in listing.split(b"\0") if entry]
        files = {os.fsdecode(path): facts.decode().split() for facts, path in entries}
        return {path: TreeEntry(mode, blob) for path, (mode, _, blob) in files.items()}

    def is_ancestor(self, earlier: str, later: str) -> bool:
        """Return True if a commit is another one or comes before it; False where git has lost one."""
        try:
            return self.find_merge_base(earlier, later) == earlier
        except BadInput:
            return False

    def keep_tree(self, tree: str) -> None:
        """Store the files of a tree among `objects`: git removes what no branch has any more."""
        listing = self._git("ls-tree", "-r", "-t", "-z", "--full-tree", tree)
        facts = [line.split(b"\t", 1)[0].split() for line in listing.split(b"\0") if line]
        hashes = [tree.encode(), *(fact[2] for fact in facts if fact[0] != GITLINK.encode())]
        pack = self.objects / "pack" / "pack"
        make_folder(pack.parent)
        self._git("pack-objects", "--quiet", str(pack), stdin=b"\n".join(hashes) + b"\n")

    def read_file(self, entry: TreeEntry) -> bytes:
        """Return the content of a file of a tree."""
        return self._git("cat-file", "blob", entry.blob)

    def replace_files(self, tree: str, entries: Mapping[str, TreeEntry | None]) -> str:
        """Return a tree with these files in place of its own, and without those that are None."""
        removed = TreeEntry("0", "0" * len(tree))
        lines = []
        for path, entry in entries.items():
            mode, blob = entry or removed
            lines.append(f"{mode} {blob}\t{path}")
        with self._index_of(tree) as index:
            stdin = b"".join(os.fsencode(line) + b"\0" for line in lines)
            self._git("update-index", "-z", "--index-info", index=index, stdin=stdin)
            return self._git("write-tree", index=index).decode().strip()

    @property
    def is_shallow(self) -> bool:
        """True if it is a clone without the whole history."""
        return self._git("rev-parse", "--is-shallow-repository").strip() == b"true"

    def write_files(self, tree: str, folder: Path) -> None:
        """Write the files of a tree into a folder, with git's own conversions.

        Line ends and filters are those of the repository's settings and of the tree's .gitattributes, so that
        a clean work tree yields the files of HEAD. Raises BadInput where git cannot.
        """
        with self._index_of(tree) as index:
            directory = os.fsdecode(self._git("rev-parse", "--absolute-git-dir").rstrip(b"\n"))
            places = (f"--git-dir={directory}", f"--work-tree={folder.absolute()}")
            words = ("checkout-index", "--all", "--force", "--quiet")
            self._git(*places, *words, index=index, folder=folder)

    def _record_work_tree(self) -> Commit:
        """Return the work tree as it is now, and store its files among `objects`.

        The index starts as HEAD's, whose entries keep modes and line ends.
        """
        head = self._git("rev-parse", "--verify", "--quiet", "HEAD^{commit}").decode().strip()
        tree, date, subject = self._describe(head)
        with self._index_of(head) as index:
            committed = self._git("ls-files", "-z", "--cached", index=index)
            staged = self._git("ls-files", "-z", "--cached")
            untracked = self._git("ls-files", "-z", "--others", "--exclude-standard").split(b"\0")
            exclusions = Exclusions(self.root)
            new = [path for path in untracked if not exclusions.has_file(self.root / os.fsdecode(path))]
            paths = {path for path in (*(committed + staged).split(b"\0"), *new) if path}
            paths = {path for path in paths if not path.endswith(b"/")}  # a repository within this one
            words = ("update-index", "--add", "--remove", "--replace", "-z", "--stdin")
            self._git(*words, index=index, stdin=b"\0".join(sorted(paths)) + b"\0")
            new_tree = self._git("write-tree", index=index).decode().strip()
        if new_tree != tree:
            date = ""
            subject = "the files as they are now"
        return Commit(name=WORK_TREE, hash=head, tree=new_tree, subject=subject, author_date=date)

    def _describe(self, full: str) -> tuple[str, str, str]:
        """Tree, author date and subject of a commit."""
        fields = self._git("show", "--no-patch", "--format=%T%x00%aI%x00%s", full).decode(errors="replace")
        tree, date, subject = fields.rstrip("\n").split("\0")
        return tree, date, subject

    @contextmanager
    def _index_of(self, tree: str) -> Iterator[str]:
        """Yield the path of an index of a tree, which is removed at the end of the block."""
        with TemporaryDirectory() as scratch:
            index = f"{scratch}/index"
            self._git("read-tree", tree, index=index)
            yield index

    @cached_property
    def _places(self) -> dict[str, str]:
        """Variables by which git writes objects among ours, and reads the repository's, too."""
        stored = run_git(self.root, "rev-parse", "--path-format=absolute", "--git-path", "objects")
        make_folder(self.objects)
        return {
            "GIT_OBJECT_DIRECTORY": str(self.objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.fsdecode(stored.rstrip(b"\n")),
        }

    def _git(self, *words: str, index: str = "", stdin: bytes = b"", folder: Path | None = None) -> bytes:
        variables = self._places | ({"GIT_INDEX_FILE": index} if index else {})
        return run_git(folder or self.root, *words, settings=_NO_LFS, variables=variables, stdin=stdin)


def find_pointers(folder: Path, paths: Sequence[str]) -> list[str]:
    """Return the files below a folder that are Git LFS's pointers to what is stored elsewhere."""
    pointers = []
    for path in paths:
        file = folder / path
        if file.is_file() and file.stat().st_size < _POINTER_BYTES and file.read_bytes().startswith(POINTER):
            pointers.append(path)
    return pointers
