"""Windows, splits and orders."""

from collections.abc import Callable

import pytest
import torch

from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.corpus import Corpus, load_corpus, make_batches
from unrolled.bench.chapter.training import train


def test_the_target_of_every_word_of_a_window_is_the_next(numbers: Corpus) -> None:
    train, valid = make_batches(ChapterTrial(model="lm4", seed=0), numbers)
    starts = range(0, 63_095 - 16 - 1, 16)  # the chapter's range(0, len(nums)-sl-1, sl)
    assert train.positions[:, 0].tolist() == [start + 1 for start in starts]
    assert valid.window_order.min() == int(3_943 * 0.8)
    assert torch.equal(numbers.ids[train.positions], train.all_targets)
    assert all(torch.equal(inputs[:, 1:], targets[:, :-1]) for inputs, targets in train)


def test_row_j_of_every_batch_reads_the_jth_stretch_on_and_on(numbers: Corpus) -> None:
    """As group_chunks: new[i + bs·j] = old[m·i + j], with m = windows // bs."""
    trial = ChapterTrial(model="lm4", seed=0)
    for split in make_batches(trial, numbers):
        first = int(split.window_order.min())
        m = len(split)
        for k, row in enumerate(split.batch_windows):
            assert row.tolist() == [first + m * j + k for j in range(trial.batch)]
        inputs = torch.stack([inputs for inputs, _ in split])  # (batches, rows, window)
        for j in range(trial.batch):
            start = (first + m * j) * trial.window
            assert torch.equal(inputs[:, j].flatten(), numbers.ids[start : start + m * trial.window])


@pytest.mark.parametrize("order", ["grouped", "sequential", "shuffled"])
@pytest.mark.parametrize("split", ["tail", "blocks"])
def test_no_window_is_in_both_splits_or_twice_in_one(numbers: Corpus, split: str, order: str) -> None:
    train, valid = make_batches(ChapterTrial(model="lm4", seed=0, split=split, order=order), numbers)
    windows = torch.cat([train.window_order, valid.window_order])
    assert len(windows.unique()) == len(windows)
    dropped = len(train.all_inputs) - len(windows)
    assert 0 <= dropped < 2 * 64
    assert len(valid.window_order) / len(windows) == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(("batch", "stride"), [(64, 0), (64, 1), (6, 0)])
def test_no_row_runs_from_one_block_into_another(numbers: Corpus, batch: int, stride: int) -> None:
    """80 blocks of a batch of 64: 64 rows train on one each, four rows of validation share one."""
    trial = ChapterTrial(model="lm4", seed=0, split="blocks", batch=batch, stride=stride, reset="batch")
    train, valid = make_batches(trial, numbers)
    blocks = batch + -(-batch // 4)
    size = len(train.all_inputs) // blocks
    assert len(train) == size
    assert (valid.batch_windows // size == valid.batch_windows[0] // size).all()
    row = train.batch_windows[0]
    assert torch.equal(
        train.batch_windows, row + torch.arange(size)[:, None]
    )  # whole blocks, window by window
    assert torch.equal(valid.batch_windows, valid.batch_windows[0] + torch.arange(len(valid))[:, None])
    valid_blocks = (valid.batch_windows[0] // size).unique()
    assert sorted([*(row // size).tolist(), *valid_blocks.tolist()]) == list(range(blocks))
    words = " ".join(numbers.decode(train.all_inputs[train.window_order].flatten()))
    assert stride or "nine thousand" in words  # what the chapter's own split never trains on


def test_the_split_blocks_has_as_many_updates_as_the_tail(numbers: Corpus) -> None:
    tail, blocks = (
        make_batches(ChapterTrial(model="lm4", seed=0, split=s), numbers) for s in ("tail", "blocks")
    )
    assert [len(part.window_order) for part in blocks] == [len(part.window_order) for part in tail]


def test_a_stride_starts_windows_within_others_that_ask_for_every_word(numbers: Corpus) -> None:
    trial = ChapterTrial(
        model="lm2", seed=0, window=3, stride=1, target="last", reset="batch", order="sequential"
    )
    train, valid = make_batches(trial, numbers)
    targets = torch.cat([train.positions[train.window_order], valid.positions[valid.window_order]])
    assert train.positions[train.window_order].diff().unique().tolist() == [1]
    assert torch.equal(train.all_inputs[1:, :2], train.all_inputs[:-1, 1:])
    assert len(targets.unique()) == len(targets) > 63_095 - 64 - 5


@pytest.fixture
def read_passes(make_small_trial: Callable[..., ChapterTrial]) -> Callable[..., list[list[int]]]:
    """Return a function that reads the first words of two training passes' targets."""

    def read(model: str = "lm6", **changes: object) -> list[list[int]]:
        _, batches, _ = train.load_data(make_small_trial(model, **changes))
        passes = [list(batches) for _ in range(2)]
        first_words = [sorted(int(word) for x, _ in pairs for word in x[:, 0]) for pairs in passes]
        assert first_words[0] == first_words[1]  # the same windows, whatever their order
        return [[int(y[0].flatten()[0]) for _, y in pairs] for pairs in passes]

    return read


def test_a_shuffled_order_differs_by_pass_and_seed_alone(
    read_passes: Callable[..., list[list[int]]],
) -> None:
    first, second = read_passes(order="shuffled")
    assert first != second
    assert read_passes(order="shuffled", seed=1)[0] != first
    assert read_passes("lm4", order="shuffled", lr=1e-3) == [first, second]
    assert read_passes("gru", order="shuffled", options={"hidden": 16, "layers": 1}) == [first, second]


@pytest.mark.parametrize(
    "changes", [{"order": "sequential"}, {"split": "tail"}, {"split": "blocks"}], ids=str
)
def test_a_fixed_order_is_the_same_in_every_pass_and_seed(
    read_passes: Callable[..., list[list[int]]], changes: dict[str, str]
) -> None:
    first, second = read_passes(**changes)
    assert first == second == read_passes(**changes, seed=1)[0]


def test_the_last_batch_of_an_ungrouped_validation_is_read_however_short(
    make_small_trial: Callable[..., ChapterTrial],
) -> None:
    trial = make_small_trial(order="sequential")
    train, valid = make_batches(trial, load_corpus(trial))
    assert len(valid.window_order) == 60
    assert len(train.partial_batch) == 0  # 299 windows: 239 and 60
    assert [len(x) for x, _ in valid] == [8] * 7 + [4]
    assert train.batch_windows.shape == (29, 8)
