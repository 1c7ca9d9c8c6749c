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
from called import call, succeed
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


def commit(folder: Path, message: str, files: dict[str, str]) -> None:
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
    commit(folder, "first", {**files, "branch.toml": study})
    for branch, edits in EDITS.items():
        git(folder, "checkout", "-qb", branch, "main")
        commit(folder, f"a change: {branch}", edits)
    git(folder, "checkout", "-q", "main")
    (folder / "data").mkdir()
    (folder / "data" / "bias.txt").write_text("0.25")
    return folder


def told(folder: Path, *words: str) -> tuple[int, str, str]:
    """A command's exit code, and what it prints."""
    done = call(folder, *words)
    return done.returncode, done.stdout, done.stderr


def table(folder: Path, name: str = "branch") -> pd.DataFrame:
    return pd.read_csv(folder / "out" / name / "trials.csv")


def run_and_require_gain(folder: Path) -> None:
    """Run the study: each commit has to train its own files, by which `better` is better."""
    succeed(folder, "run", "branch.toml", "--seeds", "0-1")
    losses = table(folder).groupby("arm").loss.mean()
    assert losses["main"] == pytest.approx(losses["better"] + 0.5)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, str], dict[str, str]]:
    """A study that was run, what that printed, and the repository's state before and after."""
    folder = make_project(tmp_path_factory.mktemp("commits") / "project")
    before = hash_files(folder / ".git")
    code, printed, _ = told(folder, "run", "branch.toml")
    assert code == 1, "the commit that is broken failed"
    return folder, printed, before, hash_files(folder / ".git")


def test_commits_are_arms_and_the_repository_stays_as_it_was(
    ran: tuple[Path, str, dict[str, str], dict[str, str]],
) -> None:
    folder, printed, before, after = ran
    new = git(folder, "status", "--porcelain").splitlines()
    assert before == after and all(line.startswith("?? ml") for line in new), "MLflow's files alone"
    losses = table(folder).groupby("arm").loss.mean()
    assert losses["main"] == losses["comment"] == pytest.approx(losses["better"] + 0.5)
    assert "words" not in losses, "its files are those of main"
    assert "comment equals main" in printed
    assert not (folder / ".git" / "worktrees").exists()


def test_a_commit_whose_program_fails_is_an_arm_that_failed_and_the_others_go_on(
    ran: tuple[Path, str, dict[str, str], dict[str, str]],
) -> None:
    folder, _, _, _ = ran
    rows = table(folder)
    assert set(rows[rows.arm == "broken"].status) == {"failed"}
    assert set(rows[rows.arm != "broken"].status) == {"done"}
    assert rows[rows.arm == "broken"].reason.str.contains("no such thing").all()


def test_page_and_plan_tell_each_commit_and_which_have_the_same_files(
    ran: tuple[Path, str, dict[str, str], dict[str, str]],
) -> None:
    folder, _, _, _ = ran
    page = (folder / "out" / "branch" / "index.html").read_text()
    planned = succeed(folder, "plan", "branch.toml")
    for name in ("main", "better"):
        mark = git(folder, "rev-parse", "--short=10", name)
        assert mark in page and mark in planned
    assert "“words” have the same files" in page or "words" in page
    assert "also: words" in planned and "a change: better" in planned


def test_a_rebase_a_reworded_message_and_edited_documents_train_nothing_again(
    ran: tuple[Path, str, dict[str, str], dict[str, str]], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(ran[0], tmp_path / "copy", symlinks=True))
    (folder / "README.md").write_text("Yet other words.\n")
    git(folder, "commit", "-qam", "documents")
    git(folder, "checkout", "-q", "better")
    git(folder, "rebase", "-q", "main")
    git(folder, "commit", "-q", "--amend", "-m", "reworded")
    git(folder, "checkout", "-q", "main")
    _, printed, _ = told(folder, "run", "branch.toml", "--set", "commit=better")
    assert "0 trained" in printed and "5 already there" in printed


