"""How far gradients flow, what a model writes, and fingerprints of tensors and metrics."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from unrolled.bench.chapter.models.recurrent import LanguageModel
from unrolled.bench.chapter.training.record import TrainingRecord


def measure_gradient_by_distance(model: LanguageModel, windows: Tensor) -> Tensor:
    """Return ‖∂(last output)/∂(embedding k tokens before)‖ for k = 0, 1, …: (n·t,), float64.

    The model reads `windows` (n, b, t) in turn, in training mode. It is converted to double precision,
    because gradients over long distances are too small for single precision.
    """
    model.double().train().reset()
    with collect_embeddings(model) as embeddings:
        for window in windows:
            earlier_calls = len(embeddings)
            raw = model(window).raw
        for vectors in embeddings[earlier_calls:]:
            vectors.retain_grad()
        raw[:, -1].sum().backward()  # type: ignore[no-untyped-call]
    grads = [vectors.grad for vectors in embeddings[earlier_calls:] if vectors.grad is not None]
    by_token = torch.cat([grad if grad.dim() == 3 else grad[:, None] for grad in grads], dim=1)  # (b, k, e)
    norms = by_token.norm(dim=(0, 2)).flip(0)
    return torch.nn.functional.pad(norms, (0, windows[:, 0].numel() - len(norms)))


@contextmanager
def collect_embeddings(model: LanguageModel) -> Iterator[list[Tensor]]:
    """Collect each tensor that the model's `embed` returns within the context."""
    embed = model.embed
    embeddings = []

    def embed_and_collect(tokens: Tensor) -> Tensor:
        vectors = embed(tokens)
        embeddings.append(vectors)
        return vectors

    model.embed = embed_and_collect  # type: ignore[method-assign]
    try:
        yield embeddings
    finally:
        del model.embed


@torch.no_grad()
def generate_tokens(model: LanguageModel, prompt: Tensor, length: int) -> Tensor:
    """Return the tokens (length,) that a model writes after `prompt` (window,): each time the likeliest one.

    To choose a token, the model reads the last `window` tokens, including those it wrote, from an empty state
    and in evaluation mode. No random number is drawn.
    """
    model.eval()
    device = next(model.parameters()).device
    text = prompt.to(device)
    for _ in range(length):
        model.reset()
        logits = model(text[None, -len(prompt) :]).logits.flatten(0, -2)  # (t, vocab), or (1, vocab)
        text = torch.cat([text, logits[-1:].argmax(-1)])
    return text[len(prompt) :].cpu()


def fingerprint_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 of the sorted (name, dtype, shape, bytes) of some tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def fingerprint_metrics(record: TrainingRecord) -> str:
    """Return the sha256 of the loss of each step, and of the validation loss and accuracy of each epoch."""
    digest = hashlib.sha256()
    rows = [(step, "train_loss", loss) for step, loss in enumerate(record.losses)]
    rows += [(epoch.epoch, "valid_loss", epoch.valid_loss) for epoch in record.epochs]
    rows += [(epoch.epoch, "accuracy", epoch.valid_accuracy) for epoch in record.epochs]
    for step, name, value in rows:
        digest.update(f"{step} {name} {float(value).hex()}\n".encode())
    return digest.hexdigest()
