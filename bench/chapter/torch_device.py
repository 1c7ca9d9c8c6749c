"""The device that torch computes on: its determinism, its clock and its memory."""

import os
import time
from typing import Any

import torch

from unrolled.bench.errors import BadInput


def make_deterministic() -> None:
    """Make torch use one thread and give the same bits each time. Call it first in a trial's process."""
    # 32 MiB, torch's default on Hopper: cuBLASLt shares it, and torch warns of a smaller size in every trial
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(1)
    # the same as use_deterministic_algorithms, without its 1.4 s of imports
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs time, for nothing
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False  # TF32 keeps 10 of 23 bits, and only nn.LSTM uses it
    torch.set_float32_matmul_precision("highest")  # an environment variable may lower it for other cells
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)


def select_device(device_type: str) -> torch.device:
    """Return the device "cpu" or "cuda". Raises BadInput if torch finds no GPU for "cuda"."""
    if device_type == "cuda" and not torch.cuda.is_available():
        rule = f"torch {torch.__version__} finds no GPU"
        raise BadInput(rule, place="device cuda", cure="see `nvidia-smi`, or use --device cpu")
    return torch.device(device_type)


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


def read_gpu_memory(device: torch.device) -> dict[str, float]:
    """Return the peak memory of torch's tensors on a GPU since the last call, in MiB; {} on the CPU."""
    if device.type != "cuda":
        return {}
    peak = torch.cuda.max_memory_allocated(device) / 2**20
    torch.cuda.reset_peak_memory_stats(device)
    return {"gpu_memory_peak": peak}
