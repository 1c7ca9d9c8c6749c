"""Studies whose arms are commits: what runs, what counts, what is told, and that the repository stays."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from as_typed import COMMAND, environment
from called import check_command, run_command
from git_repository import git, hash_files

TRAIN = """
import json, random, sys
import helper

seed, rate = int(sys.argv[1]), float(sys.argv[2])
bias = float(open("data/bias.txt").read())
print(json.dumps({"loss": helper.BASE + rate + bias + random.Random(seed).gauss(0, 0.05)}))
"""
STUDY = """
name = "branch"
question = "Is the branch better?"
metrics = [{ name = "loss", delta = 0.05 }]
seeds = 5
[program]
run = "python train.py {seed} {rate}"
data = ["data"]
[baseline]
commit = "main"
rate = 0.1
[design.one_at_a_time]
commit = ["better", "words", "comment", "broken"]
"""
EDITS = {
    "better": {"helper.py": "BASE = 0.5\n"},
    "words": {"README.md": "Other words.\n"},
    "comment": {"helper.py": "BASE = 1.0  # as ever\n"},
    "broken": {"helper.py": "raise SystemExit('no such thing')\n"},
}


def commit_files(folder: Path, message: str, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)


def make_project(folder: Path, study: str = STUDY) -> Path:
    """A repository with a study in it, a branch for each of EDITS, and data that git ignores."""
    folder.mkdir(exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    files = {"train.py": TRAIN, "helper.py": "BASE = 1.0\n", "README.md": "Words.\n", ".gitignore": "data/\n"}
    commit_files(folder, "first", {**files, "branch.toml": study})
    for branch, edits in EDITS.items():
        git(folder, "checkout", "-qb", branch, "main")
        commit_files(folder, f"a change: {branch}", edits)
    git(folder, "checkout", "-q", "main")
    (folder / "data").mkdir()
    (folder / "data" / "bias.txt").write_text("0.25")
    return folder


def call_command(folder: Path, *words: str) -> tuple[int, str, str]:
    """A command's exit code, and what it prints."""
    process = run_command(folder, *words)
    return process.returncode, process.stdout, process.stderr


def read_trials(folder: Path, name: str = "branch") -> pd.DataFrame:
    return pd.read_csv(folder / "out" / name / "trials.csv")


def run_and_require_gain(folder: Path) -> None:
    """Run the study: each commit has to train its own files, by which `better` is better."""
    check_command(folder, "run", "branch.toml", "--seeds", "0-1")
    losses = read_trials(folder).groupby("arm").loss.mean()
    assert losses["main"] == pytest.approx(losses["better"] + 0.5)


@pytest.fixture(scope="module")
def finished_run(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, str, dict[str, str], dict[str, str]]:
    """A study that was run, what that printed, and the repository's state before and after."""
    folder = make_project(tmp_path_factory.mktemp("commits") / "project")
    state = hash_files(folder / ".git")
    code, output, _ = call_command(folder, "run", "branch.toml")
    assert code == 1, "the commit that is broken failed"
    return folder, output, state, hash_files(folder / ".git")


def test_commits_are_arms_and_the_repository_stays_as_it_was(
    finished_run: tuple[Path, str, dict[str, str], dict[str, str]],
) -> None:
    folder, output, state, new_state = finished_run
    changed_files = git(folder, "status", "--porcelain").splitlines()
    assert state == new_state
    assert all(line.startswith("?? ml") for line in changed_files), "MLflow's files alone"
    losses = read_trials(folder).groupby("arm").loss.mean()
    assert losses["main"] == losses["comment"] == pytest.approx(losses["better"] + 0.5)
    assert "words" not in losses, "its files are those of main"
    assert "comment equals main" in output
    assert not (folder / ".git" / "worktrees").exists()


def test_a_commit_whose_program_fails_is_an_arm_that_failed_and_the_others_go_on(
    finished_run: tuple[Path, str, dict[str, str], dict[str, str]],
) -> None:
    folder, _, _, _ = finished_run
    rows = read_trials(folder)
    assert set(rows[rows.arm == "broken"].status) == {"failed"}
    assert set(rows[rows.arm != "broken"].status) == {"done"}
    assert rows[rows.arm == "broken"].reason.str.contains("no such thing").all()


