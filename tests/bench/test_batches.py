"""Windows, splits and orders."""

from collections.abc import Callable

import pytest
import torch

from bench.corpus import Corpus, batches, load
from bench.training import train
from bench.trial import Trial


def test_windows_start_every_w_tokens_and_the_target_of_every_word_is_the_next_one(numbers: Corpus) -> None:
    train, valid = batches(Trial(model="lm4", seed=0), numbers)
    starts = range(0, 63_095 - 16 - 1, 16)  # the chapter's range(0, len(nums)-sl-1, sl)
    assert train.positions[:, 0].tolist() == [start + 1 for start in starts]
    assert valid.order.min() == int(3_943 * 0.8)
    assert torch.equal(numbers.ids[train.positions], train.targets)
    assert all(torch.equal(inputs[:, 1:], targets[:, :-1]) for inputs, targets in train)


def test_row_j_of_every_batch_reads_the_jth_stretch_on_and_on(numbers: Corpus) -> None:
    """As group_chunks: new[i + bs·j] = old[m·i + j], with m = windows // bs."""
    trial = Trial(model="lm4", seed=0)
    for split in batches(trial, numbers):
        first, m = int(split.order.min()), len(split)
        for k, row in enumerate(split.rows):
            assert row.tolist() == [first + m * j + k for j in range(trial.batch)]
        read = torch.stack([inputs for inputs, _ in split])  # (batches, rows, window)
        for j in range(trial.batch):
            stretch = (first + m * j) * trial.window
            assert torch.equal(read[:, j].flatten(), numbers.ids[stretch : stretch + m * trial.window])


def test_incomplete_batches_are_dropped_from_grouped_data(numbers: Corpus) -> None:
    train, valid = batches(Trial(model="lm4", seed=0), numbers)
    assert (len(train), len(valid)) == (3_154 // 64, 789 // 64)
    assert {len(inputs) for split in (train, valid) for inputs, _ in split} == {64}
    assert train.tokens == 49 * 64 * 16


@pytest.mark.parametrize("order", ["grouped", "sequential", "shuffled"])
@pytest.mark.parametrize("split", ["tail", "blocks"])
def test_no_window_is_in_both_splits_or_twice_in_one(numbers: Corpus, split: str, order: str) -> None:
    train, valid = batches(Trial(model="lm4", seed=0, split=split, order=order), numbers)
    seen = torch.cat([train.order, valid.order])
    assert len(seen.unique()) == len(seen)
    dropped = len(train.inputs) - len(seen)
    assert 0 <= dropped < 2 * 64
    assert len(valid.order) / len(seen) == pytest.approx(0.2, abs=0.01)


def test_the_blocks_are_contiguous_cover_the_text_and_are_a_fifth(numbers: Corpus) -> None:
    """50 blocks, 10 of them held out, in one piece each."""
    trial = Trial(model="lm4", seed=0, split="blocks", order="sequential", batch=1)
    train, valid = batches(trial, numbers)
    both = torch.cat([train.order, valid.order])
    assert both.sort().values.tolist() == list(range(3_943))
    held = torch.zeros(3_943, dtype=torch.bool)
    held[valid.order] = True
    block = torch.arange(3_943) * 50 // 3_943
    inside = [held[block == k] for k in range(50)]
    assert all(part.all() or not part.any() for part in inside)
    assert sum(bool(part.all()) for part in inside) == 10
    words = " ".join(numbers.decode(train.inputs[train.order].flatten()))
    assert "nine thousand" in words  # what the chapter's own split never trains on


@pytest.mark.parametrize("split", ["tail", "blocks"])
def test_no_seed_moves_the_split(numbers: Corpus, split: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        one = batches(Trial(model="lm4", seed=1, split=split), numbers)
        torch.manual_seed(2)
        two = batches(Trial(model="lm4", seed=2, split=split), numbers)
    assert all(torch.equal(a.order, b.order) for a, b in zip(one, two, strict=True))


@pytest.fixture
def passes(small: Callable[..., Trial]) -> Callable[..., list[list[int]]]:
    """The first words of the targets of two training passes of a trial, as its engine would read them."""

    def look(model: str = "lm6", **changes: object) -> list[list[int]]:
        read = [list(split) for split in [train.load(small(model, **changes))[1]] * 2]
        rows = [sorted(int(t) for x, _ in one for t in x[:, 0]) for one in read]
        assert rows[0] == rows[1]  # the same windows, whatever their order
        return [[int(y[0].flatten()[0]) for _, y in one] for one in read]

    return look


def test_a_shuffled_order_differs_by_pass_and_by_seed_and_not_by_arm(
    passes: Callable[..., list[list[int]]],
) -> None:
    first, second = passes(order="shuffled")
    assert first != second
    assert passes(order="shuffled", seed=1)[0] != first
    assert passes("lm4", order="shuffled", lr=1e-3) == [first, second]
    assert passes("gru", order="shuffled", options={"hidden": 16, "layers": 1}) == [first, second]


@pytest.mark.parametrize("order", ["grouped", "sequential"])
def test_other_orders_are_the_same_at_every_pass(passes: Callable[..., list[list[int]]], order: str) -> None:
    first, second = passes(order=order)
    assert first == second == passes(order=order, seed=1)[0]


def test_the_last_batch_of_an_ungrouped_validation_is_read_however_short(
    small: Callable[..., Trial],
) -> None:
    trial = small(order="sequential")
    train, valid = batches(trial, load(trial))
    assert len(valid.order) == 60 and len(train.rest) == 0  # 299 windows: 239 and 60
    assert [len(x) for x, _ in valid] == [8] * 7 + [4]
    assert train.rows.shape == (29, 8)
