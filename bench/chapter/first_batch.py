"""One batch of an arm, trained before its study starts: finds mistakes in a model that no schema can find."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unrolled.bench import environment
from unrolled.bench.chapter import corpus, run
from unrolled.bench.chapter.corpus import Batches, Corpus
from unrolled.bench.chapter.costs import sizes
from unrolled.bench.chapter.diagnostics import embeddings
from unrolled.bench.chapter.models.recurrent import LanguageModel, Output, flatten_state
from unrolled.bench.chapter.models.registry import spec_of
from unrolled.bench.chapter.models.spec import PENALTIES, active_penalties
from unrolled.bench.chapter.regularization import penalties
from unrolled.bench.chapter.training import train as training
from unrolled.bench.chapter.training.record import Diverged
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.chapter.witnesses.model import find_cells
from unrolled.bench.errors import BadInput, require
from unrolled.bench.plugins import place
from unrolled.bench.trial import Result

WEIGHT_BYTES = 16  # a weight, its gradient and AdamW's two moments, four bytes each
LAYER_BYTES = 2000  # the least that a layer takes beside its weights, in Python's objects
Named = tuple[str, str]  # the file, "" in the zoo, and "model 'mine'"


def train_first_batch(trial: ChapterTrial) -> Result:
    """Train on a batch and evaluate on one, with all that a trial does. Raises BadInput for a mistake.

    The checks of the model alone run on the CPU, where bits can be compared. The last one is a whole trial
    on the trial's device, as `bench.chapter.run` does it, of the first batches.
    """
    started, clock = time.time(), time.perf_counter()
    environment.deterministic()
    data = corpus.load(trial)
    train, valid = (_first(split) for split in corpus.batches(trial, data))
    if not spec_of(trial.model).is_counting_model:
        with _naming(_named(trial)), run.unchanged_machine(trial.device):
            _check(trial, data, train, valid)
    return Result(trial=trial, status="done", started=started, seconds=time.perf_counter() - clock)


def _check(trial: ChapterTrial, data: Corpus, train: Batches, valid: Batches) -> None:
    """Every check of a model that is trained, on its first batches."""
    vocab, batch = len(data.vocab), next(iter(train))
    _check_memory(trial, vocab)
    with _refusing(trial, "cannot be built"):
        model = training.build_model(trial, vocab)
    _check_class(trial, model)
    for cell in find_cells(model):
        with _naming(_named(trial, "cell")):
            _check_cell(trial, cell)
    _check_update(trial, model, batch, vocab)
    _check_evaluation(trial, model, next(iter(valid))[0], vocab)
    _check_seeded(trial, batch[0], vocab)
    with _refusing(trial, "fails on its first batch"):
        _whole(replace(trial, epochs=1))


@contextmanager
def _naming(named: Named) -> Iterator[None]:
    """Gives a BadInput of the block the file and the name, where it names nothing yet."""
    try:
        yield
    except BadInput as mistake:
        if not mistake.key:
            mistake.place, mistake.key = named
        raise


def _check_memory(trial: ChapterTrial, vocab: int) -> None:
    """Compare the weights, by their number, with this machine's memory. Nothing is built for it.

    A lower bound: 2·hidden² weights a layer (input and recurrent matrix; gated cells have more), of which
    each takes WEIGHT_BYTES.
    """
    known = sizes(trial.options)
    hidden, layers = known.get("hidden", 0), known.get("layers", 1)
    weights = vocab * known.get("embedding", hidden) + layers * 2 * hidden**2
    needed = (WEIGHT_BYTES * weights + LAYER_BYTES * layers) >> 20
    there = (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) >> 20
    settings = ", ".join(f"{key} = {value:,}" for key, value in known.items())
    require(
        needed <= there,
        f"needs at least {needed:,} MiB for its weights, of which this machine has {there:,}",
        key=f"model {trial.model!r} with {settings}",
        cure="lower them",
    )


@contextmanager
def _refusing(trial: ChapterTrial, what: str) -> Iterator[None]:
    """Turns an error inside a model into one line, with the place in the user's file."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        said = isinstance(error, RuntimeError | TypeError | ValueError) and str(error)
        message = " ".join((said or f"{type(error).__name__}: {error}").split())
        file, name = _named(trial)
        raise BadInput(message, place=place(error) or file, key=f"{name} {what}") from error


