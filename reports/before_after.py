"""Results before and after a change: is an arm worse, or slower?

Results fail closed: an arm passes when it is shown to be less than δ worse, or is bit-identical. Speed fails
only when it is shown to be slower by more than a margin, on like machines.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.differences import differences
from bench.errors import BadInput, plural
from bench.machine_kind import mixed
from bench.trial import TASK, Metric
from reports.comparison import compare
from reports.design import Design, MeasuredArm
from reports.formats import listed_up_to, short, titled
from reports.statistics.power import FEWEST_SEEDS
from reports.statistics.speed_ratio import Speed, SpeedRatio, of_like_machines, of_rounds, unlike
from reports.statistics.verdicts import Verdict, Word, measure, seeds_to_show, shown_no_worse, worst_end
from reports.trials import numbers_of

WAITING = "waiting"
"""The status of a trial that was planned and has no result."""
_DEFAULTS: dict[str, Any] = {"status": "done", "reason": "", "fingerprints": "", "speed_train": math.nan}
_DEFAULTS |= {"numbers": {}, "settings": {}, "machine": {}}
_SILENT = ("corpus", "source", "seed")  # a path, the code itself, the pairing: no change of settings
_LISTED = 5

Pairs = Mapping[Any, tuple[Any, Any]]
"""The rows of a seed before and after, of every seed that both sides have."""


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
    before: ResultSet, after: ResultSet, metric: Metric, *, margin: float, require_speed: bool = False
) -> BeforeAfter:
    """Compare the arms of two result sets by a metric, paired by seed.

    All arms have to pass, so that each is tested at .05 without a correction: the chance to let an arm pass
    that is worse by δ is at most .05 however many there are (intersection–union test, Berger 1982). The
    verdicts' p are Holm's, since one false WORSENS among many arms would be a false alarm.
    """
    title, unit = titled(metric.name)
    after = _with_names_of(before, after)
    old, new = (_rows(side.table, metric) for side in (before, after))
    pairs = {name: _pairs(old[name], new[name]) for name in old if name in new}
    same = [name for name in pairs if _identical(pairs[name])]
    verdicts: dict[str, Verdict] = {}
    for family in ([name for name in pairs if name not in same], same):
        verdicts |= _verdicts(family, before, after, metric)  # what is identical does not burden the rest
    machines = [(a.machine, b.machine) for of in pairs.values() for a, b in of.values()]
    if metric.name.startswith("speed") and (reason := unlike([kind for both in machines for kind in both])):
        raise BadInput(reason, place=after.name, key=title, cure="train both sides on one machine")
    ratios, unlike_speeds = of_like_machines({name: _speeds(of) for name, of in pairs.items()}, margin)
    added = listed_up_to([name for name in new if name not in old], _LISTED)
    remarks = (
        unlike_speeds and f"speed not compared: {unlike_speeds}",
        mixed(machines),
        added and f"new in the candidate, not judged: {added}",
    )
    zone = f"{metric.delta:g} {unit}".rstrip()
    worse = f"{short(before.study, 30)}: {title} not worse by {zone} or more"
    arms = []
    for name, rows in old.items():
        if name not in pairs:
            arms.append(ArmChange(name=name, faults=("is missing from the candidate",)))
            continue
        found = verdicts.get(name), name in same, ratios.get(name)
        arms.append(_arm(name, rows, new[name], pairs[name], *found, unit))
    return BeforeAfter(
        before=before.title,
        after=after.title,
        asked=f"{worse}, {_not_slower(margin)}",
        unit=unit,
        arms=tuple(arms),
        faults=(f"speed is required and not compared: {unlike_speeds}",)
        if unlike_speeds and require_speed
        else (),
        notes=tuple(filter(None, remarks)),
    )


def compare_timings(
    before: ResultSet, after: ResultSet, *, margin: float, require_speed: bool = False
) -> BeforeAfter:
    """Compare two sides' benchmarks by name. Raises BadInput on unlike machines, and where none is shared."""
    if reason := unlike([*before.table.machine, *after.table.machine]):
        raise BadInput(reason, place=after.name, cure="run both sides' benchmarks on one machine")
    old, new = (
        {str(name): runs for name, runs in side.table.groupby("arm", sort=False)} for side in (before, after)
    )
    both = {name: (runs, new[name]) for name, runs in old.items() if name in new}
    if not both:
        cure = "compare runs of the same tests"
        raise BadInput(f"has no benchmark of {before.name}", place=after.name, cure=cure)
    ratios = of_rounds(both, margin)
    missing = listed_up_to([name for name in old if name not in ratios], _LISTED)
    lost = f"not compared, for want of rounds on both sides: {missing}" if missing else ""
    fails = bool(lost) and (require_speed or not ratios)
    return BeforeAfter(
        before=before.name,
        after=after.name,
        asked=f"pytest-benchmark: {_not_slower(margin)}",
        noun="benchmark",
        arms=tuple(
            ArmChange(name=name, faults=ratio.fault, speed_ratio=ratio) for name, ratio in ratios.items()
        ),
        faults=(lost,) if fails else (),
        notes=(lost,) if lost and not fails else (),
    )


