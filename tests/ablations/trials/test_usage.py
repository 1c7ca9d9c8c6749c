"""What a long trial used, as its parent sampled it."""

import subprocess
import sys
from pathlib import Path

import pytest
from stub_trials import alone, trial

from ablations.trials import usage
from ablations.trials.sampling import Readings
from bench.nvidia import Reading
from bench.trial import Result

BUSY = "import time\nblock = bytearray(50 * 2**20)\nprint('up', flush=True)\nwhile True: pass"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(usage, "EVERY", 0.0)
    monkeypatch.setattr(usage, "LONG", 0.0)
    if not Path("/proc/self/stat").exists():
        pytest.skip("samples through /proc")


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
    memory = seen.series()["memory"]
    assert all(50 <= mib < 500 for mib in memory)
    assert min(cpu) >= 0
    assert list(seen.series()["seconds"]) == sorted(seen.series()["seconds"])


def test_a_series_stays_short_however_long_the_trial(busy, monkeypatch):
    monkeypatch.setattr(usage, "MOST", 10)
    seen = usage.Usage(busy)
    for _ in range(200):
        seen._last = -1e9  # as if a long time had passed
        seen.sample()
        assert len(seen.series().get("cpu", ())) <= 10
    monkeypatch.setattr(usage, "EVERY", 5.0)
    slow = usage.Usage(busy)
    for _ in range(40):
        slow._last = -1e9
        slow.sample()
    assert (
        slow._every == 5.0 * 2**5
    )  # thinned from 11 to 5 at the 11th sample, then at every 6th: 17, 23, 29, 35


def test_nothing_is_kept_of_a_short_trial(busy, monkeypatch):
    monkeypatch.setattr(usage, "LONG", 1e9)
    seen = usage.Usage(busy)
    seen.sample()
    assert seen.series() == {}


def test_a_process_that_is_gone_gives_no_sample_and_no_error():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    seen = usage.Usage(child.pid)
    seen.sample()
    assert seen.series() == {}


def test_the_series_has_what_was_last_read_of_the_trials_gpu(busy):
    watch = Readings()
    watch.add(Reading(memory=1024.0, free=0.0, utilisation=37.0))
    seen = usage.Usage(busy, watch)
    seen.sample()
    assert (seen.series()["gpu"], seen.series()["gpu_memory"]) == ((37.0,), (1024.0,))


@pytest.mark.parametrize("watch", [None, Readings()])
def test_a_gpu_of_which_nothing_was_read_is_left_out(busy, watch):
    seen = usage.Usage(busy, watch)
    seen.sample()
    assert set(seen.series()) == {"seconds", "cpu", "memory"}


def test_a_result_has_its_samples_and_reads_back(monkeypatch):
    monkeypatch.setattr(usage, "EVERY", 0.001)
    result = alone(trial())
    assert set(result.usage) >= {"seconds", "cpu", "memory"}
    assert Result.from_dict(result.to_dict()) == result
