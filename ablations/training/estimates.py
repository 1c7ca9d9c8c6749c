"""Estimates, before the training, of the seeds, trials and time that decide a study.

The expected seeds follow from the spread of the paired differences: the spread of results so far, or
`SPREAD`.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.plan import Plan, awaits_repetition, list_first_trials
from unrolled.ablations.study.study import Study
from unrolled.ablations.training.device import DeviceChoice, count_slots
from unrolled.bench.metric import FEWEST_SEEDS
from unrolled.bench.phrases import plural, select_phrases
from unrolled.bench.trial import Result, Trial
from unrolled.reports.formats import REPEATED, format_duration, join_first_names, join_names

if TYPE_CHECKING:
    from unrolled.reports.statistics.expected_seeds import ExpectedContrast

TRUTHS = "nothing differs", "every difference is δ", "every difference is 2 δ"
"""The true differences for which a plan estimates the cost of a contrast: 0, δ and 2 δ."""
SPREAD = 1.5
"""SD of paired differences, in δ, that is assumed before there are results: about that of `toggles`."""
MOST_LISTED_ARMS = 8  # arms of a program that a line names before it counts the rest


def read_measurements(
    study: Study, ledger: Ledger, plan: Plan | None, device: str
) -> tuple[dict[str, float], dict[str, float]]:
    """Return, by arm, the measured SD of its paired differences and the mean seconds of its trials.

    Both come from the trials of today's `plan`, whichever study trained them. For an arm without trials in
    today's plan they come from the stored plan, which may have earlier code or other seeds. An SD is by the
    first metric, of five pairs or more; seconds are of trials on this device with the arm's present settings.
    """
    spreads: dict[str, float] = {}
    seconds: dict[str, float] = {}
    plans = [plan] if plan else []
    if plan_store.has_plan(study.name, ledger):
        plans.insert(0, plan_store.load_plan(study.name, ledger))
    settings = {arm.name: arm.make_unidentified_trial(device=device).flat_settings() for arm in study.arms}
    for measured_plan in plans:  # today's, which is the last, replaces what the stored plan gave
        results = ledger.read_results(measured_plan.ids)
        rules = replace(measured_plan.rules, metrics=study.rules.metrics)
        by_metric = measure_spreads(replace(measured_plan, rules=rules), results)
        spreads |= {
            arm: sd for (arm, metric), sd in by_metric.items() if metric == study.rules.metrics[0].name
        }
        times = defaultdict(list)
        names = measured_plan.arm_names_by_id
        for id, result in results.items():
            has_settings = result.trial.flat_settings() == settings.get(names[id])
            if result.is_done and has_settings and measured_plan.device == device:
                times[names[id]].append(result.total_seconds)
        seconds |= {name: fmean(durations) for name, durations in times.items()}
    return spreads, seconds


def measure_spreads(plan: Plan, results: Mapping[str, Result]) -> dict[tuple[str, str], float]:
    """Return the SD of paired differences by arm and metric, of contrasts with FEWEST_SEEDS pairs or more."""
    if not results:
        return {}
    from unrolled.ablations.publishing.plan_comparison import make_plan_design
    from unrolled.reports.compare.contrast_decisions import decide_looks  # imports scipy; not without results

    verdicts = decide_looks(make_plan_design(plan, plan.make_results_in_study(results))).verdicts
    return {
        (arm, metric): verdict.contrast.sd
        for arm, by_metric in verdicts.items()
        for metric, verdict in by_metric.items()
        if verdict.contrast.sd and verdict.contrast.pair_count >= FEWEST_SEEDS
    }


def find_spread(study: Study, spreads: Mapping[str, float], arm: str) -> float:
    """Return the SD of the paired differences of an arm's contrast, in δ: the measured one, or `SPREAD`."""
    return spreads[arm] / study.rules.metrics[0].zone if arm in spreads else SPREAD


