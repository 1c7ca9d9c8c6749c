"""Bundles of a program that were changed: their code and data are checked without running them."""

import re
import shutil
from pathlib import Path, PurePath

import pytest

from tests.ablations.bundles.bundle_files import Spoil, edit_file, first_name, forge, verify_bundle
from tests.helpers.command_call import check_command
from unrolled.ablations.ledger import seal, unseal

pytestmark = pytest.mark.usefixtures("skip_mlflow_in_module")

PROGRAM = """
from pathlib import Path, PurePath


def train(seed, lr):
    return {"accuracy": lr + seed / 100 + len(Path("words.txt").read_text())}
"""
STUDY = """
name = "small"
question = "?"
metrics = [{ name = "accuracy", delta = 0.01 }]
seeds = 2
baseline.lr = 0.1
design.one_at_a_time.lr = [0.2]
[program]
function = "mine:train"
data = ["words.txt"]
"""


@pytest.fixture(scope="module")
def source_program_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle of a study of a function that reads a file."""
    folder = tmp_path_factory.mktemp("program")
    for name, text in {"mine.py": PROGRAM, "words.txt": "one two", "small.toml": STUDY}.items():
        (folder / name).write_text(text)
    check_command(folder, "run", "small.toml")
    check_command(folder, "bundle", "small.toml", "-o", "small.zip")
    return folder / "small.zip"


@pytest.fixture
def program_bundle(source_program_bundle: Path, tmp_path: Path) -> Path:
    """Return a copy of the program's bundle."""
    return Path(shutil.copy(source_program_bundle, tmp_path))


def add_file(files: dict[str, bytes]) -> None:
    """Add a file beside those of the program."""
    files[f"{PurePath(first_name(files, 'files')).parent}/more.txt"] = b""


def remove_data(files: dict[str, bytes]) -> None:
    """Remove the data of the program."""
    del files[next(name for name in files if name.endswith("/words.txt"))]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (edit_file("/mine.py", b"lr +", b"2 * lr +"), "/: the code was edited"),
        (edit_file("/words.txt", b"one", b"six"), "/: data was edited"),
        (add_file, "/more.txt: belongs to no trial"),
        (remove_data, "/: .*words.txt"),
    ],
)
def test_a_changed_program_is_a_fault_though_it_is_not_run(
    program_bundle: Path, spoil: Spoil, message: str
) -> None:
    forge(program_bundle, spoil)
    code, output = verify_bundle(program_bundle)
    assert code == 1
    assert re.search(f"✗ files/[0-9a-f]{{64}}{message}", output)
    assert ", 1 fault\n" in output


def rename_data_files(pattern: str) -> Spoil:
    """Return a change by which the results' program reads other files."""

    def change(files: dict[str, bytes]) -> None:
        for name in [name for name in files if name.startswith("ledger/trials")]:
            body = unseal(files[name])
            body["result"]["trial"]["data_patterns"] = [pattern]
            files[name] = seal({key: value for key, value in body.items() if key != "sha256"})

    return change


def test_files_outside_of_a_bundle_are_read_for_a_trusted_program_alone(program_bundle: Path) -> None:
    secret = program_bundle.with_name("secret.txt")
    secret.touch()
    forge(program_bundle, rename_data_files(str(secret)))
    code, output = verify_bundle(program_bundle)
    exception = "files/ of a program that reads files elsewhere"
    assert code == 1 and f", 0 faults\nnot checked: environment.txt, source/, {exception}, " in output
    code, output = verify_bundle(program_bundle, "--trust")
    assert code == 1 and "/: data was edited" in output
    forge(program_bundle, rename_data_files("../**"))
    assert exception in verify_bundle(program_bundle)[1]
