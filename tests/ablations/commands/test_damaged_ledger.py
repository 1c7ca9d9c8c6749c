"""What the command does with a plan that cannot be read, with results that vanish, and with a full disk."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from as_typed import mlflow_runs, write
from called import call, facts, succeed

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.study import plan_store
from unrolled.bench.identity import package_version
from unrolled.bench.trial import Result


def two_studies(folder: Path) -> Path:
    """Two studies of the same trials."""
    for name in ("small", "other"):
        write(folder, name, seeds="seeds = 2", widths=(8, 16))
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder in which two studies, of the same trials, were run."""
    folder = two_studies(tmp_path_factory.mktemp("trained"))
    succeed(folder, "run", "small.toml", "other.toml")
    return folder


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    """A copy of it; its MLflow is another one, as its database names the folder that it was made in."""
    shutil.copytree(trained, tmp_path / "copy", ignore=shutil.ignore_patterns("mlflow.db", "mlruns"))
    return tmp_path / "copy"


@pytest.fixture
def here(copy: Path, monkeypatch) -> Path:
    """The copy, for commands of this process."""
    monkeypatch.chdir(copy)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{copy}/mlflow.db")
    return copy


def plan_file(folder: Path, study: str) -> Path:
    plans = (folder / "results" / "plans").glob("*.json")
    return next(path for path in plans if json.loads(path.read_bytes())["plan"]["study"] == study)


def test_a_byte_of_the_command_that_is_not_utf_8_stands_escaped_in_the_plan(copy: Path) -> None:
    succeed(copy, "run", "small.toml", "--seeds", "0", "--out", os.fsdecode(b"out\xff"))
    assert "3 of 3 trials finished, none failed" in facts(copy, "small")
    plan = json.loads(plan_file(copy, "small").read_bytes())["plan"]
    assert plan["command"] == r"unrolled run small.toml --seeds 0 --out 'out\xff'"
    assert mlflow_runs(copy, "study") == ["FINISHED"]


@pytest.mark.parametrize("words", ["studies", "report", "sync"])
def test_a_plan_that_cannot_be_read_costs_one_line_of_warning(here: Path, command, words: str) -> None:
    file = plan_file(here, "small")
    file.write_bytes(file.read_bytes()[:100])
    code, _, err = command(*words.split())
    assert code == 0, err
    told = [line for line in err.splitlines() if f"results/plans/{file.name}: " in line]
    assert len(told) == 1 and "skipped" in told[0], err


@pytest.mark.parametrize("word", ["report", "sync", "verify"])
def test_a_study_named_whose_plan_cannot_be_read_is_one_line_with_the_cure(
    here: Path, command, word: str
) -> None:
    file = be_a_folder(plan_file(here, "small"))
    code, _, err = command(word, "small")
    assert (code, err.count("\n")) == (2, 1), err
    assert f"study 'small': results/plans/{file.name}: cannot be read (Is a directory)" in err
    assert "run its study again, which sets it aside" in err


def be_a_folder(file: Path) -> Path:
    """As what cannot be read: permissions prove nothing where tests run as root."""
    file.unlink()
    file.mkdir()
    return file


def test_a_run_sets_aside_the_unreadable_plan_of_its_own_study_and_goes_on(copy: Path) -> None:
    be_a_folder(plan_file(copy, "small"))
    done = call(copy, "run", "small.toml")
    assert done.returncode == 0, done.stderr
    assert "0 trained, 6 already there" in done.stdout
    assert ", so it counts as none; moved to results/set-aside/" in done.stderr
    assert all("6 of 6 trials finished" in facts(copy, study) for study in ("small", "other"))
    assert mlflow_runs(copy, "study") == ["FINISHED"]


def test_a_report_that_cannot_be_written_leaves_every_trial_in_mlflow(
    copy: Path, small_disk: Callable
) -> None:
    with small_disk(copy / "pages", "16k"):
        done = call(copy, "run", "small.toml", "--out", "pages")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "No space left on device" in done.stderr
        assert not list((copy / "pages").rglob("*.html")), "nor half a page"
    assert mlflow_runs(copy, "trial") == ["FINISHED"] * 6


def test_results_that_vanish_while_a_study_runs_are_missing_and_the_exit_code_is_1(
    tmp_path: Path, monkeypatch
) -> None:
    """Once the last of three results is there, one is removed and one is damaged."""
    folder, record, kept = two_studies(tmp_path), Ledger.record, []

    def vanishing(ledger: Ledger, result: Result) -> None:
        record(ledger, result)
        kept.extend([ledger.path(result.trial.id)] if ledger.root == Path("results") else [])
        if len(kept) == 3:
            kept[0].unlink()
            kept[1].write_bytes(b"{}")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "record", vanishing)
        done = call(folder, "run", "small.toml", "-j", "1", "--seeds", "0")
    assert done.returncode == 1, done.stderr
    assert "small: 1 trained, 0 already there, 0 failed, 0 diverged, 2 left\n" in done.stdout
    assert "2 trials of this look have no result: run again\n" in done.stderr
    again = succeed(folder, "run", "small.toml", "--seeds", "0")
    assert "small: 2 trained, 1 already there, 0 failed, 0 diverged, 0 left\n" in again


