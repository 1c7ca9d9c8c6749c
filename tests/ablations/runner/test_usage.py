"""What a long trial used, as its parent sampled it."""

import os
import signal
import subprocess
import sys

import pytest
from nvml_stand_in import Machine
from stub_trials import alone, trial

from ablations.runner import usage
from bench.devices import usable
from bench.trial import Result

BUSY = "import time\nblock = bytearray(50 * 2**20)\nprint('up', flush=True)\nwhile True: pass"

PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(usage, "EVERY", 0.0)
    monkeypatch.setattr(usage, "LONG", 0.0)


@pytest.fixture
def busy():
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True) as child:
        child.stdout.readline()
        yield child.pid
        child.kill()


def test_a_busy_process_of_fifty_mib_is_seen_as_one(busy):
    seen = usage.Usage(busy)
    while sum(cpu := seen.series().get("cpu", ())) == 0:  # until the scheduler has let it run
        seen.sample()
    assert all(50 <= mib < 500 for mib in seen.series()["memory"])
    assert min(cpu) >= 0
    assert list(seen.series()["seconds"]) == sorted(seen.series()["seconds"])


def test_a_series_stays_short_however_long_the_trial(busy, monkeypatch):
    monkeypatch.setattr(usage, "MOST", 10)
    seen = usage.Usage(busy)
    for _ in range(200):
        seen._last = -1e9  # as if a long time had passed
        seen.sample()
        assert len(seen.series().get("cpu", ())) <= 10


def test_nothing_is_kept_of_a_short_trial(busy, monkeypatch):
    monkeypatch.setattr(usage, "LONG", 1e9)
    seen = usage.Usage(busy)
    seen.sample()
    assert seen.series() == {}


def test_a_process_that_ends_gives_no_more_samples_and_no_error():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    early = usage.Usage(child.pid)
    child.communicate()
    for seen in (early, usage.Usage(child.pid)):
        seen.sample()
        assert seen.series() == {}


def test_the_gpu_is_read_as_a_whole_and_its_memory_of_the_trials_processes_too(nvml: Machine):
    code = (
        f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {BUSY!r}]).pid, flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", f"{code}\ninput()"], **PIPES) as parent:
        child = parent.stdout.readline().strip()
        nvml.has({"used": 1024, "busy": 37, "users": {parent.pid: 100, child: 200, os.getpid(): 400}})
        seen = usage.Usage(parent.pid, usable().gpus[0])
        seen.sample()
        nvml.has({"used": 900, "busy": 39, "users": {}})
        seen.sample()
        os.kill(int(child), signal.SIGKILL)
        parent.communicate()
    assert (seen.series()["gpu"], seen.series()["gpu_memory"]) == ((37.0, 39.0), (1024.0, 900.0))
    assert seen.gpu_metrics() == {"gpu_utilisation": 38, "gpu_memory_used": 1024, "gpu_memory_peak": 300}


def test_a_result_has_its_samples_and_reads_back(monkeypatch):
    monkeypatch.setattr(usage, "EVERY", 0.001)
    result = alone(trial())
    assert set(result.usage) == {"seconds", "cpu", "memory"}
    assert Result.from_dict(result.to_dict()) == result
