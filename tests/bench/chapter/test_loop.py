"""The loop engine against its reference, fastai's Learner: whatever the one computes, the other does."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from fastai.callback.schedule import combined_cos
from fastai.learner import AvgSmoothLoss
from fastai.torch_core import norm_bias_params
from torch import nn

from tests.helpers.zoo import NEURAL
from unrolled.bench.chapter import corpus, torch_device
from unrolled.bench.chapter.chapter_trial import ChapterTrial, make_chapter_trial
from unrolled.bench.chapter.corpus import Batches
from unrolled.bench.chapter.models.elman import LMModel2
from unrolled.bench.chapter.models.recurrent import LanguageModel, Output
from unrolled.bench.chapter.models.registry import ZOO
from unrolled.bench.chapter.training import learner, loop, optimizer
from unrolled.bench.chapter.training.record import Diverged, TrainingRecord
from unrolled.bench.chapter.training.train import build_model

CPU = torch.device("cpu")
TWINS = ("lm2", "lstm-gates", "lstm-chunk", "gru-before")  # like LMModel1 and gru-after to an engine
TOLERANCE = 1e-5  # of losses and of weights over the first 20 steps, where rounding has not yet grown

Engine = Callable[[ChapterTrial, LanguageModel, Batches, Batches, torch.device], TrainingRecord]


@pytest.fixture(autouse=True)
def set_up_torch(restore_torch: None) -> None:
    """Set torch up as a trial's process does."""
    torch_device.make_deterministic()


def make_trial(name: str, options: dict[str, Any] | None = None, **settings: Any) -> ChapterTrial:
    """Return a trial of one epoch."""
    return make_chapter_trial(name, 3, options, **{"epochs": 1, "batch": 16, **settings})


def prepare_training(trial: ChapterTrial, steps: int | None = None) -> tuple[LanguageModel, Batches, Batches]:
    """Return a trial's model and its training and validation batches."""
    data = corpus.load_corpus(trial)
    train, valid = corpus.make_batches(trial, data, torch.Generator().manual_seed(1))
    train.batch_windows = train.batch_windows[:steps]
    valid.batch_windows = valid.batch_windows[:8]
    return build_model(trial, len(data.vocab)), train, valid


def train_small(
    engine: Engine, trial: ChapterTrial, steps: int | None = None
) -> tuple[TrainingRecord, LanguageModel]:
    """Return the record of a short training, and the model."""
    model, train, valid = prepare_training(trial, steps)
    torch.manual_seed(5)  # dropout's stream
    return engine(trial, model, train, valid, CPU), model


def largest_distance(model: LanguageModel, other_model: LanguageModel) -> float:
    """Return the largest absolute difference of two weights of the same name."""
    weights = dict(model.named_parameters())
    other_weights = dict(other_model.named_parameters())
    assert list(weights) == list(other_weights)
    return max(float((weights[name] - other_weights[name]).detach().abs().max()) for name in weights)


def assert_agree(trial: ChapterTrial, steps: int = 20) -> None:
    """Assert that both engines train the same model."""
    slow, slow_model = train_small(learner.train_model, trial, steps)
    fast, fast_model = train_small(loop.train_model, trial, steps)
    assert len(fast.losses) == steps
    assert fast.losses == pytest.approx(slow.losses, abs=TOLERANCE)
    assert largest_distance(fast_model, slow_model) < TOLERANCE
    assert fast.wd == slow.wd
    assert len(fast.validation.targets) == len(slow.validation.targets)
    (fast_epoch,) = fast.epochs
    (slow_epoch,) = slow.epochs
    for column in ("epoch", "train_loss", "train_ar", "train_tar", "valid_loss"):
        assert getattr(fast_epoch, column) == pytest.approx(getattr(slow_epoch, column), rel=1e-4), column
    assert fast_epoch.valid_accuracy == pytest.approx(
        slow_epoch.valid_accuracy, abs=1e-3
    )  # a tie may fall either way


@pytest.mark.parametrize("name", [name for name in NEURAL if name not in TWINS])
def test_the_first_twenty_steps_are_the_learners(name: str) -> None:
    assert_agree(make_trial(name))


