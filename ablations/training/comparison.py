"""From a plan and its results to the comparison of its arms, and its page."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.study import plan as plans
from unrolled.ablations.study.chapter import SETTINGS
from unrolled.ablations.study.plan import Plan
from unrolled.ablations.study.stored_plans import numbers_mark
from unrolled.bench.trial import Result
from unrolled.reports.chapter import CHAPTER
from unrolled.reports.design import Design, MeasuredArm
from unrolled.reports.formats import listed, quoted
from unrolled.reports.presentation import PLAIN

if TYPE_CHECKING:
    from unrolled.reports.comparison import Comparison


def render(comparison: "Comparison", out: Path) -> Path:
    """Render a study's page. Returns its path."""
    from unrolled.reports.render import render  # matplotlib and pandas: two seconds, and not before training

    return render(comparison, out)


def write_index(out: Path) -> Path:
    """Write the index over the pages of a folder. Returns its path."""
    from unrolled.reports.render import write_index  # as above

    return write_index(out)


def compare_plan(plan: Plan, results: Mapping[str, Result]) -> "Comparison":
    """A plan's arms side by side; `results` by trial id. A page needs those of `read`."""
    from unrolled.reports.comparison import compare  # scipy and pandas
    from unrolled.reports.trials import tabulate

    design = design_of_plan(plan, results)
    return compare(tabulate(design), design)


def read(plan: Plan, ledger: Ledger) -> dict[str, Result]:
    """The stored results of a plan's trials, by id, with those of their details that pages and arms show.

    These are the curves that are drawn (all that a program tells), and records; but of those that the
    presentation has `once`, the ones of the first finished trial, baseline first.
    """
    drawn, once, told = plan.tracking.drawn, PRESENTATIONS[plan.trainer].once, False
    results = {}
    for id in dict.fromkeys(id for arm in plan.arms for id in arm.trials.values()):
        if stored := ledger.read(id):
            result = plan.judge_result(stored)
            records = {name: record for name, record in result.records.items() if name not in once}
            if not told and result.done and len(records) < len(result.records):
                records, told = dict(result.records), True
            shown = {name: curve for name, curve in result.curves.items() if not drawn or name in drawn}
            curves: Any = {name: Points(curve) for name, curve in shown.items()}
            results[id] = replace(result, records=records, curves=curves, trace={})
    return {id: results[id] for id in plan.ids if id in results}


class Points(Sequence[tuple[float, float]]):
    """A curve's points (step, value), kept as an array: thousands of results have them in memory."""

    __slots__ = ("_array",)

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        self._array = np.array(points, dtype=float).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, index: Any) -> Any:
        """A point; of a slice its points."""
        found = self._array[index].tolist()
        return tuple(map(tuple, found)) if isinstance(index, slice) else tuple(found)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __repr__(self) -> str:
        return repr(tuple(self))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.float64]:
        """Of shape (points, 2)."""
        return np.array(self._array, dtype=dtype, copy=copy)


def design_of_plan(plan: Plan, results: Mapping[str, Result]) -> Design:
    """The data of a plan's report: its results, arm by arm."""
    shared = [earlier.planned for earlier in plan.earlier if not set(earlier.trials).isdisjoint(plan.ids)]
    asked = ("study", "question", "about", "metrics", "seeds", "looks", "decide", "to_the_end")
    copied = (*asked, "planned", "command", "ships")
    results = {id: plan.judge_result(result) for id, result in results.items()}
    attempts = {arm: [a.describe(plan.template) for a in of_arm] for arm, of_arm in plan.attempts.items()}
    tried = [seed for of_arm in plan.attempts.values() for attempt in of_arm for seed in attempt.seeds]
    return Design(
        arms=tuple(_measured_arm(arm, plan, results) for arm in plan.arms),
        plan_hash=plan.hash,
        first=min(shared, default=None),
        seen={**_seen_under_another_command(plan, results), **plan.seen},
        attempts=attempts,
        fresh=1 + max(tried, default=-1),
        titles=_TITLES.get(plan.trainer, {}),
        presentation=PRESENTATIONS[plan.trainer],
        nondeterminism=plan.nondeterminism if plan.of_program else {},
        **{key: getattr(plan, key) for key in copied},
    )


def _seen_under_another_command(plan: Plan, results: Mapping[str, Result]) -> dict[str, int]:
    """By arm, the pairs that had been seen when the plan was declared, with another command line.

    It is the same program if all of the results that are alike have the same numbers as then: what was
    changed in the command line, such as a flag, changes none.
    """
    alike = {id: marks for id, marks in plan.alike.items() if id in results}
    if not alike or any(numbers_mark(results[id]) not in marks for id, marks in alike.items()):
        return {}
    bases = {arm.name: arm for arm in plan.arms}
    seen = {}
    for arm in plan.arms[1:]:
        base = bases.get(arm.against, plan.arms[0])
        seen[arm.name] = sum(id in alike and base.trials[seed] in alike for seed, id in arm.trials.items())
    return {name: count for name, count in seen.items() if count}


PRESENTATIONS = {"chapter": CHAPTER, "program": PLAIN}
"""By trainer."""
_TITLES = {"chapter": {key: setting.title for key, setting in SETTINGS.items() if setting.title}}


def _measured_arm(arm: plans.PlannedArm, plan: Plan, results: Mapping[str, Result]) -> MeasuredArm:
    same = ("name", "model", "title", "question", "note", "changes", "exploratory", "against")
    facts = {key: getattr(arm, key) for key in same}
    facts["note"] = " ".join(filter(None, [arm.note, _describe_commit(arm)]))
    of_arm = {seed: results[id] for seed, id in arm.trials.items() if id in results}
    ignores_seed = plan.trial(arm, plan.seeds[0]).ignores_seed
    return MeasuredArm(results=of_arm, ignores_seed=ignores_seed, **facts)


def _describe_commit(arm: plans.PlannedArm) -> str:
    """The commit that an arm runs, and the other names of arms with its files; "" for none."""
    if arm.commit is None:
        return ""
    others = f" {listed([quoted(name) for name in arm.also])} have the same files." if arm.also else ""
    return f"Commit {arm.commit.description}, with the packages that were installed.{others}"
