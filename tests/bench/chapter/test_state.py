"""The hidden state that every model of the zoo carries, and tied weights."""

import pytest
import torch
from torch import Tensor

from unrolled.bench.chapter.models.recurrent import LanguageModel
from unrolled.bench.chapter.models.registry import ZOO

VOCAB, ROWS = 11, 3
NEURAL = [name for name, spec in ZOO.items() if not spec.is_counting_model]
STATEFUL = [name for name in NEURAL if name != "lm1"]  # lm1 is three words and no state
TIED = [name for name in NEURAL if "tying" in ZOO[name].options]

stateful = pytest.mark.parametrize("name", STATEFUL)


def built(name: str, **options: bool) -> LanguageModel:
    torch.manual_seed(0)
    small = {key: 6 for key in ("hidden", "embedding") if key in ZOO[name].options}
    model: LanguageModel = ZOO[name].build_model(VOCAB, **small, **options)
    return model.double()


def text(length: int, rows: int = ROWS) -> Tensor:
    return torch.randint(VOCAB, (rows, length), generator=torch.Generator().manual_seed(1))


@stateful
def test_a_text_in_carried_pieces_gives_what_one_long_pass_gives(name: str) -> None:
    model, tokens = built(name).eval(), text(12)
    whole = model(tokens)
    model.reset()
    pieces = [model(piece) for piece in tokens.split([5, 1, 6], dim=1)]
    for key in ("logits", "raw", "dropped"):
        joined = torch.cat([getattr(p, key) for p in pieces], dim=1)
        torch.testing.assert_close(joined, getattr(whole, key), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NEURAL)
def test_the_shapes_are_those_that_are_promised(name: str) -> None:
    """And the state is no part of the weights, which are one seed's."""
    model, same = built(name), built(name).state_dict()
    output = model(text(3))
    assert output.logits.shape == (ROWS, 3, VOCAB)
    assert output.raw.shape == output.dropped.shape == (ROWS, 3, 6)
    model.eval().reset()
    every = model(text(3)).logits
    model.target = "last"
    model.reset()
    torch.testing.assert_close(model(text(3)).logits, every[:, -1])
    weights = model.state_dict()
    assert weights.keys() == same.keys() and all(torch.equal(weights[key], same[key]) for key in same)


@pytest.mark.parametrize("name", TIED)
def test_tied_weights_share_storage_and_their_gradient(name: str) -> None:
    tied, loose = built(name, tying=True), built(name, tying=False)
    assert tied.get_parameter("h_o.weight") is tied.i_h.weight
    assert loose.get_parameter("h_o.weight").data_ptr() != loose.i_h.weight.data_ptr()
    sizes = [sum(p.numel() for p in model.parameters()) for model in (tied, loose)]
    assert sizes[1] - sizes[0] == tied.get_parameter("h_o.weight").numel()
    tied(text(3)).logits.sum().backward()
    seen = tied.i_h.weight.grad
    never_read = sorted(set(range(VOCAB)) - set(text(3).flatten().tolist()))
    assert isinstance(seen, Tensor) and seen[never_read].any()  # through the output alone
