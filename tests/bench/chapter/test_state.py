"""The hidden state that every model of the zoo carries, and tied weights."""

import pytest
import torch
from torch import Tensor

from tests.helpers.zoo import NEURAL
from unrolled.bench.chapter.models.recurrent import LanguageModel
from unrolled.bench.chapter.models.registry import ZOO

VOCAB = 11
ROWS = 3
STATEFUL = [name for name in NEURAL if name != "lm1"]  # lm1 is three words and no state
TIED = [name for name in NEURAL if "tying" in ZOO[name].options]

stateful = pytest.mark.parametrize("name", STATEFUL)


def build_small(name: str, **options: bool) -> LanguageModel:
    """Return a small model of the zoo."""
    torch.manual_seed(0)
    small = {key: 6 for key in ("hidden", "embedding") if key in ZOO[name].options}
    model: LanguageModel = ZOO[name].build_model(VOCAB, **small, **options)
    return model.double()


def draw_text(length: int) -> Tensor:
    """Return three random texts of this length."""
    return torch.randint(VOCAB, (ROWS, length), generator=torch.Generator().manual_seed(1))


@stateful
def test_a_text_in_carried_pieces_gives_what_one_long_pass_gives(name: str) -> None:
    model = build_small(name).eval()
    tokens = draw_text(12)
    output = model(tokens)
    model.reset()
    pieces = [model(piece) for piece in tokens.split([5, 1, 6], dim=1)]
    for key in ("logits", "raw", "dropped"):
        joined = torch.cat([getattr(p, key) for p in pieces], dim=1)
        torch.testing.assert_close(joined, getattr(output, key), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NEURAL)
def test_the_shapes_are_those_that_are_promised(name: str) -> None:
    """And the state is no part of the weights, which are one seed's."""
    model = build_small(name)
    initial_weights = build_small(name).state_dict()
    output = model(draw_text(3))
    assert output.logits.shape == (ROWS, 3, VOCAB)
    assert output.raw.shape == output.dropped.shape == (ROWS, 3, 6)
    model.eval().reset()
    logits = model(draw_text(3)).logits
    model.target = "last"
    model.reset()
    torch.testing.assert_close(model(draw_text(3)).logits, logits[:, -1])
    weights = model.state_dict()
    assert weights.keys() == initial_weights.keys()
    assert all(torch.equal(weights[key], initial_weights[key]) for key in weights)


@pytest.mark.parametrize("name", TIED)
def test_tied_weights_share_storage_and_their_gradient(name: str) -> None:
    tied = build_small(name, tying=True)
    loose = build_small(name, tying=False)
    assert tied.get_parameter("h_o.weight") is tied.i_h.weight
    assert loose.get_parameter("h_o.weight").data_ptr() != loose.get_parameter("i_h.weight").data_ptr()
    sizes = [sum(p.numel() for p in model.parameters()) for model in (tied, loose)]
    assert sizes[1] - sizes[0] == tied.get_parameter("h_o.weight").numel()
    tied(draw_text(3)).logits.sum().backward()
    grad = tied.get_parameter("i_h.weight").grad
    never_read = sorted(set(range(VOCAB)) - set(draw_text(3).flatten().tolist()))
    assert isinstance(grad, Tensor)
    assert grad[never_read].any()  # through the output alone
