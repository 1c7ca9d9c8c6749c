"""A model that cannot work is refused on one batch, with the thing to mend."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.helpers.bad_input import raises_bad_input
from unrolled.bench.chapter.chapter_run import run_trial
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.corpus import Batches
from unrolled.bench.chapter.first_batch import check_first_batch
from unrolled.bench.chapter.models.recurrent import LanguageModel
from unrolled.bench.chapter.models.registry import ZOO
from unrolled.bench.chapter.training import train


def test_a_model_that_takes_another_number_of_threads_is_refused(
    load_plugin: Callable[..., Path], make_small_trial: Callable[..., ChapterTrial]
) -> None:
    forward = "def forward(self, x, h=None):\n"
    load_plugin("cell", forward, f"{forward}        torch.set_num_threads(2)\n")
    for run in (check_first_batch, run_trial):
        torch.set_num_threads(1)
        with raises_bad_input("threads", "from 1 to 2"):
            run(make_small_trial("mine"))


def test_the_first_batch_is_one_that_a_trial_draws(
    make_small_trial: Callable[..., ChapterTrial], monkeypatch: pytest.MonkeyPatch
) -> None:
    train_model = train.train_model
    batches_by_call = []

    def train_and_record(trial: ChapterTrial, model: LanguageModel, batches: Batches, valid: Batches):
        batches_by_call.append(batches)
        return train_model(trial, model, batches, valid)

    monkeypatch.setattr(train, "train_model", train_and_record)
    check_first_batch(make_small_trial(order="shuffled"))
    (batches,) = batches_by_call
    assert len(batches) == 1
    assert batches.generator is not None, "in the order of the seed"


@pytest.mark.parametrize(
    "options", [{"hidden": 10**9}, {"hidden": 8, "layers": 10**9}, {"hidden": 8, "embedding": 10**12}]
)
def test_weights_that_no_memory_holds_are_counted_and_not_built(
    make_small_trial: Callable[..., ChapterTrial], options: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "build_model", lambda *_: pytest.fail("it was built"))
    with raises_bad_input("MiB"):
        check_first_batch(make_small_trial("awd", options=options))


def test_a_window_that_does_not_fit_model_or_text_is_refused(
    make_small_trial: Callable[..., ChapterTrial],
) -> None:
    with raises_bad_input("window = 3", key="model 'lm1'"):
        check_first_batch(make_small_trial("lm1", window=3, detach_every=1))
    with raises_bad_input("window = 3000"):
        check_first_batch(make_small_trial(window=3000))


UNROLL = "\n    def unroll(self, tokens, state):\n"
LAYERS = "super().__init__()\n"
LOGITS = "self.h_o(hidden)"
RETURN = "        return h, h\n"
ATTACHED = """
    def forward(self, tokens):
        hidden, self.state = self.unroll(tokens, self.state)
        return self.compute_output(hidden)
"""
BARE = """
    def forward(self, tokens):
        return super().forward(tokens).logits
"""
COUNTING = "        self.register_buffer('batches', self.h_o.weight.new_zeros(()))\n"
ONCE = """        if self.training and getattr(self, "called", False):
            raise ValueError("one batch is enough")
        self.called = self.training
