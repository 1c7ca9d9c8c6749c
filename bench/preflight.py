"""One batch of an arm before its study starts: what no schema can see is refused before a minute is spent."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import corpus, environment, run
from bench.corpus import Batches
from bench.models.recurrent import LanguageModel, Output, State, Unrolled
from bench.models.registry import PENALTIES, spec_of, strengths
from bench.plugins import place
from bench.regularization import penalties
from bench.training import train as training
from bench.training.engine import Diverged
from bench.trial import BadInput, Result, Trial

LAYER_BYTES = 2000
"""What a layer takes beside its weights, at least: Python's objects."""


def rehearse(trial: Trial) -> Result:
    """Train on a batch and evaluate on one, with all that a trial does. Raises BadInput for a mistake.

    What is asked of a model by itself is asked on the CPU: the answers are those of its code, and bits can be
    compared. Last, the trial's device does all of a trial, as `bench.run` does it, on the first batches.
    """
    started, clock = time.time(), time.perf_counter()
    environment.deterministic()
    data = corpus.load(trial)
    train, valid = (_first(split) for split in corpus.batches(trial, data))
    if not spec_of(trial.model).counted:
        _check_memory(trial, len(data.vocab))
        with _refusing(trial, "cannot be built"):
            model = training.build(trial, len(data.vocab))
        _check_class(trial, model)
        _check_cells(trial, model)
        batch = next(iter(train))
        _train_one(trial, model, batch, len(data.vocab))
        _evaluate_one(trial, model, next(iter(valid))[0], len(data.vocab))
        _check_seeded(trial, batch[0], len(data.vocab))
        with _refusing(trial, "fails on its first batch"):
            _whole(replace(trial, epochs=1))
    return Result(trial=trial, status="done", started=started, seconds=time.perf_counter() - clock)


def _check_memory(trial: Trial, vocab: int) -> None:
    """Raises BadInput where the weights alone are more than this machine's memory. Nothing is built for it.

    A lower bound: to every layer a matrix from the one before and one from itself, of which gated cells have
    more, and to every weight its gradient and AdamW's two moments, of four bytes each.
    """
    sizes = {
        key: int(trial.options[key]) for key in ("hidden", "embedding", "layers") if key in trial.options
    }
    hidden, layers = sizes.get("hidden", 0), sizes.get("layers", 1)
    weights = vocab * sizes.get("embedding", hidden) + layers * 2 * hidden**2
    needed = (16 * weights + LAYER_BYTES * layers) >> 20
    there = (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) >> 20
    if needed > there:
        settings = ", ".join(f"{key} = {value:,}" for key, value in sizes.items())
        raise BadInput(
            f"model {trial.model!r} with {settings}: needs at least {needed:,} MiB for its weights, of which "
            f"this machine has {there:,}: lower them"
        )


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
        where = place(error) or _file(spec_of(trial.model).file)
        raise BadInput(f"{where}model {trial.model!r} {what}: {message}") from error


def _file(path: str) -> str:
    """'my_cell.py: ' for what comes from a user's file."""
    return f"{Path(path).name}: " if path else ""


def _named(trial: Trial, kind: str = "model") -> str:
    """How a complaint about the trial's model begins."""
    return f"{_file(spec_of(trial.model).file)}{kind} {trial.model!r}"


def _penalty_named(name: str) -> str:
    return f"{_file(PENALTIES[name].file)}regularizer {name!r}"


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
    name = _named(trial)
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
        x, name = torch.zeros(2, int(trial.options["hidden"])), _named(trial, "cell")
        copy = deepcopy(cell)  # what a cell hides in itself is not to reach the next check
        with _refusing(trial, "fails on its first step"):
            answer = copy(x, None)
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise BadInput(f"{name} returns {type(answer).__name__}: return its output and its next state")
        if not isinstance(answer[0], Tensor) or answer[0].shape != x.shape:
            shape = tuple(getattr(answer[0], "shape", ()))
            raise BadInput(f"{name} returns an output of shape {shape}; {tuple(x.shape)} is needed")
        with _refusing(trial, "fails on its second step, with the state that its first returned"):
            copy(x, answer[1])


