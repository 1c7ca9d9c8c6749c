"""From a trial's settings to its trained model: all that decides a trial's numbers starts here."""

import importlib
import math

import torch
from torch import Tensor

from unrolled.bench import environment
from unrolled.bench.chapter import corpus
from unrolled.bench.chapter.corpus import Batches, Corpus
from unrolled.bench.chapter.metrics import Evaluation
from unrolled.bench.chapter.models.recurrent import LanguageModel
from unrolled.bench.chapter.models.registry import spec_of
from unrolled.bench.chapter.training.engine import Training
from unrolled.bench.chapter.trial import ChapterTrial


def load(trial: ChapterTrial) -> tuple[Corpus, Batches, Batches]:
    """The trial's corpus, and its training and validation batches in the seed's order."""
    data = corpus.load(trial)
    random = torch.Generator().manual_seed(environment.stream(trial.seed, "data"))
    return data, *corpus.batches(trial, data, random)


def build(trial: ChapterTrial, vocab: int) -> LanguageModel:
    """The trial's model with its initial weights, which depend on the seed and not on the arm."""
    torch.manual_seed(environment.stream(trial.seed, "init"))
    model: LanguageModel = spec_of(trial.model).build_model(vocab, **trial.options)
    model.detach_every = trial.detach_every
    model.target = trial.target
    return model


def fit(trial: ChapterTrial, model: LanguageModel, train: Batches, valid: Batches) -> Training:
    """Train by the trial's engine on its device. Raises Diverged where a training loss is not finite."""
    engine = importlib.import_module(f"unrolled.bench.chapter.training.{trial.engine}")
    torch.manual_seed(environment.stream(trial.seed, "dropout"))
    record: Training = engine.train(trial, model, train, valid, environment.device(trial.device))
    return record


def count(trial: ChapterTrial, data: Corpus, train: Batches, valid: Batches) -> tuple[Tensor, Evaluation]:
    """Fit a counting baseline. Returns log-probabilities (targets, vocab) and their evaluation.

    It is measured on the same validation targets as the trained models.
    """
    seen, asked = (split.positions[split.order].flatten() for split in (train, valid))
    logits = spec_of(trial.model).build_model(len(data.vocab), **trial.options).predict(data.ids, seen, asked)
    evaluation = Evaluation()
    evaluation.add(logits, data.ids[asked])
    return logits, evaluation


def divergence(record: Training, vocab: int) -> str:
    """Why a finished training counts as diverged: its loss is no better than a uniform guess's. Else "".

    The loss is the mean over the last tenth of the updates, on the training text. A validation loss above
    ln V is no criterion: a good model can be confidently wrong about text unlike its training text.
    """
    last = record.losses[-max(1, len(record.losses) // 10) :]
    loss, limit, valid = sum(last) / len(last), math.log(vocab), record.valid.loss()
    if not loss < limit:
        return f"diverged: the training loss ends at {loss:.4g}, which is not below ln V = {limit:.4g}"
    return "" if math.isfinite(valid) else f"diverged: the validation loss ends at {valid}"
