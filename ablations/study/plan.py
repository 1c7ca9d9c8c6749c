"""A plan: a study as it was declared, with the identity of every trial. It is stored before any is trained.

Reports and MLflow read the plan and the ledger, never the study's file or the present code. An edited study
has other trials and another plan, so that no old result can enter a new report.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import groupby
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter

from ablations.ledger import Ledger, seal, unseal
from ablations.study import tuning
from ablations.study.loading import load
from ablations.study.study import Arm, ArmDescription, Study
from ablations.study.study_file import name_in, shipped
from bench.errors import BadInput
from bench.files import save
from bench.metric import Metric
from bench.tracking import Tracking, tracking_of
from bench.trial import Result, Trial, canonical

Id = Annotated[str, Field(pattern="^[0-9a-f]{12,}$")]  # a trial's identity: it becomes the name of a file

_STRICT = ConfigDict(strict=True, extra="forbid")


@dataclass(frozen=True, kw_only=True)
class PlannedArm(ArmDescription):
    """One arm, and the identity of its trial for each seed. The seeds are the study's or those of a search.

    An arm that is `seedless` is trained once: no seed changes it, and its seeds share one trial.
    """

    model: str
    title: str
    trials: Mapping[int, Id]
    seedless: bool = False

    __pydantic_config__ = _STRICT  # how a stored one is read


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """An earlier plan of a study: when it was declared, its trials, and what had been seen by then."""

    hash: str
    planned: float
    trials: tuple[Id, ...]
    seen: Mapping[str, int]

    __pydantic_config__ = _STRICT


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study as it was declared, and when.

    `hash` is the sha256 of the resolved study, `command` what was typed, "" from Python. `searches` are each
    tuned arm at each level, `tuned` the winners: known once every search has ended. `seen` counts, by arm,
    the pairs that had results already when the plan was declared (see `_seen_pairs`). It is empty for a
    shipped study that was not changed: that was declared before there were results. `earlier` are the study's
    other plans of which there are results. `device`, cpu or cuda, is the same for every trial, so that no
    contrast mixes the two; "" in a plan of an earlier version. `apart` is by how much two runs of one trial
    of a program's baseline differ, by metric: {} if they do not, None before this was measured.
    """

    study: str
    question: str
    about: str
    metrics: tuple[Metric, ...]
    seeds: tuple[int, ...]
    looks: tuple[int, ...]
    arms: tuple[PlannedArm, ...]
    hash: str
    command: str
    trainer: str  # see bench.trial.TRAINERS
    planned: float = field(default_factory=time.time)  # unix seconds
    searches: tuple[PlannedArm, ...] = ()
    tuned: tuple[PlannedArm, ...] = ()
    seen: Mapping[str, int] = field(default_factory=dict)
    earlier: tuple[Declaration, ...] = ()
    device: str = ""
    decide: str = "direction"
    apart: Mapping[str, float] | None = None

    __pydantic_config__ = _STRICT

    @property
    def of_program(self) -> bool:
        """Whether its trials are a user's program, and not models of the chapter."""
        return self.trainer == "program"

    @property
    def tracking(self) -> Tracking:
        """What is shown of its trials."""
        return tracking_of(self.trainer)

    @property
    def arm_and_seed(self) -> dict[str, tuple[PlannedArm, int]]:
        """Every trial's arm and seed by identity, seed by seed: those declared, of searches, of winners.

        Where the winning level is the one that the arm declares, the winner's trials are the arm's own: they
        are given once, as declared.
        """
        found: dict[str, tuple[PlannedArm, int]] = {}
        for arms in (self.arms, self.searches, self.tuned):
            for seed in dict.fromkeys(seed for arm in arms for seed in arm.trials):
                for arm in arms:
                    found.setdefault(arm.trials[seed], (arm, min(arm.trials) if arm.seedless else seed))
        return found

    @property
    def arm_names(self) -> dict[str, str]:
        """The name of every trial's arm by identity."""
        return {id: arm.name for id, (arm, _) in self.arm_and_seed.items()}

    @property
    def ids(self) -> list[str]:
        """The identity of every trial, in the order of `arm_and_seed`."""
        return list(self.arm_and_seed)

    @property
    def ids_at_start(self) -> list[str]:
        """The identities of all trials except the winners', which are not known at the start."""
        return replace(self, tuned=()).ids

    def cells(self, ledger: Ledger) -> Iterator[tuple[PlannedArm, int, Result]]:
        """The arm, the seed and the result (without details) of every trial that the ledger has."""
        arm_and_seed = self.arm_and_seed
        for id, result in ledger.results(arm_and_seed).items():
            yield *arm_and_seed[id], result


_COPIED = ("question", "about", "metrics", "seeds", "looks", "decide", "trainer")


