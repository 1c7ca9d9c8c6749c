"""Sharing GPUs among trials: which trial gets which."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from unrolled.bench.hardware.devices import Gpu, check_gpus


class GpuSlots:
    """GPUs that trials share, with at most `trials_each` trials on each GPU."""

    def __init__(self, gpus: Sequence[Gpu], trials_each: int) -> None:
        self._trials = Counter(dict.fromkeys(gpus, 0))  # number of running trials by GPU
        self._trials_each = trials_each
        self._change = threading.Condition()

    @contextmanager
    def hold_gpus(self, count: int) -> Iterator[list[Gpu]]:
        """Yield the `count` GPUs with the fewest trials, within the block. Wait for that many free slots.

        A trial takes all of its GPUs at once, so that no two trials wait for each other. Raises BadInput if
        there are fewer GPUs.
        """
        order = list(self._trials)
        check_gpus(tuple(order), count)
        with self._change:
            self._change.wait_for(lambda: len(self._list_free_gpus()) >= count)
            gpus = sorted(self._list_free_gpus()[:count], key=order.index)
            self._trials.update(gpus)
        try:
            yield gpus
        finally:
            with self._change:
                self._trials.subtract(gpus)
                self._change.notify_all()

    def _list_free_gpus(self) -> list[Gpu]:
        """Return the GPUs with a free slot, those with the fewest trials first."""
        free = [gpu for gpu, trials in self._trials.items() if trials < self._trials_each]
        return sorted(free, key=self._trials.__getitem__)


def read_gpu_facts(gpus: Sequence[Gpu]) -> dict[str, str]:
    """Return the facts of a trial's GPUs, for its result."""
    if not gpus:
        return {}
    return {
        "gpu_index": ",".join(gpu.index for gpu in gpus),
        "gpu_uuid": ",".join(gpu.uuid for gpu in gpus),
    }
