"""Train the model of a finished trial again.

The ledger keeps no weights. A trial is a function of its settings, so that training it again gives the same
model; its fingerprint shows whether the two are equal to the last bit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.models.registry import find_model
from unrolled.bench.errors import BadInput, require
from unrolled.bench.trial import Result

if TYPE_CHECKING:
    from unrolled.bench.chapter.corpus import Batches, Corpus


@dataclass(frozen=True)
class RetrainedModel:
    """A retrained model in a fastai Learner. `difference` says where its weights first differ, or is ""."""

    trial: ChapterTrial
    learner: Any
    corpus: "Corpus"
    valid: "Batches"
    fingerprint: str
    difference: str

    def __str__(self) -> str:
        """Return a line that says whether the weights equal the weights of the ledger's result."""
        weights = f"trial {self.trial.id}, trained again: weights {self.fingerprint[:12]}"
        if not self.difference:
            return f"{weights}, the ledger's to the bit"
        return (
            f"{weights} are NOT the ledger's: they differ from {self.difference} (another machine or torch?)"
        )


def retrain_model(result: Result) -> RetrainedModel:
    """Train a finished trial again in this process. Raises BadInput if its code or text has changed."""
    trial = _check_retrainable(result)
    import torch  # importing torch takes seconds, and the checks above do not need it

    from unrolled.bench.chapter import torch_device
    from unrolled.bench.chapter.diagnostics import fingerprint_tensors
    from unrolled.bench.chapter.training import learner
    from unrolled.bench.chapter.training import train as training
    from unrolled.bench.chapter.training.record import TrainingRecord, find_first_difference

    with preserve_torch_state():
        torch_device.make_deterministic()
        corpus, train, valid = training.load_data(trial)
        model = training.build_model(trial, len(corpus.vocab))
        device = torch_device.select_device(trial.device)
        if trial.engine == "learner":
            record = TrainingRecord()
            record_callback = learner.RecordCallback(record, trial, device)
            torch.manual_seed(trial.derive_seed("dropout"))
            learn = learner.build_learner(trial, model, train, valid, device, [record_callback])
            learner.fit_learner(learn, trial)
            learn.remove_cb(record_callback)
        else:
            record = training.train_model(trial, model, train, valid)
            learn = learner.build_learner(trial, model, train, valid, device, [])
    learn.dls.vocab = list(corpus.vocab)
    fingerprint = fingerprint_tensors(dict(model.named_parameters()))
    difference = ""
    if fingerprint != result.fingerprints["weights"]:
        difference = find_first_difference(result.trace, record.trace.to_dict()) or "the last step on"
    return RetrainedModel(trial, learn, corpus, valid, fingerprint, difference)


def _check_retrainable(result: Result) -> ChapterTrial:
    """Return the trial of a result. Raises BadInput if the same model cannot be trained again."""
    trial = result.trial
    place = f"trial {trial.id}"
    if not isinstance(trial, ChapterTrial):
        cure = "only models of the chapter can be trained again here"
        raise BadInput("is of a program", place=place, cure=cure)
    rule = f"{trial.model} is fitted by counting"
    is_trained = not find_model(trial.model).is_counting_model
    require(is_trained, rule, place=place, cure="there is nothing to train")
    require(result.is_done, f"has no model, as its training did not finish: {result.reason}", place=place)
    is_unchanged = trial.identify().id == trial.id
    require(is_unchanged, "its code or text have changed since", place=place, cure="run its study again")
    return trial


def continue_text(retrained: RetrainedModel, count: int) -> tuple[list[str], list[str]]:
    """Return the first window of the validation text, and the model's continuation of `count` tokens.

    Each token is the most probable one after the last `window` tokens: see `generate_tokens`.
    """
    from unrolled.bench.chapter.diagnostics import generate_tokens

    model = retrained.learner.model
    prompt = retrained.valid.all_inputs[retrained.valid.window_order[0]]  # (window,)
    tokens = generate_tokens(model, prompt, count)
    model.reset()
    return retrained.corpus.decode(prompt), retrained.corpus.decode(tokens)


@contextmanager
def preserve_torch_state() -> Iterator[None]:
    """Restore the number of torch's threads and its deterministic mode at the end of the block."""
    import torch

    threads = torch.get_num_threads()
    mode = torch.get_deterministic_debug_mode()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(mode)