def make_plan(study: Study, command: str, device: str = "cpu") -> tuple[Plan, list[Trial]]:
    """The plan of a study on a device under today's code and data, and its trials in the order of `ids`.

    Where the study tunes, the trials of the searches are among them and the winners' are not: see `settle`.
    """
    known: dict[str, Trial] = {}

    def planned(arm: Arm) -> PlannedArm:
        one = arm.trial(device=device).identify()  # once for all seeds, which share code and data
        trials = {seed: replace(one, seed=arm.trial(seed).seed) for seed in arm.seeds}
        ids = {seed: trial.id for seed, trial in trials.items()}
        known.update(zip(ids.values(), trials.values(), strict=True))
        return PlannedArm(
            model=str(arm.settings.get("model", "")),
            title=one.title,
            trials=ids,
            seedless=arm.seedless,
            **{fact.name: getattr(arm, fact.name) for fact in fields(ArmDescription)},
        )

    plan = Plan(
        study=study.name,
        arms=tuple(map(planned, study.arms)),
        searches=tuple(map(planned, study.searches)),
        hash=study.plan_hash,
        command=command,
        device=device,
        **{key: getattr(study, key) for key in _COPIED},
    )
    return plan, [known[id] for id in plan.ids]


def settle(plan: Plan, trials: Sequence[Trial], ledger: Ledger) -> tuple[Plan, list[Trial]]:
    """The plan with each arm's winner, and those of the winners' trials that were not declared already.

    `trials` are those of `make_plan`. Until every search has ended, there are no winners.
    """
    searched = {id for search in plan.searches for id in search.trials.values()}
    results = ledger.results(searched)
    if len(results) < len(searched):
        return plan, []
    known = {trial.id: trial for trial in trials}
    tuned: list[PlannedArm] = []
    winners_trials: list[dict[int, Trial]] = []
    for name, group in groupby(plan.searches, key=lambda search: search.tunes):
        levels = list(group)
        tried = [[results[id] for id in arm.trials.values()] for arm in levels]
        best = tuning.winner(tried, plan.metrics[0])
        if best is not None:
            won = levels[best]
            one = known[next(iter(won.trials.values()))]
            winners_trials.append({seed: replace(one, seed=seed) for seed in plan.seeds})
            ids = {seed: trial.id for seed, trial in winners_trials[-1].items()}
            tuned.append(replace(won, name=tuning.winner_name(won.name, name), trials=ids))
    in_order = [each[seed] for seed in plan.seeds for each in winners_trials]
    return replace(plan, tuned=tuple(tuned)), [trial for trial in in_order if trial.id not in known]


def store(plan: Plan, ledger: Ledger, trials: Sequence[Trial] = ()) -> Plan:
    """Store the plan, whose `trials` these are, in the ledger's folder and return it.

    If the same plan is stored already, what was recorded at its declaration is kept (`planned`, `seen` and
    `earlier`); so are `tuned` and `apart`, unless the new plan has them. A stored plan that cannot be read is
    set aside.
    """
    before = latest_or_set_aside(plan.study, ledger)
    if before and (before.hash, before.ids_at_start) == (plan.hash, plan.ids_at_start):
        kept = {key: getattr(before, key) for key in ("planned", "seen", "earlier")}
        plan = replace(plan, tuned=plan.tuned or before.tuned, **kept)
        plan = plan if plan.apart is not None else replace(plan, apart=before.apart)
    else:
        plan = _declare(plan, before, ledger, trials)
    save(path_of(ledger, plan.study), seal({"plan": asdict(plan)}))
    return plan


def latest_or_set_aside(study: str, ledger: Ledger) -> Plan | None:
    """The stored plan of a study, or None. A plan that cannot be read is set aside."""
    path = path_of(ledger, study)
    try:
        return _read(path)
    except BadInput as error:
        version = str(path.stat().st_mtime_ns).encode()  # its bytes may be what cannot be read
        ledger.set_aside(path, version, f"{error.rule}, so it counts as none")
        return None


def _declare(plan: Plan, before: Plan | None, ledger: Ledger, trials: Sequence[Trial]) -> Plan:
    """The plan, which differs from the stored one `before`, with `seen` and `earlier`.

    A plan that the study had at an earlier time gets the `planned` and `seen` of that time.
    """
    known, earlier = ledger.files(), list(before.earlier) if before else []
    if before and before.ids_at_start[:1] == plan.ids_at_start[:1]:  # same first trial of the baseline
        plan = replace(plan, apart=before.apart)
    if before:
        facts = {key: getattr(before, key) for key in ("hash", "planned", "seen")}
        earlier.append(Declaration(trials=tuple(before.ids), **facts))
    ids = set(plan.ids_at_start)
    again = next((e for e in earlier if e.hash == plan.hash and ids <= set(e.trials)), None)
    others = tuple(e for e in earlier if e is not again and not known.keys().isdisjoint(e.trials))
    if again:
        return replace(plan, planned=again.planned, seen=again.seen, earlier=others)
    ships = plan.study in shipped() and plan.hash == load(plan.study).plan_hash
    seen = {} if ships else _seen_pairs(plan.arms, trials, ledger)
    return replace(plan, seen=seen, earlier=others)


