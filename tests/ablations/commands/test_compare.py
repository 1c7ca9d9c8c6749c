"""`unrolled compare` on files and MLflow runs of other tools."""

import math
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from tests.ablations.commands.comparison_rows import FLAGS, FRAME, UNPAIRED
from tests.helpers.command_call import PrintedCounts, read_trial_counts
from tests.helpers.command_process import TEXT, list_imports
from tests.helpers.stub_results import (
    build_plan,
    make_result,
    store_plan_and_results,
    write_ledger,
    write_to_mlflow,
)
from unrolled.ablations.mlflow.database import set_environment
from unrolled.ablations.plans.plan import EarlierVerdict
from unrolled.ablations.publishing.plan_comparison import compare_plan
from unrolled.ablations.study.arms import AA_OFFSET
from unrolled.bench.metric import Metric
from unrolled.bench.table_columns import AA_NAME
from unrolled.reports.page.exports import write_trials_csv


def read_arms(folder: str = "compare-*") -> pd.DataFrame:
    """Return the table of a comparison, by arm."""
    (file,) = Path("out").glob(f"{folder}/comparison.csv")
    return pd.read_csv(file).set_index("arm")


def test_a_file_gives_the_verdicts_that_its_page_and_table_show(compare) -> None:
    FRAME.to_csv("runs.csv", index=False)
    code, output, errors = compare("runs.csv", *FLAGS)
    assert (code, errors) == (3, ""), "an arm is worse"
    table = read_arms()
    verdicts = {"better": "better by more than δ", "worse": "worse by more than δ"}
    assert table.verdict.dropna().to_dict() == verdicts
    means = FRAME.groupby("model").accuracy.mean()
    difference = means["better"] - means["base"]
    assert table.accuracy_difference["better"] == pytest.approx(difference)
    assert table.accuracy_better["better"] == 10
    files = [Path(f"out/compare-runs/{name}").read_text() for name in ("comparison.md", "index.html")]
    assert all(f"+{difference:.4f}" in text and verdicts["better"] in text for text in (output, *files))


def test_a_time_is_declared_by_its_kind_and_lower_is_better(compare) -> None:
    FRAME.rename(columns={"accuracy": "epoch cost"}).to_csv("runs.csv", index=False)
    flags = ("--metric", "epoch cost=0.02", "--kind", "epoch cost=time")
    code, _, errors = compare("runs.csv", *FLAGS[:4], *flags)
    assert (code, errors) == (3, "")
    assert read_arms().verdict["worse"] == "better by more than δ"


def test_a_delta_in_per_cent_judges_ratios_as_a_study_does(compare) -> None:
    times = FRAME[FRAME.model != "worse"].assign(
        ms=FRAME.accuracy.where(FRAME.model == "base", FRAME.accuracy / 2)
    )
    times.to_csv("runs.csv", index=False)
    code, output, errors = compare("runs.csv", *FLAGS[:4], "--metric", "ms=5%", "--kind", "ms=time")
    assert (code, errors) == (0, "")
    assert "δ −4.76 to +5 %" in output
    assert read_arms().verdict["better"] == "better by more than δ"


def test_rows_that_diverged_are_counted_and_their_mean_is_of_the_others(compare) -> None:
    frame = FRAME[FRAME.model != "worse"].rename(columns={"accuracy": "loss"})
    frame.loc[(frame.model == "better") & (frame.seed < 3), "loss"] = float("inf")
    frame.to_csv("runs.csv", index=False)
    compare("runs.csv", *FLAGS[:4], "--metric", "loss=0.02")
    table = read_arms()
    assert table.diverged.to_dict() == {"base": 0, "better": 3}
    assert table.seeds_ok.to_dict() == {"base": 10, "better": 7}
    finite_losses = frame.loss[(frame.model == "better") & (frame.seed >= 3)]
    assert table.loss_mean["better"] == pytest.approx(finite_losses.mean())