def test_page_and_plan_tell_each_commit_and_which_have_the_same_files(
    finished_run: tuple[Path, str, dict[str, str], dict[str, str]],
) -> None:
    folder, _, _, _ = finished_run
    page = (folder / "out" / "branch" / "index.html").read_text()
    output = check_command(folder, "plan", "branch.toml")
    for name in ("main", "better"):
        mark = git(folder, "rev-parse", "--short=10", name)
        assert mark in page and mark in output
    assert "“words” have the same files" in page or "words" in page
    assert "also: words" in output and "a change: better" in output


def test_a_rebase_a_reworded_message_and_edited_documents_train_nothing_again(
    finished_run: tuple[Path, str, dict[str, str], dict[str, str]], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(finished_run[0], tmp_path / "copy", symlinks=True))
    (folder / "README.md").write_text("Yet other words.\n")
    git(folder, "commit", "-qam", "documents")
    git(folder, "checkout", "-q", "better")
    git(folder, "rebase", "-q", "main")
    git(folder, "commit", "-q", "--amend", "-m", "reworded")
    git(folder, "checkout", "-q", "main")
    _, output, _ = call_command(folder, "run", "branch.toml", "--set", "commit=better")
    assert "0 trained" in output and "5 already there" in output


def test_the_work_tree_is_an_arm_with_edits_and_new_files_but_no_outputs(
    tmp_path: Path,
) -> None:
    folder = make_project(
        tmp_path / "project", STUDY.replace('commit = ["better", "words', 'commit = ["HEAD", "words')
    )
    (folder / "branch.toml").write_text(
        STUDY.replace('"main"', '"worktree"').split("[design")[0]
        + '[design.one_at_a_time]\ncommit = ["main"]\n'
    )
    assert "also: main" in check_command(folder, "plan", "branch.toml"), "a clean work tree is HEAD"
    (folder / "constants.py").write_text("BASE = 2.0\n")
    (folder / "helper.py").write_text("from constants import BASE\n")
    check_command(folder, "run", "branch.toml", "--seeds", "0-1")
    losses = read_trials(folder).groupby("arm").loss.mean()
    assert losses["worktree"] == pytest.approx(losses["main"] + 1.0)
    output = check_command(folder, "run", "branch.toml", "--seeds", "0-1")
    assert "0 trained" in output, "results and pages are no new files of the work tree"


def test_commits_are_crossed_with_other_settings_and_given_by_set(tmp_path: Path) -> None:
    grid = STUDY.split("[design")[0].replace('commit = "main"\n', "") + "[design.grid]\nrate = [0.1, 0.2]\n"
    folder = make_project(tmp_path / "project", grid + 'commit = ["main", "better"]\n')
    output = check_command(folder, "plan", "branch.toml")
    assert "worktree" in output
    assert "better, rate 0.2" in output.replace("rate 0.2, better", "better, rate 0.2")
    (folder / "plain.toml").write_text(STUDY.split("[design")[0].replace('commit = "main"\n', ""))
    git(folder, "branch", "1e5", "better")  # a name that Python reads as a number
    output = check_command(folder, "plan", "plain.toml", "--set", "commit=1e5,main")
    assert "commit=1e5" in output and "also: main" in output


