"""The arms of a table, each against its baseline: what can be compared, by how much, with what verdict.

A study's verdicts are sought at its looks, by the first of its metrics; what has been decided asks for no
more seeds. Only the seeds of the looks that were taken count: others enter no verdict and no mean. A table
from elsewhere has no looks: all of its rows count.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bench.errors import BadInput
from bench.trial import Metric
from reports.arms import apart, finished, is_self_check, select_seeds
from reports.contrast_decisions import decide_contrasts, seeds_of_sides
from reports.design import Design, MeasuredArm
from reports.formats import Scale, decimals, scale, titled
from reports.statistics.contrasts import ArmSummary, Contrast, contrast, summarise
from reports.statistics.decisions import Decisions
from reports.statistics.verdicts import Verdict
from reports.trials import Statuses, statuses, values_by_metric
from reports.witnesses import Proof, proofs

DEAD = "dead toggle: the weights equal the baseline's"
UNSEEN = "no results yet"
APART = "no seed in common with the baseline yet"
REFERENCE = "a reference: others are held against it"
COUNTED = "a reference: trained once, as counting draws nothing at random"


@dataclass(frozen=True, kw_only=True)
class ComparedArm:
    """One arm of the comparison, by one metric. The baseline, references and other tasks have no contrast."""

    index: int  # position in the study; 0 is the baseline
    arm: MeasuredArm  # with the results that count
    noun: str  # what a pair of rows is called
    seeds: tuple[Any, ...]  # of the rows that count, failures included
    total: int  # seeds that the looks so far and the next one need
    done: int
    diverged: int
    failed: int  # for any other reason
    not_counted_yet: int  # trained for a look that is not complete, and not counted yet
    max_seeds: int  # seeds that its contrasts may come to need
    summary: ArmSummary
    contrast: Contrast | None = None
    verdict: Verdict | None = None  # with p adjusted by Holm, of an exploratory arm by Benjamini–Hochberg
    note: str = ""  # why it is not compared, or not to be believed
    declared: bool = False  # whether it has a contrast to decide: the A/A check has none
    decided: bool = False  # by the study's first metric
    blocked_reason: str = ""  # why its contrast cannot be decided, such as "seed 3 failed"
    seeds_requested: int = 0  # seeds that its contrast needs at the next look; 0 if there is none
    proofs: tuple[Proof, ...] = ()  # one for each factor that has a witness

    @property
    def correction(self) -> str:
        """The method that adjusts its p."""
        return "Benjamini–Hochberg" if self.arm.exploratory else "Holm"

    @property
    def not_ended(self) -> int:
        """Trials that have not ended."""
        return self.total - self.done - self.diverged - self.failed - self.not_counted_yet

    @property
    def state(self) -> str:
        """`decided` or `open`; "" for an arm that has no contrast to decide."""
        return "" if not self.declared else "decided" if self.decided else "open"

    @property
    def shown(self) -> tuple[Proof, ...]:
        """The proofs to show: of what the arm changes, and all that failed."""
        return tuple(p for p in self.proofs if not p.ok or p.factor in self.arm.changes)

    @property
    def dead(self) -> bool:
        """Whether the change had no effect: the weights equal the baseline's."""
        return self.note == DEAD

    @property
    def changed(self) -> str:
        """The arm's changes as `name = value`, and the arm that it is compared with if not the baseline."""
        changes = ", ".join(f"{name} = {value}" for name, value in self.arm.changes.items())
        return f"{changes}, against {self.arm.against}" if self.arm.against else changes


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Arms in declared order, compared by one metric; `others` compares them by the others."""

    table: pd.DataFrame  # a row a trial; `counts` tells whether it counts for its arm's contrast
    design: Design
    metric: Metric
    title: str  # the metric in words
    unit: str
    rows: tuple[ComparedArm, ...]
    looked: int  # looks that were taken
    others: tuple["Comparison", ...] = ()

    @property
    def lower_is_better(self) -> bool:
        """Whether a lower value is better."""
        return self.metric.lower_is_better

    @property
    def judged(self) -> tuple[ComparedArm, ...]:
        """The rows that have a contrast to decide: the A/A check has none."""
        return tuple(row for row in self.rows if row.declared)

    @property
    def views(self) -> tuple["Comparison", ...]:
        """The comparison by each metric, this one first."""
        return self, *self.others

    @property
    def sequential(self) -> bool:
        """Whether the study looks more than once."""
        return len(self.design.looks) > 1

    @property
    def uncounted(self) -> int:
        """Trials that were trained beyond the looks that were taken."""
        return len(self.table) - int(self.table.counts.sum())

    def common(self, rows: Sequence[ComparedArm]) -> tuple[int, ...]:
        """The seeds that count for all of these arms, failures included."""
        return tuple(s for s in self.design.seeds if all(s in row.seeds for row in rows))

    def by(self, metric: str) -> "Comparison | None":
        """The comparison by this metric, if the study names it."""
        return next((c for c in self.views if c.metric.name == metric), None)

    def base(self, row: ComparedArm) -> ComparedArm:
        """The row that this one is compared with: the baseline, or the arm named in `against`."""
        return next((r for r in self.rows if r.arm.name == row.arm.against), self.rows[0])

    @property
    def entrants(self) -> tuple[ComparedArm, ...]:
        """The baseline, and the rows with a contrast that have its task: their numbers can be compared."""
        first, *others = self.rows
        return first, *(row for row in others if row.contrast and not apart(row.arm, first.arm))

    @property
    def bases(self) -> str:
        """The baseline's name, and that arms are held against others too, if any is."""
        others = any(row.contrast and self.base(row) is not self.rows[0] for row in self.rows)
        return f"{self.rows[0].arm.name}{' or the arm that each names' if others else ''}"

    @property
    def label(self) -> str:
        """The metric in words, with its unit."""
        return self.title if self.title.endswith(self.unit) else f"{self.title} ({self.unit})"

    @property
    def scale(self) -> Scale:
        """How people read the metric."""
        return scale(self.metric.name, None if self.design.plan else self.metric.delta)

    @property
    def decimals(self) -> int:
        """The decimals of the tables: four, or of a table from elsewhere two beyond those of δ."""
        return 4 if self.design.plan else decimals(self.metric.delta)

    @property
    def in_nats(self) -> bool:
        """Whether exp of a difference is a ratio of perplexities."""
        return self.unit == "nats"

    @property
    def compared(self) -> tuple[ComparedArm, ...]:
        """The rows that have a contrast."""
        return tuple(row for row in self.rows if row.contrast is not None)


