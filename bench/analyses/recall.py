"""Recall: a digit, k times the same filler, and the question which digit it was."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.analyses.cells import CELLS
from bench.models.recurrent import RecurrentLM
from bench.models.registry import spec_of

DIGITS, ROWS, ASKED = 9, 32, 288
FILLER, QUESTION = DIGITS, DIGITS + 1
KEEPING = "LSTM, bias 1"
"""An LSTM whose forget gates begin mostly open: their biases at 1."""
KINDS = {**CELLS, KEEPING: "lm6"}
LEARNT = 20  # batches without a mistake, after which a training ends


def recall(
    seeds: Sequence[int] = (0, 1, 2), distances: Sequence[int] = (2, 4, 8, 16, 32), steps: int = 250
) -> dict[str, Any]:
    """Accuracy of each cell by the number of fillers, by seed: one layer of 64, trained for each number anew.

    Guessing reaches 1/9.
    """
    found = {
        name: {k: [_trained(name, k, seed, steps) for seed in seeds] for k in distances} for name in KINDS
    }
    about = {"steps": steps, "rows": ROWS, "chance": 1 / DIGITS}
    lr = {name: spec_of(model).settings["lr"] for name, model in KINDS.items()}
    return {"accuracy": found, "seeds": list(seeds), "lr": lr, **about}


def _trained(name: str, fillers: int, seed: int, steps: int) -> float:
    torch.manual_seed(seed)
    spec = spec_of(KINDS[name])
    model: RecurrentLM = spec.build(DIGITS + 2, layers=1)
    model.target = "last"
    if name == KEEPING:
        _, forget, _, _ = model.rnn.bias_ih_l0.data.chunk(4)  # type: ignore[union-attr, operator]
        forget.fill_(1.0)
    adam = torch.optim.Adam(model.parameters(), lr=spec.settings["lr"])
    right = 0
    model.train()
    for _ in range(steps):
        digits = torch.randint(DIGITS, (ROWS,))
        model.reset()
        logits = model(_asked(digits, fillers)).logits
        adam.zero_grad()
        F.cross_entropy(logits, digits).backward()  # type: ignore[no-untyped-call]
        adam.step()
        right = right + 1 if bool((logits.argmax(1) == digits).all()) else 0
        if right == LEARNT:
            break
    digits = torch.arange(ASKED) % DIGITS
    model.eval().reset()
    with torch.no_grad():
        guesses = model(_asked(digits, fillers)).logits.argmax(1)
    return float((guesses == digits).double().mean())


def _asked(digits: Tensor, fillers: int) -> Tensor:
    """Texts (b, fillers + 2)."""
    rows = len(digits)
    return torch.cat(
        [digits[:, None], torch.full((rows, fillers), FILLER), torch.full((rows, 1), QUESTION)], dim=1
    )
