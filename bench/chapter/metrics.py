"""Metrics of a validation pass, overall and by token role: sums of nats and hits, divided once."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


class Evaluation:
    """The loss and the guess of every target of one validation pass."""

    def __init__(self) -> None:
        self.nats: list[Tensor] = []
        self.guesses: list[Tensor] = []
        self.targets: list[Tensor] = []
        self._cached_sums: tuple[float, int] | None = None

    def add_batch(self, logits: Tensor, targets: Tensor) -> None:
        """Add a batch: logits (b, t, vocab) or (b, vocab), targets (b, t) or (b,)."""
        logits = logits.flatten(0, -2).float()
        targets = targets.flatten()
        self.nats.append(F.cross_entropy(logits, targets, reduction="none"))
        self.guesses.append(logits.argmax(-1))
        self.targets.append(targets)
        self._cached_sums = None

    @property
    def loss(self) -> float:
        """Mean nats a target."""
        nats, _ = self._compute_sums()
        return nats / self._target_count

    @property
    def hits(self) -> int:
        """The number of targets guessed right."""
        _, hits = self._compute_sums()
        return hits

    @property
    def accuracy(self) -> float:
        """The share of targets guessed right."""
        return self.hits / self._target_count

    def to_metrics(self) -> dict[str, float]:
        """Return the validation metrics of a Result."""
        return {
            "valid_loss": self.loss,
            "valid_perplexity": perplexity(self.loss),
            "valid_bits": self.loss / math.log(2),
            "valid_accuracy": self.accuracy,
            "valid_hits": float(self.hits),
            "valid_targets": float(self._target_count),
        }

    def sum_by_role(self, roles: Tensor, role_names: tuple[str, ...]) -> dict[str, list[float]]:
        """Return [nats, hits, targets] of each role that occurs. `roles` (targets,) has indices of names."""
        nats = torch.cat(self.nats).double().cpu()
        hits = (torch.cat(self.guesses) == torch.cat(self.targets)).cpu()
        sums = {}
        for role, name in enumerate(role_names):
            mask = roles == role
            if mask.any():
                sums[name] = [float(nats[mask].sum()), int(hits[mask].sum()), int(mask.sum())]
        return sums

    @property
    def _target_count(self) -> int:
        return sum(len(targets) for targets in self.targets)

    def _compute_sums(self) -> tuple[float, int]:
        """Return nats and hits. However many batches there are, they are copied from the device once."""
        if self._cached_sums is None:
            pairs = zip(self.guesses, self.targets, strict=True)
            nats = [batch_nats.double().sum() for batch_nats in self.nats]
            hits = [(guesses == targets).sum().double() for guesses, targets in pairs]
            sums = torch.stack(nats + hits).tolist()
            self._cached_sums = sum(sums[: len(nats)]), int(sum(sums[len(nats) :]))
        return self._cached_sums


def perplexity(loss: float) -> float:
    """Return exp(loss), infinite rather than an error."""
    return math.exp(loss) if loss < 709 else math.inf
