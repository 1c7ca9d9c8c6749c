"""Results before and after a change: is an arm worse, or slower?

An arm fails unless it is shown to be not worse: less than δ worse, or bit-identical. Speed fails only when it
is shown to be slower by more than a margin, on like machines.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import pandas as pd

from unrolled.bench.errors import BadInput
from unrolled.bench.machine_kind import mixed
from unrolled.bench.metric import Metric
from unrolled.reports.before_after_arms import GONE, LISTED, PairedArm, Rows, faults, notes, rows_by_arm
from unrolled.reports.contrast_decisions import judge_sides
from unrolled.reports.design import Design
from unrolled.reports.elsewhere import averaged
from unrolled.reports.formats import listed_up_to, short
from unrolled.reports.scale import Scale
from unrolled.reports.statistics.speed_ratio import (
    FEWEST,
    SpeedRatio,
    ratios_of_like_machines,
    ratios_of_rounds,
    unlike,
)
from unrolled.reports.statistics.verdicts import Verdict


@dataclass(frozen=True, kw_only=True)
class ResultSet:
    """One side: a table with a row a trial, see `reports.trials`.

    It may have more columns: `reason` (why there is no number), `fingerprints` (what the trial computed),
    `numbers` (measured, as text by name, where there are fingerprints), `settings`, `task` (those that define
    it), `machine` (its kind, see bench.machine_kind), `commit` and `speed_train` (tokens/s). Of benchmarks a
    row is a stored run.
    """

    name: str  # as typed
    table: pd.DataFrame
    study: str = ""
    metrics: tuple[Metric, ...] = ()  # that its plan declares
    baseline: str = ""  # the name of the study's own baseline
    first_look: Collection[int] = ()  # seeds that its plan trains of every arm; () where no plan is known

    @property
    def title(self) -> str:
        """The name, with the commit of the code if it is known."""
        commits = sorted(set(self.table.get("commit", ())) - {""})
        named = commits[0] if len(commits) == 1 else f"{len(commits)} commits"
        return f"{self.name} ({named})" if commits else self.name


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
    scale: Scale = field(default_factory=Scale)
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
    verdicts' p are Holm's, since one false "worse" among many arms would be a false alarm.
    """
    design = Design(study="", metrics=(metric,), arms=(), test_share=test_share)
    scale, after = design.scale(metric), _rename_baseline(before, after)
    rows, rows_after = rows_by_arm(before.table, metric), rows_by_arm(after.table, metric)
    arms = _pair_arms(rows, rows_after, before.first_look)
    added = [name for name in rows_after if name not in rows]
    machines = [(row.machine, row_after.machine) for arm in arms for row, row_after in arm.pairs.values()]
    kinds = [kind for pair in machines for kind in pair]
    if not metric.is_quality and any(kinds) and (reason := unlike(kinds)):  # a table records no machine
        raise BadInput(reason, place=after.name, key=metric.name, cure="train both sides on one machine")
    ratios, unlike_speeds = ratios_of_like_machines({arm.name: arm.speeds for arm in arms}, margin)
    verdicts = _judge_arms(arms, metric, design)
    remarks = (
        unlike_speeds and f"speed not compared: {unlike_speeds}",
        mixed(machines),
        averaged(pd.concat([before.table, after.table]), "pair"),
        f"new in the candidate, not judged: {listed_up_to(added, LISTED)}" if added else "",
    )
    fault = f"speed is required and not compared: {unlike_speeds}" if require_speed and unlike_speeds else ""
    asked = f"{metric.name} not worse by {scale.within(metric.delta)} or more ({metric.better} is better)"
    return BeforeAfter(
        before=before.title,
        after=after.title,
        asked=f"{short(before.study, 30)}: {asked}, {_not_slower(margin)}",
        scale=scale,
        arms=tuple(_change(arm, verdicts.get(arm.name), ratios.get(arm.name), scale) for arm in arms),
        faults=(fault,) if fault else (),
        notes=tuple(filter(None, remarks)),
    )