def test_the_work_tree_is_an_arm_with_its_edits_and_new_files_and_without_what_is_written_there(
    tmp_path: Path,
) -> None:
    folder = make_project(
        tmp_path / "project", STUDY.replace('commit = ["better", "words', 'commit = ["HEAD", "words')
    )
    (folder / "branch.toml").write_text(
        STUDY.replace('"main"', '"worktree"').split("[design")[0]
        + '[design.one_at_a_time]\ncommit = ["main"]\n'
    )
    assert "also: main" in succeed(folder, "plan", "branch.toml"), "a clean work tree is HEAD"
    (folder / "constants.py").write_text("BASE = 2.0\n")
    (folder / "helper.py").write_text("from constants import BASE\n")
    succeed(folder, "run", "branch.toml", "--seeds", "0-1")
    losses = table(folder).groupby("arm").loss.mean()
    assert losses["worktree"] == pytest.approx(losses["main"] + 1.0)
    printed = succeed(folder, "run", "branch.toml", "--seeds", "0-1")
    assert "0 trained" in printed, "results and pages are no new files of the work tree"


def test_commits_are_crossed_with_other_settings_and_given_by_set(tmp_path: Path) -> None:
    grid = STUDY.split("[design")[0].replace('commit = "main"\n', "") + "[design.grid]\nrate = [0.1, 0.2]\n"
    folder = make_project(tmp_path / "project", grid + 'commit = ["main", "better"]\n')
    planned = succeed(folder, "plan", "branch.toml")
    assert "worktree" in planned and "better, rate 0.2" in planned.replace(
        "rate 0.2, better", "better, rate 0.2"
    )
    (folder / "plain.toml").write_text(STUDY.split("[design")[0].replace('commit = "main"\n', ""))
    git(folder, "branch", "1e5", "better")  # a name that Python reads as a number
    planned = succeed(folder, "plan", "plain.toml", "--set", "commit=1e5,main")
    assert "commit=1e5" in planned and "also: main" in planned


