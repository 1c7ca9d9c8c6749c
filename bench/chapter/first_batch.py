"""Training one batch of an arm before its study starts, to find mistakes in a model that no schema finds."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unrolled.bench.chapter import chapter_run, torch_device
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.corpus import Batches, Corpus, load_corpus, make_batches
from unrolled.bench.chapter.diagnostics import collect_embeddings
from unrolled.bench.chapter.models.recurrent import LanguageModel, Output, flatten_state
from unrolled.bench.chapter.models.registry import find_model
from unrolled.bench.chapter.models.spec import PLUGIN_PENALTIES, find_active_penalties
from unrolled.bench.chapter.plugins import locate_error
from unrolled.bench.chapter.regularization import compute_penalties
from unrolled.bench.chapter.time_estimates import list_sizes
from unrolled.bench.chapter.training import train as training
from unrolled.bench.chapter.training.record import Diverged
from unrolled.bench.chapter.witnesses.model_witnesses import find_cells
from unrolled.bench.errors import BadInput, require
from unrolled.bench.trial import Result

WEIGHT_BYTES = 16  # a weight, its gradient and AdamW's two moments, four bytes each
LAYER_BYTES = 2000  # the least memory that Python's objects of a layer take beside its weights
WEIGHT_DRAWS = 5  # how many times noise is drawn before an output is said never to change

Origin = tuple[str, str]
"""Where a mistake was made: the plug-in's file ("" in the zoo), and "model 'mine'"."""


def check_first_batch(trial: ChapterTrial) -> Result:
    """Check a model on the first batch of each split. Raises BadInput for a mistake in it.

    The checks of the model alone run on the CPU, where bits can be compared. The last check is a whole trial
    of these two batches on the trial's device, as `bench.chapter.chapter_run` runs one.
    """
    torch_device.make_deterministic()
    corpus = load_corpus(trial)
    train, valid = (_take_first_batch(split) for split in make_batches(trial, corpus))
    if not find_model(trial.model).is_counting_model:
        with _naming_origin(_find_model_origin(trial)), chapter_run.check_machine_unchanged(trial.device):
            _check_model(trial, corpus, train, valid)
    return Result(trial=trial, status="done")


def _check_model(trial: ChapterTrial, corpus: Corpus, train: Batches, valid: Batches) -> None:
    """Run every check of a model that is trained, on its first batches."""
    vocab = len(corpus.vocab)
    train_batch = next(iter(train))
    valid_tokens, _ = next(iter(valid))
    _check_memory(trial, vocab)
    with _reporting_errors(trial, "cannot be built"):
        model = training.build_model(trial, vocab)
    _check_class(trial, model)
    for cell in find_cells(model):
        with _naming_origin(_find_model_origin(trial, "cell")):
            _check_cell(trial, cell)
    _check_update(trial, model, train_batch, vocab)
    _check_evaluation(trial, model, valid_tokens, vocab)
    _check_dependence(trial, valid_tokens, vocab)
    _check_random_numbers(trial, train_batch[0], vocab)
    with _reporting_errors(trial, "fails on its first batch"):
        _check_whole_trial(replace(trial, epochs=1))


@contextmanager
def _naming_origin(origin: Origin) -> Iterator[None]:
    """Add the origin to a BadInput of the block that has none."""
    try:
        yield
    except BadInput as mistake:
        if not mistake.key:
            mistake.place, mistake.key = origin
        raise


@contextmanager
def _reporting_errors(trial: ChapterTrial, failure: str) -> Iterator[None]:
    """Turn an error inside a model into a BadInput of one line, with the place in the user's file.

    `failure` says what the model fails to do, such as "cannot be built".
    """
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        if isinstance(error, RuntimeError | TypeError | ValueError) and str(error):
            message = str(error)
        file, name = _find_model_origin(trial)
        rule = " ".join(message.split())
        raise BadInput(rule, place=locate_error(error) or file, key=f"{name} {failure}") from error


