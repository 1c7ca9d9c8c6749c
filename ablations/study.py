"""A study: TOML → arms → trials. Everything is decided, checked and hashed before the first trial."""

import hashlib
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from ablations import seeds as seeds_
from ablations import tuning
from ablations.designs import AddOne, Cell, Design, Table, matches, parts, title
from ablations.settings import Settings, at, explain, flat, inherit, label, resolve
from ablations.tuning import Tuning, TuningTable
from bench.models.registry import suggestion
from bench.trial import BadInput, Scalar, Trial, canonical

LIMIT = 10_000
"""Trials that are planned without a confirmation."""

AA_NAME = "A/A: the baseline again"
AA_OFFSET = 1000

Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One arm: what it changes against the baseline, and everything that its trials are set to.

    `settings` are the fields of a Trial without the seed; `changes` are those that differ from the
    baseline's, by their flat names: with another model its chapter settings stand among them. `also` are
    the names under which the design asked for the very same arm. A trial's seed is the study's seed plus
    `seed_offset`; the pair stays with the study's seed. An arm that is held `against` another one than the
    baseline names it, and has its changes against that one.
    """

    name: str
    settings: Settings
    changes: Mapping[str, Scalar] = field(default_factory=dict)
    question: str = ""
    note: str = ""
    exploratory: bool = False
    against: str = ""
    seed_offset: int = 0
    also: tuple[str, ...] = ()


class ArmTable(Table):
    """An [[arm]]."""

    name: Text
    set: dict[str, Any]
    question: str = ""
    note: str = ""
    exploratory: bool = False
    against: str = ""


class Written(Table):
    """A study's file as it stands."""

    name: Text
    question: Text
    about: str = ""
    metric: Literal["valid_loss", "valid_accuracy", "valid_perplexity", "valid_bits"] = "valid_loss"
    equivalence: Annotated[float, Field(gt=0)] = 0.02
    seeds: Any = 10
    aa: bool = False
    gpu: bool = False
    baseline_name: Annotated[str, Field(max_length=200)] = ""
    baseline: dict[str, Any]
    design: Design = Design()
    tuning: TuningTable | None = None
    arm: tuple[ArmTable, ...] = Field(default=(), strict=False)

    @field_validator("seeds")
    @classmethod
    def _no_number_in_quotes(cls, value: Any) -> Any:
        """On the command line, where all is text, `--seeds 3` is fine."""
        if isinstance(value, str) and value.strip().isdigit():
            raise ValueError(f"write {value} for the seeds below it, or [{value}] for that one seed")
        return value


_TABLES: dict[str, type[Table]] = {
    "": Written,
    "design": Design,
    "add_one": AddOne,
    "tuning": TuningTable,
    "arm": ArmTable,
}


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question, and the arms that answer it. The first arm is the baseline.

    `metric` is a name in Result.metrics, `equivalence` the largest difference in its units that counts as
    none. `written` is the file as it stands, from which `override` starts again.
    """

    name: str
    question: str
    about: str
    metric: str
    equivalence: float
    seeds: tuple[int, ...]
    arms: tuple[Arm, ...]
    tuning: Tuning | None = None
    path: str
    written: Written = field(repr=False, compare=False)

    @property
    def baseline(self) -> Arm:
        """The arm that every other one is held against."""
        return self.arms[0]

    @property
    def plan(self) -> str:
        """sha256 of what is decided: question, metric, equivalence, seeds, the arms' settings, the tuning."""
        decided = {
            **{key: getattr(self, key) for key in ("name", "question", "metric", "equivalence", "seeds")},
            "arms": [
                {
                    "name": arm.name,
                    "settings": arm.settings,
                    "exploratory": arm.exploratory,
                    "seed_offset": arm.seed_offset,
                    **({"against": arm.against} if arm.against else {}),
                }
                for arm in self.arms
            ],
            **({"tuning": asdict(self.tuning)} if self.tuning else {}),
        }
        return hashlib.sha256(canonical(decided)).hexdigest()


def shipped() -> tuple[str, ...]:
    """The names of the studies that ship."""
    files = resources.files("ablations.studies").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def load(name_or_path: str | Path, *, limit: int = LIMIT, confirmed: bool = False) -> Study:
    """A study that ships, by name, or the user's own, by the path of its .toml.

    Raises BadInput, naming file and key, for everything that is wrong with it, and where it plans more
    than `limit` trials that nobody has confirmed: they are counted without being built.
    """
    path, text = _read(str(name_or_path))
    with at(path):
        try:
            return _study(_check(_parse(text)), path, limit, confirmed)
        except RecursionError as error:
            raise BadInput("is nested too deeply; a study needs four levels") from error


