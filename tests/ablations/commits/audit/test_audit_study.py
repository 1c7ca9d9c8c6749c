"""`unrolled audit`: which changes of a branch help, on a branch of which the truth is known."""

import json
from pathlib import Path

import pytest

from tests.ablations.commits.audit.branch_project import MODEL, STUDY, TRAIN, Branch
from tests.helpers.command_call import refuse_command, run_command
from tests.helpers.git_repository import git, hash_files
from unrolled.ablations.ledger import Ledger

pytestmark = pytest.mark.usefixtures("skip_mlflow")


@pytest.fixture
def branch(tmp_path: Path) -> Branch:
    return Branch(tmp_path / "project")


def test_planted_truths_are_found_and_the_repository_stays_as_it_was(branch: Branch) -> None:
    branch.add_part("first", -0.3, "helps by three deltas")
    branch.add_part("second", -0.25, "helps by two deltas")
    branch.add_part("third", 0.25, "hurts by two deltas")
    branch.add_part("fourth", 0.0, "adds a part of no effect")
    branch.write("README.md", "Other words.\n")
    branch.commit("edits a document")
    branch.replace("model.py", "STREAM = 0", "STREAM = 1")
    branch.commit("other random numbers")
    branch.add_part("fifth", 0.3, "hurts by three deltas")
    branch.add_part("sixth", -0.25, "helps by more than two deltas")
    branch.replace("train.py", "    text = sys.argv[1]\n    return int(text)", "    return int(sys.argv[1])")
    branch.commit("rewrites a function")
    branch.replace("train.py", "import model\n", "import helper\nimport model\n")
    branch.replace("train.py", "total = sum", "total = helper.OFFSET + sum")
    branch.write("helper.py", "OFFSET = 0.0\n")
    branch.commit("adds a module")
    branch.replace("train.py", "total = helper.OFFSET + sum", "total = helper.OFFSET - 0.4 + sum")
    branch.commit("uses the module")
    before = hash_files(branch.folder / ".git")
    code, changes, answer = branch.audit("--markdown", "audit.md")
    effects = {subject: change["effect"] for subject, change in changes.items()}
    assert code == 0
    assert effects == {
        "helps by three deltas": "helps",
        "helps by two deltas": "helps",
        "hurts by two deltas": "hurts",
        "adds a part of no effect": "changes no number",
        "edits a document": "changes no number",
        "other random numbers": "changes nothing that matters",
        "hurts by three deltas": "hurts",
        "helps by more than two deltas": "helps",
        "rewrites a function": "changes no number",
        "adds a module": "changes no number",  # beside the tip without what uses it
        "uses the module": "helps",
    }
    assert answer.startswith(
        "Of 11 changes the tip is shown to need 4; 2 hurt it; 5 change nothing that matters"
    )
    (companion,) = changes["adds a module"]["taken_back_with"]
    assert companion.endswith("uses the module")
    assert changes["helps by three deltas"]["difference"] == pytest.approx(0.3, abs=0.02)
    assert hash_files(branch.folder / ".git") == before
    assert answer in branch.read("audit.md")
    page = branch.read("out/mine-audit/index.html")
    assert answer in page and "helps by three deltas" in page


def test_forward_each_commit_is_compared_with_the_one_before(branch: Branch) -> None:
    branch.add_part("first", -0.3, "helps")
    branch.write("README.md", "Other words.\n")
    branch.commit("edits a document")
    branch.add_part("second", 0.3, "hurts")
    code, changes, answer = branch.audit("--forward")
    assert code == 0
    assert {subject: change["effect"] for subject, change in changes.items()} == {
        "helps": "helps",
        "edits a document": "changes no number",
        "hurts": "hurts",
    }
    assert answer.startswith("Of 3 changes 1 is shown to help; 1 hurts; 1 changes nothing")


@pytest.mark.parametrize(
    ("flags", "undone"),
    [
        ((), ("more seeds and its revert", "changes no number")),
        (("--forward",), ("more seeds", "not judged")),
    ],
)
def test_edits_that_all_arms_have_are_not_judged_and_are_told(
    branch: Branch, flags: tuple[str, ...], undone: tuple[str, str]
) -> None:
    branch.write("unrolled.toml", STUDY.replace("[baseline]", 'data = ["*.txt"]\n[baseline]'))
    branch.commit("names its data")
    branch.write("numbers.txt", "1\n")
    branch.commit("adds data")
    branch.add_part("first", -0.3, "helps")
    branch.write("numbers.txt", "2\n")
    branch.add_part("second", 0.3, "hurts, with other data")
    branch.replace("unrolled.toml", "seeds = 5", "seeds = 6")
    reverted = branch.commit("more seeds")
    git(branch.folder, "revert", "--no-edit", reverted)
    _, changes, _ = branch.audit(*flags)
    facts = {subject: (change["effect"], change["remark"]) for subject, change in changes.items()}
    assert facts["names its data"] == ("not judged", "all arms have its edits of unrolled.toml")
    assert facts["adds data"] == ("not judged", "all arms have its edits of numbers.txt")
    assert facts["helps"] == ("helps", "")
    assert facts["hurts, with other data"] == ("hurts", "all arms have its edits of numbers.txt")
    subject, effect = undone
    assert facts[subject][0] == effect


