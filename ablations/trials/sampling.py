"""What GPUs do while trials run on them: one thread a run asks NVML, and no trial waits for the answer."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pynvml

from bench import nvidia
from bench.nvidia import Gpu, Reading

EVERY = 0.5  # seconds between two readings of a GPU


@dataclass
class Watch:
    """What has been read of a GPU since a trial began on it: the whole device's, whoever uses it."""

    latest: Reading | None = None
    read: int = 0
    utilisation: float = 0.0  # the sum of all readings
    memory: float = 0.0  # the most

    def add(self, reading: Reading) -> None:
        """Count one more reading."""
        self.latest = reading
        self.read += 1
        self.utilisation += reading.utilisation or 0.0
        self.memory = max(self.memory, reading.memory)

    def metrics(self) -> dict[str, float]:
        """Mean utilisation (%), which an instance of a GPU lacks, and peak memory (MiB), if any was read."""
        if self.latest is None:
            return {}
        busy = self.latest.utilisation
        mean = {} if busy is None else {"gpu_utilisation": self.utilisation / self.read}
        return {**mean, "gpu_memory_used": self.memory}


class Sampler:
    """Reads GPUs twice a second, and at once when a trial begins; tells `lost` of one that disappears."""

    def __init__(self, gpus: Sequence[Gpu], lost: Callable[[Gpu, str], None]) -> None:
        self._gpus, self._lost = list(gpus), lost
        self._watches: dict[Gpu, list[Watch]] = {gpu: [] for gpu in gpus}
        self._lock = threading.Lock()
        self._due, self._over = threading.Event(), False
        self._thread = threading.Thread(target=self._read, name="gpus", daemon=True)

    def start(self) -> None:
        """Begin reading."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more. It does not wait for an answer that is due: a driver in trouble may not give one."""
        self._over = True
        self._due.set()

    @contextmanager
    def watching(self, gpu: Gpu) -> Iterator[Watch]:
        """Let a `Watch` have every reading of a GPU until the end."""
        watch = Watch()
        with self._lock:
            self._watches[gpu].append(watch)
        self._due.set()
        try:
            yield watch
        finally:
            with self._lock:
                self._watches[gpu] = [other for other in self._watches[gpu] if other is not watch]

    def _read(self) -> None:
        while not self._over:
            self._due.clear()
            for gpu in list(self._gpus):
                try:
                    reading = nvidia.read(gpu)
                except nvidia.Lost as error:
                    self._gpus.remove(gpu)
                    self._lost(gpu, str(error))
                    continue
                except pynvml.NVMLError:  # busy with something else, or not allowed: no reading
                    continue
                with self._lock:
                    for watch in self._watches[gpu]:
                        watch.add(reading)
            self._due.wait(EVERY)