"""
MODELS = [  # the line of the model's file, another, the line or none, what the refusal names
    ("self.embed(tokens)", "self.i_h(tokens)", "", "self.embed(tokens)"),
    ("hidden=8", "hidden=8, dropout=0.1", "", "self.drop"),
    ("LanguageModel)", "nn.Module)", "", "recurrent.LanguageModel"),
    (UNROLL, f"{UNROLL}{ONCE}", ", line 15", "one batch is enough"),
    ("hidden, vocab)", "hidden, vocab + 2)", "", "(8, 4, 11); (8, 4, 9)"),
    (UNROLL, f"{ATTACHED}{UNROLL}", "", "detach"),
    (UNROLL, f"{BARE}{UNROLL}", "", "Output(logits, raw, dropped)"),
    (UNROLL, f"{COUNTING}{UNROLL}        self.batches += 1\n", "", "self.training"),
    (LOGITS, f"{LOGITS} * float('nan')", "", "a loss of nan"),
    ("(tokens)", "(tokens.flip(1))", "", "looks ahead"),
    ("batch_first=True", "batch_first=False", "", "mixes the rows"),
    (LOGITS, f"{LOGITS} + self.training * __import__('random').random()", "", "torch.rand"),
    (UNROLL, f"        self.h_o.bias.data += __import__('random').random()\n{UNROLL}", "", "torch.rand"),
    (LAYERS, f"{LAYERS}        raise ValueError('odd')\n", ", line 10", "odd"),
]
CELLS = [  # a line of the cell, and as above
    ("h = h @ torch.ones(3, 3)", ", line 15", "2x8 and 3x3"),
    ("h = h @ torch.eye(8)", ", line 15", "x.new_zeros"),
    ("h = h @ h.new_ones(8, 8).float()", ", line 15", "x.new_zeros"),
    ("return h, h[:, :3]", ", line 14", "2x11 and 16x8"),
    ("return h", "", "output and its next state"),
    ("return torch.cat([h, h], 1), h", "", "(2, 16); (2, 8)"),
    ("h = h + getattr(self, 'old', 0); self.old = h", "", "detach"),
    ("h = h + getattr(self, 'old', 0); self.old = h.detach()", "", "reset()"),
    ("h = torch.dropout(h, 0.5, True)", "", "drop nothing out"),
    (
        "self.spare = nn.Linear(2, 2) if not hasattr(self, 'spare') else self.spare",
        "",
        "rnn.cells.0.spare.weight",
    ),
    ("h = h.detach()", "", "i_h.weight"),
    ("h = torch.tanh(self.mix(torch.cat([x * 0, x * 0], 1)))", "", "the same output"),
    ("h = torch.tanh(self.mix(torch.cat([x, 0 * h], 1)))", "", "a state that changes no output"),
    ("return h, h * 0", "", "a state that changes no output"),
    ("h = h + x.roll(-1, 0)", "", "mixes the rows"),  # each row goes on with the word that the last predicts
    ("h = h + h.cumsum(0)", "", "mixes the rows"),
    ("h += 1; h.mul_(h)", "", "inplace operation"),
]
MEAN = "output.dropped.abs().mean()"
PENALTIES = [  # as those of models
    ("abs().mean()", "abs()", "", "(8, 4, 8)"),
    (MEAN, "1.0", "", "no tensor"),
    ("abs()", "detach().abs()", "", "detach()"),
    ("return output", "return -output", "", "at least 0"),
    ("return output", "output", "", "no tensor"),
    (MEAN, f"{MEAN} * __import__('random').random()", "", "torch.rand"),
    ("output.dropped", "output.droped", ", line 6", "droped"),
]


@pytest.mark.parametrize(
    ("kind", "old", "new", "line", "named"),
    [
        *(("model", *mistake) for mistake in MODELS),
        *(("cell", RETURN, f"        {code}\n{RETURN}", *refusal) for code, *refusal in CELLS),
        *(("regularizer", *mistake) for mistake in PENALTIES),
    ],
)
def test_a_mistake_is_refused_with_its_line_and_name(
    load_plugin: Callable[..., Path],
    make_small_trial: Callable[..., ChapterTrial],
    kind: str,
    old: str,
    new: str,
    line: str,
    named: str,
) -> None:
    load_plugin(kind, old, new)
    model, name, strength = ("mine", "'mine'", {})
    if kind == "regularizer":
        model, name, strength = ("lm6", "'small'", {"small": 0.5})
    trial = make_small_trial(model, options={**ZOO[model].options, "hidden": 8, **strength})
    with raises_bad_input(named, place=f"my.py{line}") as excinfo:
        check_first_batch(trial)
    assert name in excinfo.value.key


@pytest.mark.parametrize("name", ZOO)
def test_no_model_of_the_zoo_is_refused(make_small_trial: Callable[..., ChapterTrial], name: str) -> None:
    spec = ZOO[name]
    sizes = {key: 1 for key in ("hidden", "embedding") if key in spec.options}
    window = {"window": 3} if spec.settings.get("window") == 3 else {}
    for options in ({}, sizes):
        torch.manual_seed(1)
        check_first_batch(make_small_trial(name, options={**spec.options, **options}, **window))


def test_a_cell_that_keeps_no_state_is_not_refused(
    load_plugin: Callable[..., Path], make_small_trial: Callable[..., ChapterTrial]
) -> None:
    load_plugin("cell", RETURN, "        return torch.tanh(self.mix(torch.cat([x, x], 1))), None\n")
    check_first_batch(make_small_trial("mine"))


def test_a_last_layer_that_begins_at_zero_hides_no_effect(
    load_plugin: Callable[..., Path], make_small_trial: Callable[..., ChapterTrial]
) -> None:
    zeros = "        nn.init.zeros_(self.h_o.weight)\n"
    load_plugin("model", UNROLL, f"{zeros}{UNROLL}")
    check_first_batch(make_small_trial("mine"))
