"""A study of a program of the user's: trained, judged, verified and bundled, and what its user is told."""

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.command_call import (
    PrintedCounts,
    check_command,
    read_trial_counts,
    refuse_command,
    run_command,
)
from tests.helpers.program_project import PROGRAM, STUDY, write_project
from unrolled.ablations.api import declare_study, results, verdicts
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.program_files import locate_files
from unrolled.ablations.study.program_factory import ProgramFactory
from unrolled.ablations.study.study_file import ProgramTable
from unrolled.bench.metric import Metric
from unrolled.bench.program.program_trial import ProgramTrial
from unrolled.bench.trial import Result
from unrolled.reports.compare.trial_frame import make_trial_record

pytestmark = pytest.mark.usefixtures("skip_mlflow")


def test_a_program_is_trained_and_judged_like_a_model(program_folder: Path) -> None:
    table = verdicts("mine", folder=program_folder / "results").set_index("arm")
    assert table.difference.to_dict() == pytest.approx({"dropout 0.5": 0.05, "deep": 0.05})
    rows = results("mine", program_folder / "results")
    assert len(rows) == 15 and set(rows.status) == {"done"}
    assert {"accuracy", "seconds", "memory_peak", "dropout", "deep"} <= set(rows.columns)
    assert all(
        str(program_folder) not in path.read_text() for path in (program_folder / "results").rglob("*.json")
    ), "no folder"
    page = (program_folder / "out" / "mine" / "index.html").read_text("utf-8")
    assert "dropout 0.5" in page
    assert page.count('data-metric="accuracy"') == 2, "its figure and its curves"


