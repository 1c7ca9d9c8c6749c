"""Witnesses: for each ablated factor, the proof from the trial itself that it took effect.

A witness is {"ok": bool, "declared": …, "seen": …}. An arm whose factor left no trace is a dead toggle, not
"no effect" (fastai 2.2.0 to 2.8.3 ignored alpha and beta in silence: fastai issue 3605).
"""

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bench.corpus import Batches
from bench.models.recurrent import LanguageModel
from bench.models.registry import strengths
from bench.training.engine import Training
from bench.trial import Trial

Witness = dict[str, Any]


def witnesses(
    trial: Trial, model: LanguageModel, fresh: LanguageModel, train: Batches, record: Training
) -> dict[str, Witness]:
    """The witnesses of every factor that this trial has; `fresh` is the untrained model, to be used up."""
    slack = 0.01 + math.sin(math.pi / len(record.lrs)) ** 2  # few steps miss the peak of a cosine by a little
    seen = {
        "lr": _near(trial.lr, max(record.lrs), slack),
        "moms": _near_all(trial.moms, (record.moms[0], min(record.moms), record.moms[-1]), slack),
        "wd": _near(trial.wd, record.wd, 0.0),
        "alpha": _penalty(trial.alpha, sum(e.ar for e in record.epochs)),
        "beta": _penalty(trial.beta, sum(e.tar for e in record.epochs)),
        "horizon": reach_witness(trial, fresh, train),
    }
    for name, strength in strengths(trial.options).items():
        seen[name] = _penalty(strength, record.penalties.get(name, 0.0) / len(record.losses))
    if "tying" in trial.options:
        shared = model.get_parameter("h_o.weight") is model.i_h.weight
        seen["tying"] = _equal(trial.options["tying"], shared)
    if "dropout" in trial.options:
        seen["dropout"] = dropout_witness(float(trial.options["dropout"]), model.get_submodule("drop"))
    return seen


def dropout_witness(p: float, drop: nn.Module) -> Witness:
    """Zeroes about p of 2**16 ones in training and nothing in evaluation. Leaves no trace in the RNG."""
    ones = torch.ones(2**16)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        zeroed = float((drop.train()(ones) == 0).float().mean())
    kept = bool((drop.eval()(ones) == 1).all())
    return {"ok": abs(zeroed - p) < 0.01 and kept, "declared": p, "seen": round(zeroed, 4)}


def reach_witness(trial: Trial, fresh: LanguageModel, train: Batches) -> Witness:
    """How many tokens back a gradient goes from the last word of a window, against the declared horizon."""
    count = max(trial.horizon // trial.window, 1) + 1
    rows = train.order[:count].view(-1, 1)
    seen = int((gradient_by_distance(fresh, train.inputs[rows]) > 0).sum())
    return _equal(trial.horizon, seen)


def gradient_by_distance(model: LanguageModel, windows: Tensor) -> Tensor:
    """‖∂(last output)/∂(embedding k tokens before)‖ for k = 0, 1, …, (n·t,) float64; `windows` (n, b, t).

    Reads the windows in turn, in training mode. The model is used up: it ends in double precision, since
    the gradients of a long horizon are smaller than single precision can hold.
    """
    model.double().train().reset()
    embed, embedded = model.embed, []

    def listening(tokens: Tensor) -> Tensor:
        vectors = embed(tokens)
        vectors.retain_grad()
        embedded.append(vectors)
        return vectors

    model.embed = listening  # type: ignore[method-assign]
    for window in windows:
        before = len(embedded)
        raw = model(window).raw
    raw[:, -1].sum().backward()  # type: ignore[no-untyped-call]
    read = [e.grad for e in embedded[before:] if e.grad is not None]
    grads = torch.cat([g if g.dim() == 3 else g[:, None] for g in read], dim=1)  # (b, tokens, e)
    norms = grads.norm(dim=(0, 2)).flip(0)
    return torch.nn.functional.pad(norms, (0, windows[:, 0].numel() - len(norms)))


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """sha256 over the sorted (name, dtype, shape, bytes) of the weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def metrics_fingerprint(record: Training) -> str:
    """sha256 over (step, name, float64 bytes) of the losses of every step and of every epoch."""
    digest = hashlib.sha256()
    rows = [(step, "train_loss", loss) for step, loss in enumerate(record.losses)]
    rows += [(e.epoch, "valid_loss", e.valid_loss) for e in record.epochs]
    rows += [(e.epoch, "accuracy", e.accuracy) for e in record.epochs]
    for step, name, value in rows:
        digest.update(f"{step} {name} {float(value).hex()}\n".encode())
    return digest.hexdigest()


def _equal(declared: Any, seen: Any) -> Witness:
    return {"ok": declared == seen, "declared": declared, "seen": seen}


def _near(declared: float, seen: float, slack: float) -> Witness:
    return {"ok": math.isclose(declared, seen, rel_tol=slack), "declared": declared, "seen": seen}


def _near_all(declared: tuple[float, ...], seen: tuple[float, ...], slack: float) -> Witness:
    ok = all(math.isclose(d, s, rel_tol=slack) for d, s in zip(declared, seen, strict=True))
    return {"ok": ok, "declared": list(declared), "seen": list(seen)}


def _penalty(declared: float, seen: float) -> Witness:
    return {"ok": (seen > 0) == (declared > 0), "declared": declared, "seen": seen}
