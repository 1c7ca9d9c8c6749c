"""AWD-LSTM's engine: gradient descent, its average, its windows, against references written by hand."""

import math
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.corpus import Batches, drawn_lengths
from bench.diagnostics import gradient_by_distance
from bench.models.recurrent import LanguageModel
from bench.run import run_trial
from bench.training import sgd
from bench.training.engine import Training
from bench.training.sgd import Descent, stalled
from bench.training.train import build, load
from bench.trial import Epoch, Trial

CPU = torch.device("cpu")
Make = Callable[..., Trial]


@pytest.fixture
def awd(small: Make) -> Make:
    """A trial of AWD-LSTM's engine that stalls early: 11 updates an epoch, at a high rate."""
    settings = {"engine": "sgd", "window": 10, "lr": 20.0, "clip": 0.25, "wd": 1e-6, "epochs": 8}
    settings |= {"plateau_patience": 0}
    return lambda model="lm6", **changes: small(model, **{**settings, **changes})


def trained(trial: Trial) -> tuple[Training, LanguageModel]:
    data, train, valid = load(trial)
    model = build(trial, len(data.vocab))
    torch.manual_seed(5)  # dropout's stream
    return sgd.train(trial, model, train, valid, CPU), model


def snapshots(trial: Trial) -> tuple[list[list[Tensor]], list[float]]:
    """The weights after every update, and every epoch's validation loss, in a dozen plain lines."""
    data, train, valid = load(trial)
    model, kept, losses = build(trial, len(data.vocab)), [], []
    for _ in range(trial.epochs):
        model.train().reset()
        for tokens, targets in train:
            loss = F.cross_entropy(model(tokens).logits.transpose(1, 2), targets)
            grads = torch.autograd.grad(loss, list(model.parameters()))
            norm = math.sqrt(sum(float(g.square().sum()) for g in grads))
            with torch.no_grad():
                for w, g in zip(model.parameters(), grads, strict=True):
                    clipped = g * min(1.0, trial.clip / norm) if trial.clip else g
                    w -= trial.lr * tokens.shape[1] / trial.window * (clipped + trial.wd * w)
            kept.append([w.detach().clone() for w in model.parameters()])
        losses.append(valid_loss(model, valid))
    return kept, losses


@torch.no_grad()
def valid_loss(model: LanguageModel, valid: Batches) -> float:
    model.eval().reset()
    nats = [F.cross_entropy(model(x).logits.transpose(1, 2), y) for x, y in valid]
    return float(sum(nats) / len(nats))


# len(before) > n and now > min(before[:-n]): awd-lstm-lm, main.py
@pytest.mark.parametrize(
    ("checks", "plateau_patience", "answer"),
    [
        ([1.0], 0, False),
        ([1.0, 1.1], 0, True),
        ([1.0, 0.9, 0.95], 0, True),
        ([1.0, 1.1], 5, False),
        ([1.0, 2, 2, 2, 2, 1.1], 5, False),  # five before it: one too few
        ([1.0, 2, 2, 2, 2, 2, 1.1], 5, True),  # worse than the first, the best but for the last five
        ([1.0, 2, 2, 2, 2, 2, 0.9], 5, False),
        ([1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.9], 5, False),  # arXiv's typo would say yes: .9 > .5
    ],
)
def test_it_stalls_where_it_is_worse_than_the_best_but_for_the_last_checks(
    checks: list[float], plateau_patience: int, answer: bool
) -> None:
    assert stalled(checks, plateau_patience) is answer


@pytest.mark.parametrize("variable_bptt", [False, True])
def test_nt_asgd_keeps_the_mean_of_all_weights_since_validation_stalled(
    awd: Make, variable_bptt: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sgd, "stalled", lambda checks, _: len(checks) == 3)
    trial = awd(on_plateau="average", variable_bptt=variable_bptt, wd=1e-3, lr=1.0)  # rounding stays small
    kept, losses = snapshots(trial)
    record, model = trained(trial)
    began = record.phase_changes["average"][0]
    assert record.phase_changes == {"average": [began]} and sum(record.lengths[:began]) == 3 * 11 * 10
    assert [e.valid_loss for e in record.epochs[:3]] == pytest.approx(losses[:3], rel=1e-4)
    for now, *since in zip(model.parameters(), *kept[began:], strict=True):
        torch.testing.assert_close(now.detach(), torch.stack(since).mean(dim=0), rtol=0, atol=1e-4)
        assert not torch.allclose(now.detach(), since[-1], rtol=0, atol=1e-3)
    # The average is what was evaluated, after every epoch that it was there.
    evaluated = [e.valid_loss for e in record.epochs[3:]]
    assert evaluated != pytest.approx(losses[3:], rel=1e-4)
    assert valid_loss(model, load(trial)[2]) == pytest.approx(evaluated[-1], rel=1e-5)