def _train_one(trial: Trial, model: LanguageModel, batch: tuple[Tensor, Tensor], vocab: int) -> None:
    tokens, targets = batch
    name = _named(trial)
    with _refusing(trial, "fails on its first batch"), _listening(model) as embedded:
        output = model.train()(tokens)
    if not embedded:
        raise BadInput(f"{name} never calls self.embed(tokens): embed there, where detach_every is measured")
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
        raise BadInput(
            f"{name} gives a loss of {loss.item()} on the first batch: look at its weights and divisions"
        )
    _check_penalties(trial, output)
    with _refusing(trial, "has no gradient"):
        sum(penalties(trial, output).values(), loss).backward()  # type: ignore[no-untyped-call]
    unused = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    if unused:
        raise BadInput(
            f"{name} gets no gradient for its parameter {unused[0]}: use it, take it out or detach less"
        )
    try:
        model(tokens).logits.sum().backward()
    except RuntimeError as error:
        if "backward through the graph a second time" not in str(error):
            raise
        raise BadInput(
            f"{name} keeps something of its last batch with its history: detach it "
            "(a state that is a tensor, or a tuple or list of them, is detached for you)"
        ) from error


def _check_penalties(trial: Trial, output: Output) -> None:
    """The user's own penalties on one output, before they are multiplied by their strengths."""
    for name in strengths(trial.options):
        who = _penalty_named(name)
        with _refusing(trial, f"and regularizer {name!r} fail on their first batch"):
            value = PENALTIES[name].function(output)
        if not isinstance(value, Tensor) or value.shape != ():
            what = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else "no tensor"
            raise BadInput(f"{who} returns {what}: return one number, as .mean() gives it")
        if not value >= 0 or not torch.isfinite(value):
            raise BadInput(f"{who} gives a penalty of {value.item():g}: it should be at least 0")
        if not value.requires_grad:
            raise BadInput(f"{who} has no gradient: compute it from the output, without detach()")


def _evaluate_one(trial: Trial, model: LanguageModel, tokens: Tensor, vocab: int) -> None:
    model.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    half = tokens.shape[1] // 2
    others = torch.cat([tokens[:, :half], (tokens[:, half:] + 1) % vocab], 1)
    with torch.no_grad(), _refusing(trial, "fails in evaluation"):
        answers = []
        for asked in (tokens, tokens, others):
            model.reset()
            answers.append(model(asked).logits)
    first, again, changed = answers
    name = _named(trial)
    if any(not torch.equal(before[key], tensor) for key, tensor in model.state_dict().items()):
        raise BadInput(
            f"{name} changes its weights or buffers in evaluation: change them while self.training alone"
        )
    if not torch.equal(first, again):
        raise BadInput(
            f"{name} answers differently after reset() in evaluation: forget all of the state there, "
            "drop nothing out and draw no random numbers"
        )
    if first.dim() == 3 and not torch.allclose(first[:, :half], changed[:, :half], rtol=1e-3, atol=1e-5):
        raise BadInput(
            f"{name} looks ahead: its answer to a word changes with the words after it; "
            "let it see the word and those before it"
        )


def _check_seeded(trial: Trial, tokens: Tensor, vocab: int) -> None:
    """Ask twice from one seed: what differs was drawn from elsewhere, and no replay can repeat it."""
    first, second = (_trained_answers(trial, tokens, vocab) for _ in range(2))
    for who, answer in first.items():
        if not torch.equal(answer, second[who]):
            raise BadInput(
                f"{who} draws random numbers that the seed does not decide: "
                "draw them by torch (torch.rand), not by random or numpy"
            )


def _trained_answers(trial: Trial, tokens: Tensor, vocab: int) -> dict[str, Tensor]:
    model = training.build(trial, vocab).train()
    torch.manual_seed(environment.stream(trial.seed, "dropout"))
    output = model(tokens)
    own = {_penalty_named(name): value for name, value in penalties(trial, output).items()}
    return {_named(trial): output.logits, **own}


def _whole(trial: Trial) -> None:
    """All that happens in a trial, so that none of it can fail once the training is over."""
    data, *splits = training.load(trial)
    try:
        run.train_and_measure(trial, data, *map(_first, splits))
    except Diverged:  # an answer, not a mistake
        pass
    except RuntimeError as error:
        if "dtype" not in str(error):
            raise
        raise BadInput(
            f"{place(error)}model {trial.model!r}: {error}: gradients are measured in double precision, "
            "so make new tensors from what there is: x.new_zeros(…)"
        ) from error


def _attached(state: State) -> bool:
    if isinstance(state, Tensor):
        return state.requires_grad
    return any(_attached(part) for part in state) if isinstance(state, tuple | list) else False
