"""The GPUs that trials can be trained on here, or the reason why there are none. Imports no torch."""

import importlib.util
import runpy
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from bench import nvidia
from bench.nvidia import Gpu

CONTEXT = 600.0
"""MiB of a GPU that a trial's process takes at least: CUDA's context and torch's kernels, .3 to .6 GB."""

PATIENCE = 10.0  # seconds for a driver to answer


class Usable(NamedTuple):
    """The GPUs that trials can be trained on, a line on each other one; and if there are none, why."""

    gpus: tuple[Gpu, ...] = ()
    unused: tuple[str, ...] = ()
    why: str = ""
    cure: str = ""


def usable() -> Usable:
    """The usable GPUs, by NVML and the installed torch. Never raises; waits at most `PATIENCE` for NVML."""
    answer = nvidia.within(PATIENCE, lambda: (nvidia.visible(), nvidia.newest_cuda()))
    found, newest = ([], None) if isinstance(answer, Exception) else answer
    lacks = []  # why there are none, and the cure
    if isinstance(answer, Exception):
        lacks.append((f"no NVIDIA driver answers ({answer})", "see `nvidia-smi`"))
    elif not found:
        lacks.append(("no GPU is visible", "see `nvidia-smi -L` and CUDA_VISIBLE_DEVICES"))
    version, cuda = torch_build()
    if not cuda:
        why = f"torch {version} is built without CUDA"
        lacks.append((why, "install another torch (https://pytorch.org)"))
    elif newest and newest[0] < int(cuda.partition(".")[0]):  # CUDA 12.8 runs wherever 12.0 does
        most, other = (
            f"{newest[0]}.{newest[1]} at most",
            f"a torch for CUDA {newest[0]} (https://pytorch.org)",
        )
        why = f"torch {version} is built for CUDA {cuda}, the driver runs CUDA {most}"
        lacks.append((why, f"update the driver, or install {other}"))
    if lacks:
        return Usable((), (), *map(" and ".join, zip(*lacks, strict=True)))
    faults = {gpu: fault for gpu in found if (fault := _fault(gpu, version))}
    gpus = tuple(gpu for gpu in found if gpu not in faults)
    unused = tuple(f"{gpu} {why}" for gpu, (why, _) in faults.items())
    if gpus:
        return Usable(gpus, unused)
    return Usable((), unused, "; ".join(unused), faults[found[0]][1])


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
    ask = (sys.executable, "-c", "import torch; print(*torch.cuda.get_arch_list())")
    return tuple(subprocess.run(ask, capture_output=True, text=True, check=False).stdout.split())


def _fault(gpu: Gpu, version: str) -> tuple[str, str] | None:
    """Why trials cannot be trained on a GPU, and the cure."""
    if gpu.free < CONTEXT:
        why = f"has {gpu.free:.0f} MiB free, a trial needs {CONTEXT:.0f}"
        return why, "see `nvidia-smi` for what uses it"
    if gpu.capability and not _runs_on(architectures(), gpu.capability):
        major, minor = gpu.capability
        why = f"has compute capability {major}.{minor}, torch {version} is compiled for "
        return why + " ".join(
            architectures()
        ), "install a torch that is compiled for it (https://pytorch.org)"
    return None


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
