"""Which metrics a script prints or logs, and where its study reads them."""

from pathlib import Path

import pytest

from tests.ablations.drafting.script_drafts import flag_source, write_draft
from tests.helpers.command_call import check_command
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.study.loading import load_study

pytestmark = pytest.mark.usefixtures("skip_mlflow")

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


def test_printed_texts_become_patterns_and_a_folder_of_outputs_the_trials_own(tmp_path: Path) -> None:
    write_draft(tmp_path, PRINTS)
    study = load_study(tmp_path / "mine.toml")
    assert study.rules.metric_names == ["test_loss"]
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


def test_the_loss_of_the_test_set_decides(tmp_path: Path) -> None:
    write_draft(tmp_path, FORMATTED)
    study = load_study(tmp_path / "mine.toml")
    assert study.rules.metrics[0].name == "test_loss"
    assert {*study.file.program.patterns} == {"test_loss", "train_loss"}


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
    assert study.rules.metrics[0].name == key
    assert study.file.program.metrics == (files and f"{{out}}/**/{files}")
