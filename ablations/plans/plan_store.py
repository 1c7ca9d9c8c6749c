"""Plans in a ledger's folder, the latest of each study: stored, read, checked, and set aside if damaged.

With a plan is stored which results existed before it was declared, and which plans its study had before.
These functions read plans:

| function | for | a plan that is missing | a plan that is damaged |
|---|---|---|---|
| `load_plan` | what needs the plan of one study: pages, `verify`, `bundle` | BadInput | BadInput |
| `require_plans` | commands on named studies, or on all | BadInput | BadInput; without names: a warning |
| `load_plans` | what lists studies, and earlier verdicts | is left out | a warning |
| `read_plans` | what removes or unpacks files, and seen results | is left out | a line for the caller |
| `read_or_set_aside` | a run, which is about to store another plan | None | is set aside: None |
| `read_sound_plan` | what looks into the earlier plan and changes nothing | None | None |
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from pydantic import TypeAdapter

from unrolled.ablations.ledger import Ledger, explain_misread, list_folder, read_bytes, seal, unseal
from unrolled.ablations.plans.plan import Plan, PlanDeclaration, PlannedArm, list_first_trials
from unrolled.ablations.plans.seen_results import (
    count_seen_pairs,
    find_seen_contrasts,
    find_shown_results,
    hash_earlier_arms,
)
from unrolled.ablations.study.loading import load_study
from unrolled.ablations.study.study import Study
from unrolled.ablations.study.study_reader import list_shipped_studies, read_study_name, suggest_study
from unrolled.bench.errors import BadInput
from unrolled.bench.files.atomic_files import save_file
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.study_rules import find_base
from unrolled.bench.trial import Trial

_PLAN_ADAPTER = TypeAdapter(Plan)
_CURE = "run its study again, which sets it aside"


def store_plan(plan: Plan, ledger: Ledger, trials: Sequence[Trial] = ()) -> Plan:
    """Store the plan, with its `trials`, in the ledger's folder and return it.

    If the same plan is stored already, the facts recorded at its declaration are kept, and so is the measured
    `repetition_differences`: see `copy_repetition`. A plan that cannot be read is set aside.
    """
    stored_plan = read_or_set_aside(plan.study_name, ledger)
    if stored_plan:
        plan = copy_repetition(plan, stored_plan)
    if stored_plan and is_same_plan(stored_plan, plan):
        plan = replace(
            plan,
            declared_at=stored_plan.declared_at,
            seen_pairs=stored_plan.seen_pairs,
            earlier_number_hashes=stored_plan.earlier_number_hashes,
            is_shipped=stored_plan.is_shipped,
            earlier_verdicts=stored_plan.earlier_verdicts,
            unlisted_verdicts=stored_plan.unlisted_verdicts,
            earlier_plans=stored_plan.earlier_plans,
        )
    else:
        plan = _declare_plan(plan, stored_plan, ledger, trials)
    save_file(find_plan_path(ledger, plan.study_name), seal({"plan": asdict(plan)}))
    return plan


def copy_repetition(plan: Plan, stored_plan: Plan) -> Plan:
    """Return the plan with the `repetition_differences` of a stored plan, if they hold for this plan, too.

    They do if both have the same first trial and judge the same qualities.
    """
    if (
        plan.repetition_differences is not None
        or stored_plan.rules.qualities != plan.rules.qualities
        or list_first_trials(plan)[0] != list_first_trials(stored_plan)[0]
    ):
        return plan
    return replace(
        plan,
        repetition_differences=stored_plan.repetition_differences,
        unjudged_repetition_differences=stored_plan.unjudged_repetition_differences,
    )


def is_same_plan(plan: Plan, stored_plan: Plan) -> bool:
    """Return True if two plans have the same study, hash and trials. Other fields may change as they run."""
    same_trials = set(plan.ids) == set(stored_plan.ids)
    return same_trials and (plan.study_name, plan.study_hash) == (
        stored_plan.study_name,
        stored_plan.study_hash,
    )


def is_shipped_plan(plan: Plan) -> bool:
    """Return True for the plan of a study that comes with Unrolled, unchanged."""
    return (
        plan.study_name in list_shipped_studies()
        and plan.study_hash == load_study(plan.study_name).study_hash
    )


def _declare_plan(plan: Plan, stored_plan: Plan | None, ledger: Ledger, trials: Sequence[Trial]) -> Plan:
    """Return a new plan with its date, its seen results and its earlier verdicts.

    `stored_plan` is the study's last plan. If an earlier plan is the same, its date and its seen pairs are
    kept. `earlier_verdicts` are then the verdicts of plans before this date.
    """
    declarations = _list_declarations(stored_plan) if stored_plan else []
    ids = set(plan.ids)
    first_declaration = next(
        (
            declaration
            for declaration in declarations
            if declaration.study_hash == plan.study_hash and ids <= set(declaration.trial_ids)
        ),
        None,
    )
    results = ledger.find_result_files().keys()
    plan = replace(
        plan,
        is_shipped=is_shipped_plan(plan),
        earlier_plans=tuple(
            declaration
            for declaration in declarations
            if declaration is not first_declaration and not results.isdisjoint(declaration.trial_ids)
        ),
    )
    if first_declaration:
        return _date_back(plan, first_declaration)
    if plan.is_shipped:
        return plan
    shown_results = find_shown_results(read_plans(ledger)[0], ledger)
    shown_trials = [result.trial for result in shown_results]
    contrasts = find_seen_contrasts(plan.arm_pairs, shown_trials, trials)
    return replace(
        plan,
        seen_pairs=count_seen_pairs(contrasts, shown_trials, trials),
        earlier_number_hashes=hash_earlier_arms(shown_results, plan),
    )


def _list_declarations(stored_plan: Plan) -> list[PlanDeclaration]:
    """Return the declarations of a study by its stored plan, oldest first; the last is of the plan itself.

    A plan that its first trials stopped is left out: its trials were not shown.
    """
    if stored_plan.stop_reason:
        return [*stored_plan.earlier_plans]
    declaration = PlanDeclaration(
        study_hash=stored_plan.study_hash,
        declared_at=stored_plan.declared_at,
        trial_ids=tuple(stored_plan.ids),
        seen_pairs=stored_plan.seen_pairs,
    )
    return [*stored_plan.earlier_plans, declaration]


def _date_back(plan: Plan, declaration: PlanDeclaration) -> Plan:
    """Return the plan as it was declared first: with that date, and what was there before it.

    Verdicts of plans since then are kept unlisted, so that the next plan counts them.
    """
    earlier_verdicts = {}
    unlisted_verdicts = dict(plan.unlisted_verdicts)
    for arm, verdicts in plan.earlier_verdicts.items():
        if earlier := tuple(x for x in verdicts if x.declared_at < declaration.declared_at):
            earlier_verdicts[arm] = earlier
        key = plan.contrast_keys[arm]
        unlisted_verdicts[key] = (*unlisted_verdicts.get(key, ()), *verdicts[len(earlier) :])
    return replace(
        plan,
        declared_at=declaration.declared_at,
        seen_pairs=declaration.seen_pairs,
        earlier_verdicts=earlier_verdicts,
        unlisted_verdicts=unlisted_verdicts,
    )


def load_plan(study: str | Study, ledger: Ledger) -> Plan:
    """Return the stored plan of a study, given as a Study, by its name or by the path of its file.

    Raises BadInput if the study was never run, or if its plan cannot be read.
    """
    name = study if isinstance(study, str) else study.name
    file = name if name.endswith(".toml") else ""
    if file:
        name = read_study_name(file)
    list_folder(ledger.root / "plans")  # what is in an unreadable folder cannot be set aside
    try:
        if plan := _read_plan_file(find_plan_path(ledger, name)):
            return plan
    except BadInput as error:
        raise BadInput(f"{error.place}: {error.rule}", place=f"study {name!r}", cure=_CURE) from error
    names = [plan.study_name for plan in load_plans(ledger)]
    cure = f"no shipped study has this name; `unrolled run {name}.toml` runs your own"
    if file or name in list_shipped_studies():
        cure = f"`unrolled run {file or name}` runs it"
    elif not Path(f"{name}.toml").exists():
        cure = suggest_study(name, names) or cure
    raise BadInput(
        f"study {name!r} has not been run (studies that were run: {', '.join(names) or 'none'})", cure=cure
    )


def load_plans(ledger: Ledger) -> list[Plan]:
    """Return the latest plan of every study that was run, by name. Warns once of each that cannot be read."""
    plans, faults = read_plans(ledger)
    for line in faults:
        ledger.warn_once(f"{line}: skipped; {_CURE}")
    return plans


def require_plans(names: Sequence[str], ledger: Ledger) -> list[Plan]:
    """Return the stored plans of these studies, or of all. Raises BadInput where there is none."""
    plans = [load_plan(name, ledger) for name in names] if names else load_plans(ledger)
    if not plans:
        raise BadInput(
            "no study has been run yet",
            place=ledger.root.absolute(),
            cure=ledger.nearest_ledger_hint or "`unrolled run toggles` runs one",
        )
    return plans


def read_plans(ledger: Ledger) -> tuple[list[Plan], list[str]]:
    """Return the latest plan of every study that was run, by name, and a line on each that cannot be read."""
    plans: list[Plan] = []
    faults: list[str] = []
    for path in list_folder(ledger.root / "plans", "*.json"):
        try:
            plans += filter(None, [_read_plan_file(path)])
        except BadInput as error:
            faults.append(f"{error.place}: {error.rule}")
    return sorted(plans, key=lambda plan: plan.study_name), faults


def read_or_set_aside(study: str, ledger: Ledger) -> Plan | None:
    """Return the stored plan of a study, or None. A plan that cannot be read is set aside."""
    path = find_plan_path(ledger, study)
    try:
        return _read_plan_file(path)
    except BadInput as error:
        version = str(path.stat().st_mtime_ns).encode()  # the plan's bytes may be unreadable
        ledger.set_aside(path, version, f"{error.rule}, so it counts as none")
        return None


def read_sound_plan(study: str, ledger: Ledger) -> Plan | None:
    """Return the stored plan of a study; None if there is none or it cannot be read."""
    with suppress(BadInput):
        return _read_plan_file(find_plan_path(ledger, study))
    return None


def find_stored_device(study: str, ledger: Ledger) -> str:
    """Return the device of a study's stored plan; "" if there is none or it cannot be read."""
    plan = read_sound_plan(study, ledger)
    return plan.device if plan else ""


