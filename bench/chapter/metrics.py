"""Metrics of a trial: nats and hits of a validation pass, and the operations of its training.

Floating-point operations are counted from the shapes of the weights. Only matrix products count; a
multiplication and an addition are two operations, and a backward pass is two forward passes: the convention
of `torch.utils.flop_counter`, which cannot see into a fused nn.LSTM. Elementwise operations (gates, dropout,
the optimizer, the loss) and validation are left out.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.models.recurrent import LanguageModel
from unrolled.bench.numbers import safe_exp

BACKWARD = 2  # the backward pass of a product is two products: one for its weight, one for its input


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
            "valid_perplexity": safe_exp(self.loss),
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
        """Return the sums of nats and hits. All batches are copied from the device at once."""
        if self._cached_sums is None:
            pairs = zip(self.guesses, self.targets, strict=True)
            nats = [batch_nats.double().sum() for batch_nats in self.nats]
            hits = [(guesses == targets).sum().double() for guesses, targets in pairs]
            sums = torch.stack(nats + hits).tolist()
            self._cached_sums = sum(sums[: len(nats)]), int(sum(sums[len(nats) :]))
        return self._cached_sums


def count_forward_flops(model: LanguageModel, tokens: int, targets: int) -> int:
    """Return the operations of reading `tokens` tokens and of predicting after `targets` of them.

    It is 2 · (recurrent weights · tokens + decoder weights · targets). That is right for every model of the
    zoo: each matrix is multiplied once a token, the embedding is a look-up, and `h_o` is the decoder. The
    backward pass of the first step needs no gradient of the state before it; that saving is not subtracted.
    """
    recurrent = sum(
        weight.numel()
        for name, weight in model.named_parameters()
        if weight.dim() == 2 and not name.startswith(("i_h.", "h_o."))
    )
    decoder = model.get_parameter("h_o.weight").numel()
    return 2 * (recurrent * tokens + decoder * targets)


def count_training_flops(trial: ChapterTrial, model: LanguageModel, updates: int) -> int:
    """Return the operations of all updates of a trial, with windows that a long `detach_every` replays."""
    tokens = trial.batch * trial.window
    targets = tokens if trial.target == "every" else trial.batch
    replays = trial.epochs * _count_replays(trial, updates // trial.epochs)
    forward = updates * count_forward_flops(model, tokens, targets) + replays * count_forward_flops(
        model, tokens, 0
    )
    return (1 + BACKWARD) * forward


def _count_replays(trial: ChapterTrial, updates: int) -> int:
    """Return how many windows an epoch of `updates` updates replays for a longer `detach_every`."""
    if trial.reset == "batch":
        return 0
    replays_per_update = max(trial.detach_every // trial.window - 1, 0)
    return sum(min(update, replays_per_update) for update in range(updates))
