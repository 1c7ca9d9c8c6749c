"""Which flags a script has, and how each is typed into its study."""

import re
from pathlib import Path

import pytest

from tests.ablations.drafting.script_drafts import flag_source, write_draft
from tests.helpers.bad_input import raises_bad_input
from unrolled.ablations.study.loading import load_study

pytestmark = pytest.mark.usefixtures("skip_mlflow")

HUGGING_FACE = """
from dataclasses import dataclass, field
from transformers import HfArgumentParser, TrialFactory, TrainingArguments
@dataclass
class ModelArguments:
    model_name: str = field(metadata={"help": "which"})
model, training = HfArgumentParser((ModelArguments, TrainingArguments)).parse_args_into_dataclasses()
"""


def test_globals_that_a_configurator_overrides_are_flags(tmp_path: Path) -> None:
    draft, lines = write_draft(tmp_path, GLOBALS)
    assert "{eval_only?--eval_only=True:--eval_only=False}" in draft["program"]["run"]
    assert draft["baseline"] == {"eval_only": False, "learning_rate": 0.0006}
    assert "--batch_size, --device" in lines, "their values are no literals"


def test_a_script_without_a_seed_has_a_study_without_one(tmp_path: Path) -> None:
    draft, lines = write_draft(tmp_path, GLOBALS)
    assert "seed" not in draft["program"]["run"]
    assert "no flag for a seed" in lines
    study = tmp_path / "mine.toml"
    with raises_bad_input("{seed}"):
        load_study(study)
    study.write_text(study.read_text().replace("--out_dir={out}", "--out_dir={out} --seed={seed}"))
    assert load_study(study).rules.metrics[0].name == "val_loss"


def test_flags_that_another_library_reads_are_named_and_metrics_are_a_choice(tmp_path: Path) -> None:
    draft, lines = write_draft(tmp_path, HUGGING_FACE)
    assert {"--seed={seed}", "--output_dir={out}"} < {*draft["program"]["run"].split()}
    assert "HfArgumentParser" in lines
    assert '\n# metrics = "{out}/**/trainer_state.json"\n' in (tmp_path / "mine.toml").read_text()
    with raises_bad_input(key="metrics"):
        load_study(tmp_path / "mine.toml")


@pytest.mark.parametrize(
    ("words", "argument"),
    [
        ("'--cut', dest='keep', action='store_false'", "{keep?:--cut}"),
        ("'--tie', action=argparse.BooleanOptionalAction, default=True", "{tie?--tie:--no-tie}"),
        ("'--betas', nargs=2, type=float, default=(0.9, 0.99)", "--betas {betas*}"),
        ("'--on', type=lambda text: text == 'True', default=False", "{on?--on=True:--on=False}"),
        ("'--optim.lr', type=float, default=1e-5", "--optim.lr={optim.lr}"),
        ("'-b', type=int, default=-3", "-b={b}"),
        ("'--log', default='say \"hi\" \\\\ 100%'", "--log={log}"),
        ("'--output', default='runs/result.csv'", "--output={out}/result.csv"),
        ("'data'", "{data}"),
    ],
)
def test_a_flag_is_typed_as_its_parser_reads_it(tmp_path: Path, words: str, argument: str) -> None:
    draft, _ = write_draft(tmp_path, flag_source(words))
    assert argument in " ".join(draft["program"]["run"].split())


@pytest.mark.parametrize(
    ("flag", "facts"),
    [
        ("--steps", "type=int"),
        ("--steps", "type=int, default=1e6"),
        ("--fast", "action='store_true', default=True"),
        ("--fast", "type=bool, default=False"),
        ("--lr", "type=float, default=RATE"),
        ("--lr", "type=float, default=float('inf')"),
        ("-v", "action='count', default=0"),
        ("--layers", "nargs='+', default=3"),
    ],
)
def test_a_flag_whose_default_cannot_be_typed_is_left_out(tmp_path: Path, flag: str, facts: str) -> None:
    draft, lines = write_draft(tmp_path, flag_source(f"{flag!r}, {facts}"))
    assert draft["program"]["run"] == "python train.py"
    assert f"{flag}: left out" in lines


REQUIRED = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("--lr", type=float, required=True)
parser.add_argument("--kind", choices=["lstm", "gru"], required=True)
parser.add_argument("--steps", type=int)
parser.add_argument("--seed", type=int)
print(f"val loss {1}")
"""


def test_flags_without_defaults_have_a_setting_and_an_arm_as_comments(tmp_path: Path) -> None:
    write_draft(tmp_path, REQUIRED)
    path = tmp_path / "mine.toml"
    text = path.read_text()
    assert "add --steps={steps} to run" in text
    open_lines = [line for line in text.splitlines() if re.match(r"# (data|lr|kind) = ", line)]
    for line in open_lines:
        text = text.replace(line, line.removeprefix("# "))
    path.write_text(text)
    study = load_study(path)
    settings = dict(study.baseline.make_unidentified_trial().flat_settings())
    assert settings == {"data": "value", "lr": 0.1, "kind": "lstm"}
    assert [arm.name for arm in study.arms[1:]] == ["data another", "lr 0.2", "kind gru"]


@pytest.mark.parametrize(
    ("flags", "seed"),
    [
        (["--rng", "--seed_of_data"], "--rng"),
        (["--model-seed"], "--model-seed"),
        (["--a-seed", "--b-seed"], ""),
    ],
)
def test_the_flag_of_the_seed_is_found_by_its_name(tmp_path: Path, flags: list[str], seed: str) -> None:
    source = "".join(flag_source(f"{name!r}, type=int") for name in flags)
    draft, _ = write_draft(tmp_path, source)
    assert draft["program"]["run"].split()[2:] == ([f"{seed}={{seed}}"] if seed else [])


GLOBALS = '''
"""Trains; run as train.py --batch_size=32."""
import torch
out_dir = "out"
eval_only = False  # a comment
batch_size = 4 * 3
learning_rate = 6e-4
device = "cuda" if torch.cuda.is_available() else "cpu"
exec(open("overrides.py").read())
seed_offset = 0
losses = {"train": 1.0, "val": 2.0}
print(f"step {1}: train loss {losses['train']:.4f}, val loss {losses['val']:.4f}")
'''