def test_repeated_folds_have_wider_intervals_than_independent_pairs(compare) -> None:
    frame = FRAME.assign(repeat=FRAME.seed // 5, fold=FRAME.seed % 5)
    frame.to_csv("runs.csv", index=False)
    words = ("runs.csv", *UNPAIRED)
    intervals = []
    for pairs in (("--pair", "seed"), ("--pair", "repeat,fold", "--test-share", "0.2")):
        compare(*words, *pairs)
        row = read_arms().loc["better"]
        intervals.append(row.accuracy_difference_high - row.accuracy_difference_low)
        assert row.accuracy_better == 10
    assert intervals[1] / intervals[0] == pytest.approx((1 + 10 / 4) ** 0.5)


def test_an_arm_is_named_by_a_parameter_beside_a_metric_called_alike(compare, store) -> None:
    set_environment()
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store)
    experiment = client.create_experiment("others")
    for lr in (0.1, 0.3):
        for seed in range(5):
            run = client.create_run(experiment).info.run_id
            for name, value in {"lr": lr, "seed": seed, "val_loss": "cross entropy"}.items():
                client.log_param(run, name, value)
            for name, number in {"lr": 0.0, "val_loss": lr + seed / 100}.items():
                client.log_metric(run, name, number)
            client.set_terminated(run)
    words = ("--arm", "lr", "--pair", "seed", "--metric", "val_loss=0.1", "--experiment", "others")
    _, _, errors = compare(f"mlflow:{client.tracking_uri}", *words)
    assert errors == "" and read_arms().seeds_ok.to_dict() == {0.1: 5, 0.3: 5}


@pytest.mark.parametrize("end", ["FAILED", "RUNNING"])  # one that was killed stays RUNNING
def test_failed_runs_of_an_experiment_count_as_losses(compare, store: str, end: str) -> None:
    set_environment()
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store)
    experiment = client.create_experiment("others")
    for arm in ("base", "new"):
        for seed in range(16):
            run = client.create_run(experiment, tags={"arm": arm, "seed": str(seed)}).info.run_id
            has_failed = arm == "new" and seed < 6
            if not has_failed:
                client.log_metric(run, "val_loss", 1 + seed % 3 - (arm == "new") * (1 + seed / 100))
            if not has_failed or end == "FAILED":
                client.set_terminated(run, end if has_failed else "FINISHED")
    client.set_terminated(client.create_run(experiment).info.run_id, "FAILED")
    words = ("--arm", "arm", "--pair", "seed", "--metric", "val_loss=0.1", "--experiment", "others")
    code, _, errors = compare(f"mlflow:{client.tracking_uri}", *words)
    assert code == 0
    row = read_arms().loc["new"]
    assert (row.seeds_ok, row.seeds_wanted, row.failed) == (10, 16, 6)
    assert row.verdict == "open"
    assert "left out 1 failed run without a value of arm" in errors
    assert ("6 runs are still RUNNING: " in errors) is (end == "RUNNING")


@pytest.mark.parametrize("end", [math.inf, -math.inf, math.nan])
def test_a_run_of_an_experiment_whose_metric_is_no_number_diverged(compare, store: str, end: float) -> None:
    set_environment()
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store)
    experiment = client.create_experiment("others")
    for arm in ("base", "new"):
        for seed in range(6):
            run = client.create_run(experiment, tags={"arm": arm, "seed": str(seed)}).info.run_id
            has_diverged = arm == "new" and seed == 2
            client.log_metric(run, "val_loss", end if has_diverged else 1 + seed / 100)
            client.set_terminated(run)
    words = ("--arm", "arm", "--pair", "seed", "--metric", "val_loss=0.1", "--experiment", "others")
    code, _, errors = compare(f"mlflow:{client.tracking_uri}", *words)
    assert code == 0, errors
    row = read_arms().loc["new"]
    assert (row.seeds_ok, row.diverged, row.failed) == (5, 1, 0)


def test_a_crash_without_an_arm_is_left_out(compare) -> None:
    crashes = pd.DataFrame([{"status": "CRASHED"}, {"status": "killed"}])
    frame = pd.concat([crashes, FRAME.assign(status="ok")])
    frame.to_csv("runs.csv", index=False)
    code, _, errors = compare("runs.csv", *FLAGS)
    assert code == 3 and "left out 2 failed runs without a value of model" in errors
    frame["accuracy"] = frame.accuracy.mask((frame.model == "better") & (frame.seed == 0))
    frame.to_csv("runs.csv", index=False)
    assert "accuracy: row 13: is empty" in compare("runs.csv", *FLAGS)[2]


