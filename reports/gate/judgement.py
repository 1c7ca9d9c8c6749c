"""The gate: judges whether the second of two sets of results, of two versions of the code, is worse.

Results fail closed: an arm passes when it is shown to be no worse by δ, or is bit-identical. Speed fails only
when it is shown to be slower by more than a margin, on like machines.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.differences import differences
from bench.machine_kind import mixed
from bench.trial import TASK, BadInput, counted
from reports.formats import short, titled
from reports.gate.sides import ArmResults, Outcome, ResultSet, Timings
from reports.statistics import power
from reports.statistics.contrasts import Contrast
from reports.statistics.pace import Pace, of_rounds, of_speeds, unlike
from reports.statistics.power import ALPHA, FEWEST_SEEDS
from reports.statistics.verdicts import Verdict, Word, measure, verdicts

_SILENT = ("corpus", "source", "seed")  # a path, the code itself, the pairing: no change of settings


@dataclass(frozen=True, kw_only=True)
class JudgedArm:
    """One arm, or one benchmark, on both sides. It passes when nothing is at fault."""

    name: str
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    verdict: Verdict | None = None  # None where there is no pair of seeds
    identical: bool = False  # bit for bit, on every shared seed
    pace: Pace | None = None


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A comparison of two result sets and its outcome."""

    baseline: str
    candidate: str
    study: str
    title: str  # what is measured, in words; "" where it is time alone
    unit: str
    delta: float | None
    margin: float
    judged: tuple[JudgedArm, ...]
    faults: tuple[str, ...] = ()  # of the whole, and not of one arm
    notes: tuple[str, ...] = ()
    unpaced: str = ""  # why speed is not compared

    @property
    def failed(self) -> tuple[JudgedArm, ...]:
        """The arms or benchmarks that do not pass."""
        return tuple(j for j in self.judged if j.faults)

    @property
    def passed(self) -> bool:
        """Whether the gate passes."""
        return not self.failed and not self.faults


def judge(
    baseline: ResultSet,
    candidate: ResultSet,
    *,
    metric: str,
    delta: float,
    lower: bool,
    margin: float,
    require_speed: bool = False,
) -> Gate:
    """Compare the candidate's arms with the baseline's, paired by seed. `lower` is better, or higher.

    The gate opens when every arm passes, so that each is tested at .05 without a correction: the chance to
    let an arm pass that is worse by δ is at most .05 however many there are (intersection–union test, Berger
    1982). The verdicts' p are Holm's, since one false WORSENS among many arms would be a false alarm.
    """
    title, unit = titled(metric)
    arms = _arms(candidate, baseline)
    pairs = {name: (arm, arms[name]) for name, arm in baseline.arms.items() if name in arms}
    same = {name for name, pair in pairs.items() if _identical(*pair)}
    judged: dict[str, Verdict] = {}
    for family in (pairs.keys() - same, same):  # what is bit-identical does not burden the rest
        values = {n: (ours.values, theirs.values) for n, (theirs, ours) in pairs.items() if n in family}
        judged |= verdicts(values, delta=delta, lower_is_better=lower)
    both = [both for pair in pairs.values() for _, *both in _shared(*pair)]
    machines = mixed((theirs.machine, ours.machine) for theirs, ours in both)
    if metric.startswith("speed") and (reason := unlike([o.machine for found in both for o in found])):
        raise BadInput(reason, place=candidate.name, key=title, cure="train both sides on one machine")
    paces, unpaced = _paces(pairs, margin)
    new = [name for name in arms if name not in baseline.arms]
    added = f"new in the candidate, not judged: {listed(new)}" if new else ""
    arms_judged = [
        _judged(name, *pairs[name], name in same, judged.get(name), paces.get(name), unit)
        if name in pairs
        else JudgedArm(name=name, faults=("is missing from the candidate",))
        for name in baseline.arms
    ]
    return Gate(
        baseline=_side(baseline),
        candidate=_side(candidate),
        study=baseline.study,
        title=title,
        unit=unit,
        delta=delta,
        margin=margin,
        judged=tuple(arms_judged),
        faults=(f"speed is required and not compared: {unpaced}",) if unpaced and require_speed else (),
        notes=tuple(filter(None, (machines, added))),
        unpaced=unpaced,
    )


