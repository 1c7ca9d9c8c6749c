"""Unrolled in Python, for a notebook:

    from unrolled import declare_study, compare, learner, results, run, train, trial, verdicts
    train(trial("lm4", epochs=3)).metrics["valid_accuracy"]
    print(run(declare_study("rates", baseline={"model": "lm4"}, one_at_a_time={"lr": [1e-3]}, seeds=2)))
    results("toggles").groupby("arm").valid_accuracy.mean()
    print(compare("toggles", "no AR"))
    verdicts("toggles")
    learner("3fa9").fit_one_cycle(5, 1e-3)

`folder` is the folder of the results. A study is its name, the path of its file, or what `declare_study`
returns. `compare` and `verdicts` also take a table: `verdicts(shipped("toggles"))`. The chapter's models
train fastest with one thread: call `torch.set_num_threads(1)`.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import RunOptions, StoredOptions, VerifyOptions
from unrolled.ablations.study import chapter, study
from unrolled.ablations.study.errors import check_fields
from unrolled.ablations.study.loading import declare_study as declare_study
from unrolled.ablations.study.loading import load_plugins, load_studies
from unrolled.ablations.study.plan_store import load_plan
from unrolled.ablations.study.retraining import find_result
from unrolled.ablations.study.seeds import check_seed
from unrolled.ablations.tables import study_tables
from unrolled.ablations.tables.study_tables import shipped as shipped
from unrolled.ablations.training.comparison import compare_plan
from unrolled.bench.chapter.retrain import restoring_torch_state, retrain_model
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.errors import BadInput, require, suggestion
from unrolled.bench.metric import Metric
from unrolled.bench.trial import Result
from unrolled.reports.compared_arm import ComparedArm
from unrolled.reports.comparison import Comparison
from unrolled.reports.design import find_page
from unrolled.reports.exports import list_number_cells
from unrolled.reports.presentation import Scale
from unrolled.reports.sentences import write_claims, write_verdict_sentence
from unrolled.reports.statistics.contrasts import Contrast
from unrolled.reports.statistics.verdicts import Verdict
from unrolled.reports.trial_frame import FIRST_LOOK, list_metric_columns, make_trial_record


def trial(model: str, seed: int = 0, **settings: Any) -> ChapterTrial:
    """Return a trial of `model` in its chapter settings, changed by the keywords: `trial("lm7", hidden=128)`.

    Settings are those of a study file. Raises BadInput for an unknown one, and for a value out of range.
    """
    if isinstance(seed, np.integer):
        seed = int(seed)
    check_seed(seed, key="seed", cure="give one, such as 0")
    trial_fields = chapter.resolve_settings({"model": model, **settings})
    return chapter.make_trial(trial_fields, seed).identify()


def train(trial: ChapterTrial) -> Result:
    """Train a trial here and now, on one thread, as `unrolled run` does; nothing is stored.

    A training that diverges returns a result, too, with the status "diverged".
    """
    from unrolled.bench.chapter.run import run_trial  # torch: two seconds that reading results does not need

    with restoring_torch_state():
        return run_trial(trial)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A study that was run. A notebook shows its figure and table; as text it has a sentence a contrast."""

    study: str
    folder: Path  # of the results
    page: Path  # its report
    comparison: Comparison  # its results have the details that the page shows; `result` has all of one

    @property
    def results(self) -> pd.DataFrame:
        """The results that count: see `results`."""
        return results(self.study, self.folder)

    @property
    def verdicts(self) -> pd.DataFrame:
        """The verdict on every contrast: see `verdicts`."""
        return _tabulate_verdicts(self.comparison)

    def __str__(self) -> str:
        return "\n".join(write_claims(self.comparison))

    def _repr_html_(self) -> str:
        from unrolled.reports.figures.intervals import draw_intervals  # matplotlib

        return f"{draw_intervals(self.comparison)}{self.verdicts.to_html(index=False)}"


