"""NVIDIA's GPUs by the driver's own library, NVML.

Needs neither torch nor a GPU and makes no CUDA context, so that planning may use it. Where NVML is missing
or refuses, all functions but `driver` and `newest_cuda` raise pynvml.NVMLError.
"""

import os
from collections.abc import Container
from dataclasses import dataclass, field
from itertools import takewhile
from typing import NamedTuple

import pynvml


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU, whole: instances of a divided one (MIG) are not used."""

    index: str  # as nvidia-smi counts, by PCI bus
    uuid: str  # as CUDA_VISIBLE_DEVICES takes it
    capability: tuple[int, int] = field(compare=False)  # compute capability, as (9, 0)

    def __str__(self) -> str:
        return f"GPU {self.index} ({self.uuid[:12]})"


class Reading(NamedTuple):
    """What a GPU does at a moment, for all its users and for some."""

    utilisation: float  # % of the last second or less
    memory: float  # MiB in use
    own_memory: float  # MiB of the processes that were asked for; 0 where the driver does not tell


def visible() -> list[Gpu]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves visible, in its order; all of them where it is not set.

    The variable lists GPUs by index (in the order of the PCI bus), by UUID or by its first characters. As in
    CUDA, the list ends at the first name that fits none.
    """
    pynvml.nvmlInit()
    every = [_gpu(index) for index in range(pynvml.nvmlDeviceGetCount())]
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return every
    found = (_named(name.strip(), every) for name in named.split(","))
    return list(dict.fromkeys(gpu for gpus in takewhile(bool, found) for gpu in gpus))


def read(gpu: Gpu, pids: Container[int] = ()) -> Reading:
    """A GPU's utilisation and memory now, and the memory of these processes."""
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByUUID(gpu.uuid)
    utilisation, memory = pynvml.nvmlDeviceGetUtilizationRates(handle), pynvml.nvmlDeviceGetMemoryInfo(handle)
    users = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    own = sum(user.usedGpuMemory or 0 for user in users if user.pid in pids)  # None where it is not told
    return Reading(float(utilisation.gpu), memory.used / 2**20, own / 2**20)


def driver() -> str:
    """The driver's version, or "" where there is none."""
    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return ""


def newest_cuda() -> tuple[int, int] | None:
    """The newest CUDA that the driver runs, as (12, 8); None where it does not tell."""
    try:
        pynvml.nvmlInit()
        version = pynvml.nvmlSystemGetCudaDriverVersion_v2()
        return version // 1000, version % 1000 // 10
    except pynvml.NVMLError:
        return None


def _named(name: str, every: list[Gpu]) -> list[Gpu]:
    """The one GPU that a name in CUDA_VISIBLE_DEVICES stands for; none where it fits none or several."""
    fit = [gpu for gpu in every if gpu.index == name or (name[:4] == "GPU-" and gpu.uuid.startswith(name))]
    return fit if len(fit) == 1 else []


def _gpu(index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(index=str(index), uuid=pynvml.nvmlDeviceGetUUID(handle), capability=(major, minor))
