"""AWD-LSTM twice: fastai's weights and numbers, a pad token of its own, five dropouts, any detach_every."""

from collections.abc import Callable, Mapping

import pytest
import torch
import torch.nn.functional as F
from fastai.text.models.awdlstm import AWD_LSTM
from fastai.text.models.core import LinearDecoder
from torch import Tensor, nn

from tests.helpers.zoo import engines
from unrolled.bench.chapter.chapter_run import run_trial
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.models.awd import AwdLM
from unrolled.bench.chapter.models.registry import ZOO

VOCAB = 11
QUIET = {"embed_p": 0.0, "input_p": 0.0, "weight_p": 0.0, "hidden_p": 0.0, "output_p": 0.0}
LOUD = dict.fromkeys(QUIET, 0.4)

both_kinds = pytest.mark.parametrize("kind", ["awd", "awd-scratch"])


def build_awd(kind: str, **options: float) -> AwdLM:
    """Return a small model of this kind."""
    torch.manual_seed(0)
    awd: AwdLM = ZOO[kind].build_model(VOCAB, **{"embedding": 6, "hidden": 8, **options})
    return awd


def draw_text(length: int = 5) -> Tensor:
    """Return three random texts of this length."""
    return torch.randint(VOCAB, (3, length), generator=torch.Generator().manual_seed(1))


def draw_windows() -> tuple[Tensor, ...]:
    """Return three windows in a row, each (3, 5)."""
    return draw_text(15).split(5, dim=1)


