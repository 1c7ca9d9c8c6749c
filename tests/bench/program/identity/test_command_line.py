"""What a command line tells: the files among its words, and the Python that runs it."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.helpers.bad_input import raises_bad_input
from unrolled.bench.program.identity.command_line import CommandLine, read_command
from unrolled.bench.program.identity.layout import Layout
from unrolled.bench.trial import Scalar


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return the folder of a study, with files in it and beside it, and another environment's Python."""
    folder = tmp_path / "study"
    for name in (
        "train.py",
        "run.sh",
        "conf.json",
        "bin/activate",
        "a,b.csv",
        "folds/0.csv",
        "folds/11.csv",
        "folds/x.csv",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (tmp_path / "outside.py").touch()
    for name in ("env/bin/python3.13", "env/bin/torchrun", "study/bin/python"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!{tmp_path}/env/bin/python3.13\nfrom torch.distributed import run\n")
        path.chmod(0o755)
    return folder


def read_inputs(run: str, settings: Mapping[str, Scalar], folder: Path) -> CommandLine:
    """Return the command line as it is read in a study's folder."""
    return read_command(run, settings, Layout(folder, folder))


FILES = {
    "python train.py {seed}": ["train.py"],
    "python ../outside.py {seed}": ["../outside.py"],
    "bash run.sh {seed}": ["run.sh"],
    "./run.sh {seed}": ["run.sh"],
    "env A=1 python train.py --config={config} {seed}": ["conf.json", "train.py"],
    "python -m x @conf.json +data=a,b.csv {seed}": ["a,b.csv", "conf.json"],
    "python train.py --data folds/{seed}.csv --log {out}/conf.json": [
        "folds/0.csv",
        "folds/11.csv",
        "train.py",
    ],
    "/usr/bin/env bash run.sh {seed}": ["run.sh"],
    "sh -c 'python train.py {seed}; cat conf.json'": ["conf.json", "train.py"],
    "python -c '{long}' {seed}": [],
}


@pytest.mark.parametrize("run", FILES)
def test_named_files_count_unless_they_are_the_trials_own(study: Path, run: str) -> None:
    command = read_inputs(run, {"config": "conf.json", "long": "x" * 5000}, study)
    assert sorted(command.files) == FILES[run]
    assert read_inputs(f"{run} {study}/conf.json", {"config": "", "long": ""}, study).files["conf.json"]


def test_folders_that_are_named_are_known(study: Path) -> None:
    assert read_inputs("python train.py --data=folds . .. {seed}", {}, study).folders == ("folds",)


INTERPRETERS = {
    "python train.py {seed}": sys.executable,
    "env A=1 python train.py {seed}": sys.executable,
    "nice -n 5 python3 train.py {seed}": sys.executable,
    "bash run.sh {seed}": sys.executable,
    f"{sys.executable} train.py {{seed}}": sys.executable,
    "../env/bin/python3.13 train.py {seed}": "env/bin/python3.13",
    "env PATH={env} python3.13 train.py {seed}": "env/bin/python3.13",
    "../env/bin/torchrun train.py {seed}": "env/bin/python3.13",
    "env PATH={env} torchrun train.py {seed}": "env/bin/python3.13",
    "bin/python train.py {seed}": "study/bin/python",
    "bash -c '. bin/activate && python train.py {seed}'": "study/bin/python",
    "bash -lc '../env/bin/python3.13 train.py {seed}'": "env/bin/python3.13",
    "bash -c 'uv run train.py {seed}'": "",
}


@pytest.mark.parametrize("run", INTERPRETERS)
def test_the_python_that_runs_a_program_is_found(study: Path, run: str) -> None:
    (study / "uv.lock").touch()
    command = read_inputs(run, {"env": str(study.parent / "env/bin")}, study)
    expected = INTERPRETERS[run]
    assert command.interpreter == (expected and str(study.parent / expected))
    assert command.is_assumed == (run == "bash run.sh {seed}"), "what the script starts is not known"
    if "torchrun" in run:
        assert "torch.distributed.run" in command.modules or "../env/bin/torchrun" in command.files


def test_modules_that_are_run_by_name_are_known(study: Path) -> None:
    assert read_inputs("python -u -m pkg.train {seed}", {}, study).modules[0] == "pkg.train"
    assert read_inputs("python -c 'import a; a.b({seed})'", {}, study).modules == ("a",)
    assert read_inputs("python train.py -m small {seed}", {}, study).modules == ()


def test_a_missing_python_or_lock_file_is_refused(study: Path) -> None:
    for run, missing in {
        "../env/bin/python9 train.py {seed}": "../env/bin/python9",
        "uv run train.py {seed}": "uv.lock",
        "conda run -n x python train.py": "conda-lock.yml",
    }.items():
        with raises_bad_input(missing, key="run"):
            read_inputs(run, {}, study)
    (study.parent / "uv.lock").touch()
    (study / "environment.yml").touch()
    assert "../uv.lock" in read_inputs("uv run train.py {seed}", {}, study).files
    assert read_inputs("conda run -n x python train.py {seed}", {}, study).interpreter == ""
    assert read_inputs("docker run image python train.py {seed}", {}, study).interpreter == ""
