"""The cores that trials may use here, and whether its GPUs can be used. Imports no torch."""

import math
import os
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from unrolled.bench.errors import require
from unrolled.bench.nvidia import Gpu, visibility_variables

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
    """Raise BadInput where trials that get `count` of these GPUs each cannot be trained on them.

    `with_torch` says whether torch has to try them, if trials get any.
    """
    rule = f"each trial gets {count} GPUs (`gpus` in [program]), and only {len(gpus)} can be seen"
    cure = "see `nvidia-smi -L` and CUDA_VISIBLE_DEVICES, or use --device cpu"
    require(len(gpus) >= count, rule if gpus else "no GPU is visible", place="device cuda", cure=cure)
    fault = _find_torch_fault(gpus) if with_torch and count else ""
    cure = "install a torch for it (https://pytorch.org), hide it (CUDA_VISIBLE_DEVICES), or use --device cpu"
    require(not fault, f"torch cannot use a visible GPU ({fault})", place="device cuda", cure=cure)


@cache
def _find_torch_fault(gpus: tuple[Gpu, ...]) -> str:
    """How torch fails at a small operation on one of these GPUs; "" if it does not.

    A process of its own tries them, which takes as long as importing torch.
    """
    command = [sys.executable, "-P", "-c", _OPERATION, *(gpu.index for gpu in gpus)]
    environ = {**os.environ, **visibility_variables(gpus)}
    process = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if process.returncode == 0:
        return ""
    lines = process.stderr.split("\n")
    return next(filter(None, reversed(lines)), f"exit code {process.returncode}")
