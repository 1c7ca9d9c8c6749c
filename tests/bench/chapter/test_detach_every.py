"""How far gradients flow. Every token of these texts occurs once, so the gradient of the embedding tells."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.helpers.zoo import engines
from unrolled.bench.chapter.chapter_run import run_trial
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.diagnostics import measure_gradient_by_distance
from unrolled.bench.chapter.models.recurrent import LanguageModel, detach_state
from unrolled.bench.chapter.models.registry import ZOO
from unrolled.bench.chapter.training.record import find_first_difference

WINDOW = 4
COUNT = 6
VOCAB = WINDOW * COUNT
MODELS = ["lm4", "lm5", "lm6", "gru", "lstm-chunk", "awd", "awd-scratch"]
INTERVALS = [1, 2, WINDOW, 2 * WINDOW, 4 * WINDOW]
LONGER = INTERVALS[-2:]

models = pytest.mark.parametrize("name", MODELS)


def build_small(name: str, detach_every: int) -> LanguageModel:
    """Return a small model with its detach_every."""
    torch.manual_seed(0)
    quiet = {key: 0.0 for key in ZOO[name].options if key.endswith("_p")}  # AWD-LSTM's dropouts
    model: LanguageModel = ZOO[name].build_model(VOCAB, hidden=6, **quiet)
    model.detach_every = detach_every
    if name == "lm4":  # whose ReLUs may all rest
        torch.nn.init.constant_(model.get_parameter("h_h.bias"), 1.0)
    return model.double().train()


def make_windows() -> tuple[Tensor, ...]:
    """Return windows of a text in a row."""
    return torch.arange(VOCAB)[None].split(WINDOW, dim=1)  # each (1, WINDOW)


@models
@pytest.mark.parametrize("detach_every", INTERVALS)
def test_a_gradient_goes_back_detach_every_tokens_and_no_further(name: str, detach_every: int) -> None:
    model = build_small(name, detach_every)
    for window in make_windows():
        raw = model(window).raw
    raw[:, -1].sum().backward()
    by_distance = model.get_parameter("i_h.weight").grad[:VOCAB].flip(0).any(dim=1)  # from the last word read
    assert by_distance.tolist() == [k < detach_every for k in range(VOCAB)]
    norms = measure_gradient_by_distance(build_small(name, detach_every), torch.stack(make_windows()))
    assert (norms > 0).tolist() == [k < detach_every for k in range(VOCAB)], "the diagnostic sees the same"


@models
def test_the_diagnostic_measures_the_gradient_of_one_long_pass(name: str) -> None:
    model = build_small(name, VOCAB)
    model.get_parameter("i_h.weight").grad = None
    raw, _ = model.unroll(torch.arange(VOCAB)[None], None)
    raw[:, -1].sum().backward()
    expected = model.get_parameter("i_h.weight").grad[:VOCAB].norm(dim=1).flip(0)
    norms = measure_gradient_by_distance(build_small(name, VOCAB), torch.stack(make_windows()))
    torch.testing.assert_close(norms, expected)


@models
@pytest.mark.parametrize("detach_every", INTERVALS)
def test_a_pass_has_the_same_bits_under_any_detach_every(name: str, detach_every: int) -> None:
    """Also while the weights move: a replay has the gradient of today's weights, not their numbers."""
    usual = build_small(name, WINDOW)
    changed = build_small(name, detach_every)
    for window in make_windows():
        for usual_tensor, tensor in zip(usual(window), changed(window), strict=True):
            if detach_every >= WINDOW:
                assert torch.equal(tensor, usual_tensor)
            else:  # read in pieces, which a matrix product may round in another way
                torch.testing.assert_close(tensor, usual_tensor, rtol=0, atol=1e-14)
        with torch.no_grad():
            for p in [*usual.parameters(), *changed.parameters()]:
                p.mul_(1.01)


@models
@pytest.mark.parametrize("detach_every", LONGER)
def test_a_longer_detach_every_has_the_gradient_of_one_long_pass(name: str, detach_every: int) -> None:
    model = build_small(name, detach_every)
    reference = build_small(name, WINDOW)
    for window in make_windows():
        raw = model(window).raw
    raw[:, -1].pow(2).sum().backward()
    start = VOCAB - detach_every
    _, state = reference.unroll(torch.arange(start)[None], None)
    reference.eval()  # one pass over `detach_every` tokens from the detached state before them
    reference.batch_size = 1
    reference.state = detach_state(state)
    reference(torch.arange(start, VOCAB)[None]).raw[:, -1].pow(2).sum().backward()
    for (key, p), (_, q) in zip(model.named_parameters(), reference.named_parameters(), strict=True):
        if p.grad is None and q.grad is None:
            assert key.startswith("h_o")
        else:
            torch.testing.assert_close(p.grad, q.grad, rtol=0, atol=1e-12)


@models
@pytest.mark.parametrize("event", ["evaluation", "reset"])
def test_evaluation_and_a_reset_end_a_replay(name: str, event: str) -> None:
    model = build_small(name, 3 * WINDOW)
    first, second, *_ = make_windows()
    model(first)
    if event == "reset":
        model.reset()
    else:
        with torch.no_grad():
            model.eval()(first)
    model.train()(second).raw[:, -1].sum().backward()
    grad = model.get_parameter("i_h.weight").grad
    assert grad.any(dim=1).nonzero().flatten().tolist() == second.flatten().tolist()


@engines
def test_trials_differ_in_the_first_gradient_that_can_and_not_in_batches(
    make_small_trial: Callable[..., ChapterTrial], engine: str
) -> None:
    """The losses before are equal to the bit, and so is the loss of that step itself."""
    intervals = (1, WINDOW, 2 * WINDOW, 4 * WINDOW)
    results = {n: run_trial(make_small_trial(detach_every=n, engine=engine)) for n in intervals}
    for name in ("train_updates", "train_tokens", "valid_targets"):
        assert len({r.metrics[name] for r in results.values()}) == 1
    assert len({r.fingerprints["weights"] for r in results.values()}) == len(results)
    assert all(r.witnesses["detach_every"]["ok"] for r in results.values())
    _, usual, double, fourfold = (r.trace for r in results.values())
    first_differences = {find_first_difference(usual, trace) for trace in (double, fourfold)}
    assert first_differences == {"step 2, tensor i_h.weight"}
    assert find_first_difference(double, fourfold).startswith("step 3, ")
