"""The four dropouts, AR and TAR: by hand, and against torch's and fastai's."""

import copy
import pickle
import warnings
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from fastai.callback.rnn import RNNRegularizer
from fastai.text.models import awdlstm as fastai
from torch import Tensor, nn

from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.models.recurrent import Output
from unrolled.bench.chapter.regularization import (
    Dropout,
    EmbeddingDropout,
    LockedDropout,
    WeightDropout,
    compute_penalties,
)

P = 0.4


def build_lstm(layers: int = 1) -> nn.LSTM:
    """Return an LSTM with the weights of seed 0."""
    torch.manual_seed(0)
    return nn.LSTM(5, 40, layers, batch_first=True)


def draw_steps() -> Tensor:
    """Return random steps."""
    return torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(1))


def test_weight_dropout_falls_on_hidden_to_hidden_of_every_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = WeightDropout(build_lstm(layers=2), P).train()
    weights = []
    monkeypatch.setattr(module.drop, "forward", lambda w: weights.append(w) or w)
    module(draw_steps())
    assert [id(w) for w in weights] == [id(module.rnn.weight_hh_l0), id(module.rnn.weight_hh_l1)]


def test_weights_that_are_replaced_for_a_call_are_not_moved_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU nn.LSTM would move them, in place, between two stretches of one graph."""
    module = WeightDropout(build_lstm(), P).train()
    x = draw_steps()
    monkeypatch.setattr(nn.LSTM, "flatten_parameters", lambda self: pytest.fail("moved"))
    first, state = module(x)
    second, _ = copy.deepcopy(module)(x, state)
    (first.sum() + second.sum()).backward()
    module.eval()(x)


def test_the_warning_of_scattered_weights_is_kept_back() -> None:
    class Scattered(nn.LSTM):
        def forward(self, *args):
            warnings.warn(
                "RNN module weights are not part of single contiguous chunk of memory.", stacklevel=1
            )
            return super().forward(*args)

    WeightDropout(Scattered(5, 40, batch_first=True), P)(draw_steps())


def test_after_a_call_with_weight_dropout_the_layer_is_an_ordinary_lstm() -> None:
    """fastai's leaves a tensor with a history in the place of the parameter, which no deepcopy can take."""
    module = WeightDropout(build_lstm(), P).train()
    untouched = build_lstm()
    x = draw_steps()
    module(x)
    assert len(list(module.rnn.parameters())) == 4, "a tensor with a history is none of them"
    assert torch.equal(module.rnn(x)[0], untouched(x)[0])
    for copied_module in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(copied_module.eval()(x)[0], untouched(x)[0])
    untouched.load_state_dict(module.rnn.state_dict())


MODULES: dict[str, Callable[[float], tuple[nn.Module, Tensor]]] = {
    "plain": lambda p: (Dropout(p), draw_steps()),
    "locked": lambda p: (LockedDropout(p), draw_steps()),
    "words": lambda p: (EmbeddingDropout(nn.Embedding(20, 4, padding_idx=5), p), torch.arange(12).view(3, 4)),
    "weights": lambda p: (WeightDropout(build_lstm(), p), draw_steps()),
}
"""Each dropout with a share, and what it is called with."""
REFERENCES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "plain": lambda dropout: nn.Dropout(P),
    "locked": lambda dropout: fastai.RNNDropout(P),
    "words": lambda dropout: fastai.EmbeddingDropout(copy.deepcopy(dropout.embedding), P),
    "weights": lambda dropout: fastai.WeightDropout(copy.deepcopy(dropout.rnn), P),
}
"""torch's nn.Dropout, and fastai's three of AWD-LSTM."""


def call(module: nn.Module, x: Tensor) -> Tensor:
    """Return the output of a module, without its next state."""
    output = module(x)
    tensor: Tensor = output[0] if isinstance(output, tuple) else output
    return tensor


@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize(("p", "training"), [(0.0, True), (P, False)])
def test_dropout_does_nothing_in_evaluation_or_at_zero(kind: str, p: float, training: bool) -> None:
    """And draws no random number."""
    module, x = MODULES[kind](p)
    rng_state = torch.random.get_rng_state()
    output = call(module.train(training), x)
    assert torch.equal(torch.random.get_rng_state(), rng_state)
    inner = getattr(module, "embedding", None) or getattr(module, "rnn", None)
    assert torch.equal(output, call(inner, x)) if inner else output is x


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", REFERENCES)
def test_dropout_is_torchs_or_fastais_to_the_bit(kind: str, training: bool) -> None:
    dropout, x = MODULES[kind](P)
    tensors = compute_tensors(dropout.train(training), x)
    expected = compute_tensors(REFERENCES[kind](dropout).train(training), x)
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in tensors)


def compute_tensors(module: nn.Module, x: Tensor) -> dict[str, Tensor | None]:
    """Return the output for one seed, the gradients by name, and the generator's state."""
    x = x.clone().requires_grad_(x.is_floating_point())
    torch.manual_seed(4)
    output = call(module, x)
    output.pow(2).sum().backward()
    grads = {name.split(".")[-1].removesuffix("_raw"): p.grad for name, p in module.named_parameters()}
    if x.requires_grad:
        grads["x"] = x.grad
    return {"output": output, "random": torch.random.get_rng_state(), **grads}


def test_ar_and_tar_are_fastais_in_value_and_gradient() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 5, 4)
    raw = x.clone().requires_grad_()
    output = x.clone().requires_grad_()
    regularizer = RNNRegularizer(alpha=2.0, beta=1.0)
    regularizer.learn = SimpleNamespace(
        training=True, loss_grad=torch.zeros(()), rnn=SimpleNamespace(out=output, raw_out=raw)
    )
    regularizer.after_loss()
    expected = regularizer.learn.loss_grad
    trial = ChapterTrial(model="lm7", seed=0, alpha=2.0, beta=1.0)
    penalty = sum(compute_penalties(trial, Output(raw, raw, output)).values())
    assert torch.equal(penalty, expected)
    grads = (torch.autograd.grad(loss, (raw, output)) for loss in (penalty, expected))
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))
