"""The validation text: its first batches in words, and the share of it that training never contains."""

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
