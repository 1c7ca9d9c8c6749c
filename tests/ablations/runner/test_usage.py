"""What a trial used of its GPU, as its parent sampled it."""

import os
import signal
import subprocess
import sys

import pytest
from nvml_stand_in import Machine

from ablations.runner import usage
from bench.devices import usable

SLEEPS = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True); input()"

PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(usage, "EVERY", 0.0)


def test_a_process_that_ends_gives_no_more_samples_and_no_error(nvml: Machine):
    nvml.has({})
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    early = usage.Usage(child.pid, usable().gpus[0])
    child.communicate()
    early.sample()
    assert early.gpu_metrics() == {}


def test_the_gpu_is_read_as_a_whole_and_its_memory_of_the_trials_processes_too(nvml: Machine):
    with subprocess.Popen([sys.executable, "-c", SLEEPS], **PIPES) as parent:
        child = parent.stdout.readline().strip()
        nvml.has({"used": 1024, "busy": 37, "users": {parent.pid: 100, child: 200, os.getpid(): 400}})
        seen = usage.Usage(parent.pid, usable().gpus[0])
        seen.sample()
        nvml.has({"used": 900, "busy": 39, "users": {}})
        seen.sample()
        os.kill(int(child), signal.SIGKILL)
        parent.communicate()
    assert seen.gpu_metrics() == {"gpu_utilisation": 38, "gpu_memory_used": 1024, "gpu_memory_peak": 300}
