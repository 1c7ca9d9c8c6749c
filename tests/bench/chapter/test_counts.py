"""Counting baselines, against counts made by hand."""

from collections.abc import Callable

import pytest
import torch

from unrolled.bench.chapter.chapter_run import run_trial
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.corpus import Corpus, make_batches
from unrolled.bench.chapter.models.counts import MostCommonToken, NGram
from unrolled.bench.chapter.models.registry import ZOO
from unrolled.bench.differences import select_reproducible_values as numbers_of

#                    0  1  2  3  4  5  6  7
IDS = torch.tensor([0, 1, 0, 1, 0, 2, 0, 1])
TRAIN = torch.tensor([1, 2, 3, 4, 5])
VALID = torch.tensor([6, 7])
# targets of TRAIN: 1 0 1 0 2 → counts 2, 2, 1; after 0: 1, 1, 2; after 1: 0, 0
UNIGRAM = [(2 + 1 / 3) / 6, (2 + 1 / 3) / 6, (1 + 1 / 3) / 6]


def predict_words(context: int) -> list[list[float]]:
    """Return the predicted shares of the words, row by row."""
    rows: list[list[float]] = NGram(3, context).predict(IDS, TRAIN, VALID).exp().tolist()
    return rows


def test_unigram_shares_have_one_pseudo_count_and_bigram_shares_lean_on_them() -> None:
    assert predict_words(0) == [pytest.approx(UNIGRAM)] * 2
    after_zero = [UNIGRAM[0] / 4, (2 + UNIGRAM[1]) / 4, (1 + UNIGRAM[2]) / 4]
    assert predict_words(1) == [pytest.approx(UNIGRAM), pytest.approx(after_zero)]  # 2 was never a context


@pytest.mark.parametrize("context", [0, 1, 2, 4])
def test_every_row_sums_to_one_and_leaves_nothing_impossible(numbers: Corpus, context: int) -> None:
    train, valid = make_batches(ChapterTrial(model="ngram-2", seed=0), numbers)
    positions = [split.positions[split.window_order].flatten()[:3000] for split in (train, valid)]
    p = NGram(30, context).predict(numbers.ids, *positions).exp()
    assert p.shape == (3000, 30)
    assert (p > 0).all()
    torch.testing.assert_close(p.sum(1), torch.ones(3000, dtype=torch.float64), rtol=0, atol=1e-12)


def test_nothing_is_counted_outside_the_training_targets() -> None:
    edited = IDS.clone()
    edited[7] = 2  # a validation target
    assert torch.equal(NGram(3, 4).predict(IDS, TRAIN, VALID), NGram(3, 4).predict(edited, TRAIN, VALID))


def test_the_first_token_of_a_text_has_a_shorter_context() -> None:
    p = NGram(3, 4).predict(IDS, TRAIN, torch.tensor([0])).exp()
    assert p[0].tolist() == pytest.approx(UNIGRAM)


def test_the_constant_gives_the_top_token_its_share() -> None:
    p = MostCommonToken(3).predict(IDS, TRAIN, torch.tensor([1, 3, 5])).exp()  # targets 1, 1, 2
    assert p[0].tolist() == pytest.approx([1 / 6, 2 / 3, 1 / 6])


def test_the_most_common_token_is_right_638_times_of_4207() -> None:
    """Source: fastbook chapter 12, 'thousand' at 0.15165200855716662."""
    settings = {"window": 3, "target": "last", "order": "sequential", "reset": "batch"}
    result = run_trial(ChapterTrial(model="most-common", seed=0, **settings))
    assert (result.metrics["valid_hits"], result.metrics["valid_targets"]) == (638, 4207)
    assert result.metrics["valid_accuracy"] == 0.15165200855716662
    assert result.records["roles"]["thousand"][1:] == [638, 638]
    assert sum(hits for _, hits, _ in result.records["roles"].values()) == 638


@pytest.mark.parametrize("order", ["grouped", "shuffled"])
@pytest.mark.parametrize("split", ["tail", "blocks"])
@pytest.mark.parametrize("model", [name for name, spec in ZOO.items() if spec.is_counting_model])
def test_a_seed_changes_no_count(
    model: str, split: str, order: str, make_small_trial: Callable[..., ChapterTrial]
) -> None:
    options = dict(ZOO[model].options)
    results = [
        run_trial(make_small_trial(model, seed=seed, split=split, order=order, options=options))
        for seed in (0, 1)
    ]
    assert results[0].is_done
    assert results[0].fingerprints == results[1].fingerprints
    assert numbers_of(results[0].to_dict()) == numbers_of(results[1].to_dict())
