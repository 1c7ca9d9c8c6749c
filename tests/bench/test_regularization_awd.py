"""The dropouts of AWD-LSTM: what each one drops, what it leaves alone, and that they are fastai's."""

import copy
import pickle
import warnings
from collections.abc import Callable

import pytest
import torch
from fastai.text.models import awdlstm as fastai
from torch import Tensor, nn

from bench.regularization import EmbeddingDropout, LockedDropout, WeightDropout

P = 0.4
WORDS, SIZE = 2000, 4


def embedding() -> nn.Embedding:
    made = nn.Embedding(WORDS, SIZE, padding_idx=WORDS - 1)
    nn.init.ones_(made.weight)
    return made


def lstm(layers: int = 1) -> nn.LSTM:
    torch.manual_seed(0)
    return nn.LSTM(5, 40, layers, batch_first=True)


def steps() -> Tensor:
    return torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(1))


def test_locked_dropout_has_one_mask_for_all_steps_and_another_for_each_row() -> None:
    torch.manual_seed(0)
    out = LockedDropout(P).train()(torch.ones(500, 6, 400))
    assert torch.equal(out, out[:, :1].expand_as(out))
    assert not torch.equal(out[0], out[1])
    # 200,000 draws: standard errors sqrt(.4 × .6 / 200000) = .0011, and that over .6 = .0018; four of them.
    assert float((out == 0).float().mean()) == pytest.approx(P, abs=0.0044)
    assert float(out.mean()) == pytest.approx(1, abs=0.0074)


def test_locked_dropout_draws_a_new_mask_for_every_stretch() -> None:
    torch.manual_seed(0)
    locked, x = LockedDropout(P).train(), torch.ones(2, 3, 50)
    assert not torch.equal(locked(x), locked(x))


def test_embedding_dropout_drops_whole_words_wherever_they_stand() -> None:
    torch.manual_seed(0)
    tokens = torch.arange(WORDS).repeat(3, 1).t().reshape(6, -1)  # each word three times, in some row
    out = EmbeddingDropout(embedding(), P).train()(tokens).detach().view(WORDS, 3, SIZE)
    assert torch.equal(out, out[:, :1, :1].expand_as(out))  # all or nothing, and the same three times
    # 2,000 draws: standard errors sqrt(.4 × .6 / 2000) = .011, and that over .6 = .018; four of them.
    assert float((out == 0).float().mean()) == pytest.approx(P, abs=0.044)
    assert float(out.mean()) == pytest.approx(1, abs=0.074)


def test_a_dropped_word_learns_nothing_and_the_pad_token_never_does() -> None:
    torch.manual_seed(0)
    emb = embedding()
    out = EmbeddingDropout(emb, P).train()(torch.arange(WORDS))
    out.sum().backward()
    assert emb.weight.grad is not None
    learns = emb.weight.grad.any(dim=1)
    assert torch.equal(learns[:-1], out[:-1].any(dim=1))
    assert not learns[-1] and 0 < int(learns.sum()) < WORDS - 1


def test_weight_dropout_runs_the_layer_with_fewer_hidden_to_hidden_connections() -> None:
    """By hand: nn.LSTM with a weight that went through nn.Dropout once, for all rows and steps."""
    rnn, by_hand, x = lstm(), lstm(), steps()
    torch.manual_seed(2)
    with torch.no_grad():
        by_hand.weight_hh_l0.copy_(nn.Dropout(P)(by_hand.weight_hh_l0))
    # 4 × 40 × 40 = 6,400 draws: standard error sqrt(.4 × .6 / 6400) = .006; four of them.
    assert float((by_hand.weight_hh_l0 == 0).float().mean()) == pytest.approx(P, abs=0.025)
    torch.manual_seed(2)
    out, (h, c) = WeightDropout(rnn, P).train()(x)
    expected, (expected_h, expected_c) = by_hand(x)
    assert torch.equal(out, expected) and torch.equal(h, expected_h) and torch.equal(c, expected_c)
    assert not torch.equal(out, rnn(x)[0])


