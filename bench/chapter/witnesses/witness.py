"""The input of a witness, and the checks that make one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.corpus import Batches, Corpus
from unrolled.bench.chapter.models.recurrent import LanguageModel
from unrolled.bench.chapter.training.record import TrainingRecord
from unrolled.bench.chapter.witnesses.observer import BatchRecorder

Witness = dict[str, Any]
"""{"ok": bool, "declared": …, "seen": …}, of a penalty also {"penalty": its title}"""


@dataclass(frozen=True, kw_only=True)
class DataWitnessInput:
    """The input of a witness of the data: a trial, its corpus and its batches."""

    trial: ChapterTrial
    corpus: Corpus
    train: Batches
    valid: Batches


@dataclass(frozen=True, kw_only=True)
class WitnessInput(DataWitnessInput):
    """The input of other witnesses: also the model and its training. They may change `untrained_model`."""

    model: LanguageModel
    untrained_model: LanguageModel
    record: TrainingRecord
    recorder: BatchRecorder


def witness_equal(declared: Any, observed: Any) -> Witness:
    """Return a witness that is ok if `observed` equals `declared`."""
    return {"ok": declared == observed, "declared": declared, "seen": observed}


def witness_all_equal(declared: Any, observed: set[Any]) -> Witness:
    """Return a witness that is ok if every observed value equals `declared`."""
    if len(observed) == 1:
        return witness_equal(declared, next(iter(observed)))
    return witness_equal(declared, sorted(observed))


def witness_level(declared: str, fits: Mapping[str, bool]) -> Witness:
    """Return a witness that is ok if the declared level fits what was observed.

    `fits` says for each level whether it fits. `witness_level("tanh", {"tanh": False, "relu": True})` is
    {"ok": False, "declared": "tanh", "seen": "relu"}.
    """
    if fits[declared]:
        return witness_equal(declared, declared)
    fitting_levels = (level for level, fit in fits.items() if fit)
    return witness_equal(declared, next(fitting_levels, "neither"))


def witness_close(declared: float, observed: float, tolerance: float) -> Witness:
    """Return a witness that is ok if `observed` equals `declared` within a relative tolerance."""
    is_close = math.isclose(declared, observed, rel_tol=tolerance)
    return {"ok": is_close, "declared": declared, "seen": observed}


def witness_penalty(title: str, declared: float, observed: float) -> Witness:
    """Return a witness that is ok if penalty and strength are both above 0, or both 0.

    `declared` is the strength and `seen` the penalty, so that the witness also has the penalty's title.
    """
    is_as_declared = (observed > 0) == (declared > 0)
    return {"ok": is_as_declared, "declared": declared, "seen": observed, "penalty": title}
