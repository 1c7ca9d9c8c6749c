"""Witnesses of the data settings, from the text and its batches."""

import torch
from torch import Tensor

from unrolled.bench.chapter.corpus import UNKNOWN
from unrolled.bench.chapter.witnesses.context import DataWitnessInput, Witness, equal, fitting


def tokens(case: DataWitnessInput) -> Witness:
    """Whether every token is one character."""
    short = all(len(token) == 1 for token in case.data.vocab if token != UNKNOWN)
    return fitting(case.trial.tokens, {"char": short, "word": not short or case.trial.tokens == "word"})


def vocab(case: DataWitnessInput) -> Witness:
    """The size of the vocabulary, which contains <unk> only if it is capped."""
    size, cap = len(case.data.vocab), case.trial.vocab
    return {"ok": size <= cap if cap else UNKNOWN not in case.data.vocab, "declared": cap, "seen": size}


def split(case: DataWitnessInput) -> Witness:
    """Whether all validation targets come after all training targets in the text."""
    train, valid = (part.positions[part.order] for part in (case.train, case.valid))
    behind = bool(train.max() < valid.min())
    return fitting(case.trial.split, {"tail": behind, "blocks": not behind})


def stride(case: DataWitnessInput) -> Witness:
    """The least distance between two windows."""
    parts = [part.positions[part.order].view(len(part.order), -1) for part in (case.train, case.valid)]
    ends = torch.cat(parts)[:, -1].sort().values
    return equal(case.trial.stride or case.trial.window, int(ends.diff().min()))


def context(case: DataWitnessInput, logits: Tensor) -> Witness:
    """The fewest preceding tokens that determine each prediction; declared + 1 if more are needed."""
    most = int(case.trial.options["context"])
    weights = torch.linspace(1, 2, logits.shape[1], dtype=torch.float64)
    marks = (logits.double() @ weights).round(decimals=6).tolist()  # equal rows, equal marks
    asked = case.valid.positions[case.valid.order].flatten().tolist()
    ids = case.data.ids.tolist()
    for length in range(most + 1):
        told: dict[tuple[int, ...], float] = {}
        before = (tuple(ids[max(at - length, 0) : at]) for at in asked)
        if all(told.setdefault(key, mark) == mark for key, mark in zip(before, marks, strict=True)):
            return equal(most, length)
    return equal(most, most + 1)
