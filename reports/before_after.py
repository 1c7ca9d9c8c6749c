"""Results before and after a change: is an arm worse, or slower?

An arm fails unless it is shown to be not worse: less than δ worse, or bit-identical. Speed fails only when it
is shown to be slower by more than a margin, on like machines.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import pandas as pd

from bench.differences import differences
from bench.errors import BadInput, plural
from bench.machine_kind import mixed
from bench.metric import Metric
from bench.trial import TASK
from reports.comparison import compare
from reports.design import Design, MeasuredArm
from reports.elsewhere import averaged
from reports.formats import listed_up_to, short, titled
from reports.statistics.power import FEWEST_SEEDS
from reports.statistics.speed_ratio import Speed, SpeedRatio, ratios_of_like_machines, unlike
from reports.statistics.verdicts import Verdict, Word, measure, seeds_to_show, shown_no_worse, worst_end
from reports.trials import numbers_of

WAITING = "waiting"
"""The status of a trial that was planned and has no result."""
_SILENT = ("corpus", "source", "seed")  # a path, the code itself, the pairing: no change of settings
LISTED = 5
"""Names and seeds that a remark lists before it counts the rest."""


@dataclass(frozen=True, kw_only=True)
class ResultSet:
    """One side: a table with a row a trial, see `reports.trials`.

    It may have more columns: `reason` (why there is no number), `fingerprints` (what the trial computed),
    `numbers` (measured, as text by name, where there are fingerprints), `settings`, `machine` (its kind, see
    bench.machine_kind), `commit` and `speed_train` (tokens/s). Of benchmarks a row is a stored run.
    """

    name: str  # as typed
    table: pd.DataFrame
    study: str = ""
    metrics: tuple[Metric, ...] = ()  # that its plan declares
    baseline: str = ""  # the name of the study's own baseline

    @property
    def title(self) -> str:
        """The name, with the commit of the code if it is known."""
        commits = sorted(set(self.table.get("commit", ())) - {""})
        named = commits[0] if len(commits) == 1 else f"{len(commits)} commits"
        return f"{self.name} ({named})" if commits else self.name


@dataclass(frozen=True, kw_only=True)
class Row:
    """One trial of a side, see `ResultSet`."""

    seed: Any
    value: float  # of the metric: infinite where training diverged, NaN for none
    status: str = "done"
    reason: str = ""
    fingerprints: str = ""
    numbers: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
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
    def has_speed(self) -> bool:
        """Whether the trial has a result and a speed."""
        return math.isfinite(self.value) and 0 < self.speed_train < math.inf

    def same_bits(self, other: "Row") -> bool:
        """Whether both trials computed the same, as far as that was recorded."""
        return bool(self.fingerprints) and self.fingerprints == other.fingerprints


@dataclass(frozen=True, kw_only=True)
class _Arm:
    """The rows of one arm on both sides, by seed."""

    name: str
    before: Mapping[Any, Row]
    after: Mapping[Any, Row]  # empty where the arm is missing

    @cached_property
    def pairs(self) -> dict[Any, tuple[Row, Row]]:
        """The rows before and after of every seed that ended on both sides."""
        shared = sorted(self.before.keys() & self.after.keys())
        pairs = {seed: (self.before[seed], self.after[seed]) for seed in shared}
        return {seed: pair for seed, pair in pairs.items() if all(row.ended for row in pair)}

    @cached_property
    def identical(self) -> bool:
        """Whether every shared seed has the same bits, and the same of every number that both sides hold.

        A clock or a memory that is asked for has to be the same, too.
        """
        pairs = self.pairs.values()
        same = [before.same_bits(after) and str(before.value) == str(after.value) for before, after in pairs]
        return bool(same) and all(same) and not any(_contradictions(self))

    @cached_property
    def changed_settings(self) -> dict[str, tuple[str, str]]:
        """The values before and after of the settings that both sides have and that differ."""
        before, after = (
            next((row.settings for row in rows.values() if row.settings), {})
            for rows in (self.before, self.after)
        )
        shared = [name for name in before if name in after and name not in _SILENT]
        return {name: (before[name], after[name]) for name in shared if before[name] != after[name]}


@dataclass(frozen=True, kw_only=True)
class ArmChange:
    """One arm, or one benchmark, on both sides. It passes when it has no fault."""

    name: str
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    verdict: Verdict | None = None  # None where no seed is shared
    identical: bool = False  # bit for bit, on every shared seed
    speed_ratio: SpeedRatio | None = None  # of times, after over before


@dataclass(frozen=True, kw_only=True)
class BeforeAfter:
    """Every arm before and after, and the outcome."""

    before: str
    after: str
    asked: str
    arms: tuple[ArmChange, ...]
    noun: str = "arm"
    unit: str = ""
    faults: tuple[str, ...] = ()  # of the whole, and not of one arm
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[ArmChange, ...]:
        """The arms that do not pass."""
        return tuple(arm for arm in self.arms if arm.faults)

    @property
    def passed(self) -> bool:
        """Whether every arm passes."""
        return not self.failed and not self.faults


def compare_results(
    before: ResultSet,
    after: ResultSet,
    metric: Metric,
    *,
    margin: float,
    require_speed: bool = False,
    test_share: float = 0.0,
) -> BeforeAfter:
    """Compare the arms of two result sets by a metric, paired by seed; `test_share` as in Design.

    All arms have to pass, so that each is tested at .05 without a correction: the chance to let an arm pass
    that is worse by δ is at most .05 however many there are (intersection–union test, Berger 1982). The
    verdicts' p are Holm's, since one false WORSENS among many arms would be a false alarm.
    """
    title, unit = titled(metric.name)
    after = _rename_baseline(before, after)
    rows_before, rows_after = _rows(before.table, metric), _rows(after.table, metric)
    arms = [
        _Arm(name=name, before=rows, after=rows_after.get(name, {})) for name, rows in rows_before.items()
    ]
    design = Design(study="", metrics=(metric,), arms=(), test_share=test_share)
    verdicts = _judge_arms(arms, before, after, design)
    machines = [(row.machine, row_after.machine) for arm in arms for row, row_after in arm.pairs.values()]
    if metric.name.startswith("speed") and (reason := unlike([kind for pair in machines for kind in pair])):
        raise BadInput(reason, place=after.name, key=title, cure="train both sides on one machine")
    ratios, unlike_speeds = ratios_of_like_machines({arm.name: _speeds(arm) for arm in arms}, margin)
    added = listed_up_to([name for name in rows_after if name not in rows_before], LISTED)
    notes = (
        unlike_speeds and f"speed not compared: {unlike_speeds}",
        mixed(machines),
        averaged(pd.concat([before.table, after.table]), "pair"),
        added and f"new in the candidate, not judged: {added}",
    )
    lacks_speed = require_speed and unlike_speeds
    zone = f"{metric.delta:g} {unit}".rstrip()
    return BeforeAfter(
        before=before.title,
        after=after.title,
        asked=f"{short(before.study, 30)}: {title} not worse by {zone} or more, {not_slower(margin)}",
        unit=unit,
        arms=tuple(_change(arm, verdicts.get(arm.name), ratios.get(arm.name), unit) for arm in arms),
        faults=(f"speed is required and not compared: {unlike_speeds}",) if lacks_speed else (),
        notes=tuple(filter(None, notes)),
    )


def not_slower(margin: float) -> str:
    """What is asked of the speed."""
    return f"not slower by more than {100 * margin:g} %"


def _rename_baseline(before: ResultSet, after: ResultSet) -> ResultSet:
    """The side after, with its baseline, which is named after its settings, called as it was before."""
    names = before.baseline, after.baseline
    if not all(names) or after.baseline in set(before.table.arm) or before.baseline in set(after.table.arm):
        return after
    return replace(after, table=after.table.replace({"arm": {after.baseline: before.baseline}}))


def _rows(table: pd.DataFrame, metric: Metric) -> dict[str, dict[Any, Row]]:
    """The rows of a side by arm and seed."""
    whole = table.assign(value=numbers_of(table, metric.name))
    known = [column.name for column in fields(Row) if column.name in whole]
    rows: dict[str, dict[Any, Row]] = {}
    for arm, cells in zip(table.arm, whole[known].to_dict("records"), strict=True):
        row = Row(**{str(name): cell for name, cell in cells.items()})
        rows.setdefault(str(arm), {})[row.seed] = row
    return rows


def _judge_arms(
    arms: Sequence[_Arm], before: ResultSet, after: ResultSet, design: Design
) -> dict[str, Verdict]:
    """The verdicts by arm, the identical arms corrected apart from the rest, whom they do not burden."""
    verdicts: dict[str, Verdict] = {}
    for identical in (False, True):
        names = [arm.name for arm in arms if arm.after and arm.identical is identical]
        verdicts |= _judge_together(names, before, after, design) if names else {}
    return verdicts


def _judge_together(
    names: Sequence[str], before: ResultSet, after: ResultSet, design: Design
) -> dict[str, Verdict]:
    """The verdicts on these arms after the change against themselves before it, corrected together."""
    arms = []
    for name in names:
        arms.append(MeasuredArm(name=f"before {name}", changes={"version": "before"}))
        arms.append(MeasuredArm(name=f"after {name}", against=f"before {name}"))
    sides = (("before", before), ("after", after))
    table = pd.concat([side.table.assign(arm=f"{when} " + side.table.arm) for when, side in sides])
    table = table[table.arm.isin([arm.name for arm in arms])]
    if "status" in table:
        table = table[table.status != WAITING]
    rows = compare(table, replace(design, arms=tuple(arms))).rows
    verdicts = {row.arm.name: row.verdict for row in rows}
    return {name: verdict for name in names if (verdict := verdicts[f"after {name}"])}


def _change(arm: _Arm, verdict: Verdict | None, ratio: SpeedRatio | None, unit: str) -> ArmChange:
    if not arm.after:
        return ArmChange(name=arm.name, faults=("is missing from the candidate",))
    return ArmChange(
        name=arm.name,
        faults=(
            *_unfinished(arm),
            *_other_tasks(arm.changed_settings),
            *_contradictions(arm),
            *(() if arm.identical else _not_shown(verdict, unit)),
            *(ratio.fault if ratio else ()),
        ),
        notes=tuple(_notes(arm)),
        verdict=verdict,
        identical=arm.identical,
        speed_ratio=ratio,
    )


def _contradictions(arm: _Arm) -> Iterator[str]:
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


def _unfinished(arm: _Arm) -> Iterator[str]:
    """Seeds that fail after and did not before, and seeds that were never trained."""
    if failures := sorted(_failed_seeds(arm.after) - _failed_seeds(arm.before)):
        reason = arm.after[failures[0]].reason or "no finite value"
        yield f"{plural(len(failures), 'new failure')}, seed {listed_up_to(failures, LISTED)}: {reason}"
    if waiting := [seed for seed, row in arm.after.items() if not row.ended]:
        yield f"has no result for seed {listed_up_to(waiting, LISTED)}: run the study to its end"


def _other_tasks(changed: Iterable[str]) -> Iterator[str]:
    if fields_of_task := [name for name in TASK if name in changed]:
        yield f"another task, so that the numbers cannot be compared: {', '.join(fields_of_task)} changed"


def _notes(arm: _Arm) -> Iterator[str]:
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


def _not_shown(verdict: Verdict | None, unit: str) -> Iterator[str]:
    """Why the arm is not shown to be less than δ worse: nothing where it is, also beside other arms."""
    if verdict is None:
        yield "has no seed in common with the baseline"
        return
    c = verdict.contrast
    if shown_no_worse(c):
        return
    if verdict.word is Word.WORSENS:
        yield f"worse on {c.losses} of {c.pairs} seeds, by {measure(c.mean, unit, sign=True)}"
    elif verdict.word is Word.INCONCLUSIVE:
        needed = (
            f"; {seeds_to_show(c)} seeds would mostly show it, if nothing changed" if c.seeds_needed else ""
        )
        if len(c.differences) < FEWEST_SEEDS:
            which = "finished on both sides" if c.given_convergence else "in common"
            yield f"{len(c.differences)} seeds {which}; under {FEWEST_SEEDS} nothing is decided{needed}"
        else:
            zone, end = f"{c.delta:g} {unit}".rstrip(), measure(worst_end(c), unit, sign=True)
            yield f"not shown to be less than {zone} worse: the interval reaches {end}{needed}"


def _speeds(arm: _Arm) -> list[tuple[Speed, Speed]]:
    """The speeds before and after of every seed that has one on both sides."""
    return [
        ((before.speed_train, before.machine), (after.speed_train, after.machine))
        for before, after in arm.pairs.values()
        if before.has_speed and after.has_speed
    ]