def test_a_file_that_git_ignores_and_the_program_opens_is_named(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", STUDY.replace('data = ["data"]\n', ""))
    code, _, error = call_command(folder, "run", "branch.toml")
    assert code == 2
    assert "data/bias.txt" in error
    assert "`data`" in error


def test_data_that_git_does_not_have_count_and_are_seen_only_where_they_are_named(tmp_path: Path) -> None:
    study = STUDY.split("[design")[0] + '[design.one_at_a_time]\ncommit = ["better"]\n'
    folder = make_project(tmp_path / "project", study)
    check_command(folder, "run", "branch.toml", "--seeds", "0-1")
    (folder / "data" / "bias.txt").write_text("1.25")
    assert "4 trained" in check_command(folder, "run", "branch.toml", "--seeds", "0-1")
    (folder / "other.toml").write_text(study.replace('data = ["data"]\n', "").replace('"branch"', '"other"'))
    code, _, error = call_command(folder, "run", "other.toml", "--seeds", "0-1")
    assert code == 2 and "data/bias.txt" in error, "the links of another study are not there"


MISTAKES = {
    'commit = "mian"': ("main", 'commit = "main"'),
    "commit = 3": ("string", 'commit = "main"'),
    'commit = ""': ("string", 'commit = "main"'),
    'run = "python other.py {seed} {rate}"': ("other.py", 'run = "python train.py {seed} {rate}"'),
    'run = "python train.py {seed} {rate} {commit}"': ("{commit}", 'run = "python train.py {seed} {rate}"'),
    'repository = "elsewhere"\ndata = ["data"]': ("elsewhere", 'data = ["data"]'),
    'folder = "sub"\ndata = ["data"]': ("sub", 'data = ["data"]'),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_line_and_nothing_is_trained(tmp_path: Path, mistake: str) -> None:
    name, correct = MISTAKES[mistake]
    folder = make_project(tmp_path / "project", STUDY.replace(correct, mistake, 1))
    (folder / "elsewhere").mkdir()
    code, _, error = call_command(folder, "run", "branch.toml")
    assert code == 2
    assert name in error
    assert error.count("\n") == 1
    assert not (folder / "results" / "trials").exists()


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
    git(folder, "checkout", "-qB", "better")
    commit_files(folder, "better", {"src/package/helper.py": "BASE = 0.5\n"})
    git(folder, "checkout", "-q", "main")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    (packages,) = (tmp_path / "env").glob("lib/*/site-packages")
    (packages / "package.pth").write_text(f"{folder}/src\n")  # as an editable install does
    run_and_require_gain(folder)
    check_command(folder, "bundle", "branch.toml", "-o", "branch.zip")
    reviewer = tmp_path / "reviewer"
    reviewer.mkdir()
    shutil.copy(folder / "branch.zip", reviewer)
    (packages / "package.pth").unlink()
    assert "0 faults" in call_command(reviewer, "verify", "branch.zip")[1]


WRAPPER = """
import json, subprocess, sys

printed = subprocess.check_output([sys.executable, "train.py", *sys.argv[1:]])
print(json.dumps({"loss": json.loads(printed)["loss"]}))
"""


def test_a_wrapper_runs_each_commit_and_a_bundle_holds_the_files_of_each(
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
    (study_folder / "wrap.py").write_text(WRAPPER + "# edited\n")


def test_a_branch_that_has_moved_is_verified_as_it_was_planned(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", STUDY.split("[design")[0].replace('"main"', '"better"'))
    check_command(folder, "run", "branch.toml", "--seeds", "0-1", "--set", "rate=0.1,0.2")
    git(folder, "checkout", "-q", "better")
    commit_files(folder, "further", {"helper.py": "BASE = 0.1\n"})
    git(folder, "checkout", "-q", "main")
    assert "of 4 bit-identical" in check_command(folder, "verify", "branch.toml")


def test_a_wrapper_that_would_import_the_work_tree_is_refused(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", STUDY.replace("python train.py", "python {study}/train.py"))
    code, _, error = call_command(folder, "run", "branch.toml")
    assert code == 2
    assert "train.py" in error
    assert "{study}" in error


def test_git_does_not_find_the_users_repository_from_a_checkout(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", STUDY.split("[design")[0])
    code = 'import subprocess\nassert subprocess.run(["git", "status"], capture_output=True).returncode\n'
    commit_files(folder, "asks git", {"helper.py": f"{code}BASE = 1.0\n"})
    check_command(folder, "run", "branch.toml", "--seeds", "0")


@pytest.mark.slow
def test_kills_at_any_moment_change_neither_repository_nor_results(
    finished_run: tuple[Path, str, dict[str, str], dict[str, str]], tmp_path: Path
) -> None:
    folder = make_project(tmp_path / "project")
    state = hash_files(folder / ".git")
    for seconds in (0.4, 0.8, 1.1, 1.4, 2.0):
        driver = subprocess.Popen(
            [COMMAND, "run", "branch.toml"],
            cwd=folder,
            env=environment(folder),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(seconds)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    process = run_command(folder, "run", "branch.toml")
    assert process.returncode == 1, process.stdout + process.stderr
    assert hash_files(folder / ".git") == state
    assert git(folder, "fsck") == "" and git(folder, "worktree", "list").count("\n") == 0
    columns = ["arm", "seed", "status", "loss"]
    trials, expected = (
        read_trials(project)[columns].sort_values(columns[:2], ignore_index=True)
        for project in (folder, finished_run[0])
    )
    pd.testing.assert_frame_equal(trials, expected)
    drafts = [path for path in (folder / "results" / "commits").iterdir() if path.name.startswith(".")]
    assert json.dumps([path.name for path in drafts]) == "[]"


FUNCTION = """
import random

BASE = 1.0


def train(seed, rate=0.1):
    return {"loss": BASE + rate + random.Random(seed).gauss(0, 0.05)}
"""
FROM_PYTHON = """
from unrolled import Study, run
from model import train

if __name__ == "__main__":
    metrics = [{"name": "loss", "delta": 0.05}]
    arms = {"commit": ["better"]}
    study = Study("mine", train, baseline={"commit": "main"}, one_at_a_time=arms, metrics=metrics, seeds=2)
    print(run(study).results.groupby("arm").loss.mean().to_dict())
"""


def test_a_function_is_imported_from_each_commit(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project")
    commit_files(folder, "a function", {"model.py": FUNCTION, "mine.py": FROM_PYTHON})
    git(folder, "checkout", "-qB", "better")
    commit_files(folder, "better", {"model.py": FUNCTION.replace("1.0", "0.5")})
    git(folder, "checkout", "-q", "main")
    words = [sys.executable, "mine.py"]
    variables = environment(folder)
    output = subprocess.check_output(words, cwd=folder, env=variables, text=True, timeout=300)
    losses = json.loads(output.splitlines()[-1].replace("'", '"'))
    assert losses["main"] == pytest.approx(losses["better"] + 0.5)


def test_a_function_that_imports_by_a_computed_name_what_does_not_count_fails(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    code = FUNCTION.replace("BASE = 1.0", "BASE = __import__('importlib').import_module('ba' + 'se').X")
    commit_files(folder, "first", {"model.py": code, "base.py": "X = 1.0\n", "mine.py": FROM_PYTHON})
    git(folder, "checkout", "-qb", "better")
    commit_files(folder, "better", {"model.py": code + "# edited\n", "base.py": "X = 2.0\n"})
    git(folder, "checkout", "-q", "main")
    words = [sys.executable, "mine.py"]
    variables = environment(folder)
    process = subprocess.run(
        words, cwd=folder, env=variables, text=True, timeout=300, check=False, capture_output=True
    )
    assert "base.py" in process.stderr and "`code`" in process.stderr


FINDS_ITS_ROOT = """
import json, pathlib, random, sys
root = next(path for path in pathlib.Path(__file__).resolve().parents if (path / ".git").exists())
sys.path.insert(0, str(root / "lib"))
import constants
print(json.dumps({"loss": constants.BASE + random.Random(sys.argv[1]).gauss(0, 0.05)}))
"""
TWO = (
    STUDY.split("[design")[0].replace('data = ["data"]\n', "")
    + '[design.one_at_a_time]\ncommit = ["better"]\n'
)


def make_pair(folder: Path, study: str, files: dict[str, str], edits: dict[str, str]) -> Path:
    """A repository with these files on main, and edits of them on the branch `better`."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    commit_files(folder, "first", {**files, "branch.toml": study})
    git(folder, "checkout", "-qb", "better")
    commit_files(folder, "better", edits)
    git(folder, "checkout", "-q", "main")
    return folder


def test_what_searches_upwards_for_the_top_of_a_repository_finds_its_own_commit(tmp_path: Path) -> None:
    files = {"sub/train.py": FINDS_ITS_ROOT, "lib/constants.py": "BASE = 1.0\n"}
    study = TWO.replace("train.py {seed} {rate}", "sub/train.py {seed} {rate}")
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
    study = TWO.replace("python train.py", "bash run.sh")
    folder = make_pair(tmp_path / "project", study, {**files, **script}, {"src/package/new.py": ""})
    (packages,) = (tmp_path / "env").glob("lib/*/site-packages")
    (packages / "package.pth").write_text(f"{folder}/src\n")
    code, _, error = call_command(folder, "run", "branch.toml", "--seeds", "0-1")
    assert code == 2 and "src/package/__main__.py of the work tree" in error


@pytest.mark.parametrize(
    "command",
    [
        "{python} -I train.py",
        "env -i {python} train.py",
        "{python} {folder}/train.py",
        "bash -c 'cd {folder}; true'",
    ],
)
def test_a_command_line_that_names_the_work_tree_or_hides_the_path_is_refused(
    tmp_path: Path, command: str
) -> None:
    folder = tmp_path / "project"
    command = command.format(python=sys.executable, folder=folder)
    study = TWO.replace('run = "python train.py', f'run = "{command}')
    make_pair(folder, study, {"train.py": "print(1)\n"}, {"train.py": "print(2)\n"})
    code, _, error = call_command(folder, "plan", "branch.toml")
    assert code == 2
    assert "commit" in error
    assert error.count("\n") == 1


def test_hidden_files_links_and_executable_bits_count(tmp_path: Path) -> None:
    files = {
        "train.py": TRAIN,
        ".params.json": "{}",
        "a/x.txt": "1",
        "b/x.txt": "2",
        "run.sh": "true\n",
        "docs/x.md": "words",
    }
    folder = make_pair(tmp_path / "project", TWO, files, {".params.json": "[]"})
    (folder / "conf").symlink_to("a")
    commit_files(folder, "a link", {})
    for branch in ("link", "bit", "words"):
        git(folder, "branch", branch)
    git(folder, "checkout", "-q", "link")
    (folder / "conf").unlink()
    (folder / "conf").symlink_to("b")
    commit_files(folder, "another link", {})
    git(folder, "checkout", "-q", "bit")
    git(folder, "update-index", "--chmod=+x", "run.sh")
    git(folder, "commit", "-qm", "a bit")
    git(folder, "checkout", "-qf", "words")
    commit_files(folder, "documents", {"docs/x.md": "other words"})
    git(folder, "checkout", "-qf", "main")
    output = check_command(folder, "plan", "branch.toml", "--set", "commit=better,link,bit,words")
    assert output.count("also:") == 1 and "also: words" in output


def test_a_script_that_sets_the_path_and_an_uncounted_module_fail_their_trials(
    tmp_path: Path,
) -> None:
    script = f"PYTHONPATH=. {sys.executable} train.py $1\n"
    files = {"train.py": "print(1)\n", "run.sh": script}
    study = TWO.replace("python train.py {seed} {rate}", "bash run.sh {seed} {rate}")
    folder = make_pair(tmp_path / "script", study, files, {"train.py": "print(2)\n"})
    code, _, error = call_command(folder, "run", "branch.toml", "--seeds", "0-1")
    assert code == 2 and "PYTHONPATH" in error
    program = 'import sys\nsys.path.insert(0, sys.path[0] + "/..")\nimport lib\nprint(lib.X)\n'
    study = TWO.replace("[program]", '[program]\nfolder = "sub"').replace(" {rate}", " {rate}", 1)
    files = {"sub/train.py": program, "lib.py": "X = 1\n"}
    folder = make_pair(tmp_path / "module", study, files, {"sub/train.py": program + "# edited\n"})
    code, _, error = call_command(folder, "run", "branch.toml", "--seeds", "0-1")
    assert code == 2
    assert "lib.py" in error
    assert "`code`" in error
