"""Assignment of trials to GPUs, and retries where a GPU is full, crowded or lost.

A trial's process sees one GPU and shares it with as many others as it has slots. A trial that finds too
little memory is tried again alone; one whose GPU has disappeared is tried on another.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ablations.trials.sampling import Readings, Sampler
from bench import nvidia
from bench.devices import CONTEXT, PATIENCE
from bench.nvidia import Gpu
from bench.trial import BadInput, Result

CROWDED = ("out of memory", "ALLOC_FAILED", "busy or unavailable")
"""Parts of failure messages whose cause may be another trial on the same GPU."""

GONE = ("no CUDA-capable device", "finds no GPU", "device is lost", "GPU is lost", "uncorrectable ECC")
"""Parts of failure messages whose cause is the GPU itself."""


def room(gpu: Gpu) -> int:
    """How many trials at a time a GPU has memory for, at least 1."""
    return max(1, int(gpu.free // CONTEXT))


@dataclass(frozen=True)
class Slot:
    """A trial's share of a GPU, and the GPU's readings meanwhile."""

    gpu: Gpu
    readings: Readings

    @property
    def environ(self) -> Mapping[str, str]:
        """Environment variables by which the trial's process sees this GPU and no other."""
        return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": self.gpu.uuid}

    @property
    def facts(self) -> Mapping[str, str]:
        """The facts of the GPU, for the result."""
        return {"gpu_index": self.gpu.index, "gpu_uuid": self.gpu.uuid}


@dataclass
class _Card:
    gpu: Gpu
    slots: int
    running: int = 0
    claimed: bool = False  # by a trial that waits to be alone, or is
    retired: str = ""  # why it gets no more trials

    @property
    def free(self) -> bool:
        return not (self.retired or self.claimed) and self.running < self.slots


class Gpus:
    """The GPUs of a run, with `number` slots in all. Reads them until `close`."""

    def __init__(
        self, gpus: Sequence[Gpu], number: int, warn: Callable[[str], None], attempts: int = 3
    ) -> None:
        """Deal the slots out in turn, first to GPUs that have room. A GPU in reserve has one slot.

        `attempts` is on how many GPUs a trial is tried that reports each of them lost.
        """
        dealt = dict.fromkeys(gpus, 0)
        for _ in range(number):
            dealt[min(dealt, key=lambda gpu: (dealt[gpu] >= room(gpu), dealt[gpu]))] += 1
        self._cards = {gpu: _Card(gpu, max(1, share)) for gpu, share in dealt.items()}
        self._changed, self._warn, self._attempts = threading.Condition(), warn, attempts
        self._sampler = Sampler(gpus, lambda gpu, why: self._retire(self._cards[gpu], f"is lost ({why})"))
        self.close = self._sampler.close

    def run(self, trial: Callable[[Slot], Result | None]) -> Result | None:
        """Run a trial on the GPU with the fewest trials, and again if it failed because of the GPU.

        Returns None where the trial was stopped. Raises BadInput once no GPU is left.
        """
        attempts, lost, alone = 0, 0, None
        while True:
            with self._shared() if alone is None else self._alone(alone) as card:
                if card is None:  # retired while the trial waited to be alone
                    alone = None
                    continue
                with self._sampler.readings(card.gpu) as readings:
                    result = trial(Slot(card.gpu, readings))
            if result is None:
                return None
            attempts += result.attempts
            result = replace(result, attempts=attempts)
            if result.done or result.diverged:
                return result
            if self._lost(card, result.reason) and lost + 1 < self._attempts:
                lost, alone = lost + 1, None
            elif alone is None and any(word in result.reason for word in CROWDED):
                alone = card
            else:
                return result

    @contextmanager
    def _shared(self) -> Iterator[_Card]:
        with self._changed:
            cards = self._cards.values()
            while not (free := [card for card in cards if card.free]):
                if all(card.retired for card in cards):
                    why = "; ".join(f"{card.gpu} {card.retired}" for card in cards)
                    raise BadInput(
                        f"no GPU is left: {why}", cure="see `nvidia-smi`, then run the same command again"
                    )
                self._changed.wait()
            card = min(free, key=lambda card: card.running)
            card.running += 1
        try:
            yield card
        finally:
            with self._changed:
                card.running -= 1
                self._changed.notify_all()

    @contextmanager
    def _alone(self, card: _Card) -> Iterator[_Card | None]:
        """The card once no other trial is on it, and none comes until the end; None once it is retired."""
        with self._changed:
            self._changed.wait_for(lambda: not card.claimed)
            card.claimed = True
            self._changed.wait_for(lambda: not card.running)
        try:
            found = _read(card.gpu)
            if isinstance(found, nvidia.Reading) and found.free < CONTEXT:
                self._retire(card, f"has {found.free:.0f} MiB free, a trial needs {CONTEXT:.0f}")
            yield None if card.retired else card
        finally:
            with self._changed:
                card.claimed = False
                self._changed.notify_all()

    def _lost(self, card: _Card, reason: str) -> bool:
        """Whether a card has disappeared, by a trial's failure message or by NVML."""
        if any(word in reason for word in GONE):
            self._retire(card, f"is lost ({reason})")
        elif isinstance(found := _read(card.gpu), nvidia.Lost):
            self._retire(card, f"is lost ({found})")
        return bool(card.retired)

    def _retire(self, card: _Card, why: str) -> None:
        with self._changed:
            if not card.retired:
                card.retired = why
                self._warn(f"{card.gpu} {why}: it gets no more trials")
                self._changed.notify_all()


def _read(gpu: Gpu) -> nvidia.Reading | Exception:
    """A GPU's present state, or why it cannot be read."""
    return nvidia.within(PATIENCE, lambda: nvidia.read(gpu))
