"""AWD-LSTM twice: fastai's weights and numbers, a pad token of its own, five dropouts, any detach_every."""

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from fastai.text.models.awdlstm import AWD_LSTM
from fastai.text.models.core import LinearDecoder
from torch import Tensor

from bench import regularization
from bench.diagnostics import gradient_by_distance
from bench.models.awd import AwdLM, AwdLSTM, ScratchAwdLSTM
from bench.run import run_trial
from bench.trial import Trial

VOCAB = 11
QUIET = {"embed_p": 0.0, "input_p": 0.0, "weight_p": 0.0, "hidden_p": 0.0, "output_p": 0.0}
LOUD = dict.fromkeys(QUIET, 0.4)

both = pytest.mark.parametrize("kind", [AwdLSTM, ScratchAwdLSTM])
each = pytest.mark.parametrize("name", list(QUIET))


def model(kind: type[AwdLM], **options: float) -> AwdLM:
    torch.manual_seed(0)
    return kind(VOCAB, embedding=6, hidden=8, **options)


def text(length: int = 5) -> Tensor:
    return torch.randint(VOCAB, (3, length), generator=torch.Generator().manual_seed(1))


def weights(awd: AwdLM) -> dict[str, Tensor]:
    """By the names of nn.LSTM, whichever wrapper holds it."""
    return {
        name.replace(".module.", ".").replace(".rnn.", ".").removesuffix("_raw"): p
        for name, p in awd.named_parameters()
    }


def fastais(ours: AwdLM) -> tuple[AWD_LSTM, LinearDecoder]:
    """fastai's own AWD_LSTM and LinearDecoder with the weights of `ours`, in evaluation."""
    core = AWD_LSTM(VOCAB + 1, 6, 8, 2, pad_token=VOCAB)
    theirs = {name.replace("_hh_l0_raw", "_hh_l0"): p for name, p in core.named_parameters()}
    theirs = {name.replace(".module.", ".").replace("encoder", "i_h"): p for name, p in theirs.items()}
    with torch.no_grad():
        for name, p in theirs.items():
            p.copy_(weights(ours)[name])
    decoder = LinearDecoder(VOCAB + 1, 6, tie_encoder=core.encoder)
    decoder.decoder.bias.data.copy_(ours.h_o.bias)
    core.eval().reset()
    return core, decoder.eval()


@both
def test_in_evaluation_it_is_fastais_awd_lstm_and_linear_decoder_over_carried_windows(
    kind: type[AwdLM],
) -> None:
    ours = model(kind).eval()
    core, decoder = fastais(ours)
    for window in text(15).split(5, dim=1):
        logits, raw, dropped = decoder(core(window))
        output = ours(window)
        assert torch.equal(output.logits, logits[..., :VOCAB])
        assert torch.equal(output.raw, raw) and torch.equal(output.dropped, dropped)


