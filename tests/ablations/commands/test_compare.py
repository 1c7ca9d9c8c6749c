"""`unrolled compare` on files and MLflow runs of other tools."""

import re
import shlex
from dataclasses import fields
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from as_typed import TEXT, list_imports
from result_sets import make_result, write_ledger
from stub_plans import build_plan, store_plan_and_results, write_to_mlflow

from unrolled.ablations.commands.compare import compare as compare_sources
from unrolled.ablations.commands.golden import replay_golden
from unrolled.ablations.mlflow.database import set_environment
from unrolled.ablations.options import CompareOptions, RunOptions
from unrolled.ablations.training.study_run import Budget
from unrolled.bench.errors import BadInput
from unrolled.bench.metric import Metric

ARMS = {"base": 0.0, "better": 0.1, "worse": -0.1}
FRAME = pd.DataFrame(
    [{"model": arm, "seed": seed, "accuracy": 0.5 + seed / 50 + more * (1 + seed / 100)}
     for arm, more in ARMS.items() for seed in range(10)]
)  # fmt: skip
FLAGS = ("--arm", "model", "--pair", "seed", "--metric", "accuracy=0.02")
UNPAIRED = (*FLAGS[:2], *FLAGS[4:])
WRITERS = {
    "runs.csv": lambda path: FRAME.to_csv(path, index=False),
    "runs.tsv": lambda path: FRAME.to_csv(path, index=False, sep="\t"),
    "runs.jsonl": lambda path: FRAME.to_json(path, orient="records", lines=True),
    "runs.json": lambda path: FRAME.to_json(path, orient="records"),
    "runs.parquet": FRAME.to_parquet,
}


