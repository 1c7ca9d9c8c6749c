"""GPUs of trials: their slots, which trial sees which, and what it uses.

A trial's process sees one GPU and shares it with as many as the GPU has slots.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle, islice
from math import inf
from queue import SimpleQueue
from statistics import fmean

import psutil
import pynvml

from unrolled.bench import nvidia
from unrolled.bench.nvidia import Gpu, Reading

EVERY = 1.0  # seconds between two samples of a GPU


class GpuSlots:
    """A number of slots, dealt to the GPUs in turn."""

    def __init__(self, gpus: Sequence[Gpu], number: int) -> None:
        self._free: SimpleQueue[Gpu] = SimpleQueue()
        for gpu in islice(cycle(gpus), number):
            self._free.put(gpu)

    @contextmanager
    def take(self) -> Iterator[Gpu]:
        """The GPU of a slot, for a block; waits until one is free."""
        gpu = self._free.get()
        try:
            yield gpu
        finally:
            self._free.put(gpu)


def environ(gpu: Gpu) -> dict[str, str]:
    """Environment variables by which a process sees this GPU and no other."""
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": gpu.uuid}


def facts(gpu: Gpu) -> dict[str, str]:
    """The facts of a trial's GPU, for its result."""
    return {"gpu_index": gpu.index, "gpu_uuid": gpu.uuid}


class Usage:
    """The samples of a trial's GPU, taken by its parent, so that the trial is not affected."""

    def __init__(self, pid: int, gpu: Gpu | None) -> None:
        self._pid, self._gpu, self._last = pid, gpu, -inf
        self._samples: list[Reading] = []

    def wait(self) -> float:
        """Seconds until the next sample."""
        return max(0.0, self._last + EVERY - time.monotonic())

    def sample(self) -> None:
        """Take a sample if one is due. A process that is gone, or a GPU that cannot be read, gives none."""
        if self.wait() > 0:
            return
        self._last = time.monotonic()
        if self._gpu is None:
            return
        with suppress(psutil.Error, pynvml.NVMLError):
            process = psutil.Process(self._pid)
            pids = [each.pid for each in (process, *process.children(recursive=True))]
            self._samples.append(nvidia.read(self._gpu, pids))

    def gpu_metrics(self) -> dict[str, float]:
        """Mean utilisation (%) and peak memory (MiB) of the trial's GPU, if it was read.

        `gpu_memory_peak` is of the trial's processes; of all where the driver does not tell whose memory it
        is, as in some containers. The other two are of the whole device, whoever uses it.
        """
        if not self._samples:
            return {}
        used, own = (max(getattr(one, name) for one in self._samples) for name in ("memory", "own_memory"))
        mean = fmean(one.utilisation for one in self._samples)
        return {"gpu_utilisation": mean, "gpu_memory_used": used, "gpu_memory_peak": own or used}