def _named(trial: ChapterTrial, kind: str = "model") -> Named:
    return Path(spec_of(trial.model).file).name, f"{kind} {trial.model!r}"


def _penalty_named(name: str) -> Named:
    return Path(PENALTIES[name].file).name, f"regularizer {name!r}"


def _first(split: Batches) -> Batches:
    """The first full batch alone, or the last, shorter one where none is full."""
    return replace(split, rows=split.rows[:1], rest=split.rest[:0] if len(split.rows) else split.rest)


def _check_class(trial: ChapterTrial, model: LanguageModel) -> None:
    require(
        isinstance(model, LanguageModel),
        f"is a {type(model).__name__}",
        cure="derive it from unrolled.bench.chapter.models.recurrent.LanguageModel",
    )
    parts = dict(model.named_modules())
    for option, part in (("tying", "h_o"), ("dropout", "drop")):
        there = option not in trial.options or part in parts
        require(
            there,
            f"has the option {option!r} but no part self.{part}",
            cure="call it so, or rename the option",
        )


def _check_cell(trial: ChapterTrial, cell: nn.Module) -> None:
    """Call a cell by itself, so that a wrong shape is reported as the cell's."""
    x = torch.zeros(2, int(trial.options["hidden"]))
    copy = deepcopy(cell)  # a cell may keep something in itself, which the next check must not meet
    with _refusing(trial, "fails on its first step"):
        answer = copy(x, None)
    pair = isinstance(answer, tuple) and len(answer) == 2
    require(pair, f"returns {type(answer).__name__}", cure="return its output and its next state")
    shape = tuple(getattr(answer[0], "shape", ()))
    fits = isinstance(answer[0], Tensor) and shape == tuple(x.shape)
    require(fits, f"returns an output of shape {shape}", cure=f"{tuple(x.shape)} is needed")
    with _refusing(trial, "fails on its second step, with the state that its first returned"):
        copy(x, answer[1])


def _check_update(
    trial: ChapterTrial, model: LanguageModel, batch: tuple[Tensor, Tensor], vocab: int
) -> None:
    """Check output, loss, penalties and gradients of a batch, and that a second one can follow."""
    tokens, targets = batch
    with _refusing(trial, "fails on its first batch"), embeddings(model) as embedded:
        output = model.train()(tokens)
    require(embedded, "never calls self.embed(tokens)", cure="embed there, where detach_every is measured")
    triple = isinstance(output, tuple) and len(output) == 3
    require(triple, f"returns {type(output).__name__}", cure="return Output(logits, raw, dropped)")
    output = Output(*output)
    shape, expected = tuple(output.logits.shape), (*targets.shape, vocab)
    require(shape == expected, f"returns logits of shape {shape}", cure=f"{expected} is needed")
    attached = any(part.requires_grad for part in flatten_state(model.state))
    require(not attached, "keeps its state with its history", cure="detach it after each batch")
    loss = F.cross_entropy(output.logits.flatten(0, -2), targets.flatten())
    require(
        torch.isfinite(loss),
        f"gives a loss of {loss.item()} on the first batch",
        cure="look at its weights and divisions",
    )
    for name in active_penalties(trial.options):
        with _naming(_penalty_named(name)):
            _check_penalty(trial, name, output)
    with _refusing(trial, "has no gradient"):
        sum(penalties(trial, output).values(), loss).backward()  # type: ignore[no-untyped-call]
    for name, weight in model.named_parameters():
        taught = weight.grad is not None or not weight.requires_grad
        require(
            taught, f"gets no gradient for its parameter {name}", cure="use it, take it out or detach less"
        )
    with _refusing(trial, "fails on its second batch"):
        _check_second_batch(model, tokens)


