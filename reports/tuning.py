"""The tuned comparison: each arm at the shared level of a setting, and at the best one that it found."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from unrolled.bench.trial import Result, Scalar
from unrolled.reports.comparison import ComparedArm, Comparison, compare
from unrolled.reports.design import Tuned
from unrolled.reports.statistics.verdicts import Verdict
from unrolled.reports.trials import tabulate


@dataclass(frozen=True, kw_only=True)
class OwnBest:
    """One arm as declared, its search, and the arm at its best level against the baseline at its own."""

    row: ComparedArm
    search: Tuned
    own: ComparedArm | None
    note: str  # why nothing is judged
    means: Mapping[Scalar, float]  # over the search's seeds, of the levels that have ended

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """At the shared level and at its own best; () where one is missing."""
        shared, own = self.row.verdict, self.own and self.own.verdict
        return (shared, own) if shared and own else ()

    @property
    def flips(self) -> bool:
        """Whether the arm is better at one of the two and worse at the other: neither may be quoted alone.

        Two words that merely differ show no change: where tuning changes nothing they do in .38 of contrasts
        of a difference of δ.
        """
        return {v.kind for v in self.verdicts} == {"better", "worse"}

    @property
    def sentence(self) -> str:
        """A sentence on both verdicts, and whether the second is another one; "" where nothing is judged."""
        if not self.verdicts:
            return ""
        shared, own = (v.text for v in self.verdicts)
        change = "The verdict flips: " if self.flips else ""
        if len({v.claims for v in self.verdicts}) > 1:
            change = "Decided at one level only: "
        return (
            f"{change}“{shared}” at the shared {words(self.search.setting)}, “{own}” at each arm's own best."
        )

    @property
    def at_edge(self) -> bool:
        """Whether no level was tried beyond the best one, so that a better one may lie there."""
        levels = sorted(map(float, self.search.levels))
        return self.search.best is not None and float(self.search.best) in (levels[0], levels[-1])


def words(setting: str) -> str:
    """A setting as a sentence names it."""
    return {"lr": "learning rate"}.get(setting, setting.replace("_", " "))


def own_best(c: Comparison) -> tuple[OwnBest, ...]:
    """Every tuned arm, baseline first; nothing where the study does not tune."""
    rows, best = {row.arm.name: row for row in c.rows}, at_best(c)
    named = {search.own.name: search.arm for search in c.design.tuned if search.own}
    won = {named[row.arm.name]: row for row in best.rows} if best else {}
    return tuple(_own_best(rows[search.arm], search, won.get(search.arm), c) for search in c.design.tuned)


def at_best(c: Comparison) -> Comparison | None:
    """The arms at their best levels, compared with the baseline at its best as one family.

    None where the study does not tune, and before the baseline has a best level.
    """
    arms = tuple(search.own for search in c.design.tuned if search.own)
    if not arms or c.design.tuned[0].own is None:
        return None
    design = replace(c.design, arms=arms, tuned=())
    return compare(tabulate(design), design)


def _own_best(row: ComparedArm, search: Tuned, own: ComparedArm | None, c: Comparison) -> OwnBest:
    spent = {level: _spent(results, c) for level, results in search.levels.items()}
    return OwnBest(
        row=row,
        search=search,
        own=own,
        note=_note(row, own, search, sum(map(len, spent.values()))),
        means={k: sum(v) / len(v) for k, v in spent.items() if len(v) == len(search.seeds)},
    )


def _note(row: ComparedArm, own: ComparedArm | None, search: Tuned, ended: int) -> str:
    if ended < search.budget:
        return f"{ended} of {search.budget} trials of the search have ended"
    if search.own is None:
        return "no level is without a failure"
    if row.index == 0:
        return ""
    return row.note or (own.note if own else "the baseline has no best level")


def _spent(results: Mapping[int, Result], c: Comparison) -> list[float]:
    """The metric of each trial of a search. One that failed, in whatever way, is the worst: it was paid."""
    worst = math.inf if c.metric.lower_is_better else -math.inf
    numbers = [r.metrics.get(c.metric.name, worst) if r.done else worst for r in results.values()]
    return [value if math.isfinite(value) else worst for value in numbers]
