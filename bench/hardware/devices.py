"""The cores and the NVIDIA GPUs that trials may use on this machine. Imports no torch.

GPUs are listed by the driver's library, NVML, which creates no CUDA context and may therefore be used in
planning.
"""

import math
import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pynvml

from unrolled.bench.errors import require

_CGROUP = Path("/sys/fs/cgroup")
_QUOTAS = ("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")
"""Files with a container's microseconds of time in each period, and the period: cgroup v2's and v1's."""


def count_cores() -> int:
    """Return how many cores this process may use, by its affinity and its container's quota of time.

    A quota of 1.5 cores counts as 2.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # only some platforms, such as Linux, have it
    cores = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    for names in _QUOTAS:
        with suppress(OSError, ValueError):  # the file may be missing, or hold "max", which is not a number
            quota, period = (int(word) for name in names for word in (_CGROUP / name).read_text().split())
            if quota > 0:
                cores = min(cores, quota / period)
    return math.ceil(cores)


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A whole GPU: instances of a divided one (MIG) are not used."""

    index: str  # nvidia-smi's index, in the order of the PCI bus
    uuid: str  # identifier that CUDA_VISIBLE_DEVICES accepts
    name: str  # name of the card, such as "NVIDIA H100 80GB HBM3"


def list_visible_gpus() -> tuple[Gpu, ...]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES leaves visible, in its order; all if it is not set.

    The variable lists GPUs by index (in the order of the PCI bus), by UUID or by the first characters of a
    UUID. As in CUDA, the list ends at the first name that fits no GPU. Returns () if no driver answers.
    """
    gpus = []
    try:
        pynvml.nvmlInit()
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            uuid = pynvml.nvmlDeviceGetUUID(handle)
            gpus.append(Gpu(index=str(index), uuid=uuid, name=pynvml.nvmlDeviceGetName(handle)))
    except pynvml.NVMLError:
        return ()
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    if names is None:
        return tuple(gpus)
    visible: dict[Gpu, None] = {}
    for name in names.split(","):
        gpu = _find_gpu(name.strip(), gpus)
        if gpu is None:
            break
        visible[gpu] = None
    return tuple(visible)


def make_visibility_variables(gpus: Iterable[Gpu]) -> dict[str, str]:
    """Return the environment variables by which a process sees these GPUs and no others."""
    uuids = ",".join(gpu.uuid for gpu in gpus)
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": uuids}


def read_driver_version() -> str:
    """Return the driver's version, or "" where there is none."""
    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return ""


def _find_gpu(name: str, gpus: Iterable[Gpu]) -> Gpu | None:
    """Return the one GPU that a name in CUDA_VISIBLE_DEVICES stands for; None if it fits none or several."""
    matches = [gpu for gpu in gpus if gpu.index == name or (name[:4] == "GPU-" and gpu.uuid.startswith(name))]
    return matches[0] if len(matches) == 1 else None


_OPERATION = """
import sys
import torch
for position, index in enumerate(sys.argv[1:]):
    try:
        (torch.zeros(1, device=f"cuda:{position}") + 1).item()
    except Exception as error:
        sys.exit(f"GPU {index}: " + str(error).partition("\\n")[0])
"""


def check_gpus(gpus: tuple[Gpu, ...], count: int, *, with_torch: bool = False) -> None:
    """Raise BadInput if trials that get `count` of these GPUs each cannot be trained on them.

    If `with_torch` is true and `count` is not 0, torch tries each GPU with a small operation.
    """
    rule = f"each trial gets {count} GPUs (`gpus` in [program]), and only {len(gpus)} can be seen"
    if not gpus:
        rule = "no GPU is visible"
    cure = "see `nvidia-smi -L` and CUDA_VISIBLE_DEVICES, or use --device cpu"
    require(len(gpus) >= count, rule, place="device cuda", cure=cure)
    fault = _find_torch_fault(gpus) if with_torch and count else ""
    cure = "install a torch for it (https://pytorch.org), hide it (CUDA_VISIBLE_DEVICES), or use --device cpu"
    require(not fault, f"torch cannot use a visible GPU ({fault})", place="device cuda", cure=cure)


@cache
def _find_torch_fault(gpus: tuple[Gpu, ...]) -> str:
    """Return the error of torch's small operation on these GPUs; "" if all succeed.

    The operation runs in another process, which takes as long as importing torch.
    """
    command = [sys.executable, "-P", "-c", _OPERATION, *(gpu.index for gpu in gpus)]
    environ = {**os.environ, **make_visibility_variables(gpus)}
    process = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if process.returncode == 0:
        return ""
    lines = process.stderr.split("\n")
    return next(filter(None, reversed(lines)), f"exit code {process.returncode}")
