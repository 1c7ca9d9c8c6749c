"""One batch of an arm before its study starts: what no schema can see is refused before a minute is spent."""

import time

import torch
import torch.nn.functional as F

from bench import corpus, environment
from bench.models.recurrent import LanguageModel, Output, State
from bench.models.registry import spec_of
from bench.run import build
from bench.trial import BadInput, Result, Trial


def rehearse(trial: Trial) -> Result:
    """Run one training and one validation batch. Raises BadInput, naming what the model does wrong."""
    started, clock = time.time(), time.perf_counter()
    environment.deterministic()
    data = corpus.load(trial)
    train, valid = corpus.batches(trial, data)
    if not spec_of(trial.model).counted:
        try:
            model = build(trial, len(data.vocab))
        except (TypeError, ValueError, RuntimeError) as error:
            raise BadInput(f"model {trial.model!r} cannot be built: {error}") from error
        _train_one(trial, model, next(iter(train)), len(data.vocab))
        _evaluate_one(trial, model, next(iter(valid))[0])
    return Result(trial=trial, status="done", started=started, seconds=time.perf_counter() - clock)


def _train_one(
    trial: Trial, model: LanguageModel, batch: tuple[torch.Tensor, torch.Tensor], vocab: int
) -> None:
    tokens, targets = batch
    name = f"model {trial.model!r}"
    if not callable(getattr(model, "reset", None)):
        raise BadInput(f"{name} has no reset(): define it, so that the hidden state can be forgotten")
    output = model.train()(tokens)
    if not isinstance(output, tuple) or len(output) != 3:
        raise BadInput(f"{name} returns {type(output).__name__}: return Output(logits, raw, dropped)")
    output = Output(*output)
    expected = (*targets.shape, vocab)
    if tuple(output.logits.shape) != expected:
        raise BadInput(f"{name} returns logits of shape {tuple(output.logits.shape)}; {expected} is needed")
    if _attached(model.state):
        raise BadInput(f"{name} keeps its state with its history: detach it after each batch")
    loss = F.cross_entropy(output.logits.flatten(0, -2), targets.flatten())
    if not torch.isfinite(loss):
        raise BadInput(f"{name} gives a loss of {loss.item()} on the first batch")
    loss.backward()  # type: ignore[no-untyped-call]
    unused = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    if unused:
        raise BadInput(f"{name} never uses its parameter {unused[0]}: use it or take it out")


def _evaluate_one(trial: Trial, model: LanguageModel, tokens: torch.Tensor) -> None:
    model.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        model.reset()
        first = model(tokens).logits
        model.reset()
        again = model(tokens).logits
    name = f"model {trial.model!r}"
    if any(not torch.equal(before[key], tensor) for key, tensor in model.state_dict().items()):
        raise BadInput(f"{name} changes its weights or buffers in evaluation")
    if not torch.equal(first, again):
        raise BadInput(
            f"{name} answers differently after reset() in evaluation: forget all of the state there"
        )


def _attached(state: State) -> bool:
    if isinstance(state, torch.Tensor):
        return state.requires_grad
    return any(_attached(part) for part in state) if isinstance(state, tuple | list) else False