def run(study: str | study.Study, options: RunOptions = RunOptions()) -> Outcome:
    """Train the trials of a study that have no result, log and report them, as `unrolled run` does.

    Limits of time and a budget are in seconds. Failed trials are results: the outcome's text names their
    seeds. Raises BadInput, and KeyboardInterrupt after Ctrl-C.
    """
    _refuse_in_trials("run")
    options = check_fields(options)
    require(not options.dry_run, "trains nothing", key="dry_run", cure="`unrolled plan` prints a plan")
    require(study != "all", "are several studies", place=f"study {study!r}", cure="name one")
    from unrolled.ablations.training.run_studies import run_studies  # MLflow: not to read results

    (loaded_study,) = load_studies([study], options)
    outcome = run_studies([loaded_study], options)
    if outcome.interrupted:
        raise KeyboardInterrupt
    require(outcome.comparisons, "no time was left", place="budget", cure="give more")
    name = loaded_study.name
    page = find_page(name, options.out)
    return Outcome(study=name, folder=options.results, page=page, comparison=outcome.comparisons[name])


def verify(study: str | study.Study, options: VerifyOptions = VerifyOptions()) -> bool:
    """Train a sample of a study's ended trials again, in fresh processes, as `unrolled verify` does.

    Returns True if every number is the same, and prints those that differ. Raises BadInput if no trial ended.
    """
    _refuse_in_trials("verify")
    from unrolled.ablations.commands.verify import verify as verify_sample

    return verify_sample(study, check_fields(options)) == 0


def bundle(study: str | study.Study, output: str | Path, options: StoredOptions = StoredOptions()) -> None:
    """Write a study's bundle to a .zip, as `unrolled bundle` does. Raises BadInput if it cannot."""
    from unrolled.ablations.commands.bundle import bundle as write_bundle

    write_bundle(study, Path(output), check_fields(options))


def _refuse_in_trials(function: str) -> None:
    require(
        "UNROLLED_SEED" not in os.environ,
        "is called by a trial that imports its module",
        place=function,
        cure='write it below if __name__ == "__main__":',
    )


def plugin(file: str | Path) -> None:
    """Load a file of your own cells, models or regularisers. Raises BadInput."""
    load_plugins([str(file)])


def result(id: str, folder: str | Path = "results") -> Result:
    """Return a stored result, by the first digits of its identity. Raises BadInput for none or several."""
    return find_result(id, Ledger(Path(folder)))


def results(study: str | study.Study, folder: str | Path = "results", *, all: bool = False) -> pd.DataFrame:
    """Return the results of a study that count, one row for each trial.

    A trial counts if its arm's contrast uses it, a trial of a baseline if any contrast does. The columns are
    trial, arm, seed, status, reason, attempts, seconds, the settings, the metrics, and `first_look`: whether
    the trial belongs to the first look. With `all` there are also rows for trials beyond the looks that were
    taken, and a column `counts`. Missing settings and metrics, and all metrics of a trial that failed or
    diverged, are NaN. Raises BadInput for an unknown study.
    """
    ledger = Ledger(Path(folder))
    plan = load_plan(study, ledger)
    table = compare_plan(plan, plan.judge_results(ledger.results(plan.ids))).table
    if not all:
        return table[table.counts].drop(columns="counts").infer_objects().reset_index(drop=True)
    ids = set(table.trial)
    rows = [
        {**make_trial_record(arm.name, seed, stored), "counts": False, FIRST_LOOK: False}
        for arm, seed, stored in plan.read_results(ledger)
        if stored.trial.id not in ids
    ]
    return pd.concat([table, pd.DataFrame(rows, dtype=object)]).infer_objects().reset_index(drop=True)