def estimate_chances(
    study: Study, spreads: Mapping[str, float], until_size: bool
) -> "list[dict[str, ExpectedContrast]]":
    """Return, for each of `TRUTHS`, the expectations of each contrast, by arm; {} if there is one seed."""
    from unrolled.reports.statistics.expected_seeds import predict_contrast
    from unrolled.reports.statistics.futility import FUTILE_CHANCE
    from unrolled.reports.statistics.looks import Looks

    if study.rules.looks[0] < 2:
        return [{} for _ in TRUTHS]
    goes_on = {arm.name for arm in study.arms if study.rules.to_the_end or arm.exploratory}
    return [
        {
            name: predict_contrast(
                Looks(study.rules.looks),
                sd=find_spread(study, spreads, name),
                zone=1.0,
                effect=float(effect),
                family_size=len(study.contrasts),
                until_size=until_size,
                futility=0.0 if name in goes_on else FUTILE_CHANCE,
            )
            for name in study.contrasts
        }
        for effect in range(len(TRUTHS))
    ]


def estimate_seeds(study: Study, chances: "Mapping[str, ExpectedContrast]") -> dict[str, float]:
    """Return the expected seeds of every arm: it gets the seeds of a look if any of its contrasts reaches it.

    The looks are after n₁, n₂, … seeds, and each contrast reaches look k with a chance rₖ. Contrasts are
    taken as independent: n₁ + Σ (nₖ − nₖ₋₁) · (1 − Π (1 − rₖ)), the product over the contrasts of the arm.
    """
    miss_chances = {arm.name: [1.0] * len(study.rules.looks) for arm in study.arms}
    for name, expectation in chances.items():
        for side in (name, study.contrasts[name]):
            pairs = zip(miss_chances[side], expectation.reach, strict=True)
            miss_chances[side] = [miss * (1 - reach) for miss, reach in pairs]
    first, *steps = (look - before for before, look in pairwise((0, *study.rules.looks)))
    return {
        name: first + sum(step * (1 - miss) for step, miss in zip(steps, later, strict=True))
        for name, (_, *later) in miss_chances.items()
    }


def count_missing_trials(need: Mapping[str, float], result_counts: Mapping[str, int]) -> dict[str, float]:
    """Return the expected trials of each arm, less those that have results: at least 0."""
    return {name: max(0.0, number - result_counts.get(name, 0)) for name, number in need.items()}


def describe_costs(
    plan: Plan, trial: Trial, ended: int, seconds: float | None, device: DeviceChoice
) -> list[str]:
    """Return lines on a program's study: its cost, what its identity consists of, and the first checks.

    `ended` of its trials have ended; `seconds` is the mean of a trial, None before it is known.
    """
    first = len(list_first_trials(plan))
    repeats = int(awaits_repetition(plan))
    numbers = list(dict.fromkeys((len(plan.arms) * plan.rules.looks[0], len(plan.ids))))
    cost = "unknown until the first has ended (--seeds 0 trains one of each arm)"
    checks = " and ".join([plural(first, "trial"), *select_phrases({"a second run of the first": repeats})])
    if seconds is not None:
        workers, places = count_workers(device, trial.gpu_count)
        times = [format_estimate(max(0, number - ended + repeats) * seconds / workers) for number in numbers]
        cost = f"{seconds:.1f}, so that {' to '.join(dict.fromkeys(times))} are left on {places}"
        checks += f", {(first + repeats) * seconds:.0f} s of training"
    checks += ": whether a trial fails"
    if plan.rules.qualities:
        checks += f"; whether the seed and each setting change {join_names(plan.rules.qualities)}"
    is_unchecked = not plan.repeats_first_trial and plan.repetition_differences is None
    checks += f"; not checked: {REPEATED}, so that a change may be noise" if is_unchecked else f"; {REPEATED}"
    repetition = ", and 1 that repeats the baseline's first" if repeats else ""
    return [
        f"arms: {join_first_names([arm.name for arm in plan.arms], MOST_LISTED_ARMS)}",
        f"trainings: {' to '.join(map(str, numbers))}{repetition}; {ended} have ended",
        f"seconds of one: {cost}",
        f"trained again if one of these changes: {trial.describe_identity()}",
        f"first checks, on {checks}",
    ]


def count_workers(device: DeviceChoice, gpu_count: int) -> tuple[int, str]:
    """Return how many trials are trained at a time if each gets `gpu_count` GPUs, and on what: "4 cores"."""
    workers = min(device.slots, count_slots(gpu_count, device.gpus))
    return workers, plural(workers * gpu_count, "GPU") if gpu_count else plural(workers, "core")


def format_estimate(seconds: float) -> str:
    """Return a duration in words, without seconds."""
    return "under a minute" if seconds < 60 else format_duration(seconds)