def inherit_to_the_end(study: Study, ledger: Ledger) -> Study:
    """Return the study, with `to_the_end` if its stored plan has it, so that no verdict is taken back."""
    plan = read_sound_plan(study.name, ledger)
    if plan and plan.rules.to_the_end and plan.study_hash == study.study_hash:
        return study.extend_to_the_end()
    return study


def has_plan(name: str, ledger: Ledger) -> bool:
    """Return True if a study has a plan, though `load_plan` may not be able to read it."""
    return find_plan_path(ledger, name).exists()


def find_plan_path(ledger: Ledger, study: str) -> Path:
    """Return the file of a study's plan, which may not exist yet."""
    return ledger.root / "plans" / f"{hashlib.sha256(study.encode()).hexdigest()[:16]}.json"


def _read_plan_file(path: Path) -> Plan | None:
    """Return the plan in a file; None if there is no file.

    Raises BadInput if the file cannot be read, is no plan, or contradicts itself.
    """
    data = read_bytes(path)
    if data is None:
        return None
    with explain_misread(path, "is damaged or no plan of this version", _CURE):
        plan = _PLAN_ADAPTER.validate_json(canonical_json(unseal(data)["plan"]))
        for fault in _find_faults(plan):
            raise BadInput(f"is not what this version writes: {fault}", place=path, cure=_CURE)
    return plan