def _find_model_origin(trial: ChapterTrial, decorator: str = "model") -> Origin:
    return Path(find_model(trial.model).file).name, f"{decorator} {trial.model!r}"


def _find_penalty_origin(name: str) -> Origin:
    return Path(PLUGIN_PENALTIES[name].file).name, f"regularizer {name!r}"


def _take_first_batch(split: Batches) -> Batches:
    """Return the first full batch alone, or the partial one if none is full."""
    if len(split.batch_windows):
        return replace(split, batch_windows=split.batch_windows[:1], partial_batch=split.partial_batch[:0])
    return split


def _check_memory(trial: ChapterTrial, vocab: int) -> None:
    """Compare the memory that the weights need with this machine's. Nothing is built.

    The estimate is a lower bound: 2·hidden² weights a layer (input and recurrent matrix; gated cells have
    more), each of WEIGHT_BYTES.
    """
    network_sizes = list_sizes(trial.options)
    hidden = network_sizes.get("hidden", 0)
    layers = network_sizes.get("layers", 1)
    weights = vocab * network_sizes.get("embedding", hidden) + layers * 2 * hidden**2
    needed_mib = (WEIGHT_BYTES * weights + LAYER_BYTES * layers) >> 20
    available_mib = (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) >> 20
    settings = ", ".join(f"{key} = {value:,}" for key, value in network_sizes.items())
    require(
        needed_mib <= available_mib,
        f"needs at least {needed_mib:,} MiB for its weights, of which this machine has {available_mib:,}",
        key=f"model {trial.model!r} with {settings}",
        cure="lower them",
    )


def _check_class(trial: ChapterTrial, model: LanguageModel) -> None:
    """Check that the model is a LanguageModel, and has the parts that the witnesses of its options read."""
    require(
        isinstance(model, LanguageModel),
        f"is a {type(model).__name__}",
        cure="derive it from unrolled.bench.chapter.models.recurrent.LanguageModel",
    )
    parts = dict(model.named_modules())
    for option, part in (("tying", "h_o"), ("dropout", "drop")):
        require(
            option not in trial.options or part in parts,
            f"has the option {option!r} but no part self.{part}",
            cure="call it so, or rename the option",
        )


def _check_cell(trial: ChapterTrial, cell: nn.Module) -> None:
    """Call a cell by itself, so that a wrong shape is reported as the cell's."""
    inputs = torch.zeros(2, int(trial.options["hidden"]))
    cell = deepcopy(cell)  # a cell may keep something in itself, which must not affect the next check
    with _reporting_errors(trial, "fails on its first step"):
        result = cell(inputs, None)
    is_pair = isinstance(result, tuple) and len(result) == 2
    require(is_pair, f"returns {type(result).__name__}", cure="return its output and its next state")
    output, state = result
    shape = tuple(getattr(output, "shape", ()))
    fits = isinstance(output, Tensor) and shape == tuple(inputs.shape)
    require(fits, f"returns an output of shape {shape}", cure=f"{tuple(inputs.shape)} is needed")
    with _reporting_errors(trial, "fails on its second step, with the state that its first returned"):
        cell(inputs, state)


