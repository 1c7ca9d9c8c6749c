"""From a trial's settings to its trained model: its data, its initial weights, its training."""

import importlib
import math

import torch
from torch import Tensor

from unrolled.bench.chapter import torch_device
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.corpus import Batches, Corpus, load_corpus, make_batches
from unrolled.bench.chapter.metrics import Evaluation
from unrolled.bench.chapter.models.recurrent import LanguageModel
from unrolled.bench.chapter.models.registry import find_model
from unrolled.bench.chapter.training.record import TrainingRecord


def load_data(trial: ChapterTrial) -> tuple[Corpus, Batches, Batches]:
    """Return the trial's corpus, and its training and validation batches in the order of its seed."""
    corpus = load_corpus(trial)
    random = torch.Generator().manual_seed(trial.derive_seed("data"))
    return corpus, *make_batches(trial, corpus, random)


def build_model(trial: ChapterTrial, vocab: int) -> LanguageModel:
    """Return the trial's model with its initial weights, which depend on the seed and not on the arm."""
    torch.manual_seed(trial.derive_seed("init"))
    model: LanguageModel = find_model(trial.model).build_model(vocab, **trial.options)
    model.detach_every = trial.detach_every
    model.target = trial.target
    return model


def train_model(trial: ChapterTrial, model: LanguageModel, train: Batches, valid: Batches) -> TrainingRecord:
    """Train the model by the trial's engine, on its device. Raises Diverged if a loss is not finite."""
    engine = importlib.import_module(f"unrolled.bench.chapter.training.{trial.engine}")
    torch.manual_seed(trial.derive_seed("dropout"))
    device = torch_device.select_device(trial.device)
    record: TrainingRecord = engine.train_model(trial, model, train, valid, device)
    return record


def fit_counting_model(
    trial: ChapterTrial, corpus: Corpus, train: Batches, valid: Batches
) -> tuple[Tensor, Evaluation]:
    """Fit a counting baseline. Returns log-probabilities (targets, vocab) and their evaluation.

    The model is evaluated on the same validation targets as the trained models.
    """
    train_positions, valid_positions = (
        split.positions[split.window_order].flatten() for split in (train, valid)
    )
    model = find_model(trial.model).build_model(len(corpus.vocab), **trial.options)
    logits = model.predict(corpus.ids, train_positions, valid_positions)
    evaluation = Evaluation()
    evaluation.add_batch(logits, corpus.ids[valid_positions])
    return logits, evaluation


def explain_divergence(record: TrainingRecord, vocab: int) -> str:
    """Return why a finished training counts as diverged; "" if it does not.

    A training diverged if its validation loss is not finite, or if its mean training loss over the last tenth
    of the updates is not below ln V, the loss of a uniform guess. A finite validation loss above ln V is no
    criterion: a good model can be confidently wrong about a text unlike its training text.
    """
    last_losses = record.losses[-max(1, len(record.losses) // 10) :]
    loss = sum(last_losses) / len(last_losses)
    limit = math.log(vocab)
    if not loss < limit:
        return f"diverged: the training loss ends at {loss:.4g}, which is not below ln V = {limit:.4g}"
    valid_loss = record.validation.loss
    return "" if math.isfinite(valid_loss) else f"diverged: the validation loss ends at {valid_loss}"