def _seen_pairs(arms: Sequence[PlannedArm], trials: Iterable[Trial], ledger: Ledger) -> dict[str, int]:
    """By arm, the number of its seeds for which the ledger has results of both the arm and its baseline.

    The first arm is the baseline. A result counts for every trial with its settings, data and seed, whatever
    its study and its code: after an edit of the code, what was seen has still been seen. `trials` are those
    of the arms; without them only results of the same code are recognised.
    """
    results = list(ledger.trials_with_results())
    contents = set(map(_content, results))
    seen = {trial.id for trial in results} | {trial.id for trial in trials if _content(trial) in contents}
    by_name, pairs = {arm.name: arm for arm in arms}, {}
    for arm in arms[1:]:
        base = by_name.get(arm.against, arms[0])
        count = sum(id in seen and base.trials.get(seed) in seen for seed, id in arm.trials.items())
        if count:
            pairs[arm.name] = count
    return pairs


def _content(trial: Trial) -> bytes:
    """What is trained, and on what, without the code that does it."""
    return canonical({**trial.declared, "data": trial.data})


def stored(study: str | Study, ledger: Ledger) -> Plan:
    """The latest plan of a study, or of that with this name, or in the file of this path.

    Raises BadInput where it was never run, or where it cannot be read.
    """
    name = study if isinstance(study, str) else study.name
    file = name if name.endswith(".toml") else ""
    if file:
        name = name_in(file)
    try:
        if plan := _read(path_of(ledger, name)):
            return plan
    except BadInput as error:
        raise BadInput(error, place=f"study {name!r}", cure=_CURE) from error
    known = ", ".join(plan.study for plan in all_stored(ledger)) or "none"
    cure = f"no shipped study has this name; `unrolled run {name}.toml` runs your own"
    if file or name in shipped():
        cure = f"`unrolled run {file or name}` runs it"
    raise BadInput(f"study {name!r} has not been run (studies that were run: {known})", cure=cure)


def device_of(study: str, ledger: Ledger) -> str:
    """The device of a study's stored plan; "" if there is none that can be read."""
    with suppress(BadInput):
        if plan := _read(path_of(ledger, study)):
            return plan.device
    return ""


def has_plan(name: str, ledger: Ledger) -> bool:
    """Whether a study has a plan, which `stored` may not be able to read."""
    return path_of(ledger, name).exists()


def all_stored(ledger: Ledger) -> list[Plan]:
    """The latest plan of every study that was run, by name. Warns once of each that cannot be read."""
    found, unreadable = read_all(ledger)
    for line in unreadable:
        ledger.warn_once(f"{line}: skipped; {_CURE}")
    return found


def read_all(ledger: Ledger) -> tuple[list[Plan], list[str]]:
    """The latest plan of every study that was run, by name, and a line on each that cannot be read."""
    found: list[Plan] = []
    unreadable: list[str] = []
    for path in sorted((ledger.root / "plans").glob("*.json")):
        try:
            found += filter(None, [_read(path)])
        except BadInput as error:
            unreadable.append(str(error))
    return sorted(found, key=lambda plan: plan.study), unreadable


def of_studies(names: Sequence[str], ledger: Ledger) -> list[Plan]:
    """The stored plans of these studies, or of all. Raises BadInput where there is none."""
    found = [stored(name, ledger) for name in names] if names else all_stored(ledger)
    if not found:
        cure = ledger.nearest_ledger_hint or "`unrolled run toggles` runs one"
        raise BadInput("no study has been run yet", place=ledger.root.absolute(), cure=cure)
    return found


def path_of(ledger: Ledger, study: str) -> Path:
    """The file of a study's plan, which may not exist yet."""
    return ledger.root / "plans" / f"{hashlib.sha256(study.encode()).hexdigest()[:16]}.json"


def _read(path: Path) -> Plan | None:
    """The plan in a file; None where there is none. Raises BadInput where it cannot be read or is no plan."""
    try:
        return PLAN.validate_json(canonical(unseal(path.read_bytes())["plan"]))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", place=path) from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadInput("is damaged or no plan of this version", place=path) from error


_CURE = "run its study again, which sets it aside"
PLAN = TypeAdapter(Plan)  # reads a stored plan