def weights_by_name(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return weights by the names of nn.LSTM, whichever wrapper holds it; fastai's encoder is i_h."""
    replacements = ((".module.", "."), (".rnn.", "."), ("_raw", ""), ("encoder", "i_h"))
    weights = {}
    for name, p in module.named_parameters():
        for old, new in replacements:
            name = name.replace(old, new)
        weights[name] = p
    return weights


def build_fastai_model(awd: AwdLM) -> tuple[AWD_LSTM, LinearDecoder]:
    """Return fastai's own AWD_LSTM and LinearDecoder with the weights of `awd`, in evaluation."""
    core = AWD_LSTM(VOCAB + 1, 6, 8, 2, pad_token=VOCAB)
    decoder = LinearDecoder(VOCAB + 1, 6, tie_encoder=core.encoder)
    with torch.no_grad():
        for name, p in weights_by_name(core).items():
            p.copy_(weights_by_name(awd)[name])
        decoder.decoder.bias.copy_(awd.h_o.bias)
    core.eval().reset()
    return core, decoder.eval()


@both_kinds
@pytest.mark.parametrize("training", [False, True])
def test_outputs_and_gradients_over_carried_windows_are_fastais(kind: str, training: bool) -> None:
    """In evaluation and without dropout; with it the twins below agree, and one is of fastai's parts."""
    awd = build_awd(kind, **(QUIET if training else LOUD)).train(training)
    core, decoder = build_fastai_model(awd)
    for window in draw_windows():  # whose gradients add up and end at each edge
        logits, *activations = decoder(core(window))
        logits = logits[..., :VOCAB]
        output = awd(window)
        for tensor, fastai_tensor in zip(output, (logits, *activations), strict=True):
            assert torch.equal(tensor, fastai_tensor)
        for scores, raw in ((logits, activations[0]), (output.logits, output.raw)):
            loss = F.cross_entropy(scores.flatten(0, 1), window.flatten()) + raw.pow(2).mean()
            loss.backward()
    expected = {**weights_by_name(core), "h_o.bias": decoder.decoder.bias}
    for name, p in weights_by_name(awd).items():
        assert p.grad is not None
        assert p.grad.any()
        torch.testing.assert_close(p.grad, expected[name].grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("options", [QUIET, LOUD, *({**QUIET, name: 0.4} for name in QUIET)])
@pytest.mark.parametrize("tying", [True, False])
def test_the_twins_agree_bit_for_bit_under_one_seed(
    training: bool, options: dict[str, float], tying: bool
) -> None:
    """Initial weights, masks, outputs over carried windows, gradients and the random numbers used up."""

    def compute_tensors(kind: str) -> Mapping[str, Tensor]:
        awd = build_awd(kind, **options, tying=tying).train(training)
        tensors = {f"initial {name}": p.detach().clone() for name, p in weights_by_name(awd).items()}
        torch.manual_seed(2)
        outputs = [part for window in draw_windows() for part in awd(window)]
        sum(part.pow(2).sum() for part in outputs).backward()
        tensors |= {f"output {i}": part for i, part in enumerate(outputs)}
        tensors |= {f"gradient {name}": p.grad for name, p in weights_by_name(awd).items()}
        assert all(p.grad is not None and p.grad.any() for p in awd.parameters())
        return {**tensors, "random": torch.random.get_rng_state()}

    fastai = compute_tensors("awd")
    scratch = compute_tensors("awd-scratch")
    assert fastai.keys() == scratch.keys()
    assert [name for name in fastai if not torch.equal(fastai[name], scratch[name])] == []


@engines
def test_the_twin_trains_as_fastais_step_for_step(
    make_small_trial: Callable[..., ChapterTrial], engine: str
) -> None:
    settings = {"engine": engine, "alpha": 2.0, "beta": 1.0, "batch": 16, "lr": 3e-2}
    options = {"embedding": 24, "hidden": 32, **dict.fromkeys(QUIET, 0.1)}
    fastai, scratch = (
        run_trial(make_small_trial(m, options=options, **settings)) for m in ("awd", "awd-scratch")
    )
    assert fastai.is_done
    assert scratch.is_done
    assert fastai.fingerprints["metrics"] == scratch.fingerprints["metrics"]
    assert all(w["ok"] for w in scratch.witnesses.values()), scratch.witnesses


@both_kinds
def test_the_pad_token_is_never_predicted_and_no_real_token_is_frozen(kind: str) -> None:
    awd = build_awd(kind, **QUIET, tying=False).train()
    output = awd(torch.arange(VOCAB)[None])  # each real token once, with 1, fastai's default pad token
    assert output.logits.shape[-1] == VOCAB
    weight = awd.get_parameter("i_h.weight")
    assert weight.shape[0] == VOCAB + 1
    output.logits.sum().backward()
    assert weight.grad.any(dim=1).tolist() == [True] * VOCAB + [False]
    assert awd.h_o.weight.grad is not None
    assert not awd.h_o.weight.grad[VOCAB].any()


@both_kinds
@pytest.mark.parametrize("interval", [1, 3, 12])
def test_one_set_of_masks_serves_a_window_however_often_it_is_detached(kind: str, interval: int) -> None:
    """Cut or replayed, a window gives the numbers that it gives in one piece, with every dropout on."""
    logits = []
    for detach_every in (0, interval):
        awd = build_awd(kind, **LOUD).train()
        awd.detach_every = detach_every
        torch.manual_seed(2)
        logits.append([awd(draw_text(6)).logits for _ in range(2)])
    torch.testing.assert_close(*logits)
    assert not torch.allclose(*logits[1])  # each window draws masks of its own


@both_kinds
def test_masks_on_a_gpu_are_kept_by_its_own_generator(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number stands for a GPU's state. Each further stretch of the window restores it."""
    states = iter([torch.tensor(7), torch.tensor(8)])
    restored_states = []
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda: next(states))
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state: restored_states.append(int(state)))
    awd = build_awd(kind)
    for _ in range(2):
        awd.rng_state_of_masks = None  # a window begins
        for _ in range(3):
            awd._rewind_generator(torch.device("cuda"))
    assert restored_states == [7, 7, 8, 8]


@both_kinds
def test_output_dropout_is_one_mask_a_row_and_comes_after_tar(kind: str) -> None:
    awd = build_awd(kind, **{**QUIET, "output_p": 0.5}).train()
    torch.manual_seed(4)
    output = awd(draw_text())
    dropped = output.dropped == 0  # (rows, steps, hidden)
    assert dropped.any()
    assert not dropped.all()
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert not (output.raw == 0).any()