def test_weight_dropout_teaches_only_the_connections_that_stayed() -> None:
    rnn = lstm()
    torch.manual_seed(2)
    kept = nn.Dropout(P)(torch.ones_like(rnn.weight_hh_l0)) != 0
    torch.manual_seed(2)
    WeightDropout(rnn, P).train()(steps())[0].pow(2).sum().backward()
    grads = {name: p.grad for name, p in rnn.named_parameters()}
    assert torch.equal(grads["weight_hh_l0"] != 0, kept)  # type: ignore[arg-type]
    assert all(grads[name].ne(0).all() for name in ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0"))  # type: ignore[union-attr]


def test_weight_dropout_falls_on_every_layer_and_on_nothing_but_hidden_to_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dropped = WeightDropout(lstm(layers=2), P).train()
    seen: list[Tensor] = []
    monkeypatch.setattr(dropped.drop, "forward", lambda w: seen.append(w) or w)
    dropped(steps())
    assert len(seen) == 2
    assert seen[0] is dropped.rnn.weight_hh_l0 and seen[1] is dropped.rnn.weight_hh_l1


def test_weight_dropout_keeps_the_weights_expected_value() -> None:
    dropped = WeightDropout(lstm(), P).train()
    torch.manual_seed(3)
    mean = torch.stack([dropped.drop(dropped.rnn.weight_hh_l0) for _ in range(2000)]).mean(dim=0)
    # Of one weight w over 2,000 draws the mean has the standard error |w| × sqrt(.4 / .6 / 2000) = .018 |w|.
    assert (mean / dropped.rnn.weight_hh_l0 - 1).abs().mean() < 0.018  # a normal variable has .8 of that


def test_weights_that_are_replaced_for_a_call_are_not_moved_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU nn.LSTM would move them, in place, between two stretches of one graph."""
    dropped, x = WeightDropout(lstm(), P).train(), steps()
    monkeypatch.setattr(nn.LSTM, "flatten_parameters", lambda self: pytest.fail("moved"))
    first, state = dropped(x)
    second, _ = copy.deepcopy(dropped)(x, state)
    (first.sum() + second.sum()).backward()
    dropped.eval()(x)


def test_the_warning_of_weights_that_are_not_in_one_block_is_kept_back() -> None:
    class Scattered(nn.LSTM):
        def forward(self, *args):
            warnings.warn(
                "RNN module weights are not part of single contiguous chunk of memory.", stacklevel=1
            )
            return super().forward(*args)

    WeightDropout(Scattered(5, 40, batch_first=True), P)(steps())


def test_after_a_call_with_weight_dropout_the_layer_is_an_ordinary_lstm() -> None:
    """fastai's leaves a tensor with a history in the place of the parameter, which no deepcopy can take."""
    dropped, untouched, x = WeightDropout(lstm(), P).train(), lstm(), steps()
    dropped(x)
    assert [type(p) for p in dropped.rnn._parameters.values()] == [nn.Parameter] * 4
    assert torch.equal(dropped.rnn(x)[0], untouched(x)[0])
    dropped(x)
    for copied in (copy.deepcopy(dropped), pickle.loads(pickle.dumps(dropped))):
        assert torch.equal(copied.eval()(x)[0], untouched(x)[0])
    untouched.load_state_dict(dropped.rnn.state_dict())
    theirs = fastai.WeightDropout(lstm(), P).train()
    theirs(x)
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(theirs)


def locked(p: float) -> tuple[nn.Module, Tensor]:
    return LockedDropout(p), steps()


def words(p: float) -> tuple[nn.Module, Tensor]:
    return EmbeddingDropout(nn.Embedding(WORDS, SIZE), p), torch.arange(12).view(3, 4)


def weights(p: float) -> tuple[nn.Module, Tensor]:
    return WeightDropout(lstm(), p), steps()


def answer(module: nn.Module, x: Tensor) -> Tensor:
    out = module(x)
    first: Tensor = out[0] if isinstance(out, tuple) else out
    return first


@pytest.mark.parametrize("make", [locked, words, weights])
@pytest.mark.parametrize(("p", "training"), [(0.0, True), (P, False)])
def test_a_dropout_does_nothing_and_draws_nothing_at_zero_or_in_evaluation(
    make: Callable[[float], tuple[nn.Module, Tensor]], p: float, training: bool
) -> None:
    module, x = make(p)
    before = torch.random.get_rng_state()
    out = answer(module.train(training), x)
    assert torch.equal(torch.random.get_rng_state(), before)
    match module:
        case EmbeddingDropout():
            assert torch.equal(out, module.embedding(x))
        case WeightDropout():
            assert torch.equal(out, module.rnn(x)[0])
        case _:
            assert out is x


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("make", "theirs"),
    [
        (locked, lambda ours: fastai.RNNDropout(P)),
        (words, lambda ours: fastai.EmbeddingDropout(copy.deepcopy(ours.embedding), P)),
        (weights, lambda ours: fastai.WeightDropout(copy.deepcopy(ours.rnn), P)),
    ],
)
def test_each_dropout_is_fastais_bit_for_bit_gradients_and_random_numbers_too(
    make: Callable[[float], tuple[nn.Module, Tensor]],
    theirs: Callable[[nn.Module], nn.Module],
    training: bool,
) -> None:
    ours, x = make(P)
    found = []
    for module in (ours, theirs(ours)):
        mine = x.clone().requires_grad_(x.is_floating_point())
        torch.manual_seed(4)
        out = answer(module.train(training), mine)
        out.pow(2).sum().backward()
        grads = {name.split(".")[-1].removesuffix("_raw"): p.grad for name, p in module.named_parameters()}
        found.append((out, mine.grad, torch.random.get_rng_state(), grads))
    (out, grad, state, grads), (out_2, grad_2, state_2, grads_2) = found
    assert torch.equal(out, out_2) and torch.equal(state, state_2)
    assert grad is grad_2 is None or torch.equal(grad, grad_2)
    assert grads.keys() == grads_2.keys()
    assert all(torch.equal(grads[name], grads_2[name]) for name in grads)
