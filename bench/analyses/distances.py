"""How far back the gradient of a loss reaches, while a network is trained."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import corpus
from bench.analyses.learning import fit
from bench.models.recurrent import RecurrentLM
from bench.trial import Trial

BACK = 64  # tokens
EPOCHS = (0, 1, 2, 5, 15)
"""After which the gradient is measured; 0 is before training."""
ENDS = 8
"""Stretches of BACK words, one after the other, at whose ends the loss is taken."""

Weights = dict[str, Tensor]


def snapshots(trial: Trial, model: RecurrentLM) -> dict[int, Weights]:
    """Train the model; its weights after each of EPOCHS that the trial has."""
    kept, was = {0: _copy(model)}, {"training": False}

    def before(module: nn.Module, _: Any) -> None:
        if was["training"] and not module.training:  # the first batch of an epoch's validation
            kept[len(kept)] = _copy(model)
        was["training"] = module.training

    handle = model.register_forward_pre_hook(before)
    fit(trial, model)
    handle.remove()
    return {epoch: weights for epoch, weights in kept.items() if epoch in EPOCHS}


def shares(model: RecurrentLM, trial: Trial) -> list[float]:
    """Mean ‖∂(loss of a word)/∂(embedding k words before it)‖ as a share of that at k = 0, for k below BACK.

    The text is the training text as batches read it, with the state carried from its beginning; the mean
    is over the rows of a batch and ENDS words. In double precision: single loses what is far away.
    """
    text, answers = _rows(trial)
    model.double().eval()
    total, state = torch.zeros(BACK, dtype=torch.float64), None
    for inputs, targets in _stretches(text, answers):
        vectors = model.embed(inputs).detach().requires_grad_()  # (b, BACK, e)
        hidden, after = model.rnn(vectors, state)
        loss = F.cross_entropy(model.h_o(hidden[:, -1]), targets[:, -1], reduction="sum")
        (grad,) = torch.autograd.grad(loss, vectors)
        total += grad.norm(dim=2).mean(0).flip(0)
        state = tuple(s.detach() for s in after) if isinstance(after, tuple) else after.detach()
    return (total / total[0]).clamp_min(1e-300).tolist()


def _rows(trial: Trial) -> tuple[Tensor, Tensor]:
    """The training text and its next words, a row for each row of a batch: (b, tokens) twice."""
    train = corpus.batches(trial, corpus.load(trial))[0]
    text, answers = (x[train.rows].transpose(0, 1).flatten(1) for x in (train.inputs, train.targets))
    return text, answers


def _stretches(text: Tensor, answers: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    whole = zip(torch.split(text, BACK, dim=1), torch.split(answers, BACK, dim=1), strict=True)
    yield from (pair for pair, _ in zip(whole, range(ENDS), strict=False) if pair[0].shape[1] == BACK)


def _copy(model: nn.Module) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
