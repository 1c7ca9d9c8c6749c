"""Which GPUs a trial's process sees."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.helpers.bad_input import raises_bad_input
from tests.helpers.nvml_stand_in import Machine, uuid
from tests.helpers.stub_trials import WORK, make_gpu_trial
from tests.helpers.trial_counts import RunCounts, run_and_count
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner.gpus import GpuSlots
from unrolled.ablations.runner.parallel import TrialConditions, run_trials
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.hardware.devices import list_visible_gpus
from unrolled.bench.program.program_trial import ProgramTrial
from unrolled.bench.trial import Result

MEETS = """
import os, pathlib, sys, time
out, places = pathlib.Path(sys.argv[1]), int(sys.argv[2])
seed = os.environ["UNROLLED_SEED"]
pathlib.Path(f"visible-{seed}").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
while len(list(pathlib.Path().glob("visible-*"))) < places:
    time.sleep(0.01)
print('{"loss": 1}')
"""
"""A program that writes down which GPUs it sees, and waits until a trial has begun in each place."""


def run_on_gpus(ledger: Ledger, trials: list[ChapterTrial], workers: int, **words) -> dict[int, Result]:
    """Run trials on the visible GPUs and return the results, by seed."""
    run_trials(
        trials, ledger, TrialConditions(run_import=WORK, workers=workers, gpus=list_visible_gpus(), **words)
    )
    return {
        result.trial.seed: result for result in ledger.read_results(trial.id for trial in trials).values()
    }


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
    nvml.has(gpus)
    (tmp_path / "log").touch()
    trials = [
        make_gpu_trial(seed, "meets", log=str(tmp_path / "log"), places=places) for seed in range(places)
    ]
    results = run_on_gpus(ledger, trials, places)
    assert Counter(r.provenance["CUDA_VISIBLE_DEVICES"] for r in results.values()) == expected
    assert {r.provenance["CUDA_DEVICE_ORDER"] for r in results.values()} == {"PCI_BUS_ID"}
    for result in results.values():
        index = int(result.provenance["gpu_index"])
        assert result.provenance["CUDA_VISIBLE_DEVICES"] == result.provenance["gpu_uuid"] == uuid(index)
        assert result.provenance["trials_at_a_time"] == places


def test_a_trial_on_the_cpu_sees_no_gpu(nvml: Machine, ledger: Ledger) -> None:
    nvml.has(1)
    (result,) = run_on_gpus(ledger, [make_gpu_trial(device="cpu")], 1).values()
    assert result.provenance["CUDA_VISIBLE_DEVICES"] == ""
    assert "gpu_uuid" not in result.provenance


def test_a_users_own_code_sees_the_trials_gpu_from_its_first_line(
    nvml: Machine, ledger: Ledger, tmp_path: Path
) -> None:
    """As torch looks for GPUs once, and a plug-in may let it."""
    nvml.has(2)
    record = tmp_path / "seen"
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "import os\nfrom pathlib import Path\nfrom unrolled import regularizer\n\n"
        f"Path({str(record)!r}).write_text(os.environ.get('CUDA_VISIBLE_DEVICES', 'all'))\n\n"
        "@regularizer('own')\ndef own(output):\n    return output.raw.mean()\n"
    )
    assert run_on_gpus(ledger, [make_gpu_trial()], 1, plugins=[str(plugin)])[0].is_done
    assert record.read_text() == uuid(0)


def test_a_trial_out_of_gpu_memory_fails_alone_with_a_cure(nvml: Machine, ledger: Ledger) -> None:
    nvml.has(1)
    results = run_on_gpus(ledger, [make_gpu_trial(0, "has_no_gpu_memory"), make_gpu_trial(1)], 1)
    assert (results[0].status, results[0].attempts, results[1].status) == ("failed", 1, "done")
    assert results[0].reason.startswith("out of memory (CUDA out of memory.")
    assert "-j" in results[0].reason and "batch" in results[0].reason


@pytest.mark.parametrize(("gpus", "places"), [(2, 1), (5, 2)])
def test_each_trial_has_the_gpus_of_its_study_for_itself(
    nvml: Machine, ledger: Ledger, tmp_path: Path, gpus: int, places: int
) -> None:
    nvml.has(gpus)
    (tmp_path / "train.py").write_text(MEETS)
    fields = {
        "run": "python train.py {out} {places}",
        "settings": {"places": places},
        "code_patterns": ("train.py",),
    }
    trials = [
        ProgramTrial(seed=seed, device="cuda", gpus=2, folder=str(tmp_path), **fields).identify()
        for seed in range(places)
    ]
    conditions = TrialConditions(workers=places, gpus=list_visible_gpus())
    assert run_and_count(trials, ledger, conditions) == RunCounts(measured_count=places)
    provenances = [result.provenance for result in ledger.read_results(trial.id for trial in trials).values()]
    visible = [(tmp_path / f"visible-{seed}").read_text() for seed in range(places)]
    assert sorted(visible) == sorted(provenance["gpu_uuid"] for provenance in provenances)
    assert sorted(visible) == [f"{uuid(first)},{uuid(first + 1)}" for first in range(0, 2 * places, 2)]


def test_trials_of_several_gpus_each_take_turns(nvml: Machine) -> None:
    nvml.has(3)
    slots = GpuSlots(list_visible_gpus(), 1)
    running = 0
    maximum = 0

    def train(_: int) -> list[str]:
        nonlocal running, maximum
        with slots.hold_gpus(2) as gpus:
            running += 1
            maximum = max(maximum, running)
            time.sleep(0.001)
            running -= 1
        return [gpu.index for gpu in gpus]

    with ThreadPoolExecutor(8) as pool:
        indexes_by_trial = list(pool.map(train, range(100), timeout=60))
    assert maximum == 1 and {len({*indexes}) for indexes in indexes_by_trial} == {2}


def test_more_gpus_than_are_visible_are_refused_at_once(nvml: Machine) -> None:
    nvml.has(2)
    with (
        raises_bad_input("3 GPUs", "only 2", place="device cuda"),
        GpuSlots(list_visible_gpus(), 1).hold_gpus(3),
    ):
        pass
