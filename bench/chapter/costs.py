"""Estimates of what a trial costs, by arithmetic alone. Imports no torch."""

from collections.abc import Mapping
from functools import cache
from itertools import pairwise

from unrolled.bench.chapter.models.registry import spec_of
from unrolled.bench.chapter.models.spec import ModelSpec
from unrolled.bench.chapter.text import is_human_numbers, tokens_of
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.errors import require
from unrolled.bench.trial import Scalar

HUMAN_NUMBERS_SIZE = 63_095, 30  # its tokens and its words, to which the seconds of the registry belong

REPLAY, PIECE = 0.75, 0.1  # of a window's time: to read one before it again, and to cut it once more
TRAIN_SHARE, CUT = 0.8, 4  # of the two splits, as in bench.chapter.corpus, which needs torch

FIXED = 5.0  # µs a token of one core that no size changes
GPU_START = 2.75  # seconds of a process before a GPU's first update: CUDA's context and kernels, 1.5 to 4
GPU_CORES = 120.0  # cores that a GPU does the arithmetic of: half of an A100's 19.5 TFLOP/s, .086 a core


def seconds(trial: ChapterTrial) -> float:
    """Estimated seconds of a trial on its device, with the start of its process."""
    return expected_seconds(trial) if trial.device == "cpu" else GPU_START + gpu_seconds(trial)


def expected_seconds(trial: ChapterTrial) -> float:
    """Estimated seconds of a trial on one core, from the measured cost of the chapter's set-up.

    seconds × tokens read/the chapter's × (½ + ½ · chapter's window·batch/window·batch) × `work` a token/the
    chapter's. Half of a trial's time goes to its tokens, which no window changes, and half to its updates, of
    which a longer window or a larger batch needs fewer.
    """
    spec, words, _, (passes, batches, windows) = _size(trial)
    more = work(trial.options, words) / work(spec.options, HUMAN_NUMBERS_SIZE[1])
    return spec.seconds * passes * (1 + batches * windows) / 2 * more


def gpu_seconds(trial: ChapterTrial) -> float:
    """Estimated seconds that a trial keeps a GPU busy, without the start of its process (`GPU_START`).

    Launches bound a small model: the chapter's `gpu_seconds` × tokens read/the chapter's ×
    chapter's batch/batch × (½ + ½ · chapter's window/window), as half of the launches belong to a
    position of a window and half to an update, × layers/chapter's layers. Arithmetic bounds a large one:
    `work` beyond its constant part, of `GPU_CORES` cores. These are estimates; no measurement of a machine
    changes them, since `--device auto` goes by them.
    """
    spec, words, tokens, (passes, batches, windows) = _size(trial)
    layers = sizes(trial.options).get("layers", 1) / sizes(spec.options).get("layers", 1)
    launches = spec.gpu_seconds * passes * batches * (1 + windows) / 2 * layers
    arithmetic = (work(trial.options, words) - FIXED) * 1e-6 / GPU_CORES
    return launches + (0.0 if spec.counted else tokens * arithmetic)


def _size(trial: ChapterTrial) -> tuple[ModelSpec, int, float, tuple[float, float, float]]:
    """A trial's model, words and tokens read; and these tokens, 1/batch and 1/window over the chapter's.

    A window that is read again for a longer `detach_every` counts as `REPLAY`, each cut by a shorter one as
    `PIECE`.
    """
    chapter = spec_of(trial.model).trial()
    length, words = _text_size(trial.corpus, trial.tokens)
    reach, stride = trial.detach_every / trial.window, trial.stride or trial.window
    again = REPLAY * (reach - 1) if reach > 1 else PIECE * (1 / reach - 1)
    tokens = trial.epochs * length * trial.window / stride * (1 + again)
    passes = tokens / (chapter.epochs * HUMAN_NUMBERS_SIZE[0])
    ratios = passes, chapter.batch / trial.batch, chapter.window / trial.window
    return spec_of(trial.model), min(words, trial.vocab or words), tokens, ratios


def work(options: Mapping[str, Scalar], words: int) -> float:
    """Estimated cost of training on one token, in µs of one core: a constant, the network, the vocabulary.

    Measured of AWD-LSTM at 48 to 1,150 units (11 to 1,600 µs) and 30 to 10,000 words (11 to 219 µs).
    """
    known = sizes(options)
    hidden = known.get("hidden", 0)
    width = known.get("embedding", hidden)
    widths = [width, *[hidden] * (known.get("layers", 1) - 1), width]
    weights = sum(4 * n * (m + n) for m, n in pairwise(widths))
    return FIXED + 7e-5 * weights + words * (0.018 + 8e-5 * width)


def sizes(options: Mapping[str, Scalar]) -> dict[str, int]:
    """The sizes of a network among its options. A plug-in may call by these names what is no count."""
    known = {name: options.get(name) for name in ("hidden", "embedding", "layers")}
    return {name: value for name, value in known.items() if type(value) is int and value > 0}


def check_length(trial: ChapterTrial) -> None:
    """Raise BadInput for a text that is too short for a batch of each split.

    Where `bench.chapter.corpus.batches` does, and before torch is loaded.
    """
    w, b, stride = trial.window, trial.batch, trial.stride or trial.window
    length, _ = _text_size(trial.corpus, trial.tokens)
    count = len(range(0, length - w - 1, stride))
    if trial.split == "tail":
        short = count - int(count * TRAIN_SHARE) < b
    else:
        held = -(-b // CUT)
        short = count // (b + held) < -(-b // held)
    rule = f"{length:,} tokens are too few for batch = {b} and window = {w}"
    needed = max(b, 2) * stride * 5 + w + 1
    cure = f"about {needed:,} are needed: give a longer text, or lower batch or window"
    require(not short and count >= 2 * b, rule, place=f"corpus {trial.corpus}", cure=cure)


@cache
def _text_size(corpus: str, kind: str) -> tuple[int, int]:
    """Tokens of a text and how many there are of them, different ones."""
    if kind == "word" and is_human_numbers(corpus):
        return HUMAN_NUMBERS_SIZE
    tokens = tokens_of(corpus, kind)
    return len(tokens), len(set(tokens))