def compare_timings(
    before: ResultSet, after: ResultSet, *, margin: float, require_speed: bool = False
) -> BeforeAfter:
    """Compare two sides' benchmarks by name. Raises BadInput on unlike machines, and where none is shared.

    Runs of unchanged code differ by more than their rounds tell, so that only three stored runs on each side
    can show that a benchmark is slower.
    """
    if reason := unlike([*before.table.machine, *after.table.machine]):
        raise BadInput(reason, place=after.name, cure="run both sides' benchmarks on one machine")
    runs_before, runs_after = (
        {str(name): runs for name, runs in side.table.groupby("arm", sort=False)} for side in (before, after)
    )
    pairs = {name: (runs, runs_after[name]) for name, runs in runs_before.items() if name in runs_after}
    if not pairs:
        raise BadInput(
            f"has no benchmark of {before.name}", place=after.name, cure="compare runs of the same tests"
        )
    ratios = ratios_of_rounds(pairs, margin)
    missing = listed_up_to([name for name in pairs if name not in ratios], LISTED)
    lost = [f"not compared, for want of rounds on both sides: {missing}"] if missing else []
    repeated = [name for name in ratios if min(map(len, pairs[name])) >= FEWEST]
    if few := listed_up_to([name for name in ratios if name not in repeated], LISTED):
        lost.append(f"slower is shown by {FEWEST} stored runs on each side, which these lack: {few}")
    fails = bool(lost) and (require_speed or not ratios)
    return BeforeAfter(
        before=before.name,
        after=after.name,
        asked=f"pytest-benchmark: {_not_slower(margin)}",
        noun="benchmark",
        arms=tuple(
            ArmChange(name=name, faults=ratio.fault if name in repeated else (), speed_ratio=ratio)
            for name, ratio in ratios.items()
        )
        + tuple(ArmChange(name=name, faults=(GONE,)) for name in runs_before if name not in pairs),
        faults=tuple(lost) if fails else (),
        notes=() if fails else tuple(lost),
    )


def _not_slower(margin: float) -> str:
    """What is asked of the speed."""
    return f"not slower by more than {100 * margin:g} %"


def _rename_baseline(before: ResultSet, after: ResultSet) -> ResultSet:
    """The side after, with its baseline, which is named after its settings, called as it was before."""
    names = before.baseline, after.baseline
    if not all(names) or after.baseline in set(before.table.arm) or before.baseline in set(after.table.arm):
        return after
    return replace(after, table=after.table.replace({"arm": {after.baseline: before.baseline}}))


def _pair_arms(before: Rows, after: Rows, first_look: Collection[int]) -> list[PairedArm]:
    """The arms before, each with its rows after. Without a plan all seeds of either side are planned."""
    arms = []
    for name, own in before.items():
        seeds = own.keys() | after.get(name, {}).keys()
        planned = seeds & set(first_look) if first_look else seeds
        arms.append(PairedArm(name=name, before=own, after=after.get(name, {}), planned=planned))
    return arms


def _judge_arms(arms: list[PairedArm], metric: Metric, design: Design) -> dict[str, Verdict]:
    """The verdicts by arm, the identical arms corrected apart from the rest, whom they do not burden."""
    verdicts: dict[str, Verdict] = {}
    for identical in (False, True):
        sides = {arm.name: arm.after_and_before for arm in arms if arm.after and arm.identical is identical}
        equal = {arm.name: arm.pairs.keys() for arm in arms if identical}
        verdicts |= judge_sides(sides, metric, design, equal=equal)
    return verdicts


def _change(arm: PairedArm, verdict: Verdict | None, ratio: SpeedRatio | None, scale: Scale) -> ArmChange:
    return ArmChange(
        name=arm.name,
        faults=(*faults(arm, verdict, scale), *(ratio.fault if ratio else ())),
        notes=tuple(notes(arm)) if arm.after else (),
        verdict=verdict,
        identical=arm.identical,
        speed_ratio=ratio,
    )
