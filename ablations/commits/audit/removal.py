"""The tip of a history without one of its changes, and without the later changes that need it."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, combinations, islice
from pathlib import Path

from unrolled.ablations.commits.audit.clone import Clone
from unrolled.ablations.commits.audit.history import Change, History
from unrolled.ablations.commits.commit_pair import CommitPair, list_base_patterns
from unrolled.ablations.study.checkouts import make_checkouts
from unrolled.ablations.study.program_factory import ProgramFactory
from unrolled.bench.errors import BadInput
from unrolled.bench.git.repository import Commit
from unrolled.bench.program.program_trial import ProgramTrial
from unrolled.bench.sources.file_selection import is_code, match_names

TIP = "tip"
"""The name of the tip's arm."""
FIRST_SINGLES = 8
"""Most later changes that are tried one by one, before all that edit the same files are tried together."""
MOST_COMPANION_SETS = 24
"""Most sets of later changes that are tried with a change that cannot be taken back alone."""


class Checkouts:
    """The program in a checkout of each commit that is compared, with the tip's data and frozen files."""

    def __init__(self, history: History, factory: ProgramFactory, results: Path, study_file: str) -> None:
        """`study_file` is its path from the repository's top; "" if it lies outside."""
        self.history = history
        self._factory = factory
        self._results = results
        self._by_name: dict[str, ProgramFactory] = {}
        self._counting: set[str] = set()  # files of the tip that count, by their paths in the repository
        tip = replace(history.tip, name=TIP)
        self.tip_identity = self.add_commit(tip)
        root = self._by_name[TIP].checkouts[TIP].root
        trial = self._make_trial(TIP)
        paths = [facts.path for facts in trial.snapshot.code.values()]
        self._counting = {path.relative_to(root).as_posix() for path in paths if path.is_relative_to(root)}
        pair = CommitPair(history.repository, tip, tip)
        self._study_file = study_file
        self._fixed_patterns = list_base_patterns(self._factory, self._find_study_place(), pair)
        self._tip_files = set(pair.base_files)
        self._fixed = {
            name for pattern in self._fixed_patterns for name in match_names(self._tip_files, pattern)
        }

    def add_commit(self, commit: Commit) -> str:
        """Check out a commit and return the identity of its trials.

        Two commits have one identity if all files that count are equal. Raises BadInput if the program is not
        in the commit.
        """
        repository = self.history.repository
        pair = CommitPair(repository, self.history.tip, commit)
        place = self._find_study_place()
        edits = pair.find_edits(list_base_patterns(self._factory, place, pair))
        if edits:
            commit = replace(commit, tree=repository.replace_files(commit.tree, edits))
        factory = replace(self._factory, study_place=place)
        tracked_files = pair.base_files.keys() | pair.head_files.keys()
        self._by_name[commit.name] = make_checkouts(
            factory, repository, {commit.name: commit}, self._results, tracked_files
        )
        try:
            return self._make_trial(commit.name).id
        except BadInput:
            del self._by_name[commit.name]
            raise

    def list_kept_edits(self, change: Change) -> tuple[str, ...]:
        """Return the files that a change edits and that all arms have as in the tip; () if it is undone.

        They are the study's file, data and frozen files.
        """
        edits = set() if change.is_undone else self.history.list_files(change)
        kept = {name for pattern in self._fixed_patterns for name in match_names(edits, pattern)}
        return tuple(sorted(kept | (edits & {self._study_file})))

    def is_kept(self, path: str) -> bool:
        """Return True for a file that stays as in the tip: data, frozen, or a file that does not count."""
        if path in self._tip_files:
            return path in self._fixed or path not in self._counting
        return not is_code(path) and not self._factory.table.code

    def _make_trial(self, name: str) -> ProgramTrial:
        factory = self._by_name[name]
        fields = factory.make_arm_fields({**factory.baseline, "commit": name})
        trial = factory.make_trial(fields).identify()
        assert isinstance(trial, ProgramTrial)
        return trial

    def _find_study_place(self) -> str | None:
        folder = self._factory.table.study_folder
        return self.history.repository.find_subfolder(Path(folder)) if folder else None

    @property
    def factory(self) -> ProgramFactory:
        """The factory of the program's trials, with all checkouts."""
        checkouts = {name: factory.checkouts[name] for name, factory in self._by_name.items()}
        return replace(next(iter(self._by_name.values())), checkouts=checkouts)


@dataclass(frozen=True)
class Tree:
    """The tip without some changes: the name of its arm, and the identity of its trials."""

    name: str
    identity: str


