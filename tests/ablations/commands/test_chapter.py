"""`unrolled chapter`: measurements are kept, and the page is written from them."""

from argparse import Namespace
from pathlib import Path

import pytest

from ablations.commands import chapter, shipped_results
from ablations.design.loading import load
from ablations.ledger import Ledger
from bench.analyses import identity
from reports.chapter.questions import STUDIES


def measure(results: Path) -> dict[str, float]:
    return dict(chapter.measured(["spacing", "tanh"], results))


def test_a_measurement_is_kept_under_the_identity_of_its_code(tmp_path) -> None:
    assert set(measure(tmp_path)) == {"spacing", "tanh"}
    files = {path.name for path in (tmp_path / "analyses").iterdir()}
    assert files == {f"{name}-{identity(name)}.json" for name in ("spacing", "tanh")}
    found = chapter.stored("spacing", tmp_path)
    assert found is not None and found["found"]["first_gap"]["float32"] == 2**24 + 1
    assert found["environment"]["threads"] == 1
    assert chapter.stored("same", tmp_path) is None


@pytest.mark.parametrize("at", [0, 100, -30])
def test_a_damaged_measurement_is_named_and_counts_as_none(tmp_path, capsys, at: int) -> None:
    measure(tmp_path)
    (path,) = (tmp_path / "analyses").glob("tanh-*")
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    assert chapter.stored("tanh", tmp_path) is None
    assert f"{path}: damaged, so it is measured again" in capsys.readouterr().err


def test_the_word_measures_once_and_writes_the_page(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(chapter, "MEASURED", ("spacing", "tanh"))
    args = Namespace(results=tmp_path / "results", out=tmp_path / "out")
    assert chapter.chapter(args) == 0
    assert "measuring spacing, tanh" in capsys.readouterr().out
    first = (tmp_path / "out" / "chapter.html").read_bytes()
    shipped = [shipped_results.read(load(study)) for study in STUDIES]
    assert (b"From the results that come with Unrolled (" in first) == any(shipped)
    assert chapter.chapter(args) == 0
    assert capsys.readouterr().out == f"page: {tmp_path / 'out' / 'chapter.html'}\n"
    assert (tmp_path / "out" / "chapter.html").read_bytes() == first
    assert not list(Ledger(args.results).root.glob("trials"))