def judge_timings(
    baseline: Timings, candidate: Timings, *, margin: float, require_speed: bool = False
) -> Gate:
    """Compare two sides' benchmarks by name. Raises BadInput on unlike machines, and where none is shared."""
    if reason := unlike([*baseline.machines, *candidate.machines]):
        raise BadInput(reason, place=candidate.name, cure="run both sides' benchmarks on one machine")
    both = {n: (runs, candidate.runs[n]) for n, runs in baseline.runs.items() if n in candidate.runs}
    if not both:
        cure = "compare runs of the same tests"
        raise BadInput(f"has no benchmark of {baseline.name}", place=candidate.name, cure=cure)
    paces = of_rounds(both, margin)
    missing = [name for name in baseline.runs if name not in paces]
    lost = f"not compared, for want of rounds on both sides: {listed(missing)}" if missing else ""
    return Gate(
        baseline=baseline.name,
        candidate=candidate.name,
        study="pytest-benchmark",
        title="",
        unit="",
        delta=None,
        margin=margin,
        judged=tuple(JudgedArm(name=name, faults=pace.fault, pace=pace) for name, pace in paces.items()),
        faults=(lost,) if lost and (require_speed or not paces) else (),
        notes=(lost,) if lost and paces and not require_speed else (),
    )


def listed(names: Sequence[object]) -> str:
    """A few names, and how many more there are."""
    most = 5
    shown = ", ".join(short(name) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def _judged(
    name: str,
    theirs: ArmResults,
    ours: ArmResults,
    identical: bool,
    found: Verdict | None,
    pace: Pace | None,
    unit: str,
) -> JudgedArm:
    faults = [*_unfinished(theirs, ours), *_another_task(theirs, ours), *_contradicted(theirs, ours)]
    faults += () if identical else _not_shown(found, unit)
    return JudgedArm(
        name=name,
        faults=(*faults, *(pace.fault if pace else ())),
        notes=tuple(_notes(theirs, ours)),
        verdict=found,
        identical=identical,
        pace=pace,
    )


def _arms(candidate: ResultSet, baseline: ResultSet) -> dict[str, ArmResults]:
    """The candidate's arms by the baseline's names: a study's own baseline is named after its settings."""
    ours, theirs = candidate.base, baseline.base
    renamed = ours and theirs and ours not in baseline.arms and theirs not in candidate.arms
    return {theirs if renamed and name == ours else name: arm for name, arm in candidate.arms.items()}


def _side(side: ResultSet) -> str:
    return f"{side.name} ({side.commit})" if side.commit else side.name


def _identical(theirs: ArmResults, ours: ArmResults) -> bool:
    """Whether every shared seed has the same bits, and the same of every number that both sides hold.

    A clock or a memory that is asked for has to be the same, too.
    """
    same = [a.bits and a.bits == b.bits and a.value == b.value for _, a, b in _shared(theirs, ours)]
    return bool(same) and all(same) and not any(_contradicted(theirs, ours))


def _shared(theirs: ArmResults, ours: ArmResults) -> list[tuple[int, Outcome, Outcome]]:
    """Every seed that both sides have, with the baseline's and the candidate's outcome."""
    seeds = sorted(theirs.outcomes.keys() & ours.outcomes.keys())
    return [(seed, theirs.outcomes[seed], ours.outcomes[seed]) for seed in seeds]


def _unequal(theirs: Outcome, ours: Outcome) -> list[tuple[str, str, str]]:
    """The numbers that both sides have and that differ. A number of one side alone is not compared."""
    both = theirs.numbers.keys() & ours.numbers.keys()
    return list(differences(*({n: v for n, v in o.numbers.items() if n in both} for o in (theirs, ours))))


def _contradicted(theirs: ArmResults, ours: ArmResults) -> Iterator[str]:
    """Seeds with the same bits and other numbers: one side was changed, or is measured in another way."""
    found = [(s, _unequal(a, b)) for s, a, b in _shared(theirs, ours) if a.bits and a.bits == b.bits]
    if found := [(seed, unequal) for seed, unequal in found if unequal]:
        seeds, (name, was, now) = listed([seed for seed, _ in found]), found[0][1][0]
        yield (
            f"the same fingerprints and other numbers, seed {seeds}: {name} {was} in the baseline, {now} in "
            "the candidate: one was changed or damaged, or is measured in another way"
        )


def _unfinished(theirs: ArmResults, ours: ArmResults) -> Iterator[str]:
    """Seeds that fail now and did not before, and seeds that were never trained."""
    if new := sorted(ours.broken - theirs.broken):
        reason = ours.outcomes[new[0]].reason or "no finite value"
        yield f"{counted(len(new), 'new failure')}, seed {listed(new)}: {reason}"
    if ours.waiting:
        yield f"has no result for seed {listed(ours.waiting)}: run the study to its end"


def _another_task(theirs: ArmResults, ours: ArmResults) -> Iterator[str]:
    changed = _changed(theirs, ours)
    if other := [name for name in TASK if name in changed]:
        yield f"another task, so that the numbers cannot be compared: {', '.join(other)} changed"


def _changed(theirs: ArmResults, ours: ArmResults) -> list[str]:
    """Settings that both sides have, with another value."""
    shared = [name for name in theirs.settings if name in ours.settings and name not in _SILENT]
    return [name for name in shared if theirs.settings[name] != ours.settings[name]]


def _not_shown(found: Verdict | None, unit: str) -> Iterator[str]:
    """Why the arm is not shown to be no worse by δ: nothing where it is."""
    if found is None:
        yield "has no seed in common with the baseline"
    elif found.word is Word.WORSENS:
        c = found.contrast
        yield f"worse on {c.losses} of {c.pairs} seeds, by {measure(c.mean, unit, sign=True)}"
    elif found.word is Word.INCONCLUSIVE and not shown_no_worse(found.contrast):
        c = found.contrast
        needed = f"{seeds_to_show(c)} seeds would mostly show it, if nothing changed"
        if len(c.differences) < FEWEST_SEEDS:
            which = "finished on both sides" if c.given_convergence else "in common"
            yield f"{len(c.differences)} seeds {which}; under {FEWEST_SEEDS} nothing is decided; {needed}"
        else:
            zone, end = f"{c.delta:g} {unit}".rstrip(), measure(worst_end(c), unit, sign=True)
            yield f"not shown to be less than {zone} worse: the interval reaches {end}; {needed}"


def worst_end(c: Contrast) -> float | None:
    """The worse end of the 90 % interval, which a one-sided 5 % test uses."""
    if c.interval90 is None:
        return None
    return c.interval90.high if c.lower_is_better else c.interval90.low


def shown_no_worse(c: Contrast) -> bool:
    """Whether a one-sided t test at .05 rules out that the arm is worse by δ or more."""
    end = worst_end(c)
    if end is None or len(c.differences) < FEWEST_SEEDS:
        return False
    return (end if c.lower_is_better else -end) < c.delta


def seeds_to_show(c: Contrast) -> int:
    """The pairs of seeds at which the whole gate passes with 80 % power, if no arm changed.

    Every arm has to pass, so that each needs more power than the gate. All are assumed to have this spread.
    """
    if not c.sd:
        return FEWEST_SEEDS
    needed = power.seeds_needed(c.delta / c.sd, 2 * ALPHA, power.POWER ** (1 / c.family))
    return max(FEWEST_SEEDS, needed)


def _notes(theirs: ArmResults, ours: ArmResults) -> Iterator[str]:
    """Remarks on an arm that do not decide whether it passes."""
    if changed := _changed(theirs, ours):
        values = [f"{name} {theirs.settings[name]} → {ours.settings[name]}" for name in changed]
        yield f"its settings changed: {listed(values)}"
    if mended := sorted(theirs.broken & {s for s, o in ours.outcomes.items() if o.finished}):
        yield f"no longer fails: seed {listed(mended)}"
    if still := sorted(theirs.broken & ours.broken):
        yield f"fails as before: seed {listed(still)}"
    if lone := sorted(theirs.outcomes.keys() ^ ours.outcomes.keys()):
        yield f"only on one side: seed {listed(lone)}"


def _paces(pairs: Mapping[str, tuple[ArmResults, ArmResults]], margin: float) -> tuple[dict[str, Pace], str]:
    """The ratio of times of every arm that has enough speeds on both sides; or why there is none."""
    both = {name: _with_speed(*pair) for name, pair in pairs.items()}
    if not any(both.values()):
        return {}, "there is no seed with a speed on both sides"
    every = [pair for found in both.values() for pair in found]
    apart = [o.machine for pair in every if _unlike(pair) for o in pair]
    like = {n: [pair for pair in found if not _unlike(pair)] for n, found in both.items()}
    speeds = {n: [(a.speed or 0, b.speed or 0) for a, b in found] for n, found in like.items()}
    paces = of_speeds(speeds, margin)
    if apart:
        some = f"{len(apart) // 2} of {counted(len(every), 'pair')}, " if len(apart) < 2 * len(every) else ""
        return paces, some + unlike(apart)
    return paces, "" if paces else "no arm has 3 seeds with a speed on both sides"


def _unlike(pair: Sequence[Outcome]) -> bool:
    return bool(unlike([o.machine for o in pair]))


def _with_speed(theirs: ArmResults, ours: ArmResults) -> list[tuple[Outcome, Outcome]]:
    """The baseline's and the candidate's outcome of every seed that has a speed on both sides."""
    found = [(a, b) for _, a, b in _shared(theirs, ours)]
    return [pair for pair in found if all(o.finished and 0 < (o.speed or 0) < math.inf for o in pair)]
