"""A git repository that is only read: its commits, its work tree, and copies of their files elsewhere.

Nothing is written into it: no index, branch, hook, stash or work tree entry. Files that git has to write go
elsewhere: the index into a temporary file, the objects of an uncommitted work tree into a folder of ours
(see GIT_INDEX_FILE and GIT_OBJECT_DIRECTORY in `git help git`).
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from unrolled.bench.errors import BadInput, require, suggestion
from unrolled.bench.files.atomic_files import make_folder
from unrolled.bench.git.git_command import run_git
from unrolled.bench.sources.file_selection import Exclusions

WORK_TREE = "worktree"
"""The name of the files as they are now: those that git tracks, and untracked ones that it does not ignore.

Files of studies, and files that Unrolled and MLflow write, are left out of the untracked ones.
"""

NO_LFS = {f"filter.lfs.{name}": "" for name in ("process", "smudge", "clean")} | {
    "filter.lfs.required": "false"
}
"""Settings without Git LFS, which would download: its pointers stay pointers, see `is_pointer`."""

POINTER = b"version https://git-lfs.github.com/spec/"
_POINTER_BYTES = 1024  # pointers are shorter

# the modes of a submodule, a link and an executable file in a tree
GITLINK = "160000"
LINK = "120000"
EXECUTABLE = "100755"

FETCH = "fetch the history: git fetch --unshallow, or fetch-depth: 0 of actions/checkout"
"""The cure if a shallow clone lacks a commit."""


class TreeEntry(NamedTuple):
    """A file of a tree: its mode, and the hash of its content."""

    mode: str
    blob: str


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit, with the name that a study gives it. For the work tree, `hash` is that of HEAD."""

    name: str
    hash: str
    tree: str
    subject: str
    author_date: str  # ISO 8601, with the author's time zone

    @property
    def description(self) -> str:
        """Its hash, date and subject, in a line."""
        return "  ".join(filter(None, [self.hash[:10], self.author_date[:10], self.subject]))