def _check_update(
    trial: ChapterTrial, model: LanguageModel, batch: tuple[Tensor, Tensor], vocab: int
) -> None:
    """Check output, loss, penalties and gradients of a batch, and that a second batch can follow."""
    tokens, targets = batch
    with (
        _reporting_errors(trial, "fails on its first batch"),
        collect_embeddings(model) as embeddings,
    ):
        output = model.train()(tokens)
    require(embeddings, "never calls self.embed(tokens)", cure="embed there, where detach_every is measured")
    is_triple = isinstance(output, tuple) and len(output) == 3
    require(is_triple, f"returns {type(output).__name__}", cure="return Output(logits, raw, dropped)")
    output = Output(*output)
    shape = tuple(output.logits.shape)
    expected = (*targets.shape, vocab)
    require(shape == expected, f"returns logits of shape {shape}", cure=f"{expected} is needed")
    is_attached = any(tensor.requires_grad for tensor in flatten_state(model.state))
    require(not is_attached, "keeps its state with its history", cure="detach it after each batch")
    loss = F.cross_entropy(output.logits.flatten(0, -2), targets.flatten())
    require(
        torch.isfinite(loss),
        f"gives a loss of {loss.item()} on the first batch",
        cure="look at its weights and divisions",
    )
    for name in find_active_penalties(trial.options):
        with _naming_origin(_find_penalty_origin(name)):
            _check_penalty(trial, name, output)
    with _reporting_errors(trial, "has no gradient"):
        sum(compute_penalties(trial, output).values(), loss).backward()  # type: ignore[no-untyped-call]
    for name, weight in model.named_parameters():
        require(
            weight.grad is not None or not weight.requires_grad,
            f"gets no gradient for its parameter {name}",
            cure="use it, take it out or detach less",
        )
    with _reporting_errors(trial, "fails on its second batch"):
        _check_second_batch(model, tokens)


def _check_second_batch(model: LanguageModel, tokens: Tensor) -> None:
    """Compute a gradient again, which fails if the model keeps the history of the first batch."""
    try:
        model(tokens).logits.sum().backward()
    except RuntimeError as error:
        if "backward through the graph a second time" not in str(error):
            raise
        cure = "detach it (a state that is a tensor, or a tuple or list of them, is detached for you)"
        raise BadInput("keeps something of its last batch with its history", cure=cure) from error


def _check_penalty(trial: ChapterTrial, name: str, output: Output) -> None:
    """Check the value of a user's penalty for one output, before it is multiplied by its strength."""
    with _reporting_errors(trial, f"and regularizer {name!r} fail on their first batch"):
        value = PLUGIN_PENALTIES[name].function(output)
    is_tensor = isinstance(value, Tensor)
    description = f"a tensor of shape {tuple(value.shape)}" if is_tensor else "no tensor"
    cure = "return one number, as .mean() gives it"
    require(is_tensor and value.shape == (), f"returns {description}", cure=cure)
    is_positive = value >= 0 and torch.isfinite(value)
    require(is_positive, f"gives a penalty of {value.item():g}", cure="it should be at least 0")
    require(value.requires_grad, "has no gradient", cure="compute it from the output, without detach()")


def _check_evaluation(trial: ChapterTrial, model: LanguageModel, tokens: Tensor, vocab: int) -> None:
    """Check that evaluation changes no weight, repeats exactly, and sees no word that is to be predicted."""
    model.eval()
    state_before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad(), _reporting_errors(trial, "fails in evaluation"):
        first_logits, repeated_logits = (_evaluate(model, tokens) for _ in range(2))
    state_after = model.state_dict()
    require(
        all(torch.equal(state_before[name], state_after[name]) for name in state_after),
        "changes its weights or buffers in evaluation",
        cure="change them while self.training alone",
    )
    cure = "forget all of the state there, drop nothing out and draw no random numbers"
    rule = "answers differently after reset() in evaluation"
    require(torch.equal(first_logits, repeated_logits), rule, cure=cure)
    with torch.no_grad(), _reporting_errors(trial, "fails in evaluation"):
        _check_foresight(model, tokens, (tokens + 1) % vocab, first_logits)


def _evaluate(model: LanguageModel, tokens: Tensor) -> Tensor:
    """Return the logits of tokens (rows, window), from an empty state."""
    model.reset()
    logits: Tensor = model(tokens).logits
    return logits


