"""The examples of docs/examples, by the commands of their document: one seed, one epoch, a small text."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from tests.helpers.command_call import check_command, run_script
from tests.helpers.command_process import TEXT
from unrolled.ablations.api import compare, results
from unrolled.ablations.ledger import Ledger

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "examples" / "README.md").read_text("utf-8")
COMMANDS = "".join(re.findall(r"(?s)```sh\n(.*?)```", PAGE))

PROGRAMS = "digits.toml", "lm4.toml"
SMALL_TEXT = "--set", "epochs=1", "--set", "batch=16", "--set", "corpus=small.txt"
ONCE = "[program]", "[program]\nrepeat = false"
SMALLER = {
    "digits": [("max_iter=20", "max_iter=2"), ("hidden = [64]", ""), ("[1e-2, 1.0]", "[1.0]"), ONCE],
    "lm4": [
        ("1000", "400"),
        ("16, 16, 4", "16, 16, 2"),
        ("one_at_a_time = { hidden = [32, 128] }", ""),
        ONCE,
    ],
    "own_function": [('"depth": [4, 16], ', ""), ("metrics=metrics", "metrics=metrics, seeds=1")],
    "notebook": [("epochs=3", "epochs=1")],
}
"""By example: texts, each with what stands in its place, so that there is less to train."""

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("skip_mlflow_in_module")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, need, restore_torch_state, skip_mlflow_in_module) -> Path:
    """Return a project in which all commands of the document were run."""
    need("bash")
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(DOCS, folder / "docs")
    (folder / "small.txt").write_text(TEXT * 4)
    examples = folder / "docs" / "examples"
    for name, pairs in SMALLER.items():
        files = [path for path in examples.rglob("*.*") if name in (path.stem, path.parent.name)]
        replace_texts(files, pairs)
    for line in COMMANDS.splitlines():
        program, *words = shlex.split(line, comments=True)
        if program == ".venv/bin/unrolled":
            if words[1].endswith("my_text.toml"):
                settings = list(SMALL_TEXT[:2])
            else:
                settings = [] if words[1].endswith(PROGRAMS) else list(SMALL_TEXT)
            check_command(folder, *words, "--seeds", "0", *settings)
        elif program == ".venv/bin/python":
            output = run_script(folder, *words)
        else:
            subprocess.run(["bash", "-c", line], cwd=folder, check=True)
    (folder / "notebook.txt").write_text(output)  # of the last line
    return folder


def replace_texts(files: Sequence[Path], pairs: Iterable[tuple[str, str]]) -> None:
    """Replace each text wherever it is in the files."""
    for old, new in pairs:
        matches = [path for path in files if old in path.read_text()]
        assert matches, f"{old} is not in the example"
        for path in matches:
            path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("study", "arm"),
    [
        ("min-gru", "minGRU"),
        ("transformer", "transformer"),
        ("z-loss", "z loss 0.1"),
        ("my-text", "LMModel4"),
        ("digits", "decay 1.0"),
        ("lm4-script", "no carry"),
        ("trees", "leaf 8"),
    ],
)
def test_an_example_is_trained_compared_and_reported(folder: Path, study: str, arm: str) -> None:
    table = results(study, folder / "results")
    assert set(table.status) == {"done"} and set(table.seed) == {0}
    assert compare(study, arm, folder=folder / "results").contrast.pair_count == 1
    assert arm in (folder / "out" / study / "index.html").read_text("utf-8")


def test_the_notebook_trains_reads_compares_and_goes_on(folder: Path) -> None:
    output = (folder / "notebook.txt").read_text().partition("LMModel4 after three epochs: ")[2]
    assert re.match(r"[1-9]\d\.\d% of the words\n", output)
    assert str(compare("min-gru", "minGRU", folder=folder / "results")) in output
    best = results("min-gru", folder / "results").valid_accuracy.max()
    stored = Ledger(folder / "results").read_all_results()
    assert any(r.metrics.get("valid_accuracy") == best and r.trial.id in output for r in stored)
    assert re.search(r"epoch +train_loss +valid_loss +accuracy", output)


def test_the_document_names_every_example() -> None:
    for path in (DOCS / "examples").iterdir():
        assert path.name == "README.md" or path.name in PAGE
