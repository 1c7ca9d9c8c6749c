"""`new program FILE --for SCRIPT`: the flags that other libraries than argparse read."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from unrolled.ablations.drafting.draft import draft_study

ABSL = """
from absl import app, flags
flags.DEFINE_float("learning_rate", 1e-3, "help")
flags.DEFINE_integer("seed", 0, "help")
flags.DEFINE_bool("tie", False, "help")
flags.DEFINE_string("workdir", None, "help")
flags.DEFINE_enum("kind", "lstm", ["lstm", "gru"], "help")
"""
CLICK = """
import click
@click.command()
@click.option("--learning-rate", "-l", default=1e-3, help="help")
@click.option("--tie/--no-tie", default=False)
@click.option("--kind", type=click.Choice(["lstm", "gru"]), default="lstm")
@click.option("--workdir", type=click.Path())
@click.option("--seed", type=int, required=True)
def main(learning_rate, tie, kind, workdir, seed): ...
"""
TYPER = """
import typer
def main(learning_rate: float = 1e-3, tie: bool = False, kind: str = typer.Option("lstm", help="help"),
         workdir: str = None, seed: int = 0): ...
typer.run(main)
"""
FIRE = """
import fire
def main(*, learning_rate=1e-3, tie=False, kind="lstm", workdir=None, seed=0): ...
fire.Fire(main)
"""


def write_draft(folder: Path, source: str) -> tuple[dict[str, Any], str]:
    """Return the tables of the study of a script, and the lines on it."""
    (folder / "train.py").write_text(source)
    text, lines = draft_study("mine", folder / "train.py", folder)
    return tomllib.loads(text), "\n".join(lines)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (ABSL, "--learning_rate={learning_rate} {tie?--tie:--notie} --kind={kind}"),
        (CLICK, "--learning-rate={learning_rate} {tie?--tie:--no-tie} --kind={kind}"),
        (TYPER, "--learning-rate={learning_rate} {tie?--tie:--no-tie} --kind={kind}"),
        (FIRE, "--learning_rate={learning_rate} {tie?--tie=True:--tie=False} --kind={kind}"),
    ],
)
def test_flags_of_libraries_are_typed_as_these_read_them(tmp_path: Path, source: str, words: str) -> None:
    draft, lines = write_draft(tmp_path, source)
    command = draft["program"]["run"].split()
    assert {*words.split(), "--seed={seed}", "--workdir={out}"} == {*command[2:]}
    assert draft["baseline"] == {"learning_rate": 0.001, "tie": False, "kind": "lstm"}
    assert "not read" not in lines


def test_a_script_of_several_commands_has_no_flags_that_are_sure(tmp_path: Path) -> None:
    second = CLICK.replace("import click", "").replace("def main", "def other")
    draft, lines = write_draft(tmp_path, f"{CLICK}{second}")
    assert draft["program"]["run"] == "python train.py" and "click: the flags" in lines
