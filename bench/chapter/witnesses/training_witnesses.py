"""Witnesses of the training, from its record and from the batches that its model read."""

import math

import torch
from torch import Tensor

from unrolled.bench.chapter.corpus import Batches
from unrolled.bench.chapter.diagnostics import measure_gradient_by_distance
from unrolled.bench.chapter.models.recurrent import LanguageModel
from unrolled.bench.chapter.witnesses.witness import (
    Witness,
    WitnessInput,
    witness_close,
    witness_equal,
    witness_level,
)

MOST_ROWS = 8  # rows of a batch that are looked up in the text


def witness_lr(evidence: WitnessInput) -> Witness:
    """Check the peak of the cycle."""
    return witness_close(evidence.trial.lr, max(evidence.record.lrs), _compute_peak_tolerance(evidence))


def witness_moms(evidence: WitnessInput) -> Witness:
    """Check the momentum of the first step, of the peak and of the last step."""
    moms = evidence.record.moms
    declared = list(evidence.trial.moms)
    observed = [moms[0], min(moms), moms[-1]]
    tolerance = _compute_peak_tolerance(evidence)
    pairs = zip(declared, observed, strict=True)
    return {
        "ok": all(math.isclose(level, mom, rel_tol=tolerance) for level, mom in pairs),
        "declared": declared,
        "seen": observed,
    }


def _compute_peak_tolerance(evidence: WitnessInput) -> float:
    """Return a relative tolerance. With few steps, none falls on the peak of the cosine exactly."""
    return 0.01 + math.sin(math.pi / len(evidence.record.lrs)) ** 2


def witness_clip(evidence: WitnessInput) -> Witness | None:
    """Check the largest gradient norm of an update, which equals the bound if any gradient was clipped."""
    if not evidence.trial.clip:
        return None
    return witness_close(evidence.trial.clip, float(evidence.record.max_grad_norm), 0.01)


def witness_target(evidence: WitnessInput) -> Witness:
    """Check the number of targets of each row of a batch."""
    targets = evidence.recorder.targets
    return witness_level(
        evidence.trial.target, {"every": targets == evidence.recorder.widths, "last": targets == {1}}
    )


def witness_reset(evidence: WitnessInput) -> Witness:
    """Check whether the model had a state at the start of a pass, and later in it, and whether it uses it."""
    uses_state = _uses_state(evidence.untrained_model, evidence.train)
    at_start = {has_state and uses_state for has_state in evidence.recorder.state_at_start}
    later = {has_state and uses_state for has_state in evidence.recorder.state_later}
    fits = {
        "epoch": at_start <= {False} and later <= {True},
        "batch": at_start <= {False} and later <= {False},
        "never": at_start <= {True} and later <= {True},
    }
    return witness_level(evidence.trial.reset, fits)


@torch.no_grad()
def _uses_state(model: LanguageModel, train: Batches) -> bool:
    """Return True if the model's predictions change with its state."""
    window = train.all_inputs[train.window_order[: len(train.batch_windows[0])]]
    model.eval().reset()
    model(window)
    with_state = model(window).logits
    model.reset()
    return not torch.equal(with_state, model(window).logits)


def witness_order(evidence: WitnessInput) -> Witness:
    """Check whether each row of a batch continues in the next batch, or in the row below it."""
    first, *later = (batch.cpu() for batch in evidence.recorder.batches)
    # words that two neighbouring windows share
    overlap = evidence.trial.window - evidence.trial.stride if evidence.trial.stride else 0
    in_next_batch = _rows_continue(evidence.corpus.ids, first, later[0][:, overlap:]) if later else True
    in_next_row = in_next_batch
    if len(first) > 1:
        in_next_row = _rows_continue(evidence.corpus.ids, first[:-1], first[1:, overlap:])
    is_unshuffled = torch.equal(first, evidence.train.all_inputs[evidence.train.batch_windows[0]])
    fits = {"grouped": in_next_batch, "sequential": in_next_row, "shuffled": not is_unshuffled}
    return witness_level(evidence.trial.order, fits)


def _rows_continue(ids: Tensor, rows: Tensor, next_rows: Tensor) -> bool:
    """Return True if most of `next_rows` (b, t) follow `rows` in the text; a split can break a few."""
    pairs = torch.cat([rows[:MOST_ROWS], next_rows[:MOST_ROWS]], dim=1)
    return sum(_contains_row(ids, pair) for pair in pairs) > len(pairs) / 2


def _contains_row(ids: Tensor, row: Tensor) -> bool:
    """Return True if the text contains the tokens of `row` one after the other."""
    starts = torch.arange(len(ids) - len(row) + 1)
    for step, token in enumerate(row):
        starts = starts[ids[starts + step] == token]
    return len(starts) > 0


def witness_detach_every(evidence: WitnessInput) -> Witness:
    """Check how many tokens a gradient reaches back from the last word. Changes the untrained model."""
    window_count = max(evidence.trial.detach_every // evidence.trial.window, 1) + 1
    windows = evidence.train.all_inputs[evidence.train.window_order[:window_count].view(-1, 1)]
    norms = measure_gradient_by_distance(evidence.untrained_model, windows)
    return witness_equal(evidence.trial.detach_every, int((norms > 0).sum()))
