"""Which GPU a trial gets, and what is done where one is full, crowded or lost.

A trial's process sees one GPU, and has it together with as many others as there are places on it. One that
finds too little memory is tried again alone; one whose GPU has disappeared is tried on another.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from ablations.trials.sampling import Sampler, Watch
from bench import nvidia
from bench.devices import CONTEXT, PATIENCE
from bench.nvidia import Gpu
from bench.trial import BadInput, Result

PER_GPU = 4
"""Most trials at a time on a GPU by default. Processes share its launches, so that training is no faster with
more, but one trains while others start, which takes as long as two or three of the chapter's models."""

CROWDED = ("out of memory", "ALLOC_FAILED", "busy or unavailable")
"""What a failure says that another trial on the same GPU may be the cause of."""

GONE = ("no CUDA-capable device", "finds no GPU", "device is lost", "GPU is lost", "uncorrectable ECC")
"""What a failure says that the GPU itself is the cause of."""


def room(gpu: Gpu) -> int:
    """How many trials a GPU takes at a time by default: by its free memory, at most `PER_GPU`."""
    return max(1, min(PER_GPU, int(gpu.free // CONTEXT)))


def places(gpus: Sequence[Gpu], cores: int) -> int:
    """How many trials run at a time by default: what the GPUs take, if there are cores to launch kernels."""
    return max(len(gpus), min(cores, sum(map(room, gpus))))


@dataclass(frozen=True)
class Seat:
    """A trial's place on a GPU, and what is read of it meanwhile."""

    gpu: Gpu
    watch: Watch

    @property
    def environ(self) -> Mapping[str, str]:
        """Environment variables by which the trial's process sees this GPU and no other."""
        return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": self.gpu.uuid}

    @property
    def facts(self) -> Mapping[str, str]:
        """Which GPU it was, for the result."""
        return {"gpu_index": self.gpu.index, "gpu_uuid": self.gpu.uuid}


@dataclass
class _Card:
    gpu: Gpu
    places: int
    running: int = 0
    claimed: bool = False  # by a trial that waits to be alone, or is
    retired: str = ""  # why it gets no more trials

    @property
    def open(self) -> bool:
        return not (self.retired or self.claimed) and self.running < self.places


@dataclass
class Gpus:
    """The GPUs of a run, among which `number` places are dealt out. As a context it reads them meanwhile."""

    gpus: Sequence[Gpu]
    number: int
    warn: Callable[[str], None]
    attempts: int = 3  # on how many GPUs a trial is tried that says of each that it is lost

    _cards: list[_Card] = field(init=False)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        """Deal the places out in turn, first to GPUs that have room. One in reserve has one place."""
        dealt = dict.fromkeys(self.gpus, 0)
        for _ in range(self.number):
            dealt[min(dealt, key=lambda gpu: (dealt[gpu] >= room(gpu), dealt[gpu]))] += 1
        self._cards = [_Card(gpu, max(1, share)) for gpu, share in dealt.items()]
        self._sampler = Sampler([card.gpu for card in self._cards], self._disappeared)

    def __enter__(self) -> "Gpus":
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._sampler.stop()

    def settle(self, run: Callable[[Seat], Result | None]) -> Result | None:
        """Run a trial on the GPU with the fewest, and again where the GPU was at fault.

        Returns None where the trial was stopped. Raises BadInput once no GPU is left.
        """
        attempts, lost, alone = 0, 0, None
        while True:
            with self._shared() if alone is None else self._alone(alone) as card:
                if card is None:  # retired while the trial waited to be alone
                    alone = None
                    continue
                with self._sampler.watching(card.gpu) as watch:
                    result = run(Seat(card.gpu, watch))
            if result is None:
                return None
            attempts += result.attempts
            if result.done or result.diverged:
                return replace(result, attempts=attempts)
            if self._gone(card, result.reason) and lost + 1 < self.attempts:
                lost, alone = lost + 1, None
            elif alone is None and any(word in result.reason for word in CROWDED):
                alone = card
            else:
                return replace(result, attempts=attempts)

    @contextmanager
    def _shared(self) -> Iterator[_Card]:
        with self._changed:
            while not (free := [card for card in self._cards if card.open]):
                self._check()
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
            seen = _look(card.gpu)
            if isinstance(seen, nvidia.Reading) and seen.free < CONTEXT:
                self._retire(card, f"has {seen.free:.0f} MiB free, a trial needs {CONTEXT:.0f}")
            yield None if card.retired else card
        finally:
            with self._changed:
                card.claimed = False
                self._changed.notify_all()

    def _gone(self, card: _Card, reason: str) -> bool:
        """Whether a card has disappeared, by what a trial's failure says, or by what NVML does."""
        if any(word in reason for word in GONE):
            self._retire(card, f"is lost ({reason})")
        elif isinstance(seen := _look(card.gpu), nvidia.Lost):
            self._retire(card, f"is lost ({seen})")
        return bool(card.retired)

    def _disappeared(self, gpu: Gpu, why: str) -> None:
        self._retire(next(card for card in self._cards if card.gpu == gpu), f"is lost ({why})")

    def _retire(self, card: _Card, why: str) -> None:
        with self._changed:
            if not card.retired:
                card.retired = why
                self.warn(f"{card.gpu} {why}: it gets no more trials")
                self._changed.notify_all()

    def _check(self) -> None:
        """Raises BadInput if no GPU takes trials any more."""
        if all(card.retired for card in self._cards):
            said = "; ".join(f"{card.gpu} {card.retired}" for card in self._cards)
            raise BadInput(f"no GPU is left: {said}; see `nvidia-smi`, then run the same command again")


def _look(gpu: Gpu) -> nvidia.Reading | Exception:
    """What a GPU does now, or why that cannot be told."""
    return nvidia.within(PATIENCE, lambda: nvidia.read(gpu))
