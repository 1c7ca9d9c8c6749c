"""A stand-in for NVML: the functions of pynvml that this project and Dask call, over GPUs that a file counts.

`install` puts them in the place of pynvml's own, here or, by `PYTHONPATH` and a sitecustomize.py, in a
process that is started. The file is read at each call, so that a test may change the GPUs meanwhile.
"""

import os
from pathlib import Path
from types import SimpleNamespace

import pynvml

VARIABLE = "NVML_STAND_IN"
"""Environment variable with the file's path. Without it, or the file, there is no driver."""


class Machine:
    """The GPUs of a test."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def has(self, gpus: int) -> None:
        """Be a machine with so many GPUs from now on."""
        draft = self.path.with_suffix(".new")
        draft.write_text(str(gpus))
        draft.replace(self.path)


def uuid(index: int) -> str:
    """The UUID of a GPU of the machine."""
    return f"GPU-{index:08x}-0000-0000-0000-000000000000"


def install() -> None:
    """Let pynvml be this."""
    for name in FUNCTIONS:
        setattr(pynvml, name, globals()[name])


def nvmlInit():
    nvmlDeviceGetCount()


def nvmlSystemGetDriverVersion():
    return "580.159.04"


def nvmlDeviceGetCount():
    path = Path(os.environ.get(VARIABLE, "nowhere"))
    if not path.is_file():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    return int(path.read_text())


def nvmlDeviceGetHandleByIndex(index):
    if index >= nvmlDeviceGetCount():  # a test may take it away meanwhile
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
    return index


def nvmlDeviceGetUUID(handle):
    return uuid(handle)


# Dask's workers ask for these.


def nvmlDeviceGetName(handle):
    return "NVIDIA Stand-in"


def nvmlDeviceGetMemoryInfo(handle, version=None):
    return SimpleNamespace(total=80_000 << 20, used=0)


def nvmlDeviceGetUtilizationRates(handle):
    return SimpleNamespace(gpu=0, memory=0)


FUNCTIONS = tuple(name for name in globals() if name.startswith("nvml"))
