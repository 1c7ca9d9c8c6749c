"""A user's own code under the command: written by `new`, trained, reported, and trained again once edited."""

import json
import re
from pathlib import Path

import pytest

from tests.helpers import command_process
from tests.helpers.command_call import (
    PrintedCounts,
    check_command,
    read_facts,
    read_trial_counts,
    refuse_command,
    run_command,
)
from tests.helpers.command_without_mlflow import SilentWriter
from unrolled.ablations.cli import main
from unrolled.ablations.study import loading
from unrolled.ablations.training import first_batches, run_studies
from unrolled.bench.chapter import plugins
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.first_batch import check_first_batch
from unrolled.bench.chapter.models.registry import find_model

pytestmark = pytest.mark.usefixtures("skip_mlflow")

CELL = '[[arm]]\nname = "my cell"\nset = { model = "my-cell", layers = 1 }\n'
PENALTY = '[[arm]]\nname = "small activations"\nset = { my_penalty = 0.5 }\n'


def write_project(folder: Path, arms: str, **settings) -> Path:
    """Write a study with these arms and return its folder."""
    return command_process.write_study(
        folder, "mine", "seeds = 1", widths=(), arms=arms, hidden=8, **settings
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(write_project(tmp_path, CELL + PENALTY))
    return tmp_path


@pytest.mark.slow
def test_plugins_are_trained_reported_and_retrained_once_edited(
    folder: Path,
) -> None:
    for kind, name in (("cell", "my_cell.py"), ("regularizer", "my_penalty.py")):
        check_command(folder, "new", kind, name)
    command = ("run", "mine.toml", "--plugin", "my_cell.py", "--plugin", "my_penalty.py")
    assert read_trial_counts(check_command(folder, *command)) == PrintedCounts(trained=3)
    page = (folder / "out/mine/index.html").read_text()
    assert "my cell" in page and "my_penalty" in page
    files = (folder / "results" / "trials").rglob("*.json")
    results = [json.loads(file.read_text())["result"] for file in files]
    witness = next(r["witnesses"]["my_penalty"] for r in results if "my_penalty" in r["witnesses"])
    assert witness["ok"] and witness["seen"] > 0

    (folder / "elsewhere.py").write_text("# a comment\n")
    assert read_trial_counts(check_command(folder, *command)) == PrintedCounts(stored=3)
    cell = folder / "my_cell.py"
    cell.write_text(cell.read_text().replace("torch.tanh", "torch.sigmoid"))
    assert read_trial_counts(check_command(folder, *command)) == PrintedCounts(trained=1, stored=2)
    # Without the plug-ins there are still the results.
    assert "3 of 3 trials finished, none failed" in read_facts(folder, "mine")
    line = check_command(folder, "studies").splitlines()[-1]
    assert line.startswith("1 old result is unused; ")  # of the cell before


@pytest.mark.slow
def test_a_mistake_stops_the_study_and_a_later_error_fails_one_trial(
    folder: Path,
) -> None:
    write_project(folder, CELL)
    check_command(folder, "new", "cell", "my_cell.py")
    cell = folder / "my_cell.py"
    command = ("run", "mine.toml", "--plugin", "my_cell.py")
    source = cell.read_text()
    line = source.splitlines().index("        return h, h") + 1

    cell.write_text(source.replace("        return h, h", "        return h @ h, h"))
    errors = refuse_command(folder, *command)
    expected = "model 'my-cell' fails on its first step: mat1 and mat2 shapes cannot be multiplied"
    assert errors.startswith(f"unrolled: arm 'my cell': my_cell.py, line {line}: {expected}")
    assert errors.count("\n") == 1
    assert not list((folder / "results").rglob("trials/*/*.json"))

    # A model takes some 220 calls in the first batches, and more in its training.
    check = "        self.calls = getattr(self, 'calls', 0) + 1\n        assert self.calls < 260, 'enough'\n"
    cell.write_text(source.replace("        return h, h", f"{check}        return h, h"))
    second_process = run_command(folder, *command)
    assert second_process.returncode == 1
    assert read_trial_counts(second_process.stdout) == PrintedCounts(trained=1, failed=1)
    assert f"FAILED: my_cell.py, line {line + 1}: AssertionError: enough" in second_process.stdout


def test_models_lists_what_is_plugged_in(folder: Path, restore_registries, capsys) -> None:
    for kind in ("cell", "regularizer"):
        assert main(["new", kind, f"my_{kind}.py"]) == 0
    assert main(["show", "models", "--plugin", "my_cell.py", "--plugin", "my_regularizer.py"]) == 0
    output = capsys.readouterr().out
    assert "my-cell        my cell            A minimal gated unit" in output
    assert "my_regularizer my regularizer     The mean size of the activations" in output


def test_a_strength_below_zero_is_refused_when_the_study_is_planned(
    folder: Path, restore_registries, capsys
) -> None:
    assert main(["new", "regularizer", "my_regularizer.py"]) == 0
    study = ["plan", "toggles", "--plugin", "my_regularizer.py", "--set", "my_regularizer=-1"]
    assert main(study) == 2
    assert "my_regularizer = -1: should be at least 0" in capsys.readouterr().err


# What `new` writes


@pytest.mark.parametrize("kind", ["cell", "model", "regularizer"])
def test_what_new_writes_works_as_it_is(folder: Path, restore_registries, kind: str) -> None:
    assert main(["new", kind, f"my_{kind}.py"]) == 0
    plugins.load_plugin(f"my_{kind}.py")
    model = "lm6" if kind == "regularizer" else f"my-{kind}"
    options = {"hidden": 8, **({"my_regularizer": 0.5} if kind == "regularizer" else {})}
    assert set(options) <= set(find_model(model).options)
    for target in ("every", "last"):
        trial = ChapterTrial(
            model=model, seed=0, options=options, corpus="text.txt", window=8, batch=4, target=target
        )
        assert check_first_batch(trial).is_done


def test_the_study_that_new_writes_can_be_planned(folder: Path, capsys) -> None:
    assert main(["new", "study", "my.toml"]) == 0
    assert len(loading.load_study("my.toml").arms) == 4
    assert main(["plan", "my.toml"]) == 0
    assert "my: How much does the width" in capsys.readouterr().out


def test_the_program_that_new_writes_runs_whatever_it_is_called(folder: Path) -> None:
    check_command(folder, "new", "program", "my study.toml")
    assert read_trial_counts(check_command(folder, "run", "my study.toml", "--seeds", "0")).trained == 4


@pytest.mark.parametrize(
    ("kind", "file", "message"),
    [
        ("cell", "there.py", "there.py: exists and is left as it is"),
        ("cell", "my_cell.toml", "a cell is a .py file; name it my_cell.py"),
        ("study", "my.py", "a study is a .toml file; name it my.toml"),
        ("cell", "gru.py", "the name 'gru' is taken"),
        ("cell", "none.py", "the name 'none' is taken"),
        ("model", "output.py", "the name 'output' is taken"),
        ("regularizer", "alpha.py", "the name 'alpha' is taken"),
        ("regularizer", "class.py", "the name 'class' is taken"),
        ("study", "toggles.toml", "the name 'toggles' is taken"),
        ("model", "7.py", "begin it with a letter"),
        ("model", "nowhere/my.py", "nowhere/my.py: there is no such folder"),
    ],
)
def test_new_refuses_and_leaves_what_is_there(
    folder: Path, capsys, kind: str, file: str, message: str
) -> None:
    (folder / "there.py").write_text("mine\n")
    files = sorted(folder.iterdir())
    assert main(["new", kind, file]) == 2
    assert message in capsys.readouterr().err
    assert sorted(folder.iterdir()) == files and (folder / "there.py").read_text() == "mine\n"


class Writer(SilentWriter):
    def open_study(self, *_: object) -> None:
        raise AssertionError("MLflow hears of the run")


def test_a_slow_first_batch_is_refused_before_the_plan_is_stored(
    folder: Path, monkeypatch, capsys, restore_registries
) -> None:
    (folder / "slow.py").write_text(
        "import time\nfrom unrolled import regularizer\n\n"
        "@regularizer('slow')\ndef slow(output):\n"
        "    time.sleep(600)\n    return output.raw.mean()\n"
    )
    write_project(folder, '[[arm]]\nname = "slower"\nset = { slow = 0.5 }\n', slow=0.1)
    monkeypatch.setattr(run_studies, "Writer", Writer)
    monkeypatch.setattr(first_batches, "FIRST_BATCH_SECONDS", 1.0)
    assert main(["run", "mine.toml", "--plugin", "slow.py", "-j", "2"]) == 2
    streams = capsys.readouterr()
    assert "checking the first batch of 2 arms\n" in streams.out
    assert re.match(r"unrolled: arm '.*slow.*': its first batch takes more than 1 s", streams.err)
    assert streams.err.count("\n") == 1
    assert not list((folder / "results" / "plans").glob("*.json"))
