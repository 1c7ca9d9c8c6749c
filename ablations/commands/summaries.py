"""A study's arms as MLflow shows them: their means by the report's own statistics."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from ablations.design.plan import Plan, PlannedArm
from ablations.tracking.arms import ArmFacts
from ablations.tracking.browsing import ON_A_GPU
from bench.trial import Result
from reports.answer import claims, sentences
from reports.arms import finished, summary_of, trial_of, values
from reports.comparison import ComparedArm, Comparison
from reports.evidence import MeasuredArm
from reports.formats import number
from reports.statistics.contrasts import ArmSummary, Interval, summarise
from reports.tuning import own_best

_CURVES = {"train_loss": "train_loss", "valid_loss": "valid_loss", "valid_accuracy": "accuracy"}
"""Metrics that have a value for every epoch, and the field of Epoch that holds it."""


def summaries(plan: Plan, found: Comparison) -> tuple[ArmFacts, ...]:
    """Every arm, search and winner of a plan over its seeds.

    An arm with a diverged seed has no mean, since the mean of its other seeds would be listed beside complete
    ones. Its `seeds` then gives the median, and the mean given convergence under that name.
    """
    verdicts = _verdicts(found)
    seen = {row.arm.name: row.arm for row in found.rows}
    seen |= {tuned.own.name: tuned.own for tuned in found.evidence.tuned if tuned.own}
    levels = {tuned.arm: tuned.levels for tuned in found.evidence.tuned}
    rows = {row.arm.name: row for row in found.rows} if found.sequential else {}
    metrics, made = [metric.name for metric in found.evidence.metrics], []
    for arm in (*plan.arms, *plan.tuned):
        made.append(_facts(arm, seen[arm.name], metrics, rows.get(arm.name), verdicts.get(arm.name, "")))
    for arm in plan.searches:
        results = levels[arm.tunes][arm.level]
        shown = MeasuredArm(name=arm.name, model=arm.model, title=arm.title, results=results)
        made.append(_facts(arm, shown, metrics, role="search"))
    return tuple(made)


def _verdicts(found: Comparison) -> dict[str, str]:
    """The report's sentence on each arm, by the arm's name."""
    said = {row.arm.name: row.note for row in found.rows}
    said[found.rows[0].arm.name] = "the baseline"
    said |= {x.row.arm.name: line for x, line in zip(claims(found), sentences(found), strict=True)}
    return said | {x.own.arm.name: x.sentence for x in own_best(found) if x.own and x.judged}


def _facts(
    arm: PlannedArm,
    seen: MeasuredArm,
    metrics: Sequence[str],
    row: ComparedArm | None = None,
    verdict: str = "",
    role: str = "arm",
) -> ArmFacts:
    trial, times = trial_of(seen), [(r.started, r.started + r.seconds) for r in seen.results.values()]
    return ArmFacts(
        name=arm.name,
        role=role,
        trials=tuple(dict.fromkeys(arm.trials.values())),
        settings=trial.factors() if trial else {"model": arm.model, **arm.changes},
        metrics=_metrics(seen, metrics),
        curves=_curves(seen),
        seeds=_seeds(seen, metrics[0], row, len(set(arm.trials.values()))),
        verdict=verdict,
        started=min((start for start, _ in times), default=0.0),
        ended=max((end for _, end in times), default=0.0),
    )


def _metrics(arm: MeasuredArm, metrics: Sequence[str]) -> dict[str, float]:
    """Means with SD and interval over every finished seed, perplexity as exp of the loss's.

    A metric that is infinite on one seed, or that one lacks, has no mean.
    """
    wanted = dict.fromkeys((*metrics, "valid_accuracy", "valid_loss", "speed_train", *ON_A_GPU))
    measured = {name: values(arm, name) for name in wanted}
    done = {seed for seed, result in arm.results.items() if result.done}
    found: dict[str, float] = {}
    for name, numbers in measured.items():
        summary = summary_of(arm, name)
        if done <= numbers.keys() and not summary.diverged:
            found |= _numbers(name, summary)
            found |= _perplexity(summary) if name == "valid_loss" else {}
    return found


def _numbers(name: str, summary: ArmSummary) -> dict[str, float]:
    ends = summary.interval
    return _present({name: summary.mean, f"{name} sd": summary.sd, **_ends(name, ends)})


def _perplexity(summary: ArmSummary) -> dict[str, float]:
    ends = summary.perplexity_interval
    return _present({"valid_perplexity": summary.perplexity, **_ends("valid_perplexity", ends)})


def _ends(name: str, ends: Interval | None) -> dict[str, float | None]:
    return {f"{name} low": ends.low if ends else None, f"{name} high": ends.high if ends else None}


def _present(numbers: Mapping[str, float | None]) -> dict[str, float]:
    return {name: x for name, x in numbers.items() if x is not None and math.isfinite(x)}


def _curves(arm: MeasuredArm) -> dict[str, dict[int, float]]:
    """Means by epoch over all finished seeds; nothing where one diverged."""
    done = finished(arm)
    if not done or any(result.diverged for result in arm.results.values()):
        return {}
    epochs = range(min(len(result.epochs) for result in done))
    return {metric: _curve(done, epochs, field) for metric, field in _CURVES.items()}


def _curve(done: tuple[Result, ...], epochs: range, field: str) -> dict[int, float]:
    means = {}
    for epoch in epochs:
        seen = {r.trial.seed: float(getattr(r.epochs[epoch], field)) for r in done}
        if all(map(math.isfinite, seen.values())) and (mean := summarise(seen).mean) is not None:
            means[done[0].epochs[epoch].epoch] = mean
    return means


def _seeds(arm: MeasuredArm, metric: str, row: ComparedArm | None, planned: int) -> str:
    """How many seeds the means cover, and what became of the others; `row` where seeds follow looks.

    "15 of 40, decided": of the seeds that the arm may come to need, those of the looks that were taken.
    """
    kinds = Counter(result.status for result in arm.trials.values())
    if arm.counted and kinds["done"]:
        return "trained once"
    others = {
        "diverged": kinds["diverged"],
        "failed": kinds["failed"],
        "not trained yet": row.waiting if row else planned - kinds.total(),
    }
    bad = [f"{k} {what}" for what, k in others.items() if k]
    state = [row.state] if row and row.state else []
    said = ", ".join([f"{kinds['done']} of {row.most if row else planned}", *state, *bad])
    if not kinds["diverged"]:
        return said
    summary = summary_of(arm, metric)
    return f"{said}: no mean; median {number(summary.median)}, mean given convergence {number(summary.mean)}"
