"""Which GPUs there are and which can be used, over a stand-in for the driver's library."""

import inspect

import nvml_stand_in as stand_in
import pynvml
import pytest
import torch
from nvml_stand_in import Machine, uuid

from bench import devices, nvidia
from bench.devices import usable

EIGHT = [{} for _ in range(8)]
DIVIDED = [{"mig": [{"total": 10_000}, None, {"total": 10_000}]}, {}]


def seen() -> list[str]:
    return [gpu.uuid for gpu in nvidia.visible()]


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
        (DIVIDED, None, [(0, 0), (0, 2), 1]),
        (DIVIDED, "0", [(0, 0), (0, 2)]),
        (DIVIDED, uuid(0), [(0, 0), (0, 2)]),
        (DIVIDED, uuid(0, 2), [(0, 2)]),
        (DIVIDED, f"{uuid(0, 2)},1", [(0, 2), 1]),
        (DIVIDED, uuid(0, 1), []),
    ],
)
def test_gpus_are_named_by_index_or_uuid_up_to_the_first_that_fits_none(
    nvml: Machine, monkeypatch: pytest.MonkeyPatch, machine: list[dict], named: str | None, found: list
) -> None:
    """In the order of nvidia-smi. A divided GPU stands for its instances."""
    nvml.has(*machine)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert seen() == [uuid(*at) if isinstance(at, tuple) else uuid(at) for at in found]
    assert all(gpu.index.replace(":", "").isdecimal() for gpu in nvidia.visible())


def test_a_gpu_that_has_disappeared_is_not_visible_and_cannot_be_read(nvml: Machine) -> None:
    nvml.has({}, {})
    gone = nvidia.visible()[1]
    nvml.has({}, {"lost": True})
    assert seen() == [uuid(0)]
    with pytest.raises(nvidia.Lost):
        nvidia.read(gone)


def test_a_reading_has_memory_and_of_a_whole_gpu_utilisation(nvml: Machine) -> None:
    nvml.has({"total": 80_000, "used": 500, "busy": 37}, {"mig": [{"total": 10_000, "used": 100}]})
    whole, part = map(nvidia.read, nvidia.visible())
    assert (whole.memory, whole.free, whole.utilisation) == (500.0, 79_500.0, 37.0)
    assert (part.memory, part.free, part.utilisation) == (100.0, 9_900.0, None)


def test_full_gpus_are_not_usable(nvml: Machine) -> None:
    nvml.has({"used": 79_900}, {"used": 79_000})
    found = usable()
    full = "GPU 0 (GPU-00000000) has 100 MiB free, a trial needs 600"
    assert ([gpu.index for gpu in found.gpus], found.unused, found.why) == (["1"], (full,), "")
    nvml.has({"used": 79_900})
    assert (usable().gpus, usable().why) == ((), full)


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


def test_instances_of_a_gpu_have_its_capability(nvml: Machine) -> None:
    nvml.has({"capability": (6, 1), "mig": [{}]}, {"capability": (8, 0), "mig": [{}]})
    assert [gpu.index for gpu in usable().gpus] == ["1:0"]


def test_torch_tells_what_it_is_compiled_for() -> None:
    assert devices.architectures() == tuple(torch.cuda.get_arch_list())


def test_a_driver_that_never_answers_is_told_after_a_while(
    nvml: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "PATIENCE", 0.05)
    nvml.has({"sleep": 5.0})
    assert usable().why == "no NVIDIA driver answers (nothing in 0.05 s)"
