"""Text → tokens → windows → batches.

A window is `window` tokens and the same tokens shifted by one. The chapter's two set-ups differ only in
the target (after the last word, or after every word) and in the order of the windows.
Source: fastbook chapter 12, "The Data" and "Maintaining the State of an RNN".
"""

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from unrolled.bench.chapter.text import data_hash, is_human_numbers, tokens_of
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.errors import BadInput

UNKNOWN = "<unk>"
TRAIN_SHARE = 0.8
CUT = 4  # rows that read a validation block; one reads a training block, so that a fifth is validation

_ROLES = {
    "separator": ".",
    "lead digit": "",  # a digit after a separator
    "thousand": "thousand",
    "digit": "one two three four five six seven eight nine",
    "hundred": "hundred",
    "tens": "twenty thirty forty fifty sixty seventy eighty ninety",
    "teen": "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen",
}
"""The roles in Human Numbers, and the words that have them."""
_BANDS = (10, 100, 1000)  # frequency ranks that bound the roles of an ordinary text


@dataclass(frozen=True)
class Corpus:
    """A text as token ids: `ids` (n,) int64, `vocab` the token of each id, `roles` the kind of each token."""

    name: str
    sha256: str
    ids: Tensor
    vocab: tuple[str, ...]
    roles: Tensor  # (n,) int64, an index into role_names
    role_names: tuple[str, ...]

    def decode(self, ids: Tensor) -> list[str]:
        """The tokens of a row of ids."""
        return [self.vocab[i] for i in ids.tolist()]


@dataclass
class Batches:
    """Batches of one split. Iterating yields int64 (inputs (b, window), targets (b, window) or (b,)).

    `rows` (k, b) holds the indices of the windows of each batch, `rest` those of a shorter last batch.
    With `random`, the windows are shuffled at every pass.
    """

    inputs: Tensor  # (windows, window)
    targets: Tensor  # (windows, window) or (windows,)
    positions: Tensor  # shaped as targets: the position of each target in the corpus
    rows: Tensor
    rest: Tensor
    random: torch.Generator | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def to(self, device: torch.device) -> Self:
        """The same batches on a device. All windows are copied to a GPU at the first pass."""
        return replace(self, device=device)

    def __len__(self) -> int:
        return len(self.rows) + bool(len(self.rest))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        inputs, targets = self._on_device
        order = self.rows
        if self.random is not None:
            drawn = torch.randperm(self.rows.numel(), generator=self.random)
            order = self.rows.flatten()[drawn].view_as(order)
        for rows in [*self._sent(order), *([self._sent(self.rest)] if len(self.rest) else [])]:
            yield inputs[rows], targets[rows]

    @property
    def order(self) -> Tensor:
        """Indices of the windows in the order of one unshuffled pass."""
        return torch.cat([self.rows.flatten(), self.rest])

    @property
    def tokens(self) -> int:
        """Tokens read in one pass."""
        return len(self.order) * self.inputs.shape[1]

    @cached_property
    def _on_device(self) -> tuple[Tensor, Tensor]:
        return self._sent(self.inputs), self._sent(self.targets)

    def _sent(self, tensor: Tensor) -> Tensor:
        """A tensor of the CPU on the device, without waiting for it."""
        return tensor.to(self.device, non_blocking=True)


def load(trial: ChapterTrial) -> Corpus:
    """The corpus of a trial, tokenised."""
    return corpus(trial.corpus, tokens=trial.tokens, cap=trial.vocab)


@functools.cache
def corpus(name: str, tokens: str = "word", cap: int = 0) -> Corpus:
    """Tokenise a corpus. The vocabulary is in order of first appearance, capped at the `cap` most common."""
    words = tokens_of(name, tokens)
    counts = Counter(words)  # in order of first appearance
    vocab = list(counts)
    if cap and cap < len(vocab):
        kept = {word for word, _ in counts.most_common(cap - 1)}
        vocab = [word for word in vocab if word in kept] + [UNKNOWN]
    number = {word: i for i, word in enumerate(vocab)}
    ids = torch.tensor([number.get(word, len(vocab) - 1) for word in words])
    numbers = tokens == "word" and is_human_numbers(name)
    roles, role_names = _number_roles(words) if numbers else _band_roles(ids, len(vocab))
    return Corpus(name, data_hash(name), ids, tuple(vocab), roles, role_names)


