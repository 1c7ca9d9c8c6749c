"""The input of a witness, and the forms of its output."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unrolled.bench.chapter.corpus import Batches, Corpus
from unrolled.bench.chapter.models.recurrent import LanguageModel
from unrolled.bench.chapter.training.record import TrainingRecord
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.chapter.witnesses.observer import BatchRecorder

Witness = dict[str, Any]
"""{"ok": bool, "declared": …, "seen": …}"""


@dataclass(frozen=True, kw_only=True)
class DataWitnessInput:
    """The input of a witness of the data: a trial, its corpus and its batches."""

    trial: ChapterTrial
    data: Corpus
    train: Batches
    valid: Batches


@dataclass(frozen=True, kw_only=True)
class WitnessInput(DataWitnessInput):
    """The input of any other witness; `fresh` is the model as it began, which witnesses may change."""

    model: LanguageModel
    fresh: LanguageModel
    record: TrainingRecord
    recorder: BatchRecorder


def equal(declared: Any, seen: Any) -> Witness:
    """Holds if `seen` equals `declared`."""
    return {"ok": declared == seen, "declared": declared, "seen": seen}


def all_are(declared: Any, seen: set[Any]) -> Witness:
    """Holds if every value seen equals `declared`."""
    return equal(declared, next(iter(seen)) if len(seen) == 1 else sorted(seen))


def fitting(declared: str, fits: Mapping[str, bool]) -> Witness:
    """Holds if the declared level is among those that `fits` maps to true."""
    others = (name for name, fit in fits.items() if fit)
    return equal(declared, declared if fits[declared] else next(others, "neither"))


def near(declared: float, seen: float, slack: float) -> Witness:
    """Holds if `seen` equals `declared` within the relative tolerance `slack`."""
    return {"ok": math.isclose(declared, seen, rel_tol=slack), "declared": declared, "seen": seen}


def penalty(declared: float, seen: float) -> Witness:
    """Holds if the penalty seen is positive exactly where one is declared."""
    return {"ok": (seen > 0) == (declared > 0), "declared": declared, "seen": seen}
