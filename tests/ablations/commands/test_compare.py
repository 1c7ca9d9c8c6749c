"""`unrolled compare` on files and MLflow runs of other tools."""

import json
from dataclasses import fields
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from as_typed import TEXT, benchmarked

from unrolled.ablations.commands.compare import compare as judge
from unrolled.ablations.commands.golden import golden
from unrolled.ablations.mlflow.database import set_environment
from unrolled.ablations.options import CompareOptions, RunOptions
from unrolled.ablations.training.study_run import Budget
from unrolled.bench.errors import BadInput

ARMS = {"base": 0.0, "better": 0.1, "worse": -0.1}
FRAME = pd.DataFrame(
    [{"model": arm, "seed": seed, "accuracy": 0.5 + seed / 50 + more * (1 + seed / 100)}
     for arm, more in ARMS.items() for seed in range(10)]
)  # fmt: skip
ASKED = ("--arm", "model", "--pair", "seed", "--metric", "accuracy=0.02")
UNPAIRED = (*ASKED[:2], *ASKED[4:])
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
    code, out, err = compare(name, *ASKED)
    assert (code, err) == (3, ""), "an arm is worse"
    table = pd.read_csv("out/compare-runs/comparison.csv").set_index("arm")
    assert table.verdict.dropna().to_dict() == {
        "better": "better by more than δ",
        "worse": "worse by more than δ",
    }
    expected = FRAME[FRAME.model == "better"].accuracy.mean() - FRAME[FRAME.model == "base"].accuracy.mean()
    assert table.accuracy_delta["better"] == pytest.approx(expected)
    assert "10 of 10" in out
    for shown in (
        out,
        *(Path(f"out/compare-runs/{name}").read_text() for name in ("comparison.md", "index.html")),
    ):
        assert f"+{expected:.4f}" in shown and "better by more than δ" in shown


def test_a_time_is_declared_by_its_kind_and_lower_is_better(compare) -> None:
    FRAME.rename(columns={"accuracy": "epoch cost"}).to_csv("runs.csv", index=False)
    flags = ("--metric", "epoch cost=0.02", "--kind", "epoch cost=time")
    code, out, err = compare("runs.csv", *ASKED[:4], *flags)
    assert (code, err) == (3, "") and "(lower is better" in out


def test_rows_that_diverged_are_counted_and_their_mean_is_of_the_others(compare) -> None:
    frame = FRAME[FRAME.model != "worse"].rename(columns={"accuracy": "loss"})
    frame.loc[(frame.model == "better") & (frame.seed < 3), "loss"] = float("inf")
    frame.to_csv("runs.csv", index=False)
    _, out, _ = compare("runs.csv", *ASKED[:4], "--metric", "loss=0.02")
    assert "7/10, 3 diverged" in out and "Means leave out the rows that diverged" in out
    assert pd.read_csv("out/compare-runs/comparison.csv").set_index("arm").diverged.to_dict() == {
        "base": 0,
        "better": 3,
    }


def test_repeated_folds_have_wider_intervals_than_independent_pairs(compare) -> None:
    frame = FRAME.assign(repeat=FRAME.seed // 5, fold=FRAME.seed % 5)
    frame.to_csv("runs.csv", index=False)
    words, intervals = ("runs.csv", *UNPAIRED), []
    for pairs in (("--pair", "seed"), ("--pair", "repeat,fold", "--folds", "5")):
        out = compare(*words, *pairs)[1]
        table = pd.read_csv("out/compare-runs/comparison.csv").set_index("arm").loc["better"]
        intervals.append(table.accuracy_delta_high - table.accuracy_delta_low)
    assert intervals[1] / intervals[0] == pytest.approx((1 + 10 / 4) ** 0.5)
    assert "Folds share training rows" in out and "10 of 10" in out


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
    _, out, err = compare(f"mlflow:{client.tracking_uri}", *words)
    assert err == "" and "\n0.3  5/5" in out


def test_failed_runs_of_an_experiment_count_as_losses(compare, store: str) -> None:
    set_environment()
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store)
    experiment = client.create_experiment("others")
    for arm in ("base", "new"):
        for seed in range(16):
            run = client.create_run(experiment, tags={"arm": arm, "seed": str(seed)}).info.run_id
            failed = arm == "new" and seed < 6
            if not failed:
                client.log_metric(run, "val_loss", 1 + seed % 3 - (arm == "new") * (1 + seed / 100))
            client.set_terminated(run, "FAILED" if failed else "FINISHED")
    client.set_terminated(client.create_run(experiment).info.run_id, "FAILED")
    words = ("--arm", "arm", "--pair", "seed", "--metric", "val_loss=0.1", "--experiment", "others")
    code, out, err = compare(f"mlflow:{client.tracking_uri}", *words)
    assert code == 0 and "10/16, 6 failed" in out and "? open" in out
    assert "1 failed run without arm: of no arm, and left out" in err


