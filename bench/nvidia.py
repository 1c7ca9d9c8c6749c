"""NVIDIA's GPUs by the driver's own library, NVML.

Needs neither torch nor a GPU and makes no CUDA context, so that planning may use it. Where NVML is missing
or refuses, all functions but `driver` and `newest_cuda` raise pynvml.NVMLError.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, takewhile
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import pynvml

T = TypeVar("T")

_GONE = ("GPU_IS_LOST", "GPU_NOT_FOUND", "NOT_FOUND", "RESET_REQUIRED")
GONE = frozenset(getattr(pynvml, f"NVML_ERROR_{name}") for name in _GONE)
"""Errors after which a GPU, or an instance of one, computes nothing more in this run."""


class Lost(Exception):
    """A GPU has disappeared."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A whole GPU, or one of the instances that a GPU is divided into (MIG)."""

    index: str  # as nvidia-smi counts, by PCI bus: "0"; "0:1" is instance 1 of GPU 0
    uuid: str  # as CUDA_VISIBLE_DEVICES takes it
    free: float = field(default=0.0, compare=False)  # MiB that nobody used when it was found
    capability: tuple[int, int] | None = field(default=None, compare=False)  # compute capability, as (9, 0)

    def __str__(self) -> str:
        return f"GPU {self.index} ({self.uuid[:12]})"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A GPU's memory and utilisation at a moment, by all its users."""

    memory: float  # MiB in use
    free: float  # MiB
    utilisation: float | None  # % of the last second or less; None for an instance of a GPU


def visible() -> list[Gpu]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves visible, in its order; all of them where it is not set.

    The variable lists GPUs by index (in the order of the PCI bus), or GPUs and instances by UUID or its
    first characters. As in CUDA, the list ends at the first unknown name. A GPU in MIG mode is replaced by
    its instances.
    """
    pynvml.nvmlInit()
    every = [_gpu(index) for index in range(pynvml.nvmlDeviceGetCount())]
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [gpu for _, parts in every for gpu in parts]
    found = (_named(name.strip(), every) for name in named.split(","))
    return list(dict.fromkeys(chain.from_iterable(takewhile(bool, found))))


def read(gpu: Gpu) -> Reading:
    """A GPU's reading now. Raises Lost where it has disappeared."""
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(gpu.uuid)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        return Reading(memory=memory.used / 2**20, free=memory.free / 2**20, utilisation=_utilisation(handle))
    except pynvml.NVMLError as error:
        if error.value in GONE:
            raise Lost(str(error)) from error
        raise


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


def within(seconds: float, ask: Callable[[], T]) -> T | Exception:
    """The result or exception of `ask`; a TimeoutError after `seconds`, as a faulty driver may hang."""
    said: SimpleQueue[T | Exception] = SimpleQueue()

    def answer() -> None:
        try:
            said.put(ask())
        except Exception as error:
            said.put(error)

    threading.Thread(target=answer, daemon=True).start()
    try:
        return said.get(timeout=seconds)
    except Empty:
        return TimeoutError(f"nothing in {seconds:g} s")


def _named(name: str, every: list[tuple[str, list[Gpu]]]) -> list[Gpu]:
    """The GPUs that one name in CUDA_VISIBLE_DEVICES stands for; none where it fits several."""
    if name.isdecimal():
        return every[int(name)][1] if int(name) < len(every) else []
    if name.startswith("MIG-"):
        return [gpu for _, parts in every for gpu in parts if gpu.uuid == name]
    fit = [parts for uuid, parts in every if name.startswith("GPU-") and uuid.startswith(name)]
    return fit[0] if len(fit) == 1 else []


def _gpu(index: int) -> tuple[str, list[Gpu]]:
    """UUID of a GPU, and it or its instances; nothing of one that does not answer."""
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        uuid = pynvml.nvmlDeviceGetUUID(handle)
        if _divided(handle):
            return uuid, _instances(index, handle)
        return uuid, [_described(str(index), handle, _capability(handle))]
    except pynvml.NVMLError:
        return "", []


def _divided(handle: Any) -> bool:
    try:
        return bool(pynvml.nvmlDeviceGetMigMode(handle)[0])
    except pynvml.NVMLError:  # a GPU that knows no MIG
        return False


def _instances(index: int, handle: Any) -> list[Gpu]:
    found = []
    for number in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        with suppress(pynvml.NVMLError):  # not every number is taken
            instance = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
            found.append(_described(f"{index}:{number}", instance, _capability(handle)))
    return found


def _described(index: str, handle: Any, capability: tuple[int, int] | None) -> Gpu:
    return Gpu(
        index=index,
        uuid=pynvml.nvmlDeviceGetUUID(handle),
        free=pynvml.nvmlDeviceGetMemoryInfo(handle).free / 2**20,
        capability=capability,
    )


def _capability(handle: Any) -> tuple[int, int] | None:
    try:
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
        return int(major), int(minor)
    except pynvml.NVMLError:
        return None


def _utilisation(handle: Any) -> float | None:
    try:
        return float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    except pynvml.NVMLError as error:
        if error.value in GONE:
            raise
        return None
