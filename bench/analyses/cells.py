"""Four cells while they are trained: gradients far back, states over many steps, rounding."""

import copy
from collections.abc import Iterator, Sequence
from itertools import islice
from statistics import geometric_mean
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import corpus
from bench.analyses.learning import build, fit, valid_batches
from bench.models.recurrent import LanguageModel, RecurrentLM, detached, parts_of
from bench.models.registry import spec_of
from bench.training.steps import validate
from bench.trial import Trial

CELLS = {"ReLU": "rnn-relu", "tanh": "lm5", "LSTM": "lm6", "GRU": "gru"}
"""One layer of each, in the chapter's settings for it."""
ROWS = 8
STEPS = 1024
BACK = 64  # tokens
EPOCHS = (0, 1, 2, 5, 15)
"""After which the gradient is measured; 0 is before training."""
ENDS = 8
"""Stretches of BACK words, one after the other, at whose ends the loss is taken."""


def cells(seeds: Sequence[int] = (0, 1, 2), **changes: Any) -> dict[str, Any]:
    """For each cell, over a few seeds:

    - `gradients`: by epoch, the gradient of a loss k tokens back as a share of that at k = 0 (see `shares`),
      the geometric mean over seeds;
    - `states`: the largest |state| after 1, 2, 4, … tokens of validation text read on and on, by seed,
      before training and after;
    - `rounding`: for the trained LSTM, loss and guesses of the validation set by number format, by seed.
    """
    gradients, states, rounding = {}, {}, []
    for name, zoo in CELLS.items():
        far: dict[int, list[list[float]]] = {}
        largest: dict[str, dict[str, list[dict[int, float]]]] = {"start": {}, "end": {}}
        for seed in seeds:
            trial = spec_of(zoo).trial(seed, {"layers": 1}, **changes)
            model: Any = build(trial)
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


def snapshots(trial: Trial, model: RecurrentLM) -> dict[int, dict[str, Tensor]]:
    """Train the model; its weights after each of EPOCHS that the trial has."""
    kept, was = [copy.deepcopy(model.state_dict())], {"training": False}

    def before(module: nn.Module, _: Any) -> None:
        if was["training"] and not module.training:  # the first batch of an epoch's validation
            kept.append(copy.deepcopy(model.state_dict()))
        was["training"] = module.training

    handle = model.register_forward_pre_hook(before)
    fit(trial, model)
    handle.remove()
    return {epoch: weights for epoch, weights in enumerate(kept) if epoch in EPOCHS}


def shares(model: RecurrentLM, trial: Trial) -> list[float]:
    """Mean ‖∂(loss of a word)/∂(embedding k words before it)‖ as a share of that at k = 0, for k below BACK.

    The text is the training text as batches read it, with the state carried from its beginning; the mean
    is over the rows of a batch and ENDS words. In double precision: single loses what is far away.
    """
    model.double().eval()
    total, state = torch.zeros(BACK, dtype=torch.float64), None
    for inputs, targets in _stretches(trial):
        vectors = model.embed(inputs).detach().requires_grad_()  # (b, BACK, e)
        hidden, state = model.rnn(vectors, detached(state))
        loss = F.cross_entropy(model.h_o(hidden[:, -1]), targets[:, -1], reduction="sum")
        (grad,) = torch.autograd.grad(loss, vectors)
        total += grad.norm(dim=2).mean(0).flip(0)
    return (total / total[0]).clamp_min(1e-300).tolist()


def _stretches(trial: Trial) -> Iterator[tuple[Tensor, Tensor]]:
    """The training text and its next words, BACK of each row of a batch at a time: (b, BACK) twice."""
    train = corpus.batches(trial, corpus.load(trial))[0]
    text, answers = (x[train.rows].transpose(0, 1).flatten(1) for x in (train.inputs, train.targets))
    pairs = zip(torch.split(text, BACK, dim=1), torch.split(answers, BACK, dim=1), strict=True)
    yield from (pair for pair in islice(pairs, ENDS) if pair[0].shape[1] == BACK)


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
        tally = validate(trial, copy.deepcopy(model).to(getattr(torch, name)), valid)
        guesses = torch.cat(tally.guesses)
        exact = guesses if exact is None else exact
        found[name] = {"loss": tally.loss(), "same": float((guesses == exact).double().mean())}
    return found