@pytest.mark.parametrize(
    "trial",
    [
        make_trial("lm7", detach_every=4),
        make_trial("lm7", detach_every=32),
        make_trial("lm4", order="shuffled", reset="batch"),
        make_trial("lm6", {"hidden": 50}, reset="never"),
        make_trial("lm6", {"dropout": 0.4, "tying": True}, wd=0.5, lr=3e-2),
        make_trial("gru-after", {"layers": 1}, alpha=2.0),
        make_trial("lm6", clip=0.05),
    ],
    ids=["detached often", "detached rarely", "shuffled", "odd width", "heavy decay", "AR alone", "clipped"],
)
def test_they_agree_away_from_the_chapter_too(trial: ChapterTrial) -> None:
    assert_agree(trial)


@pytest.mark.parametrize("name", ["lm4", "lm7"])  # without and with all that an engine does
def test_in_double_precision_they_agree_over_two_epochs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding would part them in single precision: only here would a difference of the arithmetic show."""
    monkeypatch.setattr(AvgSmoothLoss, "reset", _start_in_double)
    trial = make_trial(name, epochs=2)
    records = {}
    for engine in (loop, learner):
        model, train, valid = prepare_training(trial, 20)
        torch.manual_seed(5)
        torch.set_default_dtype(torch.float64)
        records[engine] = engine.train_model(trial, model.double(), train, valid, CPU)
        torch.set_default_dtype(torch.float32)
    assert len(records[loop].losses) == 40
    assert records[loop].losses == pytest.approx(records[learner].losses, abs=1e-7)
    assert records[loop].validation.loss == pytest.approx(records[learner].validation.loss, abs=1e-4)


def _start_in_double(smooth: AvgSmoothLoss) -> None:
    """Start fastai's moving average in double: it is a float, whatever the losses are."""
    smooth.count = 0
    smooth.val = torch.zeros((), dtype=torch.get_default_dtype())


class TwoReaders(LMModel2):
    """Only every second batch gives `second_h_o` a gradient."""

    def __init__(self, vocab: int) -> None:
        super().__init__(vocab, 64)
        self.second_h_o = nn.Linear(64, vocab)
        self.batches = 0

    def compute_output(self, hidden: torch.Tensor) -> Output:
        self.batches += 1
        layer = self.second_h_o if self.batches % 2 else self.h_o
        return Output(layer(hidden), hidden, hidden)


def test_an_unused_weight_keeps_its_momentum_in_both_engines() -> None:
    models = []
    for engine in (learner.train_model, loop.train_model):
        _, train, valid = prepare_training(make_trial("lm4"), 20)
        torch.manual_seed(0)
        models.append(TwoReaders(30))  # words of Human Numbers
        engine(make_trial("lm4"), models[-1], train, valid, CPU)
    assert largest_distance(*models) < TOLERANCE


@pytest.mark.parametrize("moms", [(0.95, 0.85, 0.95), (0.8, 0.7, 0.8)])
@pytest.mark.parametrize("steps", [1, 20, 735])
def test_the_schedule_is_fit_one_cycles(steps: int, moms: tuple[float, float, float]) -> None:
    lr = 1e-2
    lr_schedule = combined_cos(0.25, lr / 25, lr, lr / 1e5)  # fit_one_cycle's
    mom_schedule = combined_cos(0.25, *moms)
    cycle = list(optimizer.one_cycle(steps, lr, moms))
    assert len(cycle) == steps
    for step, pair in enumerate(cycle):
        expected = (float(lr_schedule(step / steps)), float(mom_schedule(step / steps)))
        assert pair == pytest.approx(expected, rel=0, abs=1e-7)  # fastai's positions are float32


