import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from bench.corpus import Corpus, corpus
from bench.trial import Trial


@pytest.fixture(autouse=True)
def torch_as_it_was() -> Iterator[None]:
    """A trial sets torch up for its whole process. Here one process has them all."""
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode(mode)
    torch.utils.deterministic.fill_uninitialized_memory = fill
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a text of 1,200 words, nine different ones, mostly in the same order: soon learnt."""
    order = ["the", "cat", "sat", "on", "a", "mat", "and", "slept", "."]
    chance = random.Random(0)
    words = [chance.choice(order) if chance.random() < 0.1 else order[i % 9] for i in range(1200)]
    path: Path = tmp_path_factory.mktemp("texts") / "story.txt"
    path.write_text(" ".join(words))
    return str(path)


@pytest.fixture
def small(story: str) -> Callable[..., Trial]:
    """A trial of a tenth of a second, with what a test changes: 29 updates of 8 rows of 4 words."""

    def make(model: str = "lm6", **changes: object) -> Trial:
        options = {} if model.startswith(("ngram", "most")) else {"hidden": 8}
        settings = {"seed": 0, "corpus": story, "window": 4, "batch": 8, "epochs": 1, "options": options}
        return Trial(**{"model": model, **settings, **changes})

    return make


@pytest.fixture(scope="session")
def numbers() -> Corpus:
    return corpus("human-numbers")


@pytest.fixture
def three_words() -> Trial:
    """The set-up of LMModel1 and LMModel2."""
    return Trial(model="lm2", seed=0, window=3, target="last", order="sequential", reset="batch")
