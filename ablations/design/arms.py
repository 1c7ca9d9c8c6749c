"""What is written → arms: the baseline, the design's cells, the [[arm]]s and A/A; equal ones are merged."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ablations.design import seeds as seeds_
from ablations.design.designs import Cell, matches, parts, title
from ablations.design.errors import at
from ablations.design.settings import Settings, flat, inherit, resolve
from ablations.design.study import Arm
from ablations.design.study_file import Written
from bench.models.registry import suggestion
from bench.trial import BadInput, Scalar, canonical

AA_NAME = "A/A: the baseline again"
AA_OFFSET = 1000


def arms_of(written: Written, seeds: Sequence[int]) -> tuple[Arm, ...]:
    """The arms in declared order, the baseline first. Raises BadInput, naming the arm and the key."""
    return _merged(_arms(written, seeds))


def _arms(written: Written, seeds: Sequence[int]) -> Iterator[Arm]:
    """Every arm in declared order, not yet merged: the baseline, the design's, the [[arm]]s, A/A."""
    with at("[baseline]"):
        settings = resolve(written.baseline)
    baseline = Arm(name=written.baseline_name or title(written.baseline), settings=settings)
    yield baseline
    with at("[design]"):
        designed = _designed(written, baseline)
    yield from designed
    before = {arm.name: arm for arm in (baseline, *designed)}
    for table in written.arm:
        with at(f"arm {table.name!r}"):
            if table.against and written.tuning:
                raise BadInput("against: a study that tunes holds every arm against its baseline")
            arm = _arm(written, baseline, Cell(table.set, table.name))
            _refuse_idle(written, arm, table.set)
            before[table.name] = arm = _held(arm, table.against, before)
        yield replace(arm, question=table.question, note=table.note, exploratory=table.exploratory)
    if written.aa:
        if {seed + AA_OFFSET for seed in seeds} & set(seeds) or max(seeds) + AA_OFFSET > seeds_.LAST:
            raise BadInput(
                f"aa: needs the seeds {AA_OFFSET} above the study's own to be free; use lower seeds"
            )
        yield replace(baseline, name=AA_NAME, seed_offset=AA_OFFSET)


def _designed(written: Written, baseline: Arm) -> list[Arm]:
    """The design's cells as arms, less those that `exclude` takes out (the baseline always stays)."""
    found: list[Arm] = []
    for place, cells in parts(written.design, written.baseline):
        with at(place):
            arms = [_arm(written, baseline, cell) for cell in cells]
            if all(arm.settings == baseline.settings for arm in arms):
                raise BadInput("changes nothing: the baseline is set to this already")
        found += arms
    for pattern in written.design.exclude:
        kept = [a for a in found if a.settings == baseline.settings or not matches(pattern, a.settings)]
        if len(kept) == len(found):
            raise BadInput(f"exclude: no cell has {pattern}; correct it or take it out")
        found = kept
    return found


def _arm(written: Written, baseline: Arm, cell: Cell) -> Arm:
    settings = resolve(inherit(written.baseline, cell.changes))
    changes = _changes(settings, baseline.settings)
    return Arm(name=cell.name or title(cell.changes), settings=settings, changes=changes)


def _held(arm: Arm, against: str, before: Mapping[str, Arm]) -> Arm:
    """The arm, with its changes against the arm of that name, which is an end of no such chain itself."""
    if not against:
        return arm
    other = before.get(against)
    if other is None:
        raise BadInput(f"against: no arm {against!r} stands before this one{suggestion(against, before)}")
    if other.against:
        raise BadInput(f"against: {against!r} is held against {other.against!r}; name that one")
    if other.settings == arm.settings:
        raise BadInput(f"against: {against!r} is set to the very same; change something")
    return replace(arm, against=against, changes=_changes(arm.settings, other.settings))


def _changes(settings: Settings, before: Settings) -> dict[str, Scalar]:
    """The settings that differ, by their flat names."""
    old = flat(before)
    return {key: value for key, value in flat(settings).items() if old.get(key) != value}


def _refuse_idle(written: Written, arm: Arm, changes: Settings) -> None:
    """Raises BadInput for a key without which the arm would be the same."""
    if not changes:
        raise BadInput("changes nothing: its `set` is empty")
    for key in changes:
        rest = {other: value for other, value in changes.items() if other != key}
        try:
            without = resolve(inherit(written.baseline, rest))
        except BadInput:  # the others need this key: detach_every = 64 needs its window
            continue
        if without == arm.settings:
            raise BadInput(f"{key} = {changes[key]!r} changes nothing: without it the arm is the same")


def _merged(arms: Iterator[Arm]) -> tuple[Arm, ...]:
    """Arms of equal content become one: the first keeps its name and lists the others'."""
    kept: dict[bytes, Arm] = {}
    for arm in arms:
        content = canonical([arm.settings, arm.seed_offset, arm.against])
        first = kept.get(content)
        if first is None:
            kept[content] = arm
        elif arm.name and arm.name != first.name:
            kept[content] = replace(
                first,
                also=(*dict.fromkeys((*first.also, arm.name)),),
                question=first.question or arm.question,
                note=first.note or arm.note,
                exploratory=first.exploratory and arm.exploratory,
            )
    for name, count in Counter(arm.name for arm in kept.values()).items():
        if count > 1:
            raise BadInput(f"two arms are called {name!r}; give one of them another name")
    names = {name: arm.name for arm in kept.values() for name in (*arm.also, arm.name)}
    return tuple(replace(arm, against=arm.against and names[arm.against]) for arm in kept.values())
