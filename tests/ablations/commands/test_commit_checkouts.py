"""What a trial of a commit runs: the files of its own checkout, by whatever way a program looks for them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.command_call import check_command, refuse_command, run_command, run_script
from tests.helpers.commit_project import (
    PAIR_STUDY,
    STUDY,
    TRAIN,
    commit_branch,
    make_pair,
    make_project,
    run_and_require_gain,
)
from tests.helpers.git_repository import commit_files
from unrolled.bench.errors import BadInput

pytestmark = pytest.mark.usefixtures("skip_mlflow")


@pytest.mark.slow
def test_a_commit_runs_where_its_package_is_installed_editable(tmp_path: Path) -> None:
    study = STUDY.split("[design")[0] + '[design.one_at_a_time]\ncommit = ["better"]\n'
    study = study.replace("python train.py", f"{tmp_path}/env/bin/python -m package.train")
    folder = make_project(tmp_path / "project", study)
    commit_files(
        folder,
        "a package",
        {
            "src/package/__init__.py": "",
            "src/package/train.py": TRAIN.replace("import helper", "from package import helper"),
            "src/package/helper.py": "BASE = 1.0\n",
            "branch.toml": study,
        },
    )
    commit_branch(folder, "better", {"src/package/helper.py": "BASE = 0.5\n"})
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    (packages,) = (tmp_path / "env").glob("lib/*/site-packages")
    (packages / "package.pth").write_text(f"{folder}/src\n")  # as an editable install does
    run_and_require_gain(folder)
    check_command(folder, "bundle", "branch.toml", "-o", "branch.zip")
    reviewer = tmp_path / "reviewer"
    reviewer.mkdir()
    shutil.copy(folder / "branch.zip", reviewer)
    (packages / "package.pth").unlink()
    assert "0 faults" in run_command(reviewer, "verify", "branch.zip").stdout


WRAPPER = """
import json, subprocess, sys

printed = subprocess.check_output([sys.executable, "train.py", *sys.argv[1:]])
print(json.dumps({"loss": json.loads(printed)["loss"]}))
"""


def test_wrappers_run_and_bundles_hold_the_files_of_each_commit(
    tmp_path: Path,
) -> None:
    folder = make_project(tmp_path / "project")
    study_folder = tmp_path / "mine"
    study_folder.mkdir()
    study = STUDY.replace("python train.py", "python {study}/wrap.py").split("[design")[0]
    study = study.replace("[program]", '[program]\nrepository = "../project"')
    (study_folder / "branch.toml").write_text(study + '[design.one_at_a_time]\ncommit = ["better"]\n')
    (study_folder / "wrap.py").write_text(WRAPPER)
    run_and_require_gain(study_folder)
    assert "4 of 4 bit-identical" in check_command(study_folder, "verify", "branch.toml")
    check_command(study_folder, "bundle", "branch.toml", "-o", "branch.zip")
    shutil.rmtree(folder)
    shutil.rmtree(study_folder / "results")
    assert "4 of 4 bit-identical" in check_command(study_folder, "verify", "branch.zip", "--trust")


def test_a_wrapper_that_would_import_the_work_tree_is_refused(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", STUDY.replace("python train.py", "python {study}/train.py"))
    error = refuse_command(folder, "run", "branch.toml")
    assert "train.py" in error
    assert "{study}" in error


def test_git_does_not_find_the_users_repository_from_a_checkout(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", STUDY.split("[design")[0])
    code = 'import subprocess\nassert subprocess.run(["git", "status"], capture_output=True).returncode\n'
    commit_files(folder, "asks git", {"helper.py": f"{code}BASE = 1.0\n"})
    check_command(folder, "run", "branch.toml", "--seeds", "0")


FUNCTION = """
import random

BASE = 1.0


def train(seed, rate=0.1):
    return {"loss": BASE + rate + random.Random(seed).gauss(0, 0.05)}
"""
FROM_PYTHON = """
from unrolled import declare_study, run
from model import train

if __name__ == "__main__":
    metrics = [{"name": "loss", "delta": 0.05}]
    arms = {"commit": ["better"]}
    keys = {"metrics": metrics, "seeds": 2}
    study = declare_study("mine", train, baseline={"commit": "main"}, one_at_a_time=arms, **keys)
    print(run(study).results.groupby("arm").loss.mean().to_dict())
"""


def run_from_python(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the project's script, which imports the function, and return its output."""
    monkeypatch.syspath_prepend(folder)
    try:
        return run_script(folder, "mine.py")
    finally:
        for name in ("model", "base"):
            sys.modules.pop(name, None)


def test_a_function_is_imported_from_each_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_project(tmp_path / "project")
    commit_files(folder, "a function", {"model.py": FUNCTION, "mine.py": FROM_PYTHON})
    commit_branch(folder, "better", {"model.py": FUNCTION.replace("1.0", "0.5")})
    output = run_from_python(folder, monkeypatch)
    losses = json.loads(output.splitlines()[-1].replace("'", '"'))
    assert losses["main"] == pytest.approx(losses["better"] + 0.5)


