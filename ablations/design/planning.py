"""What a study costs, before a minute is spent. Pure arithmetic."""

from collections.abc import Mapping
from functools import cache
from itertools import pairwise

from ablations.design.settings import complete
from ablations.design.study import Study
from bench.models.registry import spec_of
from bench.text import HUMAN_NUMBERS, tokens_of
from bench.trial import Scalar, Trial

HUMAN_NUMBERS_SIZE = 63_095, 30  # its tokens and its words, to which the zoo's seconds belong


def expected_seconds(trial: Trial) -> float:
    """About how long a trial takes on one core, in seconds, from the measured cost of the chapter's set-up.

    seconds × epochs/chapter's epochs × max(1, horizon/window) × (½ + ½ · chapter's window·batch/window·batch)
    × tokens/those of Human Numbers × `work` a token/the chapter's. Half of a trial's time goes to its tokens,
    which no window changes, and half to its updates, of which a longer window or a larger batch needs fewer.
    A horizon beyond the window replays the tokens that came before it.
    """
    spec = spec_of(trial.model)
    chapter = complete({"model": trial.model})
    epochs: float = trial.epochs / chapter["epochs"]
    replay = max(1.0, trial.horizon / trial.window)
    updates: float = chapter["window"] * chapter["batch"] / (trial.window * trial.batch)
    tokens, words = _size(trial.corpus, trial.tokens)
    words = min(words, trial.vocab or words)
    more = work(trial.options, words) / work({**spec.options}, HUMAN_NUMBERS_SIZE[1])
    return spec.seconds * epochs * replay * (1 + updates) / 2 * tokens / HUMAN_NUMBERS_SIZE[0] * more


def work(options: Mapping[str, Scalar], words: int) -> float:
    """About what a token costs to train on, in µs of one core: something, the network, and every word.

    Measured of AWD-LSTM at 48 to 1,150 units (11 to 1,600 µs) and 30 to 10,000 words (11 to 219 µs).
    """
    hidden = int(options.get("hidden", 0))
    width = int(options.get("embedding", hidden))
    sizes = [width, *[hidden] * (int(options.get("layers", 1)) - 1), width]
    weights = sum(4 * n * (m + n) for m, n in pairwise(sizes))
    return 5 + 7e-5 * weights + words * (0.018 + 8e-5 * width)


@cache
def _size(corpus: str, kind: str) -> tuple[int, int]:
    """Tokens of a text and how many there are of them, different ones."""
    if (corpus, kind) == (HUMAN_NUMBERS, "word"):
        return HUMAN_NUMBERS_SIZE
    tokens = tokens_of(corpus, kind)
    return len(tokens), len(set(tokens))


def contrasts(study: Study) -> int:
    """How many contrasts the plan declares: not of exploratory arms, nor of those others are held against."""
    bases = {arm.against for arm in study.arms}
    return sum(not arm.exploratory and arm.name not in bases for arm in study.arms[1:])
