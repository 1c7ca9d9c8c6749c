"""Unrolled in Python, for a notebook:

    from unrolled import compare, declare_study, learner, results, run, train, trial, verdicts
    train(trial("lm4", epochs=3)).metrics["valid_accuracy"]
    print(run(declare_study("rates", baseline={"model": "lm4"}, one_at_a_time={"lr": [1e-3]}, seeds=2)))
    results("toggles").groupby("arm").valid_accuracy.mean()
    print(compare("toggles", "no AR"))
    verdicts("toggles")
    learner("3fa9").fit_one_cycle(5, 1e-3)

A study is its name, the path of its file, or what `declare_study` returns. `compare` and `verdicts` also take
a table: `verdicts(shipped("toggles"))`. A mistake raises BadInput: one line with the cure. `folder` has the
results. The chapter's models train fastest with one thread: call `torch.set_num_threads(1)`.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import RunOptions, StoredOptions, VerifyOptions
from unrolled.ablations.plans.plan_store import load_plan
from unrolled.ablations.publishing.plan_comparison import compare_plan
from unrolled.ablations.study import chapter_factory
from unrolled.ablations.study.loading import declare_study as declare_study
from unrolled.ablations.study.loading import load_plugins, load_studies
from unrolled.ablations.study.seeds import check_seed
from unrolled.ablations.study.study import Study
from unrolled.ablations.study.study_errors import convert_fields
from unrolled.ablations.tables.study_tables import shipped as shipped
from unrolled.ablations.tables.verdict_table import (
    ComparedPair,
    choose_metric,
    compare_arms,
    load_comparison,
    tabulate_verdicts,
)
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.retrain import preserve_torch_state, retrain_model
from unrolled.bench.errors import require
from unrolled.bench.table_columns import IS_COUNTED
from unrolled.bench.trial import Result
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.page.summary import find_page
from unrolled.reports.words.contrast_lines import write_claims


def trial(model: str, seed: int = 0, **settings: Any) -> ChapterTrial:
    """Return a trial of `model` in its chapter settings, changed by the keywords: `trial("lm7", hidden=128)`.

    Settings are those of a study file.
    """
    if isinstance(seed, np.integer):
        seed = int(seed)
    check_seed(seed, key="seed", cure="give one, such as 0")
    arm_fields = chapter_factory.make_arm_fields({"model": model, **settings})
    return chapter_factory.make_trial(arm_fields, seed).identify()


def train(trial: ChapterTrial) -> Result:
    """Train a trial here, on one thread, as `unrolled run` does; store nothing. Divergence is a result."""
    from unrolled.bench.chapter.chapter_run import run_trial  # takes two seconds; not for results

    started = time.time()
    start = time.perf_counter()
    with preserve_torch_state():
        result = run_trial(trial)
    return replace(result, started=started, attempt_seconds=time.perf_counter() - start)


@dataclass(frozen=True, kw_only=True)
class StudyReport:
    """A study that was run. A notebook shows its figure and table; `str()` is a sentence on each contrast."""

    study: str
    folder: Path  # folder of the results
    page: Path  # the report
    comparison: Comparison  # trimmed to what the page shows; `result` has all details of a trial

    @property
    def results(self) -> pd.DataFrame:
        """The results that count: see `results`."""
        return results(self.study, self.folder)

    @property
    def verdicts(self) -> pd.DataFrame:
        """The verdict on every contrast: see `verdicts`."""
        return tabulate_verdicts(self.comparison)

    def __str__(self) -> str:
        return "\n".join(write_claims(self.comparison))

    def _repr_html_(self) -> str:
        from unrolled.reports.figures.intervals import draw_intervals  # imports matplotlib

        return f"{draw_intervals(self.comparison)}{self.verdicts.to_html(index=False)}"


def run(study: str | Study, options: RunOptions = RunOptions()) -> StudyReport:
    """Train the trials of a study that have no result, log and report them, as `unrolled run` does.

    Limits of time and a budget are in seconds. Failed trials are results: the report's text names their
    seeds. Raises BadInput, and KeyboardInterrupt after Ctrl-C.
    """
    _refuse_in_trials("run")
    options = convert_fields(options)
    require(not options.dry_run, "trains nothing", key="dry_run", cure="`unrolled plan` prints a plan")
    require(study != "all", "stands for several studies", place=f"study {study!r}", cure="name one")
    from unrolled.ablations.training.run_studies import run_studies  # imports MLflow; not for results

    (loaded_study,) = load_studies([study], options)
    outcome = run_studies([loaded_study], options)
    if outcome.interrupted:
        raise KeyboardInterrupt
    require(outcome.comparisons, "no time was left", place="budget", cure="give more")
    name = loaded_study.name
    page = find_page(name, options.out)
    return StudyReport(study=name, folder=options.results, page=page, comparison=outcome.comparisons[name])


def verify(study: str | Study, options: VerifyOptions = VerifyOptions()) -> bool:
    """Train a sample of a study's ended trials again, in fresh processes, as `unrolled verify` does.

    Returns True if every number is the same, and prints those that differ.
    """
    _refuse_in_trials("verify")
    from unrolled.ablations.commands.verify import verify as verify_sample

    return verify_sample(study, convert_fields(options)) == 0


def bundle(study: str | Study, output: str | Path, options: StoredOptions = StoredOptions()) -> None:
    """Write a study's bundle to a .zip, as `unrolled bundle` does."""
    from unrolled.ablations.commands.bundle import bundle as write_bundle

    write_bundle(study, Path(output), convert_fields(options))


