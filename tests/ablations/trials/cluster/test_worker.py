"""What a worker proves and refuses, without a cluster."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from stub_trials import WORK, bits, steady, trial

from ablations.ledger import unseal
from ablations.trials import worker
from ablations.trials.process import Limits
from ablations.trials.worker import TaskSpec
from bench.trial import Result


def never() -> bool:
    return False


def spec(**words) -> TaskSpec:
    given = {"work": WORK, "limits": Limits(), "code": worker.digest()}
    return TaskSpec(**{**given, **words})


def test_a_worker_fits_a_driver_with_the_same_code_and_versions() -> None:
    assert worker.unfit(worker.facts()) == ""


@pytest.mark.parametrize("name", ["Python", "torch", "unrolled"])
def test_a_worker_with_another_version_says_which(name: str) -> None:
    theirs = worker.facts()
    own, theirs[name] = theirs[name], "0.0"
    assert worker.unfit(theirs) == f"has {name} {own}, the driver 0.0: install the same there"


@pytest.mark.parametrize("file", ["bench/metrics.py", "bench/models/new.py"])
def test_a_worker_names_the_file_that_differs_or_that_only_one_side_has(file: str) -> None:
    told = worker.unfit({**worker.facts(), file: "0" * 64})
    assert told.startswith(f"has another {file} than the driver: ")


def test_code_edited_after_the_driver_looked_is_refused_trial_by_trial(tmp_path: Path) -> None:
    answer = worker.run(trial(), spec(code="0" * 64), tmp_path, never)
    assert unseal(answer) == {"refused": "has code that was edited since the study began: restart it"}


def test_a_result_comes_back_sealed_with_the_local_bits(tmp_path: Path) -> None:
    limits = Limits(seconds=float("inf"))
    kept = tmp_path / "unrolled-checkpoints" / f"{trial().id}.cuda.pt"
    kept.parent.mkdir()
    kept.touch()
    answer = worker.run(trial(), spec(limits=limits), tmp_path / "files", never)
    assert not kept.exists(), "the trial has ended"
    result = Result.from_dict(unseal(answer)["result"])
    assert bits(result) == bits(steady(trial()))
    with pytest.raises(ValueError, match="the bytes differ"):
        unseal(answer.replace(b"done", b"d0ne"))


def test_a_cancelled_trial_ends_and_answers_nothing(tmp_path: Path) -> None:
    endless = replace(trial(), options={"act": "loops"})
    assert "result" not in unseal(worker.run(endless, spec(), tmp_path, lambda: True))


def test_shipped_files_are_kept_under_the_hash_of_their_content_or_not_at_all(tmp_path: Path) -> None:
    content = "é\n".encode()
    name = f"{hashlib.sha256(content).hexdigest()}/my.txt"
    assert worker.stage(tmp_path, {name: content}) == ""
    assert (tmp_path / name).read_bytes() == content
    assert worker.stage(tmp_path, {name: b"other"}) == (
        "received my.txt with other bytes than were sent: run again"
    )
    assert (tmp_path / name).read_bytes() == content
