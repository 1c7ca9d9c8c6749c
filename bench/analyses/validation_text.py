"""The validation text: its first batches, what counting tells of it, and what training never holds."""

from collections import Counter
from typing import Any

from bench.corpus import batches as split_into
from bench.corpus import corpus
from bench.text import HUMAN_NUMBERS
from bench.trial import Trial


def batches(count: int = 2, rows: int = 3) -> dict[str, Any]:
    """The first rows of the first validation batches of LMModel4: what is read, and what is asked for."""
    data = corpus(HUMAN_NUMBERS)
    valid = split_into(Trial(model="lm4", seed=0), data)[1]
    shown = []
    for number, (inputs, targets) in zip(range(count), valid, strict=False):
        for row in range(rows):
            read, asked = (" ".join(data.decode(part[row])) for part in (inputs, targets))
            shown.append({"batch": number, "row": row, "read": read, "asked": asked})
    return {"rows": shown, "batches": len(valid), "of": len(valid.rows[0])}


def context(longest: int = 5) -> dict[str, Any]:
    """The share of validation words that counting gets right from the 1 to `longest` words before, by split.

    The guess is the word that followed those words most often in training; where training never holds them
    together, fewer of them count. Every number of words is asked for the same validation words.
    """
    data = corpus(HUMAN_NUMBERS)
    tokens, found = data.ids.tolist(), {}
    for split in ("tail", "blocks"):
        parts = split_into(Trial(model="lm6", seed=0, split=split), data)
        train, valid = (sorted(part.positions[part.order].flatten().tolist()) for part in parts)
        best = _followers(tokens, train, longest)
        asked = [at for at in valid if at >= longest]
        found[split] = {
            n: sum(_guess(best, tokens[at - n : at]) == tokens[at] for at in asked) / len(asked)
            for n in range(1, longest + 1)
        }
    return found


def _followers(tokens: list[int], train: list[int], longest: int) -> dict[tuple[int, ...], int]:
    """The word that most often follows each run of up to `longest` words."""
    followed: dict[tuple[int, ...], Counter[int]] = {}
    for at in train:
        for n in range(min(longest, at) + 1):
            followed.setdefault(tuple(tokens[at - n : at]), Counter())[tokens[at]] += 1
    return {words: counts.most_common(1)[0][0] for words, counts in followed.items()}


def _guess(best: dict[tuple[int, ...], int], before: list[int]) -> int:
    return next(best[run] for i in range(len(before) + 1) if (run := tuple(before[i:])) in best)


def coverage(longest: int = 5) -> dict[str, Any]:
    """For each split, the share of validation targets whose last n tokens never occur in training.

    The n tokens end with the target itself. Also the pair that is new most often, and how often.
    """
    data, found = corpus(HUMAN_NUMBERS), {}
    tokens = data.ids.tolist()
    for split in ("tail", "blocks"):
        parts = split_into(Trial(model="lm6", seed=0, split=split), data)
        train, valid = (part.positions[part.order].flatten().tolist() for part in parts)
        new = {}
        for n in range(1, longest + 1):
            known = {tuple(tokens[at - n + 1 : at + 1]) for at in train if at >= n - 1}
            missed = [gram for at in valid if (gram := tuple(tokens[at - n + 1 : at + 1])) not in known]
            new[n] = len(missed) / len(valid)
            if n == 2:
                pairs = Counter(missed).most_common(1)
        common = [{"pair": " ".join(data.vocab[i] for i in gram), "times": times} for gram, times in pairs]
        found[split] = {"new": new, "targets": len(valid), "most_common": common}
    return found