def compare(table: pd.DataFrame, design: Design) -> Comparison:
    """The arms of a table, each against its baseline, by every metric; `reports.trials` has the columns.

    Raises BadInput where there is no arm, or no δ.
    """
    place = f"study {design.study!r}"
    if not design.arms:
        raise BadInput("there are none to report", place=place, key="arms", cure="declare a baseline")
    for metric in design.metrics:
        if not metric.delta > 0:
            raise BadInput(f"δ of {metric.name}: must be above 0, in its unit", place=place)
    ended, values = statuses(table, design), values_by_metric(table, design)
    notes = _notes(ended, design)
    decisions = decide_contrasts(_contrasts(notes), ended, values, design)
    seeds, needed = _seeds_that_count(decisions, ended, design)
    counts = [seed in seeds[arm] for arm, seed in zip(table.arm, table.seed, strict=True)]
    table = table.assign(counts=counts)
    views = []
    for metric in design.metrics:
        rows: list[ComparedArm] = []
        for arm in design.arms:
            of = ended[arm.name], values[metric.name][arm.name], seeds[arm.name], needed[arm.name]
            row = _row(len(rows), metric, design, *of, notes.get(arm.name, ""))
            rows.append(_judged(row, rows or [row], metric, decisions))
        title, unit = titled(metric.name)
        views.append(
            Comparison(
                table=table,
                design=design,
                metric=metric,
                title=title,
                unit=unit,
                rows=tuple(rows),
                looked=decisions.looks,
            )
        )
    return replace(views[0], others=tuple(views[1:]))


def decide_looks(table: pd.DataFrame, design: Design) -> Decisions[str]:
    """The state of every contrast after the looks whose results are complete."""
    ended = statuses(table, design)
    contrasts = _contrasts(_notes(ended, design))
    return decide_contrasts(contrasts, ended, values_by_metric(table, design), design)


def _contrasts(notes: Mapping[str, str]) -> list[str]:
    """The arms that are compared, or will be."""
    return [name for name, note in notes.items() if note in ("", UNSEEN, DEAD)]


