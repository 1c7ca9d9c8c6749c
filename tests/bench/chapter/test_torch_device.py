"""Clocks and what a device used. What needs a GPU is tried where there is one."""

import os
from types import SimpleNamespace

import pytest
import torch

from tests.helpers.nvml_stand_in import Machine
from unrolled.bench.chapter import torch_device
from unrolled.bench.chapter.torch_device import Clock, read_gpu_memory
from unrolled.bench.hardware import devices, machine

GPU = torch.device("cuda")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_without_a_gpu_nothing_is_said_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert read_gpu_memory(torch.device("cpu")) == {}
    assert devices.read_driver_version() == ""


def test_the_peak_of_a_gpus_memory_begins_again_once_read(monkeypatch: pytest.MonkeyPatch) -> None:
    resets: list[object] = []
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 2 * 2**20)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", resets.append)
    assert read_gpu_memory(GPU) == {"gpu_memory_peak": 2.0}
    assert resets == [GPU]


def test_a_gpu_and_its_software_are_among_the_facts(nvml: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    properties = SimpleNamespace(name="NVIDIA H100", major=9, minor=0, uuid="d1a0")
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91000)
    expected = {
        "gpu": "NVIDIA H100",
        "gpu_uuid": "d1a0",
        "gpu_capability": "9.0",
        "driver": "580.159.04",
        "cuda": torch.version.cuda,
        "cudnn": 91000,
        "same_bits": "unverified",
    }
    assert expected.items() <= machine.read_machine_facts("cuda").items()
    del properties.uuid
    assert machine.read_machine_facts("cuda")["gpu_uuid"] == "", "an older torch does not tell it"


def test_products_on_a_gpu_have_full_single_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    torch.set_float32_matmul_precision("high")  # as TORCH_ALLOW_TF32_CUBLAS_OVERRIDE asks for
    torch_device.make_deterministic()
    assert not torch.backends.cudnn.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8", "32 MiB: torch warns where cuBLASLt gets less"


class Event:
    """An event of a GPU that is not there: a quarter of a second from one to the next."""

    happened = 0

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self, stream: object) -> None:
        Event.happened += 1
        self.at = Event.happened
        self.over = False

    def synchronize(self) -> None:
        self.over = True

    def elapsed_time(self, end: "Event") -> float:
        assert self.over and end.over, "a real one raises, unless both have happened"
        return 250.0 * (end.at - self.at)  # milliseconds


def test_a_lap_on_a_gpu_lies_between_two_of_its_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: device)
    clock = Clock(GPU)
    assert (clock.lap(), clock.lap(), Event.happened) == (0.25, 0.25, 3)


@pytest.mark.gpu
@needs_gpu
def test_memory_is_that_of_one_measurement_and_not_of_the_largest_before() -> None:
    first, second = (_use_memory(mebibytes) for mebibytes in (64, 16))
    assert second < 64 <= first


def _use_memory(mebibytes: int) -> float:
    """Return the peak of GPU memory once so many MiB were used."""
    read_gpu_memory(GPU)
    torch.zeros(mebibytes * 2**18, device=GPU)
    return read_gpu_memory(GPU)["gpu_memory_peak"]


@pytest.mark.gpu
@needs_gpu
def test_a_lap_ends_with_the_work_that_was_queued() -> None:
    clock = Clock(GPU)
    a = torch.randn(4096, 4096, device=GPU)
    for _ in range(20):
        a = a @ a
    clock.lap()
    assert torch.cuda.current_stream(GPU).query()
