"""A stand-in for NVML: the functions of pynvml that this project calls, over GPUs that a file describes.

`install` puts them in the place of pynvml's own, here or, by `PYTHONPATH` and a sitecustomize.py, in a
process that is started. The file is read at each call, so that a test may change the GPUs meanwhile:
`{"gpus": [{…}], "cuda": 12080}`, where a GPU has `used` and `total` (MiB), `busy` (%), `lost`, `capability`,
`sleep` (seconds that a reading takes) and `mig` (its instances, each with `used` and `total`; null is a
number that is not taken).
"""

import json
import os
import time
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


def uuid(index: int, instance: int | None = None) -> str:
    """The UUID of a GPU of the machine, or of one of its instances."""
    kind, number = ("GPU", f"{index:08x}") if instance is None else ("MIG", f"{index:04x}{instance:04x}")
    return f"{kind}-{number}-0000-0000-0000-000000000000"


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


def _at(handle: tuple[int, int | None]) -> dict[str, Any]:
    gpu = dict(enumerate(_gpus())).get(handle[0], {"lost": True})  # a test may take it away meanwhile
    time.sleep(gpu.get("sleep", 0.0))
    if gpu.get("lost"):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
    if handle[1] is None:
        return gpu
    instances = gpu.get("mig", ())
    if handle[1] >= len(instances) or instances[handle[1]] is None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
    return instances[handle[1]]


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
    _at((index, None))
    return index, None


def nvmlDeviceGetHandleByUUID(uuid):
    for index, gpu in enumerate(_gpus()):
        for instance in (None, *range(len(gpu.get("mig", ())))):
            if globals()["uuid"](index, instance) == uuid:
                return index, instance
    raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)


def nvmlDeviceGetUUID(handle):
    return uuid(*handle)


def nvmlDeviceGetName(handle):  # Dask's workers ask
    return "NVIDIA Stand-in"


def nvmlDeviceGetMemoryInfo(handle, version=None):
    gpu = _at(handle)
    total, used = gpu.get("total", 80_000), gpu.get("used", 0)
    return SimpleNamespace(total=total << 20, used=used << 20, free=(total - used) << 20)


def nvmlDeviceGetUtilizationRates(handle):
    if handle[1] is not None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return SimpleNamespace(gpu=_at(handle).get("busy", 0), memory=0)


def nvmlDeviceGetMigMode(device):
    gpu = _gpus()[device[0]]
    if "mig" not in gpu:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return [1, 1]


def nvmlDeviceGetMaxMigDeviceCount(device):
    return 7


def nvmlDeviceGetMigDeviceHandleByIndex(device, index):
    _at((device[0], index))
    return device[0], index


FUNCTIONS = tuple(name for name in globals() if name.startswith("nvml"))
