"""Metrics of a validation pass, overall and by token role: sums of nats and hits, divided once."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


class Evaluation:
    """Loss and guess of every target of one validation pass, to be summed over all or by role."""

    def __init__(self) -> None:
        self.nats: list[Tensor] = []
        self.guesses: list[Tensor] = []
        self.targets: list[Tensor] = []
        self._sums: tuple[float, int] | None = None

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """Count one batch: logits (b, t, vocab) or (b, vocab), targets (b, t) or (b,)."""
        logits, targets = logits.flatten(0, -2).float(), targets.flatten()
        self.nats.append(F.cross_entropy(logits, targets, reduction="none"))
        self.guesses.append(logits.argmax(-1))
        self.targets.append(targets)
        self._sums = None

    def loss(self) -> float:
        """Mean nats a target."""
        return self._summed()[0] / self._count()

    def hits(self) -> int:
        """Targets guessed right."""
        return self._summed()[1]

    def accuracy(self) -> float:
        """Share of the targets guessed right."""
        return self.hits() / self._count()

    def summary(self) -> dict[str, float]:
        """The validation metrics of a Result."""
        loss = self.loss()
        return {
            "valid_loss": loss,
            "valid_perplexity": perplexity(loss),
            "valid_bits": loss / math.log(2),
            "valid_accuracy": self.accuracy(),
            "valid_hits": float(self.hits()),
            "valid_targets": float(self._count()),
        }

    def by_role(self, roles: Tensor, names: tuple[str, ...]) -> dict[str, list[float]]:
        """[nats, hits, targets] of each role that occurs; `roles` is the role of each target, in order."""
        nats = torch.cat(self.nats).double().cpu()
        hits = (torch.cat(self.guesses) == torch.cat(self.targets)).cpu()
        return {
            name: [float(nats[here].sum()), int(hits[here].sum()), int(here.sum())]
            for i, name in enumerate(names)
            if (here := roles == i).any()
        }

    def _count(self) -> int:
        return sum(len(t) for t in self.targets)

    def _summed(self) -> tuple[float, int]:
        """Nats and hits. However many batches there are, they are copied from the device once."""
        if self._sums is None:
            nats = [n.double().sum() for n in self.nats]
            hits = [(g == t).sum().double() for g, t in zip(self.guesses, self.targets, strict=True)]
            read = torch.stack(nats + hits).tolist()
            self._sums = sum(read[: len(nats)]), int(sum(read[len(nats) :]))
        return self._sums


def perplexity(loss: float) -> float:
    """exp(loss), infinite rather than an error."""
    return math.exp(loss) if loss < 709 else math.inf
