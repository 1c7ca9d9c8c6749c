"""Studies whose arms are commits: what is an arm, what counts, and that the repository stays as it is."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers import command_without_mlflow
from tests.helpers.command_call import check_command, read_trial_counts, refuse_command, run_command
from tests.helpers.command_process import make_environment
from tests.helpers.commit_project import (
    PAIR_STUDY,
    STUDY,
    TRAIN,
    make_pair,
    make_project,
    read_trials,
)
from tests.helpers.git_repository import commit_files, git, hash_files

FinishedRun = tuple[Path, dict[str, str], dict[str, str]]

pytestmark = pytest.mark.usefixtures("skip_mlflow_in_module")


@pytest.fixture(scope="module")
def finished_run(
    tmp_path_factory: pytest.TempPathFactory,
) -> FinishedRun:
    """Run a study; return its folder, and the repository's state before and after."""
    folder = make_project(tmp_path_factory.mktemp("commits") / "project")
    state = hash_files(folder / ".git")
    process = run_command(folder, "run", "branch.toml")
    assert process.returncode == 1, "the commit that is broken failed"
    return folder, state, hash_files(folder / ".git")


def test_commits_are_arms_and_the_repository_stays_as_it_was(
    finished_run: FinishedRun,
) -> None:
    folder, state, new_state = finished_run
    changed_files = git(folder, "status", "--porcelain").splitlines()
    assert state == new_state
    assert all(line.startswith("?? ml") for line in changed_files), "MLflow's files alone"
    losses = read_trials(folder).groupby("arm").loss.mean()
    assert losses["main"] == losses["comment"] == pytest.approx(losses["better"] + 0.5)
    assert "words" not in losses, "its files are those of main"
    assert not (folder / ".git" / "worktrees").exists()


def test_a_commit_whose_program_fails_is_a_failed_arm_beside_others(
    finished_run: FinishedRun,
) -> None:
    folder = finished_run[0]
    rows = read_trials(folder)
    assert set(rows[rows.arm == "broken"].status) == {"failed"}
    assert set(rows[rows.arm != "broken"].status) == {"done"}
    assert rows[rows.arm == "broken"].reason.str.contains("no such thing").all()


def test_page_and_plan_tell_each_commit_and_which_have_the_same_files(
    finished_run: FinishedRun,
) -> None:
    folder = finished_run[0]
    page = (folder / "out" / "branch" / "index.html").read_text()
    output = check_command(folder, "plan", "branch.toml")
    for name in ("main", "better"):
        mark = git(folder, "rev-parse", "--short=10", name)
        assert mark in page and mark in output
    assert "words has the same files" in page
    assert "also: words" in output and "a change: better" in output


def test_a_commit_that_failed_is_trained_again_only_with_retry(
    finished_run: FinishedRun, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(finished_run[0], tmp_path / "copy", symlinks=True))
    assert read_trial_counts(run_command(folder, "run", "branch.toml").stdout).trained == 0
    retried = read_trial_counts(run_command(folder, "run", "branch.toml", "--retry").stdout)
    assert (retried.trained, retried.failed) == (0, (read_trials(folder).arm == "broken").sum())


def test_a_rebase_a_reworded_message_and_edited_documents_train_nothing_again(
    finished_run: FinishedRun, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(finished_run[0], tmp_path / "copy", symlinks=True))
    (folder / "README.md").write_text("Yet other words.\n")
    git(folder, "commit", "-qam", "documents")
    git(folder, "checkout", "-q", "better")
    git(folder, "rebase", "-q", "main")
    git(folder, "commit", "-q", "--amend", "-m", "reworded")
    git(folder, "checkout", "-q", "main")
    output = run_command(folder, "run", "branch.toml", "--set", "commit=better").stdout
    counts = read_trial_counts(output)
    assert (counts.trained, counts.stored) == (0, 6)


