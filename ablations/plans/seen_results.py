"""Results that existed when a plan was declared: whoever has seen them cannot confirm anything by them."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans.plan import ArmPair, Plan, PlannedArm
from unrolled.ablations.study.seeds import format_seeds
from unrolled.ablations.study.study import Study
from unrolled.ablations.study.study_reader import list_shipped_studies
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.phrases import choose_form, plural
from unrolled.bench.study_rules import SEEN_PAIRS
from unrolled.bench.trial import Result, Trial


def find_shown_results(plans: Sequence[Plan], ledger: Ledger) -> list[Result]:
    """Return the results that a page may have shown.

    - The page of a plan showed each trial that the plan counts as done or diverged. If the judged metric is
      misspelt, all trials count as failed, and none was shown.
    - A plan that its first trials stopped has no page. Only trials of an earlier declaration were shown.
    - A trial that belongs to no plan may have been shown unless it failed.
    """
    plans_by_trial: dict[str, list[Plan]] = defaultdict(list)
    for plan in plans:
        for id in plan.ids:
            plans_by_trial[id].append(plan)
    declared_before = {
        id for plan in plans for declaration in plan.earlier_plans for id in declaration.trial_ids
    }
    shown_results = []
    for result in ledger.read_all_results():
        results_in_study: list[Result] = [result]
        if result.trial.id in plans_by_trial:
            results_in_study = [
                plan.make_result_in_study(result)
                for plan in plans_by_trial[result.trial.id]
                if not plan.stop_reason or result.trial.id in declared_before
            ]
        if any(result_in_study.status != "failed" for result_in_study in results_in_study):
            shown_results.append(result)
    return shown_results


def find_seen_contrasts(
    pairs: Sequence[ArmPair], shown_trials: Sequence[Trial], trials: Sequence[Trial]
) -> list[ArmPair]:
    """Return the contrasts of which at least SEEN_PAIRS pairs were shown, on whatever seeds.

    - Of an arm with a trial in `trials`, results with its settings are found, of whatever code.
    - Of any other arm, results are found by the identities of its trials: those of the present code alone.
    """
    keys = {trial.id: canonical_json(trial.comparable_content) for trial in (*trials, *shown_trials)}
    seeds = defaultdict(set)
    for trial in shown_trials:
        seeds[keys[trial.id]].add(trial.seed)

    def find_shown_seeds(arm: PlannedArm) -> set[int]:
        key = next((keys[id] for id in arm.trial_ids.values() if id in keys), b"")
        return {seed - arm.seed_offset for seed in seeds[key]}

    return [
        (arm, base)
        for arm, base in pairs
        if len(find_shown_seeds(arm) & find_shown_seeds(base)) >= SEEN_PAIRS
    ]


def count_seen_pairs(
    contrasts: Sequence[ArmPair], shown_trials: Sequence[Trial], trials: Sequence[Trial]
) -> dict[str, int]:
    """Return by arm the number of its seeds for which results of both the arm and its base were shown.

    A result counts for every trial with its settings, data and seed, in any study, with any code and however
    its metrics were read: neither an edit of the code nor another `value` makes a result unseen. The A/A arm
    is left out: its check claims nothing. Arms without such a seed are left out, too.
    """
    contents = set(map(_encode_content, shown_trials))
    ids = {trial.id for trial in shown_trials} | {
        trial.id for trial in trials if _encode_content(trial) in contents
    }
    counts = {
        arm.name: sum(id in ids and base.trial_ids.get(seed) in ids for seed, id in arm.trial_ids.items())
        for arm, base in contrasts
        if not arm.seed_offset
    }
    return {name: count for name, count in counts.items() if count}


def hash_earlier_arms(shown_results: Iterable[Result], plan: Plan) -> tuple[dict[int, str], ...]:
    """Return the judged numbers of each earlier arm on the seeds of a plan, hashed, by seed.

    An earlier arm has all results of one program or model with one set of settings and data.
    """
    seeds = {seed + arm.seed_offset for seed in plan.rules.seeds for arm in plan.arms}
    by_content: dict[bytes, dict[int, str]] = defaultdict(dict)
    for result in shown_results:
        trial = result.trial
        numbers = hash_judged_numbers(result, plan)
        if numbers and trial.seed in seeds and trial.trainer_name == plan.trainer_name:
            content = canonical_json([trial.comparable_content, trial.command_template, trial.source])
            by_content[content][trial.seed] = numbers
    return tuple(numbers for numbers in by_content.values() if len(numbers) >= SEEN_PAIRS)


def warn_of_shared_seeds(study: Study) -> str:
    """Return a line for a first try, by `--seeds`, on seeds of the whole study; "" if it leaves them unseen.

    The whole study would be declared after the page of the try, and so be exploratory.
    """
    seeds = study.rules.seeds
    shared_seeds = [seed for seed in seeds if seed in study.declared_seeds]
    is_try = len(shared_seeds) >= SEEN_PAIRS and len(seeds) < len(study.declared_seeds)
    if not is_try or study.name in list_shipped_studies():
        return ""
    first = max(study.declared_seeds) + 1
    return (
        f"seeds {format_seeds(shared_seeds)} are seeds of the whole study: once they are seen, its claims "
        f"are exploratory; try it on others: --seeds {first}-{first + len(seeds) - 1}"
    )


def describe_seen_pairs(plan: Plan) -> str:
    """Return a line on the contrasts with results before the plan was declared; "" for none."""
    if not plan.seen_pairs:
        return ""
    contrasts = plural(sum(not arm.seed_offset for arm, _ in plan.arm_pairs), "contrast")
    whose = choose_form(len(plan.seen_pairs), "its claim is", "their claims are")
    return f"{len(plan.seen_pairs)} of {contrasts} had results before this plan: {whose} exploratory"


def count_repeated_pairs(plan: Plan, results: Mapping[str, Result]) -> dict[str, int]:
    """Return by arm the number of seeds on which both sides repeat the numbers of two earlier arms.

    The earlier arms were shown before the plan was declared. Their trials had another identity, because since
    then a setting or a flag was added or renamed, or a file was named as data. An arm repeats an earlier arm
    if the numbers of both agree on every seed that both have, and on at least SEEN_PAIRS seeds.
    """
    if not plan.earlier_number_hashes:  # a study asks at each look, and most ledgers have no such arm
        return {}
    by_arm = {arm.name: _find_repeated_arms(arm, plan, results) for arm in plan.arms}
    counts = {}
    for arm, base in plan.arm_pairs:
        seeds = {
            seed
            for index, arm_seeds in by_arm[arm.name].items()
            for other_index, base_seeds in by_arm[base.name].items()
            if index != other_index
            for seed in arm_seeds & base_seeds
        }
        if len(seeds) >= SEEN_PAIRS and not arm.seed_offset:
            counts[arm.name] = len(seeds)
    return counts


def _find_repeated_arms(arm: PlannedArm, plan: Plan, results: Mapping[str, Result]) -> dict[int, set[int]]:
    """Return the seeds on which an arm repeats an earlier arm, by the index of that arm."""
    numbers = {
        seed: hash_judged_numbers(results[id], plan) for seed, id in arm.trial_ids.items() if id in results
    }
    repeated = {}
    for index, earlier_numbers in enumerate(plan.earlier_number_hashes):
        seeds = numbers.keys() & {seed - arm.seed_offset for seed in earlier_numbers}
        if len(seeds) >= SEEN_PAIRS and all(
            numbers[seed] == earlier_numbers[seed + arm.seed_offset] for seed in seeds
        ):
            repeated[index] = set(seeds)
    return repeated


def hash_judged_numbers(result: Result, plan: Plan) -> str:
    """Return the hash of the qualities that a plan judges, or "diverged"; "" if one of them is missing."""
    if result.diverged:
        return "diverged"
    numbers = [result.metrics.get(name) for name in plan.rules.qualities]
    if not result.is_done or not numbers or None in numbers:
        return ""
    return hashlib.sha256(canonical_json(numbers)).hexdigest()[:16]


def _encode_content(trial: Trial) -> bytes:
    """Return a trial's settings, seed and data, without its code and `same_draw_fields`."""
    declared = {
        name: value for name, value in trial.declared_fields.items() if name not in trial.same_draw_fields
    }
    return canonical_json({**declared, "data": trial.data})