def _refuse_in_trials(function: str) -> None:
    require(
        "UNROLLED_SEED" not in os.environ,
        "is called by a trial that imports its module",
        place=function,
        cure='write it below if __name__ == "__main__":',
    )


def plugin(file: str | Path) -> None:
    """Load a file of your own cells, models or regularisers."""
    load_plugins([str(file)])


def result(id: str, folder: str | Path = "results") -> Result:
    """Return a stored result, by the first digits of its identity."""
    return Ledger(Path(folder)).find_result(id)


def results(study: str | Study, folder: str | Path = "results", *, all: bool = False) -> pd.DataFrame:  # noqa: A002 (public)
    """Return the results of a study that count, a row for each trial.

    A trial counts if a contrast uses it. The columns are trial, arm, seed, status, reason, attempts, seconds,
    the settings, the metrics and `first_look`. `all` adds the other trials, and a column `counts`. Missing
    values, and the metrics of trials that failed or diverged, are NaN.
    """
    ledger = Ledger(Path(folder))
    plan = load_plan(study, ledger)
    table = compare_plan(plan, plan.read_results(ledger)).table
    if not all:
        table = table[table[IS_COUNTED]].drop(columns=IS_COUNTED)
    return table.infer_objects().reset_index(drop=True)


def compare(
    study: str | Study | pd.DataFrame,
    arm: str,
    against: str = "",
    *,
    metric: str = "",
    delta: float = 0.0,
    better: str = "",
    kind: str = "",
    folder: str | Path = "results",
) -> ComparedPair:
    """Compare two arms of a study that was run, seed by seed. `against` is the arm's baseline by default.

    By default the metric is the plan's first, and `delta` is the plan's δ. A metric that the study does not
    judge needs `delta` and, unless its name is known, `better`: "higher" or "lower"; for a cost it needs
    `kind`: "time", "speed" or "memory". A contrast that the study declares has the verdict of its report. Any
    other is exploratory: it is judged on the seeds of the first look, which has to have ended, and without
    correction.
    """
    comparison = load_comparison(study, folder)
    return compare_arms(comparison, arm, against, metric=metric, delta=delta, better=better, kind=kind)


def verdicts(
    study: str | Study | pd.DataFrame, *, metric: str = "", folder: str | Path = "results"
) -> pd.DataFrame:
    """Return the verdict on every contrast of a study, one row each, as its report has them.

    The columns are:

    - `arm`, `baseline` (the arm that it is compared with) and `pairs`, the number of seeds that both have
    - `arm_mean` and `baseline_mean` over these pairs, and their `difference`
    - `unbiased`: the difference, corrected for when the contrast stopped; missing for other metrics
    - `low`, `high` and `level` of the difference's interval
    - `better`: the number of pairs in which the arm is better than its baseline
    - `p` of a difference, and `p_same` of equality within ±δ
    - `direction`, `size` and, in words, `verdict`
    - `exploratory`: whether the study marks the arm, or results of both sides existed before the plan
    - `attempt`: 1, plus the number of earlier plans of the contrast
    - `provisional`: whether the verdict claims something on fewer than ten pairs
    - `open_because`: why the verdict is open; "" if it is not
    - `diverged` and `baseline_diverged`: in how many pairs each side diverged

    p and interval are corrected for all looks and contrasts. For a metric that is judged by its ratio the
    means are geometric and the differences in per cent. A pair with a diverged side does not enter the means,
    and the difference is then the median of all pairs. The metric is the plan's first by default.
    """
    return tabulate_verdicts(choose_metric(load_comparison(study, folder), metric))


def learner(id: str, folder: str | Path = "results", plugins: str | Sequence[str] = ()) -> Any:
    """Return the trained fastai Learner of a trial, by the first digits of its identity.

    Trains the trial again and prints whether the weights are those of the stored result, bit for bit.
    `plugins` are the trial's plug-in files. Raises BadInput for a trial whose code or text has changed.
    """
    from fastai.callback.progress import ProgressCallback  # takes four seconds; not for results
    from fastai.metrics import accuracy

    for name in [plugins] if isinstance(plugins, str) else plugins:
        plugin(name)
    model = retrain_model(result(id, folder))
    print(model)
    model.learner.add_cb(ProgressCallback())
    model.learner.metrics = accuracy
    model.learner.logger = print
    return model.learner
