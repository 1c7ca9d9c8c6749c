"""NVIDIA's GPUs by the driver's own library, NVML: which are visible, and the driver's version.

Needs neither torch nor a GPU and makes no CUDA context, so that planning may use it.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile

import pynvml


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU, whole: instances of a divided one (MIG) are not used."""

    index: str  # as nvidia-smi counts, by PCI bus
    uuid: str  # as CUDA_VISIBLE_DEVICES takes it


def visible_gpus() -> tuple[Gpu, ...]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves visible, in its order; all of them where it is not set.

    The variable lists GPUs by index (in the order of the PCI bus), by UUID or by its first characters. As in
    CUDA, the list ends at the first name that fits none. There are none where no driver answers.
    """
    try:
        pynvml.nvmlInit()
        gpus = [_read_gpu(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return ()
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    if names is None:
        return tuple(gpus)
    matches = (_match(name.strip(), gpus) for name in names.split(","))
    return tuple(dict.fromkeys(gpu for match in takewhile(bool, matches) for gpu in match))


def visibility_variables(gpus: Iterable[Gpu]) -> dict[str, str]:
    """The environment variables by which a process sees these GPUs and no others."""
    uuids = ",".join(gpu.uuid for gpu in gpus)
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": uuids}


def driver() -> str:
    """The driver's version, or "" where there is none."""
    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return ""


def _match(name: str, gpus: Iterable[Gpu]) -> list[Gpu]:
    """The one GPU that a name in CUDA_VISIBLE_DEVICES stands for; none where it fits none or several."""
    fit = [gpu for gpu in gpus if gpu.index == name or (name[:4] == "GPU-" and gpu.uuid.startswith(name))]
    return fit if len(fit) == 1 else []


def _read_gpu(index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    return Gpu(index=str(index), uuid=pynvml.nvmlDeviceGetUUID(handle))
