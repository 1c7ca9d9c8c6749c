"""What a study costs, before a minute is spent. Pure arithmetic."""

from pathlib import Path

from ablations.settings import complete
from ablations.study import Study
from bench.models.registry import spec_of
from bench.trial import Trial

HUMAN_NUMBERS_BYTES = 280_599 + 74_884  # train.txt and valid.txt, to which the zoo's seconds belong


def expected_seconds(trial: Trial) -> float:
    """About how long a trial takes on one core, in seconds, from the measured cost of the chapter's set-up.

    seconds × epochs/chapter's epochs × max(1, horizon/window) × (½ + ½ · chapter's window·batch/window·batch)
    × bytes of the text/bytes of Human Numbers. Half of a trial's time goes to its tokens, which no window
    changes, and half to its updates, of which a longer window or a larger batch needs fewer. A horizon
    beyond the window replays the tokens that came before it.
    """
    spec = spec_of(trial.model)
    chapter = complete({"model": trial.model})
    epochs: float = trial.epochs / chapter["epochs"]
    replay = max(1.0, trial.horizon / trial.window)
    updates: float = chapter["window"] * chapter["batch"] / (trial.window * trial.batch)
    text = _text_size(trial.corpus) / HUMAN_NUMBERS_BYTES
    return spec.seconds * epochs * replay * (1 + updates) / 2 * text


def _text_size(corpus: str) -> int:
    path = Path(corpus)
    return path.stat().st_size if path.is_file() else HUMAN_NUMBERS_BYTES


def contrasts(study: Study) -> int:
    """How many contrasts the plan declares: not of exploratory arms, nor of those others are held against."""
    bases = {arm.against for arm in study.arms}
    return sum(not arm.exploratory and arm.name not in bases for arm in study.arms[1:])
