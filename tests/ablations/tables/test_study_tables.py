"""Results that come with Unrolled: tables of today's designs, judged as a ledger is."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pandas as pd
import pytest

import unrolled
from tests.helpers.command_call import run_command
from tests.helpers.stub_results import store_study_results
from tests.helpers.study_rules import change_rules
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import CompareOptions
from unrolled.ablations.plans import plan_store
from unrolled.ablations.publishing.plan_comparison import compare_plan
from unrolled.ablations.publishing.plan_page import read_page_results
from unrolled.ablations.study import loading
from unrolled.ablations.study.study import Study
from unrolled.ablations.tables import study_tables
from unrolled.ablations.tables.table_comparison import compare_sources
from unrolled.bench.chapter.chapter_run import run_trial
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.errors import BadInput
from unrolled.bench.metric import Metric
from unrolled.bench.trial import Result, make_failed_result
from unrolled.reports.foreign.columns import Columns
from unrolled.reports.page.render import render

STUDIES = sorted(path.stem for path in Path(str(study_tables.SHIPPED_FOLDER)).glob("*.csv"))


def test_what_ships_is_small() -> None:
    sizes = [len((study_tables.SHIPPED_FOLDER / f"{name}.csv").read_bytes()) for name in STUDIES]
    assert len(sizes) >= 12
    assert max(sizes) < 100_000
    assert sum(sizes) < 500_000


@pytest.mark.parametrize("name", STUDIES)
def test_a_shipped_table_has_todays_design_and_all_trials_of_its_looks(name: str) -> None:
    table = unrolled.shipped(name)
    comparison = study_tables.compare_study_table(table)
    assert comparison.table.counts.equals(table.counts)
    assert len(unrolled.verdicts(table)) == sum(arm.state.has_contrast for arm in comparison.arms)
    open_arms = [arm for arm in comparison.judged_arms if not arm.state.has_ended]
    assert all(
        row.verdict.state.is_futile or row.contrast.pair_count == len(comparison.design.rules.seeds)
        for row in open_arms
    )


def test_the_number_of_averaged_rows_is_no_metric_of_a_table() -> None:
    with pytest.raises(BadInput, match="no result has 'rows averaged'"):
        unrolled.verdicts(unrolled.shipped("order"), metric="rows averaged")


def test_the_command_judges_a_shipped_table_as_python_does(tmp_path) -> None:
    process = run_command(tmp_path, "compare", str(study_tables.SHIPPED_FOLDER / "order.csv"))
    assert process.returncode == 3, "an arm is worse"
    table = unrolled.verdicts(unrolled.shipped("order"))
    lines = [line for line in process.stdout.splitlines() if line.endswith(tuple(table.verdict))]
    for row in table.itertuples():
        assert sum(line.startswith(row.arm) and line.endswith(row.verdict) for line in lines) > 0
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"], "no ledger is touched"


def test_only_columns_that_ask_a_studys_question_are_judged_by_its_looks(tmp_path) -> None:
    file = str(study_tables.SHIPPED_FOLDER / "order.csv")
    command = "compare", file, "--arm", "arm", "--pair", "seed", "--metric"
    assert run_command(tmp_path, *command, "valid_accuracy=0.03", "--metric", "valid_loss=0.05").stdout == (
        run_command(tmp_path, "compare", file).stdout
    )
    assert "first look" in run_command(tmp_path, *command, "valid_accuracy=0.01").stdout
    pairs = pd.read_csv(tmp_path / "out" / "compare-order" / "comparison.csv").pairs.dropna()
    assert set(pairs) == {10} and len(pairs) == 7


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": (Metric("valid_accuracy", 0.01),)},
        {"metrics": (Metric("valid_accuracy", 0.03), Metric("valid_loss", 0.03))},
        {"baseline": "shuffled, no state"},
        {"arm": ("order", "reset")},
        {"pair": ()},
    ],
)
def test_another_question_than_the_studys_is_told_from_it(change) -> None:
    table = unrolled.shipped("order")
    columns = Columns(("arm",), ("seed",), (Metric("valid_loss", 0.05),))
    answer = study_tables.answer_own_question(table, columns)
    assert answer is not None and [view.metric.name for view in answer.views] == ["valid_loss"]
    assert study_tables.answer_own_question(table, replace(columns, **change)) is None


def test_arms_of_another_task_are_compared_only_where_the_study_asks(tmp_path, capsys) -> None:
    path = study_tables.SHIPPED_FOLDER / "models.csv"
    page = render(study_tables.compare_study_table(unrolled.shipped("models")), tmp_path)
    options = CompareOptions(arm="arm", pair="seed", metric=("valid_loss=0.01",))
    last_words = {"LMModel1", "LMModel2", "LMModel3"}
    for source in (path, page.with_name("trials.csv")):
        for baseline, is_of_last_words in (("LMModel4", False), ("LMModel1", True)):
            compared = compare_sources([str(source)], replace(options, baseline=baseline))
            names = {arm.name for arm in compared.arms}
            assert last_words <= names if is_of_last_words else not last_words & names
            assert ("LMModel7" in names) is not is_of_last_words
            assert "of another task" in capsys.readouterr().err
    sources = [str(path), str(study_tables.SHIPPED_FOLDER / "toggles.csv")]
    compared = compare_sources(sources, replace(options, arm="arm,source"))
    assert not last_words & {arm.name.split(",")[0] for arm in compared.arms}
    by_columns = compare_sources([str(path)], replace(options, arm="model", pair=""))
    assert len(by_columns.arms) > 10, "arms that are made of other columns stay"


@pytest.mark.parametrize("name", ["order", "detach"])
def test_the_two_means_of_a_verdict_are_over_its_pairs_and_subtract(name: str) -> None:
    table = unrolled.shipped(name)
    values = table.pivot(index="seed", columns="arm", values="valid_accuracy")
    rows: Iterable[Any] = unrolled.verdicts(table).itertuples()
    for row in rows:
        pairs = values[[row.arm, row.baseline]].head(row.pairs)
        assert row.arm_mean == pytest.approx(pairs[row.arm].mean())
        assert row.baseline_mean == pytest.approx(pairs[row.baseline].mean())
        assert row.arm_mean - row.baseline_mean == pytest.approx(row.difference)


def test_a_training_here_is_another_draw_of_the_shipped_accuracies() -> None:
    """Bits differ between machines, and a training amplifies them: within four SDs of the mean over seeds.

    Counting amplifies nothing: its numbers are the same in all six stored digits.
    """
    arms = dict(iter(unrolled.shipped("models").groupby("arm")))
    counts = arms["bigram counts"].iloc[0]
    seed = int(arms["LMModel1"].seed.iloc[0])
    metrics = run_trial(unrolled.trial("ngram-2", seed)).metrics
    for name in ("valid_accuracy", "valid_loss"):
        assert metrics[name] == pytest.approx(counts[name], abs=1e-6)
    accuracies = arms["LMModel1"].valid_accuracy
    metrics = run_trial(unrolled.trial("lm1", seed)).metrics
    assert abs(metrics["valid_accuracy"] - fmean(accuracies)) < 4 * stdev(accuracies) < 0.3


def make_result(trial: ChapterTrial) -> Result:
    """Return an invented result, of which one diverged."""
    if trial.model == "lm5" and trial.seed == 102:
        return make_failed_result(trial, "loss is nan", status="diverged")
    accuracy = 0.5 + 0.01 * int(trial.options.get("layers", 0)) + trial.seed / 1000
    return Result(trial=trial, status="done", metrics={"valid_accuracy": accuracy, "valid_loss": 1 / 3})


@pytest.fixture(scope="module")
def models() -> Study:
    return loading.load_study("models")


@pytest.fixture(scope="module")
def ledger(models, tmp_path_factory) -> Path:
    return store_study_results(tmp_path_factory.mktemp("ledger"), models, make_result)


def test_a_table_written_from_a_ledger_compares_as_the_ledger_does(models, ledger, tmp_path) -> None:
    (file,) = study_tables.write_tables(ledger, tmp_path)
    plan = plan_store.load_plan("models", Ledger(ledger))
    comparison = compare_plan(plan, read_page_results(plan, Ledger(ledger)))
    table_comparison = study_tables.compare_study_table(
        pd.read_csv(file, keep_default_na=False, na_values=[""])
    )
    for arm, table_arm in zip(comparison.arms, table_comparison.arms, strict=True):
        assert (arm.name, arm.done_count, arm.diverged_count) == (
            table_arm.name,
            table_arm.done_count,
            table_arm.diverged_count,
        )
        assert (arm.verdict and arm.verdict.text) == (table_arm.verdict and table_arm.verdict.text)
        assert arm.summary.values == pytest.approx(table_arm.summary.values, abs=1e-6)


@pytest.mark.parametrize(
    "change", [{"sets": [("epochs", [3])]}, {"seeds": "100-105"}, {"sets": [("lr", [0.1, 0.2])]}]
)
def test_a_table_of_another_design_is_refused_in_one_line(models, monkeypatch, change) -> None:
    table = unrolled.shipped("models")
    altered = loading.override_study(models, **change)
    monkeypatch.setattr(loading, "load_study", lambda name: altered)
    for use in (
        study_tables.compare_study_table,
        unrolled.verdicts,
        lambda table: unrolled.compare(table, "LMModel5"),
    ):
        with pytest.raises(BadInput) as excinfo:
            use(table)
        assert excinfo.value.place == "study 'models'" and "unrolled run models" in excinfo.value.cure
    with pytest.raises(BadInput):
        unrolled.shipped("models")


def test_other_words_in_a_studys_file_change_no_design(models) -> None:
    words = {"question": "Which is best?", "about": "As it is."}
    assert study_tables.hash_design(replace(models, file=models.file.model_copy(update=words))) == (
        study_tables.hash_design(models)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.assign(arm="LMModel9"), "no trial of arm 'LMModel9'"),
        (lambda table: table.drop(columns="design"), "is not a study's table"),
        (lambda table: pd.concat([table, unrolled.shipped("order")]), "give that of one study"),
        (lambda table: table[:0], "give that of one study"),
        (lambda table: table.assign(status="well"), "^study 'models': "),
        (lambda table: table.assign(lr=0.5), "lr = 0.5: arm 'LMModel4' has 0.003 by"),
        (lambda table: table.assign(tying=True), "tying = True: arm 'LMModel4' has None by"),
        (lambda table: table.assign(valid_loss="n/a"), "^study 'models': "),
        (lambda table: table.drop(columns="valid_loss"), "^study 'models': "),
    ],
)
def test_what_is_no_table_of_a_study_is_refused(change, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        unrolled.verdicts(change(unrolled.shipped("models")))


def test_results_that_do_not_come_with_unrolled_are_told_of() -> None:
    with pytest.raises(BadInput, match="no results that come with Unrolled"):
        unrolled.shipped("engines")


def test_a_study_of_the_readers_own_does_not_ship(models, tmp_path) -> None:
    study = loading.override_study(models, seeds="100-104")
    store_study_results(tmp_path / "results", change_rules(study, name="mine"), make_result)
    assert study_tables.write_tables(tmp_path / "results", tmp_path) == []


def test_the_first_metric_named_decides_whatever_the_study_names_first() -> None:
    table = unrolled.shipped("depth")
    accuracy, loss = loading.load_study("depth").rules.metrics
    columns = Columns(("arm",), ("seed",), (loss, accuracy))
    answer = study_tables.answer_own_question(table, columns)
    assert [view.metric for view in answer.views] == [loss, accuracy]
