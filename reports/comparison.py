"""The arms of a study, each against its baseline: what can be compared, by how much, with what verdict.

Verdicts are sought at the study's looks, by the first of its metrics; what has been decided asks for no more
seeds. Only the seeds of the looks that were taken count: others enter no verdict and no mean.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.trial import BadInput, Metric
from reports.arms import apart, finished, is_self_check, summary_of, trial_of, values
from reports.evidence import Evidence, MeasuredArm
from reports.formats import titled
from reports.looks import Taken, taken
from reports.proofs import Proof, proofs
from reports.statistics.contrasts import ArmSummary, Contrast, contrast
from reports.statistics.verdicts import Verdict

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
    total: int  # seeds that the looks so far and the next one need
    done: int
    diverged: int
    failed: int  # for any other reason
    ahead: int  # trained for a look that is not complete, and not counted yet
    most: int  # seeds that its contrasts may come to need
    summary: ArmSummary
    contrast: Contrast | None = None
    verdict: Verdict | None = None  # with p adjusted by Holm, of an exploratory arm by Benjamini–Hochberg
    note: str = ""  # why it is not compared, or not to be believed
    declared: bool = False  # whether it has a contrast to decide: the A/A check has none
    decided: bool = False  # by the study's first metric
    stuck: str = ""  # why its contrast cannot be decided, such as "seed 3 failed"
    asks: int = 0  # seeds that its contrast needs at the next look; 0 if there is none
    proofs: tuple[Proof, ...] = ()  # one for each factor that has a witness

    @property
    def correction(self) -> str:
        """The method that adjusts its p."""
        return "Benjamini–Hochberg" if self.arm.exploratory else "Holm"

    @property
    def waiting(self) -> int:
        """Trials that have not ended."""
        return self.total - self.done - self.diverged - self.failed - self.ahead

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
    """A study's arms in declared order, compared by one metric; `others` compares them by the others."""

    evidence: Evidence
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
        return len(self.evidence.looks) > 1

    @property
    def uncounted(self) -> int:
        """Trials that were trained beyond the looks that were taken."""
        every = zip(self.evidence.arms, self.rows, strict=True)
        return sum(len(arm.trials) - len(row.arm.trials) for arm, row in every)

    def common(self, rows: Sequence[ComparedArm]) -> tuple[int, ...]:
        """The seeds that count for all of these arms, failures included."""
        return tuple(s for s in self.evidence.seeds if all(s in row.arm.results for row in rows))

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
    def in_nats(self) -> bool:
        """Whether exp of a difference is a ratio of perplexities."""
        return self.unit == "nats"

    @property
    def compared(self) -> tuple[ComparedArm, ...]:
        """The rows that have a contrast."""
        return tuple(row for row in self.rows if row.contrast is not None)


def compare(evidence: Evidence) -> Comparison:
    """Every arm against its baseline, by every metric. Raises BadInput where there is no arm, or no δ."""
    place = f"study {evidence.study!r}"
    if not evidence.arms:
        raise BadInput("there are none to report", place=place, key="arms", cure="declare a baseline")
    for metric in evidence.metrics:
        if not metric.delta > 0:
            raise BadInput(f"δ of {metric.name}: must be above 0, in its unit", place=place)
    arms = {arm.name: arm for arm in evidence.arms}
    notes = {arm.name: _note(arm, evidence) for arm in evidence.arms[1:]}
    pairs = {
        name: (arms[name], arms.get(arms[name].against, evidence.arms[0]))
        for name, note in notes.items()
        if note in ("", UNSEEN, DEAD)
    }
    found = taken(pairs, evidence)
    views = [_view(metric, found, notes, evidence) for metric in evidence.metrics]
    return replace(views[0], others=tuple(views[1:]))


def _view(metric: Metric, found: Taken, notes: Mapping[str, str], evidence: Evidence) -> Comparison:
    """The comparison by one metric."""
    decisions = found.decisions
    rows: list[ComparedArm] = []
    for index, (name, arm) in enumerate(found.arms.items()):
        row = _row(index, arm, evidence, metric, found.needs[name], notes.get(name, ""))
        if index and is_self_check(arm):
            sides, lower = (row.summary.values, rows[0].summary.values), metric.lower_is_better
            row = replace(row, contrast=contrast(*sides, delta=metric.delta, lower_is_better=lower))
        elif v := decisions.verdicts.get(name, {}).get(metric.name):
            row = replace(row, declared=True, decided=v.decided, stuck=v.stuck, asks=decisions.asks[name])
            if not row.note and v.contrast.pairs:
                row = replace(row, contrast=v.contrast, verdict=v)
            else:
                row = replace(row, note=row.note or (f"open: {v.stuck}" if v.stuck else APART))
        rows.append(row)
    title, unit = titled(metric.name)
    return Comparison(
        evidence=evidence, metric=metric, title=title, unit=unit, rows=tuple(rows), looked=decisions.looks
    )


def _row(
    index: int, arm: MeasuredArm, evidence: Evidence, metric: Metric, needed: int, note: str
) -> ComparedArm:
    ended, numbers = arm.trials, values(arm, metric.name)
    failed = sum(not r.done and not r.diverged for r in ended.values())
    total = 1 if arm.counted else max(len(ended), needed)
    trained = evidence.arms[index].results.keys() - arm.results.keys()
    diverged = sum(math.isinf(numbers.get(seed, 0.0)) for seed in ended)
    return ComparedArm(
        index=index,
        arm=arm,
        total=total,
        done=len(ended) - diverged - failed,
        diverged=diverged,
        failed=failed,
        ahead=0 if arm.counted else len(trained & set(evidence.seeds[:total])),
        most=total if arm.counted else evidence.looks[0 if index and is_self_check(arm) else -1],
        summary=summary_of(arm, metric.name),
        note=note,
        proofs=proofs(finished(arm)),
    )


def _note(arm: MeasuredArm, evidence: Evidence) -> str:
    """Why the arm is not compared with the baseline, or with the arm that it names, or nothing."""
    if arm.counted and not arm.against:
        return COUNTED
    if not arm.against and any(other.against == arm.name for other in evidence.arms):
        return REFERENCE
    baseline = next((other for other in evidence.arms if other.name == arm.against), evidence.arms[0])
    if trial_of(arm) is None or trial_of(baseline) is None:
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
