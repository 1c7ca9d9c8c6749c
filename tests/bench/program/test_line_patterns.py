"""Numbers in lines of text, by a study's regular expressions."""

from pathlib import Path

import pytest

from tests.helpers.bad_input import raises_bad_input
from unrolled.bench.errors import BadInput
from unrolled.bench.formats.mlflow_store import read_mlflow
from unrolled.bench.program.line_patterns import LinePatterns, compile_pattern
from unrolled.bench.program.output import read_metrics_files

MAKEMORE = r"step (?P<step>\d+) train loss: \S+ test loss: (?P<value>\S+)"


@pytest.mark.parametrize(
    ("pattern", "line", "row"),
    [
        (MAKEMORE, "step 500 train loss: 2.5 test loss: 2.25", {"step": 500, "loss": 2.25}),
        (r"val_bpb: (?P<value>[\d.]+)", "val_bpb: 0.9979", {"loss": 0.9979}),
        (r"loss (?P<value>\S+)", "epoch 1 loss nan", {"loss": pytest.approx(float("nan"), nan_ok=True)}),
        (r"\((?P<value>[\d.]+%)\)", "Accuracy: 9912/10000 (99.1%)", {"loss": 99.1}),
        (r"Average loss: (?P<value>[\d,.]+)", "Average loss: 1,234.5", {"loss": 1234.5}),
        (r"loss (?P<value>\S+)", "loss oops", {"loss": "oops"}),
        (r"loss (?P<value>[\d.]+)", "loss nan", {"loss": pytest.approx(float("nan"), nan_ok=True)}),
        (r"loss (?P<value>-?[\d.e+]+)", "grad NaN loss -inf", {"loss": float("-inf")}),
        (r"grad \S+ loss (?P<value>[\d.]+)", "grad inf loss 0.5", {"loss": 0.5}),
        (r"loss (?P<value>\S+)", "loss 0,9981", {"loss": "0,9981"}),
    ],
)
def test_a_pattern_finds_a_number_and_its_step(pattern: str, line: str, row: dict[str, float]) -> None:
    assert LinePatterns({"loss": pattern}).match_line(line) == [row]


def test_patterns_of_one_step_make_one_row() -> None:
    patterns = LinePatterns(
        {
            "a": r"(?P<step>\d+) a (?P<value>\S+)",
            "b": r"^(?P<step>\d+).* b (?P<value>\S+)",
            "c": r"c (?P<value>\S+)",
        }
    )
    assert patterns.match_line("3 a 1 b 2 c 4") == [{"step": 3, "a": 1, "b": 2}, {"c": 4}]


def test_a_pattern_without_a_match_has_three_similar_lines() -> None:
    patterns = LinePatterns({"loss": r"test loss: (?P<value>\S+)", "other": r"other (?P<value>\d)"})
    for line in ["loading", "other 1", *(f"step {n} | test-loss {n}" for n in range(5)), "bye", "loss 3"]:
        patterns.match_line(line)
    assert patterns.similar_lines.keys() == {"loss"}
    assert len(patterns.similar_lines["loss"]) == 3
    assert all("test-loss" in line for line in patterns.similar_lines["loss"])


@pytest.mark.parametrize("pattern", ["(", r"loss (\S+)", r"(?P<value>\d)(?P<steps>\d)", "*"])
def test_a_pattern_that_cannot_be_used_is_refused_with_its_key(pattern: str) -> None:
    with raises_bad_input(key="patterns.loss"):
        compile_pattern("loss", pattern)


def test_a_list_in_a_json_object_has_rows(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"best": 1, "log_history": [{"step": 1, "eval_loss": 2.5}]}')
    assert read_metrics_files(str(tmp_path / "state.json"), "log_history", LinePatterns({}))[0] == [
        {"step": 1, "eval_loss": 2.5}
    ]
    with raises_bad_input("best, log_history", place="its state.json"):
        read_metrics_files(str(tmp_path / "state.json"), "history", LinePatterns({}))
    (tmp_path / "log.txt").write_text(
        "step 1 train loss: 3 test loss: 2\nstep 2 train loss: 2 test loss: 1\n"
    )
    rows, _ = read_metrics_files(str(tmp_path / "log.txt"), "", LinePatterns({"loss": MAKEMORE}))
    assert rows == [{"step": 1, "loss": 2}, {"step": 2, "loss": 1}]


def test_tensorboards_events_have_a_row_for_each_scalar(tmp_path: Path) -> None:
    writers = pytest.importorskip("torch.utils.tensorboard")
    with writers.SummaryWriter(tmp_path) as writer:
        for step in range(2):
            writer.add_scalar("Loss/test", 0.5**step, step)
            writer.add_text("note", "text is no number", step)
    rows, _ = read_metrics_files(str(tmp_path / "events.out.tfevents.*"), "", LinePatterns({}))
    assert rows == [{"step": 0, "Loss/test": 1.0}, {"step": 1, "Loss/test": 0.5}]


def test_metrics_logged_to_mlflow_are_read_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        read_mlflow(tmp_path)
    metrics = tmp_path / "0" / "run" / "metrics" / "val"
    metrics.mkdir(parents=True)
    (metrics / "loss").write_text("1700000000002 0.5 1\n1700000000001 1.0 0\n")
    (metrics / "of_data").write_text("1700000000003 0.9 0 digits a1b2\n")
    rows = [{"step": 0, "val/loss": 1.0}, {"step": 1, "val/loss": 0.5}, {"step": 0, "val/of_data": 0.9}]
    assert read_mlflow(tmp_path) == rows
