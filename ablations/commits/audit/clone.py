"""A clone of our own, in which commits are taken back: the user's repository is only read."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from unrolled.bench.errors import BadInput
from unrolled.bench.files.atomic_files import make_folder
from unrolled.bench.git.git_command import run_git
from unrolled.bench.git.repository import NO_LFS, LoggedCommit, Repository

_SETTINGS = {
    **NO_LFS,
    "core.autocrlf": "false",
    "rerere.enabled": "false",
    "user.name": "unrolled",
    "user.email": "unrolled@localhost",
}


_ATTRIBUTES = "* -text -filter -ident -working-tree-encoding merge=text\n"


class Clone:
    """A work tree in a folder of ours, at one commit of a repository.

    The clone reads the repository's objects. It writes new objects into `Repository.objects`, where the
    Repository can read the new trees.
    """

    def __init__(self, repository: Repository, commit: str, folder: Path) -> None:
        self._repository = repository
        self._commit = commit
        self._folder = folder
        make_folder(folder)
        form = repository.object_format
        self._git("init", "--quiet", "--template=", f"--object-format={form}")
        # no merge driver of the user's and no conversion: blobs are merged as they are
        (folder / ".git" / "info").mkdir(exist_ok=True)
        (folder / ".git" / "info" / "attributes").write_text(_ATTRIBUTES)
        self._git("checkout", "--quiet", "--detach", "--force", commit)

    def take_back(
        self, commits: Sequence[LoggedCommit], is_kept: Callable[[str], bool] = lambda _: False
    ) -> str | None:
        """Return the hash of the tree without these commits; None if that conflicts with later changes.

        The last commit is reverted first, a merge against its first parent. A file that conflicts stays as it
        is if `is_kept` returns True for its path.
        """
        try:
            for logged in reversed(commits):
                mainline = ("--mainline", "1") if len(logged.parents) > 1 else ()
                try:
                    self._git("revert", "--no-commit", *mainline, logged.commit.hash)
                except BadInput:
                    conflicts = self._list_conflicts()
                    if not conflicts:
                        raise
                    if not all(map(is_kept, conflicts)):
                        return None
                    for path in conflicts:
                        self._restore(path)
            return self._git("write-tree").decode().strip()
        finally:
            with suppress(BadInput):  # there may be no revert to abort
                self._git("revert", "--quit")
            self._git("reset", "--quiet", "--hard", self._commit)

    def _restore(self, path: str) -> None:
        """Restore a file as the commit has it, or remove it if the commit lacks it."""
        if self._git("ls-tree", "-z", self._commit, "--", path):
            self._git("checkout", "--force", self._commit, "--", path)
        else:
            self._git("rm", "--force", "--quiet", "--", path)

    def _list_conflicts(self) -> list[str]:
        """Return the paths of the files in which the present revert conflicts."""
        entries = self._git("ls-files", "--unmerged", "-z").split(b"\0")
        return sorted({os.fsdecode(entry.split(b"\t", 1)[1]) for entry in entries if entry})

    def _git(self, *words: str) -> bytes:
        folder = os.fspath(self._folder)
        variables = {
            **self._repository.object_places,
            "GIT_DIR": f"{folder}/.git",
            "GIT_WORK_TREE": folder,
            "GIT_LITERAL_PATHSPECS": "1",
        }
        return run_git(self._folder, *words, settings=_SETTINGS, variables=variables)