def test_none_and_na_are_names_of_arms(compare) -> None:
    FRAME.assign(model=FRAME.model.map({"base": "None", "better": "NA", "worse": "null"})).to_csv(
        "runs.csv", index=False
    )
    compare("runs.csv", *FLAGS)
    assert pd.read_csv("out/compare-runs/comparison.csv", keep_default_na=False).arm.to_list() == [
        "None",
        "NA",
        "null",
    ]


def test_an_empty_cell_na_or_none_is_a_run_that_failed(compare) -> None:
    frame = FRAME.assign(status="done")
    frame["accuracy"] = frame.accuracy.astype(object)
    for seed, word in enumerate(("", "NA", "None")):
        frame.loc[(frame.model == "worse") & (frame.seed == seed), ["accuracy", "status"]] = word, "failed"
    frame.to_csv("runs.csv", index=False)
    compare("runs.csv", *FLAGS)
    assert read_arms().failed.to_dict() == {"base": 0, "better": 0, "worse": 3}


def test_integer_seeds_pair_alike_in_files_with_empty_cells(compare) -> None:
    lines = [f"base,{seed},{0.5 + seed / 50},done" for seed in range(9)]
    lines += [f"better,{seed},{0.6 + seed / 49},done" for seed in range(9)]
    Path("runs.csv").write_text("\n".join(["model,seed,accuracy,status", *lines, "better,,,failed"]))
    assert compare("runs.csv", *FLAGS)[0] == 0
    assert read_arms().loc["better"].seeds_ok == 9


DOCUMENT = (Path(__file__).parents[3] / "docs" / "compare.md").read_text("utf-8")


def test_the_document_tells_what_two_files_give(compare) -> None:
    """Each `$ cat` of the example is a file, and its last command prints what stands below it."""
    (example,) = re.findall(r"(?s)```\n(\$ cat before\.csv\n.*?)```", DOCUMENT)
    *files, command = re.findall(r"(?s)\$ (.*?)\n(.*?)(?=\n\$|\Z)", example)
    for line, content in files:
        Path(line.removeprefix("cat ")).write_text(f"{content}\n")
    code, output, errors = compare(*shlex.split(command[0])[2:])
    assert (code, errors) == (3, "") and output.startswith(command[1])


def test_several_sources_make_one_table_whatever_each_is_written_in(compare) -> None:
    baseline, arm = (FRAME[FRAME.model == model].drop(columns="model") for model in ("base", "better"))
    baseline.to_csv("base.csv", index=False)
    arm.to_parquet("better.parquet")  # its seeds are numbers, and those of CSV texts
    FRAME[FRAME.model != "worse"].to_csv("both.csv", index=False)
    assert compare("base.csv", "better.parquet", *FLAGS[2:])[0] == compare("both.csv", *FLAGS)[0] == 0
    separate, joint = (pd.read_csv(f"out/compare-{name}/comparison.csv") for name in ("base-better", "both"))
    assert [*separate.arm] == ["base.csv", "better.parquet"]
    numbers = [column for column in separate if separate[column].dtype == float]
    assert len(numbers) > 10
    pd.testing.assert_frame_equal(separate[numbers], joint[numbers])


def test_rows_of_two_files_are_matched_by_their_item_within_pairs(compare) -> None:
    easy = FRAME.assign(document="easy")
    hard = FRAME.assign(document="hard", accuracy=FRAME.accuracy - 0.1)
    frame = pd.concat([easy, hard])
    for model in ("base", "better"):
        frame[frame.model == model].drop(columns="model").to_csv(f"{model}.csv", index=False)
    flags = (*FLAGS[2:], "--item", "document", "--baseline", "better.csv")
    assert compare("base.csv", "better.csv", *flags)[0] == 3
    row = read_arms().loc["base.csv"]
    assert (row.pairs, row.accuracy_better) == (10, 0)


def test_parts_of_one_table_are_read_together(compare) -> None:
    FRAME.to_csv("whole.csv", index=False)
    FRAME[FRAME.seed < 4].to_csv("part.csv", index=False)
    FRAME[FRAME.seed >= 4].to_csv("rest.csv", index=False)
    assert compare("part.csv", "rest.csv", *FLAGS)[0] == compare("whole.csv", *FLAGS)[0] == 3
    parts, full_table = (pd.read_csv(f"out/compare-{name}/comparison.csv") for name in ("part-rest", "whole"))
    pd.testing.assert_frame_equal(parts, full_table)


