"""Sums of nats and hits, divided once."""

import math

import pytest
import torch

from unrolled.bench.chapter.metrics import Evaluation, perplexity


def test_roles_are_sums_and_absent_roles_are_left_out() -> None:
    evaluation = Evaluation()
    evaluation.add_batch(torch.tensor([[0.0, 0.0], [9.0, 0.0]]), torch.tensor([0, 1]))
    evaluation.add_batch(torch.tensor([[0.0, 0.0]]), torch.tensor([0]))
    roles = evaluation.sum_by_role(torch.tensor([2, 0, 2]), ("first", "never", "last"))
    assert set(roles) == {"first", "last"}
    assert roles["last"] == [pytest.approx(2 * math.log(2)), 2, 2]
    assert roles["first"] == [pytest.approx(math.log(1 + math.exp(9))), 0, 1]


def test_perplexity_overflows_to_infinity() -> None:
    assert perplexity(1.0) == math.e
    assert perplexity(1e4) == math.inf
