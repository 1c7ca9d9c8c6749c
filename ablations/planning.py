"""What a study costs and what it can decide, before a minute is spent. Pure arithmetic."""

import math
from dataclasses import dataclass
from pathlib import Path

from ablations.settings import complete
from ablations.study import Study
from bench.models.registry import spec_of
from bench.trial import Trial

ALPHA = 0.05
FEWEST_SEEDS = 5  # with fewer the only verdict is INCONCLUSIVE
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


@dataclass(frozen=True)
class Power:
    """What so many seeds can and cannot decide for so many contrasts."""

    contrasts: int
    seeds: int

    @property
    def needed(self) -> int:
        """Seeds from which an exact sign-flip test can reach .05 after Holm: ⌈1 + log2(k/.05)⌉."""
        return math.ceil(1 + math.log2(max(self.contrasts, 1) / ALPHA))

    @property
    def exact(self) -> bool:
        """Whether the exact test can reach .05 at all: its smallest p is 2^(1 − seeds)."""
        return self.seeds >= self.needed

    @property
    def decides(self) -> bool:
        """Whether any verdict but INCONCLUSIVE is possible."""
        return self.seeds >= FEWEST_SEEDS

    def __str__(self) -> str:
        count = f"{_number(self.seeds, 'seed')}, {_number(self.contrasts, 'contrast')}"
        if not self.decides:
            return (
                f"{count}: every verdict will be INCONCLUSIVE; at least {FEWEST_SEEDS} seeds decide anything"
            )
        smallest = f"the smallest exact p is {2.0 ** (1 - self.seeds):.2g}"
        if self.exact:
            return f"{count}: {smallest}, so exact tests can reach .05 after Holm"
        return f"{count}: {smallest}, so no exact test can reach .05 after Holm; {self.needed} seeds can"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def power(study: Study) -> Power:
    """The power of a study. Its contrasts are every arm that the plan declares, against the baseline."""
    declared = [arm for arm in study.arms[1:] if not arm.exploratory]
    return Power(len(declared), len(study.seeds))