def _check_second_batch(model: LanguageModel, tokens: Tensor) -> None:
    """Make a gradient once more, which what a model keeps of the first batch may not allow."""
    try:
        model(tokens).logits.sum().backward()
    except RuntimeError as error:
        if "backward through the graph a second time" not in str(error):
            raise
        hint = "(a state that is a tensor, or a tuple or list of them, is detached for you)"
        raise BadInput(
            "keeps something of its last batch with its history", cure=f"detach it {hint}"
        ) from error


def _check_penalty(trial: ChapterTrial, name: str, output: Output) -> None:
    """Ask a user's penalty about one output, before it is multiplied by its strength."""
    with _refusing(trial, f"and regularizer {name!r} fail on their first batch"):
        value = PENALTIES[name].function(output)
    tensor = isinstance(value, Tensor)
    what = f"a tensor of shape {tuple(value.shape)}" if tensor else "no tensor"
    require(tensor and value.shape == (), f"returns {what}", cure="return one number, as .mean() gives it")
    positive = value >= 0 and torch.isfinite(value)
    require(positive, f"gives a penalty of {value.item():g}", cure="it should be at least 0")
    require(value.requires_grad, "has no gradient", cure="compute it from the output, without detach()")


def _check_evaluation(trial: ChapterTrial, model: LanguageModel, tokens: Tensor, vocab: int) -> None:
    """Evaluate three times, the third time with another second half of the text."""
    model.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    half = tokens.shape[1] // 2
    others = torch.cat([tokens[:, :half], (tokens[:, half:] + 1) % vocab], 1)
    answers = []
    with torch.no_grad(), _refusing(trial, "fails in evaluation"):
        for asked in (tokens, tokens, others):
            model.reset()
            answers.append(model(asked).logits)
    first, again, changed = answers
    unchanged = all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())
    require(
        unchanged,
        "changes its weights or buffers in evaluation",
        cure="change them while self.training alone",
    )
    how = "forget all of the state there, drop nothing out and draw no random numbers"
    require(torch.equal(first, again), "answers differently after reset() in evaluation", cure=how)
    causal = first.dim() < 3 or torch.allclose(first[:, :half], changed[:, :half], rtol=1e-3, atol=1e-5)
    require(
        causal,
        "looks ahead: its answer to a word changes with the words after it",
        cure="let it see the word and those before it",
    )


def _check_seeded(trial: ChapterTrial, tokens: Tensor, vocab: int) -> None:
    """Compare two answers from one seed: a difference was drawn elsewhere, and no replay can repeat it."""
    first, second = (_trained_answers(trial, tokens, vocab) for _ in range(2))
    rule = "draws random numbers that the seed does not decide"
    cure = "draw them by torch (torch.rand), not by random or numpy"
    for (file, name), answer in first.items():
        require(torch.equal(answer, second[file, name]), rule, place=file, key=name, cure=cure)


def _trained_answers(trial: ChapterTrial, tokens: Tensor, vocab: int) -> dict[Named, Tensor]:
    model = training.build_model(trial, vocab).train()
    torch.manual_seed(environment.stream(trial.seed, "dropout"))
    output = model(tokens)
    own = penalties(replace(trial, alpha=0.0, beta=0.0), output)
    return {_named(trial): output.logits, **{_penalty_named(name): value for name, value in own.items()}}


def _whole(trial: ChapterTrial) -> None:
    """Run a whole trial of one batch, so that no part of a trial can fail after the training."""
    data, *splits = training.load_data(trial)
    try:
        run.train_and_measure(trial, data, *map(_first, splits))
    except Diverged:  # a result, not a mistake
        pass
    except RuntimeError as error:
        if not any(words in str(error) for words in ("dtype", "scalar type")):
            raise
        rule, key = f"{error}: gradients are measured in double precision", f"model {trial.model!r}"
        raise BadInput(
            rule, place=place(error), key=key, cure="make new tensors from what there is: x.new_zeros(…)"
        ) from error
