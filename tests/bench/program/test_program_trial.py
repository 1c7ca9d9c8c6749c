"""Which trial of a program it is: by content of files, settings and packages; and what it does not tell."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.bad_input import raises_bad_input
from unrolled.bench.program.program_trial import ProgramTrial
from unrolled.bench.trial import Result


@pytest.fixture
def trial(tmp_path: Path) -> ProgramTrial:
    """Return a trial of a program beside hidden files and an environment."""
    (tmp_path / "train.py").write_text("import numpy\nimport helper\n")
    (tmp_path / "helper.py").write_text("x = 1\n")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "other.py").write_text("")
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    (tmp_path / "venv" / "installed.py").write_text("")
    (tmp_path / "data.csv").write_text("1,2\n")
    run = "python train.py --lr {lr} --seed {seed}"
    patterns = {"code_patterns": ("**/*.py",), "data_patterns": ("*.csv",)}
    return ProgramTrial(seed=0, run=run, settings={"lr": 0.1}, folder=str(tmp_path), **patterns).identify()


def test_an_edit_of_code_data_template_or_a_setting_is_another_trial(
    trial: ProgramTrial, tmp_path: Path
) -> None:
    ids = {trial.id}
    for change in ({"settings": {"lr": 0.2}}, {"run": trial.run + " --fast"}, {"seed": 1}, {"threads": 2}):
        ids.add(replace(trial, **change).identify().id)
    for name in ("train.py", "helper.py", "data.csv"):
        (tmp_path / name).write_text((tmp_path / name).read_text() + "# 3\n")
        ids.add(trial.identify().id)
    assert len(ids) == 8


def test_a_moved_folder_and_hidden_files_do_not_count(trial: ProgramTrial, tmp_path: Path) -> None:
    for hidden in (".hidden/other.py", "venv/installed.py"):
        (tmp_path / hidden).write_text("edited = True\n")
    new_folder = tmp_path.rename(tmp_path.with_name("moved"))
    new_trial = replace(trial, folder=str(new_folder), keep=("*.png",), disk_limit=5).identify()
    assert new_trial.id == trial.id


def test_imported_packages_count_by_their_versions_also_after_an_edit(
    trial: ProgramTrial, tmp_path: Path
) -> None:
    def names() -> list[str]:
        return [line.split()[0] for line in trial.identify().versions.split(", ")]

    assert names() == ["unrolled", "python", "numpy"]
    (tmp_path / "train.py").write_text("import numpy, pandas\nimport helper\nfrom .. import torch\n")
    assert names() == ["unrolled", "python", "numpy", "pandas"]
    for name in ("no-such-package", ""):
        with raises_bad_input(place="packages", key=repr(name)):
            replace(trial, packages=(name,)).identify()


def test_a_folder_that_is_called_like_a_package_hides_no_package(trial: ProgramTrial, tmp_path: Path) -> None:
    new_folder = tmp_path.rename(tmp_path.with_name("numpy"))
    (new_folder / "pyvenv.cfg").touch()
    (new_folder / "lib" / "site-packages").mkdir(parents=True)
    (new_folder / "lib" / "site-packages" / "installed.py").touch()
    new_trial = replace(trial, folder=str(new_folder)).identify()
    assert (new_trial.versions, new_trial.source) == (trial.versions, trial.source)


def test_a_stored_trial_is_the_same_and_can_run_nothing(trial: ProgramTrial) -> None:
    stored = Result.from_dict(Result(trial=trial, status="done").to_dict()).trial
    assert stored == ProgramTrial(**trial.to_dict())
    assert stored.id == trial.id
    assert isinstance(stored, ProgramTrial)
    assert stored.folder == ""
    with raises_bad_input("where it runs", place="train.py"):
        stored.identify()


def test_the_process_that_runs_it_finds_an_edited_file(trial: ProgramTrial, tmp_path: Path) -> None:
    trial.read_planned_file_states()
    (tmp_path / "data.csv").write_text("3,4\n")
    with raises_bad_input("data", "data.csv", place="train.py"):
        trial.read_planned_file_states()
    (tmp_path / "data.csv").write_text("1,2\n")
    (tmp_path / "written.py").write_text("")
    with raises_bad_input("code", "written.py", place="train.py"):
        trial.read_planned_file_states()


def test_its_files_are_the_same_trial_elsewhere(trial: ProgramTrial, tmp_path: Path) -> None:
    for name, content in trial.read_files_to_send().items():
        target = tmp_path / "worker" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    assert trial.relocate_to(tmp_path / "worker").identify().id == trial.id


STORED = Result(
    trial=ProgramTrial(seed=0), status="done", metrics={"acc": 0.5, "loss": math.nan, "big": 2e100}
)


@pytest.mark.parametrize(
    ("judged", "status", "reason"),
    [
        (["acc"], "done", ""),
        (["acc", "loss"], "diverged", "diverged: loss is nan"),
        (["acc", "big"], "diverged", "diverged: big is 2e+100"),
        (["accc"], "failed", "it reports no accc; did you mean 'acc'?"),
    ],
)
def test_each_study_decides_by_the_metrics_that_it_judges(
    judged: list[str], status: str, reason: str
) -> None:
    result = STORED.trial.decide_status(STORED, judged)
    assert (result.status, result.reason, result.metrics) == (status, reason, STORED.metrics)
    assert STORED.trial.decide_status(result, judged) == result


def test_a_program_that_fails_after_it_printed_nan_diverged() -> None:
    failed = replace(STORED, status="failed", reason="exit code 1")
    results = [failed.trial.decide_status(failed, [name]) for name in ("loss", "acc", "accc")]
    assert [result.status for result in results] == ["diverged", "failed", "failed"]
    assert {result.reason for result in results[1:]} == {"exit code 1"}


def test_a_forged_result_changes_no_file_outside_its_folder(tmp_path: Path) -> None:
    victim = tmp_path / "victim.sh"
    victim.write_text("")
    victim.chmod(0o600)
    forged = (("../../../victim.sh", "executable"), (str(victim), "executable"))
    trial = ProgramTrial(seed=0, settings={}, run="python train.py", commit="a" * 40, file_modes=forged)
    place = trial.relocate_to(tmp_path / "files").folder
    Path(place).mkdir(parents=True)
    (Path(place) / "run.sh").write_text("")
    (Path(place) / "run.sh").chmod(0o600)
    replace(trial, file_modes=(*forged, ("run.sh", "executable"))).relocate_to(tmp_path / "files")
    assert [path.stat().st_mode & 0o777 for path in (victim, Path(place) / "run.sh")] == [0o600, 0o755]


def test_a_program_is_named_by_its_script() -> None:
    names = {
        "python a.py --seed {seed}": "a.py",
        ".venv/bin/python b.py {seed}": "b.py",
        "./train {seed}": "./train",
    }
    assert {run: ProgramTrial(run=run, seed=0).title for run in names} == names
