"""`new program FILE --for SCRIPT`: flags, seed and metrics are read from scripts of many styles."""

from pathlib import Path

import pytest

from tests.ablations.drafting.script_drafts import write_draft
from tests.helpers.bad_input import raises_bad_input
from tests.helpers.command_call import check_command, read_trial_counts, refuse_command
from unrolled.ablations.drafting.draft import draft_study
from unrolled.ablations.study.loading import load_study

pytestmark = pytest.mark.usefixtures("skip_mlflow")

JSON = """
import argparse, json, random
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--depth", type=int, default=2)
parser.add_argument("--tie", action="store_true")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
random.seed(args.seed)
print(json.dumps({"epoch": 1, "train_loss": random.random(), "valid_loss": random.random() + args.lr}))
"""


def test_the_study_of_a_script_that_prints_json_runs_as_drafted(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "it's {x}.py").write_text(JSON + "print('ran', file=open('runs', 'a'))\n")
    check_command(tmp_path, "new", "program", "studies.toml", "--for", "sub/it's {x}.py")
    assert not (tmp_path / "runs").exists(), "it is read and not run"
    check_command(tmp_path, "plan", "studies.toml")
    assert read_trial_counts(check_command(tmp_path, "run", "studies.toml", "--seeds", "0-1")).trained == 4
    study = load_study(tmp_path / "studies.toml")
    assert "--seed={seed}" in study.file.program.run
    assert study.rules.metric_names == ["valid_loss"]
    assert dict(study.baseline.make_unidentified_trial().flat_settings()) == {
        "lr": 0.1,
        "depth": 2,
        "tie": False,
    }


def test_a_study_elsewhere_names_its_script_from_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "train.py").write_text(JSON)
    check_command(tmp_path, "new", "program", "studies/mine.toml", "--for", "train.py")
    assert "python ../train.py " in load_study(tmp_path / "studies" / "mine.toml").file.program.run
    check_command(tmp_path / "studies", "plan", "mine.toml")


@pytest.mark.parametrize(
    ("split", "is_warned_of"), [("train_test_split(x, random_state=args.seed)", True), ("x", False)]
)
def test_a_script_that_splits_data_by_seed_is_warned_of(
    tmp_path: Path, split: str, is_warned_of: bool
) -> None:
    source = "import argparse\nparser = argparse.ArgumentParser()\n"
    source += f"parser.add_argument('--seed', type=int)\nargs = parser.parse_args()\nparts = {split}\n"
    _, remarks = write_draft(tmp_path, source)
    assert ("random_state" in remarks) is is_warned_of


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("nowhere.py", None, "No such file"),
        ("broken.py", b"def f(:\n", "line 1"),
        ("nul.py", b"x = '\0'\n", "null bytes"),
    ],
)
def test_a_script_that_cannot_be_read_is_refused(
    tmp_path: Path, name: str, content: bytes | None, named: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with raises_bad_input(named, place=tmp_path / name):
        draft_study("mine", tmp_path / name, tmp_path)


def test_a_script_of_another_language_has_a_plain_study(tmp_path: Path) -> None:
    (tmp_path / "train.sh").write_text("python train.py --lr 0.1\n")
    output = check_command(tmp_path, "new", "program", "mine.toml", "--for", "train.sh")
    assert "train.sh: is no Python" in output
    assert 'run = """bash train.sh"""' in (tmp_path / "mine.toml").read_text()


def test_an_existing_file_is_never_overwritten_by_a_draft(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(JSON)
    (tmp_path / "mine.toml").write_text("mine\n")
    refuse_command(tmp_path, "new", "program", "mine.toml", "--for", "train.py")
    assert (tmp_path / "mine.toml").read_text() == "mine\n"


@pytest.mark.parametrize(("kind", "file"), [("study", "other.toml"), ("cell", "my_cell.py")])
def test_a_script_is_read_for_a_program_alone(tmp_path: Path, kind: str, file: str) -> None:
    (tmp_path / "train.py").write_text(JSON)
    assert refuse_command(tmp_path, "new", kind, file, "--for", "train.py").startswith(
        "unrolled: --for train.py: "
    )
    assert not (tmp_path / file).exists()
