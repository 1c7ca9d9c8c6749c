"""A study's arms as MLflow shows them: their means by the report's own statistics."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from statistics import fmean

from unrolled.ablations.mlflow.fields import round_number
from unrolled.ablations.mlflow.mlflow_runs import ArmRun
from unrolled.ablations.plans.plan import Plan
from unrolled.bench.metric import Metric
from unrolled.bench.phrases import select_phrases
from unrolled.reports.compare.compared_arm import ComparedArm, summarise_arm
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.compare.design import DesignArm, make_judged_values
from unrolled.reports.formats import format_brackets, format_number, skip_none
from unrolled.reports.scale import count_significant_decimals
from unrolled.reports.statistics.arm_summary import ArmSummary
from unrolled.reports.statistics.seed_values import Interval
from unrolled.reports.words.contrast_lines import list_claims
from unrolled.reports.words.sentences import describe_aa_check


def make_arm_runs(plan: Plan, comparison: Comparison) -> tuple[ArmRun, ...]:
    """Return every arm of a plan, as MLflow shows it, over its seeds.

    An arm with a diverged seed has no mean, because the mean of its other seeds would be listed beside
    complete means. Instead, its `coverage` gives the median and the mean given convergence.
    """
    claims_by_arm = _collect_sentences(comparison)
    differences = _collect_differences(comparison)
    compared_arms = {compared.name: compared for compared in comparison.arms}
    arm_runs = []
    for arm in plan.arms:
        compared = compared_arms[arm.name]
        measured = compared.counted_arm
        results = measured.results.values()
        trial = measured.example_trial
        numbers = _collect_means(measured, plan) | differences.get(arm.name, {})
        arm_runs.append(
            ArmRun(
                name=arm.name,
                trial_ids=tuple(arm.trial_ids.values()),
                settings=trial.flat_settings() if trial else {"model": arm.model, **arm.changes},
                title=_format_title(measured, comparison),
                metrics={name: round_number(number) for name, number in numbers.items()},
                curves=_average_curves(measured, plan),
                coverage=_describe_seeds(compared, comparison, len(arm.trial_ids)),
                standing=", ".join(compared.standing),
                verdict=_describe_qualified_verdict(compared),
                claim=claims_by_arm[arm.name],
                started=min((result.started for result in results), default=0.0),
                ended=max((result.started + result.attempt_seconds for result in results), default=0.0),
            )
        )
    return tuple(arm_runs)


def _describe_qualified_verdict(arm: ComparedArm) -> str:
    """Return an arm's verdict with what weakens it, or why it has none."""
    if arm.verdict:
        marks = [*arm.standing, *select_phrases({"provisional": arm.verdict.is_provisional})]
        return f"{arm.verdict.text}{format_brackets(', '.join(marks))}"
    if arm.index == 0:
        return "baseline"
    return arm.reason_not_compared or "A/A check"


def _collect_sentences(comparison: Comparison) -> dict[str, str]:
    """Return the report's sentence on each arm, by the arm's name."""
    notes = {arm.name: arm.reason_not_compared for arm in comparison.arms}
    notes |= {arm.name: describe_aa_check(arm) for arm in comparison.arms if arm.is_aa_check and arm.contrast}
    notes[comparison.arms[0].name] = "the baseline"
    return notes | {claim.arm.name: claim.sentence for claim in list_claims(comparison)}


def _collect_differences(comparison: Comparison) -> dict[str, dict[str, float]]:
    """Return, by arm, the differences from its baseline by each metric, on the measured scale."""
    by_arm: dict[str, dict[str, float]] = {}
    for view in comparison.views:
        name = f"{view.metric.name} difference"
        verdicts = {arm.name: arm.verdict for arm in view.judged_arms if arm.verdict}
        for arm, verdict in verdicts.items():
            if verdict.contrast.omits_diverged:
                continue
            numbers = _name_numbers(name, verdict.contrast.estimate, verdict.contrast.sd, verdict.interval)
            if verdict.unbiased_difference is not None and math.isfinite(verdict.unbiased_difference):
                numbers[f"{name} unbiased"] = verdict.unbiased_difference
            numbers = {key: view.scale.convert_difference(value) for key, value in numbers.items()}
            if verdict.interval:
                numbers[f"{name} level"] = verdict.interval.confidence
            by_arm.setdefault(arm, {}).update(numbers)
    return by_arm


