"""Clocks and what a device used. What needs a GPU is tried where there is one."""

import pytest
import torch

from bench import environment
from bench.throughput import Clock, gpu_use, gpu_utilisation

GPU = torch.device("cuda")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_without_a_gpu_nothing_is_said_of_one() -> None:
    assert gpu_use(torch.device("cpu")) == {}


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a driver")
def test_a_gpu_that_cannot_be_asked_costs_no_trial() -> None:
    assert gpu_utilisation(GPU) == {}


def test_single_precision_is_whole_on_a_gpu_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    environment.deterministic()
    assert not torch.backends.cudnn.allow_tf32 and torch.get_float32_matmul_precision() == "highest"


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