class Line(LanguageModel):
    """One weight, for arithmetic that can be followed."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0, -2.0]))


def descent(**settings: Any) -> tuple[Line, Descent]:
    model = Line()
    return model, Descent(Trial(model="lm4", seed=0, **settings), model)


def follow(rule: Descent, model: Line, lengths: list[int]) -> None:
    for step, length in enumerate(lengths):
        rule.before_step(length)
        model.w.grad = torch.tensor([math.sin(step), 0.5])
        rule.optimizer.step()
        rule.after_step()


def epoch(number: int, valid_loss: float) -> Epoch:
    none = dict.fromkeys((f.name for f in fields(Epoch)), 0.0)
    return Epoch(**{**none, "epoch": number, "valid_loss": valid_loss})


def test_averaging_is_torchs_asgd_without_delay_and_decay() -> None:
    ours, rule = descent(lr=0.3, wd=0.01, on_plateau="average", plateau_patience=0, epochs=9)
    theirs = Line()
    rule.after_epoch(epoch(0, 1.0))
    rule.after_epoch(epoch(1, 2.0))
    asgd = torch.optim.ASGD(theirs.parameters(), lr=0.3, lambd=0.0, t0=0, weight_decay=0.01)
    follow(rule, ours, [16])
    first = ours.w.detach().clone()
    follow(rule, ours, [16] * 19)
    for step in (0, *range(19)):
        theirs.w.grad = torch.tensor([math.sin(step), 0.5])
        asgd.step()
    torch.testing.assert_close(ours.w, theirs.w)
    with rule.evaluation_weights():
        rest = (20 * ours.w.detach() - first) / 19  # torch's forgets the first update: its µ lags by one
        torch.testing.assert_close(rest, asgd.state[theirs.w]["ax"])
    torch.testing.assert_close(ours.w, theirs.w)  # the descent goes on from the weights themselves


def test_fine_tuning_starts_again_from_the_average_and_averages_at_once() -> None:
    model, rule = descent(lr=0.3, wd=0, on_plateau="average", plateau_patience=0, epochs=5, finetune=2)
    for number, loss in enumerate([1.0, 2.0]):
        follow(rule, model, [16] * 3)
        rule.after_epoch(epoch(number, loss))
    follow(rule, model, [16] * 3)
    with rule.evaluation_weights():
        average = model.w.detach().clone()
    assert not torch.equal(model.w, average)
    rule.after_epoch(epoch(2, 3.0))
    assert torch.equal(model.w, average)
    assert rule.phase_changes == {"average": [6], "finetune": [9]}
    follow(rule, model, [16])
    after = model.w.detach().clone()
    rule.finish()
    assert torch.equal(model.w, after)  # the average of one


def test_the_rate_is_halved_each_time_that_validation_stalls() -> None:
    _, rule = descent(lr=8.0, on_plateau="halve", plateau_patience=1, epochs=9)
    rates = []
    for number, loss in enumerate([1.0, 2.0, 2.0, 1.0, 2.0, 2.0]):
        rule.after_epoch(epoch(number, loss))
        rates.append(rule.before_step(16)[0])
    assert rates == [8, 8, 4, 4, 4, 2]  # after a halving the waiting begins anew


def test_plain_descent_never_changes_and_a_window_of_half_the_length_has_half_the_rate(awd: Make) -> None:
    record, _ = trained(awd(variable_bptt=True))
    losses = [e.valid_loss for e in record.epochs]
    assert any(stalled(losses[:n], 0) for n in range(2, 7)) and record.phase_changes == {}
    assert len(set(record.lengths)) > 5 and set(record.moms) == {0.0}
    assert record.lrs == pytest.approx([20.0 * length / 10 for length in record.lengths])


# --- windows


@pytest.mark.parametrize("split", ["tail", "blocks"])
def test_windows_of_drawn_length_cover_every_token_once_and_in_order_and_validation_is_never_cut(
    awd: Make, split: str
) -> None:
    trial = awd(variable_bptt=True, split=split)
    _, fixed, _ = load(replace(trial, variable_bptt=False))
    _, varied, valid = load(trial)
    for part in (0, 1):  # inputs, targets
        expected = torch.cat([batch[part] for batch in fixed], dim=1)
        for _ in range(2):
            assert torch.equal(torch.cat([batch[part] for batch in varied], dim=1), expected)
    assert {tokens.shape[1] for tokens, _ in valid} == {10} and varied.tokens == fixed.tokens


def test_the_state_is_carried_over_windows_of_drawn_length(awd: Make) -> None:
    trial = awd(variable_bptt=True)
    data, train, _ = load(trial)
    model = build(trial, len(data.vocab)).eval()
    windows = [tokens for tokens, _ in train]
    with torch.no_grad():
        pieces = torch.cat([model(tokens).logits for tokens in windows], dim=1)
        model.reset()
        whole = model(torch.cat(windows, dim=1)).logits
    torch.testing.assert_close(pieces, whole)


def test_a_gradient_reaches_back_to_the_start_of_each_window(awd: Make) -> None:
    trial = awd(variable_bptt=True)
    model = build(trial, 9)
    for length in (11, 3):
        reach = gradient_by_distance(model, torch.arange(length)[None, None] % 9)
        assert (reach > 0).tolist() == [True] * length


def test_lengths_are_drawn_as_the_paper_says() -> None:
    # Merity et al., section 5: N(70, 5), and with probability .05 N(35, 5).
    lengths = torch.tensor(drawn_lengths(700_000, 70, torch.Generator().manual_seed(0))[:-1]).float()
    short = lengths < 52.5  # 3.5 SD from either mean
    share = float(short.float().mean())
    assert share == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / len(lengths)))
    for part, mean in ((lengths[~short], 70), (lengths[short], 35)):
        assert float(part.mean()) == pytest.approx(mean, abs=4 * 5 / math.sqrt(len(part)))
        assert float(part.std()) == pytest.approx(5, rel=4 / math.sqrt(2 * len(part)))
    assert min(drawn_lengths(9_999, 8, torch.Generator().manual_seed(0))[:-1]) == 5


def test_lengths_belong_to_the_seed_and_not_to_the_arm(awd: Make) -> None:
    def lengths(trial: Trial) -> list[int]:
        return trained(trial)[0].lengths

    options = {"hidden": 8, "dropout": 0.3}
    one = lengths(awd(variable_bptt=True, epochs=2))
    assert lengths(awd(variable_bptt=True, epochs=2, options=options, lr=1.0, on_plateau="average")) == one
    assert lengths(awd(variable_bptt=True, epochs=2, seed=1)) != one
    tokens = 11 * 10  # of one pass: eleven windows of ten
    first = next(n for n in range(len(one)) if sum(one[:n]) == tokens)
    assert one[:first] != one[first:]  # cut anew at every pass


# --- as a trial

FULL = {"variable_bptt": True, "lr": 5.0, "on_plateau": "average", "alpha": 2.0, "beta": 1.0, "finetune": 2}
DROPPED = dict.fromkeys(("embed_p", "input_p", "weight_p", "hidden_p", "output_p"), 0.1)
AWD = {**FULL, "options": {"embedding": 8, "hidden": 12, **DROPPED}}
HALVING = {"on_plateau": "halve", "variable_bptt": True}


@pytest.mark.parametrize("killed_at", [20, 40, 75])
@pytest.mark.parametrize("changes", [AWD, HALVING], ids=["awd", "halving"])
def test_a_killed_trial_goes_on_with_the_bits_of_an_undisturbed_one(
    awd: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int, changes: dict[str, Any]
) -> None:
    trial = awd("awd-scratch" if "options" in changes else "lm6", **changes)
    undisturbed = run_trial(trial)
    assert run_trial(replace(trial, seed=1)).fingerprints != undisturbed.fingerprints
    monkeypatch.setenv("UNROLLED_CHECKPOINTS", str(tmp_path))
    monkeypatch.setenv("UNROLLED_CHECKPOINT_SECONDS", "0")
    before_step = Descent.before_step

    def killed(rule: Descent, length: int) -> tuple[float, float]:
        if rule.steps == killed_at:
            raise InterruptedError
        return before_step(rule, length)

    monkeypatch.setattr(Descent, "before_step", killed)
    with pytest.raises(InterruptedError):
        run_trial(trial)
    began: list[int] = []
    monkeypatch.setattr(Descent, "before_step", lambda r, n: began.append(r.steps) or before_step(r, n))
    resumed = run_trial(trial)
    assert 0 < began[0] <= killed_at  # from the last epoch, and not from the start
    assert resumed.fingerprints == undisturbed.fingerprints and resumed.trace == undisturbed.trace
    assert resumed.witnesses == undisturbed.witnesses


def test_a_runaway_rate_is_told_as_divergence(awd: Make) -> None:
    result = run_trial(awd(lr=1e12, clip=0.0))
    assert result.diverged, result.reason
