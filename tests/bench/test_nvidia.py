"""Which GPUs there are and which can be used, over a stand-in for the driver's library."""

import inspect

import nvml_stand_in as stand_in
import pynvml
import pytest
from nvml_stand_in import Machine, uuid

from unrolled.bench import devices, nvidia
from unrolled.bench.devices import usable

EIGHT = [{} for _ in range(8)]


def test_the_stand_in_is_called_as_pynvml_is() -> None:
    for name in stand_in.FUNCTIONS:
        theirs = inspect.signature(getattr(pynvml, name)).parameters
        assert list(inspect.signature(getattr(stand_in, name)).parameters) == list(theirs), name


ALL = list(range(8))


@pytest.mark.parametrize(
    ("machine", "named", "found"),
    [
        ([], None, []),
        (EIGHT, None, ALL),
        (EIGHT, "", []),
        (EIGHT, "-1", []),
        (EIGHT, "NoDevFiles", []),
        (EIGHT, "3", [3]),
        (EIGHT, " 5, 0 ", [5, 0]),
        (EIGHT, "1,1", [1]),
        (EIGHT, "1,8,2", [1]),
        (EIGHT, "1,-1,2", [1]),
        (EIGHT, uuid(6), [6]),
        (EIGHT, f"{uuid(6)[:12]},2", [6, 2]),
        (EIGHT, "GPU-0000", []),
        (EIGHT, "MIG-0000", []),
    ],
)
def test_gpus_are_named_by_index_or_uuid_up_to_the_first_that_fits_none(
    nvml: Machine, monkeypatch: pytest.MonkeyPatch, machine: list[dict], named: str | None, found: list
) -> None:
    nvml.has(*machine)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert [gpu.uuid for gpu in nvidia.visible()] == [uuid(index) for index in found]


def test_a_reading_has_utilisation_and_memory_and_a_lost_gpu_has_none(nvml: Machine) -> None:
    nvml.has({"used": 500, "busy": 37, "users": {"11": 100, "12": 200, "13": 50, "14": None}})
    (gpu,) = nvidia.visible()
    assert nvidia.read(gpu, {11, 12, 14}) == (37.0, 500.0, 300.0)
    nvml.has({"lost": True})
    with pytest.raises(pynvml.NVMLError):
        nvidia.read(gpu)


def test_what_is_missing_is_told(nvml: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable()[2:] == ("no GPU is visible", "see `nvidia-smi -L` and CUDA_VISIBLE_DEVICES")
    nvml.path.unlink()
    assert usable().why == "no NVIDIA driver answers (NVML Shared Library Not Found)"
    nvml.has({})
    monkeypatch.setattr(devices, "torch_build", lambda: ("2.13.0+cpu", ""))
    assert usable().why == "torch 2.13.0+cpu is built without CUDA" and not usable().gpus


@pytest.mark.parametrize(("cuda", "told"), [(12_000, ""), (13_000, ""), (11_080, "CUDA 11.8 at most")])
def test_a_driver_of_an_earlier_cuda_than_torchs_can_use_no_gpu(nvml: Machine, cuda: int, told: str) -> None:
    """Torch's is 12.8, which runs on any driver of CUDA 12."""
    nvml.has({}, cuda=cuda)
    found = usable()
    assert (bool(found.gpus), told in found.why) == (not told, True)
    assert ("torch for CUDA 11" in found.cure) is bool(told)


@pytest.mark.parametrize(
    ("capability", "can"),
    [((7, 0), 0), ((7, 5), 1), ((8, 9), 1), ((10, 3), 1), ((11, 0), 0), ((12, 1), 1), ((13, 0), 1)],
)
def test_a_gpu_for_which_torch_is_not_compiled_is_not_usable(
    nvml: Machine, capability: tuple[int, int], can: int
) -> None:
    """By machine code of its major version, or by PTX of an earlier one: see the stand-in's ARCHITECTURES."""
    nvml.has({"capability": capability}, {})
    found = usable()
    assert ["1", "0"][: len(found.gpus)] == [gpu.index for gpu in found.gpus][::-1]
    assert (len(found.gpus), len(found.unused)) == (1 + can, 1 - can)