def _seeds_that_count(
    decisions: Decisions[str], ended: Statuses, design: Design
) -> tuple[dict[str, Collection[Any]], dict[str, int]]:
    """By arm, the seeds that count for a contrast, and how many are needed for the next look."""
    if not design.looks:
        return {name: of.keys() for name, of in ended.items()}, {name: len(of) for name, of in ended.items()}
    first = design.metrics[0].name
    looks = {name: by[first].contrast.look for name, by in decisions.verdicts.items()}
    counted = seeds_of_sides({name: look.looks.numbers[look.k] for name, look in looks.items()}, design)
    needed = seeds_of_sides(decisions.seeds_requested, design)
    return {name: design.seeds[:n] for name, n in counted.items()}, needed


def _row(
    index: int,
    metric: Metric,
    design: Design,
    ended: Mapping[Any, str],
    values: Mapping[Any, float],
    seeds: Collection[Any],
    needed: int,
    note: str,
) -> ComparedArm:
    """An arm by the rows that count for it."""
    whole = design.arms[index]
    arm = replace(whole, results=select_seeds(whole.results, seeds))
    statuses, values = select_seeds(ended, seeds), select_seeds(values, seeds)
    once = dict(list(statuses.items())[: 1 if arm.counted else None])
    diverged = sum(math.isinf(values.get(seed, 0.0)) for seed in once)
    failed = sum(status not in ("done", "diverged") for status in once.values())
    total = 1 if arm.counted else max(len(once), needed)
    summary = summarise(values, lower_is_better=metric.lower_is_better)
    beyond = (ended.keys() - statuses.keys()) & set(design.seeds[:total])
    looks = design.looks or (total,)
    return ComparedArm(
        index=index,
        arm=arm,
        noun=design.noun,
        seeds=tuple(statuses),
        total=total,
        done=len(once) - diverged - failed,
        diverged=diverged,
        failed=failed,
        not_counted_yet=0 if arm.counted else len(beyond),
        max_seeds=total if arm.counted else looks[0 if index and is_self_check(arm) else -1],
        summary=replace(summary, sd=None, interval=None) if arm.counted else summary,
        note=note,
        proofs=proofs(finished(arm)),
    )


def _judged(
    row: ComparedArm, rows: Sequence[ComparedArm], metric: Metric, decisions: Decisions[str]
) -> ComparedArm:
    """The row with its contrast and verdict, or the reason why it has none; the baseline as it is."""
    if not row.index:
        return row
    name = row.arm.name
    if is_self_check(row.arm):
        sides, lower = (row.summary.values, rows[0].summary.values), metric.lower_is_better
        return replace(row, contrast=contrast(*sides, delta=metric.delta, lower_is_better=lower))
    v = decisions.verdicts.get(name, {}).get(metric.name)
    if v is None:
        return replace(row, note=row.note or APART)
    row = replace(
        row,
        declared=True,
        decided=v.decided,
        blocked_reason=v.blocked_reason,
        seeds_requested=decisions.seeds_requested[name],
    )
    if not row.note and v.contrast.pairs:
        return replace(row, contrast=v.contrast, verdict=v)
    return replace(row, note=row.note or (f"open: {v.blocked_reason}" if v.blocked_reason else APART))


def _notes(ended: Statuses, design: Design) -> dict[str, str]:
    """Why each arm but the baseline is not compared; "" where it is."""
    arms = {arm.name: arm for arm in design.arms}
    return {
        name: _note(arms[name], arms[base], ended[name] and ended[base], design)
        for name, base in design.bases.items()
    }


def _note(arm: MeasuredArm, baseline: MeasuredArm, both_seen: object, design: Design) -> str:
    if arm.counted and not arm.against:
        return COUNTED
    if not arm.against and any(other.against == arm.name for other in design.arms):
        return REFERENCE
    if not both_seen:
        return UNSEEN
    if other := apart(arm, baseline):
        return f"another task: {', '.join(other)}"
    if _same_weights(baseline, arm):
        return DEAD
    return ""


def _same_weights(baseline: MeasuredArm, arm: MeasuredArm) -> bool:
    """Whether a change of settings left every shared seed's weights as they were. Another model may."""
    ours, theirs = (
        {r.trial.seed: mark for r in finished(side) if (mark := r.fingerprints.get("weights"))}
        for side in (arm, baseline)
    )
    shared = ours.keys() & theirs.keys()
    settings_alone = arm.model == baseline.model and bool(arm.changes)
    return settings_alone and bool(shared) and all(ours[s] == theirs[s] for s in shared)
