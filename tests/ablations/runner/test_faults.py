"""Faults of trials and machines: what a crash, a signal, a full disk or a lost file leaves behind."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.processes import is_alive, wait_for
from tests.helpers.stub_trials import WORK, make_trial, read_results, run_in_process, serialize_result, steady
from tests.helpers.trial_counts import RunCounts, run_and_count
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner import process
from unrolled.ablations.runner.child import Limits
from unrolled.ablations.runner.parallel import TrialConditions
from unrolled.bench.errors import BadInput
from unrolled.bench.trial import Result

MIB = 2**20


def run_fault(act: str, *, seconds: float = 120.0, **options) -> Result:
    """Run a trial with a behaviour and return its result."""
    return run_in_process(make_trial(0, act, **options), limits=Limits(time_limit=seconds))


OUT_OF_MEMORY = "out of memory (limit 512 MiB): raise --memory-limit"
ENDLESS = "time limit of 5 s: --time-limit"
FAULTS = {
    "raises": "ValueError: two lines",
    "exits": "SystemExit: enough",
    "diverges": "diverged at step 3",
    "fills_memory": OUT_OF_MEMORY,
    "fills_memory_like_torch": OUT_OF_MEMORY,
    "starts_threads": OUT_OF_MEMORY,
    "loops": ENDLESS,
    "ignores_sigterm": ENDLESS,
    "sleeps_without_releasing_python": ENDLESS,
    "answers_when_its_child_is_killed": ENDLESS,
    "leaves": "ended without a result (exit code 0)",
    "floods": "RuntimeError: flooded",
    "kills_itself": "killed by signal 9 (3 attempts)",
    "answers_garbage": "not its result (exit code 0)",
    "answers_for_another": "not its result (exit code 0)",
    "returns_nothing": "TypeError: tests.helpers.stub_trials:act returned NoneType, not a Result",
    "measures_oddly": "TypeError: Object of type object is not JSON serializable",
}


def test_a_fault_is_one_failed_trial_with_its_reason(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    healthy = [make_trial(seed) for seed in range(len(FAULTS))]
    faulty = [make_trial(0, act) for act in FAULTS]
    pairs = list(zip(faulty, healthy, strict=True))
    endless = [pair for pair in pairs if FAULTS[str(pair[0].options["act"])] == ENDLESS]
    # Two limits: one that comes soon, and one that no machine is too busy to keep for what does end.
    for group, seconds in ((endless, 5), ([pair for pair in pairs if pair not in endless], 120)):
        limits = Limits(time_limit=seconds, memory_bytes=512 * MIB)
        tally = run_and_count(
            [member for pair in group for member in pair],
            ledger,
            TrialConditions(run_import=WORK, workers=4, limits=limits),
        )
        diverged_count = sum(faulty.options["act"] == "diverges" for faulty, _ in group)  # which is a result
        failed_count = len(group) - diverged_count
        assert tally == RunCounts(measured_count=len(group) + diverged_count, failed_count=failed_count)
    trials = [member for pair in pairs for member in pair]
    results = read_results(ledger, trials)
    for stub in faulty:
        assert FAULTS[str(stub.options["act"])] in results[stub.id].reason
    (diverged,) = (result for result in results.values() if result.diverged)
    assert str(diverged.metrics["valid_loss"]) == "nan", "it keeps its numbers"
    assert [serialize_result(results[member.id]) for member in healthy] == [
        serialize_result(steady(member)) for member in healthy
    ]
    assert run_and_count(trials, ledger, TrialConditions(run_import=WORK)) == RunCounts(
        stored_count=2 * len(FAULTS)
    ), "nothing is tried for ever"


def test_an_exception_is_not_tried_again_and_keeps_its_traceback() -> None:
    result = run_fault("raises")
    assert result.attempts == 1
    assert result.output.startswith("about to fail\nTraceback (most recent call last):\n")
    assert result.output.endswith("ValueError: two\nlines\n")
    assert run_fault("steady").output == ""


def test_of_100_mb_of_output_the_end_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "OUTPUT_BYTES", 4096)
    result = run_fault("floods")
    assert len(result.output.encode()) == 4096
    assert "the last words\nTraceback" in result.output


def test_a_memory_limit_is_refused_where_it_stops_a_gpus_driver() -> None:
    on_gpu = replace(make_trial(), device="cuda")
    with pytest.raises(BadInput, match=r"^--memory-limit is for trials on the CPU.*--device cpu"):
        run_in_process(on_gpu, limits=Limits(memory_bytes=512 * MIB))
    assert run_in_process(on_gpu).is_done


@pytest.mark.parametrize("then", ["steady", "raises", "leaves", "kills_itself", "loops"])
def test_what_a_trial_started_ends_with_it(tmp_path: Path, then: str) -> None:
    seconds = 5 if then == "loops" else 120
    pid = str(tmp_path / "pid")
    result = run_fault("leaves_a_grandchild", seconds=seconds, pid=pid, then=then)
    assert result.is_done is (then == "steady")
    wait_for(lambda: not is_alive(int((tmp_path / "pid-0").read_text())))


@pytest.mark.parametrize(
    ("victim", "then"),
    [
        ("trial", "loops"),
        ("fork server", "loops"),
        ("driver", "loops"),
        ("driver", "sleeps_without_releasing_python"),
        ("driver", "ignores_sigterm"),
    ],
)
def test_what_trials_started_ends_with_whatever_is_killed(
    tmp_path: Path, start_study, victim: str, then: str
) -> None:
    words = {"act": "leaves_a_grandchild", "pid": tmp_path / "pid", "then": then}
    study = start_study(tmp_path / "results", count=2, attempts=1, **words)
    pid_files = [tmp_path / "pid-0", tmp_path / "pid-1"]
    wait_for(lambda: all(path.exists() and path.read_text() for path in pid_files))
    if victim == "driver":
        study.kill()
    else:
        for pid in study.trial_pids() if victim == "trial" else study.fork_server_pids():
            os.kill(pid, signal.SIGKILL)
        assert study.wait_for_end()[0] == 1
    wait_for(lambda: study.living_pids() == [])


def test_an_orphan_ends_with_the_run_or_the_next_after_a_kill(tmp_path: Path, start_study) -> None:
    study, killed_study = (
        start_study(tmp_path / name, count=1, act="leaves_an_orphan", pid=tmp_path / name, sleep=sleep)
        for name, sleep in (("whole", 0), ("killed", 600))
    )
    assert study.wait_for_end()[0] == 0
    assert study.living_pids() == []
    wait_for((tmp_path / "killed-0").exists)
    killed_study.kill()
    assert start_study(tmp_path / "next", count=1).wait_for_end()[0] == 0
    assert killed_study.living_pids() == []
