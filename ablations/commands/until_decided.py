"""Seeds where they are needed: which trials a plan still wants, given the results so far."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import TYPE_CHECKING

from ablations.commands.report import comparison
from ablations.study import costs
from ablations.study.plan import Plan
from bench.trial import Result, Trial, visible
from reports.formats import duration, quoted, short

if TYPE_CHECKING:
    from reports.comparison import Comparison


class UntilDecided:
    """The trials that a plan wants: those of arms with an open contrast, and all up to the first look.

    A look is taken once `pending`, the trials that it needs, is empty. What has been decided stays so, and
    results beyond a look change nothing (see `reports.statistics.decisions`), so that a study comes to the
    same end in whatever order its results arrive. The searches and winners of tuning are always wanted.
    """

    def __init__(self, plan: Plan, results: Mapping[str, Result], found: "Comparison | None" = None) -> None:
        self.results = {id: result.without_details() for id, result in results.items()}
        self._plan = plan
        self._arms = {id: arm.name for id, (arm, _) in plan.places.items()}
        self._uses: dict[str, dict[str, int]] = {}  # arms, and their first seed, by declared trial
        for arm in plan.arms:
            for index, seed in enumerate(plan.seeds):
                self._uses.setdefault(arm.trials[seed], {}).setdefault(arm.name, index)
        self._look(found or comparison(plan, self.results))

    def _look(self, found: "Comparison") -> None:
        """Take the looks whose results are complete; `found` compares the results so far."""
        asking = [row for row in found.judged if row.asks]
        near = min((row.asks for row in asking), default=0)  # exploratory contrasts may be at another look
        self.standing = _standing(found, found.looked + 1 if asking else 0)
        sides = [(side.arm.name, row.asks) for row in asking for side in (row, found.base(row))]
        self._open = {name for name, _ in sides}
        self._near = {name: near for name, asks in sides if asks == near}
        self.pending = {id for id in self._arms if id not in self.results and self._by_this_look(id)}

    def in_order(self, trials: Iterable[Trial]) -> list[Trial]:
        """Trials look by look, and within a look the longest first: no core waits for one that began last."""
        ends = self._plan.looks

        def key(trial: Trial) -> tuple[int, float]:
            index = min(self._uses.get(trial.id, {"": ends[-1]}).values())  # those of tuning come last
            return bisect_right(ends, index), -costs.seconds(trial)

        return sorted(trials, key=key)

    def add(self, result: Result) -> None:
        """Take a result into account."""
        id = result.trial.id
        self.results[id] = result.without_details()
        if id in self.pending:
            self.pending.discard(id)
            if not self.pending:
                self._look(comparison(self._plan, self.results))

    def wanted(self, id: str) -> bool:
        """Whether a trial is wanted; beyond the next look it may turn out not to be needed."""
        return self._by_this_look(id) or not self._open.isdisjoint(self._uses[id])

    def _by_this_look(self, id: str) -> bool:
        """Whether the next look needs a trial, or it is one of tuning."""
        first = self._plan.looks[0]
        uses = self._uses.get(id)
        return uses is None or any(index < max(first, self._near.get(arm, 0)) for arm, index in uses.items())

    def ahead(self, places: int) -> str:
        """The standing, and the time for all that may still be wanted, by the times that results took."""
        took: dict[str, list[float]] = {}
        for id, result in self.results.items():
            if result.done:
                took.setdefault(self._arms[id], []).append(result.seconds)
        means = {arm: fmean(seconds) for arm, seconds in took.items()}
        left = [arm for id, arm in self._arms.items() if id not in self.results and self.wanted(id)]
        if not (left and means):
            return self.standing
        seconds = sum(means.get(arm, fmean(means.values())) for arm in left)
        return f"{self.standing}; at most {duration(seconds / places)} left"


def _standing(found: "Comparison", look: int) -> str:
    """How far a study is: the look that is trained for, the contrasts that are decided, and the open ones.

    `look` counts from 1; it is 0 if no contrast asks for seeds.
    """
    from reports.answer import standing  # scipy

    looks = len(found.design.looks)
    at = f"look {look} of {looks}, " if look and looks > 1 else ""
    open_ = {r.arm.name: r.stuck for r in found.judged if not r.decided}
    named = [f"{quoted(visible(name))}{why and f' ({short(why, 40)})'}" for name, why in open_.items()]
    names = ", ".join([*named[:3], *["…"] * (len(named) > 3)])
    told = standing(found) or "no contrast to decide"
    return at + told + (f"; open: {names}" if names else "")