@dataclass
class Removal:
    """A change that is to be taken back from the tip.

    `companion_sets` are the sets of later changes that may be taken back with it; `companions` is the present
    set. `arm_tree` is the tip without the change and its companions; it is compared with `base_tree`, the tip
    without the companions alone. Both are None until a removal succeeds. `reason` says why the first removal
    failed.
    """

    change: Change
    companion_sets: Iterator[tuple[Change, ...]]
    companions: tuple[Change, ...] = ()
    arm_tree: Tree | None = None
    base_tree: Tree | None = None
    reason: str = ""
    tried: set[tuple[Change, ...]] = field(default_factory=set)

    @property
    def trees(self) -> list[Tree]:
        """Both trees; none until a removal succeeds."""
        return [self.arm_tree, self.base_tree] if self.arm_tree and self.base_tree else []

    def take_back(self, builder: "TreeBuilder") -> None:
        """Find the next set of later changes with which it can be taken back, and check out the two trees."""
        self.arm_tree = None
        self.base_tree = None
        for companions in self.companion_sets:
            fewer_companions = builder.drop_needless_companions(self.change, companions)
            if fewer_companions not in self.tried:  # a set in `tried` has failed already
                companions = fewer_companions
            self.tried.add(companions)
            try:
                arm_tree = builder.build_tree(f"without {self.change.name}", (self.change, *companions))
                base_tree = builder.build_tree(_name_tree(companions), companions)
            except BadInput as error:
                self.refuse(f"the program cannot run without it: {error}")
                continue
            if arm_tree is None or base_tree is None:
                self.refuse("conflicts with later changes when it is taken back")
                continue
            self.arm_tree = arm_tree
            self.base_tree = base_tree
            self.companions = companions
            return

    def refuse(self, reason: str) -> None:
        """Note why a removal failed; the first reason is kept."""
        self.reason = self.reason or reason


@dataclass(frozen=True)
class TreeBuilder:
    """Takes changes of a history back in a clone, and checks out the resulting tree."""

    history: History
    clone: Clone
    checkouts: Checkouts

    def build_tree(self, name: str, changes: Sequence[Change]) -> Tree | None:
        """Return the tip without these changes, checked out under a name; None if removing them conflicts.

        Raises BadInput if the program is not in it.
        """
        if not changes:
            return Tree(TIP, self.checkouts.tip_identity)
        tree = self._find_tree(changes)
        if tree is None:
            return None
        commit = replace(self.history.tip, name=name, tree=tree, subject="the tip without it", author_date="")
        return Tree(name, self.checkouts.add_commit(commit))

    def drop_needless_companions(self, change: Change, companions: tuple[Change, ...]) -> tuple[Change, ...]:
        """Return the companions that are needed: without one of them, taking the change back conflicts."""
        if len(companions) > 2 and self._find_tree((change, *companions)) is not None:
            for spared_companion in companions:
                fewer_companions = tuple(
                    companion for companion in companions if companion is not spared_companion
                )
                if self._find_tree((change, *fewer_companions)) is not None:
                    companions = fewer_companions
        return companions

    def _find_tree(self, changes: Sequence[Change]) -> str | None:
        hashes = {logged.commit.hash for change in changes for logged in change.commits}
        commits = [logged for logged in self.history.commits if logged.commit.hash in hashes]
        return self.clone.take_back(commits, self.checkouts.is_kept)


def _name_tree(changes: Sequence[Change]) -> str:
    """Return the name of a tree without these changes: "without 1a2b3c4 + 5d6e7f8".

    The arm of a removal has another name, with the subject of its change: "without 1a2b3c4 Add AR".
    """
    names = [change.short for change in changes]
    if len(names) > 4:
        mark = hashlib.sha256(" ".join(names).encode()).hexdigest()[:7]
        names = [*names[:4], f"{len(names) - 4} more ({mark})"]
    return f"without {' + '.join(names)}"


def list_removals(history: History) -> list[Removal]:
    """Return a removal for each change, without its trees yet."""
    changes = history.changes
    return [
        Removal(change, _list_companion_sets(change, changes[index:], history))
        for index, change in enumerate(changes, 1)
    ]


def _list_companion_sets(
    change: Change, later: Sequence[Change], history: History
) -> Iterator[tuple[Change, ...]]:
    """Yield at most MOST_COMPANION_SETS sets of later changes that may be taken back with a change.

    The order: no change; each of the first FIRST_SINGLES changes of the same files; all changes of the same
    files; all changes linked by their files; each other change; pairs.
    """
    files = history.list_files(change)
    overlapping = [edit for edit in later if not files.isdisjoint(history.list_files(edit))]
    linked_changes = []  # changes linked by files of one another
    for edit in later:
        if not files.isdisjoint(history.list_files(edit)):
            linked_changes.append(edit)
            files = files | history.list_files(edit)
    separate = [edit for edit in later if edit not in overlapping]
    singles = [(edit,) for edit in (*overlapping, *separate)]
    first = min(len(overlapping), FIRST_SINGLES)
    wholes = [tuple(overlapping), tuple(linked_changes)]
    # pairs of many changes are too many to list
    pairs = chain(combinations(overlapping, 2), combinations(later, 2))
    sets = chain([()], singles[:first], wholes, singles[first:], pairs)
    return iter(dict.fromkeys(islice(sets, MOST_COMPANION_SETS)))
