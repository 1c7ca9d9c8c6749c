"""From a study to its plan: the identity of every trial of every arm."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from unrolled.ablations.plans.plan import Plan, PlannedArm
from unrolled.ablations.study.checkouts import find_checked_out_commits
from unrolled.ablations.study.study import Arm, Study
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.metric import judges_cost
from unrolled.bench.trial import Trial


def make_plan(study: Study, command: str, device: str = "cpu") -> tuple[Plan, list[Trial]]:
    """Return the plan of a study under today's code and data, and its trials in the order of `ids`.

    If a time, a speed or memory is judged, all arms are trained on one occasion, so that they take turns.
    Another study, or a plan with another arm or with an arm that was edited, is another occasion.
    """
    trials: dict[str, Trial] = {}
    arms = []
    # identified once for all seeds, which share code and data
    template_by_arm = {arm.name: arm.make_unidentified_trial(device=device).identify() for arm in study.arms}
    seed_zero_trials = [replace(template_by_arm[arm.name], seed=arm.seed_offset) for arm in study.arms]
    occasion = _name_occasion(study.name, seed_zero_trials) if judges_cost(study.rules.metrics) else ""
    for arm in study.arms:
        trial = replace(template_by_arm[arm.name], occasion=occasion)
        by_seed = {seed: replace(trial, seed=seed + arm.seed_offset) for seed in study.rules.seeds}
        ids = {seed: seed_trial.id for seed, seed_trial in by_seed.items()}
        trials |= zip(ids.values(), by_seed.values(), strict=True)
        arms.append(_make_planned_arm(arm, trial, ids))
    plan = Plan(
        rules=study.rules,
        arms=tuple(arms),
        study_hash=study.study_hash,
        command=command,
        trainer_name=seed_zero_trials[0].trainer_name,
        command_template=study.baseline.make_unidentified_trial().command_template,
        setting_titles={key: arm.factory.title_setting(key) for arm in study.arms for key in arm.changes},
        device=device,
        repeats_first_trial=study.file.program is None or study.file.program.repeat,
        repetition_differences=study.repetition_differences,
        unjudged_repetition_differences=study.unjudged_repetition_differences,
    )
    return plan, [trials[id] for id in plan.ids]


def _name_occasion(study_name: str, trials: Iterable[Trial]) -> str:
    """Return a name for a study's training of arms with these trials of one seed: sixteen hex digits.

    Two studies that shared results would remove those of each other: see `StudyRun.forget_outdated_results`.
    """
    ids = sorted({trial.id for trial in trials})
    return hashlib.sha256(canonical_json([study_name, *ids])).hexdigest()[:16]


def _make_planned_arm(arm: Arm, trial: Trial, ids: Mapping[int, str]) -> PlannedArm:
    """Return the arm with the identities of its trials by seed; `trial` is any of these trials."""
    return PlannedArm(
        name=arm.name,
        changes=arm.changes,
        question=arm.question,
        note=arm.note,
        exploratory=arm.exploratory,
        against=arm.against,
        may_be_identical=arm.may_be_identical,
        seed_offset=arm.seed_offset,
        other_names=arm.other_names,
        model=str(arm.fields.get("model", "")),
        title=trial.title,
        trial_ids=ids,
        trial_fields=list_trial_fields(trial),
        settings_hash=hashlib.sha256(canonical_json(trial.comparable_content)).hexdigest()[:16],
        commit=find_checked_out_commits(arm.factory).get(arm.fields.get("commit", "")),
    )


def list_trial_fields(trial: Trial) -> dict[str, Any]:
    """Return the fields that enter the identity of a trial, but its seed and device, as JSON has them."""
    excluded = {"seed", "device", *trial.unhashed_fields}
    stored_fields: dict[str, Any] = json.loads(canonical_json(trial.to_dict()))
    return {name: value for name, value in stored_fields.items() if name not in excluded}
