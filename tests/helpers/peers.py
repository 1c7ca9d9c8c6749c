"""The peers that this project's speed is compared with: the chapter's own way, and a plain PyTorch script.

Both are written here for this purpose and use nothing of the project but its text. As a program this file
is the chapter's notebook: LMModel1 to LMModel7 and nn.GRU, one after the other in one process.
Source of what is trained, and how: fastbook chapter 12, "A Language Model from Scratch".
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from fastai.callback.rnn import ModelResetter, RNNCallback
from fastai.callback.schedule import Learner  # patched with fit_one_cycle
from fastai.data.core import DataLoaders
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.text.learner import TextLearner
from fastai.torch_core import set_seed
from torch import Tensor, nn

from unrolled.bench.chapter.text import HUMAN_NUMBERS, read_corpus_text

BATCH = 64
HIDDEN = 64


@dataclass(frozen=True)
class Recipe:
    """How the chapter trains a model."""

    build: Callable[[int], nn.Module]  # from the size of the vocabulary
    window: int = 16
    predicts_all: bool = True  # predict after every word, else after a window's last
    grouped: bool = True  # row j of every batch reads the j-th stretch of the text
    lr: float = 1e-2
    epochs: int = 15
    wd: float = 0.01
    alpha: float = 0.0
    beta: float = 0.0
    moms: tuple[float, float, float] = (0.95, 0.85, 0.95)


@dataclass(frozen=True)
class Cost:
    """Seconds before the first update, and of an epoch with its validation; its last validation loss."""

    start: float
    epoch: float
    loss: float


class Elman(nn.Module):
    """LMModel1 to LMModel4: one ReLU layer, with or without a memory, with one target or with all."""

    def __init__(self, vocab: int, carries: bool, predicts_all: bool) -> None:
        super().__init__()
        self.i_h = nn.Embedding(vocab, HIDDEN)
        self.h_h = nn.Linear(HIDDEN, HIDDEN)
        self.h_o = nn.Linear(HIDDEN, vocab)
        self.carries = carries
        self.predicts_all = predicts_all
        self.reset()

    def reset(self) -> None:
        self.h: Tensor | float = 0.0

    def forward(self, x: Tensor) -> Tensor:
        h: Any = self.h if self.carries else 0.0
        outputs = []
        for t in range(x.shape[1]):
            h = F.relu(self.h_h(h + self.i_h(x[:, t])))
            if self.predicts_all:
                outputs.append(self.h_o(h))
        if self.carries:
            self.h = h.detach()
        return torch.stack(outputs, dim=1) if self.predicts_all else self.h_o(h)


class Layered(nn.Module):
    """LMModel5 to LMModel7 and their like: two layers of torch's own."""

    def __init__(self, vocab: int, core: type[nn.RNNBase], p: float = 0.0, tied: bool = False) -> None:
        super().__init__()
        self.i_h = nn.Embedding(vocab, HIDDEN)
        self.rnn = core(HIDDEN, HIDDEN, 2, batch_first=True)
        self.drop = nn.Dropout(p)
        self.h_o = nn.Linear(HIDDEN, vocab)
        if tied:
            self.h_o.weight = self.i_h.weight
        self.reset()

    def reset(self) -> None:
        self.h: Any = None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        raw, h = self.rnn(self.i_h(x), self.h)
        self.h = tuple(s.detach() for s in h) if isinstance(h, tuple) else h.detach()
        out = self.drop(raw)
        return self.h_o(out), raw, out


_FIRST = Recipe(
    partial(Elman, carries=False, predicts_all=False),
    window=3,
    predicts_all=False,
    grouped=False,
    lr=1e-3,
    epochs=4,
)
_SIXTH = Recipe(partial(Layered, core=nn.LSTM))
RECIPES = {
    "lm1": _FIRST,
    "lm2": _FIRST,
    "lm3": Recipe(
        partial(Elman, carries=True, predicts_all=False), window=3, predicts_all=False, lr=3e-3, epochs=10
    ),
    "lm4": Recipe(partial(Elman, carries=True, predicts_all=True), lr=3e-3),
    "lm5": Recipe(partial(Layered, core=nn.RNN), lr=3e-3),
    "lm6": _SIXTH,
    "lm7": replace(
        _SIXTH,
        build=partial(Layered, core=nn.LSTM, p=0.4, tied=True),
        wd=0.1,
        alpha=2.0,
        beta=1.0,
        moms=(0.8, 0.7, 0.8),
    ),
    "gru": Recipe(partial(Layered, core=nn.GRU)),
}
"""LMModel1 writes its three steps out where LMModel2 loops: the same operations, so the same recipe."""


def notebook(model: str, epochs: int = 0, workers: int | None = None) -> Cost:
    """Train as the chapter's notebook does, with fastai's defaults: loaders with worker processes.

    They name no device, and fastai then leaves the network on the CPU, also where there is a GPU.
    """
    begin = time.perf_counter()
    recipe = RECIPES[model]
    vocab, dls = _loaders(recipe, workers)
    learn = _build_learner(recipe, dls, recipe.build(vocab))
    ready = time.perf_counter()
    epochs = epochs or recipe.epochs
    loss = _fit(recipe, learn, epochs)[-1][1]
    return Cost(ready - begin, (time.perf_counter() - ready) / epochs, loss)


