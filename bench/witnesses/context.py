"""What a witness judges by, and how it is put."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.corpus import Batches, Corpus
from bench.models.recurrent import LanguageModel
from bench.training.engine import Training
from bench.trial import Trial
from bench.witnesses.observer import Seen

Witness = dict[str, Any]
"""{"ok": bool, "declared": …, "seen": …}"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a trial leaves to judge it by."""

    trial: Trial
    data: Corpus
    train: Batches
    valid: Batches


@dataclass(frozen=True, kw_only=True)
class Trained(Case):
    """What a trained one leaves; `fresh` is the same model untrained, to be used up."""

    model: LanguageModel
    fresh: LanguageModel
    record: Training
    seen: Seen


def equal(declared: Any, seen: Any) -> Witness:
    """Seen is what is declared."""
    return {"ok": declared == seen, "declared": declared, "seen": seen}


def all_are(declared: Any, seen: set[Any]) -> Witness:
    """Everything seen is what is declared."""
    return equal(declared, next(iter(seen)) if len(seen) == 1 else sorted(seen))


def fitting(declared: str, fits: Mapping[str, bool]) -> Witness:
    """One of several words: the declared one where what was seen fits it, else one that it does fit."""
    others = (name for name, fit in fits.items() if fit)
    return equal(declared, declared if fits[declared] else next(others, "neither"))


def near(declared: float, seen: float, slack: float) -> Witness:
    """Seen is what is declared, within a share of it."""
    return {"ok": math.isclose(declared, seen, rel_tol=slack), "declared": declared, "seen": seen}


def penalty(declared: float, seen: float) -> Witness:
    """A penalty that was seen to be positive, where one is declared and nowhere else."""
    return {"ok": (seen > 0) == (declared > 0), "declared": declared, "seen": seen}
