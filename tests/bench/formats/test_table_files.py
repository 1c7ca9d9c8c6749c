"""Files of rows: the same rows in every format, and one line for what is none."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.bad_input import raises_bad_input
from unrolled.ablations.tables import table_reader
from unrolled.bench.formats.file_formats import FORMATS, find_format
from unrolled.bench.formats.parquet import read_parquet
from unrolled.bench.formats.table_files import Format, Row, parse_row, read_rows

ROWS = [{"step": 1, "loss": 0.5, "note": "a, b"}, {"step": 2, "loss": math.inf, "note": None}]
FRAME = pd.DataFrame(ROWS)
LINES = "".join(f"{json.dumps(row)}\n" for row in ROWS)
WRITERS: dict[str, Callable[[Path], object]] = {
    "m.csv": lambda path: FRAME.to_csv(path, index=False, encoding="utf-8-sig"),
    "M.CSV": lambda path: FRAME.to_csv(path, index=False, lineterminator="\r\n"),
    "m.tsv": lambda path: FRAME.to_csv(path, index=False, sep="\t"),
    "m.json": lambda path: path.write_text(json.dumps(ROWS)),
    "m.jsonl": lambda path: path.write_text(f"starting\n{LINES}"),
    "m.ndjson": lambda path: path.write_text(LINES),
    "m.parquet": FRAME.to_parquet,
}


def read_file(path: Path, *, finished: bool = False) -> list[Row]:
    """Return the rows of a file in the format that its name says."""
    return read_rows(path, find_format(path.name), finished=finished)


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_has_the_same_rows(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    assert read_file(tmp_path / name) == ROWS
    assert {Path(name).suffix.lower() for name in WRITERS} == FORMATS.keys()


def test_a_cell_is_a_number_a_text_or_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "m.csv"
    path.write_text("a,b,c,d\n,None,1e400,True\n0.5,NA,-inf,1,,\n\n3\n" + '"a\nb",2.0,1_0\n' + "x" * 200_000)
    assert repr(read_file(path)[:4]) == repr(
        [
            {"a": None, "b": "None", "c": math.inf, "d": True},
            {"a": 0.5, "b": "NA", "c": -math.inf, "d": 1},
            {"a": 3},
            {"a": "a\nb", "b": 2.0, "c": "1_0"},
        ]
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("longer.csv", b"step,loss\n1,0.5\n2,0.14,0.2,0.3\n"),
        ("two of a name.csv", b"loss,loss\n1,2\n"),
        ("no header.csv", b"0,0.5\n1,0.4\n"),
        ("semicolons.csv", b"step;loss\n1;0.5\n"),
        ("commas.tsv", b"step,loss\n1,0.5\n"),
        ("open quote.csv", b'step,loss\n"1,0.5\n2,0.4\n'),
        ("utf-16.csv", "loss\n0.5\n".encode("utf-16")),
        ("deep.json", b"[" * 100_000),
        ("half.json", b'{"loss": 1'),
        ("numbers.json", b"[1]"),
        ("text.json", b'"loss"'),
        ("many digits.json", b'{"loss": 1' + b"0" * 5000 + b"}"),
        ("text.parquet", b"PAR1"),
        ("missing.csv", None),
    ],
)
def test_a_file_that_is_no_table_is_refused_by_its_name(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with raises_bad_input(place=tmp_path / name):
        read_file(tmp_path / name)


@pytest.mark.parametrize("name", ["training.log", "m.yaml", "m.*", "m", "csv"])
def test_an_unknown_suffix_is_refused_with_the_known_ones(name: str) -> None:
    with raises_bad_input(*FORMATS, key="metrics"):
        find_format(name, key="metrics")


def test_a_format_whose_package_is_not_installed_is_refused_with_its_name(monkeypatch) -> None:
    find_format("m.parquet")
    monkeypatch.setitem(FORMATS, ".parquet", Format(read_parquet, package="no_such_package"))
    with raises_bad_input("no_such_package"):
        find_format("m.parquet")


def test_a_format_is_added_by_one_row_for_programs_and_for_compare(tmp_path: Path, monkeypatch) -> None:
    def read_pairs(path: Path) -> list[dict[str, str]]:
        return [dict(pair.split("=") for pair in line.split()) for line in path.read_text().splitlines()]

    monkeypatch.setitem(FORMATS, ".logfmt", Format(read_pairs))
    path = tmp_path / "m.logfmt"
    path.write_text("arm=a loss=1\narm=b loss=2\n")
    find_format(str(path))
    assert read_file(path) == table_reader.read_table(str(path), "").to_dict("records") == read_pairs(path)


@pytest.mark.parametrize(
    ("line", "row"),
    [
        (
            '{"loss": nan, "accuracy":-inf, "note": "x"}',
            {"loss": math.nan, "accuracy": -math.inf, "note": "x"},
        ),
        (' {"loss": [inf, 1]}\n', {"loss": [math.inf, 1]}),
        ('{"loss": none}', None),
        ("{'loss': 0.5}", None),
        ('INFO:root:{"loss": 0.5}', None),
        ('{"a":' * 100_000, None),
    ],
)
def test_a_row_may_have_infinite_numbers_as_python_writes_them(line: str, row: object) -> None:
    assert repr(parse_row(line)) == repr(row)


def test_a_name_of_digits_beside_text_stays_as_written(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("arm,seed,loss\nmain,0,0.5\n1.10,0,NA\n12e4567,0,1e-3\n007,0,\n")
    rows = read_file(path, finished=True)
    assert [row["arm"] for row in rows] == ["main", "1.10", "12e4567", "007"]
    assert [row["seed"] for row in rows] == [0] * 4
    assert [row["loss"] for row in rows] == [0.5, "NA", 0.001, None]
    assert [row["arm"] for row in read_file(path)] == ["main", 1.1, math.inf, 7], "a metric that is text once"


def test_a_line_that_was_cut_is_no_row_and_no_finished_table(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text('{"loss": 0.5}\n\n{"loss": 0.\n')
    assert read_file(path) == [{"loss": 0.5}]
    with raises_bad_input("line 3", place=path):
        read_file(path, finished=True)
