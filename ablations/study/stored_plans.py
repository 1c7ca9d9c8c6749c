"""Plans in a ledger's folder, the latest of each study: stored, read, set aside where they are damaged.

What had been seen before a plan was declared, and the study's earlier plans, are kept with it.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from pydantic import TypeAdapter

from unrolled.ablations.ledger import Ledger, explaining_misread, read_bytes, seal, unseal
from unrolled.ablations.study.loading import load
from unrolled.ablations.study.plan import Declaration, Plan, PlannedArm
from unrolled.ablations.study.plan_check import plan_faults
from unrolled.ablations.study.study import Study
from unrolled.ablations.study.study_file import name_in, shipped, suggest_study
from unrolled.bench.errors import BadInput
from unrolled.bench.files import save
from unrolled.bench.trial import Result, Trial, canonical

PLAN = TypeAdapter(Plan)  # reads a stored plan
SEEN_PAIRS = 3
"""From so many pairs on a contrast counts as seen: a run of a seed or two, to try all, does not."""
_CURE = "run its study again, which sets it aside"
_DAMAGED = "is damaged or no plan of this version"


def store(plan: Plan, ledger: Ledger, trials: Sequence[Trial] = ()) -> Plan:
    """Store the plan, whose `trials` these are, in the ledger's folder and return it.

    If the same plan is stored already, what was recorded at its declaration is kept (`planned`, `seen`,
    `alike`, `ships`, `attempts` and `earlier`); so are `nondeterminism` and `varying` (see
    `with_nondeterminism`). A plan that cannot be read is set aside.
    """
    before = latest_or_set_aside(plan.study, ledger)
    if before:
        plan = with_nondeterminism(plan, before)
    if before and same_plan(before, plan):
        plan = replace(plan, **{name: getattr(before, name) for name in _DECLARED})
    else:
        plan = _declare(plan, before, ledger, trials)
    save(path_of(ledger, plan.study), seal({"plan": asdict(plan)}))
    return plan


def with_nondeterminism(plan: Plan, before: Plan) -> Plan:
    """The plan with what a stored one has measured, if that ran the same trial twice and judged the same."""
    if plan.nondeterminism is not None or before.qualities != plan.qualities:
        return plan
    if plan.arms[0].trials[plan.seeds[0]] != before.arms[0].trials[before.seeds[0]]:
        return plan
    return replace(plan, nondeterminism=before.nondeterminism, varying=before.varying)


_DECLARED = ("planned", "seen", "alike", "ships", "attempts", "earlier")
"""Fields of a plan that are recorded when it is declared."""


def same_plan(one: Plan, other: Plan) -> bool:
    """Whether two plans are the same but for what is found out as they run."""
    same_trials = set(one.ids) == set(other.ids)
    return same_trials and (one.study, one.hash) == (other.study, other.hash)


def ships(plan: Plan) -> bool:
    """Whether it is the plan of a study that comes with Unrolled, unchanged."""
    return plan.study in shipped() and plan.hash == load(plan.study).plan_hash


def keep_to_the_end(study: Study, ledger: Ledger) -> Study:
    """The study, which goes on to the last look if its stored plan does, so that no verdict is taken back."""
    with suppress(BadInput):
        before = _read(path_of(ledger, study.name))
        if before and before.to_the_end and before.hash == study.plan_hash:
            return replace(study, to_the_end=True)
    return study


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
    """The plan, which differs from the stored one `before`, with what is recorded at its declaration.

    A plan that the study had at an earlier time gets the `planned` and `seen` of that time, and those of its
    `attempts` that came before it.
    """
    known, earlier = ledger.files(), list(before.earlier) if before else []
    if before:
        earlier.append(
            Declaration(hash=before.hash, planned=before.planned, trials=tuple(before.ids), seen=before.seen)
        )
    ids = set(plan.ids)
    again = next((e for e in earlier if e.hash == plan.hash and ids <= set(e.trials)), None)
    others = tuple(e for e in earlier if e is not again and not known.keys().isdisjoint(e.trials))
    plan = replace(plan, ships=ships(plan), earlier=others)
    if again:
        before_it = {
            arm: tuple(attempt for attempt in attempts if attempt.planned < again.planned)
            for arm, attempts in plan.attempts.items()
        }
        attempts = {arm: found for arm, found in before_it.items() if found}
        return replace(plan, planned=again.planned, seen=again.seen, attempts=attempts)
    if plan.ships:
        return plan
    shown = _shown_trials(ledger)
    contrasts = _contrasts_with_enough(plan.arms, shown, trials)
    seen = _seen_pairs(contrasts, shown, trials)
    sides = {id for pair in contrasts for arm in pair for id in arm.trials.values()}
    alike = _results_alike([trial for trial in trials if trial.id in sides], shown, ledger)
    return replace(plan, seen=seen, alike=alike)


Pair = tuple[PlannedArm, PlannedArm]
"""An arm, and the one that it is compared with."""


def _contrasts_with_enough(
    arms: Sequence[PlannedArm], shown: Sequence[Trial], trials: Sequence[Trial]
) -> list[Pair]:
    """The arms of which SEEN_PAIRS pairs were shown, on whatever seeds, each with its base.

    The first arm is the baseline. `trials` are those of the arms; without them only results of the same code
    are recognised.
    """
    experiments = {trial.id: canonical(trial.experiment) for trial in (*trials, *shown)}
    seeds = defaultdict(set)
    for trial in shown:
        seeds[experiments[trial.id]].add(trial.seed)

    def shown_seeds(arm: PlannedArm) -> set[int]:
        experiment = next((experiments[id] for id in arm.trials.values() if id in experiments), b"")
        return {seed - arm.seed_offset for seed in seeds[experiment]}

    by_name = {arm.name: arm for arm in arms}
    pairs = [(arm, by_name.get(arm.against, arms[0])) for arm in arms[1:]]
    return [(arm, base) for arm, base in pairs if len(shown_seeds(arm) & shown_seeds(base)) >= SEEN_PAIRS]


def _seen_pairs(contrasts: Sequence[Pair], shown: Sequence[Trial], trials: Sequence[Trial]) -> dict[str, int]:
    """By arm, the number of its seeds for which results of both the arm and its base were shown.

    A result counts for every trial with its settings, data and seed, whatever its study and its code: after
    an edit of the code, what was seen has still been seen.
    """
    contents = set(map(_content, shown))
    seen = {trial.id for trial in shown} | {trial.id for trial in trials if _content(trial) in contents}
    counts = {
        arm.name: sum(id in seen and base.trials.get(seed) in seen for seed, id in arm.trials.items())
        for arm, base in contrasts
    }
    return {name: count for name, count in counts.items() if count}


def _shown_trials(ledger: Ledger) -> list[Trial]:
    """The trials with results that did not fail, in a plan that has them if there is one.

    A misspelt metric makes all of its study's trials fail: what they told was never shown. Nor was anything
    of a study that its first trials stopped.
    """
    plans_by_trial: dict[str, list[Plan]] = {}
    for plan in read_all(ledger)[0]:
        for id in plan.ids:
            plans_by_trial.setdefault(id, []).append(plan)
    shown = []
    for result in ledger.all_results():
        plans = plans_by_trial.get(result.trial.id)
        judged = [plan.judge_result(result) for plan in plans if not plan.refusal] if plans else [result]
        if any(each.status != "failed" for each in judged):
            shown.append(result.trial)
    return shown


def _results_alike(
    trials: Sequence[Trial], shown: Sequence[Trial], ledger: Ledger
) -> dict[str, tuple[str, ...]]:
    """By trial, the fingerprints of results that differ from it by the template of the command line alone.

    A flag that changes no number makes no seen trial fresh: whether it changed one, the results will tell.
    """
    wanted = {(canonical(trial.experiment), trial.seed): trial for trial in trials if trial.template}
    marks: dict[str, tuple[str, ...]] = {}
    for earlier in shown:
        trial = wanted.get((canonical(earlier.experiment), earlier.seed))
        if trial and trial.template != earlier.template:
            for result in ledger.results([earlier.id]).values():
                marks[trial.id] = (*marks.get(trial.id, ()), numbers_mark(result))
    return marks


def numbers_mark(result: Result) -> str:
    """The fingerprint of all numbers of a program's result but times, speeds and memory."""
    return result.fingerprints.get("numbers", result.status)


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
        raise BadInput(f"{error.place}: {error.rule}", place=f"study {name!r}", cure=_CURE) from error
    known = [plan.study for plan in all_stored(ledger)]
    cure = f"no shipped study has this name; `unrolled run {name}.toml` runs your own"
    if file or name in shipped():
        cure = f"`unrolled run {file or name}` runs it"
    elif not Path(f"{name}.toml").exists():
        cure = suggest_study(name, known) or cure
    run = ", ".join(known) or "none"
    raise BadInput(f"study {name!r} has not been run (studies that were run: {run})", cure=cure)


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
            unreadable.append(f"{error.place}: {error.rule}")
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
    """The plan in a file; None where there is none.

    Raises BadInput where it cannot be read, is no plan, or contradicts itself.
    """
    data = read_bytes(path)
    if data is None:
        return None
    with explaining_misread(path, _DAMAGED, _CURE):
        plan = PLAN.validate_json(canonical(unseal(data)["plan"]))
        for fault in plan_faults(plan):
            raise BadInput(f"is not what this version writes: {fault}", place=path, cure=_CURE)
    return plan