def override(
    study: Study,
    seeds: int | str | Sequence[int] | None = None,
    sets: Sequence[tuple[str, Sequence[Any]]] = (),
    *,
    limit: int = LIMIT,
    confirmed: bool = False,
) -> Study:
    """The study with other seeds and settings, as `--seeds` and `--set` give them.

    One value is the baseline's from now on; several are arms, one at a time. Raises BadInput.
    """
    written = study.written
    chosen = written.seeds if seeds is None else seeds_.seeds(seeds)
    baseline, sweeps = written.baseline, dict(written.design.one_at_a_time)
    name = written.baseline_name
    for key, values in sets:
        with at(f"--set {key}"):
            if not values:
                raise BadInput("no value; write --set lr=1e-3 or --set lr=1e-3,1e-2")
            for value in values:
                resolve(inherit(baseline, {key: value}))
        if len(values) == 1:
            baseline = inherit(baseline, {key: values[0]})
            name = f"{name}, {label(key, values[0])}" if name and key != "corpus" else name
        else:
            sweeps[key] = list(values)
    changed = written.model_copy(
        update={
            "seeds": chosen,
            "baseline": baseline,
            "baseline_name": name,
            "design": written.design.model_copy(update={"one_at_a_time": sweeps}),
        }
    )
    with at(study.path):
        return _study(changed, study.path, limit, confirmed)


def trials(study: Study, identify: Callable[[Trial], Trial]) -> list[tuple[str, Trial]]:
    """(arm name, trial) seed by seed, so that a study that is cut short still has whole pairs.

    `identify` fills in the hashes of source and data. Every trial is listed once.
    """
    return [
        (arm.name, identify(Trial(seed=seed + arm.seed_offset, **arm.settings)))
        for seed in study.seeds
        for arm in study.arms
    ]


def record(study: Study) -> dict[str, Any]:
    """The resolved study as plain data, to be stored before its first trial. It names no path."""
    return {
        "plan": study.plan,
        **{key: getattr(study, key) for key in ("name", "question", "about", "metric", "equivalence")},
        "seeds": list(study.seeds),
        "arms": [asdict(arm) for arm in study.arms],
        "tuning": asdict(study.tuning) if study.tuning else None,
    }


def _read(name: str) -> tuple[str, str]:
    """Where a study is from, for messages, and its text."""
    mine = name.endswith(".toml") or "/" in name or "\\" in name
    if not mine and name not in shipped():
        raise BadInput(
            f"no study {name!r} ships{suggestion(name, list(shipped()))}; your own is a path to a .toml"
        )
    source = Path(name) if mine else resources.files("ablations.studies") / f"{name}.toml"
    try:
        return (name if mine else f"{name}.toml"), source.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{name}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(
            f"{name}: {reason}; give the path of a .toml, or one of {', '.join(shipped())}"
        ) from error


def _parse(text: str) -> dict[str, Any]:
    """TOML → plain data. Raises BadInput with the line; a key that is given twice is named."""
    try:
        return tomllib.loads(f"{text}\n")  # with a line end every error has a line
    except ValueError as error:
        where = re.search(r"\(at line (\d+)", str(error))
        line = int(where[1]) if where else 0
        written = text.splitlines()[line - 1].strip() if 0 < line <= len(text.splitlines()) else ""
        if re.match(r"Cannot (overwrite|declare|mutate)|Duplicate", str(error)):
            raise BadInput(f"line {line}: a key is given twice: {written}; keep one of them") from error
        raise BadInput(f"{f'line {line}: ' if line else ''}is not TOML: {error}") from error


def _check(data: dict[str, Any]) -> Written:
    try:
        return Written.model_validate(data)
    except ValidationError as error:
        raise BadInput(explain(error, _TABLES)) from error


def _study(written: Written, path: str, limit: int, confirmed: bool) -> Study:
    seeds = seeds_.seeds(written.seeds)
    arms = 1 + written.design.count + len(written.arm) + written.aa
    most = arms * (len(seeds) + (written.tuning.count(len(seeds)) if written.tuning else 0))
    if most > limit and not confirmed:
        count = f"{most:,}" if arms < 10**15 else "more than 10^15"
        raise BadInput(
            f"plans up to {count} trials, more than {limit:,}; take levels out, or confirm with --yes"
        )
    study = Study(
        seeds=seeds,
        arms=_merged(_arms(written, seeds)),
        path=path,
        written=written,
        **{key: getattr(written, key) for key in ("name", "question", "about", "metric", "equivalence")},
    )
    with at("[tuning]"):
        return tuning.decided(study)


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
        except BadInput:  # the others need this key: horizon = 64 needs its window
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