def _find_faults(plan: Plan) -> Iterator[str]:
    """Yield a sentence on each contradiction in a plan. Raises TypeError or LookupError for wrong fields.

    The seal of a stored plan protects it from accidents, not from a forger, who can seal it again. But
    results are found by the identities of trials, which are hashes of their fields. If the identities follow
    from the arms' fields and seeds, no result of another seed, setting or device can stand in an arm.
    """
    if plan.repetition_differences and not plan.trainer.runs_user_code:
        yield "equal trials are said to differ, which those of the chapter do not"
    if hidden_metrics := plan.unjudged_repetition_differences.keys() & {*plan.rules.qualities}:
        yield f"{min(hidden_metrics)}, which is judged, is not among the numbers that are compared"
    if plan.unjudged_repetition_differences and not plan.trainer.runs_user_code:
        yield "numbers of equal trials are said to differ, which those of the chapter do not"
    for arm in plan.arms:
        if set(arm.trial_ids) != set(plan.rules.seeds):
            yield f"arm {arm.name!r}: its seeds are not the plan's"
        yield from (f"arm {arm.name!r}: {fault}" for fault in _find_arm_faults(plan, arm))


def _find_arm_faults(plan: Plan, arm: PlannedArm) -> Iterator[str]:
    """Yield the contradictions of an arm."""
    wrong_seeds = [
        str(seed) for seed, id in arm.trial_ids.items() if plan.make_planned_trial(arm, seed).id != id
    ]
    if wrong_seeds:
        yield f"its trials have another seed, device or setting (seeds {', '.join(wrong_seeds)})"
    if arm.seed_offset and arm.changes:
        yield "has other seeds than its base, which only the baseline again has"
    trial = plan.make_planned_trial(arm, min(arm.trial_ids))
    settings = trial.flat_settings()
    base = find_base(arm, plan.arms)
    base_trial = plan.make_planned_trial(base, min(base.trial_ids))
    base_settings = base_trial.flat_settings()
    compared_settings = settings.keys() & (base_settings.keys() | trial.find_changes(base_trial).keys())
    declared_settings = {name: base_settings.get(name) for name in compared_settings} | dict(arm.changes)
    if arm.model:
        declared_settings["model"] = arm.model
    yield from (
        f"its trials have another {key} than the plan says"
        for key, value in declared_settings.items()
        # a plug-in's penalty of strength 0 is in `changes`, but in no trial
        if key not in trial.unhashed_fields and settings.get(key, 0) != value
    )
    if arm.commit and arm.changes.get("commit", arm.commit.name) != arm.commit.name:
        yield "its commit is another than the plan says"
    if trial.title not in (arm.title, arm.model):  # the model's name, if the plug-in is not loaded
        yield "its trials have another title than the plan says"
