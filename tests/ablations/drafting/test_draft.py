"""`new program FILE --for SCRIPT`: flags, seed and metrics are read from scripts of many styles."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.bad_input import raises_bad_input
from tests.helpers.command_call import check_command, read_trial_counts, refuse_command
from unrolled.ablations.drafting.draft import draft_study
from unrolled.ablations.ledger import Ledger
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
PRINTS = """
import argparse
from torch.utils.tensorboard import SummaryWriter
if __name__ == "__main__":
    cli = argparse.ArgumentParser()
    cli.add_argument("--words-file", "-f", type=str, default="words.txt")
    cli.add_argument("--work-dir", "-o", default="out")
    cli.add_argument("--resume", action="store_true")
    cli.add_argument("--max-steps", type=int, default=-1)
    cli.add_argument("--kind", choices=["lstm", "gru"], default="lstm")
    cli.add_argument("--learning-rate", "-l", type=float, default=5e-4)
    cli.add_argument("--random_seed", type=int, default=3407)
    args = cli.parse_args()
    writer = SummaryWriter(log_dir=args.work_dir)
    for step in range(3):
        print(f"step {step} | loss {step / 7:.4f} | took {step * 1000:.2f}ms")
    print(f"step {step} train loss: {step / 3} test loss: {step / 2}")
"""
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
FORMATTED = """
import argparse
def test(total, correct, of):
    print('\\nTest set: Average loss: {:.4f}, Accuracy: {}/{} ({:.0f}%)\\n'.format(total, correct, of, 1))
def main():
    parser = argparse.ArgumentParser(description="digits")
    parser.add_argument('--epochs', type=int, default=14, metavar='N', help='epochs (default: 14)')
    parser.add_argument('--lr', type=float, default=1.0)
    parser.add_argument('--no-accel', action='store_true', help='no GPU')
    parser.add_argument('--seed', type=int, default=1)
    args = parser.parse_args()
    print('Train Epoch: {} [{}/{}]\\tLoss: {:.6f}'.format(1, 2, 3, 0.5))
    test(1, 2, 3)
"""
HUGGING_FACE = """
from dataclasses import dataclass, field
from transformers import HfArgumentParser, TrialFactory, TrainingArguments
@dataclass
class ModelArguments:
    model_name: str = field(metadata={"help": "which"})
