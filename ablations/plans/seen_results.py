"""Results that existed when a plan was declared: whoever has seen them cannot confirm anything by them."""

from collections import defaultdict
from collections.abc import Collection, Sequence

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans.plan import ArmPair, Plan, PlannedArm
from unrolled.bench.trial import Result, Trial, canonical_json

SEEN_PAIRS = 3
"""Pairs with results that make a contrast count as seen. A first run of one or two seeds does not."""


def find_shown_trials(plans: Sequence[Plan], ledger: Ledger) -> list[Trial]:
    """Return the trials whose results a page may have shown.

    A trial was shown if at least one plan counts it as done or diverged. A study that was refused showed
    nothing. Nor did one whose judged metric is misspelt, since all of its trials count as failed.
    """
    plans_by_trial: dict[str, list[Plan]] = defaultdict(list)
    for plan in plans:
        for id in plan.ids:
            plans_by_trial[id].append(plan)
    shown_trials = []
    for result in ledger.read_all_results():
        study_results: list[Result] = [result]
        if result.trial.id in plans_by_trial:
            study_results = [
                plan.make_study_result(result) for plan in plans_by_trial[result.trial.id] if not plan.refusal
            ]
        if any(counted.status != "failed" for counted in study_results):
            shown_trials.append(result.trial)
    return shown_trials


def find_seen_contrasts(
    pairs: Sequence[ArmPair], shown_trials: Sequence[Trial], trials: Sequence[Trial]
) -> list[ArmPair]:
    """Return the contrasts of which at least SEEN_PAIRS pairs were shown, on whatever seeds.

    `trials` are the trials of the arms. An arm whose trials are not among them is found only by results of
    the same code.
    """
    keys = {trial.id: canonical_json(trial.comparable_content) for trial in (*trials, *shown_trials)}
    seeds = defaultdict(set)
    for trial in shown_trials:
        seeds[keys[trial.id]].add(trial.seed)

    def shown_seeds(arm: PlannedArm) -> set[int]:
        key = next((keys[id] for id in arm.trial_ids.values() if id in keys), b"")
        return {seed - arm.seed_offset for seed in seeds[key]}

    return [(arm, base) for arm, base in pairs if len(shown_seeds(arm) & shown_seeds(base)) >= SEEN_PAIRS]


def count_seen_pairs(
    contrasts: Sequence[ArmPair], shown_trials: Sequence[Trial], trials: Sequence[Trial]
) -> dict[str, int]:
    """Return by arm the number of its seeds for which results of both the arm and its base were shown.

    A result counts for every trial with its settings, data and seed, in any study and with any code: an edit
    of the code does not make a result unseen.
    """
    contents = set(map(_describe_content, shown_trials))
    ids = {trial.id for trial in shown_trials} | {
        trial.id for trial in trials if _describe_content(trial) in contents
    }
    return count_pairs(contrasts, ids)


def count_pairs(pairs: Sequence[ArmPair], ids: Collection[str]) -> dict[str, int]:
    """Return by arm the number of seeds for which `ids` has both its trial and its base's, without zeros.

    The A/A arm is left out: its check claims nothing that a result could have suggested.
    """
    counts = {
        arm.name: sum(id in ids and base.trial_ids.get(seed) in ids for seed, id in arm.trial_ids.items())
        for arm, base in pairs
        if not arm.seed_offset
    }
    return {name: count for name, count in counts.items() if count}


def find_earlier_fingerprints(
    trials: Sequence[Trial], shown_trials: Sequence[Trial], ledger: Ledger
) -> dict[str, tuple[str, ...]]:
    """Return by trial the fingerprints of results whose trial differs only in the command line's template.

    A further flag that changes no number, such as --verbose, does not make a seen trial unseen. Whether it
    changed a number shows once the trial has its own result.
    """
    command_trials = [trial for trial in trials if trial.command_template]
    by_settings = {(canonical_json(trial.comparable_content), trial.seed): trial for trial in command_trials}
    fingerprints: dict[str, tuple[str, ...]] = {}
    for earlier_trial in shown_trials:
        trial = by_settings.get((canonical_json(earlier_trial.comparable_content), earlier_trial.seed))
        if trial and trial.command_template != earlier_trial.command_template:
            for result in ledger.read_results([earlier_trial.id]).values():
                fingerprints[trial.id] = (*fingerprints.get(trial.id, ()), fingerprint_numbers(result))
    return fingerprints


def fingerprint_numbers(result: Result) -> str:
    """Return the fingerprint of all numbers of a program's result, costs apart; its status if it failed."""
    return result.fingerprints.get("numbers", result.status)


def _describe_content(trial: Trial) -> bytes:
    """Return a trial's settings, seed and data, without its code."""
    return canonical_json({**trial.declared_fields, "data": trial.data})
