"""`unrolled gate`: a change against its base, by the base's own rules, seed by seed, fails closed."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.helpers.command_call import read_trial_counts, run_command
from tests.helpers.commit_project import count_trials
from tests.helpers.git_repository import begin_repository, commit_change, git

pytestmark = pytest.mark.usefixtures("skip_mlflow")

TRAIN = """
import json, random, sys
import evaluate, model

seed, rate = int(sys.argv[1]), float(sys.argv[2])
noise = random.Random(f"{seed} {model.STREAM}").gauss(0, 0.02)
print(json.dumps({"loss": evaluate.score(model.BASE * (1 + model.SLOPE * rate) + noise)}))
"""
MODEL = {"BASE": "1.0", "SLOPE": "0.01", "STREAM": "0"}
STUDY = """
name = "mine"
question = "Did a change make it worse?"
metrics = [{ name = "loss", delta = 0.1 }]
looks = [5, 8]
[program]
run = "python train.py {seed} {rate}"
frozen = ["evaluate.py"]
[baseline]
rate = 0.1
"""


def model_source(**values: str) -> str:
    """Return the text of model.py with these values."""
    return "".join(f"{name} = {value}\n" for name, value in {**MODEL, **values}.items())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "train.py": TRAIN,
        "evaluate.py": "def score(x):\n    return x\n",
        "model.py": model_source(),
        "README.md": "Words.\n",
        "unrolled.toml": STUDY,
        ".gitignore": "mlflow.db\n",
    }
    return begin_repository(tmp_path / "project", files)


def run_gate(folder: Path, *words: str, base: str = "main", **variables: str) -> tuple[int, str]:
    """Run a gate and return its exit code and output."""
    process = run_command(folder, "gate", *(["--base", base] if base else []), *words, **variables)
    return process.returncode, process.stdout + process.stderr


def test_a_comment_passes_at_the_first_look_and_a_document_without_training(project: Path) -> None:
    commit_change(project, "document", README__md="Other words.\n")
    code, output = run_gate(project, "--markdown", "summary.md")
    assert code == 0
    assert "nothing is trained" in output
    assert count_trials(project) == 0
    assert "nothing is trained" in (project / "summary.md").read_text()
    commit_change(project, "comment", model__py=model_source() + "# a comment\n")
    code, output = run_gate(project, "--markdown", "summary.md")
    assert code == 0
    assert "equal on every seed" in output
    assert "after 5 seeds" in output
    assert "| loss | head | less than δ worse |" in (project / "summary.md").read_text()
    page = (project / "out" / "mine-gate" / "index.html").read_text()
    assert "Passed after 5 seeds" in page and git(project, "rev-parse", "--short=10", "main") in page


def test_a_gate_passes_harmless_changes_and_trains_the_base_once(
    project: Path,
) -> None:
    commit_change(project, "harmless", model__py=model_source(STREAM="1"))
    code, output = run_gate(project)
    bound = re.search(r"loss: less than δ worse: .* on average, at worst (\S+) higher", output)
    assert code == 0
    assert bound
    assert 0 < float(bound[1]) < 0.1
    commit_change(project, "worse", model__py=model_source(BASE="1.2", STREAM="2"))
    code, output = run_gate(project)
    assert code == 3 and "more than δ worse" in output
    assert read_trial_counts(output).stored >= 5, "those of the base"


def test_a_change_weakens_neither_delta_nor_the_files_that_judge_it(project: Path) -> None:
    commit_change(
        project,
        "cheats",
        model__py=model_source(BASE="1.2", STREAM="1"),
        evaluate__py="def score(x):\n    return x / 2\n",
        unrolled__toml=STUDY.replace("0.1 }", "9.0 }"),
    )
    code, output = run_gate(project)
    assert code == 3 and "more than δ worse" in output
    assert "evaluate.py: the base's" in output and "unrolled.toml: the base's" in output


def test_a_deleted_frozen_file_is_put_back_and_named(project: Path) -> None:
    git(project, "checkout", "-q", "-B", "deletes", "main")
    git(project, "rm", "-q", "evaluate.py")
    git(project, "commit", "-qm", "deletes")
    code, output = run_gate(project)
    assert code == 0 and "evaluate.py (deleted): the base's" in output


def test_a_head_that_fails_or_diverges_alone_fails_the_gate_at_once(project: Path) -> None:
    commit_change(project, "broken", model__py="raise SystemExit('no such thing')\n")
    code, output = run_gate(project)
    assert code == 3
    assert "seed 0 failed" in output
    assert count_trials(project) <= 4
    commit_change(project, "diverges", model__py=model_source(BASE="float('inf')"))
    code, output = run_gate(project)
    assert code == 3 and "diverged at the head alone" in output


def test_neither_a_failing_base_nor_an_open_gate_passes(project: Path) -> None:
    commit_change(project, "main2", model__py="import nothing_like_it\n")
    commit_change(project, "mended", model__py=model_source(STREAM="1"))
    git(project, "rebase", "-q", "--onto", "main2", "main", "-X", "theirs")
    code, output = run_gate(project, base="main2")
    assert code == 3 and "failed at the base" in output
    commit_change(project, "noisy", model__py=model_source(STREAM="1", BASE="1.09"))
    code, output = run_gate(project)
    assert code == 3 and "not shown to be less than δ worse" in output


def test_a_study_outside_of_the_repository_is_no_part_of_the_change(project: Path) -> None:
    study = STUDY.replace("[program]", '[program]\nrepository = "project"')
    (project.parent / "study.toml").write_text(study)
    commit_change(project, "worse", model__py=model_source(BASE="1.3", STREAM="1"))
    code, output = run_gate(project, "../study.toml")
    assert code == 3 and "more than δ worse" in output


def test_every_level_of_the_other_settings_has_to_pass(project: Path) -> None:
    (project / "unrolled.toml").write_text(STUDY + "[design.one_at_a_time]\nrate = [1.0]\n")
    git(project, "commit", "-qam", "two levels")
    commit_change(project, "document", README__md="Other words.\n")
    code, output = run_gate(project)
    assert code == 0 and "nothing is trained" in output
    commit_change(project, "worse", model__py=model_source(SLOPE="0.3", STREAM="1"))
    code, output = run_gate(project)
    assert code == 3 and "loss of head, rate 1.0: more than δ worse" in output
    assert "loss of head: less than δ worse" in output


def test_both_sides_are_trained_anew_where_a_time_is_judged(project: Path) -> None:
    metrics = '[{ name = "loss", delta = 0.1 }, { name = "seconds", delta = "900%" }]'
    (project / "unrolled.toml").write_text(STUDY.replace('[{ name = "loss", delta = 0.1 }]', metrics))
    git(project, "commit", "-qam", "times")
    for number, branch in enumerate(("one", "two"), 1):
        commit_change(project, branch, model__py=model_source(STREAM=str(number)))
        code, output = run_gate(project)
        assert code == 0 and "δ 900 %" in output
        assert count_trials(project) >= 10 * number
    assert run_gate(project)[1].count(" 0 trained") == 1, "the same gate again"


def test_what_a_gate_costs_is_told_and_its_rules_are_no_options(project: Path) -> None:
    commit_change(project, "harmless", model__py=model_source(STREAM="1"))
    code, output = run_gate(project, "--dry-run")
    assert code == 0
    assert "if unchanged" in output
    assert "if worse by δ" in output
    assert count_trials(project) == 0
    for words in (["--seeds", "0-4"], ["--set", "rate=1"], ["--to-the-end"]):
        code, output = run_gate(project, *words)
        assert code == 2 and words[0] in output


def test_bad_input_is_told_in_a_line(project: Path) -> None:
    commit_change(project, "harmless", model__py=model_source(STREAM="1"))
    for words, name in {
        ("--head", "main"): "own base",
        ("--head", "nothing"): "nothing",
        ("other.toml",): "other.toml",
    }.items():
        code, output = run_gate(project, *words)
        assert code == 2
        assert name in output
        assert output.count("\n") == 1
    code, output = run_gate(project, base="")
    assert code == 2 and "--base" in output
    git(project, "checkout", "-q", "main")
    git(project, "rm", "-q", "unrolled.toml")
    git(project, "commit", "-qm", "without a study")
    commit_change(project, "adds", unrolled__toml=STUDY)
    code, output = run_gate(project)
    assert code == 2 and "base" in output


def test_in_ci_a_detached_merge_commit_needs_the_history_and_says_so(project: Path, tmp_path: Path) -> None:
    commit_change(project, "feature", model__py=model_source(STREAM="1"))
    git(project, "checkout", "-q", "main")
    commit_change(project, "merged", README__md="Elsewhere.\n")
    git(project, "branch", "-f", "main", "merged")
    git(project, "checkout", "-q", "--detach", "main")
    git(project, "merge", "-q", "--no-ff", "feature", "-m", "merge of a pull request")
    git(project, "update-ref", "refs/pull/1/merge", "HEAD")
    clone = tmp_path / "clone"
    clone.mkdir()
    git(clone, "init", "-q")
    git(clone, "remote", "add", "origin", f"file://{project}")
    git(clone, "fetch", "-q", "--depth", "1", "origin", "+refs/pull/1/merge:refs/remotes/pull/1/merge")
    git(clone, "checkout", "-q", "--detach", "refs/remotes/pull/1/merge")
    code, output = run_gate(clone, base="", GITHUB_BASE_REF="main")
    assert code == 2 and "fetch-depth: 0" in output
    git(clone, "fetch", "-q", "--unshallow", "origin", "+refs/heads/*:refs/remotes/origin/*")
    code, output = run_gate(clone, base="", GITHUB_BASE_REF="main")
    assert code == 0 and "merge of a pull request" in output
    git(clone, "remote", "set-head", "origin", "main")
    code, output = run_gate(clone, base="", GITHUB_BASE_REF="release")
    assert code == 2 and "--base" in output, "another branch is not what the change is for"
    code, output = run_gate(clone, base="", GITHUB_BASE_REF="main", GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
    assert code == 2 and "safe.directory" in output


def test_the_work_tree_is_judged_where_it_is_named(project: Path) -> None:
    (project / "model.py").write_text(model_source(BASE="1.3", STREAM="1"))
    code, output = run_gate(project, "--head", "worktree")
    assert code == 3 and "more than δ worse" in output
    shutil.rmtree(project / "results")
    (summary,) = (project / "out").glob("mine-gate*/summary.json")
    assert json.loads(summary.read_text())["answer"][0].startswith("Failed: ")


def test_edits_that_are_not_committed_are_not_judged_and_named(project: Path) -> None:
    commit_change(project, "change", model__py=model_source(STREAM="1"))
    (project / "model.py").write_text(model_source(BASE="1.3", STREAM="1"))
    code, output = run_gate(project)
    assert code == 0
    assert "model.py: without the edits" in output
    git(project, "checkout", "-q", "model.py")
    assert "without the edits" not in run_gate(project)[1]


def test_a_head_neither_links_a_study_nor_shadows_frozen_files(project: Path) -> None:
    (project / "easy.toml").write_text(STUDY.replace("0.1 }", "99.0 }"))
    git(project, "add", "easy.toml")
    git(project, "commit", "-qm", "another study")
    commit_change(project, "links", model__py=model_source(BASE="1.3", STREAM="1"))
    (project / "unrolled.toml").unlink()
    (project / "unrolled.toml").symlink_to("easy.toml")
    (project / "evaluate").mkdir()
    (project / "evaluate" / "__init__.py").write_text("def score(x):\n    return x / 2\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "cheats")
    code, output = run_gate(project)
    assert code == 3 and "more than δ worse" in output
    assert "evaluate/__init__.py (added): the base's" in output
    assert "unrolled.toml: the base's" in output


def test_data_that_only_the_head_has_are_no_data_of_the_gate(project: Path) -> None:
    source = 'import pathlib\nSTREAM = len([*pathlib.Path("data").iterdir()])\nBASE = 1.0\nSLOPE = 0.01\n'
    (project / "data").mkdir()
    (project / "data" / "a.txt").write_text("a")
    (project / "model.py").write_text(source)
    (project / "unrolled.toml").write_text(STUDY.replace("frozen", 'data = ["data"]\nfrozen'))
    git(project, "add", "-A")
    git(project, "commit", "-qm", "data")
    commit_change(project, "more", model__py=source + "# a comment\n")
    (project / "data" / "b.txt").write_text("b")
    git(project, "add", "data")
    git(project, "commit", "-qm", "more data")
    code, output = run_gate(project)
    assert code == 0
    assert "equal on every seed" in output
    assert "data/b.txt (added): the base's" in output
