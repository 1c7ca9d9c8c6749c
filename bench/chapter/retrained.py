"""A finished trial's model, trained again.

The ledger keeps no weights. A trial is a function of its settings, so the model is trained again, and its
fingerprint shows whether it is the same to the last bit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unrolled.bench.chapter.models.registry import spec_of
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.errors import BadInput, require
from unrolled.bench.trial import Result

if TYPE_CHECKING:
    from unrolled.bench.chapter.corpus import Batches, Corpus


@dataclass(frozen=True)
class Retrained:
    """A retrained model in a fastai Learner; `difference` is "" if its weights equal the stored ones."""

    trial: ChapterTrial
    learner: Any
    corpus: "Corpus"
    valid: "Batches"
    fingerprint: str
    difference: str

    def __str__(self) -> str:
        """One line: whether its weights are those of the ledger's result."""
        weights = f"trial {self.trial.id}, trained again: weights {self.fingerprint[:12]}"
        if not self.difference:
            return f"{weights}, the ledger's to the bit"
        return (
            f"{weights} are NOT the ledger's: they differ from {self.difference} (another machine or torch?)"
        )


def retrained(result: Result) -> Retrained:
    """Train a finished trial again in this process. Raises BadInput if its code or text have changed."""
    trial = result.trial
    place, cure = f"trial {trial.id}", "only models of the chapter can be trained again here"
    if not isinstance(trial, ChapterTrial):
        raise BadInput("is of a program", place=place, cure=cure)
    counts = spec_of(trial.model).is_counting_model
    require(not counts, f"{trial.model} is fitted by counting", place=place, cure="there is nothing to train")
    require(result.done, f"has no model, as its training did not finish: {result.reason}", place=place)
    same = trial.identify().id == trial.id
    require(same, "its code or text have changed since", place=place, cure="run its study again")
    import torch  # seconds, which the refusals above do not take

    from unrolled.bench import environment
    from unrolled.bench.chapter.diagnostics import fingerprint
    from unrolled.bench.chapter.training import learner as engine
    from unrolled.bench.chapter.training import train as training
    from unrolled.bench.chapter.training.record import TrainingRecord, find_first_difference

    with as_found():
        environment.deterministic()
        data, train, valid = training.load_data(trial)
        model, device = training.build_model(trial, len(data.vocab)), environment.device(trial.device)
        if trial.engine == "learner":
            record = TrainingRecord()
            watch = engine.RecordCallback(record, trial, device)
            torch.manual_seed(environment.stream(trial.seed, "dropout"))
            made = engine.build_learner(trial, model, train, valid, device, [watch])
            engine.fit_learner(made, trial)
            made.remove_cb(watch)
        else:
            record = training.train_model(trial, model, train, valid)
            made = engine.build_learner(trial, model, train, valid, device, [])
    made.dls.vocab = list(data.vocab)
    weights = fingerprint(dict(model.named_parameters()))
    same = weights == result.fingerprints["weights"]
    difference = (
        "" if same else find_first_difference(result.trace, record.trace.to_dict()) or "the last step on"
    )
    return Retrained(trial, made, data, valid, weights, difference)


def continuation(found: Retrained, count: int) -> tuple[list[str], list[str]]:
    """The first window of the validation text, and `count` tokens that the model goes on with.

    Each is the most probable one after the last `window` tokens, which are read afresh every time.
    """
    import torch

    model, window = found.learner.model.eval(), found.trial.window
    ids = found.valid.inputs[found.valid.order[:1]].to(next(model.parameters()).device)  # (1, window)
    with torch.no_grad():
        for _ in range(count):
            model.reset()
            logits = model(ids[:, -window:]).logits.view(-1, len(found.corpus.vocab))
            ids = torch.cat([ids, logits[-1:].argmax(-1, keepdim=True)], dim=1)
    model.reset()
    tokens = found.corpus.decode(ids[0].cpu())
    return tokens[:window], tokens[window:]


@contextmanager
def as_found() -> Iterator[None]:
    """Restore torch's threads and its deterministic mode at the end of the block."""
    import torch

    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(mode)
