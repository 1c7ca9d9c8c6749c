"""A model that cannot work is refused on one batch, with the thing to mend."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bench.chapter.first_batch import train_first_batch
from bench.chapter.models.elman import LMModel2
from bench.chapter.models.recurrent import Output, State
from bench.chapter.models.registry import ZOO
from bench.chapter.models.spec import ModelSpec
from bench.chapter.run import run_trial
from bench.chapter.training import train
from bench.chapter.trial import ChapterTrial
from bench.errors import BadInput

# What follows are the models of careless users.


class Plain(LMModel2):
    """Nothing is wrong with it yet."""

    def unroll(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        hidden, state = super().unroll(tokens, state)
        return self.after(hidden), state

    def after(self, hidden: Tensor) -> Tensor:
        """What a careless user does to the hidden states."""
        return hidden


class Wide(LMModel2):
    def __init__(self, vocab: int, hidden: int) -> None:
        super().__init__(vocab + 2, hidden)


class Attached(LMModel2):
    def forward(self, tokens: Tensor) -> Output:
        hidden, self.state = self.unroll(tokens, self.state)
        return self.read(hidden)


class Bare(LMModel2):
    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens).logits


class Counting(LMModel2):
    def __init__(self, vocab: int, hidden: int) -> None:
        super().__init__(vocab, hidden)
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, tokens: Tensor) -> Output:
        self.batches += 1
        return super().forward(tokens)


class Hot(Plain):
    def after(self, hidden: Tensor) -> Tensor:
        return hidden * float("nan")


class Failing(LMModel2):
    def __init__(self, vocab: int, hidden: int) -> None:
        raise ValueError("hidden must be even")


class Unembedded(LMModel2):
    def unroll(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        hidden = torch.relu(self.h_h(self.i_h(tokens)))
        return hidden, hidden[:, -1]


class Peeking(LMModel2):
    def unroll(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        return super().unroll(tokens.flip(1), state)


class Chance(Plain):
    def after(self, hidden: Tensor) -> Tensor:
        return hidden + random.random() if self.training else hidden


class Dice(LMModel2):
    def __init__(self, vocab: int, hidden: int) -> None:
        super().__init__(vocab, hidden)
        nn.init.constant_(self.h_h.bias, random.random())


class Nameless(LMModel2):
    def __init__(self, vocab: int, hidden: int, dropout: float) -> None:
        super().__init__(vocab, hidden)


class Single(Plain):
    def after(self, hidden: Tensor) -> Tensor:
        return hidden @ torch.eye(hidden.shape[-1])


class Foreign(nn.Module):
    def __init__(self, vocab: int, hidden: int) -> None:
        super().__init__()


class Once(LMModel2):
    """Fails where a second batch comes."""

    def forward(self, tokens: Tensor) -> Output:
        if self.training and getattr(self, "called", False):
            raise ValueError("one batch is enough")
        self.called = self.training
        return super().forward(tokens)


CARELESS: dict[type[nn.Module], str] = {
    Unembedded: r"never calls self.embed\(tokens\); embed there",
    Nameless: "has the option 'dropout' but no part self.drop; call it so, or rename the option",
    Single: r": .*dtype.*make new tensors from what there is: x\.new_zeros",
    Foreign: "is a Foreign; derive it from bench.chapter.models.recurrent.LanguageModel",
    Once: "fails on its second batch: one batch is enough",
    Wide: r"returns logits of shape \(8, 4, 11\); \(8, 4, 9\) is needed",
    Attached: "keeps its state with its history; detach it after each batch",
    Bare: r"returns Tensor; return Output\(logits, raw, dropped\)",
    Counting: "changes its weights or buffers in evaluation; change them while",
    Hot: "gives a loss of nan on the first batch; look at its weights",
    Peeking: "looks ahead: its answer to a word changes with the words after it",
    Chance: "draws random numbers that the seed does not decide",
    Dice: "draws random numbers that the seed does not decide",
    Failing: "cannot be built: hidden must be even",
}


@pytest.mark.parametrize("cls", CARELESS, ids=lambda cls: cls.__name__)
def test_a_careless_model_is_refused_with_its_mistake(
    small: Callable[..., ChapterTrial], monkeypatch: pytest.MonkeyPatch, cls: type[nn.Module]
) -> None:
    monkeypatch.setattr(ModelSpec, "build", lambda spec, vocab, **options: cls(vocab, **options))
    options = {"hidden": 8, "dropout": 0.1} if cls is Nameless else {"hidden": 8}
    with pytest.raises(BadInput, match=f"^model 'lm4'( .*)?:? ?{CARELESS[cls]}"):
        train_first_batch(small("lm4", options=options))


def test_a_model_that_takes_another_number_of_threads_is_refused(
    plug: Callable[..., Path], small: Callable[..., ChapterTrial]
) -> None:
    forward = "def forward(self, x, h=None):\n"
    plug("cell", forward, f"{forward}        torch.set_num_threads(2)\n")
    for refuse in (train_first_batch, run_trial):
        torch.set_num_threads(1)
        with pytest.raises(
            BadInput, match=r"threads changed from 1 to 2 .* leave torch's settings"
        ) as refused:
            refuse(small("mine"))
        assert refuse is run_trial or refused.value.place == "my.py"


@pytest.mark.parametrize("name", ZOO)
def test_every_model_of_the_zoo_passes(small: Callable[..., ChapterTrial], name: str) -> None:
    options = {key: 8 for key in ("hidden", "embedding") if key in ZOO[name].options}
    window = {"window": 3} if name == "lm1" else {}
    result = train_first_batch(small(name, options=options, **window))
    assert result.done and not result.curves and not result.metrics


def test_what_is_trained_last_are_batches_as_a_trial_draws_them(
    small: Callable[..., ChapterTrial], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, fit = [], train.fit
    monkeypatch.setattr(train, "fit", lambda trial, *rest: trained.append(rest[1]) or fit(trial, *rest))
    train_first_batch(small(order="shuffled"))
    (checked,) = trained
    assert len(checked) == 1
    assert checked.random is not None, "in the order of the seed"


@pytest.mark.parametrize(
    "options", [{"hidden": 10**9}, {"hidden": 8, "layers": 10**9}, {"hidden": 8, "embedding": 10**12}]
)
def test_weights_that_no_memory_holds_are_counted_and_not_built(
    small: Callable[..., ChapterTrial], options: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "build", lambda *_: pytest.fail("it was built"))
    with pytest.raises(BadInput, match=r"needs at least [\d,]+ MiB for its weights, of which this machine"):
        train_first_batch(small("awd", options=options))


def test_what_no_trial_can_read_is_refused(small: Callable[..., ChapterTrial]) -> None:
    with pytest.raises(BadInput, match=r"lm1.* reads three tokens at a time and got 1"):
        train_first_batch(small("lm1", window=3, detach_every=1))
    with pytest.raises(BadInput, match="too few"):
        train_first_batch(small(window=3000))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("h = h @ torch.ones(3, 3)", ", line 15: model 'mine' fails on its first step: mat1 and "),
        ("return h, h[:, :3]", ", line 14: model 'mine' fails on its second step, with the state that its"),
        ("return h", ": cell 'mine': returns Tensor; return its output and its next state"),
        ("return torch.cat([h, h], 1), h", r": cell 'mine': returns an output of shape \(2, 16\); \(2, 8\)"),
        (
            "h = h + getattr(self, 'old', 0); self.old = h",
            ": .* keeps something of its last batch with its history",
        ),
        ("h = h + getattr(self, 'old', 0); self.old = h.detach()", r": .* answers differently after reset"),
        ("h = torch.dropout(h, 0.5, True)", ": .* in evaluation; forget all .*, drop nothing out"),
        (
            "self.spare = nn.Linear(2, 2) if not hasattr(self, 'spare') else self.spare",
            ": .* gets no gradient for its parameter .*spare",
        ),
        ("h = h.detach()", ": .* gets no gradient for its parameter"),
        ("h += 1; h.mul_(h)", ": .* has no gradient: .*modified by an inplace operation"),
    ],
)
def test_a_mistake_in_a_cell_is_one_line_with_its_place_or_name(
    plug: Callable[..., Path], small: Callable[..., ChapterTrial], line: str, said: str
) -> None:
    plug("cell", "        return h, h\n", f"        {line}\n        return h, h\n")
    with pytest.raises(BadInput, match=rf"^my\.py{said}"):
        train_first_batch(small("mine"))
