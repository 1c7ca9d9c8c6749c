"""What the command does with a plan that cannot be read, with results that vanish, and with a full disk."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.command_call import (
    PrintedCounts,
    check_command,
    read_facts,
    read_trial_counts,
    run_command,
)
from tests.helpers.command_process import read_mlflow_runs, write_study
from tests.helpers.command_without_mlflow import silence_mlflow
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans import plan_store
from unrolled.bench.sources.identity import read_package_version
from unrolled.bench.trial import Result


def write_two_studies(folder: Path) -> Path:
    """Write two studies of the same trials and return their folder."""
    for name in ("small", "other"):
        write_study(folder, name, seeds="seeds = 2", widths=(8, 16))
    return folder


@pytest.fixture(scope="module")
def source_project(tmp_path_factory) -> Path:
    """Return a folder in which two studies of the same trials were run."""
    folder = write_two_studies(tmp_path_factory.mktemp("trained"))
    with silence_mlflow():
        check_command(folder, "run", "small.toml", "other.toml")
    return folder


@pytest.fixture
def project(source_project: Path, tmp_path: Path) -> Path:
    """Return a copy of the folder without its MLflow database, which names the original."""
    shutil.copytree(source_project, tmp_path / "copy", ignore=shutil.ignore_patterns("mlflow.db", "mlruns"))
    return tmp_path / "copy"


@pytest.fixture
def current_project(project: Path, monkeypatch) -> Path:
    """Return the copy, in which this process works."""
    monkeypatch.chdir(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/mlflow.db")
    return project


def find_plan_file(folder: Path, study: str) -> Path:
    """Return the file of a study's plan."""
    plans = (folder / "results" / "plans").glob("*.json")
    return next(path for path in plans if json.loads(path.read_bytes())["plan"]["rules"]["name"] == study)


def test_bytes_of_the_command_outside_utf_8_are_escaped_in_the_plan(project: Path) -> None:
    check_command(project, "run", "small.toml", "--seeds", "0", "--out", os.fsdecode(b"out\xff"))
    assert "3 of 3 trials finished, none failed" in read_facts(project, "small")
    plan = json.loads(find_plan_file(project, "small").read_bytes())["plan"]
    assert plan["command"] == r"unrolled run small.toml --seeds 0 --out 'out\xff'"
    assert read_mlflow_runs(project, "study") == ["FINISHED"]


@pytest.mark.parametrize("words", ["studies", "report", "sync"])
def test_a_plan_that_cannot_be_read_costs_one_line_of_warning(
    current_project: Path, call_command, words: str
) -> None:
    file = find_plan_file(current_project, "small")
    file.write_bytes(file.read_bytes()[:100])
    code, _, errors = call_command(*words.split())
    assert code == 0, errors
    lines = [line for line in errors.splitlines() if f"results/plans/{file.name}: " in line]
    assert len(lines) == 1 and "skipped" in lines[0], errors


@pytest.mark.parametrize("word", ["report", "sync", "verify"])
def test_a_named_study_with_an_unreadable_plan_gets_one_line(
    current_project: Path, call_command, word: str
) -> None:
    file = replace_by_folder(find_plan_file(current_project, "small"))
    code, _, errors = call_command(word, "small")
    assert (code, errors.count("\n")) == (2, 1), errors
    assert f"study 'small': results/plans/{file.name}: cannot be read (Is a directory)" in errors
    assert "run its study again, which sets it aside" in errors


def replace_by_folder(file: Path) -> Path:
    """Replace a file by a folder, which cannot be read: to root every file is readable."""
    file.unlink()
    file.mkdir()
    return file


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("show 36", "trials"), ("studies", "trials"), ("plan small.toml", "trials"),
        ("show 36", "trials/36"), ("studies", "chains"), ("studies", "plans"), ("report", "plans"),
        ("verify small", "plans"),
    ],
)  # fmt: skip
def test_a_folder_of_the_ledger_that_cannot_be_listed_is_not_taken_for_an_empty_one(
    current_project: Path, call_command, monkeypatch, words: str, name: str
) -> None:
    """To root every folder is readable."""
    folder = Path("results") / name
    folder.mkdir(exist_ok=True)
    code, _, errors = call_command(*words.split())
    assert "cannot be read" not in errors

    def list_others(path: Path) -> list[str]:
        if Path(path) == folder:
            raise PermissionError(errno.EACCES, "Permission denied")
        return list_names(path)

    list_names = os.listdir
    monkeypatch.setattr(os, "listdir", list_others)
    code, _, errors = call_command(*words.split())
    line = f"results/{name}: cannot be read (Permission denied); make it readable"
    assert (code, errors.strip()) == (2, f"unrolled: {line}")


