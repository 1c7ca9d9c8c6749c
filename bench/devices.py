"""The GPUs that trials can be trained on here, or the reason why there are none. Imports no torch."""

import importlib.util
import runpy
from pathlib import Path
from typing import NamedTuple

from bench import nvidia
from bench.nvidia import Gpu

CONTEXT = 600.0
"""MiB of a GPU that a trial's process takes at least: CUDA's context and torch's kernels, .3 to .6 GB."""

PATIENCE = 10.0  # seconds for a driver to answer


class Usable(NamedTuple):
    """The GPUs that trials can be trained on and those that are too full; if there are none, why."""

    gpus: tuple[Gpu, ...] = ()
    full: tuple[Gpu, ...] = ()
    why: str = ""
    cure: str = ""


def usable() -> Usable:
    """The usable GPUs, by NVML and the installed torch. Never raises; waits at most `PATIENCE` seconds."""
    answer = nvidia.within(PATIENCE, nvidia.visible)
    found = answer if isinstance(answer, list) else []
    gpus = tuple(gpu for gpu in found if gpu.free >= CONTEXT)
    full = tuple(gpu for gpu in found if gpu.free < CONTEXT)
    lacks = []  # why there are none, and the cure
    if isinstance(answer, Exception):
        lacks.append((f"no NVIDIA driver answers ({answer})", "see `nvidia-smi`"))
    elif not found:
        lacks.append(("no GPU is visible", "see `nvidia-smi -L` and CUDA_VISIBLE_DEVICES"))
    elif not gpus:
        why = f"no GPU has {CONTEXT:.0f} MiB free ({max(gpu.free for gpu in full):.0f} at most)"
        lacks.append((why, "see `nvidia-smi` for what uses them"))
    version, cuda = torch_build()
    if not cuda:
        why = f"torch {version} is built without CUDA"
        lacks.append((why, "install another torch (https://pytorch.org)"))
    return Usable((), full, *map(" and ".join, zip(*lacks, strict=True))) if lacks else Usable(gpus, full)


def torch_build() -> tuple[str, str]:
    """The installed torch's version and its CUDA version, "" for a CPU build. Does not import torch."""
    spec = importlib.util.find_spec("torch")
    assert spec is not None and spec.origin is not None, "torch is a requirement of this package"
    found = runpy.run_path(str(Path(spec.origin).with_name("version.py")))
    return str(found["__version__"]), str(found.get("cuda") or "")
