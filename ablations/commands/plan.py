"""`unrolled plan`: print the trials of studies, their costs and power. Nothing is trained."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import PlanOptions
from unrolled.ablations.study import plan as plans
from unrolled.ablations.study import plan_store
from unrolled.ablations.study.commits import list_checked_out_commits
from unrolled.ablations.study.loading import load_studies
from unrolled.ablations.study.study import Study
from unrolled.ablations.training.device import Device, choose_device, count_slots
from unrolled.bench.errors import BadInput, plural, visible
from unrolled.bench.metric import FEWEST_SEEDS
from unrolled.bench.program.trial import ProgramTrial
from unrolled.bench.trial import Result
from unrolled.reports.formats import REPEATED, format_duration, join_first_names, join_names

if TYPE_CHECKING:
    from unrolled.reports.statistics.stopping import Expected

TRUTHS = "nothing differs", "every difference is δ", "every difference is 2 δ"
"""The true differences, 0 to 2 δ, for which a plan says what a contrast takes."""
SPREAD = 1.5
"""SD of the pairs' differences, in δ, where no results are there yet: as between most arms of `toggles`."""
HOUR = 3600.0
ARMS_NAMED = 8  # how many arms of a program are named before it is said how many more there are


def print_plans(studies: Sequence[str | Study], options: PlanOptions) -> int:
    """Print the arms of studies, and what it takes to decide them."""
    for study in load_studies(studies, options):
        ledger = Ledger(options.results)
        device = choose_device(study, options, plan_store.find_stored_device(study.name, ledger))
        _print_plan(plan_store.keep_to_the_end(study, ledger), device, ledger)
    return 0


def _print_plan(study: Study, device: Device, ledger: Ledger) -> None:
    """One study's arms, what each may take until it is decided, trials, expected time and device."""
    has_plan = study.of_program or ledger.files()
    plan = plans.make_plan(study, "", device.kind)[0] if has_plan else None
    results = ledger.results(plan.ids) if plan else {}
    spreads, measured = _read_measurements(study, ledger, plan, device.kind)
    metric = study.metrics[0]
    usual = {arm.name: arm.make_trial().seconds for arm in study.arms}  # on a core
    if study.of_program and measured:
        usual = dict.fromkeys(usual, fmean(measured.values()))
    seconds = {**usual, **measured}
    chances = _estimate_chances(study, spreads, study.decide == "size")
    needs = [_estimate_seeds(study, by_arm) for by_arm in chances]
    print(f"{visible(study.name)}: {visible(study.question)}\n")
    _print_rows(_make_rows(study, seconds, spreads, chances))
    source = "of the results so far" if spreads else f"taken as {SPREAD:g} δ"
    print(f"\nSD: of the pairs' differences in {metric.name}, {source}; δ = {metric.shown_delta}.")
    print(f"seeds: expected number, {study.looks[-1]} at most; what is open then would need more.")
    print("chance: of a right verdict by then, at least.")
    if len(study.looks) > 1 and not study.to_the_end:
        print("A contrast that is unlikely to be decided gets no more seeds, unless --to-the-end is given.")
    explanation = "of a trial, measured where there are results" if measured else "of a trial"
    if device.kind == "cuda" and not study.of_program and measured.keys() != usual.keys():
        explanation += ", else of one on a core: how long a GPU takes is not known before"
    print(f"seconds: {explanation}.")
    looks = ", ".join(map(str, study.looks))
    print(f"{plural(len(study.arms), 'arm')}, looks after {looks} seeds, plan {study.plan_hash[:12]}")
    if plan and isinstance(program := study.baseline.make_trial(device=device.kind), ProgramTrial):
        with suppress(BadInput):  # of one that was never run, or whose plan is damaged
            plan = plan_store.copy_nondeterminism(plan, plan_store.load_plan(study.name, ledger))
        mean = fmean(measured.values()) if measured else None
        for line in describe_costs(plan, program, len(results), mean, device):
            print(visible(line))
    if commits := list_checked_out_commits(study.baseline.trainer):
        print("commits, each with the packages that are installed now:")
        for commit in commits:
            print(visible(f"  {commit.name}  {commit.description}"))
    if plan and not study.of_program:
        stored = f"{len(results):,} are in {visible(ledger.root)} already"
        print(f"of {len(plan.ids):,} trials at most, {stored}")
    arms = plan.arms if plan else ()
    result_counts = {arm.name: sum(id in results for id in arm.trials.values()) for arm in arms}
    missing = [_count_missing_trials(need, result_counts) for need in needs]
    seconds_by_truth = [sum(number * seconds[name] for name, number in by_arm.items()) for by_arm in missing]
    workers, places = _count_workers(device, study.baseline.make_trial(device=device.kind).gpu_count)
    for truth, need, by_arm, total in zip(TRUTHS, needs, missing, seconds_by_truth, strict=True):
        cost = f"{total:.0f} seconds of training, {_format_estimate(total / workers)} on {places}"
        left = f"{sum(by_arm.values()):.0f} left to train, " if results else ""
        print(f"if {truth}: about {sum(need.values()):.0f} trials expected, {left}{cost}")
    if study.decide != "size" and len(study.looks) > 1:
        until_size = [_estimate_seeds(study, by_arm) for by_arm in _estimate_chances(study, spreads, True)]
        trials = join_names([f"{sum(need.values()):.0f}" for need in until_size])
        print(f'until sizes are settled too (decide = "size"): about {trials} trials expected')
    print(device)
    if len(study.seeds) < FEWEST_SEEDS:
        print(f"WARNING: nothing will be decided: a verdict needs at least {FEWEST_SEEDS} seeds")
    if (longest := max(seconds_by_truth) / workers) > HOUR:
        print(f"WARNING: deciding may take {longest / HOUR:.1f} h; --budget 1h ends a run in time")