def test_a_results_folder_that_cannot_be_listed_is_no_file_of_an_unknown_kind(
    current_project: Path, call_command, monkeypatch
) -> None:
    def refuse(path: Path) -> list[str]:
        raise PermissionError(errno.EACCES, "Permission denied")

    Path("other").mkdir()
    monkeypatch.setattr(os, "listdir", refuse)
    code, _, errors = call_command("compare", "other", "results")
    assert (code, errors.strip()) == (
        2,
        "unrolled: other: cannot be read (Permission denied); make it readable",
    )


def test_a_run_sets_its_studys_unreadable_plan_aside(project: Path) -> None:
    replace_by_folder(find_plan_file(project, "small"))
    process = run_command(project, "run", "small.toml")
    assert process.returncode == 0, process.stderr
    assert read_trial_counts(process.stdout) == PrintedCounts(stored=6)
    assert ", so it counts as none; moved to results/set-aside/" in process.stderr
    assert all("6 of 6 trials finished" in read_facts(project, study) for study in ("small", "other"))
    assert read_mlflow_runs(project, "study") == ["FINISHED"]


def test_a_report_that_cannot_be_written_leaves_every_trial_in_mlflow(
    project: Path, small_disk: Callable
) -> None:
    with small_disk(project / "pages", "16k"):
        process = run_command(project, "run", "small.toml", "--out", "pages")
        assert (process.returncode, process.stderr.count("\n")) == (2, 1), process.stderr
        assert "No space left on device" in process.stderr
        assert not list((project / "pages").rglob("*.html")), "nor half a page"
    assert read_mlflow_runs(project, "trial") == ["FINISHED"] * 6


@pytest.mark.usefixtures("skip_mlflow")
def test_results_that_vanish_during_a_run_are_missing_with_exit_code_1(tmp_path: Path, monkeypatch) -> None:
    """Once the last of three results is there, one is removed and one is damaged."""
    folder = write_two_studies(tmp_path)
    record = Ledger.record_result
    paths = []

    def record_and_remove(ledger: Ledger, result: Result) -> None:
        record(ledger, result)
        paths.extend([ledger.find_result_path(result.trial.id)] if ledger.root == Path("results") else [])
        if len(paths) == 3:
            paths[0].unlink()
            paths[1].write_bytes(b"{}")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "record_result", record_and_remove)
        process = run_command(folder, "run", "small.toml", "-j", "1", "--seeds", "0")
    assert process.returncode == 1, process.stderr
    assert read_trial_counts(process.stdout) == PrintedCounts(trained=1, left=2)
    assert "2 trials of this look: no result yet; run again\n" in process.stderr
    output = check_command(folder, "run", "small.toml", "--seeds", "0")
    assert read_trial_counts(output) == PrintedCounts(trained=2, stored=1)


@pytest.mark.usefixtures("skip_mlflow")
def test_a_trial_without_details_is_told_and_trained_again(project: Path) -> None:
    details = min((project / "results" / "details").rglob("*.json"))
    details.unlink()
    listing = run_command(project, "studies")
    assert "6 " in listing.stdout and not listing.stderr, "no list reads them"
    id, _, _ = details.name.partition(".")
    process = run_command(project, "run", "small.toml")
    (line,) = (line for line in process.stderr.splitlines() if id in line)
    assert "its details are damaged or missing, so it counts as missing; moved to results/set-aside/" in line
    assert read_trial_counts(process.stdout) == PrintedCounts(trained=1, stored=5)


# Old results.


