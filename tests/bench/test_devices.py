"""A device that is not the CPU, and that every machine has: on `meta` tensors have shapes and no numbers.

Like a GPU it refuses to be mixed with the CPU, so that what a GPU would refuse is found without one.
"""

import pytest
import torch
from torch import Tensor, nn

from bench.corpus import Batches
from bench.models.elman import LMModel2
from bench.models.recurrent import LanguageModel
from bench.models.registry import ZOO, spec_of
from bench.training import loop, sgd, steps
from bench.training.train import build
from bench.trial import Trial

META = torch.device("meta")
VOCAB = 30


@pytest.fixture(autouse=True)
def an_optimizer_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fused AdamW knows CPUs and GPUs alone."""
    whole = torch.optim.AdamW
    monkeypatch.setattr(torch.optim, "AdamW", lambda *args, fused, **named: whole(*args, **named))


def results(trial: Trial, model: LanguageModel) -> list[Tensor]:
    """What is kept of two steps and a validation on a device that is not the CPU."""
    shape = (128, trial.window) if trial.target == "every" else (128,)
    batches = Batches(
        inputs=torch.zeros(128, trial.window, dtype=torch.int64),
        targets=torch.zeros(shape, dtype=torch.int64),
        positions=torch.zeros(shape, dtype=torch.int64),
        rows=torch.arange(128).view(2, 64),
        rest=torch.zeros(0, dtype=torch.int64),
        device=META,
    )
    model.to(META).reset()
    if trial.engine == "sgd":
        rule: steps.Rule = sgd.Descent(trial, model)
    else:
        rule = loop.OneCycle(loop.adam(model, trial.wd), loop.one_cycle(2, trial.lr, trial.moms))
    taken = list(steps._steps(trial, model, batches, rule))
    with rule.evaluated():
        tally = steps._validate(trial, model, batches)
    return [*(part for step in taken for part in (step.loss, step.ar, step.tar)), *tally.nats, *tally.guesses]


@pytest.mark.parametrize("name", [name for name, spec in ZOO.items() if not spec.counted])
def test_no_network_mixes_devices(name: str) -> None:
    trial = Trial(model=name, seed=0, options=spec_of(name).options, **spec_of(name).settings)
    assert {kept.device for kept in results(trial, build(trial, VOCAB))} == {META}


@pytest.mark.parametrize(
    "settings",
    [
        {"horizon": 4},
        {"horizon": 32},
        {"clip": 0.25, "reset": "never"},
        {"reset": "batch"},
        {"target": "last"},
        {"alpha": 2.0, "beta": 1.0},
        {"engine": "sgd", "stall": "average"},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["lm4", "lm6"])
def test_no_setting_mixes_devices(name: str, settings: dict[str, object]) -> None:
    spec = spec_of(name)
    trial = Trial(model=name, seed=0, options=spec.options, **{**spec.settings, **settings})
    assert {kept.device for kept in results(trial, build(trial, VOCAB))} == {META}


class BooksState(LMModel2):
    """The chapter's LMModel5 on: a first state of zeros on the CPU, whatever the device of the input."""

    def unroll(self, tokens: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        return super().unroll(tokens, torch.zeros(len(tokens), 64) if state is None else state)


class BooksMask(LMModel2):
    """A dropout whose mask is drawn on the CPU."""

    def read(self, hidden: Tensor):
        return super().read(hidden * nn.functional.dropout(torch.ones(hidden.shape), 0.4, self.training))


@pytest.mark.parametrize("wrong", [BooksState, BooksMask])
def test_a_tensor_that_is_made_on_the_cpu_is_found(wrong: type[LanguageModel]) -> None:
    with pytest.raises(RuntimeError, match="device"):
        results(Trial(model="lm4", seed=0), wrong(VOCAB))
