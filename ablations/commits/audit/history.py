"""The changes of a history. A commit, or a merge, is a change; a commit and its reverts are one change."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from unrolled.bench.errors import require
from unrolled.bench.git.repository import WORK_TREE, Commit, LoggedCommit, Repository

_REVERT_LINE = re.compile(r"This reverts commit ([0-9a-f]{7,64})")
"""The line that `git revert` writes. It is a quotation if the subject does not match `_REVERT_SUBJECT`."""
_REVERT_SUBJECT = re.compile(r"(revert|reapply)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Change:
    """Commits that are judged as one, the oldest first."""

    commits: tuple[LoggedCommit, ...]

    @property
    def first(self) -> Commit:
        """The oldest commit, which gives the change its name."""
        return self.commits[0].commit

    @property
    def is_undone(self) -> bool:
        """True if its reverts have taken it back, so that it has no effect at the tip."""
        is_in_force: dict[str, bool] = {}
        for logged in reversed(self.commits):  # a revert comes after the commits that it reverts
            reverts = [commit for commit in self.commits if _has_hash([logged], _list_reverted(commit))]
            is_in_force[logged.commit.hash] = not any(
                is_in_force.get(revert.commit.hash) for revert in reverts
            )
        return not any(
            is_in_force[logged.commit.hash] for logged in self.commits if not _list_reverted(logged)
        )

    @property
    def short(self) -> str:
        """The first seven digits of the first commit's hash."""
        return self.first.hash[:7]

    @property
    def name(self) -> str:
        """Its hash and subject in short, and how often it was reverted: "1a2b3c4 Add AR and its revert"."""
        subject = self.first.subject or "(no subject)"
        subject = f"{subject[:47].rstrip()}…" if len(subject) > 48 else subject
        reverts = len(self.commits) - 1
        note = {0: "", 1: " and its revert"}.get(reverts, f" and {reverts} reverts")
        return f"{self.short} {subject}{note}"


@dataclass(frozen=True, kw_only=True)
class History:
    """The changes from a base to a tip, the oldest first, and the repository that has them."""

    repository: Repository
    base: Commit
    tip: Commit
    commits: tuple[LoggedCommit, ...]

    @property
    def changes(self) -> list[Change]:
        """The commits, grouped into changes: a commit with its reverts is one."""
        groups: list[list[LoggedCommit]] = []
        for logged in self.commits:
            hashes = _list_reverted(logged)
            reverted_groups = [group for group in groups if _has_hash(group, hashes)]
            if not reverted_groups:
                groups.append([logged])
                continue
            first, *merged_groups = reverted_groups  # a squashed revert may name several commits
            first += [commit for group in merged_groups for commit in group] + [logged]
            groups = [group for group in groups if group not in merged_groups]
        order = {logged.commit.hash: place for place, logged in enumerate(self.commits)}
        return [
            Change(tuple(sorted(group, key=lambda logged: order[logged.commit.hash]))) for group in groups
        ]

    def list_files(self, change: Change) -> set[str]:
        """Return the files that a change edits."""
        return {name for logged in change.commits for name in self._files_by_hash[logged.commit.hash]}

    @cached_property
    def _files_by_hash(self) -> dict[str, set[str]]:
        return {
            logged.commit.hash: self.repository.list_changed_files(logged.parents[0], logged.commit.hash)
            for logged in self.commits
        }

    def count_lines(self, change: Change) -> tuple[int, int]:
        """Return the lines that a change adds and deletes, over all of its commits."""
        counts = [
            self.repository.count_lines(logged.parents[0], logged.commit.hash) for logged in change.commits
        ]
        return sum(added for added, _ in counts), sum(deleted for _, deleted in counts)


def _list_reverted(logged: LoggedCommit) -> list[str]:
    """Return the hashes of the commits that a commit reverts."""
    return _REVERT_LINE.findall(logged.message) if _REVERT_SUBJECT.match(logged.commit.subject) else []


def _has_hash(group: Sequence[LoggedCommit], hashes: Sequence[str]) -> bool:
    """Return True if a commit of the group has one of these hashes, which may be cut short."""
    return any(logged.commit.hash.startswith(start) for logged in group for start in hashes)


def read_history(repository: Repository, text: str) -> History:
    """Return the history of a range such as main..HEAD; "main.." ends at HEAD, too.

    Raises BadInput for a text that is no range, for a range without commits, and for a range with a commit
    that has no parent, as in a shallow clone.
    """
    base_name, dots, tip_name = text.partition("..")
    key = f"range {text!r}"
    require(
        dots and base_name and not tip_name.startswith(".") and WORK_TREE not in (base_name, tip_name),
        "is not BASE..TIP",
        key=key,
        cure="write two names of commits with two dots between them: main..HEAD",
    )
    base = repository.resolve(base_name)
    tip = repository.resolve(tip_name or "HEAD")
    commits = repository.log(base.hash, tip.hash)
    require(
        commits,
        f"has no commit: {tip.hash[:10]} is {base.hash[:10]}, or comes before it",
        key=key,
        cure="write the older one first",
    )
    require(
        all(logged.parents for logged in commits),
        "reaches back to a commit without a parent",
        key=key,
        cure="begin after it; a shallow clone lacks what comes before: git fetch --unshallow",
    )
    return History(repository=repository, base=base, tip=tip, commits=tuple(commits))
