"""Four cells while they are trained: gradients far back, states over many steps, rounding."""

import copy
from collections.abc import Sequence
from statistics import geometric_mean
from typing import Any

import torch

from bench.analyses.distances import BACK, shares, snapshots
from bench.analyses.learning import chapter, evaluate, recurrent, valid_batches
from bench.models.recurrent import LanguageModel, parts_of
from bench.trial import Trial

CELLS = {"ReLU": "rnn-relu", "tanh": "lm5", "LSTM": "lm6", "GRU": "gru"}
"""One layer of each, in the chapter's settings for it."""
ROWS = 8
STEPS = 1024


def cells(seeds: Sequence[int] = (0, 1, 2), **changes: Any) -> dict[str, Any]:
    """For each cell, over a few seeds:

    - `gradients`: by epoch, the gradient of a loss k tokens back as a share of that at k = 0 (see
      `bench.analyses.distances`), the geometric mean over seeds;
    - `states`: the largest |state| after 1, 2, 4, … tokens of validation text read on and on, by seed,
      before training and after;
    - `rounding`: for the trained LSTM, loss and guesses of the validation set by number format, by seed.
    """
    gradients, states, rounding = {}, {}, []
    for name, zoo in CELLS.items():
        far: dict[int, list[list[float]]] = {}
        largest: dict[str, dict[str, list[dict[int, float]]]] = {"start": {}, "end": {}}
        for seed in seeds:
            trial = chapter(zoo, seed, changes, layers=1)
            model = recurrent(trial)
            kept = snapshots(trial, model)
            for epoch, weights in kept.items():
                model.load_state_dict(weights)
                far.setdefault(epoch, []).append(shares(copy.deepcopy(model), trial))
                if epoch in (0, max(kept)):
                    for part, by_tokens in _states(model, trial).items():
                        largest["end" if epoch else "start"].setdefault(part, []).append(by_tokens)
            if name == "LSTM":
                rounding.append(_rounding(model, trial))
        gradients[name] = {
            e: [geometric_mean(at) for at in zip(*runs, strict=True)] for e, runs in far.items()
        }
        states[name] = largest
    found = {"gradients": gradients, "states": states, "rounding": rounding}
    return {"back": BACK, "seeds": list(seeds), **found}


@torch.no_grad()
def _states(model: LanguageModel, trial: Trial) -> dict[str, dict[int, float]]:
    """The largest |entry| of each part of the state, by the number of tokens read."""
    valid = valid_batches(trial)
    text = valid.inputs[valid.order.sort().values].flatten()
    text = text[: len(text) // ROWS * ROWS].view(ROWS, -1)[:, :STEPS]  # the validation text, unbroken
    model.eval().reset()
    found: dict[str, dict[int, float]] = {}
    ends = [2**k for k in range(text.shape[1].bit_length())]
    for begin, end in zip([0, *ends], ends, strict=False):
        model(text[:, begin:end])
        for part, state in zip("hc", parts_of(model.state), strict=False):  # only an LSTM has a c
            found.setdefault(part, {})[end] = float(state.abs().max())
    return found


def _rounding(model: LanguageModel, trial: Trial) -> dict[str, dict[str, float]]:
    """Loss in nats, and the share of guesses that are those of double precision."""
    valid, found, exact = valid_batches(trial), {}, None
    for name in ("float64", "float32", "bfloat16"):
        tally = evaluate(copy.deepcopy(model).to(getattr(torch, name)), valid)
        guesses = torch.cat(tally.guesses)
        exact = guesses if exact is None else exact
        found[name] = {"loss": tally.loss(), "same": float((guesses == exact).double().mean())}
    return found
