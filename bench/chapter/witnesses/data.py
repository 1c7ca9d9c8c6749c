"""Witnesses of the data settings, from the text and its batches."""

import torch
from torch import Tensor

from unrolled.bench.chapter.corpus import UNKNOWN
from unrolled.bench.chapter.witnesses.types import DataWitnessInput, Witness, witness_equal, witness_level


def witness_tokens(case: DataWitnessInput) -> Witness:
    """Check whether every token is one character. Words may be that short, too."""
    single = all(len(token) == 1 for token in case.data.vocab if token != UNKNOWN)
    return witness_level(
        case.trial.tokens, {"char": single, "word": not single or case.trial.tokens == "word"}
    )


def witness_vocab(case: DataWitnessInput) -> Witness:
    """Check the size of the vocabulary, which contains <unk> only if it is capped."""
    size = len(case.data.vocab)
    cap = case.trial.vocab
    fits = size <= cap if cap else UNKNOWN not in case.data.vocab
    return {"ok": fits, "declared": cap, "seen": size}


def witness_split(case: DataWitnessInput) -> Witness:
    """Check whether all validation targets come after all training targets in the text."""
    train_positions, valid_positions = (part.positions[part.order] for part in (case.train, case.valid))
    in_tail = bool(train_positions.max() < valid_positions.min())
    return witness_level(case.trial.split, {"tail": in_tail, "blocks": not in_tail})


def witness_stride(case: DataWitnessInput) -> Witness:
    """Check the least distance between two windows."""
    positions = [part.positions[part.order].view(len(part.order), -1) for part in (case.train, case.valid)]
    ends = torch.cat(positions)[:, -1].sort().values
    return witness_equal(case.trial.stride or case.trial.window, int(ends.diff().min()))


def witness_context(case: DataWitnessInput, logits: Tensor) -> Witness:
    """Check how many preceding tokens determine each prediction; declared + 1 stands for more."""
    declared = int(case.trial.options["context"])
    weights = torch.linspace(1, 2, logits.shape[1], dtype=torch.float64)
    marks = (logits.double() @ weights).round(decimals=6).tolist()  # equal rows have equal marks
    positions = case.valid.positions[case.valid.order].flatten().tolist()
    ids = case.data.ids.tolist()
    for length in range(declared + 1):
        mark_by_context: dict[tuple[int, ...], float] = {}
        contexts = (tuple(ids[max(position - length, 0) : position]) for position in positions)
        pairs = zip(contexts, marks, strict=True)
        if all(mark_by_context.setdefault(context, mark) == mark for context, mark in pairs):
            return witness_equal(declared, length)
    return witness_equal(declared, declared + 1)
