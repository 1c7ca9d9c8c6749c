"""A stored plan decides what a report shows, so whatever happens to its file is noticed."""

import random
from dataclasses import asdict
from pathlib import Path

import pytest

from ablations.design.plan import Plan, PlannedArm, all_stored, store, stored
from ablations.ledger import Ledger, seal
from bench.files import save
from bench.trial import BadInput

ARM = PlannedArm(
    name="a", model="lm4", title="LMModel4", changes={"lr": 0.1}, trials={0: "0" * 16, 7: "f" * 16}
)
PLAN = Plan(
    study="s",
    question="q?",
    about="",
    metric="valid_loss",
    equivalence=0.02,
    seeds=(0, 7),
    arms=(ARM,),
    hash="h",
    command="unrolled run s",
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path)
    store(PLAN, ledger)
    return ledger


@pytest.fixture
def file(ledger: Ledger) -> Path:
    (path,) = (ledger.root / "plans").glob("*.json")
    return path


def test_a_stored_plan_reads_back_equal(ledger: Ledger) -> None:
    assert stored("s", ledger) == PLAN


def test_every_one_of_300_flipped_bits_of_a_plan_is_refused(ledger: Ledger, file: Path) -> None:
    whole = file.read_bytes()
    for place in random.Random(0).sample(range(8 * len(whole)), 300):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        file.write_bytes(flipped)
        with pytest.raises(BadInput, match="delete it and run its study again"):
            stored("s", ledger)


@pytest.mark.parametrize("text", [b"", b"{", b"null", b"3", b"[]", b'"x"', b"{}", b"[" * 100_000, b"\xff"])
def test_a_file_that_is_no_plan_is_refused_in_one_line(ledger: Ledger, file: Path, text: bytes) -> None:
    file.write_bytes(text)
    with pytest.raises(BadInput, match="delete it and run its study again") as refused:
        all_stored(ledger)
    assert str(refused.value).startswith(str(file))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"equivalence": "0.02"},
        {"seeds": 3},
        {"study": 5},
        {"arms": {}},
        {"arms": [{**asdict(ARM), "trials": {"0": 3}}]},
        {"arms": [{**asdict(ARM), "trials": {"0": "../../../../elsewhere/file"}}]},
        {"arms": [{**asdict(ARM), "trials": [1]}]},
        {"more": 1},
    ],
)
def test_a_sealed_plan_with_other_content_is_refused(
    ledger: Ledger, file: Path, changed: dict[str, object]
) -> None:
    save(file, seal({"plan": {**asdict(PLAN), **changed}}))
    with pytest.raises(BadInput, match="no plan of this version"):
        stored("s", ledger)