@both
def test_its_gradients_are_those_of_fastais_awd_lstm_and_linear_decoder(kind: type[AwdLM]) -> None:
    """By weights, without dropout; with it the twins below agree, and one is made of fastai's parts."""
    ours = model(kind, **QUIET).train()
    core, decoder = fastais(ours)
    for window in text(15).split(5, dim=1):  # three windows, whose gradients add up and end at each edge
        logits, raw, _ = decoder(core(window))
        output = ours(window)
        for found, own in ((logits[..., :VOCAB], raw), (output.logits, output.raw)):
            loss = F.cross_entropy(found.flatten(0, 1), window.flatten()) + own.pow(2).mean()
            loss.backward()
    expected = {name.replace("_hh_l0_raw", "_hh_l0"): p.grad for name, p in core.named_parameters()}
    expected = {name.replace(".module.", ".").replace("encoder", "i_h"): g for name, g in expected.items()}
    found = {name: p.grad for name, p in weights(ours).items()}
    assert {name for name, g in expected.items() if g is not None} >= found.keys() - {"h_o.bias"}
    for name in found.keys() - {"h_o.bias"}:
        assert found[name].any()
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found["h_o.bias"], decoder.decoder.bias.grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("options", [QUIET, LOUD, *({**QUIET, name: 0.4} for name in QUIET)])
@pytest.mark.parametrize("tying", [True, False])
def test_the_twins_agree_bit_for_bit_under_one_seed(
    training: bool, options: dict[str, float], tying: bool
) -> None:
    """Initial weights, masks, outputs over carried windows, gradients and the random numbers used up."""
    found = []
    for kind in (AwdLSTM, ScratchAwdLSTM):
        awd = model(kind, **options, tying=tying).train(training)
        initial = {name: p.detach().clone() for name, p in weights(awd).items()}
        torch.manual_seed(2)
        outputs = [awd(window) for window in text(15).split(5, dim=1)]
        sum(part.pow(2).sum() for output in outputs for part in output).backward()
        grads = {name: p.grad for name, p in weights(awd).items()}
        found.append((initial, outputs, grads, torch.random.get_rng_state()))
    (initial, outputs, grads, state), (initial_2, outputs_2, grads_2, state_2) = found
    assert initial.keys() == initial_2.keys() and all(torch.equal(initial[n], initial_2[n]) for n in initial)
    assert all(
        torch.equal(a, b) for o, p in zip(outputs, outputs_2, strict=True) for a, b in zip(o, p, strict=True)
    )
    assert all(g is not None and g.any() for g in grads.values())
    assert all(torch.equal(grads[n], grads_2[n]) for n in grads)
    assert torch.equal(state, state_2)


@pytest.mark.parametrize("engine", ["learner", "loop"])
def test_a_trial_of_the_twin_is_the_trial_of_fastais_step_for_step(
    small: Callable[..., Trial], engine: str
) -> None:
    settings = {"engine": engine, "alpha": 2.0, "beta": 1.0, "epochs": 2, "lr": 3e-2}
    options = {"embedding": 24, "hidden": 32, **dict.fromkeys(QUIET, 0.1)}
    fastai, scratch = (run_trial(small(m, options=options, **settings)) for m in ("awd", "awd-scratch"))
    assert fastai.done and scratch.done
    assert fastai.fingerprints["metrics"] == scratch.fingerprints["metrics"]
    assert all(w["ok"] for w in scratch.witnesses.values()), scratch.witnesses


@both
def test_the_pad_token_is_never_predicted_and_no_real_token_is_frozen(kind: type[AwdLM]) -> None:
    awd = model(kind, **QUIET, tying=False).train()
    every = torch.arange(VOCAB)[None]  # each real token once, 1 among them: fastai's default pad token
    output = awd(every)
    assert output.logits.shape[-1] == VOCAB
    output.logits.sum().backward()
    moved = awd.i_h.weight.grad.abs().sum(dim=1) > 0
    assert moved.tolist() == [True] * VOCAB + [False]
    assert awd.h_o.weight.grad is not None and not awd.h_o.weight.grad[VOCAB].any()
    assert awd.i_h.weight.shape[0] == VOCAB + 1 and awd.i_h.padding_idx == VOCAB


@both
def test_the_last_layer_is_as_wide_as_the_embedding_so_that_the_decoder_can_share_it(
    kind: type[AwdLM],
) -> None:
    awd = kind(VOCAB, embedding=6, hidden=8, layers=3)
    assert {
        name: tuple(p.shape) for name, p in weights(awd).items() if "_hh" in name and "weight" in name
    } == {
        "rnns.0.weight_hh_l0": (32, 8),
        "rnns.1.weight_hh_l0": (32, 8),
        "rnns.2.weight_hh_l0": (24, 6),
    }
    assert awd.h_o.weight is awd.i_h.weight
    assert awd(text()).raw.shape == (3, 5, 6)
    assert kind(VOCAB, tying=False).h_o.weight.shape == (VOCAB + 1, 64)


