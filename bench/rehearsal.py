"""One batch of an arm before its study starts: what no schema can see is refused before a minute is spent."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import corpus, environment, run
from bench.corpus import Batches
from bench.models.recurrent import LanguageModel, Output, State, Unrolled
from bench.models.registry import spec_of, strengths
from bench.plugins import place
from bench.regularization import penalties
from bench.training.engine import Diverged
from bench.trial import BadInput, Result, Trial


def rehearse(trial: Trial) -> Result:
    """Train on a batch and evaluate on one, with all that a trial does. Raises BadInput for a mistake."""
    started, clock = time.time(), time.perf_counter()
    environment.deterministic()
    data = corpus.load(trial)
    train, valid = (_first(split) for split in corpus.batches(trial, data))
    if not spec_of(trial.model).counted:
        with _refusing(trial, "cannot be built"):
            model = run.build(trial, len(data.vocab))
        _check_class(trial, model)
        _check_cells(trial, model)
        _train_one(trial, model, next(iter(train)), len(data.vocab))
        _evaluate_one(trial, model, next(iter(valid))[0])
        with _refusing(trial, "fails on its first batch"):
            _whole(replace(trial, epochs=1), data, train, valid)
    return Result(trial=trial, status="done", started=started, seconds=time.perf_counter() - clock)


@contextmanager
def _refusing(trial: Trial, what: str) -> Iterator[None]:
    """Turn an error inside of a model into one line, with the place in the user's file."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        said = isinstance(error, RuntimeError | TypeError | ValueError) and str(error)
        message = " ".join((said or f"{type(error).__name__}: {error}").split())
        raise BadInput(f"model {trial.model!r} {what}: {place(error)}{message}") from error


@contextmanager
def _listening(model: LanguageModel) -> Iterator[list[Tensor]]:
    """What the model embeds in the meantime."""
    embed, seen = model.embed, []

    def listening(tokens: Tensor) -> Tensor:
        seen.append(tokens)
        return embed(tokens)

    model.embed = listening  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        del model.embed


def _first(split: Batches) -> Batches:
    """A split's first batch alone."""
    return replace(split, rows=split.rows[:1], rest=split.rest[:0] if len(split.rows) else split.rest)


def _check_class(trial: Trial, model: LanguageModel) -> None:
    name = f"model {trial.model!r}"
    if not callable(getattr(model, "reset", None)):
        raise BadInput(f"{name} has no reset(): define it, so that the hidden state can be forgotten")
    if not isinstance(model, LanguageModel):
        raise BadInput(
            f"{name} is a {type(model).__name__}: derive it from bench.models.recurrent.LanguageModel"
        )
    parts = dict(model.named_modules())
    for option, part in (("tying", "h_o"), ("dropout", "drop")):
        if option in trial.options and part not in parts:
            raise BadInput(
                f"{name} has the option {option!r} but no part self.{part}: call it so, or rename the option"
            )


def _check_cells(trial: Trial, model: LanguageModel) -> None:
    """A cell by itself, where a wrong shape still has its own name."""
    for cell in (cell for part in model.modules() if isinstance(part, Unrolled) for cell in part.cells):
        x = torch.zeros(2, int(trial.options["hidden"]))
        with _refusing(trial, "fails on its first step"):
            answer = deepcopy(cell)(x, None)  # what a cell hides in itself is not to reach the next check
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise BadInput(
                f"cell {trial.model!r} returns {type(answer).__name__}: return its output and its next state"
            )
        if not isinstance(answer[0], Tensor) or answer[0].shape != x.shape:
            shape = tuple(getattr(answer[0], "shape", ()))
            raise BadInput(
                f"cell {trial.model!r} returns an output of shape {shape}; {tuple(x.shape)} is needed"
            )


def _train_one(trial: Trial, model: LanguageModel, batch: tuple[Tensor, Tensor], vocab: int) -> None:
    tokens, targets = batch
    name = f"model {trial.model!r}"
    with _refusing(trial, "fails on its first batch"), _listening(model) as embedded:
        output = model.train()(tokens)
    if not embedded:
        raise BadInput(f"{name} never calls self.embed(tokens): embed there, where the horizon is measured")
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
    penalty = _penalty(trial, output)
    (loss + penalty).backward()  # type: ignore[no-untyped-call]
    unused = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    if unused:
        raise BadInput(f"{name} never uses its parameter {unused[0]}: use it or take it out")
    try:
        model(tokens).logits.sum().backward()
    except RuntimeError as error:
        if "backward through the graph a second time" not in str(error):
            raise
        raise BadInput(f"{name} keeps something of its last batch with its history: detach it") from error


def _penalty(trial: Trial, output: Output) -> Tensor:
    """The user's own penalties on one output, each of them checked."""
    total = torch.zeros(())
    for name in strengths(trial.options):
        with _refusing(trial, f"and regularizer {name!r} fail on their first batch"):
            value = penalties(replace(trial, options={name: trial.options[name]}), output)[name]
        if not isinstance(value, Tensor) or value.shape != ():
            what = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else "no tensor"
            raise BadInput(f"regularizer {name!r} returns {what}: return one number, as .mean() gives it")
        if not value >= 0 or not torch.isfinite(value):
            raise BadInput(
                f"regularizer {name!r} gives a penalty of {value.item():g}: it should be at least 0"
            )
        if not value.requires_grad:
            raise BadInput(
                f"regularizer {name!r} has no gradient: compute it from the output, without detach()"
            )
        total = total + value
    return total


def _evaluate_one(trial: Trial, model: LanguageModel, tokens: Tensor) -> None:
    model.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad(), _refusing(trial, "fails in evaluation"):
        model.reset()
        first = model(tokens).logits
        model.reset()
        again = model(tokens).logits
    name = f"model {trial.model!r}"
    if any(not torch.equal(before[key], tensor) for key, tensor in model.state_dict().items()):
        raise BadInput(f"{name} changes its weights or buffers in evaluation")
    if not torch.equal(first, again):
        raise BadInput(
            f"{name} answers differently after reset() in evaluation: forget all of the state there, "
            "and drop nothing out"
        )


def _whole(trial: Trial, data: corpus.Corpus, train: Batches, valid: Batches) -> None:
    """All that happens in a trial, so that none of it can fail once the training is over."""
    try:
        run.train_and_measure(trial, data, train, valid)
    except Diverged:  # an answer, not a mistake
        pass
    except RuntimeError as error:
        if "dtype" not in str(error):
            raise
        raise BadInput(
            f"model {trial.model!r}: {place(error)}{error}: gradients are measured in double precision, "
            "so make new tensors from what there is: x.new_zeros(…)"
        ) from error


def _attached(state: State) -> bool:
    if isinstance(state, Tensor):
        return state.requires_grad
    return any(_attached(part) for part in state) if isinstance(state, tuple | list) else False