model, training = HfArgumentParser((ModelArguments, TrainingArguments)).parse_args_into_dataclasses()
"""


def write_draft(folder: Path, source: str) -> tuple[dict[str, Any], str]:
    """Write the study of a script and return its tables and the lines on it."""
    (folder / "train.py").write_text(source)
    text, lines = draft_study("mine", folder / "train.py", folder)
    (folder / "mine.toml").write_text(text)
    return tomllib.loads(text), "\n".join(lines)


def test_the_study_of_a_script_that_prints_json_runs_as_drafted(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "it's {x}.py").write_text(JSON + "print('ran', file=open('runs', 'a'))\n")
    check_command(tmp_path, "new", "program", "studies.toml", "--for", "sub/it's {x}.py")
    assert not (tmp_path / "runs").exists(), "it is read and not run"
    check_command(tmp_path, "plan", "studies.toml")
    assert read_trial_counts(check_command(tmp_path, "run", "studies.toml", "--seeds", "0-1")).trained == 4
    study = load_study(tmp_path / "studies.toml")
    assert "--seed={seed}" in study.file.program.run
    assert [metric.name for metric in study.metrics] == ["valid_loss"]
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


def test_printed_texts_become_patterns_and_a_folder_of_outputs_the_trials_own(tmp_path: Path) -> None:
    write_draft(tmp_path, PRINTS)
    study = load_study(tmp_path / "mine.toml")
    assert [metric.name for metric in study.metrics] == ["test_loss"]
    program = study.file.program
    words = program.run.split()
    assert {"--work-dir={out}", "--random_seed={seed}", "{resume?--resume:}", "--max-steps={max_steps}"} < {
        *words
    }
    assert set(program.patterns) == {"loss", "train_loss", "test_loss"}
    assert [arm.changes for arm in study.arms[1:]] == [{"learning_rate": 1e-3}]


@pytest.mark.parametrize(
    ("script", "values"),
    [
        (PRINTS, {"loss": 2 / 7, "train_loss": 2 / 3, "test_loss": 1.0}),
        (FORMATTED, {"train_loss": 0.5, "test_loss": 1.0}),
    ],
)
def test_patterns_find_what_the_script_prints(tmp_path: Path, script: str, values: dict[str, float]) -> None:
    lines = [line for line in script.splitlines() if "SummaryWriter" not in line]
    write_draft(tmp_path, "\n".join([*lines, "" if "__main__" in script else "main()"]))
    check_command(tmp_path, "run", "mine.toml", "--seeds", "0")
    result = next(Ledger(tmp_path / "results").read_all_results())
    losses = {name: x for name, x in result.metrics.items() if name.endswith("loss")}
    assert losses == pytest.approx(values, abs=1e-3)


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
    assert load_study(study).metrics[0].name == "val_loss"


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


def test_the_loss_of_the_test_set_decides(tmp_path: Path) -> None:
    write_draft(tmp_path, FORMATTED)
    study = load_study(tmp_path / "mine.toml")
    assert study.metrics[0].name == "test_loss"
    assert {*study.file.program.patterns} == {"test_loss", "train_loss"}


def test_flags_that_another_library_reads_are_named_and_metrics_are_a_choice(tmp_path: Path) -> None:
    draft, lines = write_draft(tmp_path, HUGGING_FACE)
    assert {"--seed={seed}", "--output_dir={out}"} < {*draft["program"]["run"].split()}
    assert "HfArgumentParser" in lines
    assert '\n# metrics = "{out}/**/trainer_state.json"\n' in (tmp_path / "mine.toml").read_text()
    with raises_bad_input(key="metrics"):
        load_study(tmp_path / "mine.toml")


def flag_source(words: str) -> str:
    """Return a script with one flag."""
    return f"import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument({words})\n"


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


@pytest.mark.parametrize(
    ("line", "metric"),
    [
        ("print('val_acc', x)", "val_acc"),
        ("print(f'Epoch {x}: valid accuracy = {x:.2%}')", "valid_accuracy"),
        ("print(f'test/bleu={x}')", "test_bleu"),
        ("mlflow.log_metric('eval_loss', x)", "eval_loss"),
        ("mlflow.log_metrics({'eval_loss': x, 'epoch': 1})", "eval_loss"),
        ("writer.add_scalar('loss/val', x, step)", "loss/val"),
        ("self.log('val_acc', x)", "val_acc"),
        ("print(f'val error: {x}')", "val_error"),
        ("print(f'error: {x}')", ""),
        ("print(f'elapsed time {x}')", ""),
        ("print(f'parameters: {x}')", ""),
        ("print(f'val loss {x}', file=log)", ""),
        ("logger.log('val_acc', x)", ""),
        ("print(json.dumps({'score': x}))", ""),
        ("print(json.dumps({'val_loss': x}, indent=2))", ""),
    ],
)
def test_a_metric_is_found_where_it_is_sure(tmp_path: Path, line: str, metric: str) -> None:
    draft, _ = write_draft(tmp_path, f"import json, mlflow\n{line}\n")
    assert [judged["name"] for judged in draft.get("metrics", [])] == ([metric] if metric else [])
    assert (draft["program"].get("metrics") == "mlflow") is line.startswith("mlflow")


@pytest.mark.parametrize(
    ("source", "key", "files"),
    [
        (
            "from lightning.pytorch.loggers import CSVLogger\nself.log('val_loss', x)",
            "val_loss",
            "metrics.csv",
        ),
        ("import lightning\nself.log_dict({'val_loss': x})", "val_loss", "events.out.tfevents.*"),
        ("w.add_scalar('Loss/train', x)\nw.add_scalar('Loss/test', x)", "Loss/test", "events.out.tfevents.*"),
        ("w.add_scalar('Loss/test', x)\nprint(f'test loss: {x}')", "test_loss", ""),
        ("w.add_scalar('Loss/val', x)\nprint(f'train loss: {x}')", "Loss/val", "events.out.tfevents.*"),
    ],
)
def test_what_a_logger_gets_is_read_from_its_files(tmp_path: Path, source: str, key: str, files: str) -> None:
    write_draft(tmp_path, f"{flag_source(repr('--seed'))}{source}\n")
    study = load_study(tmp_path / "mine.toml")
    assert study.metrics[0].name == key
    assert study.file.program.metrics == (files and f"{{out}}/**/{files}")


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
