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
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor

from unrolled.bench.chapter.chapter_trial import ROWS_PER_VALID_BLOCK, TRAIN_SHARE, ChapterTrial
from unrolled.bench.chapter.text import hash_corpus, is_human_numbers, read_corpus_tokens

UNKNOWN = "<unk>"

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
_RANKS = (10, 100, 1000)  # frequency ranks that bound the roles of words in texts other than Human Numbers


@dataclass(frozen=True)
class Corpus:
    """A text as token ids, with the role of each token."""

    name: str
    sha256: str
    ids: Tensor  # (n,) int64
    vocab: tuple[str, ...]  # the token of each id
    roles: Tensor  # (n,) int64, an index into role_names
    role_names: tuple[str, ...]

    def decode(self, ids: Tensor) -> list[str]:
        """Return the tokens of a row of ids."""
        return [self.vocab[id] for id in ids.tolist()]


@dataclass
class Batches:
    """Batches of one split. Iterating yields int64 pairs (inputs (b, window), targets (b, window) or (b,)).

    Row i of `batch_windows` has the window indices of full batch i; `partial_batch` has the window indices
    of a shorter last batch. With a generator, the windows are shuffled at every pass.
    """

    all_inputs: Tensor  # (windows, window)
    all_targets: Tensor  # (windows, window) or (windows,)
    positions: Tensor  # same shape as `all_targets`: the position of each target in the corpus
    batch_windows: Tensor  # (batches, b)
    partial_batch: Tensor  # (r,), r < b
    generator: torch.Generator | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def to(self, device: torch.device) -> Self:
        """Return the same batches on a device. All windows are copied to a GPU at the first pass."""
        return replace(self, device=device)

    def __len__(self) -> int:
        return len(self.batch_windows) + bool(len(self.partial_batch))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        inputs, targets = self._device_windows
        batch_windows = self.batch_windows
        if self.generator is not None:
            permutation = torch.randperm(batch_windows.numel(), generator=self.generator)
            batch_windows = batch_windows.flatten()[permutation].view_as(batch_windows)
        batches = list(self._to_device(batch_windows))
        if len(self.partial_batch):
            batches.append(self._to_device(self.partial_batch))
        yield from ((inputs[windows], targets[windows]) for windows in batches)

    @property
    def window_order(self) -> Tensor:
        """Indices of the windows in the order of one unshuffled pass."""
        return torch.cat([self.batch_windows.flatten(), self.partial_batch])

    @property
    def token_count(self) -> int:
        """The number of tokens read in one pass."""
        return len(self.window_order) * self.all_inputs.shape[1]

    @cached_property
    def _device_windows(self) -> tuple[Tensor, Tensor]:
        return self._to_device(self.all_inputs), self._to_device(self.all_targets)

    def _to_device(self, tensor: Tensor) -> Tensor:
        """Copy a tensor of the CPU to the device, without waiting for it."""
        return tensor.to(self.device, non_blocking=True)


def load_corpus(trial: ChapterTrial) -> Corpus:
    """Return the corpus of a trial, tokenised."""
    return tokenize_corpus(trial.corpus, tokens=trial.tokens, cap=trial.vocab)


@functools.cache
def tokenize_corpus(name: str, tokens: str = "word", cap: int = 0) -> Corpus:
    """Tokenise a corpus. The vocabulary is in order of first appearance, capped at the `cap` most common."""
    words = read_corpus_tokens(name, tokens)
    counts = Counter(words)  # Counter keeps the order of first appearance
    vocab = list(counts)
    if cap and cap < len(vocab):
        common = {word for word, _ in counts.most_common(cap - 1)}
        vocab = [word for word in vocab if word in common] + [UNKNOWN]
    id_of_word = {word: id for id, word in enumerate(vocab)}
    ids = torch.tensor([id_of_word.get(word, len(vocab) - 1) for word in words])
    if tokens == "word" and is_human_numbers(name):
        roles, role_names = _assign_number_roles(words)
    else:
        roles, role_names = _assign_frequency_roles(ids, len(vocab))
    return Corpus(name, hash_corpus(name), ids, tuple(vocab), roles, role_names)


