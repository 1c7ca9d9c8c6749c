"""What is read of GPUs while trials run on them."""

import threading
import time
from pathlib import Path

import pytest
from gpu_trials import WORK, trial
from nvml_stand_in import Machine

from ablations.ledger import Ledger
from ablations.trials.runner import run_trials
from ablations.trials.sampling import Sampler
from bench import nvidia
from bench.devices import usable
from bench.nvidia import Gpu
from bench.trial import Result


def ran(folder: Path, *seeds: int, **options) -> list[Result]:
    ledger, trials = Ledger(folder), [trial(seed, **options) for seed in seeds]
    run_trials(trials, ledger, work=WORK, workers=len(seeds), gpus=usable().gpus)
    return [result for each in trials if (result := ledger.read(each.id))]


def test_a_short_trial_has_its_gpus_utilisation_and_memory(nvml: Machine, tmp_path: Path) -> None:
    nvml.has({"busy": 40, "used": 1000}, {"busy": 80, "used": 2000})
    zero, one = ran(tmp_path, 0, 1, sleep=0.3)
    seen = {
        r.environment["gpu_index"]: (r.metrics["gpu_utilisation"], r.metrics["gpu_memory_used"])
        for r in (zero, one)
    }
    assert seen == {"0": (40.0, 1000.0), "1": (80.0, 2000.0)}
    assert zero.usage == {}, "its series is that of a long trial alone"


def test_an_instance_of_a_gpu_has_memory_and_no_utilisation(nvml: Machine, tmp_path: Path) -> None:
    nvml.has({"mig": [{"total": 10_000, "used": 300}]})
    (result,) = ran(tmp_path, 0, sleep=0.3)
    assert result.metrics["gpu_memory_used"] == 300.0 and "gpu_utilisation" not in result.metrics


def test_no_trial_waits_for_a_driver_that_does_not_answer(nvml: Machine, tmp_path: Path) -> None:
    nvml.has({})
    found, ledger = usable().gpus, Ledger(tmp_path)
    run_trials([trial(3)], ledger, work=WORK, gpus=found)  # so that the fork server is there
    nvml.has({"sleep": 10.0})  # twice a reading
    began = time.monotonic()
    run_trials([trial(seed) for seed in range(3)], ledger, work=WORK, gpus=found)
    assert time.monotonic() - began < 10
    results = ledger.results(trial(seed).id for seed in range(3)).values()
    assert [(result.status, "gpu_memory_used" in result.metrics) for result in results] == [
        ("done", False)
    ] * 3


def watched(sampler: Sampler, gpu: Gpu, change, wait_for) -> dict[str, float]:
    with sampler.readings(gpu) as seen:
        wait_for(lambda: seen.count)
        change()
        before = seen.count
        wait_for(lambda: seen.count > before + 1)
    return seen.metrics()


def test_memory_is_the_most_and_utilisation_the_mean_of_what_was_read_meanwhile(
    nvml: Machine, wait_for
) -> None:
    nvml.has({"busy": 100, "used": 5000})
    (gpu,) = usable().gpus
    sampler = Sampler([gpu], lambda *_: None)
    found = watched(sampler, gpu, lambda: nvml.has({"busy": 0, "used": 10}), wait_for)
    again = watched(sampler, gpu, lambda: None, wait_for)
    sampler.close()
    assert found["gpu_memory_used"] == 5000.0 and 0 < found["gpu_utilisation"] < 100
    assert again == {"gpu_memory_used": 10.0, "gpu_utilisation": 0.0}


def test_one_thread_reads_all_gpus_however_many_trials_there_are(
    nvml: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nvml.has(*[{}] * 8)
    readers: set[str] = set()
    honest = nvidia.read

    def read(gpu: Gpu) -> nvidia.Reading:
        readers.add(threading.current_thread().name)
        return honest(gpu)

    monkeypatch.setattr(nvidia, "read", read)
    ran(tmp_path, *range(8))
    assert readers == {"gpus"}


def test_a_gpu_that_disappears_is_told_once_and_the_others_are_read_on(nvml: Machine, wait_for) -> None:
    nvml.has({}, {})
    found, lost = usable().gpus, []
    sampler = Sampler(found, lambda gpu, why: lost.append((gpu.index, why)))
    with sampler.readings(found[1]) as seen:
        nvml.has({"lost": True}, {})
        wait_for(lambda: lost)
        before = seen.count
        wait_for(lambda: seen.count > before + 1)
    sampler.close()
    assert lost == [("0", "GPU is lost")]


def test_after_closing_no_gpu_is_told_of(nvml: Machine, wait_for) -> None:
    nvml.has({})
    found, lost = usable().gpus, []
    nvml.has({"sleep": 0.3, "lost": True})
    sampler = Sampler(found, lambda *_: lost.append("told"))
    time.sleep(0.1)  # so that a reading is under way
    sampler.close()
    wait_for(lambda: all(thread.name != "gpus" for thread in threading.enumerate()))
    assert lost == []