def test_a_crash_before_the_arm_was_told_is_left_out_and_other_rows_keep_their_numbers(compare) -> None:
    crashed = pd.DataFrame([{"status": "CRASHED"}, {"status": "killed"}])
    frame = pd.concat([crashed, FRAME.assign(status="ok")])
    frame.to_csv("runs.csv", index=False)
    code, _, err = compare("runs.csv", *ASKED)
    assert code == 3 and "2 failed runs without model: of no arm, and left out" in err
    frame.accuracy = frame.accuracy.mask((frame.model == "better") & (frame.seed == 0))
    frame.to_csv("runs.csv", index=False)
    assert "accuracy: row 13: is empty" in compare("runs.csv", *ASKED)[2]


def test_none_and_na_are_names_of_arms(compare) -> None:
    FRAME.assign(model=FRAME.model.map({"base": "None", "better": "NA", "worse": "null"})).to_csv(
        "runs.csv", index=False
    )
    assert "NA " in compare("runs.csv", *ASKED)[1]
    assert pd.read_csv("out/compare-runs/comparison.csv", keep_default_na=False).arm.to_list() == [
        "None",
        "NA",
        "null",
    ]


def test_rounds_of_one_stored_run_are_no_replicates(compare, tmp_path: Path) -> None:
    code = """
import pytest
@pytest.mark.parametrize("n", [10, 100_000])
def test_sum(benchmark, n): benchmark.pedantic(sum, (range(n),), rounds=20)
"""
    stored = json.loads(benchmarked(tmp_path, "b.json", code).read_text())
    code, out, _ = compare("b.json", "--arm", "param.n", "--metric", "seconds=1e-6")
    assert code == 0 and "open (unpaired)" in out
    mean = pd.read_csv("out/compare-b/comparison.csv").set_index("arm").seconds_mean
    for benchmark in stored["benchmarks"]:
        assert mean[benchmark["params"]["n"]] == pytest.approx(benchmark["stats"]["median"])


