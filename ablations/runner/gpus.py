"""Slots for trials on GPUs. A trial's process sees one GPU and shares it with as many as it has slots."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from queue import SimpleQueue

from bench.nvidia import Gpu


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
