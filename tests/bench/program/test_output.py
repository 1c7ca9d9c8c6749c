"""What counts of a program's numbers: the last told, by step, in JSON lines, JSON and CSV alike."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from unrolled.bench.errors import BadInput
from unrolled.bench.formats.table_files import parse_row
from unrolled.bench.program.output import ReportedMetrics, find_similar_line, read_metrics_files


def report_rows(*rows: dict[str, object]) -> ReportedMetrics:
    """Return the metrics that these rows report."""
    metrics = ReportedMetrics()
    for row in rows:
        metrics.add_row(row)
    return metrics


@pytest.mark.parametrize(
    "line",
    ["", "line 42", "{half", "[1, 2]", "epoch 3: {'loss': 1}", '"accuracy": 0.9', '{"a":' + "[" * 99_999],
)
def test_a_line_that_is_no_json_object_is_log(line: str) -> None:
    assert parse_row(line) is None


def test_a_metric_is_a_number_or_an_array_of_one() -> None:
    other_values = {
        "name": "a",
        "ok": True,
        "none": None,
        "list": [1],
        "all": np.ones(2),
        "grid": torch.ones(2),
    }
    arrays = {"f1": np.float32(0.5), "count": np.int64(3), "loss": torch.tensor([0.25])}
    metrics = report_rows({**other_values, **arrays, "one": 1, "infinite": math.inf})
    assert metrics.last == {"f1": 0.5, "count": 3.0, "loss": 0.25, "one": 1, "infinite": math.inf}
    assert report_rows({"nan": math.nan}).last.keys() == {"nan"}
    assert not metrics.curves


def test_a_step_repeated_after_a_restart_counts_once() -> None:
    metrics = report_rows({"step": 1, "loss": 3.0}, {"step": 2, "loss": 9.0}, {"step": 2, "loss": 2.0})
    assert metrics.curves == {"loss": {1.0: 3.0, 2.0: 2.0}}
    assert metrics.last == {"loss": 2.0}


@pytest.mark.parametrize("step", [math.nan, math.inf, 1e300, "a", None, [1]])
def test_a_row_without_a_usable_step_is_the_last_value(step: object) -> None:
    metrics = report_rows({"step": 1, "loss": 2.0}, {"step": step, "loss": 1.0})
    assert metrics.last["loss"] == 1.0
    assert metrics.curves == {"loss": {1: 2.0}}


def test_a_curve_is_read_by_last_best_or_mean_of_end() -> None:
    metrics = report_rows(
        *({"epoch": i, "loss": x} for i, x in enumerate([4.0, 1.0, math.inf, 2.0, 3.0])), {"acc": 5.0}
    )
    summaries = [metrics.reduce_metric("loss", reduction) for reduction in ("last", "min", "max", "mean 2")]
    assert summaries == [3.0, 1.0, 4.0, 2.5]
    assert metrics.reduce_metric("acc", "min") == 5.0, "a metric without a curve has one value"


@pytest.mark.parametrize("ends", [[math.inf, -math.inf], [1e308, 1e308, 1e308]])
def test_a_mean_that_is_no_number_is_nan(ends: list[float]) -> None:
    metrics = report_rows(*({"step": i, "loss": x} for i, x in enumerate(ends)))
    assert math.isnan(metrics.reduce_metric("loss", "mean 3"))


LOSSES = [{"epoch": i, "loss": 1.0 / (i + 1), "acc": 0.5} for i in range(3)]
TRAIN = {"epoch": 3, "train_loss": 0.5, "loss": None}


@pytest.mark.parametrize(
    ("rows", "emptied"),
    [
        ([*LOSSES, {"epoch": 3, "loss": None, "acc": 0.1}], True),
        ([*LOSSES, {"epoch": 3, "loss": "", "acc": ""}, {"epoch": 4, "loss": "", "acc": 0.1}], True),
        ([TRAIN, *LOSSES, TRAIN], False),
        ([*LOSSES, {"epoch": 3, "acc": 0.5}], False),
        ([*LOSSES[:1], {"epoch": 1, "loss": None}, *LOSSES[2:], {"epoch": 3, "loss": None}], False),
        ([*LOSSES[:1], {"epoch": 1, "loss": None}], False),
        ([*LOSSES, {"epoch": 3, "loss": None}, {"epoch": 4, "loss": 0.1}], False),
        ([*LOSSES, {"test_acc": 0.9, "loss": ""}], False),
        ([*LOSSES, {"epoch": 3, "loss": "NaN"}], False),
    ],
    ids=[
        "null", "empty cells", "rows of training", "another key", "each second epoch", "once at first",
        "a gap", "a last row of the test", "NaN as text",
    ],
)  # fmt: skip
def test_numbers_that_end_in_empty_cells_are_no_last_value(
    rows: list[dict[str, object]], emptied: bool
) -> None:
    """Pandas writes NaN so: a run that diverged had the loss of the epoch before."""
    assert ("loss" in report_rows(*rows).unread_metrics.get("not_numbers", {})) is emptied


def test_nan_and_infinity_may_be_written_as_text() -> None:
    metrics = report_rows({"loss": "NaN", "score": "-inf", "name": "nancy", "note": "Infinity"})
    assert math.isnan(metrics.last["loss"])
    assert (metrics.last["score"], metrics.last["note"]) == (-math.inf, math.inf)
    assert "name" not in metrics.last


def test_half_a_row_that_a_kill_left_does_not_spoil_the_next(tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    rows.write_text('{"step": 1, "loss": 3}\n{"step": 2, "lo')
    for attempt in range(2):
        metrics = ReportedMetrics()
        metrics.open_journal(rows)
        metrics.add_row({"step": 2 + attempt, "loss": 1})
    assert metrics.curves == {"loss": {1: 3, 2: 1, 3: 1}}


FILES = {
    "metrics.jsonl": 'starting\n{"step": 1, "loss": 2, "note": "\u2028"}\n{"step": 2, "loss": 1}\n',
    "metrics.csv": "\ufeffstep,epoch,loss,acc\n1,0,2.0,\n2,0,1.0,NA\n2,0,None,0.5\n",
    "metrics.json": '{"loss": 1, "acc": 0.5}',
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_every_kind_tell_the_same(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "deep" / "down"
    folder.mkdir(parents=True)
    (folder / name).write_text(FILES[name])
    rows, not_numbers = read_metrics_files(str(tmp_path / "**" / name))
    metrics = report_rows(*rows)
    assert not not_numbers
    assert metrics.last["loss"] == 1.0
    assert metrics.last.get("acc", 0.5) == 0.5
    assert name == "metrics.json" or metrics.curves["loss"] == {1.0: 2.0, 2.0: 1.0}


def test_a_link_that_leads_nowhere_is_no_file_of_metrics(tmp_path: Path) -> None:
    (tmp_path / "old.json").symlink_to("gone")
    (tmp_path / "new.json").write_text('{"loss": 1}')
    assert read_metrics_files(str(tmp_path / "*.json"))[0] == [{"loss": 1}]


@pytest.mark.parametrize("text", [None, "[1]", "{", b"\xff"])
def test_a_file_that_cannot_be_read_is_refused_by_its_name(tmp_path: Path, text: object) -> None:
    if text is not None:
        (tmp_path / "m.json").write_bytes(text if isinstance(text, bytes) else str(text).encode())
    with pytest.raises(BadInput) as excinfo:
        read_metrics_files(str(tmp_path / "m.json"))
    assert "m.json" in (excinfo.value.place or excinfo.value.rule)


@pytest.mark.parametrize("cell", ["0,5", "12%", "n/a", "0.\x003", "True"])
def test_text_among_numbers_is_named_by_row_and_file(tmp_path: Path, cell: str) -> None:
    (tmp_path / "m.csv").write_text(f'loss,note\n0.5,a\n,b\n"{cell}",c\n')
    (tmp_path / "m.json").write_text(json.dumps([{"loss": 0.5, "note": "1"}, {}, {"loss": cell}]))
    for name in ("m.csv", "m.json"):
        rows, not_numbers = read_metrics_files(str(tmp_path / name))
        assert len(rows) == 3
        assert not_numbers.keys() == {"loss"}
        assert not_numbers["loss"].startswith(f"row 3 of its {name}: ")


def test_a_name_that_utf_8_cannot_write_becomes_one_that_it_can() -> None:
    metrics = report_rows({"loss": 1, "\ud800": 2, "step": 1})
    assert metrics.last == {"loss": 1, r"\ud800": 2}
    assert metrics.curves.keys() == metrics.last.keys()


@pytest.mark.parametrize(
    "line",
    [
        "{'eval/loss': 0.42, 'epoch': 1.0}",
        'INFO:root:{"eval/loss": 0.42}',
        '{"eval": {"loss": 0.42}}',
        "loss 1",
    ],
)
def test_the_line_that_looks_most_like_a_row_is_found(line: str) -> None:
    other_values = ("epoch 3", "loss", "loss of words", line, "{'epoch': 3}", "done in 3 s")
    assert find_similar_line("\n".join(other_values), "eval/loss") == line
    assert find_similar_line("", "loss") == ""
