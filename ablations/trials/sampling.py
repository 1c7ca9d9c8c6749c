"""Samples of GPUs while trials run on them: one thread a run asks NVML, and no trial waits for the answer."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pynvml

from bench import nvidia
from bench.nvidia import Gpu, Reading

EVERY = 0.5  # seconds between two readings of a GPU


@dataclass(eq=False)
class Readings:
    """The readings of a GPU since a trial began on it: the whole device's, whoever uses it."""

    latest: Reading | None = None
    count: int = 0
    utilisation: float = 0.0  # the sum of all readings
    memory: float = 0.0  # the most

    def add(self, reading: Reading) -> None:
        """Count one more reading."""
        self.latest = reading
        self.count += 1
        self.utilisation += reading.utilisation or 0.0
        self.memory = max(self.memory, reading.memory)

    def metrics(self) -> dict[str, float]:
        """Mean utilisation (%), which an instance of a GPU lacks, and peak memory (MiB), if any was read."""
        if self.latest is None:
            return {}
        no_mean = self.latest.utilisation is None
        mean = {} if no_mean else {"gpu_utilisation": self.utilisation / self.count}
        return {**mean, "gpu_memory_used": self.memory}


class Sampler:
    """Reads GPUs twice a second, and at once when a trial begins; calls `lost` for one that disappears."""

    def __init__(self, gpus: Sequence[Gpu], lost: Callable[[Gpu, str], None]) -> None:
        self._gpus, self._lost = list(gpus), lost
        self._readings: dict[Gpu, list[Readings]] = {gpu: [] for gpu in gpus}
        self._lock = threading.Lock()
        self._wake, self._closed = threading.Event(), False
        threading.Thread(target=self._sample, name="gpus", daemon=True).start()

    def close(self) -> None:
        """Read no more, and call `lost` no more. It does not wait for an answer that is due: a faulty
        driver may not give one.
        """
        with self._lock:
            self._closed = True
        self._wake.set()

    @contextmanager
    def readings(self, gpu: Gpu) -> Iterator[Readings]:
        """The readings of a GPU from now on, until the end of the block."""
        readings = Readings()
        with self._lock:
            self._readings[gpu].append(readings)
        self._wake.set()
        try:
            yield readings
        finally:
            with self._lock:
                self._readings[gpu].remove(readings)

    def _sample(self) -> None:
        while not self._closed:
            self._wake.clear()
            for gpu in list(self._gpus):
                try:
                    reading = nvidia.read(gpu)
                except nvidia.Lost as error:
                    with self._lock:
                        if not self._closed:
                            self._gpus.remove(gpu)
                            self._lost(gpu, str(error))
                    continue
                except pynvml.NVMLError:  # busy with something else, or not allowed: no reading
                    continue
                with self._lock:
                    for readings in self._readings[gpu]:
                        readings.add(reading)
            self._wake.wait(EVERY)