def _check_foresight(model: LanguageModel, tokens: Tensor, changed_tokens: Tensor, logits: Tensor) -> None:
    """Check that a word's logits change neither with the words after it nor with other rows.

    A row may begin with the word that another has to predict.
    """
    is_close = partial(torch.allclose, rtol=1e-3, atol=1e-5)
    if logits.dim() == 3:
        half = tokens.shape[1] // 2
        changed_logits = _evaluate(model, torch.cat([tokens[:, :half], changed_tokens[:, half:]], 1))
        require(
            is_close(logits[:, :half], changed_logits[:, :half]),
            "looks ahead: its answer to a word changes with the words after it",
            cure="let it see the word and those before it",
        )
    for row in (0, len(tokens) - 1):
        others_changed = changed_tokens.clone()
        others_changed[row] = tokens[row]
        require(
            is_close(logits[row], _evaluate(model, others_changed)[row]),
            "mixes the rows of a batch, which are different places of the text",
            cure="keep the first axis apart (batch_first=True)",
        )


def _check_dependence(trial: ChapterTrial, tokens: Tensor, vocab: int) -> None:
    """Check that the output changes with the input, and with the batch before it if a state is kept.

    If nothing changes, the check is repeated with noise on the weights, up to WEIGHT_DRAWS times: a last
    layer that starts at zero, or a dead ReLU, hides an effect that training would show.
    """
    changes_with_input = vocab == 1
    changes_with_state = vocab == 1
    changed_tokens = (tokens + 1) % vocab
    for draw in range(WEIGHT_DRAWS):
        model = training.build_model(trial, vocab).eval()
        generator = torch.Generator().manual_seed(draw)
        with torch.no_grad(), _reporting_errors(trial, "fails in evaluation"):
            for weight in filter(torch.is_floating_point, model.parameters()):
                weight.add_(torch.randn(weight.shape, generator=generator), alpha=draw / WEIGHT_DRAWS)
            first_logits = model(tokens).logits
            keeps_state = bool(flatten_state(model.state))
            later_logits = model(tokens).logits
            model.reset()
            changes_with_input |= not torch.equal(first_logits, model(changed_tokens).logits)
            changes_with_state |= not (keeps_state and torch.equal(later_logits, model(tokens).logits))
        if changes_with_input and changes_with_state:
            return
    cure = "use it: it may be overwritten, or multiplied by 0"
    require(changes_with_input, "gives the same output whatever it reads", cure=cure)
    cure = "start from the state that it gets, or return None for it"
    require(changes_with_state, "keeps a state that changes no output", cure=cure)


def _check_random_numbers(trial: ChapterTrial, tokens: Tensor, vocab: int) -> None:
    """Check that two outputs of one seed are equal: otherwise numbers are drawn that no seed repeats."""
    outputs = _compute_training_outputs(trial, tokens, vocab)
    repeated_outputs = _compute_training_outputs(trial, tokens, vocab)
    rule = "draws random numbers that the seed does not decide"
    cure = "draw them by torch (torch.rand), not by random or numpy"
    for origin, output in outputs.items():
        file, name = origin
        require(torch.equal(output, repeated_outputs[origin]), rule, place=file, key=name, cure=cure)


def _compute_training_outputs(trial: ChapterTrial, tokens: Tensor, vocab: int) -> dict[Origin, Tensor]:
    """Return the logits of a new model in training mode, and the values of the plugged-in penalties."""
    model = training.build_model(trial, vocab).train()
    torch.manual_seed(trial.derive_seed("dropout"))
    output = model(tokens)
    penalties = compute_penalties(replace(trial, alpha=0.0, beta=0.0), output)
    outputs = {_find_model_origin(trial): output.logits}
    return outputs | {_find_penalty_origin(name): value for name, value in penalties.items()}


def _check_whole_trial(trial: ChapterTrial) -> None:
    """Run a whole trial of one batch, so that no part of a trial can fail after the training."""
    corpus, train, valid = training.load_data(trial)
    try:
        chapter_run.train_and_measure(trial, corpus, _take_first_batch(train), _take_first_batch(valid))
    except Diverged:  # divergence is a result, not a mistake
        pass
    except RuntimeError as error:
        if not any(words in str(error) for words in ("dtype", "scalar type")):
            raise
        raise BadInput(
            f"{error}: gradients are measured in double precision",
            place=locate_error(error),
            key=f"model {trial.model!r}",
            cure="make new tensors from what there is: x.new_zeros(…)",
        ) from error