def describe_costs(
    plan: plans.Plan, program: ProgramTrial, ended: int, seconds: float | None, device: Device
) -> list[str]:
    """What a study of a program takes, what counts in its identity and what is checked first, a line each.

    So many of its trials have `ended`; `seconds` is what one takes on average, None before that is known.
    """
    first = len(plans.list_first_trials(plan))
    repeats = int(plans.is_repeated(plan))
    numbers = list(dict.fromkeys((len(plan.arms) * plan.looks[0], len(plan.ids))))
    cost = "taken as a minute until one has ended (--seeds 0 trains one of each arm)"
    checks = f"{first} of them{' and the one that repeats' if repeats else ''}"
    if seconds is not None:
        workers, places = _count_workers(device, program.gpu_count)
        times = [_format_estimate(max(0, number - ended + repeats) * seconds / workers) for number in numbers]
        cost = f"{seconds:.1f}, so that {' to '.join(dict.fromkeys(times))} are left on {places}"
        checks += f", {(first + repeats) * seconds:.0f} s of training"
    checks += ": that none fails"
    if plan.qualities:
        checks += f", that the seed and each setting change {join_names(plan.qualities)}"
    is_unchecked = not plan.repeat and plan.nondeterminism is None
    checks += f"; not checked: {REPEATED}, so that a change may be noise" if is_unchecked else f", {REPEATED}"
    repetition = ", and 1 that repeats the baseline's first" if repeats else ""
    return [
        f"arms: {join_first_names([arm.name for arm in plan.arms], ARMS_NAMED)}",
        f"trainings: {' to '.join(map(str, numbers))}{repetition}; {ended} have ended",
        f"seconds of one: {cost}",
        f"counts in the identity: {program.describe_identity()}",
        f"checked first, on {checks}",
    ]


def _count_workers(device: Device, gpu_count: int) -> tuple[int, str]:
    """How many trials of so many GPUs are trained at a time, and on what, in words."""
    workers = min(device.slots, count_slots(gpu_count, device.gpus))
    return workers, plural(workers * gpu_count, "GPU") if gpu_count else plural(workers, "core")


def _count_missing_trials(need: Mapping[str, float], result_counts: Mapping[str, int]) -> dict[str, float]:
    """The expected trials of each arm that are still to be trained, where so many have results."""
    return {name: max(0.0, number - result_counts.get(name, 0)) for name, number in need.items()}


def _format_estimate(seconds: float) -> str:
    return "under a minute" if seconds < 60 else format_duration(seconds)


def _estimate_chances(
    study: Study, spreads: Mapping[str, float], until_size: bool
) -> "list[dict[str, Expected]]":
    """For each of `TRUTHS`, what every contrast is expected to take, by arm; {} where one seed is trained."""
    from unrolled.reports.statistics.futility import BOUND
    from unrolled.reports.statistics.sequential import Looks
    from unrolled.reports.statistics.stopping import predict_contrast

    if study.looks[0] < 2:
        return [{} for _ in TRUTHS]
    goes_on = {arm.name for arm in study.arms if study.to_the_end or arm.exploratory}
    return [
        {
            name: predict_contrast(
                Looks(study.looks),
                sd=_find_spread(study, spreads, name),
                delta=1.0,
                effect=float(effect),
                family=len(study.contrasts),
                until_size=until_size,
                futility=0.0 if name in goes_on else BOUND,
            )
            for name in study.contrasts
        }
        for effect in range(len(TRUTHS))
    ]