def make_batches(
    trial: ChapterTrial, corpus: Corpus, generator: torch.Generator | None = None
) -> tuple[Batches, Batches]:
    """Return the training and validation batches of a trial. `generator` shuffles the training windows.

    Windows start at 0, s, 2s … below n−w−1, where n is the text's length, w the window and s the stride, or w
    for a stride of 0. With `grouped`, the chapter's `group_chunks`, each split is cut into `batch` contiguous
    stretches, and row j of every batch reads the next window of stretch j; incomplete batches are dropped.
    Otherwise windows follow in the text's order, and only training drops an incomplete last batch. Raises
    BadInput if the text is too short for one batch of each split.
    """
    trial.check_text_length(len(corpus.ids))  # without this check, tensors might not fit into memory
    starts = torch.arange(0, len(corpus.ids) - trial.window - 1, trial.stride or trial.window)
    train, valid = _split_windows(len(starts), trial)
    input_positions = starts[:, None] + torch.arange(trial.window)
    inputs = corpus.ids[input_positions]
    positions = input_positions + 1
    if trial.target == "last":
        positions = positions[:, -1]
    windows = (inputs, corpus.ids[positions], positions)
    train_batches = Batches(*windows, batch_windows=_group_rows(train, trial), partial_batch=train[:0])
    if trial.order == "shuffled":
        train_batches.generator = generator
    full_batches = len(valid) // trial.batch
    partial_batch = valid[:0] if trial.order == "grouped" else valid[full_batches * trial.batch :]
    valid_batches = Batches(*windows, batch_windows=_group_rows(valid, trial), partial_batch=partial_batch)
    return train_batches, valid_batches


def _group_rows(windows: Tensor, trial: ChapterTrial) -> Tensor:
    """Return the indices (k, b) of the windows of each full batch, in the trial's order."""
    batch_count = len(windows) // trial.batch
    windows = windows[: batch_count * trial.batch]
    if trial.order == "grouped":
        return windows.view(trial.batch, batch_count).t().contiguous()
    return windows.view(batch_count, trial.batch)


def _split_windows(count: int, trial: ChapterTrial) -> tuple[Tensor, Tensor]:
    """Return the indices of the training and the validation windows, which do not depend on the seed.

    With blocks, each row of grouped batches lies within one block, so that no state is carried from one block
    into another.
    """
    if trial.split == "tail":
        cut = int(count * TRAIN_SHARE)
        return torch.arange(cut), torch.arange(cut, count)
    valid_blocks = -(-trial.batch // ROWS_PER_VALID_BLOCK)
    block_count = trial.batch + valid_blocks
    block_size = count // block_count  # in windows; windows after the last block are left out
    blocks = torch.arange(block_count * block_size).view(block_count, block_size)
    permutation = torch.randperm(block_count, generator=torch.Generator().manual_seed(0))
    valid = blocks[permutation[:valid_blocks].sort().values]
    train = blocks[permutation[valid_blocks:].sort().values]
    rows_per_block = -(-trial.batch // valid_blocks)  # equals ROWS_PER_VALID_BLOCK if that divides the batch
    row_size = block_size // rows_per_block
    valid_rows = valid[:, : row_size * rows_per_block].reshape(valid_blocks * rows_per_block, row_size)
    return train.flatten(), valid_rows[: trial.batch].flatten()


def _assign_number_roles(words: list[str]) -> tuple[Tensor, tuple[str, ...]]:
    """Return the role of each word of Human Numbers, as an index into the names, and the names."""
    names = tuple(_ROLES)
    role_of_word = {word: role for role, members in enumerate(_ROLES.values()) for word in members.split()}
    separator, lead_digit, digit = map(names.index, ("separator", "lead digit", "digit"))
    # the first token counts as if it followed a separator
    roles = torch.tensor([separator, *(role_of_word[word] for word in words)])
    roles[1:][(roles[1:] == digit) & (roles[:-1] == separator)] = lead_digit
    return roles[1:], names


def _assign_frequency_roles(ids: Tensor, vocab: int) -> tuple[Tensor, tuple[str, ...]]:
    """Return the band of frequency ranks of each token, as an index into the names: "rank 11–100" …"""
    rank = torch.empty(vocab, dtype=torch.long)
    rank[torch.bincount(ids, minlength=vocab).argsort(descending=True, stable=True)] = torch.arange(vocab)
    names = [f"rank {low + 1}–{high}" for low, high in pairwise((0, *_RANKS))]
    names.append(f"rank above {_RANKS[-1]}")
    return torch.bucketize(rank[ids], torch.tensor(_RANKS), right=True), tuple(names)
