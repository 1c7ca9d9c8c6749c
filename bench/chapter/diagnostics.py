"""How far gradients flow, and fingerprints of weights and metrics."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from unrolled.bench.chapter.models.recurrent import LanguageModel
from unrolled.bench.chapter.training.record import TrainingRecord


def gradient_by_distance(model: LanguageModel, windows: Tensor) -> Tensor:
    """‖∂(last output)/∂(embedding k tokens before)‖ for k = 0, 1, …, (n·t,) float64; `windows` (n, b, t).

    Reads the windows in turn, in training mode. Converts the model to double precision, since gradients
    from far back are too small for single precision.
    """
    model.double().train().reset()
    with embeddings(model) as embedded:
        for window in windows:
            before = len(embedded)
            raw = model(window).raw
        for vectors in embedded[before:]:
            vectors.retain_grad()
        raw[:, -1].sum().backward()  # type: ignore[no-untyped-call]
    read = [e.grad for e in embedded[before:] if e.grad is not None]
    grads = torch.cat([g if g.dim() == 3 else g[:, None] for g in read], dim=1)  # (b, tokens, e)
    norms = grads.norm(dim=(0, 2)).flip(0)
    return torch.nn.functional.pad(norms, (0, windows[:, 0].numel() - len(norms)))


@contextmanager
def embeddings(model: LanguageModel) -> Iterator[list[Tensor]]:
    """Collects each tensor that the model's `embed` returns within the context."""
    embed, found = model.embed, []

    def listening(tokens: Tensor) -> Tensor:
        found.append(embed(tokens))
        return found[-1]

    model.embed = listening  # type: ignore[method-assign]
    try:
        yield found
    finally:
        del model.embed


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """sha256 over the sorted (name, dtype, shape, bytes) of the weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def metrics_fingerprint(record: TrainingRecord) -> str:
    """sha256 over (step, name, float64 bytes) of the losses of every step and of every epoch."""
    digest = hashlib.sha256()
    rows = [(step, "train_loss", loss) for step, loss in enumerate(record.losses)]
    rows += [(e.epoch, "valid_loss", e.valid_loss) for e in record.epochs]
    rows += [(e.epoch, "accuracy", e.accuracy) for e in record.epochs]
    for step, name, value in rows:
        digest.update(f"{step} {name} {float(value).hex()}\n".encode())
    return digest.hexdigest()
