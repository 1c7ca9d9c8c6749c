"""Dropout, AR and TAR: by hand, and against nn.Dropout and fastai."""

from types import SimpleNamespace

import pytest
import torch
from fastai.callback.rnn import RNNRegularizer
from torch import nn

from bench.regularization import Dropout, activation, temporal_activation

P = 0.4
ONES = torch.ones(200_000)


def test_dropout_zeroes_about_p_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    out = Dropout(P).train()(ONES)
    # Standard errors: sqrt(.4 × .6 / 200000) = .0011, and that over .6 = .0018; four of them.
    assert float((out == 0).float().mean()) == pytest.approx(P, abs=0.0044)
    assert float(out.mean()) == pytest.approx(1, abs=0.0074)
    assert set(out.unique().tolist()) == {0.0, float(torch.tensor(1 / (1 - P)))}


def test_dropout_does_nothing_in_evaluation_or_at_zero() -> None:
    assert torch.equal(Dropout(P).eval()(ONES), ONES)
    before = torch.random.get_rng_state()
    assert torch.equal(Dropout(0.0).train()(ONES), ONES)
    assert torch.equal(torch.random.get_rng_state(), before)  # and draws no number for it


@pytest.mark.parametrize("p", [0.1, P, 0.9])
def test_dropout_is_nn_dropout_bit_for_bit_gradients_too(p: float) -> None:
    x = torch.randn(4, 5, 6)
    results = []
    for module in (Dropout(p), nn.Dropout(p)):
        torch.manual_seed(1)
        mine = x.clone().requires_grad_()
        out = module.train()(mine)
        out.pow(2).sum().backward()
        results.append((out, mine.grad, torch.random.get_rng_state()))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_ar_is_alpha_times_the_mean_square() -> None:
    x = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])  # (1, 2, 2)
    assert activation(x, 2.0).item() == 15.0  # 2 × (1 + 4 + 9 + 16) / 4


def test_tar_is_beta_times_the_mean_square_of_the_steps() -> None:
    x = torch.tensor([[[1.0, 2.0], [3.0, 1.0], [3.0, 4.0]]])  # (1, 3, 2): steps (2, −1), (0, 3)
    assert temporal_activation(x, 2.0).item() == 7.0  # 2 × (4 + 1 + 0 + 9) / 4


def test_tar_of_a_single_step_is_nothing_and_of_a_single_row_is_something() -> None:
    """fastai's guard tests the batch size where it means the length of the window."""
    assert temporal_activation(torch.randn(8, 1, 4), 1.0).item() == 0.0
    assert temporal_activation(torch.randn(1, 8, 4), 1.0).item() > 0.0


def test_ar_and_tar_are_fastais_in_value_and_gradient() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 5, 4)
    raw, dropped = x.clone().requires_grad_(), x.clone().requires_grad_()
    theirs = RNNRegularizer(alpha=2.0, beta=1.0)
    theirs.learn = SimpleNamespace(
        training=True, loss_grad=torch.zeros(()), rnn=SimpleNamespace(out=dropped, raw_out=raw)
    )
    theirs.after_loss()
    theirs.learn.loss_grad.backward()
    grads = raw.grad, dropped.grad
    raw.grad = dropped.grad = None
    ours = activation(dropped, 2.0) + temporal_activation(raw, 1.0)
    ours.backward()
    assert torch.equal(ours, theirs.learn.loss_grad)
    assert torch.equal(raw.grad, grads[0]) and torch.equal(dropped.grad, grads[1])
