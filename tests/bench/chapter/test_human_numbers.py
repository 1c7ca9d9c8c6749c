"""The corpus of the chapter. Counts and hashes: fastbook chapter 12, measured on fastai's HUMAN_NUMBERS."""

import hashlib
from pathlib import Path

import pytest
import torch

from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.corpus import Corpus, make_batches, tokenize_corpus
from unrolled.bench.chapter.text import (
    HUMAN_NUMBERS,
    HUMAN_NUMBERS_SHA256,
    generate_human_numbers,
    hash_corpus,
)

SHA256 = (
    "194a5defcc1e77a1697d94422744f1b8552ddf5ad7f31e9c84cc1956014c16bf",
    "3a3e30cd8eddcd27477ef232bd07bc5d12b34b1ceec6295c607f0faff793ed5e",
)


def test_the_two_files_are_fastais_to_the_byte() -> None:
    parts = [text.encode() for text in generate_human_numbers()]
    assert [len(part) for part in parts] == [280_599, 74_884]
    assert tuple(hashlib.sha256(part).hexdigest() for part in parts) == SHA256
    assert hashlib.sha256(b"".join(parts)).hexdigest() == hash_corpus(HUMAN_NUMBERS) == HUMAN_NUMBERS_SHA256


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_human_numbers_from_a_file_are_the_built_in_ones(tmp_path: Path, numbers: Corpus, end: str) -> None:
    path = tmp_path / "hn.txt"
    path.write_bytes("".join(generate_human_numbers()).replace("\n", end).encode())
    from_file = tokenize_corpus(str(path))
    assert torch.equal(from_file.ids, numbers.ids)
    assert from_file.vocab == numbers.vocab
    assert torch.equal(from_file.roles, numbers.roles)
    assert from_file.role_names == numbers.role_names
    built_in = ChapterTrial(model="lm4", seed=0).identify()
    other_trial = ChapterTrial(model="lm4", seed=0, corpus=str(path)).identify()
    assert other_trial == built_in, "what reads a result by its corpus finds the chapter's"


def test_there_are_63095_tokens_and_30_words_in_order_of_first_appearance(numbers: Corpus) -> None:
    assert len(numbers.ids) == 63_095
    assert len(numbers.vocab) == 30
    assert numbers.vocab[:3] == ("one", ".", "two")
    assert numbers.vocab[29] == "thousand"
    first = [numbers.ids.tolist().index(i) for i in range(30)]
    assert first == sorted(first)
    assert numbers.decode(numbers.ids[:6]) == ["one", ".", "two", ".", "three", "."]


def test_the_last_4207_of_21031_pairs_validate(
    numbers: Corpus,
) -> None:
    settings = {"window": 3, "target": "last", "order": "sequential", "reset": "batch"}
    train, valid = make_batches(ChapterTrial(model="lm2", seed=0, **settings), numbers)
    assert len(train.all_inputs) == 21_031
    assert len(valid.window_order) == 4_207
    assert valid.window_order.tolist() == list(range(16_824, 21_031))  # int(21031 × .8) = 16824
    assert train.batch_windows.shape == (
        262,
        64,
    )  # 16824 // 64: the chapter drops the last batch in training only
    assert len(valid) == 66
    assert len(valid.partial_batch) == 4_207 - 65 * 64
    pair = numbers.decode(train.all_inputs[1]), numbers.vocab[train.all_targets[1]]
    assert pair == ([".", "three", "."], "four")  # the chapter's second pair: tensor([1, 3, 1]), 4


@pytest.mark.parametrize(
    ("settings", "targets"),
    [({"window": 3, "target": "last"}, 4_160), ({"window": 16}, 12_288)],
    ids=["LMModel3", "LMModel4 to 7"],
)
def test_stateful_models_have_as_many_validation_targets_as_in_the_chapter(
    numbers: Corpus, settings: dict[str, object], targets: int
) -> None:
    train, valid = make_batches(ChapterTrial(model="lm4", seed=0, **settings), numbers)
    assert sum(y.numel() for _, y in valid) == targets
    assert not len(valid.partial_batch)
    assert len(train) == len(train.all_inputs) * 4 // 5 // 64


def test_the_role_of_a_token_follows_from_word_and_place(numbers: Corpus) -> None:
    roles = [numbers.role_names[i] for i in numbers.roles.tolist()]
    words: dict[str, set[str]] = {role: set() for role in numbers.role_names}
    for word, role in zip(numbers.decode(numbers.ids), roles, strict=True):
        words[role].add(word)
    digits = {"one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}
    assert words["separator"] == {"."}
    assert words["hundred"] == {"hundred"}
    assert words["thousand"] == {"thousand"}
    assert words["lead digit"] == words["digit"] == digits
    assert len(words["teen"]) == 10
    assert {"ten", "twelve", "nineteen"} <= words["teen"]
    assert len(words["tens"]) == 8
    assert {"twenty", "forty", "ninety"} <= words["tens"]
    # 1 … 9, 100 … 999, and 1000 … 9999 without 8000 begin with a digit's word.
    assert roles.count("lead digit") == 9 + 900 + 8_999
    assert roles.count("separator") == 9_997
