"""A clock that waits for the device, and what the device used."""

import time
from typing import Any

import torch


class Clock:
    """A clock of laps in seconds: the system's clock on the CPU, CUDA events on a GPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.last = self._mark()

    def lap(self) -> float:
        """Return the seconds since the last lap. On a GPU, wait for the queued work first."""
        last = self.last
        self.last = self._mark()
        if self.device.type == "cuda":
            return float(last.elapsed_time(self.last)) / 1000
        return float(self.last - last)

    def _mark(self) -> Any:
        """Return the time: seconds, or an event that has happened."""
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self.device))
        event.synchronize()
        return event


def gpu_memory(device: torch.device) -> dict[str, float]:
    """Return the peak memory of torch's tensors on a GPU since the last call, in MiB; {} on the CPU."""
    if device.type != "cuda":
        return {}
    peak = torch.cuda.max_memory_allocated(device) / 2**20
    torch.cuda.reset_peak_memory_stats(device)
    return {"gpu_memory_peak": peak}
