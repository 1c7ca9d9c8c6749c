"""Counting baselines: n-gram models. A model that predicts worse than bigram counts has learned little."""

import math
from collections import defaultdict
from functools import cache

import torch
from torch import Tensor

PRIOR = 1.0  # pseudo-counts that the shorter context lends to the longer one


class NGram:
    """Next-token counts after the last `context` tokens, each order smoothed by the one below it.

    p(w | c) = (count(c, w) + p(w | shorter c)) / (count(c) + 1), down to the uniform distribution.
    """

    def __init__(self, vocab: int, context: int) -> None:
        self.vocab, self.context = vocab, context

    def predict(self, ids: Tensor, train: Tensor, valid: Tensor) -> Tensor:
        """Log-probabilities (targets, vocab) at positions `valid` of `ids`, counted at positions `train`."""
        tokens = ids.tolist()
        counts = _count(tokens, train.tolist(), self.context, self.vocab)
        uniform = torch.full((self.vocab,), 1 / self.vocab, dtype=torch.float64)

        @cache
        def probability(context: tuple[int, ...]) -> Tensor:
            lower, seen = probability(context[1:]) if context else uniform, counts.get(context)
            return lower if seen is None else (seen + PRIOR * lower) / (seen.sum() + PRIOR)

        rows = [probability(tuple(tokens[max(at - self.context, 0) : at])) for at in valid.tolist()]
        return torch.stack(rows).clamp_min(math.exp(-700)).log()


class Constant:
    """Always the most common validation target: the chapter's baseline, chosen with hindsight."""

    def __init__(self, vocab: int) -> None:
        self.vocab = vocab

    def predict(self, ids: Tensor, train: Tensor, valid: Tensor) -> Tensor:
        """As NGram.predict: its share for that token, the rest spread evenly."""
        shares = torch.bincount(ids[valid], minlength=self.vocab).double() / len(valid)
        top = int(shares.argmax())
        rest = float(1 - shares[top]) / max(self.vocab - 1, 1)
        guess = torch.full((self.vocab,), rest, dtype=torch.float64)
        guess[top] = shares[top]
        return guess.log().expand(len(valid), -1)


def _count(
    tokens: list[int], positions: list[int], context: int, vocab: int
) -> dict[tuple[int, ...], Tensor]:
    counts: defaultdict[tuple[int, ...], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for at in positions:
        for length in range(min(context, at) + 1):
            counts[tuple(tokens[at - length : at])][tokens[at]] += 1
    dense = {}
    for key, seen in counts.items():
        dense[key] = torch.zeros(vocab, dtype=torch.float64)
        dense[key][list(seen)] = torch.tensor(list(seen.values()), dtype=torch.float64)
    return dense