def _summarise_metric(arm: DesignArm, name: str, judged: Mapping[str, Metric]) -> ArmSummary:
    """Return the summary of an arm by a metric, all in the unit of the metric.

    The mean of a judged ratio is geometric, as on pages, and has no SD.
    """
    measured_values = arm.collect_measured_values(name)
    metric = judged.get(name)
    lower_is_better = metric is None or metric.lower_is_better
    if metric is None or not metric.ratio:
        return summarise_arm(arm, measured_values, lower_is_better=lower_is_better)
    judged_values = make_judged_values(measured_values, metric)
    summary = summarise_arm(arm, judged_values, lower_is_better=lower_is_better)
    to_unit = metric.from_judged_scale
    interval = summary.interval
    return replace(
        summary,
        values={seed: to_unit(value) for seed, value in summary.values.items()},
        mean=skip_none(to_unit)(summary.mean),
        sd=None,
        interval=interval and Interval(to_unit(interval.low), to_unit(interval.high), interval.confidence),
        median=skip_none(to_unit)(summary.median),
    )


def _collect_means(arm: DesignArm, plan: Plan) -> dict[str, float]:
    """Return the mean, SD and interval of each metric that every finished seed has, if no seed diverged."""
    done = {seed for seed, result in arm.results.items() if result.is_done}
    judged = {metric.name: metric for metric in plan.rules.metrics}
    means: dict[str, float] = {}
    for name in plan.mlflow_metrics.list_table_metrics(list(judged)):
        base, function = plan.mlflow_metrics.derived_metrics.get(name, (name, None))
        summary = _summarise_metric(arm, base, judged)
        if done <= summary.values.keys() and not summary.diverged_count:
            numbers = _name_numbers(name, summary.mean, summary.sd, summary.interval)
            if function:
                numbers.pop(f"{name} sd", None)
                numbers = {key: function(value) for key, value in numbers.items()}
            means |= numbers
    return means


def _format_title(arm: DesignArm, comparison: Comparison) -> str:
    """Return the arm's name with the first metric's mean and its interval, as MLflow's charts show it."""
    metric = comparison.metric
    unit = comparison.design.presentation.find_scale(metric.name)
    summary = _summarise_metric(arm, metric.name, {metric.name: metric})
    if summary.mean is None or summary.diverged_count:
        return arm.name
    title = f"{arm.name} · {unit.format_value(summary.mean)}"
    if interval := summary.interval:
        low, high = (
            unit.format_value(end).removesuffix(unit.value_unit).rstrip()
            for end in (interval.low, interval.high)
        )
        title += f", {interval.percent} CI [{low}, {high}]"
    return title


def _name_numbers(
    name: str, mean: float | None, sd: float | None, interval: Interval | None
) -> dict[str, float]:
    """Return the finite numbers among them by name: "loss", "loss sd", "loss low", "loss high"."""
    low, high = (interval.low, interval.high) if interval else (None, None)
    numbers = {"": mean, " sd": sd, " low": low, " high": high}
    return {
        f"{name}{suffix}": number
        for suffix, number in numbers.items()
        if number is not None and math.isfinite(number)
    }


def _average_curves(arm: DesignArm, plan: Plan) -> dict[str, dict[int, float]]:
    """Return means by epoch or step over all finished seeds, where each seed has a finite number.

    There are no means if a seed diverged.
    """
    done = arm.finished_results
    if not done or any(result.diverged for result in arm.results.values()):
        return {}
    curves = plan.mlflow_metrics.list_curves(plan.rules.metric_names)
    points: dict[str, dict[int, list[float]]] = {name: {} for name in curves}
    for name, curve in points.items():
        for step, value in chain.from_iterable(result.curves.get(name, ()) for result in done):
            if math.isfinite(value):
                curve.setdefault(round(step) + plan.mlflow_metrics.first_step, []).append(value)
    return {
        name: {step: fmean(values) for step, values in curve.items() if len(values) == len(done)}
        for name, curve in points.items()
    }


def _describe_seeds(arm: ComparedArm, comparison: Comparison, seed_count: int) -> str:
    """Return how many seeds the means cover, and what became of the others: "15 of 40, decided, 1 failed".

    With several looks the arm may need `max_seed_count`, and has a state. Else it has `seed_count` seeds.
    """
    status_counts = Counter(result.status for result in arm.counted_arm.results.values())
    missing = {"diverged": status_counts["diverged"], "failed": status_counts["failed"]}
    if comparison.is_sequential:
        covered = [f"{status_counts['done']} of {arm.max_seed_count}", arm.state.text]
        missing["trained for a look that is not complete"] = arm.waiting_count
        missing["of this look not trained yet"] = arm.missing_count
    else:
        covered = [f"{status_counts['done']} of {seed_count}"]
        missing["not trained yet"] = seed_count - status_counts.total()
    phrases = [f"{count} {state}" for state, count in missing.items() if count]
    words = ", ".join(filter(None, [*covered, *phrases]))
    if not status_counts["diverged"]:
        return words
    metric = comparison.metric
    summary = _summarise_metric(arm.counted_arm, metric.name, {metric.name: metric})
    decimals = max(4, count_significant_decimals(summary.median or 0.0, 4))
    median = format_number(summary.median, decimals)
    mean = format_number(summary.mean, decimals)
    return f"{words}: no mean; median {median}, mean given convergence {mean}"