def test_the_work_tree_is_an_arm_with_edits_without_outputs(
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
    assert read_trial_counts(output).trained == 0, "results and pages are no new files of the work tree"


def test_commits_are_crossed_with_other_settings_and_given_by_set(tmp_path: Path) -> None:
    grid = STUDY.split("[design")[0].replace('commit = "main"\n', "") + "[design.grid]\nrate = [0.1, 0.2]\n"
    folder = make_project(tmp_path / "project", grid + 'commit = ["main", "better"]\n')
    output = check_command(folder, "plan", "branch.toml")
    assert "worktree" in output
    assert "rate 0.2, better" in output
    (folder / "plain.toml").write_text(STUDY.split("[design")[0].replace('commit = "main"\n', ""))
    git(folder, "branch", "1e5", "better")  # a name that Python reads as a number
    output = check_command(folder, "plan", "plain.toml", "--set", "commit=1e5,main")
    assert "commit=1e5" in output and "also: main" in output


def test_a_file_that_git_ignores_and_the_program_opens_is_named(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", STUDY.replace('data = ["data"]\n', ""))
    error = refuse_command(folder, "run", "branch.toml")
    assert "data/bias.txt" in error
    assert "`data`" in error


def test_data_outside_git_count_and_are_seen_only_where_named(tmp_path: Path) -> None:
    study = STUDY.split("[design")[0] + '[design.one_at_a_time]\ncommit = ["better"]\n'
    folder = make_project(tmp_path / "project", study)
    check_command(folder, "run", "branch.toml", "--seeds", "0-1")
    (folder / "data" / "bias.txt").write_text("1.25")
    assert read_trial_counts(check_command(folder, "run", "branch.toml", "--seeds", "0-1")).trained == 4
    (folder / "other.toml").write_text(study.replace('data = ["data"]\n', "").replace('"branch"', '"other"'))
    error = refuse_command(folder, "run", "other.toml", "--seeds", "0-1")
    assert "data/bias.txt" in error, "the links of another study are not there"


MISTAKES = {
    'commit = "mian"': ("main", 'commit = "main"'),
    "commit = 3": ("string", 'commit = "main"'),
    'commit = ""': ("string", 'commit = "main"'),
    'run = "python other.py {seed} {rate}"': ("other.py", 'run = "python train.py {seed} {rate}"'),
    'run = "python train.py {seed} {rate} {commit}"': ("{commit}", 'run = "python train.py {seed} {rate}"'),
    'repository = "elsewhere"\ndata = ["data"]': ("elsewhere", 'data = ["data"]'),
    'folder = "sub"\ndata = ["data"]': ("sub", 'data = ["data"]'),
}


def test_a_mistake_is_told_in_one_line_and_nothing_is_trained(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project")
    (folder / "elsewhere").mkdir()
    for mistake, (name, correct) in MISTAKES.items():
        (folder / "branch.toml").write_text(STUDY.replace(correct, mistake, 1))
        error = refuse_command(folder, "run", "branch.toml")
        assert name in error, mistake
        assert error.count("\n") == 1, mistake
    assert not (folder / "results" / "trials").exists()


def test_a_branch_that_has_moved_is_verified_as_it_was_planned(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", STUDY.split("[design")[0].replace('"main"', '"better"'))
    check_command(folder, "run", "branch.toml", "--seeds", "0-1", "--set", "rate=0.1,0.2")
    git(folder, "checkout", "-q", "better")
    commit_files(folder, "further", {"helper.py": "BASE = 0.1\n"})
    git(folder, "checkout", "-q", "main")
    assert "of 4 bit-identical" in check_command(folder, "verify", "branch.toml")


@pytest.mark.slow
def test_kills_at_any_moment_change_neither_repository_nor_results(
    finished_run: FinishedRun, tmp_path: Path
) -> None:
    folder = make_project(tmp_path / "project")
    state = hash_files(folder / ".git")
    for seconds in (0.6, 1.0, 1.6):
        driver = subprocess.Popen(
            [sys.executable, command_without_mlflow.__file__, "run", "branch.toml"],
            cwd=folder,
            env=make_environment(folder),
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
    assert drafts == []


def test_hidden_files_links_and_executable_bits_count(tmp_path: Path) -> None:
    files = {
        "train.py": TRAIN,
        ".params.json": "{}",
        "a/x.txt": "1",
        "b/x.txt": "2",
        "run.sh": "true\n",
        "docs/x.md": "words",
    }
    folder = make_pair(tmp_path / "project", PAIR_STUDY, files, {".params.json": "[]"})
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
