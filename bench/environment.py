"""Seeding, determinism, and the facts of the machine that a result carries."""

import functools
import hashlib
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "fastai", "numpy", "unrolled")
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_CORETYPE", "CUBLAS_WORKSPACE_CONFIG")
"""Environment variables that are recorded; no others are, so that no secret gets into a result."""


def stream(seed: int, name: str) -> int:
    """A seed for one use of randomness (init, data, dropout), from the trial's seed and nothing else.

    It does not depend on the arm, so arms of one seed share their initial weights and the order of data.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8]) >> 1


def deterministic() -> None:
    """One thread, and the same bits each time. Call it first in a trial's process."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(1)
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms, without its 1.4 s of imports
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs time, for nothing
    torch.backends.cudnn.benchmark = False
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)


def device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@functools.cache
def facts() -> dict[str, Any]:
    """What may explain a difference between two machines' bits. No paths, no user names, no credentials."""
    return {
        **code_version(),
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "cpu": _cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "mkldnn": torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "packages": {name: metadata.distribution(name).version for name in PACKAGES},
        "torch_build": hashlib.sha256(torch.__config__.show().encode()).hexdigest()[:12],
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "device": str(device()),
        **_gpu_facts(),
    }


def code_version() -> dict[str, Any]:
    """Commit of the checkout that this code runs from, whether it was changed, and the hash of the change."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=False)
        return done.stdout if done.returncode == 0 else ""

    try:
        commit = git("rev-parse", "HEAD").strip()
        diff = git("diff", "HEAD") if commit else ""
    except OSError:  # no git on this machine
        commit = diff = ""
    return {
        "commit": commit,
        "dirty": bool(diff),
        "diff": hashlib.sha256(diff.encode()).hexdigest()[:12] if diff else "",
    }


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or sys.platform


def _gpu_facts() -> dict[str, Any]:
    if not torch.cuda.is_available():
        return {}
    return {
        "gpu": torch.cuda.get_device_name(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "same_bits": "unverified",
    }
