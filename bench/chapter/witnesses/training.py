"""Witnesses of the training, from its record and from the batches that its model read."""

import math

import torch
from torch import Tensor

from unrolled.bench.chapter.corpus import Batches
from unrolled.bench.chapter.diagnostics import gradient_by_distance
from unrolled.bench.chapter.models.recurrent import LanguageModel
from unrolled.bench.chapter.witnesses.context import Witness, WitnessInput, equal, fitting, near

ROWS = 8  # of a batch that are looked up in the text


def lr(case: WitnessInput) -> Witness:
    """The peak of the cycle."""
    return near(case.trial.lr, max(case.record.lrs), _slack(case))


def moms(case: WitnessInput) -> Witness:
    """The momentum of the first step, of the peak and of the last step."""
    moms, declared = case.record.moms, case.trial.moms
    seen = (moms[0], min(moms), moms[-1])
    ok = all(math.isclose(d, s, rel_tol=_slack(case)) for d, s in zip(declared, seen, strict=True))
    return {"ok": ok, "declared": list(declared), "seen": list(seen)}


def _slack(case: WitnessInput) -> float:
    """Few steps miss the peak of a cosine by a little."""
    return 0.01 + math.sin(math.pi / len(case.record.lrs)) ** 2


def clip(case: WitnessInput) -> Witness | None:
    """The largest gradient norm of an update, which equals the bound if any gradient was clipped."""
    return near(case.trial.clip, float(case.record.max_grad_norm), 0.01) if case.trial.clip else None


def target(case: WitnessInput) -> Witness:
    """The number of targets of each row of a batch."""
    widths, asked = case.recorder.widths, case.recorder.targets
    return fitting(case.trial.target, {"every": asked == widths, "last": asked == {1}})


def reset(case: WitnessInput) -> Witness:
    """Whether passes and batches began with a state, and whether the network uses its state at all."""
    reads = _reads_its_state(case.fresh, case.train)
    starts, within = (
        {held and reads for held in seen} for seen in (case.recorder.starts, case.recorder.within)
    )
    expected = {"epoch": (False, True), "batch": (False, False), "never": (True, True)}
    fits = {name: starts <= {start} and within <= {inner} for name, (start, inner) in expected.items()}
    return fitting(case.trial.reset, fits)


@torch.no_grad()
def _reads_its_state(model: LanguageModel, train: Batches) -> bool:
    window = train.inputs[train.order[: len(train.rows[0])]]
    model.eval().reset()
    model(window)
    after = model(window).logits
    model.reset()
    return not torch.equal(after, model(window).logits)


def order(case: WitnessInput) -> Witness:
    """Whether each row of a batch continues in the next batch, or in the row below it."""
    first, *later = (batch.cpu() for batch in case.recorder.batches)
    shared = case.trial.window - case.trial.stride if case.trial.stride else 0  # words of two neighbours
    across = _goes_on(case.data.ids, first, later[0][:, shared:]) if later else True
    below = _goes_on(case.data.ids, first[:-1], first[1:, shared:]) if len(first) > 1 else across
    unmoved = torch.equal(first, case.train.inputs[case.train.rows[0]])
    return fitting(case.trial.order, {"grouped": across, "sequential": below, "shuffled": not unmoved})


def _goes_on(ids: Tensor, one: Tensor, two: Tensor) -> bool:
    """Whether most rows of `two` (b, t) follow those of `one` in the text; a split can break a few."""
    pairs = torch.cat([one[:ROWS], two[:ROWS]], dim=1)
    return sum(_stands_in(ids, row) for row in pairs) > len(pairs) / 2


def _stands_in(ids: Tensor, row: Tensor) -> bool:
    at = torch.arange(len(ids) - len(row) + 1)
    for step, token in enumerate(row):
        at = at[ids[at + step] == token]
    return len(at) > 0


def detach_every(case: WitnessInput) -> Witness:
    """The number of tokens that a gradient reaches back from the last word. Changes the fresh model."""
    count = max(case.trial.detach_every // case.trial.window, 1) + 1
    windows = case.train.inputs[case.train.order[:count].view(-1, 1)]
    return equal(case.trial.detach_every, int((gradient_by_distance(case.fresh, windows) > 0).sum()))
