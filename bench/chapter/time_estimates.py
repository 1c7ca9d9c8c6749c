"""Estimates of what a trial costs, by arithmetic alone. Imports no torch."""

from collections.abc import Mapping
from functools import cache
from itertools import pairwise

from unrolled.bench.chapter.chapter_trial import ChapterTrial, make_chapter_trial
from unrolled.bench.chapter.models.registry import find_model
from unrolled.bench.chapter.text import is_human_numbers, read_corpus_tokens
from unrolled.bench.trial import Scalar

HUMAN_NUMBERS_SIZE = 63_095, 30  # tokens and words of the text on which the registry's seconds were measured

REPLAY_COST = 0.75  # cost of replaying an earlier window, as a share of the cost of a window
PIECE_COST = 0.1  # cost of each further piece that a window is cut into, as a share of the cost of a window

SMALLEST_TOKEN_COST = 5.0  # µs of one core that a token costs, whatever the size of the model


def estimate_seconds(trial: ChapterTrial) -> float:
    """Return the estimated seconds of a trial on one core.

    The estimate is seconds · tokens · (1 + updates) / 2 · cost. `seconds` is in the registry, as measured in
    the chapter's set-up. The other factors are ratios to this set-up:

    - tokens: tokens read. A `detach_every` above the window replays windows (REPLAY_COST). A `detach_every`
      below the window cuts windows into pieces (PIECE_COST). Both count as more tokens.
    - updates: updates a token, which take half of a trial's time
    - cost: cost of a token
    """
    spec = find_model(trial.model)
    chapter = make_chapter_trial(trial.model)
    length, words = _measure_text(trial.corpus, trial.tokens)
    reach = trial.detach_every / trial.window
    rereading = REPLAY_COST * (reach - 1) if reach > 1 else PIECE_COST * (1 / reach - 1)
    tokens = trial.epochs * length * trial.window / (trial.stride or trial.window) * (1 + rereading)
    passes = tokens / (chapter.epochs * HUMAN_NUMBERS_SIZE[0])
    updates = chapter.batch * chapter.window / (trial.batch * trial.window)
    token_cost = estimate_token_microseconds(trial.options, min(words, trial.vocab or words))
    chapter_cost = estimate_token_microseconds(spec.options, HUMAN_NUMBERS_SIZE[1])
    return spec.chapter_seconds * passes * (1 + updates) / 2 * (token_cost / chapter_cost)


def estimate_token_microseconds(options: Mapping[str, Scalar], words: int) -> float:
    """Return the estimated cost of training on one token, in µs of one core.

    The constants fit AWD-LSTM at 48 to 1,150 units (11 to 1,600 µs) and 30 to 10,000 words (11 to 219 µs).
    """
    sizes = list_sizes(options)
    hidden = sizes.get("hidden", 0)
    width = sizes.get("embedding", hidden)
    widths = [width, *[hidden] * (sizes.get("layers", 1) - 1), width]
    weights = sum(4 * outputs * (inputs + outputs) for inputs, outputs in pairwise(widths))
    return SMALLEST_TOKEN_COST + 7e-5 * weights + words * (0.018 + 8e-5 * width)


def list_sizes(options: Mapping[str, Scalar]) -> dict[str, int]:
    """Return the options that are sizes of the network. A plug-in's option of this name may be no number."""
    sizes = {name: options.get(name) for name in ("hidden", "embedding", "layers")}
    return {name: value for name, value in sizes.items() if type(value) is int and value > 0}


def check_length(trial: ChapterTrial) -> None:
    """Raise BadInput for a text that is too short for a batch of each split, before torch is loaded."""
    length, _ = _measure_text(trial.corpus, trial.tokens)
    trial.check_text_length(length)


@cache
def _measure_text(corpus: str, token_type: str) -> tuple[int, int]:
    """Return the tokens of a text, and how many different ones there are."""
    if token_type == "word" and is_human_numbers(corpus):
        return HUMAN_NUMBERS_SIZE
    tokens = read_corpus_tokens(corpus, token_type)
    return len(tokens), len(set(tokens))
