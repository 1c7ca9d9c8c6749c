"""CPU, memory and GPU use of a trial's process, sampled by its parent, so that the trial is not affected.

CPU and memory are the process's own. The samples of a GPU are the whole device's, whoever uses it.
"""

import time
from contextlib import suppress
from math import inf
from statistics import fmean

import psutil
import pynvml

from bench import nvidia
from bench.nvidia import Gpu

EVERY = 1.0  # seconds between two samples at first
LONG = 60.0  # seconds; of a shorter trial no series is kept
MOST = 60  # samples: whenever there are more, every other one goes and the pause doubles


class Usage:
    """The samples of one process. `sample` takes one if it is due, and `wait` returns when the next is."""

    def __init__(self, pid: int, gpu: Gpu | None = None) -> None:
        self._gpu, self._every = gpu, EVERY
        self._began, self._last = time.monotonic(), -inf
        self._own_peak = 0.0  # MiB of the GPU that the process and its children had at most
        self._samples: list[dict[str, float]] = []
        self._process: psutil.Process | None = None
        with suppress(psutil.Error):
            self._process = psutil.Process(pid)

    def wait(self) -> float:
        """Seconds until the next sample."""
        return max(0.0, self._last + self._every - time.monotonic())

    def sample(self) -> None:
        """Take a sample if one is due. A process that is gone, or a GPU that cannot be read, gives none."""
        if self.wait() > 0:
            return
        self._last = time.monotonic()
        if not self._process:
            return
        with suppress(psutil.Error, pynvml.NVMLError):
            sample = {
                "seconds": self._last - self._began,
                "cpu": self._process.cpu_percent(),  # since the last sample; the first is 0
                "memory": self._process.memory_info().rss / 2**20,
            }
            if self._gpu:
                tree = self._process, *self._process.children(recursive=True)
                sample["gpu"], sample["gpu_memory"], own = nvidia.read(self._gpu, [one.pid for one in tree])
                self._own_peak = max(self._own_peak, own)
            self._samples.append({name: round(value, 1) for name, value in sample.items()})
        if len(self._samples) > MOST:
            self._samples, self._every = self._samples[1::2], 2 * self._every

    def series(self) -> dict[str, tuple[float, ...]]:
        """The samples by name, as in `Result.usage`; none for a trial shorter than `LONG`."""
        return {} if time.monotonic() - self._began < LONG else self._columns()

    def gpu_metrics(self) -> dict[str, float]:
        """Mean utilisation (%) and peak memory (MiB) of the trial's GPU, if it was read.

        `gpu_memory_peak` is of the trial's processes; of all where the driver does not tell whose memory it
        is, as in some containers.
        """
        columns = self._columns()
        if "gpu" not in columns:
            return {}
        mean, used = fmean(columns["gpu"]), max(columns["gpu_memory"])
        return {"gpu_utilisation": mean, "gpu_memory_used": used, "gpu_memory_peak": self._own_peak or used}

    def _columns(self) -> dict[str, tuple[float, ...]]:
        names = self._samples[0] if self._samples else ()
        return {name: tuple(sample[name] for sample in self._samples) for name in names}
