"""Commands for the chapter alone: `show models` and `corpus`, generated text, and the book's notebook."""

import textwrap
from collections.abc import Sequence
from typing import Any

from unrolled.ablations.options import ShowOptions, parse_set
from unrolled.ablations.study.chapter_factory import make_arm_fields
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.models.registry import ZOO
from unrolled.bench.chapter.models.spec import PLUGIN_PENALTIES
from unrolled.bench.chapter.retrain import continue_text, retrain_model
from unrolled.bench.errors import require
from unrolled.bench.phrases import make_visible
from unrolled.bench.trial import Result, Trial

WIDTH = 100  # characters of a printed line


def print_models() -> int:
    """Print the models and the penalties, and what can be set on each."""
    for spec in ZOO.values():
        options = ", ".join(f"{key}={value}" for key, value in spec.options.items()) or "no options"
        print(f"{spec.name:<14} {spec.title:<18} {spec.description}\n{'':<14} {options}")
    for penalty in PLUGIN_PENALTIES.values():
        print(f"{penalty.name:<14} {penalty.title:<18} {penalty.description}")
        print(f"{'':<14} an option of every trained model: {penalty.name}=0.0")
    return 0


def print_corpus(options: ShowOptions) -> int:
    """Print the first batches of the validation set, decoded into words."""
    from unrolled.bench.chapter.corpus import load_corpus, make_batches  # imports torch

    settings: dict[str, Any] = {}
    for key, values in map(parse_set, options.set):
        require(
            len(values) == 1 and key not in settings,
            "a corpus is shown for one value",
            place=f"--set {key}",
            cure="leave the others out",
        )
        settings[key] = values[0]
    trial = ChapterTrial(seed=0, **make_arm_fields({"model": "lm4", **settings}))
    data = load_corpus(trial)
    train, valid = make_batches(trial, data)
    target_count = valid.positions[valid.window_order].numel()
    print(f"{data.name}: {len(data.ids):,} tokens, vocabulary {len(data.vocab):,}, sha256 {data.sha256[:12]}")
    print(f"training {len(train):,} batches, validation {len(valid):,} batches, {target_count:,} targets")
    for number, (inputs, targets) in zip(range(options.batches), valid, strict=False):
        row_count = min(options.rows, len(inputs))
        print(f"\nvalidation batch {number}, its first {row_count} rows of {len(inputs)}:")
        for row, target in zip(inputs[:row_count], targets[:row_count].view(row_count, -1), strict=True):
            print(make_visible(f"  {' '.join(data.decode(row))}  →  {' '.join(data.decode(target))}"))
    return 0


def generate_text(result: Result, count: int) -> tuple[str, list[str]]:
    """Train a trial again and let the model continue the first validation window by `count` tokens.

    Returns a title, and lines of the window, the tokens and the model's name.
    """
    model = retrain_model(result)
    prompt, words = (_join_tokens(tokens, result.trial) for tokens in continue_text(model, count))
    return "continuation of the first validation window", [*prompt, "→", *words, f"({model})"]


def _join_tokens(tokens: Sequence[str], trial: Trial) -> list[str]:
    """Return lines of words, or of characters with ␣ for a space and ⏎ for the end of a line."""
    if trial.task.get("tokens") == "char":
        text = "".join(tokens).replace("\n", "⏎").replace(" ", "␣")
        return [text[start : start + WIDTH] for start in range(0, len(text), WIDTH)]
    return textwrap.wrap(" ".join(tokens), WIDTH, break_on_hyphens=False)


def replay_notebook() -> int:
    """Replay the book's notebook and print its rows beside ours."""
    from unrolled.bench.chapter.golden import (  # imports fastai
        describe_machine_differences,
        play_notebook,
        tabulate_rows,
    )

    for line in tabulate_rows(play_notebook(), describe_machine_differences()):
        print(line, flush=True)
    return 0
