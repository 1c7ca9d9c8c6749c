"""The rows that the chapter prints, and whether each could be one more seed of our trials.

The chapter is the twelfth of Howard and Gugger, "Deep Learning for Coders with fastai and PyTorch" (2020).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from unrolled.bench.chapter.chapter_trial import make_chapter_trial
from unrolled.bench.trial import Trial
from unrolled.reports.compare.compared_arm import ComparedArm
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.statistics.estimators import prediction_p, t_interval
from unrolled.reports.statistics.power import ALPHA
from unrolled.reports.statistics.seed_values import Interval
from unrolled.reports.statistics.values import select_finite

DIGITS = 6  # decimals that the book prints


@dataclass(frozen=True)
class BookRow:
    """The last line that one published trial printed."""

    title: str
    train_loss: float  # nats per token
    valid_loss: float  # nats per token
    accuracy: float
    targets: int  # number of targets in the validation set
    repeated: tuple[float, float] | None = None  # loss and accuracy that the notebook prints today

    @property
    def hits(self) -> int:
        """The number of right guesses, accuracy · targets: a whole number if the row is right."""
        return round(self.accuracy * self.targets)


BOOK = {
    "lm1": BookRow("LMModel1", 1.376440, 1.650849, 0.494414, 4207, (1.650849, 0.494414)),
    "lm2": BookRow("LMModel2", 1.388390, 1.657033, 0.470406, 4207, (1.657033, 0.470406)),
    "lm3": BookRow("LMModel3", 0.795096, 1.651267, 0.588942, 4160),
    "lm4": BookRow("LMModel4", 0.646154, 1.877519, 0.640055, 12288),
    "lm5": BookRow("LMModel5", 0.604309, 2.180355, 0.487874, 12288, (2.168205, 0.548828)),
    "lm6": BookRow("LMModel6", 0.028068, 1.368083, 0.758464, 12288),
    "lm7": BookRow("LMModel7", 0.098121, 0.458372, 0.869385, 12288, (0.402400, 0.882975)),
}
"""The rows that the chapter prints, by model. Each is one trial of one seed."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Whether a published number could be one more seed of ours; diverged seeds are left out."""

    y: float  # the published number
    interval: Interval  # prediction interval, widened by half a unit of y's last printed digit
    p: float  # p of the test that y is one more seed; the interval decides
    diverged_count: int  # number of our seeds that diverged

    @property
    def is_plausible(self) -> bool:
        """True if y lies in the interval."""
        return self.interval.low <= self.y <= self.interval.high

    @property
    def wording(self) -> str:
        """What reports say of y: "a plausible single run of our procedure"."""
        left_out = f", given convergence ({self.diverged_count} diverged)" if self.diverged_count else ""
        article = "a" if self.is_plausible else "not a"
        return f"{article} plausible single run of our procedure{left_out}"


@dataclass(frozen=True, kw_only=True)
class BookComparison:
    """A published row, compared with our trials of the same model and settings."""

    arm: ComparedArm
    published: BookRow
    prediction: Prediction  # prediction of the validation loss
    losses: tuple[float, ...]  # validation losses of our converged trials
    accuracy: float | None  # mean accuracy of our trials
    accuracy_prediction: Prediction | None


def has_book_settings(trial: Trial, model: str) -> bool:
    """Return True if a trial has every setting that the registry gives its model; any engine will do.

    A plugged-in penalty, which the registry has only while its plug-in is loaded, must be off, at 0.
    """
    book = make_chapter_trial(model).flat_settings()
    return all(
        value == book.get(name, 0) for name, value in trial.flat_settings().items() if name != "engine"
    )


def compare_with_book(comparison: Comparison) -> tuple[BookComparison, ...]:
    """Compare the book's rows with the arms of their model and settings that have three or more seeds."""
    return tuple(fit for arm in comparison.arms if (fit := _compare_arm(arm)))


def _compare_arm(arm: ComparedArm) -> BookComparison | None:
    trial = arm.counted_arm.example_trial
    published = BOOK.get(arm.counted_arm.model)
    if trial is None or published is None or not has_book_settings(trial, arm.counted_arm.model):
        return None
    losses, accuracies = (
        list(arm.counted_arm.collect_measured_values(name).values())
        for name in ("valid_loss", "valid_accuracy")
    )
    predicted = predict_value(losses, published.valid_loss)
    if predicted is None:
        return None
    return BookComparison(
        arm=arm,
        published=published,
        prediction=predicted,
        losses=tuple(x for x in losses if math.isfinite(x)),
        accuracy=arm.counted_arm.average_measured_values("valid_accuracy"),
        accuracy_prediction=predict_value(accuracies, published.accuracy),
    )


def predict_value(values: Iterable[float], y: float) -> Prediction | None:
    """Compare a published value with our seeds; None if fewer than 3 converged.

    An infinite value is a diverged seed: it is counted, but left out of the interval. Raises ValueError for
    NaN.
    """
    numbers = list(values)
    if any(math.isnan(v) for v in numbers):
        raise ValueError("NaN is no value: a diverged seed is an infinite one")
    x = select_finite(numbers)
    if x.size < 3:
        return None
    half_unit = 0.5 * 10.0**-DIGITS
    low, high = t_interval(x, one_more=True)
    interval = Interval(float(low) - half_unit, float(high) + half_unit, 1 - ALPHA)
    return Prediction(
        y=y, interval=interval, p=float(prediction_p(x, y)), diverged_count=len(numbers) - x.size
    )
