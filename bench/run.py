"""One trial from its settings to its result, in whatever process it is called in."""

import importlib
import math
import time
from typing import Any

import torch
from torch import Tensor

from bench import corpus, environment, machine
from bench.corpus import Batches, Corpus
from bench.diagnostics import fingerprint, metrics_fingerprint
from bench.flops import training_flops
from bench.metrics import Tally
from bench.models.recurrent import LanguageModel
from bench.models.registry import ModelSpec, spec_of
from bench.throughput import gpu_memory, memory_peak
from bench.training.engine import Diverged, Training
from bench.trial import Result, Trial, failure
from bench.witnesses import Case, Seen, Trained, count_witnesses, witnesses

PASSAGE = 60  # tokens of the validation set that a result shows with the model's guesses


def run_trial(trial: Trial) -> Result:
    """Train and evaluate. Divergence is a failed Result; a mistake of the user raises BadInput.

    Seeds first, then data, then the model; separate streams for the initial weights, the order of the
    data and dropout, so that arms of one seed stay paired.
    """
    started, clock = time.time(), time.perf_counter()
    environment.deterministic()
    facts: dict[str, Any] = {"started": started, "environment": machine.facts()}
    spec = spec_of(trial.model)
    data, train, valid = load(trial)
    if spec.counted:
        found = _count(trial, spec, data, train, valid)
    else:
        try:
            found = train_and_measure(trial, data, train, valid)
        except Diverged as error:
            return failure(trial, str(error), seconds=time.perf_counter() - clock, **facts)
    seconds = time.perf_counter() - clock
    spent = seconds + found["metrics"].get("speed_seconds", 0.0)
    found["metrics"] |= {"speed_seconds": spent, "memory_peak": memory_peak()}
    loss, limit = found["metrics"]["valid_loss"], math.log(len(data.vocab))
    if not spec.counted and not loss < limit:
        reason = f"diverged: the final loss {loss:.4g} is not below ln V = {limit:.4g}"
        return failure(trial, reason, seconds=seconds, **facts, **found)
    return Result(trial=trial, status="done", seconds=seconds, **facts, **found)


def load(trial: Trial) -> tuple[Corpus, Batches, Batches]:
    """The trial's corpus, and its training and validation batches in the seed's order."""
    data = corpus.load(trial)
    random = torch.Generator().manual_seed(environment.stream(trial.seed, "data"))
    return data, *corpus.batches(trial, data, random)


def build(trial: Trial, vocab: int) -> LanguageModel:
    """The trial's model with its initial weights, which depend on the seed and not on the arm."""
    torch.manual_seed(environment.stream(trial.seed, "init"))
    model: LanguageModel = spec_of(trial.model).build(vocab, **trial.options)
    model.horizon = 0 if trial.varied else trial.horizon  # 0: the window, whatever its length
    model.target = trial.target
    return model


def fit(trial: Trial, model: LanguageModel, train: Batches, valid: Batches) -> Training:
    """Train by the trial's engine. Raises Diverged."""
    engine = importlib.import_module(f"bench.training.{trial.engine}")
    torch.manual_seed(environment.stream(trial.seed, "dropout"))
    record: Training = engine.train(trial, model, train, valid, environment.device())
    return record


def train_and_measure(trial: Trial, data: Corpus, train: Batches, valid: Batches) -> dict[str, Any]:
    """What a Result says of a trained model, from its training to its guesses. Raises Diverged."""
    model = build(trial, len(data.vocab))
    seen = Seen(model)
    record = fit(trial, model, train, valid)
    last, steps = record.epochs[-1], len(record.losses)
    train_seconds = sum(e.train_seconds for e in record.epochs)
    valid_seconds = sum(e.valid_seconds for e in record.epochs)
    metrics = {
        **record.valid.summary(),
        "train_loss": last.train_loss,
        "train_ar": last.ar,
        "train_tar": last.tar,
        **{f"train_penalty_{name}": total / steps for name, total in record.penalties.items()},
        "train_updates": steps,
        "train_tokens": train.tokens * trial.epochs,
        "speed_train": train.tokens * trial.epochs / train_seconds,
        "speed_valid": valid.tokens * trial.epochs / valid_seconds,
        "speed_seconds": record.before,  # to which comes this attempt
        "model_parameters": sum(p.numel() for p in model.parameters()),
        **gpu_memory(environment.device()),
    }
    if not spec_of(trial.model).file:  # a plug-in's shapes do not tell how often it uses them
        metrics["train_flops"] = training_flops(trial, model, sum(record.lengths) // trial.window)
    weights = dict(model.named_parameters())
    return {
        "epochs": tuple(record.epochs),
        "metrics": {name: float(value) for name, value in metrics.items()},
        "fingerprints": {"weights": fingerprint(weights), "metrics": metrics_fingerprint(record)},
        "trace": record.trace.packed(),
        "witnesses": witnesses(
            Trained(
                trial=trial,
                data=data,
                train=train,
                valid=valid,
                model=model,
                fresh=build(trial, len(data.vocab)),
                record=record,
                seen=seen.close(),
            )
        ),
        **_looks(trial, data, valid, record.valid),
    }


def _count(trial: Trial, spec: ModelSpec, data: Corpus, train: Batches, valid: Batches) -> dict[str, Any]:
    """A floor: fitted by counting, measured on the same validation targets as the neural arms."""
    seen, asked = (split.positions[split.order].flatten() for split in (train, valid))
    logits = spec.build(len(data.vocab), **trial.options).predict(data.ids, seen, asked)
    tally = Tally()
    tally.add(logits, data.ids[asked])
    weights = {"log_probabilities": logits}
    return {
        "metrics": {**tally.summary(), "train_tokens": float(len(seen))},
        "witnesses": count_witnesses(Case(trial=trial, data=data, train=train, valid=valid), logits),
        "fingerprints": {"weights": fingerprint(weights), "metrics": fingerprint({"nats": tally.nats[0]})},
        **_looks(trial, data, valid, tally),
    }


def _looks(trial: Trial, data: Corpus, valid: Batches, tally: Tally) -> dict[str, Any]:
    """Where it goes wrong: sums by token role, and the guesses along the first row's stretch of text."""
    roles = data.roles[valid.positions[valid.order].flatten()]
    return {
        "roles": tally.by_role(roles, data.role_names),
        "passage": tuple(_passage(trial, data, tally)),
    }


def _passage(trial: Trial, data: Corpus, tally: Tally) -> list[dict[str, Any]]:
    shape = (-1, trial.window) if trial.target == "every" else (-1, 1)

    def first_row(parts: list[Tensor]) -> Tensor:
        windows = torch.cat(parts).view(shape)  # (windows in the order of the pass, targets of one)
        step = trial.batch if trial.order == "grouped" else 1
        return windows[::step].flatten()[:PASSAGE].cpu()

    rows = zip(
        data.decode(first_row(tally.targets)),
        data.decode(first_row(tally.guesses)),
        (-first_row(tally.nats)).exp().tolist(),
        strict=True,
    )
    return [{"token": token, "guess": guess, "p": round(p, 4)} for token, guess, p in rows]
