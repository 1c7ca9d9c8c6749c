"""Sums of nats and hits, divided once."""

import math

import pytest
import torch

from bench.chapter.metrics import Evaluation, perplexity


def test_batches_of_unlike_size_count_by_their_targets() -> None:
    evaluation = Evaluation()
    sure = torch.tensor([[10.0, -10.0]] * 3)  # token 0, almost certainly
    evaluation.add(sure, torch.tensor([0, 0, 0]))
    evaluation.add(torch.zeros(1, 2), torch.tensor([1]))  # a coin
    assert evaluation.loss() == pytest.approx(math.log(2) / 4, rel=1e-6)
    assert evaluation.accuracy() == 3 / 4 and evaluation.hits() == 3


def test_a_uniform_guess_costs_ln_v_nats_and_log2_v_bits() -> None:
    evaluation = Evaluation()
    evaluation.add(torch.zeros(2, 3, 8), torch.zeros(2, 3, dtype=torch.long))  # (b, t, vocab)
    summary = evaluation.summary()
    assert summary["valid_loss"] == pytest.approx(math.log(8))
    assert summary["valid_bits"] == pytest.approx(3)
    assert summary["valid_perplexity"] == pytest.approx(8)
    assert summary["valid_targets"] == 6


def test_roles_are_sums_and_absent_roles_are_left_out() -> None:
    evaluation = Evaluation()
    evaluation.add(torch.tensor([[0.0, 0.0], [9.0, 0.0]]), torch.tensor([0, 1]))
    evaluation.add(torch.tensor([[0.0, 0.0]]), torch.tensor([0]))
    roles = evaluation.by_role(torch.tensor([2, 0, 2]), ("first", "never", "last"))
    assert set(roles) == {"first", "last"}
    assert roles["last"] == (pytest.approx(2 * math.log(2)), 2, 2)
    assert roles["first"] == (pytest.approx(math.log(1 + math.exp(9))), 0, 1)


def test_perplexity_overflows_to_infinity() -> None:
    assert perplexity(1.0) == math.e
    assert perplexity(1e4) == math.inf