def test_a_trial_whose_details_are_lost_is_told_in_one_line_and_trained_again(copy: Path) -> None:
    details = min((copy / "results" / "details").rglob("*.json"))
    details.unlink()
    told = call(copy, "studies")
    assert "6 " in told.stdout and not told.stderr, "no list reads them"
    id, _, _ = details.name.partition(".")
    done = call(copy, "run", "small.toml")
    (line,) = (line for line in done.stderr.splitlines() if id in line)
    assert "its details are damaged or missing, so it counts as missing; moved to results/set-aside/" in line
    assert "small: 1 trained, 5 already there, 0 failed, 0 diverged, 0 left\n" in done.stdout


# Old results.


def age(copy: Path) -> list[Path]:
    """Leave what a change of the code would: the plan of one study is gone, the other's has other trials."""
    plan_file(copy, "other").unlink()
    unplanned = next((copy / "results" / "trials").rglob("*.json")).stem  # once the run below has its plan
    assert "3 trained" in succeed(copy, "run", "small.toml", "--set", "lr=0.02", "--seeds", "0")
    (copy / "results" / "checkpoints").mkdir(exist_ok=True)
    for name in ("0123456789abcdef.cpu.pt", f"{unplanned}.cpu.pt"):
        (copy / "results" / "checkpoints" / name).write_bytes(bytes(1000))
    (copy / "results" / "set-aside").mkdir(exist_ok=True)
    (copy / "results" / "set-aside" / "x.json").write_bytes(b"{}")
    return sorted((copy / "results" / "trials").rglob("*.json"))


def test_a_run_says_once_why_trials_are_trained_again_and_keeps_the_earlier_results(copy: Path) -> None:
    """As after an upgrade: the ledger's results are made those of an earlier torch."""
    ledger = Ledger(copy / "results")
    plan = plan_store.load_plan("small", ledger)
    new = {}
    for id, result in ledger.results(plan.ids).items():
        older = replace(result.trial, versions="torch 2.5.0")
        ledger.record(replace(result, trial=older))
        ledger.path(id).unlink()
        new[id] = older.id
    arms = [
        replace(
            arm,
            trials={seed: new[id] for seed, id in arm.trials.items()},
            trial_fields={**arm.trial_fields, "versions": "torch 2.5.0"},
        )
        for arm in plan.arms
    ]
    plan_store.store_plan(replace(plan, arms=tuple(arms)), ledger)
    done = call(copy, "run", "small.toml", "--seeds", "0")
    line = (
        f"torch 2.5.0 → {package_version('torch')}: 3 trials to train; the earlier results stay in the ledger"
    )
    assert done.stdout.splitlines().count(line) == 1
    assert "3 trained, 0 already there" in done.stdout
    assert set(ledger.files()) == {*new.values(), *(arm.trials[0] for arm in plan.arms)}


def test_studies_counts_the_results_of_no_plan_and_removes_them_when_asked_to(copy: Path) -> None:
    before = age(copy)
    assert len(before) == 9
    assert call(copy, "studies").stdout.splitlines()[-1].startswith("6 old results are unused; ")
    assert sorted((copy / "results" / "trials").rglob("*.json")) == before

    told = call(copy, "studies", "--remove-old").stdout
    assert told == "removed 6 results, 6 details files, 2 checkpoints and 1 set-aside file\n"
    assert len(list((copy / "results" / "trials").rglob("*.json"))) == 3
    assert len(list((copy / "results" / "details").rglob("*.json"))) == 3
    assert not (copy / "results" / "set-aside").exists()
    assert not (copy / "results" / "checkpoints" / "0123456789abcdef.cpu.pt").exists()
    assert "3 of 3 trials finished, none failed" in facts(copy, "small")
    nothing = "nothing to remove: every result belongs to a plan\n"
    assert call(copy, "studies", "--remove-old").stdout == nothing


def test_nothing_is_removed_where_a_plan_cannot_be_read_or_a_study_runs(here: Path, command) -> None:
    (here / "results" / "trials" / "ab").mkdir(exist_ok=True)
    (here / "results" / "trials" / "ab" / "abcdef012345.json").touch()  # of no plan
    before = sorted(here.glob("results/trials/*/*"))
    with Ledger(here / "results").lock_study("small"):
        code, _, err = command("studies", "--remove-old")
    assert (code, err.count("\n")) == (2, 1) and "a study of this ledger is being run" in err
    plan_file(here, "small").write_bytes(b"half")
    code, _, err = command("studies", "--remove-old")
    assert (code, err.count("\n")) == (2, 1) and "nothing is removed, as results may belong to it" in err
    assert sorted(here.glob("results/trials/*/*")) == before
