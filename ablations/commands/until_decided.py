"""Seeds where they are needed: which trials a plan still wants, given the results so far."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from statistics import fmean

from ablations.commands.report import evidence
from ablations.study import costs
from ablations.study.plan import Plan
from bench.errors import plural, visible
from bench.trial import Result, Trial
from reports.formats import duration, quoted, short


class UntilDecided:
    """The trials that a plan wants: those of arms with an open contrast, and all up to the first look.

    A look is taken once `pending`, the trials that it needs, is empty. What has been decided stays so, and
    results beyond a look change nothing (see `reports.statistics.decisions`), so that a study comes to the
    same end in whatever order its results arrive. The searches and winners of tuning are always wanted.
    """

    def __init__(self, plan: Plan, results: Mapping[str, Result]) -> None:
        self.results = {id: result.without_details() for id, result in results.items()}
        self._plan = plan
        self._arms = {id: arm.name for id, (arm, _) in plan.places.items()}
        self._uses: dict[str, dict[str, int]] = {}  # arms, and their first seed, by declared trial
        for arm in plan.arms:
            for index, seed in enumerate(plan.seeds):
                self._uses.setdefault(arm.trials[seed], {}).setdefault(arm.name, index)
        self._look()

    def _look(self) -> None:
        """Take the looks whose results are complete."""
        from reports.comparison import decide_looks  # scipy and pandas
        from reports.trials import tabulate

        design = evidence(self._plan, self.results)
        decisions = decide_looks(tabulate(design), design)
        asking = {name: seeds for name, seeds in decisions.seeds_requested.items() if seeds}
        near = min(asking.values(), default=0)  # exploratory contrasts may be at another look
        first = self._plan.metrics[0].name
        verdicts = {name: by_metric[first] for name, by_metric in decisions.verdicts.items()}
        blocked = {name: v.blocked_reason for name, v in verdicts.items() if not v.decided}
        look = decisions.looks + 1 if asking else 0
        self.standing = _standing(look, len(self._plan.looks), len(verdicts), blocked)
        sides = [(side, seeds) for name, seeds in asking.items() for side in (name, design.bases[name])]
        self._open = {name for name, _ in sides}
        self._near = {name: near for name, seeds in sides if seeds == near}
        self.pending = {id for id in self._arms if id not in self.results and self._by_this_look(id)}

    def in_order(self, trials: Iterable[Trial]) -> list[Trial]:
        """Trials look by look, and within a look the longest first: no core waits for one that began last."""
        ends = self._plan.looks

        def key(trial: Trial) -> tuple[int, float]:
            index = min(self._uses.get(trial.id, {"": ends[-1]}).values())  # those of tuning come last
            return bisect_right(ends, index), -costs.seconds(trial)

        return sorted(trials, key=key)

    def add(self, result: Result) -> bool:
        """Take a result into account. Returns whether it completed a look."""
        id = result.trial.id
        self.results[id] = result.without_details()
        last = self.pending == {id}
        self.pending.discard(id)
        if last:
            self._look()
        return last

    def wanted(self, id: str) -> bool:
        """Whether a trial is wanted; beyond the next look it may turn out not to be needed."""
        return self._by_this_look(id) or not self._open.isdisjoint(self._uses[id])

    def _by_this_look(self, id: str) -> bool:
        """Whether the next look needs a trial, or it is one of tuning."""
        first = self._plan.looks[0]
        uses = self._uses.get(id)
        return uses is None or any(index < max(first, self._near.get(arm, 0)) for arm, index in uses.items())

    def describe_remaining(self, places: int) -> str:
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


def _standing(look: int, looks: int, contrasts: int, blocked: Mapping[str, str]) -> str:
    """How far a study is: the look that is trained for, the contrasts that are decided, and the open ones.

    `look` counts from 1; it is 0 if no contrast asks for seeds. `blocked` has the open contrasts, each with
    the reason why it cannot go on, if there is one.
    """
    at = f"look {look} of {looks}, " if look and looks > 1 else ""
    named = [f"{quoted(visible(name))}{why and f' ({short(why, 40)})'}" for name, why in blocked.items()]
    names = ", ".join([*named[:3], *["…"] * (len(named) > 3)])
    decided = f"{contrasts - len(blocked)} of {plural(contrasts, 'contrast')} decided"
    return at + (decided if contrasts else "no contrast to decide") + (f"; open: {names}" if names else "")