def test_two_ledgers_are_compared_by_the_firsts_plan_and_unchanged(compare, tmp_path) -> None:
    for name, penalty, delta in (("one", 0.0, 0.02), ("two", 0.5, 9.0)):
        results = [make_result(seed, penalty=penalty, code=name) for seed in range(8)]
        write_ledger(tmp_path / name, {"base": results}, metrics=(Metric("valid_loss", delta),))
    files = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    code, _, errors = compare("one", "two")
    assert (code, errors) == (3, "")
    assert [*read_arms().verdict[1:]] == ["worse by more than δ"], "δ is 0.02, not 9"
    assert compare("two", "one", "--metric", "valid_loss=0.02", "--arm", "arm,source")[0] == 0
    assert files == {path: path.read_bytes() for path in files}


def test_of_two_ledgers_the_seeds_of_the_first_look_are_compared(compare, tmp_path) -> None:
    for name, seeds in (("one", 10), ("two", 15)):
        results = {
            arm: [make_result(seed, code=f"{name}{arm}") for seed in range(15)] for arm in ("base", "arm")
        }
        plan = build_plan(results, looks=(5, 15))
        store_plan_and_results(
            tmp_path / name, plan, {arm: arm_results[:seeds] for arm, arm_results in results.items()}
        )
    _, _, errors = compare("one", "two", "--arm", "arm,source")
    assert errors == ""
    assert read_arms().seeds_ok["base / two"] == 5
    _, _, errors = compare("one", "two")
    assert "one: has several arms; --arm arm,source" in errors


def test_what_a_study_says_of_an_arm_is_a_warning_in_comparisons(compare, store: str, tmp_path) -> None:
    """A second attempt of which results were seen was compared without a word on either."""
    results = {
        arm: [make_result(seed, shift, code=arm) for seed in range(8)]
        for arm, shift in (("base", 0.0), ("a", -0.1), ("b", 0.1))
    }
    earlier = EarlierVerdict(
        study="s", declared_at=0.0, arm="a", baseline="base", seeds=(0, 1, 2), metric="valid_loss",
        delta="0.02", verdict="open", command_template="",
    )  # fmt: skip
    plan = build_plan(results, seen_pairs={"a": 8}, earlier_verdicts={"a": (earlier,)})
    for name in ("one", "two"):
        store_plan_and_results(tmp_path / name, plan, results)
    write_to_mlflow(plan, results, store)
    results_by_id = {r.trial.id: r for arm_results in results.values() for r in arm_results}
    Path("trials.csv").write_text(
        write_trials_csv(compare_plan(plan, plan.make_results_in_study(results_by_id)))
    )
    page = compare("one", "two", "--arm", "arm,source")[1]
    assert "a / one (exploratory, attempt 2)" in page
    assert "b / one (exploratory)" in page, "its results are older than the plan, too"
    flags = ("--arm", "arm", "--pair", "seed", "--metric")
    for source, metric in ((f"mlflow:{store}", "valid/loss"), ("trials.csv", "valid_loss")):
        output = compare(source, *flags, f"{metric}=0.02")[1]
        assert "a (exploratory, attempt 2)" in output and "b (exploratory" not in output
        assert "whose number no result" not in output


def test_seeds_that_were_added_to_a_seen_baseline_are_told_in_comparisons(compare, tmp_path) -> None:
    """Ten seeds were compared, twenty, thirty, until a claim, and each page called itself the first look."""
    for name, shift in (("one", 0.0), ("two", 0.01)):
        for count in (8, 16):
            results = {"base": [make_result(seed, shift, code=name) for seed in range(count)]}
            store_plan_and_results(tmp_path / name, build_plan(results, study_hash=str(count)), results)
    assert "base / one (attempt 2)" in compare("one", "two", "--arm", "arm,source")[1]


def test_the_aa_arm_of_mlflow_is_checked_on_the_seeds_of_its_pairs(compare, store: str) -> None:
    """It was undecided on 0 seeds, as its runs have the seeds that they were trained with."""
    results = {
        arm: [make_result(seed + offset, code=arm) for seed in range(8)]
        for arm, offset in (("base", 0), ("a", 0), (AA_NAME, AA_OFFSET))
    }
    plan = build_plan({"base": results["base"], "a": results["a"]})
    repeat = replace(plan.arms[0], name=AA_NAME, seed_offset=AA_OFFSET, trial_ids={
        result.trial.seed - AA_OFFSET: result.trial.id for result in results[AA_NAME]
    })  # fmt: skip
    write_to_mlflow(replace(plan, arms=(*plan.arms, repeat)), results, store)
    output = compare(f"mlflow:{store}", "--arm", "arm", "--pair", "seed", "--metric", "valid/loss=0.5")[1]
    assert "A/A check passed on 8 seeds" in output


