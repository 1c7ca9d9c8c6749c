"""What a worker proves and refuses, without a cluster."""

from pathlib import Path

import pytest
from stub_trials import WORK, bits, steady, trial

from ablations.runner import worker
from ablations.runner.child import TaskSpec
from bench.trial import Result

SPEC = TaskSpec(work=WORK)


def test_a_worker_fits_a_driver_with_the_same_code_and_versions() -> None:
    assert worker.mismatch(worker.facts()) == ""


@pytest.mark.parametrize("name", ["Python", "torch", "unrolled"])
def test_a_worker_with_another_version_says_which(name: str) -> None:
    theirs = worker.facts()
    own, theirs[name] = theirs[name], "0.0"
    assert worker.mismatch(theirs) == f"has {name} {own}, the driver 0.0: install the same there"


@pytest.mark.parametrize("file", ["bench/chapter/metrics.py", "bench/chapter/models/new.py"])
def test_a_worker_names_the_file_that_differs_or_that_only_one_side_has(file: str) -> None:
    told = worker.mismatch({**worker.facts(), file: "0" * 64})
    assert told.startswith(f"has another {file} than the driver: ")


def test_a_trial_has_the_local_bits_and_leaves_no_checkpoint(tmp_path: Path) -> None:
    kept = tmp_path / "unrolled-checkpoints" / f"{trial().id}.cuda.pt"
    kept.parent.mkdir()
    kept.touch()
    answer = worker.run_trial(trial(), SPEC, tmp_path / "files", lambda: False)
    assert not kept.exists(), "the trial has ended"
    assert bits(Result.from_dict(answer["result"])) == bits(steady(trial()))


def test_a_cancelled_trial_ends_and_answers_nothing(tmp_path: Path) -> None:
    assert worker.run_trial(trial(0, "loops"), SPEC, tmp_path, lambda: True) == {}