def _find_spread(study: Study, spreads: Mapping[str, float], arm: str) -> float:
    """The SD of the pairs' differences of an arm's contrast, in δ: measured, or taken."""
    return spreads[arm] / study.metrics[0].zone if arm in spreads else SPREAD


def _estimate_seeds(study: Study, chances: "Mapping[str, Expected]") -> dict[str, float]:
    """The expected seeds of every arm, which gets those of a look if one of its contrasts does.

    Contrasts are taken to be independent.
    """
    miss_chances = {arm.name: [1.0] * len(study.looks) for arm in study.arms}
    for name, base in study.contrasts.items() if chances else ():
        for side in (name, base):
            pairs = zip(miss_chances[side], chances[name].reach, strict=True)
            miss_chances[side] = [miss * (1 - reach) for miss, reach in pairs]
    first, *steps = (n - before for before, n in pairwise((0, *study.looks)))
    return {
        name: first + sum(step * (1 - miss) for step, miss in zip(steps, later, strict=True))
        for name, (_, *later) in miss_chances.items()
    }


def _make_rows(
    study: Study,
    seconds: Mapping[str, float],
    spreads: Mapping[str, float],
    chances: "Sequence[Mapping[str, Expected]]",
) -> list[list[str]]:
    """The table: a heading, and a row for each arm."""
    rows = [["arm", "SD", "0", "δ", "2 δ", "seconds", "what it changes"]]
    for arm in study.arms:
        cells = ["–"] * (1 + len(TRUTHS))
        if arm.name in chances[0]:
            cells = [f"{_find_spread(study, spreads, arm.name) * study.metrics[0].zone:.2g}"]
            expectations = [by_arm[arm.name] for by_arm in chances]
            cells += [
                f"{expectation.seeds:.0f} ({100 * expectation.right:.0f} %)" for expectation in expectations
            ]
        changes = ", ".join(f"{key}={visible(value)}" for key, value in arm.changes.items()) or "–"
        against = f", against {visible(arm.against)}" if arm.against else ""
        if other := study.task_differences(arm):
            against += f"; no contrast, as it is of another task: {', '.join(other)}"
        rows.append([visible(arm.name), *cells, f"{seconds[arm.name]:.1f}", changes + against])
        rows += [["", *[""] * (2 + len(TRUTHS)), f"also: {visible(other)}"] for other in arm.also]
    return rows


def _print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Print the table, with a heading over the columns of `TRUTHS`."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    indent = " " * (widths[0] + widths[1] + 4)
    print(f"{indent}seeds (chance) if the true difference is")
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _read_measurements(
    study: Study, ledger: Ledger, plan: plans.Plan | None, device: str
) -> tuple[dict[str, float], dict[str, float]]:
    """What the ledger has of the study: SDs and seconds on a device, by arm.

    Of the trials of today's `plan`, whichever study trained them, and where there are none of those of its
    stored plan, of earlier code or other seeds. The SD is of a contrast by the first metric, of five pairs or
    more; the seconds are the mean of the trials with the arm's present settings.
    """
    spreads: dict[str, float] = {}
    seconds: dict[str, float] = {}
    stored = [plan_store.load_plan(study.name, ledger)] if plan_store.has_plan(study.name, ledger) else []
    settings = {arm.name: arm.make_trial(device=device).factors() for arm in study.arms}
    for source in filter(None, (*stored, plan)):  # what comes last counts
        results = ledger.results(source.ids)
        by_metric = measure_spreads(replace(source, metrics=study.metrics), results)
        spreads |= {arm: sd for (arm, metric), sd in by_metric.items() if metric == study.metrics[0].name}
        times = defaultdict(list)
        names = source.arm_names
        for id, result in results.items() if source.device == device else ():
            if result.done and result.trial.factors() == settings.get(names[id]):
                times[names[id]].append(result.spent)
        seconds |= {name: fmean(durations) for name, durations in times.items()}
    return spreads, seconds


def measure_spreads(plan: plans.Plan, results: Mapping[str, Result]) -> dict[tuple[str, str], float]:
    """The SD of the pairs' differences by arm and metric, where there are five pairs or more."""
    if not results:
        return {}
    from unrolled.ablations.training.comparison import design_of_plan
    from unrolled.reports.contrast_decisions import decide_looks  # scipy: not without results

    verdicts = decide_looks(design_of_plan(plan, results)).verdicts
    return {
        (arm, metric): verdict.contrast.sd
        for arm, by_metric in verdicts.items()
        for metric, verdict in by_metric.items()
        if verdict.contrast.sd and verdict.contrast.pairs >= FEWEST_SEEDS
    }