@both
@each
def test_each_of_the_five_dropouts_acts_alone_in_training_and_rests_in_evaluation(
    kind: type[AwdLM], name: str
) -> None:
    awd, still, tokens = model(kind, **{**QUIET, name: 0.5}), model(kind, **QUIET), text()
    torch.manual_seed(2)
    noisy, quiet = awd.train()(tokens).logits, still.train()(tokens).logits
    assert not torch.allclose(noisy, quiet)
    for module in (awd.eval(), still.eval()):
        module.reset()
    assert torch.equal(awd(tokens).logits, still(tokens).logits)


@both
@pytest.mark.parametrize("every", [1, 3, 12])
def test_one_set_of_masks_serves_a_window_however_often_it_is_detached(kind: type[AwdLM], every: int) -> None:
    """Cut or replayed, a window gives the numbers that it gives in one piece, with every dropout on."""
    whole, cut = model(kind, **LOUD).train(), model(kind, **LOUD).train()
    cut.detach_every = every
    read = []
    for awd in (whole, cut):
        torch.manual_seed(2)
        first, second = awd(text(6)), awd(text(6))
        read.append((first.logits, second.logits))
    for one, other in zip(*read, strict=True):
        torch.testing.assert_close(one, other)
    assert not torch.allclose(*read[1])  # each window draws masks of its own


@each
def test_each_of_the_five_dropouts_can_be_switched_off_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The masks that are drawn, in fastai's order: 3 rows, embedding 6, hidden 8, four gates a layer."""
    masks = [
        ("embed_p", (VOCAB + 1, 1)),
        ("input_p", (3, 1, 6)),
        ("weight_p", (4 * 8, 8)),
        ("hidden_p", (3, 1, 8)),
        ("weight_p", (4 * 6, 6)),
        ("output_p", (3, 1, 6)),
    ]
    drawn: list[tuple[int, ...]] = []
    draw = regularization._mask
    monkeypatch.setattr(
        regularization, "_mask", lambda place, p: drawn.append(tuple(place.shape)) or draw(place, p)
    )
    model(ScratchAwdLSTM, **LOUD).train()(text())
    assert drawn == [shape for _, shape in masks]
    drawn.clear()
    model(ScratchAwdLSTM, **{**LOUD, name: 0.0}).train()(text())
    assert drawn == [shape for which, shape in masks if which != name]


@both
def test_output_dropout_is_the_same_at_every_step_of_a_row_and_after_what_tar_reads(
    kind: type[AwdLM],
) -> None:
    awd = model(kind, **{**QUIET, "output_p": 0.5}).train()
    torch.manual_seed(4)
    output = awd(text())
    dropped = output.dropped == 0  # (rows, steps, hidden)
    assert dropped.any() and not dropped.all()
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert not (output.raw == 0).any()


@both
@pytest.mark.parametrize("detach_every", [2, 4, 12])
def test_gradients_reach_as_far_back_as_the_detach_every_says(kind: type[AwdLM], detach_every: int) -> None:
    awd = model(kind)
    awd.detach_every = detach_every
    windows = text(20).view(3, 5, 4).transpose(0, 1)  # five windows of four tokens
    reach = gradient_by_distance(awd, windows[: max(detach_every // 4, 1) + 1])
    assert int((reach > 0).sum()) == detach_every


@both
@pytest.mark.parametrize("every", [2, 8])
def test_without_dropout_detaching_changes_gradients_and_no_output(kind: type[AwdLM], every: int) -> None:
    outputs, grads = [], []
    for h in (4, every):
        awd = model(kind, **QUIET).train()
        awd.detach_every = h
        outputs.append([awd(window) for window in text(12).split(4, dim=1)][-1].logits)
        outputs[-1].sum().backward()
        grads.append(weights(awd)["rnns.0.weight_hh_l0"].grad)
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-6)
    assert not torch.allclose(*grads, rtol=1e-3)


def test_the_twin_can_be_copied_in_the_middle_of_training() -> None:
    awd = model(ScratchAwdLSTM, **LOUD).train()
    awd(text()).logits.sum().backward()
    twin = copy.deepcopy(awd)
    for module in (awd, twin):
        module.eval().reset()
    assert torch.equal(awd(text()).logits, twin(text()).logits)
    assert twin.h_o.weight is twin.i_h.weight
