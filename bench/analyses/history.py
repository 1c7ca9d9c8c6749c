"""The autograd graph behind a carried state, with and without detaching it."""

from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import corpus
from bench.analyses.learning import build
from bench.models.recurrent import LanguageModel, State, detached
from bench.models.registry import spec_of


def history(count: int = 12, **changes: Any) -> dict[str, Any]:
    """LMModel4 over its first batches, with the state detached after each batch and not, without updates.

    By batch: `nodes` of the graph that a backward pass from the loss walks through, and `bytes` of the
    tensors that are kept for it. `refused` has the error that a training without detaching ends
    with, "" if none, where the backward pass frees the graph and where it retains it.
    """
    trial = spec_of("lm4").trial(0, **changes)
    model, train = build(trial), corpus.batches(trial, corpus.load(trial))[0]
    batches = list(islice(train, count))
    return {
        "detached": _read(model, batches, detach=True),
        "not detached": _read(model, batches, detach=False),
        "window": trial.window,
        "refused": {
            name: _refused(build(trial), batches, retain=retain)
            for name, retain in (("freed", False), ("retained", True))
        },
    }


def _read(model: LanguageModel, batches: list[tuple[Tensor, Tensor]], detach: bool) -> dict[str, list[int]]:
    state: State = None
    kept: dict[int, int] = {}  # bytes by address
    found: dict[str, list[int]] = {"nodes": [], "bytes": []}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        for tokens, targets in batches:
            hidden, state = model.unroll(tokens, state)
            loss = F.cross_entropy(model.read(hidden).logits.flatten(0, 1), targets.flatten())
            found["nodes"].append(_nodes(loss))
            found["bytes"].append(sum(kept.values()))
            if detach:
                state = detached(state)
                kept.clear()
    return found


def _refused(model: LanguageModel, batches: list[tuple[Tensor, Tensor]], *, retain: bool) -> str:
    """The first line of the error that training on the batches without detaching the state ends with."""
    state: State = None
    sgd = torch.optim.SGD(model.parameters(), lr=0.01)
    try:
        for tokens, targets in batches:
            hidden, state = model.unroll(tokens, state)
            loss = F.cross_entropy(model.read(hidden).logits.flatten(0, 1), targets.flatten())
            sgd.zero_grad()
            loss.backward(retain_graph=retain)  # type: ignore[no-untyped-call]
            sgd.step()
    except RuntimeError as error:
        return str(error).splitlines()[0]
    return ""


def _nodes(loss: Tensor) -> int:
    """The nodes behind a loss, each once."""
    seen: set[Any] = set()
    waiting = [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
    return len(seen)
