"""Seeds where they are needed: which trials a plan still wants, given the results so far."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ablations.commands.report import comparison
from ablations.design.plan import Plan
from bench.trial import Result, counted, visible


@dataclass(frozen=True)
class Standing:
    """How far a study is: its looks, and its contrasts (A/A apart) that are decided or open."""

    look: int  # the one that is being trained for, from 1; the last one once all are done
    looks: int
    decided: int
    open: tuple[str, ...]  # the arms, in the study's order

    def __str__(self) -> str:
        names = ", ".join(map(visible, self.open[:3])) + (", …" if len(self.open) > 3 else "")
        waiting = f"; open: {names}" if self.open else ""
        total = counted(self.decided + len(self.open), "contrast")
        return f"look {self.look} of {self.looks}, {self.decided} of {total} decided{waiting}"


class UntilDecided:
    """The trials that a plan wants: those of arms with an open contrast, and all up to the first look.

    Looks are taken when the results of all open contrasts are there, and what has been decided stays so.
    Results beyond a look change nothing (see `reports.statistics.decisions`), so that a study comes to the
    same end in whatever order its results arrive. The searches and winners of tuning are always wanted.
    """

    def __init__(self, plan: Plan, results: Mapping[str, Result]) -> None:
        self.results = dict(results)
        self._plan = plan
        self._index = {seed: index for index, seed in enumerate(plan.seeds)}
        self._declared = {id: place for id, place in plan.places.items() if place[0].tunes == ""}
        self._take()

    def _take(self) -> None:
        """Take the looks whose results are complete."""
        found = comparison(self._plan, self.results)
        first, needs = self._plan.looks[0], dict.fromkeys((arm.name for arm in self._plan.arms), 0)
        self.standing = Standing(
            look=min(found.looked + 1, len(self._plan.looks)),
            looks=len(self._plan.looks),
            decided=sum(row.decided for row in found.judged),
            open=tuple(row.arm.name for row in found.judged if not row.decided),
        )
        for row in found.judged:
            for side in (row, found.base(row)):
                needs[side.arm.name] = max(needs[side.arm.name], row.asks)
        self._needs = needs
        self.pending = {
            id
            for id, (arm, seed) in self._declared.items()
            if id not in self.results and self._index[seed] < max(first, needs[arm.name])
        }

    def add(self, result: Result) -> None:
        """Take a result into account."""
        self.results[result.trial.id] = replace(result, trace={}, passage=())  # thousands are held
        if result.trial.id in self.pending:
            self.pending.discard(result.trial.id)
            if not self.pending:
                self._take()

    def wanted(self, id: str) -> bool:
        """Whether a trial is wanted; beyond the next look it may turn out not to be needed."""
        if id not in self._declared:
            return True
        arm, seed = self._declared[id]
        return self._needs[arm.name] > 0 or self._index[seed] < self._plan.looks[0]
