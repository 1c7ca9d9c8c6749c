"""Which GPU a trial's process sees, and what is read of it meanwhile."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from nvml_stand_in import Machine, uuid
from stub_trials import WORK, gpu_trial

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner import gpus as gpus_
from unrolled.ablations.runner.parallel import Counts, TrialConditions, run_trials
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.devices import usable
from unrolled.bench.errors import BadInput
from unrolled.bench.trial import Result


def ran(ledger: Ledger, trials: list[ChapterTrial], workers: int, **words) -> dict[int, Result]:
    """The results by seed, of trials on the GPUs that there are."""
    run_trials(trials, ledger, TrialConditions(work=WORK, workers=workers, gpus=usable().gpus, **words))
    return {result.trial.seed: result for result in ledger.results(each.id for each in trials).values()}


@pytest.mark.parametrize(
    ("gpus", "places", "expected"),
    [
        (1, 3, {uuid(0): 3}),
        (2, 4, {uuid(0): 2, uuid(1): 2}),
        (8, 8, {uuid(index): 1 for index in range(8)}),
    ],
)
def test_places_are_spread_over_gpus_and_each_trial_sees_its_own_alone(
    nvml: Machine, ledger: Ledger, tmp_path: Path, gpus: int, places: int, expected: dict[str, int]
) -> None:
    nvml.has(*[{}] * gpus)
    (tmp_path / "log").touch()
    trials = [gpu_trial(seed, "meets", log=str(tmp_path / "log"), places=places) for seed in range(places)]
    results = ran(ledger, trials, places)
    assert Counter(r.environment["CUDA_VISIBLE_DEVICES"] for r in results.values()) == expected
    assert {r.environment["CUDA_DEVICE_ORDER"] for r in results.values()} == {"PCI_BUS_ID"}
    for result in results.values():
        index = int(result.environment["gpu_index"])
        assert result.environment["CUDA_VISIBLE_DEVICES"] == result.environment["gpu_uuid"] == uuid(index)
        assert result.environment["trials_at_a_time"] == places


def test_a_trial_on_the_cpu_sees_no_gpu(nvml: Machine, ledger: Ledger) -> None:
    nvml.has({})
    (result,) = ran(ledger, [gpu_trial(device="cpu")], 1).values()
    assert result.environment["CUDA_VISIBLE_DEVICES"] == ""
    assert "gpu_uuid" not in result.environment and "gpu_memory_used" not in result.metrics


def test_a_users_own_code_sees_the_trials_gpu_from_its_first_line(
    nvml: Machine, ledger: Ledger, tmp_path: Path
) -> None:
    """As torch looks for GPUs once, and a plug-in may let it."""
    nvml.has({}, {})
    seen, plug_in = tmp_path / "seen", tmp_path / "mine.py"
    plug_in.write_text(
        "import os\nfrom pathlib import Path\nfrom unrolled.bench.plugins import regularizer\n\n"
        f"Path({str(seen)!r}).write_text(os.environ.get('CUDA_VISIBLE_DEVICES', 'all'))\n\n"
        "@regularizer('own')\ndef own(output):\n    return output.raw.mean()\n"
    )
    assert ran(ledger, [gpu_trial()], 1, preload=[str(plug_in)])[0].done
    assert seen.read_text() == uuid(0)


def test_no_gpu_is_refused_before_a_trial(nvml: Machine, ledger: Ledger) -> None:
    with pytest.raises(BadInput, match="device cuda: no GPU was given"):
        ran(ledger, [gpu_trial()], 1)


def test_out_of_memory_is_one_failed_trial_with_a_cure_and_the_rest_goes_on(
    nvml: Machine, ledger: Ledger
) -> None:
    nvml.has({})
    results = ran(ledger, [gpu_trial(0, "has_no_gpu_memory"), gpu_trial(1)], 1)
    assert (results[0].status, results[0].attempts, results[1].status) == ("failed", 1, "done")
    assert results[0].reason.startswith("out of memory (CUDA out of memory.")
    assert "-j" in results[0].reason and "batch" in results[0].reason


def test_a_gpu_that_cannot_be_read_has_no_metrics_and_its_trial_is_done(
    nvml: Machine, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus_, "EVERY", 0.05)
    nvml.has({})
    gpus = usable().gpus
    nvml.has()
    assert run_trials([gpu_trial(sleep=0.5)], ledger, TrialConditions(work=WORK, gpus=gpus)) == Counts(done=1)
    result = ledger.read(gpu_trial(sleep=0.5).id)
    assert result is not None and "gpu_memory_used" not in result.metrics


SLEEPS = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True); input()"


def test_a_process_that_ends_gives_no_more_samples_and_no_error(nvml: Machine) -> None:
    nvml.has({})
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    early = gpus_.Usage(child.pid, usable().gpus[0])
    child.communicate()
    early.sample()
    assert early.gpu_metrics() == {}


def test_the_gpu_is_read_as_a_whole_and_its_memory_of_the_trials_processes_too(
    nvml: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus_, "EVERY", 0.0)
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        child = parent.stdout.readline().strip()
        nvml.has({"used": 1024, "busy": 37, "users": {parent.pid: 100, child: 200, os.getpid(): 400}})
        seen = gpus_.Usage(parent.pid, usable().gpus[0])
        seen.sample()
        nvml.has({"used": 900, "busy": 39, "users": {}})
        seen.sample()
        os.kill(int(child), signal.SIGKILL)
        parent.communicate()
    assert seen.gpu_metrics() == {"gpu_utilisation": 38, "gpu_memory_used": 1024, "gpu_memory_peak": 300}