@pytest.mark.parametrize(("address", "metric"), [("one", "valid_loss"), ("mlflow:", "valid/loss")])
def test_all_rows_of_another_tool_count_beside_a_first_look(
    compare, store: str, tmp_path, address: str, metric: str
) -> None:
    results = [make_result(seed) for seed in range(8)]
    plan = build_plan({"base": results}, looks=(5, 8))
    store_plan_and_results(tmp_path / "one", plan, {"base": results})
    write_to_mlflow(plan, {"base": results}, store)
    losses = {str(result.trial.seed): result.metrics["valid_loss"] for result in results}
    pd.Series(losses, name=metric).to_csv("rows.csv", index_label="seed")
    source = f"{address}{store}" if address.endswith(":") else address
    flags = ("--pair", "seed", "--metric", f"{metric}=0.02", "--arm", "source")
    _, _, errors = compare("rows.csv", source, *flags)
    assert errors == ""
    assert [*read_arms().seeds_ok] == [8, 5]


def test_a_study_is_chosen_of_a_ledger_that_has_several(compare, tmp_path) -> None:
    for name in ("one", "two"):
        for study in ("s", "t"):
            write_ledger(
                tmp_path / name, {"base": [make_result(seed, code=name) for seed in range(5)]}, study=study
            )
    assert "one: has the studies s, t; choose one with --study" in compare("one", "two")[2]
    assert (
        "one: has no study 'u'; name with --study one that it has: s, t"
        in compare("one", "two", "--study", "u")[2]
    )
    assert compare("one", "two", "--study", "t")[0] == 0


def test_times_of_two_ledgers_are_compared_on_one_kind_of_machine_alone(compare, tmp_path) -> None:
    for name, cpu in (("one", "EPYC 9V74"), ("two", "EPYC 9V74"), ("other", "Z80")):
        write_ledger(tmp_path / name, {"base": [make_result(seed, code=name, cpu=cpu) for seed in range(8)]})
    flags = ("--metric", "speed_train=90")
    assert compare("one", "two", *flags)[0] == 0
    code, _, errors = compare("one", "other", *flags)
    assert code == 2
    assert "one and other: no time, speed or memory is compared: unlike machines: cpu" in errors
    assert compare("one", "other")[0] == 0
    pd.DataFrame({"seed": range(8), "speed_train": [1000.0 + seed for seed in range(8)]}).to_csv(
        "rows.csv", index=False
    )
    assert compare("one", "two", "rows.csv", *flags, "--pair", "seed")[2] == ""
    assert "unlike machines" in compare("one", "other", "rows.csv", *flags, "--pair", "seed")[2]


def test_ledgers_are_compared_without_torch_and_mlflow(tmp_path) -> None:
    for name in ("one", "two"):
        write_ledger(tmp_path / name, {"base": [make_result(seed, code=name) for seed in range(5)]})
    assert list_imports(tmp_path, "compare one two") == (0, {"pandas"})


@pytest.mark.usefixtures("skip_mlflow")
def test_models_are_trained_where_the_ledger_lacks_them_else_exploratory(compare, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    words = ("lm2", "--seeds", "0-4", "--set", "corpus=text.txt", "--set", "batch=4", "--set", "epochs=1")
    code, output, errors = compare("lm1", *words, "--set", "window=3")
    assert (code, errors, read_trial_counts(output)) == (0, "", PrintedCounts(trained=10))
    assert "LMModel1" in output.splitlines()[-4] and "LMModel2" in output.splitlines()[-3]
    assert "had been seen" not in output
    assert read_trial_counts(compare("lm1", *words, "--set", "window=3")[1]) == PrintedCounts(stored=10)
    output = compare("lm2", "lm1", *words[1:], "--set", "window=3")[1]
    assert read_trial_counts(output) == PrintedCounts(stored=10)
    assert "The results of 1 of 1 contrast had been seen" in output
