"""The verdicts of a comparison as a table, and the comparison of any two arms, for a notebook."""

import math
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path

import pandas as pd

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans.plan_store import load_plan
from unrolled.ablations.publishing.plan_comparison import compare_plan
from unrolled.ablations.study.study import Study
from unrolled.ablations.tables.study_tables import compare_study_table
from unrolled.bench.errors import BadInput, require, suggestion
from unrolled.bench.metric import Metric
from unrolled.reports.compare.compared_arm import ComparedArm
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.compare.trial_frame import list_metric_columns
from unrolled.reports.page.exports import make_number_cells
from unrolled.reports.scale import Scale
from unrolled.reports.statistics.contrasts import Contrast
from unrolled.reports.statistics.verdicts import Verdict
from unrolled.reports.words.sentences import describe_verdict


def load_comparison(study: str | Study | pd.DataFrame, folder: str | Path) -> Comparison:
    """Return a study's arms side by side: from a table, or from a ledger."""
    if isinstance(study, pd.DataFrame):
        return compare_study_table(study)
    ledger = Ledger(Path(folder))
    plan = load_plan(study, ledger)
    return compare_plan(plan, plan.read_results(ledger))


def choose_metric(comparison: Comparison, metric: str, delta: float = 0.0) -> Comparison:
    """Return the comparison by a metric of the study; by its first, if δ is given for another metric."""
    design = comparison.design
    columns = list_metric_columns(comparison.table, design)
    exists = not metric or not columns or metric in columns
    require(exists, f"no result has {metric!r}", key="metric", cure=suggestion(metric, columns))
    view = comparison.find_view(metric) if metric else comparison
    if view is None and not delta:
        names = ", ".join(declared.name for declared in design.rules.metrics)
        raise BadInput(
            f"study {design.rules.name!r} declares δ for {names}",
            place=f"metric {metric!r}",
            cure="give delta",
        )
    return view or comparison


_CELLS = {
    **{name: name for name in ("arm_mean", "baseline_mean", "difference", "unbiased")},
    **{end: f"difference_{end}" for end in ("low", "high", "level")},
    **{name: name for name in ("better", "p", "p_same")},
}
"""For columns of `verdicts`, the columns of a page's CSV that hold the same numbers."""


def tabulate_verdicts(comparison: Comparison) -> pd.DataFrame:
    """Return a row for each verdict; `unrolled.verdicts` has the meaning of the columns."""
    records = []
    for arm in comparison.judged_arms:
        if arm.verdict and arm.contrast:
            cells = make_number_cells(arm, comparison)
            record = {
                "arm": arm.name,
                "baseline": comparison.find_base(arm).name,
                "pairs": arm.contrast.pair_count,
                **{name: cells[cell] for name, cell in _CELLS.items()},
                "direction": str(arm.verdict.direction),
                "size": str(arm.verdict.size),
                "verdict": arm.verdict.text,
                "exploratory": arm.is_exploratory,
                "attempt": arm.attempt,
                "provisional": arm.verdict.is_provisional,
                "open_because": cells["open_because"],
                "diverged": arm.contrast.arm_diverged_count,
                "baseline_diverged": arm.contrast.base_diverged_count,
            }
            records.append(record)
    return pd.DataFrame(records)


@dataclass(frozen=True)
class ComparedPair:
    """Two arms, compared seed by seed. As text it is the verdict and its evidence."""

    arm: str
    against: str
    metric: str
    verdict: Verdict
    correction: str
    scale: Scale
    exploratory: bool  # whether its results were seen before the plan, or no plan declares it

    @property
    def contrast(self) -> Contrast:
        """Effect, intervals and p of the pairs."""
        return self.verdict.contrast

    def __str__(self) -> str:
        against = f"{self.against} (exploratory)" if self.exploratory else self.against
        return describe_verdict(self.verdict, self.arm, against, self.scale, correction=self.correction)


def compare_arms(
    comparison: Comparison,
    arm: str,
    against: str = "",
    *,
    metric: str = "",
    delta: float = 0.0,
    better: str = "",
    kind: str = "",
) -> ComparedPair:
    """Compare two arms of a study, seed by seed: see `unrolled.compare`. Raises BadInput."""
    cure = "give the difference that does not matter"
    valid = isinstance(delta, Real) and 0 <= delta < math.inf
    require(valid, "is not a number above 0", key="delta", cure=cure)
    comparison = choose_metric(comparison, metric, delta)
    compared_arms = {compared_arm.name: compared_arm for compared_arm in comparison.arms}
    for name in filter(None, (arm, against)):
        require(
            name in compared_arms,
            f"study {comparison.design.rules.name!r} has none of this name",
            place=f"arm {name!r}",
            cure=f"it has: {', '.join(compared_arms)}",
        )
    compared_arm = compared_arms[arm]
    declared_base = comparison.find_base(compared_arm)
    base = compared_arms[against] if against else declared_base
    judged_metric = comparison.metric
    is_declared = metric in ("", judged_metric.name)
    if compared_arm.verdict and is_declared and base is declared_base and delta in (0.0, judged_metric.delta):
        return ComparedPair(
            arm=arm,
            against=base.name,
            metric=judged_metric.name,
            verdict=compared_arm.verdict,
            correction=compared_arm.correction,
            scale=comparison.scale,
            exploratory=compared_arm.is_exploratory,
        )
    judged_metric = (
        replace(judged_metric, delta=delta or judged_metric.delta)
        if is_declared
        else Metric(metric, delta, better, kind=kind)
    )
    return _judge_undeclared_pair(comparison, compared_arm, base, judged_metric)


def _judge_undeclared_pair(
    comparison: Comparison, arm: ComparedArm, base: ComparedArm, metric: Metric
) -> ComparedPair:
    """Judge a pair, or a metric, that no study declares. Raises BadInput if results are missing."""
    verdicts = comparison.judge_undeclared({arm.name: (arm, base)}, metric)
    require(
        verdicts,
        "the seeds of the first look have not all ended, or none has a result of both",
        place=f"arms {arm.name!r} and {base.name!r}",
        cure=f"`unrolled run {comparison.design.rules.name}` trains what is left of it",
    )
    return ComparedPair(
        arm=arm.name,
        against=base.name,
        metric=metric.name,
        verdict=verdicts[arm.name],
        correction="unadjusted",
        scale=comparison.design.find_scale(metric),
        exploratory=True,
    )