@dataclass(frozen=True, kw_only=True)
class LoggedCommit:
    """A commit of a history: the hashes of its parents, and its whole message."""

    commit: Commit
    parents: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class Repository:
    """A repository.

    `root` is the top of its work tree, or the repository itself if that is bare. `objects` is a folder of
    ours for objects that the repository does not have: the files of an uncommitted work tree.
    """

    root: Path
    objects: Path

    @classmethod
    def containing(cls, folder: Path, objects: Path) -> "Repository":
        """Return the repository that a folder lies in.

        Raises BadInput if git is missing, outside of a repository, and in a repository that git refuses to
        read because it belongs to another user.
        """
        cure = "name one that is there: `repository` and `folder` in [program]"
        require(folder.is_dir(), "there is no such folder", place=str(folder), cure=cure)
        bare = run_git(folder, "rev-parse", "--is-bare-repository").strip() == b"true"
        words = ("--absolute-git-dir",) if bare else ("--show-toplevel",)
        root = os.fsdecode(run_git(folder, "rev-parse", *words).rstrip(b"\n"))
        return cls(Path(root), objects.absolute())

    def resolve(self, name: str) -> Commit:
        """Return the commit of a name: a hash, branch, tag, "HEAD~3" … or "worktree".

        Raises BadInput for a name that git does not know, and names the nearest branch or tag.
        """
        if name == WORK_TREE:
            rule = "has no work tree, as it is a bare repository"
            require(not self.is_bare, rule, place=f"repository {self.root}", cure="name a commit")
            return self._record_work_tree()
        words = ("--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        try:
            full = self._git("rev-parse", *words).decode().strip()
        except BadInput as error:
            names = self._git("for-each-ref", "--format=%(refname:short)").decode(errors="replace").split()
            choices = [choice for choice in (*names, WORK_TREE, "HEAD") if choice != name]
            cure = suggestion(name, choices) if names else "commit its files first"
            raise BadInput(
                "names no commit",
                place=f"repository {self.root}",
                key=f"commit {name!r}",
                cure=FETCH if self.is_shallow else cure,
            ) from error
        fields = self._git("show", "--no-patch", "--format=%T%x00%aI%x00%s", full).decode(errors="replace")
        tree, date, subject = fields.rstrip("\n").split("\0")
        return Commit(name=name, hash=full, tree=tree, subject=subject, author_date=date)

    def find_merge_base(self, left: str, right: str) -> str:
        """Return the hash of the best common ancestor of two commits, given by their hashes.

        Raises BadInput if there is none, or if a shallow clone lacks it.
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

    def log(self, base: str, tip: str) -> list[LoggedCommit]:
        """Return the commits from `base` to `tip`, which are hashes, the oldest first.

        The log follows first parents: a merge stands for the commits that it merged.
        """
        words = ("log", "-z", "--first-parent", "--reverse", "--format=%H%n%P%n%T%n%aI%n%s%n%B")
        log = self._git(*words, f"{base}..{tip}").decode(errors="replace")
        commits = []
        for record in filter(None, log.split("\0")):
            full, parents, tree, date, subject, message = record.split("\n", 5)
            commit = Commit(name=full, hash=full, tree=tree, subject=subject, author_date=date)
            commits.append(LoggedCommit(commit=commit, parents=tuple(parents.split()), message=message))
        return commits

    def count_lines(self, before: str, after: str) -> tuple[int, int]:
        """Return how many lines are added and deleted from one tree or commit to another."""
        changes = self._git("diff-tree", "-r", "-z", "--numstat", before, after).decode(errors="replace")
        numbers = [line.split("\t")[:2] for line in changes.split("\0") if line.count("\t") == 2]
        # numstat prints "-" for a binary file
        counts = [(int(added), int(deleted)) for added, deleted in numbers if added != "-"]
        return sum(added for added, _ in counts), sum(deleted for _, deleted in counts)

    def list_changed_files(self, before: str, after: str) -> set[str]:
        """Return the files, by their paths from the root, that differ between two trees or commits."""
        changes = self._git("diff-tree", "-r", "-z", "--name-only", before, after)
        return {os.fsdecode(path) for path in changes.split(b"\0") if path}

    def list_uncommitted_files(self) -> list[str]:
        """Return the files of HEAD, by their paths from the root, that are edited in the work tree."""
        if self.is_bare:
            return []
        changes = self._git("diff", "-z", "--name-only", "--no-ext-diff", "HEAD")
        return [os.fsdecode(path) for path in changes.split(b"\0") if path]

    def find_subfolder(self, folder: Path) -> str | None:
        """Return the path of a folder from the top of the work tree: "" for the top, None for outside."""
        real = Path(os.path.realpath(folder))
        top = Path(os.path.realpath(self.root))
        if not real.is_relative_to(top):
            return None
        return "" if real == top else real.relative_to(top).as_posix()

    def list_files(self, tree: str) -> dict[str, TreeEntry]:
        """Return the files of a tree, by their paths from the root."""
        listing = self._git("ls-tree", "-r", "-z", "--full-tree", tree)
        entries = [entry.split(b"\t", 1) for entry in listing.split(b"\0") if entry]
        files = {os.fsdecode(path): facts.decode().split() for facts, path in entries}
        return {path: TreeEntry(mode, blob) for path, (mode, _, blob) in files.items()}

    def is_ancestor(self, earlier: str, later: str) -> bool:
        """Return True if `earlier` is `later` or an ancestor of it; False if git has lost one of them."""
        try:
            return self.find_merge_base(earlier, later) == earlier
        except BadInput:
            return False

    def keep_tree(self, tree: str) -> None:
        """Store the files of a tree among `objects`, since git removes what no branch has any more."""
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
        removed_entry = TreeEntry("0", "0" * len(tree))
        lines = []
        for path, entry in entries.items():
            mode, blob = entry or removed_entry
            lines.append(f"{mode} {blob}\t{path}")
        with self._index_of(tree) as index:
            stdin = b"".join(os.fsencode(line) + b"\0" for line in lines)
            self._git("update-index", "-z", "--index-info", index=index, stdin=stdin)
            return self._git("write-tree", index=index).decode().strip()

    @property
    def is_bare(self) -> bool:
        """True if it has no work tree."""
        return not (self.root / ".git").exists()

    @property
    def is_shallow(self) -> bool:
        """True if it is a clone without the whole history."""
        return self._git("rev-parse", "--is-shallow-repository").strip() == b"true"

    @property
    def object_format(self) -> str:
        """The hash that names its objects: sha1, or sha256."""
        return self._git("rev-parse", "--show-object-format").decode().strip()

    def write_files(self, tree: str, folder: Path) -> None:
        """Write the files of a tree into a folder, as git would check them out.

        Line ends and filters are those of the repository's settings and of the tree's .gitattributes, so that
        the tree of HEAD gives the files of a clean work tree. Raises BadInput if git fails.
        """
        with self._index_of(tree) as index:
            directory = os.fsdecode(self._git("rev-parse", "--absolute-git-dir").rstrip(b"\n"))
            places = (f"--git-dir={directory}", f"--work-tree={folder.absolute()}")
            words = ("checkout-index", "--all", "--force", "--quiet")
            self._git(*places, *words, index=index, folder=folder)

    def _record_work_tree(self) -> Commit:
        """Return the work tree as it is now as a Commit, and store its files among `objects`.

        The temporary index begins with the entries of HEAD, so that modes and line ends are kept.
        """
        head = self.resolve("HEAD")
        with self._index_of(head.tree) as index:
            committed_paths = self._git("ls-files", "-z", "--cached", index=index)
            staged_paths = self._git("ls-files", "-z", "--cached")
            untracked_paths = self._git("ls-files", "-z", "--others", "--exclude-standard").split(b"\0")
            exclusions = Exclusions(self.root)
            new_paths = [
                path for path in untracked_paths if not exclusions.has_file(self.root / os.fsdecode(path))
            ]
            tracked_paths = (committed_paths + staged_paths).split(b"\0")
            # a name that ends in "/" is a repository within this one
            paths = {path for path in (*tracked_paths, *new_paths) if path and not path.endswith(b"/")}
            words = ("update-index", "--add", "--remove", "--replace", "-z", "--stdin")
            self._git(*words, index=index, stdin=b"\0".join(sorted(paths)) + b"\0")
            new_tree = self._git("write-tree", index=index).decode().strip()
        if new_tree == head.tree:
            return replace(head, name=WORK_TREE)
        return replace(
            head, name=WORK_TREE, tree=new_tree, subject="the files as they are now", author_date=""
        )

    @contextmanager
    def _index_of(self, tree: str) -> Iterator[str]:
        """Yield the path of an index of a tree, which is removed at the end of the block."""
        with TemporaryDirectory() as scratch:
            index = f"{scratch}/index"
            self._git("read-tree", tree, index=index)
            yield index

    @cached_property
    def object_places(self) -> dict[str, str]:
        """Variables by which git writes objects among ours, and reads the repository's, too."""
        objects = run_git(self.root, "rev-parse", "--path-format=absolute", "--git-path", "objects")
        make_folder(self.objects)
        return {
            "GIT_OBJECT_DIRECTORY": str(self.objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.fsdecode(objects.rstrip(b"\n")),
        }

    def _git(self, *words: str, index: str = "", stdin: bytes = b"", folder: Path | None = None) -> bytes:
        variables = self.object_places | ({"GIT_INDEX_FILE": index} if index else {})
        return run_git(folder or self.root, *words, settings=NO_LFS, variables=variables, stdin=stdin)


def is_pointer(path: Path) -> bool:
    """Return True for a file that is a pointer of Git LFS: the content is stored elsewhere."""
    is_small = path.is_file() and path.stat().st_size < _POINTER_BYTES
    return is_small and path.read_bytes().startswith(POINTER)