@pytest.fixture
def compare(tmp_path: Path, monkeypatch, command):
    """Run the command in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return partial(command, "compare")


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_gives_the_same_verdicts(compare, name: str) -> None:
    WRITERS[name](Path(name))
    code, output, errors = compare(name, *FLAGS)
    assert (code, errors) == (3, ""), "an arm is worse"
    table = pd.read_csv("out/compare-runs/comparison.csv").set_index("arm")
    assert table.verdict.dropna().to_dict() == {
        "better": "better by more than δ",
        "worse": "worse by more than δ",
    }
    expected = FRAME[FRAME.model == "better"].accuracy.mean() - FRAME[FRAME.model == "base"].accuracy.mean()
    assert table.accuracy_delta["better"] == pytest.approx(expected)
    assert "10 of 10" in output
    for text in (
        output,
        *(Path(f"out/compare-runs/{name}").read_text() for name in ("comparison.md", "index.html")),
    ):
        assert f"+{expected:.4f}" in text and "better by more than δ" in text


def test_a_time_is_declared_by_its_kind_and_lower_is_better(compare) -> None:
    FRAME.rename(columns={"accuracy": "epoch cost"}).to_csv("runs.csv", index=False)
    flags = ("--metric", "epoch cost=0.02", "--kind", "epoch cost=time")
    code, output, errors = compare("runs.csv", *FLAGS[:4], *flags)
    assert (code, errors) == (3, "") and "(lower is better" in output


def test_rows_that_diverged_are_counted_and_their_mean_is_of_the_others(compare) -> None:
    frame = FRAME[FRAME.model != "worse"].rename(columns={"accuracy": "loss"})
    frame.loc[(frame.model == "better") & (frame.seed < 3), "loss"] = float("inf")
    frame.to_csv("runs.csv", index=False)
    _, output, _ = compare("runs.csv", *FLAGS[:4], "--metric", "loss=0.02")
    assert "7 of 10, 3 diverged" in output and "Means leave out the rows that diverged" in output
    assert pd.read_csv("out/compare-runs/comparison.csv").set_index("arm").diverged.to_dict() == {
        "base": 0,
        "better": 3,
    }


def test_repeated_folds_have_wider_intervals_than_independent_pairs(compare) -> None:
    frame = FRAME.assign(repeat=FRAME.seed // 5, fold=FRAME.seed % 5)
    frame.to_csv("runs.csv", index=False)
    words = ("runs.csv", *UNPAIRED)
    intervals = []
    for pairs in (("--pair", "seed"), ("--pair", "repeat,fold", "--test-share", "0.2")):
        output = compare(*words, *pairs)[1]
        table = pd.read_csv("out/compare-runs/comparison.csv").set_index("arm").loc["better"]
        intervals.append(table.accuracy_delta_high - table.accuracy_delta_low)
    assert intervals[1] / intervals[0] == pytest.approx((1 + 10 / 4) ** 0.5)
    assert "Folds share training rows" in output and "10 of 10" in output


def test_an_arm_is_named_by_a_parameter_also_where_a_metric_of_its_name_is_logged(compare, store) -> None:
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
    _, output, errors = compare(f"mlflow:{client.tracking_uri}", *words)
    assert errors == "" and re.search(r"\n0\.3 +5 ", output)


def test_failed_runs_of_an_experiment_count_as_losses(compare, store: str) -> None:
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
            client.set_terminated(run, "FAILED" if has_failed else "FINISHED")
    client.set_terminated(client.create_run(experiment).info.run_id, "FAILED")
    words = ("--arm", "arm", "--pair", "seed", "--metric", "val_loss=0.1", "--experiment", "others")
    code, output, errors = compare(f"mlflow:{client.tracking_uri}", *words)
    assert code == 0
    assert "10 of 16, 6 failed" in output
    assert "? open" in output
    assert "1 failed run without arm: of no arm, and left out" in errors


def test_a_crash_without_an_arm_is_left_out_and_other_rows_keep_their_numbers(compare) -> None:
    crashes = pd.DataFrame([{"status": "CRASHED"}, {"status": "killed"}])
    frame = pd.concat([crashes, FRAME.assign(status="ok")])
    frame.to_csv("runs.csv", index=False)
    code, _, errors = compare("runs.csv", *FLAGS)
    assert code == 3 and "2 failed runs without model: of no arm, and left out" in errors
    frame.accuracy = frame.accuracy.mask((frame.model == "better") & (frame.seed == 0))
    frame.to_csv("runs.csv", index=False)
    assert "accuracy: row 13: is empty" in compare("runs.csv", *FLAGS)[2]


def test_none_and_na_are_names_of_arms(compare) -> None:
    FRAME.assign(model=FRAME.model.map({"base": "None", "better": "NA", "worse": "null"})).to_csv(
        "runs.csv", index=False
    )
    assert "NA " in compare("runs.csv", *FLAGS)[1]
    assert pd.read_csv("out/compare-runs/comparison.csv", keep_default_na=False).arm.to_list() == [
        "None",
        "NA",
        "null",
    ]


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
    arm.to_json("better.jsonl", orient="records", lines=True)
    FRAME[FRAME.model != "worse"].to_csv("both.csv", index=False)
    assert compare("base.csv", "better.jsonl", *FLAGS[2:])[0] == compare("both.csv", *FLAGS)[0] == 0
    separate, joint = (pd.read_csv(f"out/compare-{name}/comparison.csv") for name in ("base-better", "both"))
    assert [*separate.arm] == ["base.csv", "better.jsonl"]
    numbers = [column for column in separate if separate[column].dtype == float]
    assert len(numbers) > 10
    pd.testing.assert_frame_equal(separate[numbers], joint[numbers])


def test_arms_of_two_files_with_several_rows_a_pair_are_matched_by_their_item(compare) -> None:
    easy = FRAME.assign(document="easy")
    hard = FRAME.assign(document="hard", accuracy=FRAME.accuracy - 0.1)
    frame = pd.concat([easy, hard])
    for model in ("base", "better"):
        frame[frame.model == model].drop(columns="model").to_csv(f"{model}.csv", index=False)
    flags = (*FLAGS[2:], "--item", "document", "--baseline", "better.csv")
    code, output, _ = compare("base.csv", "better.csv", *flags)
    assert code == 3
    assert "mean of 2 rows of one arm and seed, matched with the baseline's by document" in output


def test_parts_of_one_table_are_read_together(compare) -> None:
    FRAME.to_csv("whole.csv", index=False)
    FRAME[FRAME.seed < 4].to_csv("part.csv", index=False)
    FRAME[FRAME.seed >= 4].to_csv("rest.csv", index=False)
    assert compare("part.csv", "rest.csv", *FLAGS)[0] == compare("whole.csv", *FLAGS)[0] == 3
    parts, full_table = (pd.read_csv(f"out/compare-{name}/comparison.csv") for name in ("part-rest", "whole"))
    pd.testing.assert_frame_equal(parts, full_table)


def test_two_ledgers_are_compared_as_the_first_ones_plan_says_and_left_alone(compare, tmp_path) -> None:
    for name, penalty, delta in (("one", 0.0, 0.02), ("two", 0.5, 9.0)):
        results = [make_result(seed, penalty=penalty, code=name) for seed in range(8)]
        write_ledger(tmp_path / name, {"base": results}, metrics=(Metric("valid_loss", delta),))
    files = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    code, output, errors = compare("one", "two")
    assert (code, errors) == (3, "")
    assert "δ 0.02" in output
    assert "▼ worse by more than δ" in output
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
    _, output, errors = compare("one", "two", "--arm", "arm,source")
    assert errors == ""
    assert re.search(r"base / two +5 ", output)
    assert "first look" in output
    _, _, errors = compare("one", "two")
    assert "one: has several arms; --arm arm,source" in errors


@pytest.mark.parametrize(("address", "metric"), [("one", "valid_loss"), ("mlflow:", "valid/loss")])
def test_beside_the_first_look_of_a_study_all_rows_of_another_tool_count(
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
    _, output, errors = compare("rows.csv", source, *flags)
    assert errors == ""
    assert re.search(r"\w +8 +\d", output)
    assert re.search(r"\w +5 +\d", output)


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


def test_ledgers_are_compared_without_torch_and_mlflow(tmp_path) -> None:
    for name in ("one", "two"):
        write_ledger(tmp_path / name, {"base": [make_result(seed, code=name) for seed in range(5)]})
    assert list_imports(tmp_path, "compare", "one", "two") == (0, {"pandas"})


def test_models_are_trained_where_the_ledger_lacks_them_else_exploratory(compare, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    words = ("lm2", "--seeds", "0-4", "--set", "corpus=text.txt", "--set", "batch=4", "--set", "epochs=1")
    code, output, errors = compare("lm1", *words, "--set", "window=3")
    assert (code, errors) == (0, "") and "10 trained, 0 already there" in output
    assert "LMModel1" in output.splitlines()[-4] and "LMModel2" in output.splitlines()[-3]
    assert "exploratory" not in output
    assert "0 trained, 10 already there" in compare("lm1", *words, "--set", "window=3")[1]
    output = compare("lm2", "lm1", *words[1:], "--set", "window=3")[1]
    assert "0 trained, 10 already there" in output
    assert "The results of 1 of 1 contrast had been seen" in output


@pytest.mark.parametrize(
    ("source", "flags", "message"),
    [
        ("nowhere.csv", FLAGS, "nowhere.csv: there is no such file"),
        ("runs.xlsx", FLAGS, "runs.xlsx: is of no known kind; give .csv, .tsv"),
        ("broken.jsonl", FLAGS, "broken.jsonl: cannot be read as jsonl ("),
        ("empty.csv", FLAGS, "empty.csv: cannot be read as csv ("),
        ("benchmark.json", FLAGS, "benchmark.json: has no column 'model'; it has: machine_info, benchmarks"),
        ("runs.csv", FLAGS[2:], "--arm: is missing; name a column"),
        ("runs.csv", FLAGS[:4], "--metric: is missing; write a column"),
        ("runs.csv", (*FLAGS[:4], "--metric", "accuracy"), "--metric accuracy: has no δ above 0; write"),
        ("runs.csv", (*FLAGS[:4], "--metric", "accuracy=-1"), "--metric accuracy=-1: has no δ above 0"),
        ("runs.csv", (*FLAGS, "--metric", "accuracy=0.5"), "--metric accuracy: is given twice; keep one"),
        ("runs.csv", (*FLAGS, "--baseline", "bas"), "has no arm 'bas'; it has: base, better, worse"),
        ("mlflow:sqlite:///none.db", FLAGS, "there is no such database"),
        ("mlflow:http://127.0.0.1:1", FLAGS, "MLflow at http://127.0.0.1:1: nothing answers; start it"),
        ("lm4", ("lm7", *FLAGS), "--arm: is for results from elsewhere; leave it out"),
        ("runs.csv", (*FLAGS, "--seeds", "0-4"), "--seeds: is for models that are trained; leave it out"),
        ("lm4", ("lm77",), "model 'lm77': is not in the zoo; did you mean 'lm7'?"),
        ("belore", ("belore",), "belore: there is no such folder, file or model; did you mean 'before'?"),
        ("http://me:secret@host", (), "http://…@host: there is no such file; write mlflow: before it"),
        ("study.csv", ("--baseline", "x"), "--baseline: a study's table is judged as its file says"),
        ("page.csv", FLAGS[4:], "page.csv: has no column 'accuracy'"),  # its arms are numbers
        ("rows.csv", (*FLAGS[:4], "--metric", "seed=1", "--higher", "seed"), "--metric seed: no metric can"),
        ("lm4", FLAGS, "lm4: is a model, and one alone has nothing to be compared with; name two models"),
        ("lm3", ("lm4",), "LMModel4: cannot be compared with lm3, as it is of another task: target; name"),
        ("lm4", ("lm4",), "lm4: is named twice; name each model once"),
        ("nowhere.csv", (), "nowhere.csv: there is no such file"),
        ("head.csv", FLAGS, "head.csv: has no rows; give a table with results"),
        ("latin.csv", FLAGS, "latin.csv: is not UTF-8; save the file as UTF-8"),
        ("longer.csv", FLAGS, "longer.csv: cannot be read as csv (a row has more cells than the header"),
        ("twice.csv", FLAGS, "twice.csv: cannot be read as csv (the header names 'accuracy' twice"),
        ("noarm.csv", FLAGS, "noarm.csv: row 2 has no model; fill it in"),
        ("lists.jsonl", FLAGS, "lists.jsonl: seed: has values that are no plain text or number; name"),
        ("runs.csv", (*FLAGS[:4], "--metric", "seed=1"), "better is not known of this name; add --higher"),
        ("runs.csv", (*FLAGS, "--lower", "acuracy"), "--lower acuracy: names no metric, or one of both"),
        ("runs.csv", (*FLAGS, "--kind", "acuracy=time"), "--kind acuracy=time: names no metric"),
        ("runs.csv", (*FLAGS, "--kind", "accuracy=clock"), "kind of accuracy = clock: should be one of"),
        ("runs.csv", (*FLAGS, "--lower", "accuracy", "--higher", "accuracy"), "--lower accuracy: names no"),
        ("runs.csv", (*FLAGS, "--experiment", "x"), "--experiment: is for mlflow:URI; leave it out"),
        ("runs.csv", (*UNPAIRED, "--test-share", "0.1"), "--pair: is missing; name the column of"),
        ("runs.csv", (*UNPAIRED, "--pair", "fold"), "--pair fold: folds are not independent"),
        ("runs.csv", (*UNPAIRED, "--pair", "seed,doc"), "--pair seed,doc: names several columns"),
        ("runs.csv", (*UNPAIRED, "--item", "doc"), "--item: is for several rows of one pair; name"),
        ("runs.csv", (*FLAGS, "--item", "doc"), "runs.csv: has no column 'doc'; it has: model, seed"),
        ("many.csv", FLAGS, "many.csv: has several rows of arm 'base' and seed 0; --item COLUMN names"),
        ("many.csv", (*FLAGS, "--item", "seed"), "many.csv: --item seed: row 31 repeats an item of its"),
        ("many.csv", (*FLAGS, "--item", "none", "--baseline", "bas"), "has no arm 'bas'; it has: base"),
        ("before", (), "before: is one results folder; name another one beside it, or `unrolled report`"),
        ("before", ("runs.csv", *FLAGS), "before: has no study that was run; `unrolled run STUDY --results"),
        ("before", ("runs.csv", *FLAGS, "--experiment", "x"), "--experiment: is for mlflow:URI"),
        ("checkout", ("runs.csv", *FLAGS), "checkout: is no results folder; name checkout/results"),
        ("other", ("runs.csv", *FLAGS), "other: is of no known kind; give .csv, .tsv"),
        ("runs.csv", ("sourced.csv", *FLAGS), "sourced.csv: has a column 'source', which is to tell the"),
        ("runs.csv", ("runs.csv", *FLAGS), "runs.csv: is named twice; name each source once"),
        ("runs.csv", ("lm4", *FLAGS), "lm4: there is no such file"),
        ("runs.csv", ("nowhere.csv", *FLAGS), "nowhere.csv: there is no such file"),
        ("runs.csv", ("arms.csv", *FLAGS[2:]), "arms.csv: has several arms; --arm arm,source compares each"),
        ("runs.csv", ("noarm.csv", *FLAGS), "noarm.csv: row 2 has no model; fill it in"),
        ("runs.csv", ("arms.csv", *FLAGS), "arms.csv: has no column 'model'; it has: arm, seed, accuracy"),
        ("runs.csv", (*FLAGS, "--study", "x"), "--study: is for results folders; leave it out"),
        ("lm4", ("lm7", "--study", "x"), "--study: is for results from elsewhere; leave it out"),
        ("runs.csv", (*FLAGS, "-j", "2"), "--workers: is for models that are trained; leave it out"),
    ],
)  # fmt: skip
def test_a_source_or_a_flag_that_is_wrong_is_one_line(
    compare, source: str, flags: tuple[str, ...], message: str
) -> None:
    FRAME.to_csv("runs.csv", index=False)
    texts = {"runs.xlsx": "x", "broken.jsonl": "{", "empty.csv": ""}
    texts |= {
        "head.csv": "model,seed,accuracy\n",
        "many.csv": pd.concat([FRAME, FRAME[:1]]).to_csv(index=False),
        "latin.csv": "model,é\n",
        "benchmark.json": '{"machine_info": {}, "benchmarks": []}',
    }
    texts |= {"noarm.csv": "model,seed,accuracy\na,1,1\n,2,1\n"}
    texts |= {
        "longer.csv": "model,seed,accuracy\na,1,1,.5\nb,1,1,.5\n",
        "twice.csv": "model,seed,accuracy,accuracy\n",
    }
    texts |= {"lists.jsonl": "".join(f'{{"model": "{m}", "seed": [1], "accuracy": 1}}\n' for m in "ab")}
    texts |= {"page.csv": "trial,arm,seed,status\na,1,0,done\nb,2,0,done\n"}
    texts |= {"study.csv": "study,design,arm,seed,status\n", "rows.csv": "model,seed,rows\na,1,2\nb,1,3\n"}
    texts |= {"sourced.csv": "source,model,seed,accuracy\na,b,0,1\n"}
    texts |= {"arms.csv": "arm,seed,accuracy\na,0,1\nb,0,1\n"}
    for folder in ("before/plans", "checkout/results/plans", "other"):
        Path(folder).mkdir(parents=True)
    for name, text in texts.items():
        Path(name).write_text(text, encoding="latin-1")
    code, output, errors = compare(source, *flags)
    assert (code, output, errors.count("\n")) == (2, "", 1) and message in errors


def test_models_cannot_be_compared_where_no_time_is_left_to_train_them(compare, monkeypatch) -> None:
    monkeypatch.setattr(Budget, "is_over", True)
    code, _, errors = compare("lm1", "lm2", "--budget", "1s")
    assert (code, errors.startswith("unrolled: --budget: "), errors.count("\n")) == (2, True, 1)


@pytest.mark.parametrize("name", sorted({field.name for field in fields(RunOptions)} - {"results", "out"}))
def test_every_option_of_training_is_refused_where_nothing_is_trained(name: str) -> None:
    options = {name: "given"}
    for function in (
        lambda: replay_golden(["golden"], RunOptions(**options)),
        lambda: compare_sources([__file__], CompareOptions(**options)),
    ):
        with pytest.raises(BadInput) as excinfo:
            function()
        assert excinfo.value.place == f"--{name.replace('_', '-')}"


@pytest.mark.parametrize("more_sources", [(), ("lm6",)])
def test_a_file_that_is_not_there_is_told_beside_those_that_can_be_compared(compare, more_sources) -> None:
    for name in ("runs.csv", "LICENSE", "notes.txt"):
        Path(name).touch()
    code, _, errors = compare("nothing.csv", *more_sources)
    assert code == 2 and "nothing.csv: there is no such file; known: runs.csv\n" in errors