def test_models_are_trained_where_the_ledger_lacks_them_and_seen_ones_are_exploratory(
    compare, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    words = ("lm2", "--seeds", "0-4", "--corpus", "text.txt", "--set", "batch=4", "--set", "epochs=1")
    code, out, err = compare("lm1", *words, "--set", "window=3")
    assert (code, err) == (0, "") and "10 trained, 0 already there" in out
    assert "LMModel1" in out.splitlines()[-4] and "LMModel2" in out.splitlines()[-3]
    assert "exploratory" not in out
    assert "0 trained, 10 already there" in compare("lm1", *words, "--set", "window=3")[1]
    out = compare("lm2", "lm1", *words[1:], "--set", "window=3")[1]
    assert "0 trained, 10 already there" in out and "The results of 1 of 1 contrast had been seen" in out


@pytest.mark.parametrize(
    ("source", "flags", "said"),
    [
        ("nowhere.csv", ASKED, "nowhere.csv: there is no such file"),
        ("runs.xlsx", ASKED, "runs.xlsx: is of no known kind; give .csv, .tsv"),
        ("broken.jsonl", ASKED, "broken.jsonl: cannot be read as jsonl ("),
        ("empty.csv", ASKED, "empty.csv: cannot be read as csv ("),
        ("other.json", ASKED, "other.json: is not a file of pytest-benchmark"),
        ("runs.csv", ASKED[2:], "--arm: is missing; name a column"),
        ("runs.csv", ASKED[:4], "--metric: is missing; write a column"),
        ("runs.csv", (*ASKED[:4], "--metric", "accuracy"), "--metric accuracy: has no δ above 0; write"),
        ("runs.csv", (*ASKED[:4], "--metric", "accuracy=-1"), "--metric accuracy=-1: has no δ above 0"),
        ("runs.csv", (*ASKED, "--metric", "accuracy=0.5"), "--metric accuracy: is given twice; keep one"),
        ("runs.csv", (*ASKED, "--baseline", "bas"), "has no arm 'bas'; it has: base, better, worse"),
        ("mlflow:sqlite:///none.db", ASKED, "there is no such database"),
        ("mlflow:http://127.0.0.1:1", ASKED, "MLflow at http://127.0.0.1:1: nothing answers; start it"),
        ("lm4", ("lm7", *ASKED), "--arm: is for results from elsewhere; leave it out"),
        ("runs.csv", (*ASKED, "--seeds", "0-4"), "--seeds: is for models that are trained; leave it out"),
        ("lm4", ("lm77",), "model 'lm77': is not in the zoo; did you mean 'lm7'?"),
        ("belore", ("belore",), "belore: there is no such folder, file or model; did you mean 'before'?"),
        ("http://me:secret@host", (), "http://…@host: there is no such file; write mlflow: before it"),
        ("study.csv", ("--baseline", "x"), "--baseline: a study's table is judged as its file says"),
        ("page.csv", ASKED[4:], "page.csv: has no column 'accuracy'"),  # its arms are numbers
        ("null.json", ASKED, "null.json: cannot be read as json ("),
        ("rows.csv", (*ASKED[:4], "--metric", "seed=1", "--higher", "seed"), "--metric seed: no metric can"),
        ("lm4", ASKED, "lm4: is a model, and one alone has nothing to be compared with; name two models"),
        ("lm3", ("lm4",), "LMModel4: cannot be compared with lm3, as it is of another task: target; name"),
        ("lm4", ("lm4",), "lm4: is named twice; name each model once"),
        ("nowhere.csv", (), "nowhere.csv: there is no such file"),
        ("head.csv", ASKED, "head.csv: has no rows; give a table with results"),
        ("latin.csv", ASKED, "latin.csv: is not UTF-8; save the file as UTF-8"),
        ("longer.csv", ASKED, "longer.csv: cannot be read as csv (a row has more cells than the header"),
        ("twice.csv", ASKED, "twice.csv: cannot be read as csv (the header names 'accuracy' twice"),
        ("noarm.csv", ASKED, "noarm.csv: row 2 has no model; fill it in"),
        ("lists.jsonl", ASKED, "lists.jsonl: seed: has values that are no plain text or number; name"),
        ("none.json", ASKED, "none.json: holds no benchmark"),
        ("runs.csv", (*ASKED[:4], "--metric", "seed=1"), "better is not known of this name; add --higher"),
        ("runs.csv", (*ASKED, "--lower", "acuracy"), "--lower acuracy: names no metric, or one of both"),
        ("runs.csv", (*ASKED, "--kind", "acuracy=time"), "--kind acuracy=time: names no metric"),
        ("runs.csv", (*ASKED, "--kind", "accuracy=clock"), "kind of accuracy = clock: should be one of"),
        ("runs.csv", (*ASKED, "--lower", "accuracy", "--higher", "accuracy"), "--lower accuracy: names no"),
        ("runs.csv", (*ASKED, "--experiment", "x"), "--experiment: is for mlflow:URI; leave it out"),
        ("runs.csv", (*ASKED, "--folds", "9", "--test-share", "0.1"), "--test-share: says what --folds says"),
        ("runs.csv", (*UNPAIRED, "--folds", "10"), "--pair: is missing; name the column of"),
        ("runs.csv", (*UNPAIRED, "--pair", "fold"), "--pair fold: folds are not independent"),
        ("runs.csv", (*UNPAIRED, "--pair", "seed,doc"), "--pair seed,doc: names several columns"),
        ("runs.csv", (*ASKED, "-j", "2"), "--workers: is for models that are trained; leave it out"),
    ],
)  # fmt: skip
def test_a_source_or_a_flag_that_is_wrong_is_one_line(
    compare, source: str, flags: tuple[str, ...], said: str
) -> None:
    FRAME.to_csv("runs.csv", index=False)
    texts = {"runs.xlsx": "x", "broken.jsonl": "{", "empty.csv": "", "other.json": "{}"}
    texts |= {
        "head.csv": "model,seed,accuracy\n",
        "latin.csv": "model,é\n",
        "none.json": '{"benchmarks": []}',
    }
    texts |= {"noarm.csv": "model,seed,accuracy\na,1,1\n,2,1\n"}
    texts |= {
        "longer.csv": "model,seed,accuracy\na,1,1,.5\nb,1,1,.5\n",
        "twice.csv": "model,seed,accuracy,accuracy\n",
    }
    texts |= {"lists.jsonl": "".join(f'{{"model": "{m}", "seed": [1], "accuracy": 1}}\n' for m in "ab")}
    texts |= {"page.csv": "trial,arm,seed,status\na,1,0,done\nb,2,0,done\n"}
    texts |= {"study.csv": "study,design,arm,seed,status\n", "rows.csv": "model,seed,rows\na,1,2\nb,1,3\n"}
    texts |= {"null.json": '{"benchmarks": [{"name": "a", "stats": null}]}'}
    Path("before/plans").mkdir(parents=True)
    for name, text in texts.items():
        Path(name).write_text(text, encoding="latin-1")
    code, out, err = compare(source, *flags)
    assert (code, out, err.count("\n")) == (2, "", 1) and said in err


def test_models_cannot_be_compared_where_no_time_is_left_to_train_them(compare, monkeypatch) -> None:
    monkeypatch.setattr(Budget, "over", True)
    code, _, err = compare("lm1", "lm2", "--budget", "1s")
    assert (code, err.startswith("unrolled: --budget: "), err.count("\n")) == (2, True, 1)


@pytest.mark.parametrize("name", sorted({field.name for field in fields(RunOptions)} - {"results", "out"}))
def test_every_option_of_training_is_refused_where_nothing_is_trained(name: str) -> None:
    given = {name: "given"}
    for call in (
        lambda: golden(["golden"], RunOptions(**given)),
        lambda: judge([__file__], CompareOptions(**given)),
    ):
        with pytest.raises(BadInput) as refused:
            call()
        assert refused.value.place == f"--{name.replace('_', '-')}"


@pytest.mark.parametrize("other", [(), ("lm6",)])
def test_a_file_that_is_not_there_is_told_beside_those_that_can_be_compared(compare, other) -> None:
    for name in ("runs.csv", "LICENSE", "notes.txt"):
        Path(name).touch()
    code, _, err = compare("nothing.csv", *other)
    assert code == 2 and "nothing.csv: there is no such file; known: runs.csv\n" in err
