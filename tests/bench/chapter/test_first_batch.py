"""A model that cannot work is refused on one batch, with the thing to mend."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from unrolled.bench.chapter.corpus import Batches
from unrolled.bench.chapter.first_batch import train_first_batch
from unrolled.bench.chapter.models.recurrent import LanguageModel
from unrolled.bench.chapter.models.registry import ZOO
from unrolled.bench.chapter.run import run_trial
from unrolled.bench.chapter.training import train
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.errors import BadInput


def test_a_model_that_takes_another_number_of_threads_is_refused(
    load_plug_in: Callable[..., Path], make_small_trial: Callable[..., ChapterTrial]
) -> None:
    forward = "def forward(self, x, h=None):\n"
    load_plug_in("cell", forward, f"{forward}        torch.set_num_threads(2)\n")
    for run in (train_first_batch, run_trial):
        torch.set_num_threads(1)
        with pytest.raises(BadInput, match=r"threads changed from 1 to 2 .* leave torch's settings") as error:
            run(make_small_trial("mine"))
        assert run is run_trial or error.value.place == "my.py"


def test_what_is_trained_last_are_batches_as_a_trial_draws_them(
    make_small_trial: Callable[..., ChapterTrial], monkeypatch: pytest.MonkeyPatch
) -> None:
    train_model = train.train_model
    batches_by_call = []

    def train_and_record(trial: ChapterTrial, model: LanguageModel, batches: Batches, valid: Batches):
        batches_by_call.append(batches)
        return train_model(trial, model, batches, valid)

    monkeypatch.setattr(train, "train_model", train_and_record)
    train_first_batch(make_small_trial(order="shuffled"))
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
    with pytest.raises(BadInput, match=r"needs at least [\d,]+ MiB for its weights, of which this machine"):
        train_first_batch(make_small_trial("awd", options=options))


def test_what_no_trial_can_read_is_refused(make_small_trial: Callable[..., ChapterTrial]) -> None:
    with pytest.raises(BadInput, match=r"lm1.* reads three tokens at a time and got 1"):
        train_first_batch(make_small_trial("lm1", window=3, detach_every=1))
    with pytest.raises(BadInput, match="too few"):
        train_first_batch(make_small_trial(window=3000))


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
MODELS = [
    ("self.embed(tokens)", "self.i_h(tokens)", r": .* never calls self.embed\(tokens\); embed there"),
    ("hidden=8", "hidden=8, dropout=0.1", ": .* has the option 'dropout' but no part self.drop; call it so"),
    ("LanguageModel)", "nn.Module)", ": .* is a Mine; derive it from .*recurrent.LanguageModel"),
    (UNROLL, f"{UNROLL}{ONCE}", ", line 15: .* fails on its second batch: one batch is enough"),
    ("hidden, vocab)", "hidden, vocab + 2)", r": .* logits of shape \(8, 4, 11\); \(8, 4, 9\) is needed"),
    (UNROLL, f"{ATTACHED}{UNROLL}", ": .* keeps its state with its history; detach it after each batch"),
    (UNROLL, f"{BARE}{UNROLL}", r": .* returns Tensor; return Output\(logits, raw, dropped\)"),
    (
        UNROLL,
        f"{COUNTING}{UNROLL}        self.batches += 1\n",
        ": .* changes its weights or buffers in evaluation; change them while",
    ),
    (LOGITS, f"{LOGITS} * float('nan')", ": .* gives a loss of nan on the first batch; look at its weights"),
    (
        "(tokens)",
        "(tokens.flip(1))",
        ": .* looks ahead: its answer to a word changes with the words after it",
    ),
    (
        LOGITS,
        f"{LOGITS} + self.training * __import__('random').random()",
        ": .* draws random numbers that the",
    ),
    (
        UNROLL,
        f"        self.h_o.bias.data += __import__('random').random()\n{UNROLL}",
        ": .* draws random num",
    ),
    (LAYERS, f"{LAYERS}        raise ValueError('odd')\n", ", line 10: .* cannot be built: odd"),
]
CELLS = [
    ("h = h @ torch.ones(3, 3)", ", line 15: model 'mine' fails on its first step: mat1 and "),
    ("h = h @ torch.eye(8)", ", line 15: .*dtype.*make new tensors from what there is: x.new_zeros"),
    ("h = h @ h.new_ones(8, 8).float()", ", line 15: .*double precision; make new tensors"),
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
    (
        "h = torch.tanh(self.mix(torch.cat([x * 0, x * 0], 1)))",
        ": .* gives the same output whatever it reads; use it",
    ),
    (
        "h = torch.tanh(self.mix(torch.cat([x, 0 * h], 1)))",
        ": .* keeps a state that changes no output; start",
    ),
    ("return h, h * 0", ": .* keeps a state that changes no output; start from .*, or return None for it"),
    ("h += 1; h.mul_(h)", ": .* has no gradient: .*modified by an inplace operation"),
]
MEAN = "output.dropped.abs().mean()"
PENALTIES = [
    ("abs().mean()", "abs()", r"returns a tensor of shape \(8, 4, 8\); return one number"),
    (MEAN, "1.0", "returns no tensor; return one number"),
    ("abs()", "detach().abs()", "has no gradient; compute it from the output"),
    ("return output", "return -output", "gives a penalty of -.*; it should be at least 0"),
    ("return output", "output", "returns no tensor; return one number"),
    (MEAN, f"{MEAN} * __import__('random').random()", "draws random numbers that"),
    ("output.dropped", "output.droped", "fail on their first batch: AttributeError: .*droped"),
]


@pytest.mark.parametrize(
    ("kind", "old", "new", "message"),
    [
        *(("model", *mistake) for mistake in MODELS),
        *(("cell", RETURN, f"        {line}\n{RETURN}", message) for line, message in CELLS),
        *(
            ("regularizer", old, new, f"[:,].* regularizer 'small'.*{message}")
            for old, new, message in PENALTIES
        ),
    ],
)
def test_a_mistake_is_one_line_with_its_place_or_name(
    load_plug_in: Callable[..., Path],
    make_small_trial: Callable[..., ChapterTrial],
    kind: str,
    old: str,
    new: str,
    message: str,
) -> None:
    load_plug_in(kind, old, new)
    model, strength = ("lm6", {"small": 0.5}) if kind == "regularizer" else ("mine", {})
    trial = make_small_trial(model, options={**ZOO[model].options, "hidden": 8, **strength})
    with pytest.raises(BadInput, match=rf"^my\.py{message}") as error:
        train_first_batch(trial)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ZOO)
def test_no_model_of_the_zoo_is_refused(make_small_trial: Callable[..., ChapterTrial], name: str) -> None:
    spec = ZOO[name]
    sizes = {key: 1 for key in ("hidden", "embedding") if key in spec.options}
    window = {"window": 3} if spec.settings.get("window") == 3 else {}
    for options in ({}, sizes):
        torch.manual_seed(1)
        train_first_batch(make_small_trial(name, options={**spec.options, **options}, **window))


def test_a_cell_that_keeps_no_state_is_not_refused(
    load_plug_in: Callable[..., Path], make_small_trial: Callable[..., ChapterTrial]
) -> None:
    load_plug_in("cell", RETURN, "        return torch.tanh(self.mix(torch.cat([x, x], 1))), None\n")
    train_first_batch(make_small_trial("mine"))


def test_a_last_layer_that_begins_at_zero_hides_no_effect(
    load_plug_in: Callable[..., Path], make_small_trial: Callable[..., ChapterTrial]
) -> None:
    zeros = "        nn.init.zeros_(self.h_o.weight)\n"
    load_plug_in("model", UNROLL, f"{zeros}{UNROLL}")
    train_first_batch(make_small_trial("mine"))