def _not_slower(margin: float) -> str:
    return f"not slower by more than {100 * margin:g} %"


def _with_names_of(before: ResultSet, after: ResultSet) -> ResultSet:
    """The candidate; its own baseline, which is named after its settings, has the name that it had before."""
    old, new = before.baseline, after.baseline
    if not (old and new) or new in set(before.table.arm) or old in set(after.table.arm):
        return after
    table = after.table.assign(arm=after.table.arm.replace({new: old}))
    return ResultSet(name=after.name, table=table, study=after.study)


def _rows(table: pd.DataFrame, metric: Metric) -> dict[str, dict[Any, Any]]:
    """The rows by arm and seed; `value` is the metric, infinite where training diverged, NaN for none."""
    missing = {name: [x] * len(table) for name, x in _DEFAULTS.items() if name not in table}
    whole = table.assign(**missing)
    whole["value"] = numbers_of(whole, metric.name)
    rows: dict[str, dict[Any, Any]] = {}
    for row in whole[["arm", "seed", "value", *_DEFAULTS]].itertuples(index=False):
        rows.setdefault(str(row.arm), {})[row.seed] = row
    return rows


def _pairs(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> Pairs:
    both = {seed: (old[seed], new[seed]) for seed in sorted(old.keys() & new.keys())}
    return {seed: rows for seed, rows in both.items() if all(row.status != WAITING for row in rows)}


def _verdicts(
    names: Sequence[str], before: ResultSet, after: ResultSet, metric: Metric
) -> dict[str, Verdict]:
    """The verdicts on these arms after the change against themselves before it, corrected together."""
    if not names:
        return {}
    sides = [side.table.assign(arm=mark + side.table.arm) for mark, side in (("-", before), ("+", after))]
    arms = [
        arm
        for name in names
        for arm in (
            MeasuredArm(name=f"-{name}", changes={"version": "before"}),
            MeasuredArm(name=f"+{name}", against=f"-{name}"),
        )
    ]
    table = pd.concat(sides)
    table = table[table.arm.isin([arm.name for arm in arms])]
    if "status" in table:
        table = table[table.status != WAITING]
    rows = compare(table, Design(study="", metrics=(metric,), arms=tuple(arms))).rows
    return {name: row.verdict for name, row in zip(names, rows[1::2], strict=True) if row.verdict}


def _arm(
    name: str,
    old: Mapping[Any, Any],
    new: Mapping[Any, Any],
    pairs: Pairs,
    verdict: Verdict | None,
    identical: bool,
    ratio: SpeedRatio | None,
    unit: str,
) -> ArmChange:
    changed = _changed(old, new)
    faults = [*_unfinished(old, new), *_another_task(changed), *_contradicted(pairs)]
    if not identical:
        faults += _not_shown(verdict, unit)
    return ArmChange(
        name=name,
        faults=(*faults, *(ratio.fault if ratio else ())),
        notes=tuple(_notes(old, new, changed)),
        verdict=verdict,
        identical=identical,
        speed_ratio=ratio,
    )


def _identical(pairs: Pairs) -> bool:
    """Whether every shared seed has the same bits, and the same of every number that both sides hold.

    A clock or a memory that is asked for has to be the same, too.
    """
    same = [a.fingerprints and a.fingerprints == b.fingerprints and str(a.value) == str(b.value)
            for a, b in pairs.values()]  # fmt: skip
    return bool(same) and all(same) and not any(_contradicted(pairs))


def _contradicted(pairs: Pairs) -> Iterator[str]:
    """Seeds with the same bits and other numbers: one side was changed, or is measured in another way."""
    unequal = {}
    for seed, (a, b) in pairs.items():
        if a.fingerprints and a.fingerprints == b.fingerprints:
            both = a.numbers.keys() & b.numbers.keys()  # a number of one side alone is not compared
            was, now = ({n: x for n, x in row.numbers.items() if n in both} for row in (a, b))
            unequal[seed] = list(differences(was, now))
    if seeds := [seed for seed, found in unequal.items() if found]:
        name, value, other = unequal[seeds[0]][0]
        yield (
            f"the same fingerprints and other numbers, seed {listed_up_to(seeds, _LISTED)}: {name} {value} "
            f"in the baseline, {other} in the candidate: one was changed or damaged, or is measured in "
            "another way"
        )


def _broken(rows: Mapping[Any, Any]) -> set[Any]:
    """Seeds whose trial diverged or failed."""
    return {seed for seed, row in rows.items() if row.status != WAITING and not math.isfinite(row.value)}


def _unfinished(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> Iterator[str]:
    """Seeds that fail now and did not before, and seeds that were never trained."""
    if failures := sorted(_broken(new) - _broken(old)):
        reason = new[failures[0]].reason or "no finite value"
        yield f"{plural(len(failures), 'new failure')}, seed {listed_up_to(failures, _LISTED)}: {reason}"
    if waiting := [seed for seed, row in new.items() if row.status == WAITING]:
        yield f"has no result for seed {listed_up_to(waiting, _LISTED)}: run the study to its end"


def _changed(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> dict[str, tuple[str, str]]:
    """Settings that both sides have, with another value."""
    was, now = (_settings(rows) for rows in (old, new))
    shared = [name for name in was if name in now and name not in _SILENT]
    return {name: (was[name], now[name]) for name in shared if was[name] != now[name]}


def _settings(rows: Mapping[Any, Any]) -> dict[str, str]:
    return next((dict(row.settings) for row in rows.values() if row.settings), {})


def _another_task(changed: Iterable[str]) -> Iterator[str]:
    if other := [name for name in TASK if name in changed]:
        yield f"another task, so that the numbers cannot be compared: {', '.join(other)} changed"


def _notes(
    old: Mapping[Any, Any], new: Mapping[Any, Any], changed: Mapping[str, tuple[str, str]]
) -> Iterator[str]:
    """Remarks on an arm that do not decide whether it passes."""
    if changed:
        values = [f"{name} {was} → {now}" for name, (was, now) in changed.items()]
        yield f"its settings changed: {listed_up_to(values, _LISTED)}"
    ended = [{seed for seed, row in rows.items() if row.status != WAITING} for rows in (old, new)]
    for what, seeds in (
        ("no longer fails", _broken(old) & ended[1] - _broken(new)),
        ("fails as before", _broken(old) & _broken(new)),
        ("only on one side", ended[0] ^ ended[1]),
    ):
        if seeds:
            yield f"{what}: seed {listed_up_to(sorted(seeds), _LISTED)}"


def _not_shown(found: Verdict | None, unit: str) -> Iterator[str]:
    """Why the arm is not shown to be less than δ worse: nothing where it is."""
    if found is None:
        yield "has no seed in common with the baseline"
        return
    c = found.contrast
    if found.word is Word.WORSENS:
        yield f"worse on {c.losses} of {c.pairs} seeds, by {measure(c.mean, unit, sign=True)}"
    elif found.word is Word.INCONCLUSIVE and not shown_no_worse(c):
        needed = f"{seeds_to_show(c)} seeds would mostly show it, if nothing changed"
        if len(c.differences) < FEWEST_SEEDS:
            which = "finished on both sides" if c.given_convergence else "in common"
            yield f"{len(c.differences)} seeds {which}; under {FEWEST_SEEDS} nothing is decided; {needed}"
        else:
            zone, end = f"{c.delta:g} {unit}".rstrip(), measure(worst_end(c), unit, sign=True)
            yield f"not shown to be less than {zone} worse: the interval reaches {end}; {needed}"


def _speeds(pairs: Pairs) -> list[tuple[Speed, Speed]]:
    """The speeds of every seed that has one on both sides."""
    known = (both for both in pairs.values() if all(_has_speed(row) for row in both))
    return [((a.speed_train, a.machine), (b.speed_train, b.machine)) for a, b in known]


def _has_speed(row: Any) -> bool:
    return math.isfinite(row.value) and 0 < row.speed_train < math.inf
