"""Witnesses of the data settings, from the text and its batches."""

import torch
from torch import Tensor

from unrolled.bench.chapter.corpus import UNKNOWN
from unrolled.bench.chapter.witnesses.witness import DataWitnessInput, Witness, witness_equal, witness_level


def witness_tokens(evidence: DataWitnessInput) -> Witness:
    """Check whether every token is one character. Words may be that short, too."""
    single = all(len(token) == 1 for token in evidence.corpus.vocab if token != UNKNOWN)
    return witness_level(
        evidence.trial.tokens, {"char": single, "word": not single or evidence.trial.tokens == "word"}
    )


def witness_vocab(evidence: DataWitnessInput) -> Witness:
    """Check the size of the vocabulary, which contains <unk> only if it is capped."""
    size = len(evidence.corpus.vocab)
    cap = evidence.trial.vocab
    fits = size <= cap if cap else UNKNOWN not in evidence.corpus.vocab
    return {"ok": fits, "declared": cap, "seen": size}


def witness_split(evidence: DataWitnessInput) -> Witness:
    """Check whether all validation targets come after all training targets in the text."""
    train_positions, valid_positions = (
        part.positions[part.window_order] for part in (evidence.train, evidence.valid)
    )
    in_tail = bool(train_positions.max() < valid_positions.min())
    return witness_level(evidence.trial.split, {"tail": in_tail, "blocks": not in_tail})


def witness_stride(evidence: DataWitnessInput) -> Witness:
    """Check the least distance between two windows."""
    positions = [
        part.positions[part.window_order].view(len(part.window_order), -1)
        for part in (evidence.train, evidence.valid)
    ]
    ends = torch.cat(positions)[:, -1].sort().values
    return witness_equal(evidence.trial.stride or evidence.trial.window, int(ends.diff().min()))


def witness_context(evidence: DataWitnessInput, logits: Tensor) -> Witness:
    """Check how many preceding tokens determine each prediction. declared + 1 stands for any more."""
    declared = int(evidence.trial.options["context"])
    weights = torch.linspace(1, 2, logits.shape[1], dtype=torch.float64)
    marks = (logits.double() @ weights).round(decimals=6).tolist()  # equal rows have equal marks
    positions = evidence.valid.positions[evidence.valid.window_order].flatten().tolist()
    ids = evidence.corpus.ids.tolist()
    for length in range(declared + 1):
        mark_by_context: dict[tuple[int, ...], float] = {}
        contexts = (tuple(ids[max(position - length, 0) : position]) for position in positions)
        pairs = zip(contexts, marks, strict=True)
        if all(mark_by_context.setdefault(context, mark) == mark for context, mark in pairs):
            return witness_equal(declared, length)
    return witness_equal(declared, declared + 1)