def outdate_results(project: Path) -> list[Path]:
    """Leave the results that a change of the code would: of no plan, and beside other trials."""
    find_plan_file(project, "other").unlink()
    trial_id = next((project / "results" / "trials").rglob("*.json")).stem  # once the run below has its plan
    output = check_command(project, "run", "small.toml", "--set", "lr=0.02", "--seeds", "0")
    assert read_trial_counts(output).trained == 3
    (project / "results" / "checkpoints").mkdir(exist_ok=True)
    for name in ("0123456789abcdef.cpu.pt", f"{trial_id}.cpu.pt"):
        (project / "results" / "checkpoints" / name).write_bytes(bytes(1000))
    (project / "results" / "set-aside").mkdir(exist_ok=True)
    (project / "results" / "set-aside" / "x.json").write_bytes(b"{}")
    return sorted((project / "results" / "trials").rglob("*.json"))


@pytest.mark.usefixtures("skip_mlflow")
def test_a_run_says_once_why_it_retrains_and_keeps_earlier_results(project: Path) -> None:
    """As after an upgrade: the ledger's results are made those of an earlier torch."""
    ledger = Ledger(project / "results")
    plan = plan_store.load_plan("small", ledger)
    new_ids = {}
    for id, result in ledger.read_results(plan.ids).items():
        trial = replace(result.trial, versions="torch 2.5.0")
        ledger.record_result(replace(result, trial=trial))
        ledger.find_result_path(id).unlink()
        new_ids[id] = trial.id
    arms = [
        replace(
            arm,
            trial_ids={seed: new_ids[id] for seed, id in arm.trial_ids.items()},
            trial_fields={**arm.trial_fields, "versions": "torch 2.5.0"},
        )
        for arm in plan.arms
    ]
    plan_store.store_plan(replace(plan, arms=tuple(arms)), ledger)
    process = run_command(project, "run", "small.toml", "--seeds", "0")
    assert process.stdout.count(f"torch 2.5.0 → {read_package_version('torch')}: 3 trials to train") == 1
    assert read_trial_counts(process.stdout) == PrintedCounts(trained=3)
    assert set(ledger.find_result_files()) == {*new_ids.values(), *(arm.trial_ids[0] for arm in plan.arms)}


def test_results_of_no_plan_are_counted_and_removed_when_asked(project: Path) -> None:
    files = outdate_results(project)
    assert len(files) == 9
    assert run_command(project, "studies").stdout.splitlines()[-1].startswith("6 old results are unused; ")
    assert sorted((project / "results" / "trials").rglob("*.json")) == files

    output = run_command(project, "studies", "--remove-old").stdout
    counts = {"6 results", "6 details files", "2 checkpoints", "1 set-aside file"}
    assert all(count in output for count in counts), output
    assert len(list((project / "results" / "trials").rglob("*.json"))) == 3
    assert len(list((project / "results" / "details").rglob("*.json"))) == 3
    assert not (project / "results" / "set-aside").exists()
    assert not (project / "results" / "checkpoints" / "0123456789abcdef.cpu.pt").exists()
    assert "3 of 3 trials finished, none failed" in read_facts(project, "small")
    assert "nothing to remove" in run_command(project, "studies", "--remove-old").stdout


def test_nothing_is_removed_beside_unreadable_plans_or_running_studies(
    current_project: Path, call_command
) -> None:
    (current_project / "results" / "trials" / "ab").mkdir(exist_ok=True)
    (current_project / "results" / "trials" / "ab" / "abcdef012345.json").touch()  # of no plan
    files = sorted(current_project.glob("results/trials/*/*"))
    with Ledger(current_project / "results").lock_study("small"):
        code, _, errors = call_command("studies", "--remove-old")
    assert (code, errors.count("\n")) == (2, 1) and "a study of this ledger is being run" in errors
    find_plan_file(current_project, "small").write_bytes(b"half")
    code, _, errors = call_command("studies", "--remove-old")
    assert (code, errors.count("\n")) == (2, 1)
    assert "nothing is removed, as results may belong to it" in errors
    assert sorted(current_project.glob("results/trials/*/*")) == files