class Layers(nn.Module):
    """Every kind of layer whose weight decay is in question."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.nested = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.LayerNorm(4), nn.Conv1d(4, 4, 1)))
        self.bare = nn.Linear(4, 4, bias=False)
        self.batch_norm = nn.BatchNorm1d(4)
        self.group_norm = nn.GroupNorm(2, 4)
        self.lstm = nn.LSTM(4, 4, 2)
        self.gru = nn.GRU(4, 4, bias=False)
        self.rnn = nn.RNN(4, 4)
        self.cell = nn.GRUCell(4, 4)
        self.bias = nn.Parameter(torch.ones(4))


@pytest.mark.parametrize("name", [*NEURAL, "layers"])
def test_weight_decay_spares_what_fastai_spares(name: str) -> None:
    model = Layers() if name == "layers" else prepare_training(make_trial(name))[0]
    expected = {id(p) for p in norm_bias_params(model)}
    undecayed = optimizer.find_undecayed_parameters(model)
    for name, parameter in model.named_parameters():
        assert (parameter in undecayed) == (id(parameter) in expected), name


@pytest.mark.parametrize("name", ["lm2", "lm7", "awd"])
def test_every_update_has_the_bits_of_torchs_fused_adamw(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Along the cycle's changing rate and betas, with decay of one group of weights and not of the other."""
    trial = make_trial(name, wd=0.1)
    calls = []
    adamw_step = torch.optim.AdamW.step

    def count_and_step(self: torch.optim.AdamW, closure: None = None) -> None:
        calls.append(self)
        adamw_step(self, closure)

    monkeypatch.setattr(torch.optim.AdamW, "step", count_and_step)
    direct, model = train_small(loop.train_model, trial, 25)
    assert len(calls) == 1
    assert min(len({*direct.lrs}), len({*direct.moms})) > 15
    monkeypatch.setattr(optimizer, "FusedAdamW", torch.optim.AdamW)
    expected, reference = train_small(loop.train_model, trial, 25)
    assert len(calls) == 26
    assert direct.trace.to_dict() == expected.trace.to_dict()
    assert largest_distance(model, reference) == 0.0


def test_torchs_class_updates_weights_of_two_types(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    single = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    mixed = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1, dtype=torch.float64))
    assert [type(optimizer.build_adam(m, 0.1)) for m in (single, mixed)] == [
        optimizer.FusedAdamW,
        torch.optim.AdamW,
    ]
    monkeypatch.delattr(torch, "_fused_adamw_")
    assert type(optimizer.build_adam(single, 0.1)) is torch.optim.AdamW


def test_frozen_parameters_are_left_alone_and_a_model_may_have_no_biases() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    model[0].weight.requires_grad_(False)
    weights = [p.detach().clone() for p in model.parameters()]
    adam = optimizer.build_adam(model, wd=0.5)
    model(torch.ones(1, 2)).sum().backward()
    adam.step()
    assert [torch.equal(p, weight) for p, weight in zip(model.parameters(), weights, strict=True)] == [
        True,
        False,
    ]


@pytest.mark.parametrize("name", ["lm7", "awd"])
def test_a_trained_model_has_ordinary_parameters(name: str) -> None:
    _, model = train_small(loop.train_model, make_trial(name), 3)
    for parameter in model.parameters():
        assert parameter.is_leaf
        assert parameter.requires_grad
        assert parameter.untyped_storage().nbytes() == parameter.numel() * 4  # bytes of a float32


def test_both_engines_diverge_at_the_same_step() -> None:
    trial = make_trial("lm4", lr=1e6, epochs=2)
    reasons = []
    for engine in (learner.train_model, loop.train_model):
        with pytest.raises(Diverged) as caught:
            train_small(engine, trial)
        reasons.append(str(caught.value))
    assert reasons[0] == reasons[1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["lm4", "lm6", "awd", "awd-scratch"])
def test_a_gpu_takes_the_same_first_steps(name: str) -> None:
    no_dropout = {option: 0.0 for option in ZOO[name].options if option.endswith("_p")}
    trial = make_trial(name, no_dropout, batch=64)  # a GPU draws other numbers for dropout
    model, train, valid = prepare_training(trial, 10)
    on_gpu = loop.train_model(trial, model, train, valid, torch.device("cuda"))
    on_cpu, _ = train_small(loop.train_model, trial, 10)
    assert on_gpu.losses == pytest.approx(on_cpu.losses, abs=1e-3)