def replay(seed: int) -> Iterator[tuple[tuple[str, int], tuple[float, ...]]]:
    """The notebook from its one seed, in its order: (model, epoch), and what fastai prints of it."""
    set_seed(seed)
    for name in list(RECIPES)[:7]:
        recipe = RECIPES[name]
        vocab, dls = _loaders(recipe, workers=0)
        if name == "lm2":
            list(dls.valid)  # the count of validation targets
        if name == "lm7":
            recipe.build(vocab)  # the one with p = .5 is never trained
        for epoch, row in enumerate(
            _fit(recipe, _build_learner(recipe, dls, recipe.build(vocab)), recipe.epochs)
        ):
            yield (name, epoch), row


def script(model: str, epochs: int = 0) -> Cost:
    """Train as a plain PyTorch script does: tensors made once, torch's own optimizer and schedule."""
    begin = time.perf_counter()
    recipe = RECIPES[model]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    vocab, *sets = _windows(recipe)
    train, valid = ([torch.stack(part).to(device) for part in zip(*pairs, strict=True)] for pairs in sets)
    net: Any = recipe.build(vocab).to(device)
    epochs = epochs or recipe.epochs
    first, least, _ = recipe.moms
    optimizer = torch.optim.AdamW(net.parameters(), recipe.lr, (first, 0.99), 1e-5, recipe.wd)
    steps = epochs * (len(train[0]) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        recipe.lr,
        total_steps=steps,
        pct_start=0.25,
        base_momentum=least,
        max_momentum=first,
        final_div_factor=1e5,
    )
    ready = time.perf_counter()
    for _ in range(epochs):
        net.train()
        net.reset()
        for x, y in _iterate_batches(*train):
            loss = _compute_loss(recipe, net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        score = _evaluate(net, valid)
    return Cost(ready - begin, (time.perf_counter() - ready) / epochs, score)


def _windows(recipe: Recipe) -> tuple[int, list[tuple[Tensor, Tensor]], list[tuple[Tensor, Tensor]]]:
    """Return the size of the vocabulary, and (words, the words after them) of training and validation."""
    words = " . ".join(line.strip() for line in read_corpus_text(HUMAN_NUMBERS).splitlines()).split(" ")
    vocab = {word: i for i, word in enumerate(dict.fromkeys(words))}
    ids = torch.tensor([vocab[word] for word in words])
    n = recipe.window
    last = len(ids) - n - 1
    pairs = [
        (ids[i : i + n], ids[i + 1 : i + n + 1] if recipe.predicts_all else ids[i + n])
        for i in range(0, last, n)
    ]
    cut = int(len(pairs) * 0.8)
    parts = pairs[:cut], pairs[cut:]
    train, valid = (_group_pairs(part) if recipe.grouped else part for part in parts)
    return len(vocab), train, valid


def _group_pairs(pairs: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    """Return the pairs ordered so that row j of every batch reads the j-th stretch."""
    rows = len(pairs) // BATCH
    return [pairs[i + rows * j] for i in range(rows) for j in range(BATCH)]


def _loaders(recipe: Recipe, workers: int | None = None) -> tuple[int, DataLoaders]:
    """Return the vocabulary's size and fastai's loaders, by default with as many workers as fastai takes."""
    vocab, train, valid = _windows(recipe)
    chosen = {} if workers is None else {"num_workers": workers}
    return vocab, DataLoaders.from_dsets(train, valid, bs=BATCH, shuffle=False, **chosen)


def _fit(recipe: Recipe, learn: Learner, epochs: int) -> list[tuple[float, ...]]:
    """Train, and return what fastai prints of each epoch."""
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, recipe.lr, wd=recipe.wd if recipe.alpha else None)
    return [tuple(map(float, row)) for row in learn.recorder.values]


def _build_learner(recipe: Recipe, dls: DataLoaders, net: nn.Module) -> Learner:
    """Return fastai's learner of a recipe."""
    same = {"loss_func": CrossEntropyLossFlat(), "metrics": accuracy}
    if recipe.alpha:
        return TextLearner(dls, net, alpha=recipe.alpha, beta=recipe.beta, moms=recipe.moms, **same)
    cbs = [ModelResetter()] if recipe.grouped else []
    if isinstance(net, Layered):
        cbs.append(RNNCallback())
    return Learner(dls, net, cbs=cbs, **same)


def _iterate_batches(x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of a text."""
    for i in range(0, len(x) - BATCH + 1, BATCH):
        yield x[i : i + BATCH], y[i : i + BATCH]


def _compute_loss(recipe: Recipe, output: Any, y: Tensor) -> Tensor:
    """Return the loss of an output, with AR and TAR where a recipe has them."""
    logits, raw, out = output if isinstance(output, tuple) else (output, None, None)
    loss = F.cross_entropy(logits.flatten(0, -2), y.flatten())
    if recipe.alpha:
        loss = loss + recipe.alpha * out.pow(2).mean()
        loss = loss + recipe.beta * (raw[:, 1:] - raw[:, :-1]).pow(2).mean()
    return loss


@torch.no_grad()
def _evaluate(net: Any, valid: list[Tensor]) -> float:
    """Return the mean loss over the validation words."""
    net.eval()
    net.reset()
    nats = targets = 0.0
    for x, y in _iterate_batches(*valid):
        output = net(x)
        logits = output[0] if isinstance(output, tuple) else output
        logits = logits.flatten(0, -2)
        y = y.flatten()
        nats += F.cross_entropy(logits, y, reduction="sum").item()
        targets += len(y)
    return nats / targets


if __name__ == "__main__":
    for name in RECIPES:
        notebook(name)
