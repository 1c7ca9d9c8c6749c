"""The tip of a history without one of its changes, or without it and the fewest later ones that need it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice
from pathlib import Path

from unrolled.ablations.commits.history import Change, History
from unrolled.ablations.study.commits import make_checkouts
from unrolled.ablations.study.gate_study import Sides, list_base_patterns
from unrolled.ablations.study.program import ProgramSettings
from unrolled.bench.errors import BadInput
from unrolled.bench.program.clone import Clone
from unrolled.bench.program.repository import Commit

MOST_ATTEMPTS = 24
"""Sets of later changes that are tried with a change that cannot be taken back alone."""


class Checkouts:
    """The program in a checkout of each commit that is compared, with the tip's data and frozen files."""

    def __init__(self, history: History, factory: ProgramSettings, results: Path) -> None:
        self._history = history
        self._factory = factory
        self._results = results
        self._by_name: dict[str, ProgramSettings] = {}

    def add(self, commit: Commit) -> str:
        """Check out a commit, and return the identity of its trials: it differs if a file that counts does.

        Raises BadInput where the program is not in it.
        """
        repository = self._history.repository
        sides = Sides(repository, self._history.tip, commit)
        study_folder = self._factory.table.study_folder
        place = repository.find_place(Path(study_folder)) if study_folder else None
        edits = sides.find_edits(list_base_patterns(self._factory, place, sides))
        if edits:
            commit = replace(commit, tree=repository.replace_files(commit.tree, edits))
        factory = replace(self._factory, study_place=place)
        tracked = sides.base_files.keys() | sides.head_files.keys()
        factory = make_checkouts(factory, repository, {commit.name: commit}, self._results, tracked)
        fields = factory.resolve_settings({**factory.baseline, "commit": commit.name})
        identity = factory.make_trial(fields).identify().id
        self._by_name[commit.name] = factory
        return identity

    @property
    def factory(self) -> ProgramSettings:
        """The settings of the program, with all checkouts."""
        checkouts = {name: factory.checkouts[name] for name, factory in self._by_name.items()}
        return replace(next(iter(self._by_name.values())), checkouts=checkouts)


@dataclass
class Removal:
    """A change that is to be taken back from the tip.

    `attempts` are the sets of later changes that may be taken back with it, and `companions` is the present
    one. `commit` is the tip without them, None where there is none; `reason` says why the first one failed.
    """

    change: Change
    attempts: Iterator[tuple[Change, ...]]
    companions: tuple[Change, ...] = ()
    commit: Commit | None = None
    identity: str = ""  # of its trials
    reason: str = ""

    @property
    def name(self) -> str:
        """The name of its arm."""
        return f"without {self.change.name}"

    def take_back(self, history: History, clone: Clone, checkouts: Checkouts) -> None:
        """Find the next set of later changes with which it can be taken back, and check that tip out."""
        self.commit = None
        for companions in self.attempts:
            hashes = {
                logged.commit.hash for change in (self.change, *companions) for logged in change.commits
            }
            tree = clone.take_back([logged for logged in history.commits if logged.commit.hash in hashes])
            if tree is None:
                self.refuse("conflicts with later changes when it is taken back")
                continue
            commit = replace(
                history.tip, name=self.name, tree=tree, subject="the tip without it", author_date=""
            )
            try:
                self.identity = checkouts.add(commit)
            except BadInput as error:
                self.refuse(f"the program cannot run without it: {error}")
                continue
            self.commit = commit
            self.companions = companions
            return

    def refuse(self, reason: str) -> None:
        """Note why an attempt failed; the reason of the first one is kept."""
        self.reason = self.reason or reason


def list_removals(history: History) -> list[Removal]:
    """Return the removal of each change, none of which is taken back yet."""
    changes = history.changes
    return [
        Removal(change, _list_attempts(change, changes[i + 1 :], history)) for i, change in enumerate(changes)
    ]


def _list_attempts(change: Change, later: Sequence[Change], history: History) -> Iterator[tuple[Change, ...]]:
    """Yield at most MOST_ATTEMPTS sets of later changes, small ones and those of the same files first."""
    files = history.list_files(change)
    overlapping = [other for other in later if not files.isdisjoint(history.list_files(other))]
    separate = [other for other in later if other not in overlapping]
    sets: list[tuple[Change, ...]] = [()]
    sets += [(other,) for other in overlapping]
    sets += combinations(overlapping, 2)
    if len(overlapping) > 2:
        sets.append(tuple(overlapping))
    sets += [(other,) for other in separate]
    return islice(iter(sets), MOST_ATTEMPTS)