@dataclass(frozen=True)
class Compared:
    """Two arms, seed by seed. As text it is the verdict and its evidence; `contrast` has the numbers."""

    arm: str
    against: str
    metric: str
    verdict: Verdict
    correction: str
    scale: Scale
    exploratory: bool  # seen before the plan was declared, or not declared by it

    @property
    def contrast(self) -> Contrast:
        """Effect, intervals and p of the pairs."""
        return self.verdict.contrast

    def __str__(self) -> str:
        against = f"{self.against} (exploratory)" if self.exploratory else self.against
        return write_verdict_sentence(self.verdict, self.arm, against, self.scale, correction=self.correction)


def compare(
    study: str | study.Study | pd.DataFrame,
    arm: str,
    against: str = "",
    *,
    metric: str = "",
    delta: float = 0.0,
    better: str = "",
    folder: str | Path = "results",
) -> Compared:
    """Compare two arms of a study that was run, seed by seed. `against` is the arm's baseline by default.

    The metric is the plan's first by default, and `delta`, in the metric's unit, the plan's δ. A contrast
    that the study declares has the verdict of its report, corrected for all looks and contrasts. Any other
    one is judged on the seeds of the first look, without correction, and is exploratory. `better` is
    "higher" or "lower"; give it for a metric that the study does not declare and whose name is not known.
    Raises BadInput for an unknown study, arm or direction, for another metric without `delta`, and if the two
    arms share no seed or their first look has not ended.
    """
    cure = "give the difference that does not matter"
    valid = isinstance(delta, Real) and 0 <= delta < math.inf
    require(valid, "is not a number above 0", key="delta", cure=cure)
    comparison = _choose_metric(_load_comparison(study, folder), metric, delta)
    rows = {row.arm.name: row for row in comparison.arms}
    for name in filter(None, (arm, against)):
        require(
            name in rows,
            f"study {comparison.design.study!r} has none of this name",
            place=f"arm {name!r}",
            cure=f"it has: {', '.join(rows)}",
        )
    row = rows[arm]
    base = comparison.find_base(row).arm.name
    judge = comparison.metric
    if metric not in ("", judge.name):
        judge = Metric(metric, delta, better)
    elif row.verdict and against in ("", base) and delta in (0.0, judge.delta):
        return Compared(
            arm=arm,
            against=base,
            metric=judge.name,
            verdict=row.verdict,
            correction=row.correction,
            scale=comparison.scale,
            exploratory=row.exploratory,
        )
    judge = replace(judge, delta=delta or judge.delta)
    return _compare_undeclared(comparison, row, rows[against or base], judge)


def _compare_undeclared(
    comparison: Comparison, row: ComparedArm, base: ComparedArm, metric: Metric
) -> Compared:
    """Compare two arms that the study does not compare, on the seeds of the first look. Raises BadInput."""
    arm = row.arm.name
    against = base.arm.name
    undeclared = comparison.judge_undeclared({arm: (row, base)}, metric)
    require(
        undeclared,
        "the seeds of the first look have not all ended, or none has a result of both",
        place=f"arms {arm!r} and {against!r}",
        cure=f"`unrolled run {comparison.design.study}` trains what is left of it",
    )
    return Compared(
        arm=arm,
        against=against,
        metric=metric.name,
        verdict=undeclared[arm],
        correction="unadjusted",
        scale=comparison.design.find_scale(metric),
        exploratory=True,
    )


def verdicts(
    study: str | study.Study | pd.DataFrame, *, metric: str = "", folder: str | Path = "results"
) -> pd.DataFrame:
    """Return the verdict on every contrast of a study, one row each, as its report has them.

    The columns are:

    - `arm`, `baseline` (the arm that it is compared with) and `pairs`, the number of seeds that both have
    - `arm_mean` and `baseline_mean` over these pairs, and their `difference`
    - `unbiased`: the difference, corrected for the look at which the contrast stopped; missing for a metric
      that does not stop it
    - `low`, `high` and `level` of the difference's interval
    - `better`: the number of pairs in which the arm is better
    - `p` of a difference, and `p_same` of equality within ±δ
    - `direction`, `size` and, in words, `verdict`
    - `exploratory`: whether the study marks the arm so, or results of both sides existed before the plan
    - `attempt`: 1, plus the number of earlier plans of the same contrast in the ledger
    - `provisional`: whether it claims anything on fewer than ten pairs
    - `open_because`: why it is open; "" where it is not
    - `diverged` and `baseline_diverged`: in how many pairs each side diverged

    p and interval are corrected for all looks and contrasts of the study. For a metric that is judged by its
    ratio the means are geometric and the differences in per cent. A pair with a diverged side does not enter
    the means, and the difference is then the median of all pairs. The metric is the plan's first by default.
    Raises BadInput for an unknown study, or a metric without δ.
    """
    return _tabulate_verdicts(_choose_metric(_load_comparison(study, folder), metric))