def test_a_merge_is_one_change_as_are_commit_and_revert(branch: Branch) -> None:
    git(branch.folder, "checkout", "-qb", "side")
    branch.add_part("first", -0.2, "one half")
    branch.add_part("second", -0.2, "other half")
    git(branch.folder, "checkout", "-q", "branch")
    git(branch.folder, "merge", "-q", "--no-ff", "-m", "merges two halves", "side")
    reverted = branch.add_part("third", 0.4, "hurts")
    git(branch.folder, "revert", "--no-edit", reverted)
    code, changes, _ = branch.audit()
    assert code == 0
    assert {subject: change["effect"] for subject, change in changes.items()} == {
        "merges two halves": "helps",
        "hurts and its revert": "changes no number",
    }
    assert changes["merges two halves"]["difference"] == pytest.approx(0.4, abs=0.02)


def test_a_needed_change_is_taken_back_with_what_uses_it(branch: Branch) -> None:
    branch.write("helper.py", "GAIN = -0.3\n")
    branch.commit("adds a module")
    branch.replace("train.py", "import model", "import helper\nimport model")
    branch.replace("train.py", "total = sum", "total = helper.GAIN + sum")
    branch.commit("uses the module")
    code, changes, _ = branch.audit()
    assert code == 0
    assert {subject: change["effect"] for subject, change in changes.items()} == {
        "adds a module": "changes no number",
        "uses the module": "helps",
    }
    (companion,) = changes["adds a module"]["taken_back_with"]
    assert companion.endswith("uses the module")


def test_conflicts_outside_the_code_give_no_change_the_effect_of_another(
    branch: Branch,
) -> None:
    branch.replace("unrolled.toml", "[baseline]", 'frozen = ["frozen.py"]\n[baseline]')
    branch.write("frozen.py", "LEVEL = 1\n")
    branch.commit("a frozen file")
    git(branch.folder, "branch", "-f", "main")
    effects = {"first": 0.3, "second": -0.4, "third": 0.0, "fourth": -0.3}
    for place, effect in effects.items():
        branch.write(
            "CHANGELOG.md", f"- {place}\n" + (branch.read("CHANGELOG.md") if place != "first" else "")
        )
        branch.write("frozen.py", f"LEVEL = '{place}'\n")
        branch.add_part(place, effect, f"part {place}")
    code, changes, _ = branch.audit()
    assert code == 0
    assert {subject: change["effect"] for subject, change in changes.items()} == {
        "part first": "hurts",
        "part second": "helps",
        "part third": "changes no number",
        "part fourth": "helps",
    }
    assert not any(change["taken_back_with"] for change in changes.values())


def test_a_change_needed_by_a_later_one_is_judged_without_that_one(
    branch: Branch,
) -> None:
    branch.add_part("first", 0.3, "hurts")
    branch.replace("model.py", "PARTS['first'] = 0.3", "PARTS['first'] = -0.3")
    branch.commit("mends it")
    code, changes, _ = branch.audit()
    assert code == 0
    assert {subject: change["effect"] for subject, change in changes.items()} == {
        "hurts": "hurts",
        "mends it": "helps",
    }


def test_one_commit_that_reverts_two_is_one_change_with_both(branch: Branch) -> None:
    first = branch.add_part("first", 0.4, "one")
    second = branch.add_part("second", -0.4, "two")
    git(branch.folder, "revert", "--no-commit", second, first)
    git(
        branch.folder,
        "commit",
        "-qm",
        f"Revert two\n\nThis reverts commit {second}.\nThis reverts commit {first}.",
    )
    code, changes, _ = branch.audit()
    assert code == 0
    assert [(name, change["effect"]) for name, change in changes.items()] == [
        ("one and 2 reverts", "changes no number")
    ]


def test_a_change_that_was_reverted_and_came_again_is_credited_once(branch: Branch) -> None:
    first = branch.add_part("first", -0.4, "helps")
    git(branch.folder, "revert", "--no-edit", first)
    git(branch.folder, "cherry-pick", first)
    process = run_command(branch.folder, "audit", "main..branch", "--json")
    effects = [change["effect"] for change in json.loads(process.stdout)["changes"]]
    assert effects == ["changes no number", "helps"]


def test_attributes_of_the_repository_merge_nothing_otherwise(branch: Branch) -> None:
    branch.write(".gitattributes", "model.py merge=union\n*.py text eol=crlf\n")
    branch.commit("attributes")
    git(branch.folder, "branch", "-f", "main")
    branch.add_part("first", -0.4, "helps")
    branch.replace("model.py", "PARTS['first'] = -0.4", "PARTS['first'] = -0.8")
    branch.commit("helps again")
    _, changes, _ = branch.audit()
    assert {subject: change["effect"] for subject, change in changes.items()} == {
        "helps": "helps",
        "helps again": "helps",
    }


