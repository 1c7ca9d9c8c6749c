"""CPU, memory and GPU use of a trial's process, sampled by its parent, so that the trial is not affected.

CPU and memory are the process's own (Linux), the GPU's are the whole device's, as `sampling` reads them.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

from ablations.trials.sampling import Readings

EVERY = 5.0  # seconds between two samples at first
LONG = 60.0  # seconds; of a shorter trial nothing is kept
MOST = 60  # samples: whenever there are more, every other one goes and the pause doubles


class Usage:
    """The samples of one process. `sample` takes one if it is due, and `wait` returns when the next is."""

    def __init__(self, pid: int | None, gpu: Readings | None = None) -> None:
        self._process, self._gpu = Path(f"/proc/{pid}"), gpu
        self._began = self._last = time.monotonic()
        self._every, self._cpu = EVERY, 0.0
        self._samples: list[dict[str, float]] = []

    def wait(self) -> float:
        """Seconds until the next sample."""
        return max(0.0, self._last + self._every - time.monotonic())

    def sample(self) -> None:
        """Take a sample if one is due. A process that is gone, or a system without /proc, gives none."""
        if self.wait() > 0:
            return
        now, before = time.monotonic(), self._last
        self._last = now
        with suppress(OSError, ValueError, IndexError):
            cpu, memory = _cpu_seconds(self._process), _memory(self._process)
            share, self._cpu = 100 * (cpu - self._cpu) / (now - before), cpu
            seen = {"seconds": now - self._began, "cpu": share, "memory": memory, **self._of_gpu()}
            self._samples.append({name: round(value, 1) for name, value in seen.items()})
        if len(self._samples) > MOST:
            self._samples, self._every = self._samples[1::2], 2 * self._every

    def _of_gpu(self) -> dict[str, float]:
        if self._gpu is None or (latest := self._gpu.latest) is None:
            return {}
        busy = {} if latest.utilisation is None else {"gpu": latest.utilisation}
        return {**busy, "gpu_memory": latest.memory}

    def series(self) -> dict[str, tuple[float, ...]]:
        """The samples by name, as in `Result.usage`; none for a trial shorter than `LONG`."""
        if time.monotonic() - self._began < LONG or not self._samples:
            return {}
        names = [name for name in self._samples[0] if all(name in sample for sample in self._samples)]
        return {name: tuple(sample[name] for sample in self._samples) for name in names}


def _cpu_seconds(process: Path) -> float:
    """User and system time. Source: proc(5), fields 14 and 15 of stat; the name before may hold anything."""
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(process: Path) -> float:
    """Resident memory in MiB."""
    return int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
