"""A clock that waits for the device, and what the device used."""

import contextlib
import resource
import sys
import time

import torch


class Clock:
    """Seconds of named stretches; on a GPU it waits for the work that was queued."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.last = self.now()

    def now(self) -> float:
        """Monotonic seconds, once the device is idle."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last lap."""
        now = self.now()
        seconds, self.last = now - self.last, now
        return seconds


def memory_peak() -> float:
    """Most memory that this process has held, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def gpu_use(device: torch.device) -> dict[str, float]:
    """Peak memory in MiB and utilisation in per cent of the GPU; nothing without one."""
    if device.type != "cuda":
        return {}
    use = {"gpu_memory_peak": torch.cuda.max_memory_allocated(device) / 2**20}
    with contextlib.suppress(ModuleNotFoundError, RuntimeError):  # torch asks NVML, which need not be there
        use["gpu_utilisation"] = float(torch.cuda.utilization(device))
    return use
