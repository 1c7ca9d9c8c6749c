"""What MLflow shows of the chapter's trials: language models, with curves by epoch."""

import math
from collections.abc import Iterator

from bench.tracking import CurvePoint, Tracking
from bench.trial import Result


def perplexity(loss: float) -> float:
    """Exp of a mean loss in nats."""
    return math.exp(loss) if loss < 700 else math.inf


class ChapterTracking(Tracking):
    """What is shown of the chapter's trials."""

    first = "valid_accuracy", "valid_perplexity", "valid_loss", "speed_train"
    last = ()
    on_a_gpu = "speed_steady", "gpu_utilisation", "gpu_memory_peak"
    drawn = "valid_accuracy", "valid_loss", "train_loss"
    derived = {"valid_perplexity": ("valid_loss", perplexity)}  # noqa: RUF012 (declared by Tracking)

    def numbers(self, result: Result) -> dict[str, float]:
        """The metrics, and the loss (nats a token) and accuracy of each role of token."""
        numbers = dict(result.metrics)
        for role, (nats, hits, targets) in result.roles.items():
            if targets:
                numbers |= {f"role_{role} loss": nats / targets, f"role_{role} accuracy": hits / targets}
        return numbers

    def points(self, result: Result) -> Iterator[CurvePoint]:
        """Every number of every epoch, at the epoch's end; other time is taken to come before the first."""
        trained = sum(e.train_seconds + e.valid_seconds for e in result.epochs)
        clock = max(0.0, result.seconds - trained)
        for e in result.epochs:
            clock += e.train_seconds + e.valid_seconds
            numbers = {
                "train_loss": e.train_loss,
                "train_ar": e.ar,
                "train_tar": e.tar,
                "valid_loss": e.valid_loss,
                "valid_accuracy": e.accuracy,
                "speed_train_seconds": e.train_seconds,
                "speed_valid_seconds": e.valid_seconds,
            }
            yield from (CurvePoint(name, e.epoch, value, clock) for name, value in numbers.items())


CHAPTER = ChapterTracking()
