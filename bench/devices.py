"""The GPUs that trials can be trained on here, or the reason why there are none. Imports no torch."""

import importlib.util
import math
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pynvml

from unrolled.bench import nvidia
from unrolled.bench.nvidia import Gpu

_CGROUP = Path("/sys/fs/cgroup")
_QUOTAS = ("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")
"""Files with a container's microseconds of time in each period, and the period: cgroup v2's and v1's."""


def cores() -> int:
    """The cores that this process may use: by affinity, and by its container's quota of time, rounded up."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux has it
    most = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    for names in _QUOTAS:
        with suppress(OSError, ValueError):  # no such file, or "max", which is no number
            quota, period = (int(word) for name in names for word in (_CGROUP / name).read_text().split())
            most = min(most, quota / period) if quota > 0 else most
    return math.ceil(most)


class Usable(NamedTuple):
    """The GPUs that trials can be trained on, a line on each other one; and if there are none, why."""

    gpus: tuple[Gpu, ...] = ()
    unused: tuple[str, ...] = ()
    why: str = ""
    cure: str = ""


def usable(*, with_torch: bool = True) -> Usable:
    """The usable GPUs, by NVML and, `with_torch`, the installed torch. Never raises."""
    try:
        found, newest = nvidia.visible(), nvidia.newest_cuda()
    except pynvml.NVMLError as error:
        return Usable(why=f"no NVIDIA driver answers ({error})", cure="see `nvidia-smi`")
    if not found:
        return Usable(why="no GPU is visible", cure="see `nvidia-smi -L` and CUDA_VISIBLE_DEVICES")
    if not with_torch:
        return Usable(tuple(found))
    version, cuda = torch_build()
    if not cuda:
        why = f"torch {version} is built without CUDA"
        return Usable(why=why, cure="install another torch (https://pytorch.org)")
    if newest and newest[0] < int(cuda.partition(".")[0]):  # CUDA 12.8 runs wherever 12.0 does
        most = f"{newest[0]}.{newest[1]} at most"
        why = f"torch {version} is built for CUDA {cuda}, the driver runs CUDA {most}"
        other = f"a torch for CUDA {newest[0]} (https://pytorch.org)"
        return Usable(why=why, cure=f"update the driver, or install {other}")
    compiled = architectures()
    gpus = tuple(gpu for gpu in found if _runs_on(compiled, gpu.capability))
    unused = tuple(_misfit(gpu, version, compiled) for gpu in found if gpu not in gpus)
    if gpus:
        return Usable(gpus, unused)
    return Usable(
        (), unused, "; ".join(unused), "install a torch that is compiled for it (https://pytorch.org)"
    )


def torch_build() -> tuple[str, str]:
    """The installed torch's version and its CUDA version, "" for a CPU build. Does not import torch."""
    spec = importlib.util.find_spec("torch")
    assert spec is not None and spec.origin is not None, "torch is a requirement of this package"
    found = runpy.run_path(str(Path(spec.origin).with_name("version.py")))
    return str(found["__version__"]), str(found.get("cuda") or "")


@cache
def architectures() -> tuple[str, ...]:
    """The architectures that torch's kernels are compiled for, as ("sm_80", "compute_90"); () if unknown.

    Torch is asked in a process of its own, which takes as long as importing it.
    """
    ask = (sys.executable, "-P", "-c", "import torch; print(*torch.cuda.get_arch_list())")
    return tuple(subprocess.run(ask, capture_output=True, text=True, check=False).stdout.split())


def _misfit(gpu: Gpu, version: str, compiled: Sequence[str]) -> str:
    major, minor = gpu.capability
    capability = f"has compute capability {major}.{minor}"
    return f"{gpu} {capability}, torch {version} is compiled for {' '.join(compiled)}"


def _runs_on(compiled: Sequence[str], capability: tuple[int, int]) -> bool:
    """Whether kernels have code for a GPU: machine code (sm) of its major version and no later minor one,
    or PTX (compute) of no later version. Source: CUDA C++ Programming Guide, "Binary Compatibility" and
    "PTX Compatibility".
    """
    for kind, _, number in (name.partition("_") for name in compiled):
        digits = number.rstrip("af")
        version = int(digits[:-1]), int(digits[-1])
        if version <= capability and (kind == "compute" or version[0] == capability[0]):
            return True
    return not compiled  # unknown: torch itself will tell