def test_a_run_in_which_no_trial_begins_leaves_a_page_without_results(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("unrolled.ablations.training.budget.Budget.allows_trial", lambda *_: False)
    process = run_command(write_project(tmp_path), "run", "mine.toml", "--budget", "50s")
    assert read_trial_counts(process.stdout).trained == 0, process.stderr
    assert (tmp_path / "out" / "mine" / "trials.csv").exists()


def test_what_is_there_is_not_trained_again_until_the_program_is_edited(program_copy: Path) -> None:
    assert read_trial_counts(check_command(program_copy, "run", "mine.toml")) == PrintedCounts(stored=15)
    name_output, file_output = (
        run_command(program_copy, "report", name).stdout for name in ("mine", "mine.toml")
    )
    assert name_output == file_output == "report: out/mine/index.html\n"
    (program_copy / "train.py").write_text(PROGRAM + "# edited\n")
    preview = check_command(program_copy, "plan", "mine.toml", "--seeds", "0-1")
    process = run_command(program_copy, "run", "mine.toml", "--seeds", "0-1")
    for output in (preview, process.stdout):
        assert "the code was edited: 6 trials to train" in output
        assert "its newest file is train.py" in output
    assert "index.html: will be replaced, as its seeds or settings differ" in process.stdout


def test_a_page_is_said_to_be_replaced_where_it_is(program_copy: Path) -> None:
    page = program_copy / "out" / "mine" / "index.html"
    words = ("run", "mine.toml", "--seeds", "0-1")
    page_bytes = page.read_bytes()
    (program_copy / "train.py").write_text("raise SystemExit('broken')")
    process = run_command(program_copy, *words)
    assert process.returncode == 2 and "is replaced" not in process.stdout
    assert page.read_bytes() == page_bytes
    (program_copy / "train.py").write_text(PROGRAM)
    output = check_command(program_copy, *words)
    assert read_trial_counts(output).trained == 0
    assert "index.html: will be replaced, as its seeds or settings differ" in output
    assert page.read_bytes() != page_bytes
    assert "is replaced" not in check_command(program_copy, *words)


def test_a_page_s_trials_are_compared_without_naming_arm_and_pair(
    program_folder: Path, tmp_path: Path
) -> None:
    page = program_folder / "out" / "mine"
    flags = ("--metric", "accuracy=0.01", "--out", str(tmp_path))
    assert "dropout 0.5" in check_command(program_folder, "compare", str(page / "trials.csv"), *flags)
    assert "trials.csv" in refuse_command(program_folder, "compare", str(page / "comparison.csv"), *flags)


def test_a_plan_knows_the_trials_that_another_study_has_trained(program_copy: Path) -> None:
    (program_copy / "second.toml").write_text(STUDY.replace('"mine"', '"second"').replace("0.01", '"1 %"'))
    output = check_command(program_copy, "plan", "second.toml", "--seeds", "0-9")
    assert "trainings: 30, and 1 that repeats the baseline's first; 15 have ended" in output
    assert "δ = 1 %" in output
    assert "30 trials expected, 15 left to train, " in output
    assert "measured where there are results" in output
    check_command(program_copy, "run", "second.toml")
    attempt = plan_store.load_plan("second", Ledger(program_copy / "results")).earlier_verdicts["deep"][0]
    assert (attempt.study, attempt.delta) == ("mine", "0.01")
    assert Metric("seconds", 5.0, ratio=True).shown_delta == "5 %"


def test_a_run_removes_the_checkpoint_of_a_trial_that_has_its_result(program_copy: Path) -> None:
    ledger = Ledger(program_copy / "results")
    results = [
        result for id in ledger.find_result_files() if (result := ledger.read_result(id)).trial.seed > 1
    ]
    finished, failure, *_ = results  # those of the first two seeds would be trained again
    ledger.find_result_path(failure.trial.id).unlink()  # a failure replaces no training that ended
    ledger.record_result(replace(failure, status="failed", reason="exit code 1"))
    stale, useful = (ledger.checkpoints / f"{result.trial.id}.pt" for result in (finished, failure))
    stale.parent.mkdir(exist_ok=True)
    stale.touch()
    useful.touch()
    run_command(program_copy, "run", "mine.toml")
    assert not stale.exists()
    assert useful.exists(), "another study may be training that trial again"


def test_a_trial_that_is_trained_again_keeps_no_file_that_it_writes() -> None:
    result = Result(trial=ProgramTrial(seed=0, run="./train", keep=("*.pt",)), status="done")
    program = ProgramFactory(ProgramTable(run="./train", folder="here"), {}, {})
    trial = locate_files(result, program).trial
    assert isinstance(trial, ProgramTrial)
    assert (trial.folder, trial.keep, trial.id) == ("here", (), result.trial.id)


def test_verify_runs_a_program_from_its_file_alone(program_copy: Path) -> None:
    assert "3 of 3 bit-identical" in run_command(program_copy, "verify", "mine.toml", "-n", "3").stdout
    for command in (["verify", "mine"], ["bundle", "mine", "-o", "mine.zip"]):
        assert "its file's path" in refuse_command(program_copy, *command)
    (program_copy / "train.py").write_text(PROGRAM + "# edited\n")
    verification = run_command(program_copy, "verify", "mine.toml", "-n", "1")
    assert verification.returncode == 1 and "the code was edited" in verification.stdout


def test_a_bundles_program_is_run_only_if_trusted(program_copy: Path, need) -> None:
    """Also what only one arm's command line names."""
    study = STUDY.replace("[baseline]", 'data = ["d*"]\n[baseline]\nbonus = "none.txt"')
    study = study.replace("{seed}", "{seed} {bonus}").replace("deep = [true]", 'bonus = ["some.txt"]')
    program = PROGRAM.replace("given =", 'parser.add_argument("bonus")\ngiven =')
    program = program.replace("for epoch", "accuracy += float(open(given.bonus).read())\nfor epoch")
    write_project(program_copy, program, study)
    for name, text in (("dé (1) %41.csv", ""), ("none.txt", "0"), ("some.txt", ".1")):
        (program_copy / name).write_text(text)
    check_command(program_copy, "run", "mine.toml", "--seeds", "0-1")
    check_command(program_copy, "bundle", "mine.toml", "-o", "mine.zip")
    for name in ("train.py", "mine.toml", "none.txt", "some.txt"):
        (program_copy / name).unlink()
    process = run_command(program_copy, "verify", "mine.zip", "-n", "2")
    assert process.returncode == 1 and "0 faults" in process.stdout
    assert "no trial was trained again" in process.stdout
    assert (
        "6 of 6 bit-identical" in run_command(program_copy, "verify", "mine.zip", "-n", "9", "--trust").stdout
    )


def test_a_bundle_names_data_at_absolute_paths_as_left_out(tmp_path: Path) -> None:
    data = tmp_path / "large" / "data.csv"
    data.parent.mkdir()
    data.write_text("1\n")
    study = STUDY.replace("[baseline]", f'data = ["{data}"]\n[baseline]')
    folder = write_project(tmp_path / "project", study=study)
    check_command(folder, "run", "mine.toml", "--seeds", "0-1")
    assert str(data) in check_command(folder, "bundle", "mine.toml", "-o", "mine.zip")
    with zipfile.ZipFile(folder / "mine.zip") as archive:
        assert not [name for name in archive.namelist() if name.endswith("data.csv")]
    assert "2 of 2 bit-identical" in check_command(folder, "verify", "mine.zip", "-n", "2", "--trust")
    data.unlink()
    process = run_command(folder, "verify", "mine.zip", "-n", "2", "--trust")
    assert process.returncode == 1 and str(data) in process.stdout


def test_what_a_program_logs_replaces_no_setting_and_no_fact() -> None:
    trial = ProgramTrial(seed=3, settings={"lr": 0.1})
    metrics = {"lr": 5.0, "seed": 7.0, "status": 1.0, "loss": 0.5}
    row = make_trial_record("mine", 3, Result(trial=trial, status="done", metrics=metrics))
    assert (row["lr"], row["seed"], row["status"], row["loss"]) == (0.1, 3, "done", 0.5)


def test_a_run_ends_with_the_answer_and_a_failed_trials_cure(tmp_path: Path) -> None:
    program = PROGRAM + "assert given.seed != 2 or not given.deep\n"
    words = ("run", "mine.toml", "--seeds", "0-2")
    first = run_command(write_project(tmp_path / "project", program), *words)
    second = run_command(tmp_path / "project", *words)
    for process in (first, second):
        assert process.returncode == 1
        assert "deep, seed 2: exit code 1: AssertionError; --retry" in process.stdout
        assert "\n  3 seeds: nothing is decided, as a verdict needs at least 5\n" in process.stdout


LISTS = """
import argparse, json, random
parser = argparse.ArgumentParser()
parser.add_argument("--model.widths", nargs="*", type=int)
parser.add_argument("--seed", type=int)
given = vars(parser.parse_args())
print(json.dumps({"settings": {"model.widths": given["model.widths"]}}))
print(json.dumps({"accuracy": random.Random(given["seed"]).random() / 9 + sum(given["model.widths"]) / 99}))
"""
LIST_STUDY = """
name = "mine"
question = "How deep?"
metrics = [{ name = "accuracy", delta = 0.01 }]
seeds = 2
program.run = "python train.py --model.widths {model.widths*} --seed {seed}"
baseline."model.widths" = [8, 4]
design.one_at_a_time."model.widths" = [[16], []]
"""


def test_a_setting_may_be_a_list_whose_name_has_a_dot(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "project", LISTS, LIST_STUDY)
    check_command(folder, "run", "mine.toml")
    table = verdicts("mine", folder=folder / "results").set_index("arm")
    assert table.difference.to_dict() == pytest.approx(
        {"model.widths 16": 4 / 99, "model.widths none": -12 / 99}
    )
    preview = check_command(folder, "plan", "mine.toml", "--set", "model.widths=9,9 9")
    assert "\nmodel.widths 9  " in preview and "\nmodel.widths 9 9" in preview
    for level in ('["a b"]', "[[8]]", "[8, { x = 1 }]"):
        (folder / "mine.toml").write_text(LIST_STUDY.replace("[[16], []]", f"[{level}]"))
        errors = refuse_command(folder, "plan", "mine.toml")
        assert ": model.widths = " in errors, errors


def test_a_run_first_says_what_it_takes_as_its_plan_does(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "project", study=STUDY.replace("seeds = 5", "looks = [5, 10]"))
    words = "trainings: 15 to 30, and 1 that repeats the baseline's first; 0 have ended", "python 3.", "first"
    output = check_command(folder, "plan", "mine.toml")
    assert all(word in output for word in (*words, "unknown until the first has ended"))
    screen = check_command(folder, "run", "mine.toml", "--seeds", "0-1").partition("\n[1/")[0]
    assert "trainings: 6, and 1 that repeats" in screen and screen.count("\n") < 10
    screen_after = check_command(folder, "run", "mine.toml", "--seeds", "0-2").partition("\n[1/")[0]
    for output in (screen_after, check_command(folder, "plan", "mine.toml", "--seeds", "0-2")):
        assert "that repeats" not in output and "s of training: whether a trial fails" in output
    assert "trainings: 9; 6 have ended" in screen_after


def test_only_a_declared_time_is_measured_one_trial_at_a_time() -> None:
    quality = {"name": "time_series_mae", "delta": 0.1, "better": "lower"}
    time = {"name": "epoch_cost", "delta": "5%", "kind": "time"}
    program = {"run": "echo {seed}"}
    clocks = [
        declare_study("mine", program=program, baseline={}, metrics=[metric]).rules.judged_costs
        for metric in (quality, time)
    ]
    assert clocks == [[], ["epoch_cost"]]


@pytest.mark.parametrize(
    ("metric", "line"),
    [
        ("", "(seconds): whether the seed and the settings have an effect cannot be checked"),
        (', { name = "accuracy", delta = 0.01 }', "dropout 0.5 has the same accuracy as baseline"),
    ],
)
def test_speed_is_measured_one_trial_at_a_time_in_balanced_order(
    tmp_path: Path, metric: str, line: str
) -> None:
    study = STUDY.replace('name = "accuracy", delta = 0.01 }', 'name = "seconds", delta = "10%" }' + metric)
    folder = write_project(tmp_path / "project", PROGRAM.replace("given.dropout / 10", "0"), study)
    output = check_command(folder, "run", "mine.toml", "-j", "4", "--seeds", "0-1")
    assert "one trial at a time" in output and line in output
    ledger = Ledger(folder / "results")
    assert "under a minute on 1 core" in check_command(folder, "plan", "mine.toml", "-j", "4")
    counts = {
        r.provenance["trials_at_a_time"] for r in ledger.read_results(ledger.find_result_files()).values()
    }
    assert counts == {1}
    rows = results("mine", folder / "results")[["arm", "seed"]].assign(
        started=[r.started for r in ledger.read_results(results("mine", folder / "results").trial).values()]
    )
    orders = [list(of_seed.sort_values("started").arm) for _, of_seed in rows.groupby("seed")]
    assert orders[0] == orders[1][::-1], "also of the first trials, which check the program"


def test_the_plan_of_a_finished_study_has_nothing_left(program_copy: Path) -> None:
    output = check_command(program_copy, "plan", "mine.toml")
    assert "nothing is left to train" in output
    assert "trials expected" not in output
