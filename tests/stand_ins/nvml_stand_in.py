"""A stand-in for NVML: the functions of pynvml that this project calls, over GPUs that a file describes.

`install` puts them in the place of pynvml's own, here or, by `PYTHONPATH` and a sitecustomize.py, in a
process that is started. The file is read at each call, so that a test may change the GPUs meanwhile:
`{"gpus": [{…}], "cuda": 12080}`, where a GPU has `used` (MiB), `users` (pid → MiB), `busy` (%), `lost` and
`capability`.
"""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml

VARIABLE = "NVML_STAND_IN"
"""Environment variable with the file's path. Without it, or the file, there is no driver."""


ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120")
"""What the stand-in of a CUDA build of torch is compiled for: as torch 2.13's wheels for CUDA 12.8."""


class Machine:
    """The GPUs of a test."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def has(self, *gpus: dict[str, Any], cuda: int = 12_080) -> None:
        """Be a machine with these GPUs from now on, and a driver that runs this CUDA and earlier ones."""
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps({"gpus": gpus, "cuda": cuda}))
        draft.replace(self.path)


def uuid(index: int) -> str:
    """The UUID of a GPU of the machine."""
    return f"GPU-{index:08x}-0000-0000-0000-000000000000"


def install() -> None:
    """Let pynvml be this."""
    for name in FUNCTIONS:
        setattr(pynvml, name, globals()[name])


def _machine() -> dict[str, Any]:
    path = Path(os.environ.get(VARIABLE, "nowhere"))
    if not path.is_file():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    return json.loads(path.read_text())


def _gpus() -> list[dict[str, Any]]:
    return _machine()["gpus"]


def _at(handle: int) -> dict[str, Any]:
    gpu = dict(enumerate(_gpus())).get(handle, {"lost": True})  # a test may take it away meanwhile
    if gpu.get("lost"):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
    return gpu


def nvmlInit():
    _gpus()


def nvmlSystemGetDriverVersion():
    return "580.159.04"


def nvmlSystemGetCudaDriverVersion_v2():
    return _machine().get("cuda", 12_080)


def nvmlDeviceGetCudaComputeCapability(handle):
    return _at(handle).get("capability", (9, 0))


def nvmlDeviceGetCount():
    return len(_gpus())


def nvmlDeviceGetHandleByIndex(index):
    _at(index)
    return index


def nvmlDeviceGetHandleByUUID(uuid):
    return next(index for index in range(8) if globals()["uuid"](index) == uuid)


def nvmlDeviceGetUUID(handle):
    return uuid(handle)


def nvmlDeviceGetName(handle):  # Dask's workers ask
    return "NVIDIA Stand-in"


def nvmlDeviceGetMemoryInfo(handle, version=None):
    return SimpleNamespace(total=80_000 << 20, used=_at(handle).get("used", 0) << 20)


def nvmlDeviceGetComputeRunningProcesses(handle):
    users = _at(handle).get("users", {}).items()
    return [SimpleNamespace(pid=int(pid), usedGpuMemory=mib and mib << 20) for pid, mib in users]


def nvmlDeviceGetUtilizationRates(handle):
    return SimpleNamespace(gpu=_at(handle).get("busy", 0), memory=0)


FUNCTIONS = tuple(name for name in globals() if name.startswith("nvml"))
