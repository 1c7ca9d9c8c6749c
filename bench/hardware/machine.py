"""Facts of the machine and of the code, which are stored with a result."""

import functools
import hashlib
import os
import platform
import resource
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from unrolled.bench.errors import BadInput
from unrolled.bench.git.git_command import run_git
from unrolled.bench.hardware import devices, machine_kind

PACKAGES = ("torch", "fastai", "numpy", "unrolled")
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", *machine_kind.VARIABLES)
"""Environment variables that are recorded; no others are, so that no secret gets into a result."""


def read_basic_facts(device: str, folder: Path | None = None) -> dict[str, Any]:
    """Return the facts of this machine and of a folder's checkout: no paths, users or credentials."""
    return {
        **read_code_version(folder),
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "cpu": _read_cpu_model(),
        "cpus": os.cpu_count(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "device": device,
    }


def read_machine_facts(device: str = "cpu") -> dict[str, Any]:
    """Return the facts of this process and its machine that can explain why two machines give different bits.

    Call this function once torch is deterministic: see `bench.chapter.torch_device.make_deterministic`.
    """
    import torch

    return {
        **read_basic_facts(device),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "mkldnn": torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled,  # type: ignore[no-untyped-call, attr-defined]
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "packages": dict(read_package_versions()),
        "torch_build": _describe_torch_build(),
        **(_read_gpu_facts() if device == "cuda" else {}),
    }


def measure_memory_peak(*, of_children: bool = False) -> float:
    """Return the peak memory of this process in MiB, or of the largest of its children that have ended."""
    processes = resource.RUSAGE_CHILDREN if of_children else resource.RUSAGE_SELF
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return resource.getrusage(processes).ru_maxrss * unit / 2**20


@functools.cache
def read_code_version(folder: Path | None = None) -> Mapping[str, Any]:
    """Return the commit of a folder, by default of this code, and the hash of uncommitted changes."""
    folder = folder or Path(__file__).parent
    commit = ""
    diff = b""
    with suppress(BadInput, OSError):  # git is missing, this is no checkout, or the folder cannot be entered
        commit = run_git(folder, "rev-parse", "HEAD").strip().decode()
        diff = run_git(folder, "diff", "--no-ext-diff", "--no-textconv", "HEAD")
    return {
        "commit": commit,
        "dirty": bool(diff),
        "diff": hashlib.sha256(diff).hexdigest()[:12] if diff else "",
    }


@functools.cache
def read_package_versions() -> Mapping[str, str]:
    """Return the versions of the packages that the numbers depend on."""
    return {name: metadata.distribution(name).version for name in PACKAGES}


@functools.cache
def _read_cpu_model() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or sys.platform


@functools.cache
def _describe_torch_build() -> str:
    """Return a hash of torch's build configuration, without the CPU capability, which is a separate fact."""
    import torch

    built = [line for line in torch.__config__.show().splitlines() if "CPU capability usage" not in line]
    return hashlib.sha256("\n".join(built).encode()).hexdigest()[:12]


def _read_gpu_facts() -> dict[str, Any]:
    import torch

    gpu = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {
        "gpu": gpu.name,
        "gpu_uuid": str(getattr(gpu, "uuid", "")),  # some versions of torch lack it
        "gpu_capability": f"{gpu.major}.{gpu.minor}",
        "driver": devices.read_driver_version(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "same_bits": "unverified",
    }