_CELLS = {
    "arm_mean": "pair_mean",
    "baseline_mean": "pair_baseline",
    "difference": "delta",
    "unbiased": "delta_unbiased",
    "low": "delta_low",
    "high": "delta_high",
    "level": "delta_level",
    "better": "wins",
    "p": "p_adjusted",
    "p_same": "p_equivalent",
}
"""Columns of `verdicts`, by their names in a page's CSV."""


def _tabulate_verdicts(comparison: Comparison) -> pd.DataFrame:
    records = []
    for row in comparison.arms_to_decide:
        if row.verdict and row.contrast:
            cells = list_number_cells(row, comparison)
            record = {
                "arm": row.arm.name,
                "baseline": comparison.find_base(row).arm.name,
                "pairs": row.contrast.pairs,
                **{name: cells[cell] for name, cell in _CELLS.items()},
                "direction": str(row.verdict.direction),
                "size": str(row.verdict.size),
                "verdict": row.verdict.text,
                "exploratory": row.exploratory,
                "attempt": row.attempt,
                "provisional": row.verdict.provisional,
                "open_because": cells["open_because"],
                "diverged": row.contrast.arm_diverged,
                "baseline_diverged": row.contrast.base_diverged,
            }
            records.append(record)
    return pd.DataFrame(records)


def _load_comparison(study: str | study.Study | pd.DataFrame, folder: str | Path) -> Comparison:
    """Return a study's arms side by side: from a table, or from a ledger."""
    if isinstance(study, pd.DataFrame):
        return study_tables.compare_study_table(study)
    ledger = Ledger(Path(folder))
    plan = load_plan(study, ledger)
    return compare_plan(plan, plan.judge_results(ledger.results(plan.ids)))


def _choose_metric(comparison: Comparison, metric: str, delta: float = 0.0) -> Comparison:
    """Return the comparison by a metric; by the first if the study does not declare it and δ is given."""
    design = comparison.design
    columns = list_metric_columns(comparison.table, design)
    exists = not metric or not columns or metric in columns
    require(exists, f"no result has {metric!r}", key="metric", cure=suggestion(metric, columns))
    view = comparison.find_view(metric) if metric else comparison
    if view is None and not delta:
        names = ", ".join(declared.name for declared in design.metrics)
        raise BadInput(
            f"study {design.study!r} declares δ for {names}", place=f"metric {metric!r}", cure="give delta"
        )
    return view or comparison


def learner(id: str, folder: str | Path = "results", plugins: str | Sequence[str] = ()) -> Any:
    """Return the trained fastai Learner of a trial, by the first digits of its identity.

    Trains the trial again and prints whether the weights equal the stored result's bit for bit. `plugins` are
    the trial's plug-in files, if any. Raises BadInput if there is no such trial, or if its code or text
    changed.
    """
    from fastai.callback.progress import ProgressCallback  # four seconds that reading results does not need
    from fastai.metrics import accuracy

    for name in [plugins] if isinstance(plugins, str) else plugins:
        plugin(name)
    model = retrain_model(result(id, folder))
    print(model)
    model.learner.add_cb(ProgressCallback())
    model.learner.metrics = accuracy
    model.learner.logger = print
    return model.learner