def test_a_computed_import_of_what_does_not_count_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = FUNCTION.replace("BASE = 1.0", "BASE = __import__('importlib').import_module('ba' + 'se').X")
    files = {"model.py": code, "base.py": "X = 1.0\n", "mine.py": FROM_PYTHON}
    edits = {"model.py": code + "# edited\n", "base.py": "X = 2.0\n"}
    folder = make_pair(tmp_path / "project", PAIR_STUDY, files, edits)
    with pytest.raises(BadInput) as excinfo:
        run_from_python(folder, monkeypatch)
    assert "base.py" in str(excinfo.value) and "`code`" in str(excinfo.value)


FINDS_ITS_ROOT = """
import json, pathlib, random, sys
root = next(path for path in pathlib.Path(__file__).resolve().parents if (path / ".git").exists())
sys.path.insert(0, str(root / "lib"))
import constants
print(json.dumps({"loss": constants.BASE + random.Random(sys.argv[1]).gauss(0, 0.05)}))
"""


def test_a_search_for_the_repositorys_top_finds_the_own_commit(tmp_path: Path) -> None:
    files = {"sub/train.py": FINDS_ITS_ROOT, "lib/constants.py": "BASE = 1.0\n"}
    study = PAIR_STUDY.replace("train.py {seed} {rate}", "sub/train.py {seed} {rate}")
    folder = make_pair(tmp_path / "project", study, files, {"lib/constants.py": "BASE = 0.5\n"})
    run_and_require_gain(folder)


@pytest.mark.slow
def test_a_program_that_runs_the_work_tree_unseen_fails_its_trials(
    tmp_path: Path,
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    python = tmp_path / "env" / "bin" / "python"
    files = {
        "src/package/__init__.py": "",
        "src/package/__main__.py": TRAIN.replace("import helper", "class helper: BASE = 1.0").replace(
            'float(open("data/bias.txt").read())', "0"
        ),
    }
    script = {"run.sh": f"{python} -m package $1 $2\n"}
    study = PAIR_STUDY.replace("python train.py", "bash run.sh")
    folder = make_pair(tmp_path / "project", study, {**files, **script}, {"src/package/new.py": ""})
    (packages,) = (tmp_path / "env").glob("lib/*/site-packages")
    (packages / "package.pth").write_text(f"{folder}/src\n")
    assert "src/package/__main__.py of the work tree" in refuse_command(
        folder, "run", "branch.toml", "--seeds", "0-1"
    )


@pytest.mark.parametrize("command", ["{python} {folder}/train.py", "bash -c 'cd {folder}; true'"])
def test_a_command_line_that_names_the_work_tree_is_refused(tmp_path: Path, command: str) -> None:
    folder = tmp_path / "project"
    command = command.format(python=sys.executable, folder=folder)
    study = PAIR_STUDY.replace('run = "python train.py', f'run = "{command}')
    make_pair(folder, study, {"train.py": "print(1)\n"}, {"train.py": "print(2)\n"})
    error = refuse_command(folder, "plan", "branch.toml")
    assert "commit" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("command", ["{python} -I train.py", "env -i {python} train.py"])
def test_a_python_that_ignores_the_path_fails_its_trials(tmp_path: Path, command: str) -> None:
    study = PAIR_STUDY.replace('run = "python train.py', f'run = "{command.format(python=sys.executable)}')
    folder = make_pair(tmp_path / "project", study, {"train.py": "print(1)\n"}, {"train.py": "print(2)\n"})
    assert "PYTHONPATH" in refuse_command(folder, "run", "branch.toml", "--seeds", "0-1")


def test_scripts_that_set_the_path_or_import_uncounted_modules_fail(
    tmp_path: Path,
) -> None:
    script = f"PYTHONPATH=. {sys.executable} train.py $1\n"
    files = {"train.py": "print(1)\n", "run.sh": script}
    study = PAIR_STUDY.replace("python train.py {seed} {rate}", "bash run.sh {seed} {rate}")
    folder = make_pair(tmp_path / "script", study, files, {"train.py": "print(2)\n"})
    assert "PYTHONPATH" in refuse_command(folder, "run", "branch.toml", "--seeds", "0-1")
    program = 'import sys\nsys.path.insert(0, sys.path[0] + "/..")\nimport lib\nprint(lib.X)\n'
    study = PAIR_STUDY.replace("[program]", '[program]\nfolder = "sub"').replace(" {rate}", " {rate}", 1)
    files = {"sub/train.py": program, "lib.py": "X = 1\n"}
    folder = make_pair(tmp_path / "module", study, files, {"sub/train.py": program + "# edited\n"})
    error = refuse_command(folder, "run", "branch.toml", "--seeds", "0-1")
    assert "lib.py" in error
    assert "`code`" in error