def test_a_function_that_several_later_changes_use_is_judged_without_them(branch: Branch) -> None:
    branch.replace("train.py", "def measure_loss", "def scale(x):\n    return x\n\n\ndef measure_loss")
    branch.commit("adds a function")
    for old, new in (("return 2.0 + total", "return 2.0 + scale(total)"), ("+ noise", "+ scale(noise)")):
        branch.replace("train.py", old, new)
        branch.commit(f"uses it for {new[-6:]}")
    _, changes, _ = branch.audit()
    assert [change["effect"] for change in changes.values()] == ["changes no number"] * 3
    assert len(changes["adds a function"]["taken_back_with"]) == 2


def test_a_tip_that_fails_is_refused_in_a_line(branch: Branch) -> None:
    branch.replace("train.py", "import model", "import model\nassert sys.argv[1] != '0'")
    git(branch.folder, "branch", "-f", "main")
    branch.commit("fails on seed 0")
    branch.add_part("first", -0.4, "helps")
    errors = refuse_command(branch.folder, "audit", "main~0..branch")
    assert "tip" in errors.splitlines()[-1] and "Traceback" not in errors


def test_a_commit_after_one_that_cannot_run_names_its_base(branch: Branch) -> None:
    text = branch.read("train.py")
    git(branch.folder, "rm", "-q", "train.py")
    branch.commit("takes the program away")
    branch.write("train.py", text)
    branch.add_part("first", -0.3, "brings it back")
    code, changes, _ = branch.audit("--forward")
    assert code == 0
    assert changes["takes the program away"]["effect"] == "not judged"
    assert changes["brings it back"]["effect"] == "helps"
    assert changes["brings it back"]["remark"].startswith("compared with base")


def test_seeds_that_fail_without_a_change_are_counted_in_its_row(branch: Branch) -> None:
    branch.replace("train.py", "def read_seed", "assert model.SAFE or sys.argv[1] != '3'\n\n\ndef read_seed")
    branch.replace("model.py", "STREAM = 0", "STREAM = 0\nSAFE = True")
    branch.commit("checks a value")
    branch.replace("model.py", "# eighth", "SAFE = False")
    git(branch.folder, "branch", "-f", "main")
    branch.commit("a value that fails on a seed")
    branch.replace("model.py", "SAFE = False", "SAFE = bool(1)")
    branch.commit("mends it")
    _, changes, _ = branch.audit()
    assert "1 seed failed" in changes["mends it"]["remark"]


def test_a_change_that_the_program_needs_is_named_with_the_reason(branch: Branch) -> None:
    git(branch.folder, "checkout", "-q", "--orphan", "fresh")
    git(branch.folder, "rm", "-rqf", ".")
    branch.write("README.md", "Words.\n")
    root = branch.commit("nothing yet")
    branch.write("train.py", TRAIN)
    branch.write("model.py", MODEL)
    branch.write("unrolled.toml", STUDY)
    branch.commit("adds the program")
    branch.add_part("first", -0.3, "helps")
    process = run_command(branch.folder, "audit", f"{root}..fresh", "--json")
    changes = json.loads(process.stdout)["changes"]
    assert [change["effect"] for change in changes] == ["not judged", "helps"]
    assert changes[0]["remark"]


def test_commits_of_documents_train_nothing(branch: Branch) -> None:
    branch.write("README.md", "Other words.\n")
    branch.commit("edits a document")
    code, changes, _ = branch.audit()
    assert code == 0
    assert [change["effect"] for change in changes.values()] == ["changes no number"]
    assert not Ledger(branch.folder / "results").find_result_files()


@pytest.mark.parametrize(
    "text", ["main", "main...branch", "..branch", "main..worktree", "branch..main", "main..brunch"]
)
def test_what_is_no_range_of_commits_is_refused_in_a_line(branch: Branch, text: str) -> None:
    branch.add_part("first", -0.3, "helps")
    errors = refuse_command(branch.folder, "audit", text)
    assert len(errors.splitlines()) == 1


def test_a_repository_without_a_study_is_told_so(branch: Branch) -> None:
    git(branch.folder, "rm", "-q", "unrolled.toml")
    branch.commit("no study")
    assert "unrolled.toml" in refuse_command(branch.folder, "audit", "main..branch")


def test_seeds_and_settings_are_changed_for_all_and_no_arm_is_added(branch: Branch) -> None:
    branch.add_part("first", -0.3, "helps")
    assert "--set commit" in refuse_command(branch.folder, "audit", "main..branch", "--set", "commit=main")
    process = run_command(branch.folder, "audit", "main..branch", "--seeds", "3-4", "--dry-run")
    assert process.returncode == 0
    assert "2 arms, looks after 2 seeds" in process.stdout
    assert not Ledger(branch.folder / "results").find_result_files()