def test_a_file_that_git_ignores_and_the_program_opens_is_named(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", STUDY.replace('data = ["data"]\n', ""))
    code, _, error = told(folder, "run", "branch.toml")
    assert code == 2 and "data/bias.txt" in error and "`data`" in error


def test_data_that_git_does_not_have_count_and_are_seen_only_where_they_are_named(tmp_path: Path) -> None:
    study = STUDY.split("[design")[0] + '[design.one_at_a_time]\ncommit = ["better"]\n'
    folder = make_project(tmp_path / "project", study)
    succeed(folder, "run", "branch.toml", "--seeds", "0-1")
    (folder / "data" / "bias.txt").write_text("1.25")
    assert "4 trained" in succeed(folder, "run", "branch.toml", "--seeds", "0-1")
    (folder / "other.toml").write_text(study.replace('data = ["data"]\n', "").replace('"branch"', '"other"'))
    code, _, error = told(folder, "run", "other.toml", "--seeds", "0-1")
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
    named, correct = MISTAKES[mistake]
    folder = make_project(tmp_path / "project", STUDY.replace(correct, mistake, 1))
    (folder / "elsewhere").mkdir()
    code, _, error = told(folder, "run", "branch.toml")
    assert code == 2 and named in error and error.count("\n") == 1
    assert not (folder / "results" / "trials").exists()


@pytest.mark.slow
def test_the_checkout_runs_where_the_package_is_installed_editable_from_the_work_tree(tmp_path: Path) -> None:
    study = STUDY.split("[design")[0] + '[design.one_at_a_time]\ncommit = ["better"]\n'
    study = study.replace("python train.py", f"{tmp_path}/env/bin/python -m package.train")
    folder = make_project(tmp_path / "project", study)
    commit(
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
    commit(folder, "better", {"src/package/helper.py": "BASE = 0.5\n"})
    git(folder, "checkout", "-q", "main")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    (packages,) = (tmp_path / "env").glob("lib/*/site-packages")
    (packages / "package.pth").write_text(f"{folder}/src\n")  # as an editable install does
    run_and_require_gain(folder)
    succeed(folder, "bundle", "branch.toml", "-o", "branch.zip")
    moved = tmp_path / "reviewer"
    moved.mkdir()
    shutil.copy(folder / "branch.zip", moved)
    (packages / "package.pth").unlink()
    assert "0 faults" in told(moved, "verify", "branch.zip")[1]


WRAPPER = """
import json, subprocess, sys

printed = subprocess.check_output([sys.executable, "train.py", *sys.argv[1:]])
print(json.dumps({"loss": json.loads(printed)["loss"]}))
"""


def test_a_wrapper_in_the_studys_folder_runs_each_commit_and_bundles_hold_the_files_of_each(
    tmp_path: Path,
) -> None:
    folder = make_project(tmp_path / "project")
    mine = tmp_path / "mine"
    mine.mkdir()
    study = STUDY.replace("python train.py", "python {study}/wrap.py").split("[design")[0]
    study = study.replace("[program]", '[program]\nrepository = "../project"')
    (mine / "branch.toml").write_text(study + '[design.one_at_a_time]\ncommit = ["better"]\n')
    (mine / "wrap.py").write_text(WRAPPER)
    run_and_require_gain(mine)
    assert "4 of 4 bit-identical" in succeed(mine, "verify", "branch.toml")
    succeed(mine, "bundle", "branch.toml", "-o", "branch.zip")
    shutil.rmtree(folder)
    shutil.rmtree(mine / "results")
    assert "4 of 4 bit-identical" in succeed(mine, "verify", "branch.zip", "--trust")
    (mine / "wrap.py").write_text(WRAPPER + "# edited\n")


def test_a_branch_that_has_moved_is_verified_as_it_was_planned(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", STUDY.split("[design")[0].replace('"main"', '"better"'))
    succeed(folder, "run", "branch.toml", "--seeds", "0-1", "--set", "rate=0.1,0.2")
    git(folder, "checkout", "-q", "better")
    commit(folder, "further", {"helper.py": "BASE = 0.1\n"})
    git(folder, "checkout", "-q", "main")
    assert "of 4 bit-identical" in succeed(folder, "verify", "branch.toml")


def test_a_wrapper_that_would_import_the_work_tree_is_refused(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", STUDY.replace("python train.py", "python {study}/train.py"))
    code, _, error = told(folder, "run", "branch.toml")
    assert code == 2 and "train.py" in error and "{study}" in error


def test_git_does_not_find_the_users_repository_from_a_checkout(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", STUDY.split("[design")[0])
    asks = 'import subprocess\nassert subprocess.run(["git", "status"], capture_output=True).returncode\n'
    commit(folder, "asks git", {"helper.py": f"{asks}BASE = 1.0\n"})
    succeed(folder, "run", "branch.toml", "--seeds", "0")


@pytest.mark.slow
def test_kills_at_any_moment_leave_the_repository_as_it_was_and_the_same_results_in_the_end(
    ran: tuple[Path, str, dict[str, str], dict[str, str]], tmp_path: Path
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
    final = call(folder, "run", "branch.toml")
    assert final.returncode == 1, final.stdout + final.stderr
    assert hash_files(folder / ".git") == state
    assert git(folder, "fsck") == "" and git(folder, "worktree", "list").count("\n") == 0
    columns = ["arm", "seed", "status", "loss"]
    mine, theirs = (
        table(each)[columns].sort_values(columns[:2], ignore_index=True) for each in (folder, ran[0])
    )
    pd.testing.assert_frame_equal(mine, theirs)
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
    commit(folder, "a function", {"model.py": FUNCTION, "mine.py": FROM_PYTHON})
    git(folder, "checkout", "-qB", "better")
    commit(folder, "better", {"model.py": FUNCTION.replace("1.0", "0.5")})
    git(folder, "checkout", "-q", "main")
    words, variables = [sys.executable, "mine.py"], environment(folder)
    printed = subprocess.check_output(words, cwd=folder, env=variables, text=True, timeout=300)
    losses = json.loads(printed.splitlines()[-1].replace("'", '"'))
    assert losses["main"] == pytest.approx(losses["better"] + 0.5)


def test_a_function_that_imports_by_a_computed_name_what_does_not_count_fails(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    computed = FUNCTION.replace("BASE = 1.0", "BASE = __import__('importlib').import_module('ba' + 'se').X")
    commit(folder, "first", {"model.py": computed, "base.py": "X = 1.0\n", "mine.py": FROM_PYTHON})
    git(folder, "checkout", "-qb", "better")
    commit(folder, "better", {"model.py": computed + "# edited\n", "base.py": "X = 2.0\n"})
    git(folder, "checkout", "-q", "main")
    words, variables = [sys.executable, "mine.py"], environment(folder)
    done = subprocess.run(
        words, cwd=folder, env=variables, text=True, timeout=300, check=False, capture_output=True
    )
    assert "base.py" in done.stderr and "`code`" in done.stderr


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
    commit(folder, "first", {**files, "branch.toml": study})
    git(folder, "checkout", "-qb", "better")
    commit(folder, "better", edits)
    git(folder, "checkout", "-q", "main")
    return folder


def test_what_searches_upwards_for_the_top_of_a_repository_finds_its_own_commit(tmp_path: Path) -> None:
    files = {"sub/train.py": FINDS_ITS_ROOT, "lib/constants.py": "BASE = 1.0\n"}
    study = TWO.replace("train.py {seed} {rate}", "sub/train.py {seed} {rate}")
    folder = make_pair(tmp_path / "project", study, files, {"lib/constants.py": "BASE = 0.5\n"})
    run_and_require_gain(folder)


@pytest.mark.slow
def test_a_program_that_runs_the_work_tree_by_a_way_that_no_check_sees_fails_its_trials(
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
    code, _, error = told(folder, "run", "branch.toml", "--seeds", "0-1")
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
    code, _, error = told(folder, "plan", "branch.toml")
    assert code == 2 and "commit" in error and error.count("\n") == 1


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
    commit(folder, "a link", {})
    for branch in ("link", "bit", "words"):
        git(folder, "branch", branch)
    git(folder, "checkout", "-q", "link")
    (folder / "conf").unlink()
    (folder / "conf").symlink_to("b")
    commit(folder, "another link", {})
    git(folder, "checkout", "-q", "bit")
    git(folder, "update-index", "--chmod=+x", "run.sh")
    git(folder, "commit", "-qm", "a bit")
    git(folder, "checkout", "-qf", "words")
    commit(folder, "documents", {"docs/x.md": "other words"})
    git(folder, "checkout", "-qf", "main")
    planned = succeed(folder, "plan", "branch.toml", "--set", "commit=better,link,bit,words")
    assert planned.count("also:") == 1 and "also: words" in planned


def test_a_script_that_sets_the_path_anew_and_a_module_that_does_not_count_fail_their_trials(
    tmp_path: Path,
) -> None:
    script = f"PYTHONPATH=. {sys.executable} train.py $1\n"
    files = {"train.py": "print(1)\n", "run.sh": script}
    study = TWO.replace("python train.py {seed} {rate}", "bash run.sh {seed} {rate}")
    folder = make_pair(tmp_path / "script", study, files, {"train.py": "print(2)\n"})
    code, _, error = told(folder, "run", "branch.toml", "--seeds", "0-1")
    assert code == 2 and "PYTHONPATH" in error
    above = 'import sys\nsys.path.insert(0, sys.path[0] + "/..")\nimport lib\nprint(lib.X)\n'
    study = TWO.replace("[program]", '[program]\nfolder = "sub"').replace(" {rate}", " {rate}", 1)
    files = {"sub/train.py": above, "lib.py": "X = 1\n"}
    folder = make_pair(tmp_path / "module", study, files, {"sub/train.py": above + "# edited\n"})
    code, _, error = told(folder, "run", "branch.toml", "--seeds", "0-1")
    assert code == 2 and "lib.py" in error and "`code`" in error
