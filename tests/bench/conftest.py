"""Small trials, plug-ins and the corpus for the tests of `bench`."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from unrolled.bench.chapter import plugins
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.corpus import Corpus, tokenize_corpus
from unrolled.bench.chapter.retrain import preserve_torch_state

PLUGINS = {
    "cell": """
import torch
from torch import nn
from unrolled import cell

@cell("mine", "my cell", epochs=1)
class Mine(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.mix = nn.Linear(inputs + hidden, hidden)

    def forward(self, x, h=None):
        h = x.new_zeros(len(x), self.mix.out_features) if h is None else h
        h = torch.tanh(self.mix(torch.cat([x, h], 1)))
        return h, h
""",
    "model": """
from torch import nn
from unrolled.bench.chapter.models.recurrent import LanguageModel, Output
from unrolled import model

@model("mine")
class Mine(LanguageModel):
    def __init__(self, vocab, hidden=8):
        super().__init__()
        self.i_h, self.h_o = nn.Embedding(vocab, hidden), nn.Linear(hidden, vocab)
        self.rnn = nn.GRU(hidden, hidden, batch_first=True)

    def unroll(self, tokens, state):
        return self.rnn(self.embed(tokens), state)

    def compute_output(self, hidden):
        return Output(self.h_o(hidden), hidden, hidden)
""",
    "regularizer": """
from unrolled import regularizer

@regularizer("small", "small activations")
def small(output):
    return output.dropped.abs().mean()
""",
}
"""A user's own files, each the simplest of its kind."""


@pytest.fixture(autouse=True)
def restore_torch() -> Iterator[None]:
    """Restore torch's global state: a trial sets it for its whole process, and here all trials share one."""
    deterministic: Any = torch.utils.deterministic
    fill = deterministic.fill_uninitialized_memory
    with preserve_torch_state():
        torch.set_num_threads(1)
        yield
    deterministic.fill_uninitialized_memory = fill
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of a text of 1,200 words, nine different ones, mostly in one order: soon learnt."""
    order = ["the", "cat", "sat", "on", "a", "mat", "and", "slept", "."]
    chance = random.Random(0)
    words = [chance.choice(order) if chance.random() < 0.1 else order[i % 9] for i in range(1200)]
    path: Path = tmp_path_factory.mktemp("texts") / "story.txt"
    path.write_text(" ".join(words))
    return str(path)


@pytest.fixture
def make_small_trial(story: str) -> Callable[..., ChapterTrial]:
    """Return a function to a trial of a tenth of a second: 29 updates of 8 rows of 4 words."""

    def make(model: str = "lm6", **changes: object) -> ChapterTrial:
        options = {} if model.startswith(("ngram", "most")) else {"hidden": 8}
        settings = {"seed": 0, "corpus": story, "window": 4, "batch": 8, "epochs": 1, "options": options}
        return ChapterTrial(**{"model": model, **settings, **changes})

    return make


@pytest.fixture(scope="session")
def numbers() -> Corpus:
    """Return the corpus human-numbers."""
    return tokenize_corpus("human-numbers")


@pytest.fixture
def load_plugin(tmp_path: Path, restore_registries: None) -> Callable[..., Path]:
    """Return a function that writes one of PLUGINS, with some text of it replaced, and loads it."""

    def write(kind: str, old: str = "", new: str = "", name: str = "my.py") -> Path:
        assert old in PLUGINS[kind]
        path = tmp_path / name
        path.write_text(PLUGINS[kind].replace(old, new, 1))
        plugins.load_plugin(str(path))
        return path

    return write
