"""One arm before and after a change: its rows on both sides by seed, and what keeps it from passing."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import pandas as pd

from unrolled.bench.differences import differences
from unrolled.bench.errors import plural
from unrolled.bench.metric import Metric
from unrolled.reports.formats import listed_up_to
from unrolled.reports.scale import Scale
from unrolled.reports.statistics import power
from unrolled.reports.statistics.contrasts import Contrast
from unrolled.reports.statistics.power import ALPHA, FEWEST_SEEDS
from unrolled.reports.statistics.speed_ratio import Speed
from unrolled.reports.statistics.verdicts import Direction, Verdict
from unrolled.reports.trials import numbers_of

WAITING = "waiting"  # the status of a trial that was planned and has no result
_SILENT = ("corpus", "source", "seed")  # a path, the code itself, the pairing: no change of settings
GONE = "is missing from the candidate"
LISTED = 5  # names and seeds that a remark lists before it counts the rest


@dataclass(frozen=True, kw_only=True)
class Row:
    """One trial of a side, see `reports.before_after.ResultSet`."""

    seed: Any
    value: float  # as the metric is judged: infinite where training diverged, NaN for none
    status: str = "done"
    reason: str = ""
    fingerprints: str = ""
    numbers: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    task: Sequence[str] = ()  # the settings that define it
    machine: Mapping[str, str] = field(default_factory=dict)
    speed_train: float = math.nan

    @property
    def ended(self) -> bool:
        """Whether the trial has a result."""
        return self.status != WAITING

    @property
    def failed(self) -> bool:
        """Whether the trial diverged or failed."""
        return self.ended and not math.isfinite(self.value)

    @property
    def crashed(self) -> bool:
        """Whether it failed otherwise than by divergence."""
        return self.failed and self.status == "failed"

    def same_bits(self, other: "Row") -> bool:
        """Whether both trials computed the same, as far as that was recorded."""
        return bool(self.fingerprints) and self.fingerprints == other.fingerprints


Rows = Mapping[str, Mapping[Any, Row]]
"""The rows of a side by arm and seed."""


@dataclass(frozen=True, kw_only=True)
class PairedArm:
    """The rows of one arm on both sides, by seed."""

    name: str
    before: Mapping[Any, Row]
    after: Mapping[Any, Row]  # empty where the arm is missing
    planned: Collection[Any] = ()  # seeds that there have to be on both sides, and that are compared

    @cached_property
    def pairs(self) -> dict[Any, tuple[Row, Row]]:
        """The rows before and after of every seed that ended on both sides."""
        shared = sorted(self.before.keys() & self.after.keys())
        pairs = {seed: (self.before[seed], self.after[seed]) for seed in shared}
        return {seed: pair for seed, pair in pairs.items() if all(row.ended for row in pair)}

    @property
    def after_and_before(self) -> tuple[dict[Any, float], dict[Any, float]]:
        """The numbers after and before, by planned seed, of the pairs that converged on both sides."""
        after, before = {}, {}
        for seed, (row, row_after) in self.pairs.items():
            if seed in self.planned and math.isfinite(row.value) and math.isfinite(row_after.value):
                before[seed], after[seed] = row.value, row_after.value
        return after, before

    @cached_property
    def identical(self) -> bool:
        """Whether every shared seed has the same bits, and the same of every number that both sides hold.

        A clock or a memory that is asked for has to be the same, too.
        """
        pairs = self.pairs.values()
        same = [before.same_bits(after) and str(before.value) == str(after.value) for before, after in pairs]
        return bool(same) and all(same) and not any(_contradictions(self))

    @cached_property
    def speeds(self) -> list[tuple[Speed, Speed]]:
        """The speeds before and after of every seed that has one on both sides."""
        return [
            ((before.speed_train, before.machine), (after.speed_train, after.machine))
            for before, after in self.pairs.values()
            if all(math.isfinite(row.value) and 0 < row.speed_train < math.inf for row in (before, after))
        ]

    @cached_property
    def changed_settings(self) -> dict[str, tuple[str, str]]:
        """The values before and after of the settings that both sides have and that differ."""
        before, after = (
            next((row.settings for row in rows.values() if row.settings), {})
            for rows in (self.before, self.after)
        )
        shared = [name for name in before if name in after and name not in _SILENT]
        return {name: (before[name], after[name]) for name in shared if before[name] != after[name]}


def rows_by_arm(table: pd.DataFrame, metric: Metric) -> dict[str, dict[Any, Row]]:
    """The rows of a side by arm and seed."""
    whole = table.assign(value=numbers_of(table, metric.name).map(metric.judged))
    known = [column.name for column in fields(Row) if column.name in whole]
    rows: dict[str, dict[Any, Row]] = {}
    for arm, cells in zip(table.arm, whole[known].to_dict("records"), strict=True):
        row = Row(**{str(name): cell for name, cell in cells.items()})
        rows.setdefault(str(arm), {})[row.seed] = row
    return rows


def faults(arm: PairedArm, verdict: Verdict | None, scale: Scale) -> Iterator[str]:
    """Why the arm does not pass by its results."""
    if not arm.after:
        yield GONE
        return
    yield from _unfinished(arm)
    yield from _other_task(arm)
    yield from _contradictions(arm)
    if not arm.identical:
        yield from _not_shown(verdict, scale)


def _contradictions(arm: PairedArm) -> Iterator[str]:
    """Seeds with the same bits and other numbers: one side was changed, or is measured in another way."""
    unequal = {}
    for seed, (before, after) in arm.pairs.items():
        if before.same_bits(after):
            shared = before.numbers.keys() & after.numbers.keys()  # what one side alone has is not compared
            sides = ({n: x for n, x in row.numbers.items() if n in shared} for row in (before, after))
            if differing := list(differences(*sides)):
                unequal[seed] = differing
    if unequal:
        name, value_before, value_after = next(iter(unequal.values()))[0]
        yield (
            f"the same fingerprints and other numbers, seed {listed_up_to([*unequal], LISTED)}: {name} "
            f"{value_before} in the baseline, {value_after} in the candidate: one was changed or damaged, or "
            "is measured in another way"
        )


def _failed_seeds(rows: Mapping[Any, Row]) -> set[Any]:
    return {seed for seed, row in rows.items() if row.failed}


def _ended_seeds(rows: Mapping[Any, Row]) -> set[Any]:
    return {seed for seed, row in rows.items() if row.ended}


def _unfinished(arm: PairedArm) -> Iterator[str]:
    """Seeds that fail after and did not before, and seeds that were never trained."""
    if failures := sorted(_failed_seeds(arm.after) - _failed_seeds(arm.before)):
        row = arm.after[failures[0]]
        reason = row.reason or ("no finite value" if row.status == "done" else row.status)
        yield f"{plural(len(failures), 'new failure')}, seed {listed_up_to(failures, LISTED)}: {reason}"
    lost = set(arm.planned) - arm.pairs.keys()
    lost |= {seed for seed, pair in arm.pairs.items() if any(row.crashed for row in pair)} & set(arm.planned)
    lost |= {seed for seed, row in arm.after.items() if not row.ended}
    if arm.pairs and lost - set(failures):
        seeds = listed_up_to(sorted(lost - set(failures)), LISTED)
        yield f"has no result for seed {seeds}: run the study to its end"


def _other_task(arm: PairedArm) -> Iterator[str]:
    task = {"data", *(name for rows in (arm.before, arm.after) for row in rows.values() for name in row.task)}
    if changed := [name for name in arm.changed_settings if name in task]:
        yield f"another task, so that the numbers cannot be compared: {', '.join(changed)} changed"


def notes(arm: PairedArm) -> Iterator[str]:
    """Remarks on an arm that do not decide whether it passes."""
    if arm.changed_settings:
        values = [f"{name} {before} → {after}" for name, (before, after) in arm.changed_settings.items()]
        yield f"its settings changed: {listed_up_to(values, LISTED)}"
    ended_before, ended_after = _ended_seeds(arm.before), _ended_seeds(arm.after)
    failed_before, failed_after = _failed_seeds(arm.before), _failed_seeds(arm.after)
    for what, seeds in (
        ("no longer fails", (failed_before & ended_after) - failed_after),
        ("fails as before", failed_before & failed_after),
        ("only on one side", ended_before ^ ended_after),
    ):
        if seeds:
            yield f"{what}: seed {listed_up_to(sorted(seeds), LISTED)}"


def _not_shown(verdict: Verdict | None, scale: Scale) -> Iterator[str]:
    """Why the arm is not shown to be less than δ worse. Yields nothing if it is shown."""
    if verdict is None:
        yield "has no seed in common with the baseline"
        return
    c = verdict.contrast
    if shown_no_worse(c):
        return
    if verdict.direction is Direction.WORSE:
        median = "a median of " if c.by_median else ""
        yield f"worse on {c.losses} of {c.pairs} seeds, by {median}{scale.measured(c.estimate, sign=True)}"
    else:
        needed = (
            f"; {seeds_to_show(c)} seeds would mostly show it, if nothing changed" if c.seeds_needed else ""
        )
        if len(c.differences) < FEWEST_SEEDS:
            which = "finished on both sides" if c.given_convergence else "in common"
            few = f"{plural(len(c.differences), 'seed')} {which}"
            yield f"{few}; under {FEWEST_SEEDS} nothing is decided{needed}"
        else:
            zone, end = scale.within(c.delta), scale.measured(_worst_end(c), sign=True)
            yield f"not shown to be less than {zone} worse: the 90 % interval reaches {end}{needed}"


def _worst_end(c: Contrast) -> float | None:
    """The worse end of the 90 % interval, which a one-sided 5 % test uses."""
    ends = c.interval(ALPHA, sides=1)
    if ends is None:
        return None
    return ends.high if c.lower_is_better else ends.low


def shown_no_worse(c: Contrast) -> bool:
    """Whether a one-sided t test at .05 rules out that the arm is worse by δ or more."""
    end = _worst_end(c)
    if end is None or len(c.differences) < FEWEST_SEEDS:
        return False
    return (end if c.lower_is_better else -end) < c.delta


def seeds_to_show(c: Contrast) -> int:
    """The pairs of seeds at which all arms pass with 80 % power, if none changed.

    Every arm has to pass, so that each needs more power than all. They are assumed to have this spread.
    """
    if not c.sd:
        return FEWEST_SEEDS
    needed = power.seeds_needed(c.delta / c.sd, 2 * ALPHA, power.POWER ** (1 / c.family))
    return max(FEWEST_SEEDS, needed)
