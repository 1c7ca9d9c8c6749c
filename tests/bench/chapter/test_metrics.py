"""Sums of nats and hits, divided once."""

import math

import pytest
import torch

from unrolled.bench.chapter.metrics import Evaluation


def test_roles_are_sums_and_absent_roles_are_left_out() -> None:
    evaluation = Evaluation()
    evaluation.add_batch(torch.tensor([[0.0, 0.0], [9.0, 0.0]]), torch.tensor([0, 1]))
    evaluation.add_batch(torch.tensor([[0.0, 0.0]]), torch.tensor([0]))
    roles = evaluation.sum_by_role(torch.tensor([2, 0, 2]), ("first", "never", "last"))
    assert set(roles) == {"first", "last"}
    assert roles["last"] == [pytest.approx(2 * math.log(2)), 2, 2]
    assert roles["first"] == [pytest.approx(math.log(1 + math.exp(9))), 0, 1]


@pytest.mark.parametrize(("logit", "perplexity"), [(0.0, 2.0), (1e4, math.inf)])
def test_perplexity_overflows_to_infinity(logit: float, perplexity: float) -> None:
    evaluation = Evaluation()
    evaluation.add_batch(torch.tensor([[0.0, logit]]), torch.tensor([0]))
    assert evaluation.to_metrics()["valid_perplexity"] == pytest.approx(perplexity)