def batches(
    trial: ChapterTrial, data: Corpus, random: torch.Generator | None = None
) -> tuple[Batches, Batches]:
    """Training and validation batches of a trial; `random` draws a shuffled order of training.

    Windows start at 0, s, 2s … below n−w−1, where s is the stride, or w. `grouped` reorders each split
    so that row j of every batch reads the j-th of `batch` contiguous stretches (the chapter's `group_chunks`)
    and drops incomplete batches; otherwise the order is the text's and only training drops its last batch.
    Raises BadInput where the text is too short for one batch of each split.
    """
    w, b, stride = trial.window, trial.batch, trial.stride or trial.window
    count = len(range(0, len(data.ids) - w - 1, stride))
    # Arithmetic first: a window or a batch may be any number. The rest is no larger than the text.
    train, valid = _split(count, trial) if count >= 2 * b else (data.ids[:0], data.ids[:0])
    if min(len(train), len(valid)) < b:
        rule = f"{len(data.ids):,} tokens are too few for batch = {b} and window = {w}"
        need = (max(b, 2) * stride * 5) + w + 1
        cure = f"about {need:,} are needed: give a longer text, or lower batch or window"
        raise BadInput(rule, place=f"corpus {data.name}", cure=cure)
    starts = torch.arange(count) * stride
    offsets = torch.arange(w)
    inputs = data.ids[starts[:, None] + offsets]
    positions = starts[:, None] + offsets + 1
    if trial.target == "last":
        positions = positions[:, -1]
    whole = (inputs, data.ids[positions], positions)
    drawn = random if trial.order == "shuffled" else None
    rest = valid[:0] if trial.order == "grouped" else valid[len(valid) // b * b :]
    return (
        Batches(*whole, rows=_in_batches(train, trial), rest=train[:0], random=drawn),
        Batches(*whole, rows=_in_batches(valid, trial), rest=rest),
    )


def _in_batches(part: Tensor, trial: ChapterTrial) -> Tensor:
    b, m = trial.batch, len(part) // trial.batch
    whole = part[: m * b]
    return whole.view(b, m).t().contiguous() if trial.order == "grouped" else whole.view(m, b)


def _split(count: int, trial: ChapterTrial) -> tuple[Tensor, Tensor]:
    """Indices of the training and the validation windows. The split is of the data: no seed moves it.

    A row of grouped batches lies within one block, so that no state runs from one block into another.
    """
    if trial.split == "tail":
        cut = int(count * TRAIN_SHARE)
        return torch.arange(cut), torch.arange(cut, count)
    rows, held = trial.batch, -(-trial.batch // CUT)
    size = count // (rows + held)  # of a block; the windows behind the last one are left out
    blocks = torch.arange((rows + held) * size).view(-1, size)
    drawn = torch.randperm(rows + held, generator=torch.Generator().manual_seed(0))
    train, valid = (blocks[drawn[part].sort().values] for part in (slice(held, None), slice(held)))
    cut = -(-rows // held)  # CUT, where that divides the batch
    return train.flatten(), valid[:, : size // cut * cut].reshape(held * cut, size // cut)[:rows].flatten()


def _number_roles(words: list[str]) -> tuple[Tensor, tuple[str, ...]]:
    names = tuple(_ROLES)
    number = {word: i for i, members in enumerate(_ROLES.values()) for word in members.split()}
    separator, lead, digit = map(names.index, ("separator", "lead digit", "digit"))
    roles = torch.tensor([separator, *(number[word] for word in words)])
    roles[1:][(roles[1:] == digit) & (roles[:-1] == separator)] = lead
    return roles[1:], names


def _band_roles(ids: Tensor, size: int) -> tuple[Tensor, tuple[str, ...]]:
    rank = torch.empty(size, dtype=torch.long)
    rank[torch.bincount(ids, minlength=size).argsort(descending=True, stable=True)] = torch.arange(size)
    low = (0, *_BANDS)
    names = [f"rank {a + 1}–{b}" for a, b in zip(low, _BANDS, strict=False)] + [f"rank above {_BANDS[-1]}"]
    return torch.bucketize(rank[ids], torch.tensor(_BANDS), right=True), tuple(names)
