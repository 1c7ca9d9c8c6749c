"""LMModel1 to LMModel5: what the chapter says is the same is the same, to the bit."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from unrolled.bench.chapter.chapter_run import run_trial
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.models.elman import LMModel2
from unrolled.bench.chapter.models.registry import ZOO


def test_lmmodel1_and_lmmodel2_train_to_the_same_weights(
    make_small_trial: Callable[..., ChapterTrial],
) -> None:
    settings = {"window": 3, "target": "last", "order": "sequential", "reset": "batch"}
    lm1 = run_trial(make_small_trial("lm1", **settings))
    lm2 = run_trial(make_small_trial("lm2", **settings))
    assert lm1.fingerprints == lm2.fingerprints


def test_the_chapters_recurrence_is_relu_of_one_matrix_over_the_sum() -> None:
    """h ← ReLU(W·(h + e) + b), with numbers that can be checked by hand."""
    model = LMModel2(2, 2)
    with torch.no_grad():
        model.get_parameter("i_h.weight").copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        model.h_h.weight.copy_(torch.tensor([[1.0, -1.0], [0.5, 1.0]]))
        model.h_h.bias.copy_(torch.tensor([0.0, 1.0]))
    # token 0: W·(1, 0) + b = (1, 1.5); token 1: W·(1, 3.5) + b = (−2.5, 5) → (0, 5)
    assert model(torch.tensor([[0, 1]])).raw.tolist() == [[[1.0, 1.5], [0.0, 5.0]]]


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_lmmodel5_is_an_embedding_nn_rnn_and_a_linear(nonlinearity: str) -> None:
    torch.manual_seed(0)
    i_h = nn.Embedding(30, 8)
    rnn = nn.RNN(8, 8, 2, nonlinearity=nonlinearity, batch_first=True)
    h_o = nn.Linear(8, 30)
    torch.manual_seed(0)  # the chapter's order of creation: the same seed gives the same weights
    model = ZOO["lm5"].build_model(30, hidden=8, nonlinearity=nonlinearity)
    tokens = torch.randint(30, (4, 5))
    assert torch.equal(model(tokens).logits, h_o(rnn(i_h(tokens))[0]))
