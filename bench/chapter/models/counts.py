"""Counting baselines: n-gram models. A model that predicts worse than bigram counts has learned little."""

import math
from collections import defaultdict
from functools import cache

import torch
from torch import Tensor

PRIOR = 1.0  # weight of the shorter context's distribution, in pseudo-counts


class NGram:
    """Next-token counts after the last `context` tokens, each order smoothed by the one below it.

    p(w | c) = (count(c, w) + p(w | shorter c)) / (count(c) + 1), down to the uniform distribution.
    """

    def __init__(self, vocab: int, context: int) -> None:
        self.vocab = vocab
        self.context = context

    def predict(self, ids: Tensor, train_positions: Tensor, valid_positions: Tensor) -> Tensor:
        """Return log-probabilities (targets, vocab) of the tokens at `valid_positions` of `ids`.

        The tokens at `train_positions` are counted.
        """
        tokens = ids.tolist()
        counts = _count_by_context(tokens, train_positions.tolist(), self.context, self.vocab)
        uniform = torch.full((self.vocab,), 1 / self.vocab, dtype=torch.float64)

        @cache
        def estimate_distribution(context: tuple[int, ...]) -> Tensor:
            lower_order = estimate_distribution(context[1:]) if context else uniform
            if context not in counts:
                return lower_order
            return (counts[context] + PRIOR * lower_order) / (counts[context].sum() + PRIOR)

        distributions = []
        for position in valid_positions.tolist():
            context = tuple(tokens[max(position - self.context, 0) : position])
            distributions.append(estimate_distribution(context))
        return torch.stack(distributions).clamp_min(math.exp(-700)).log()


class MostCommonToken:
    """Always predicts the most common validation target: the chapter's baseline, chosen with hindsight."""

    def __init__(self, vocab: int) -> None:
        self.vocab = vocab

    def predict(self, ids: Tensor, train_positions: Tensor, valid_positions: Tensor) -> Tensor:
        """See NGram.predict. The token gets its share of the targets; the others share the remainder."""
        shares = torch.bincount(ids[valid_positions], minlength=self.vocab).double() / len(valid_positions)
        top = int(shares.argmax())
        share_of_others = float(1 - shares[top]) / max(self.vocab - 1, 1)
        distribution = torch.full((self.vocab,), share_of_others, dtype=torch.float64)
        distribution[top] = shares[top]
        return distribution.log().expand(len(valid_positions), -1)


def _count_by_context(
    tokens: list[int], positions: list[int], longest: int, vocab: int
) -> dict[tuple[int, ...], Tensor]:
    """Return, for each context of at most `longest` tokens, the counts (vocab,) of what follows it.

    Only tokens at `positions` are counted.
    """
    counts: defaultdict[tuple[int, ...], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for position in positions:
        for length in range(min(longest, position) + 1):
            context = tuple(tokens[position - length : position])
            counts[context][tokens[position]] += 1
    dense_counts = {}
    for context, token_counts in counts.items():
        dense_counts[context] = torch.zeros(vocab, dtype=torch.float64)
        dense_counts[context][list(token_counts)] = torch.tensor(
            list(token_counts.values()), dtype=torch.float64
        )
    return dense_counts
