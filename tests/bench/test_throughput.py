"""Clocks and what a device used. What needs a GPU is tried where there is one."""

import os
from pathlib import Path

import pytest
import torch

from bench import environment
from bench.throughput import Clock, gpu_use

GPU = torch.device("cuda")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_without_a_gpu_nothing_is_said_of_one() -> None:
    assert gpu_use(torch.device("cpu")) == {}


@pytest.mark.parametrize(
    ("said", "use"),
    [
        ("echo '37, 1024'", {"gpu_memory_peak": 2.0, "gpu_utilisation": 37.0}),
        ("exit 9", {"gpu_memory_peak": 2.0}),
    ],
)
def test_a_gpus_use_is_asked_for_and_its_peak_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, use: dict[str, float]
) -> None:
    program, again = tmp_path / "nvidia-smi", []
    program.write_text(f"#!/bin/sh\n{said}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 2 * 2**20)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", again.append)
    assert gpu_use(GPU) == use and again == [GPU]


def test_single_precision_is_whole_on_a_gpu_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    environment.deterministic()
    assert not torch.backends.cudnn.allow_tf32 and torch.get_float32_matmul_precision() == "highest"


class Event:
    """An event of a GPU that is not there: a quarter of a second from one to the next."""

    happened = 0

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self, stream: object) -> None:
        Event.happened += 1
        self.at = Event.happened

    def synchronize(self) -> None:
        assert self.at

    def elapsed_time(self, end: "Event") -> float:
        return 250.0 * (end.at - self.at)  # milliseconds


def test_a_lap_on_a_gpu_lies_between_two_of_its_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: device)
    clock = Clock(GPU)
    assert (clock.lap(), clock.lap(), Event.happened) == (0.25, 0.25, 3)


@pytest.mark.gpu
@needs_gpu
def test_memory_is_that_of_one_measurement_and_not_of_the_largest_before() -> None:
    first, second = (_used(mebibytes) for mebibytes in (64, 16))
    assert second < 64 <= first


def _used(mebibytes: int) -> float:
    gpu_use(GPU)
    torch.zeros(mebibytes * 2**18, device=GPU)
    return gpu_use(GPU)["gpu_memory_peak"]


@pytest.mark.gpu
@needs_gpu
def test_a_lap_ends_with_the_work_that_was_queued() -> None:
    clock, a = Clock(GPU), torch.randn(4096, 4096, device=GPU)
    for _ in range(20):
        a = a @ a
    clock.lap()
    assert torch.cuda.current_stream(GPU).query()
