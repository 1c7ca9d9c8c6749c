"""A text file of a user's own: tokens, vocabulary, roles, and what is refused."""

import errno
import os
import re
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.bad_input import raises_bad_input
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.corpus import UNKNOWN, load_corpus, make_batches, tokenize_corpus
from unrolled.bench.chapter.text import read_corpus_text
from unrolled.bench.errors import BadInput


@pytest.fixture
def write_file(tmp_path: Path) -> Callable[[str], str]:
    """Return a function that writes a text file."""

    def write(text: str) -> str:
        path = tmp_path / "mine.txt"
        path.write_bytes(text.encode())
        return str(path)

    return write


def test_words_and_single_marks_are_tokens(write_file: Callable[[str], str]) -> None:
    text = tokenize_corpus(write_file('Ça va?\n"Yes, it\'s…" \t fine_1.\n'))
    assert " ".join(text.decode(text.ids)) == """Ça va ? " Yes , it ' s … " fine_1 ."""
    assert text.vocab[:4] == ("Ça", "va", "?", '"')


def test_characters_are_tokens_when_asked_for_white_space_too(write_file: Callable[[str], str]) -> None:
    text = tokenize_corpus(write_file("ab a\n"), tokens="char")
    assert text.vocab == ("a", "b", " ", "\n")
    assert text.ids.tolist() == [0, 1, 2, 0, 3]


def test_a_capped_vocabulary_keeps_the_most_common_and_calls_the_rest_unknown(
    write_file: Callable[[str], str],
) -> None:
    text = tokenize_corpus(write_file("rare b b b other a a a a seldom"), cap=3)
    assert text.vocab == ("b", "a", UNKNOWN)
    assert text.decode(text.ids) == [UNKNOWN, *"bbb", UNKNOWN, *"aaaa", UNKNOWN]


@pytest.mark.parametrize("cap", [0, 3, 100])
def test_a_cap_that_the_vocabulary_fits_changes_nothing(write_file: Callable[[str], str], cap: int) -> None:
    assert tokenize_corpus(write_file("a b c a b"), cap=cap).vocab == ("a", "b", "c")


def test_the_roles_of_another_text_are_bands_of_frequency(write_file: Callable[[str], str]) -> None:
    words = [f"w{i}" for i in range(12) for _ in range(12 - i)]  # w0 twelve times … w11 once
    text = tokenize_corpus(write_file(" ".join(words)))
    kinds = {
        text.vocab[i]: text.role_names[r] for i, r in zip(text.ids.tolist(), text.roles.tolist(), strict=True)
    }
    assert {kinds[f"w{i}"] for i in range(10)} == {"rank 1–10"}
    assert {kinds[f"w{i}"] for i in (10, 11)} == {"rank 11–100"}


@pytest.mark.parametrize(
    ("name", "make", "named"),
    [
        ("no-such.txt", lambda path: None, os.strerror(errno.ENOENT)),
        ("a\0b", lambda path: None, "null byte"),
        ("folder", Path.mkdir, os.strerror(errno.EISDIR)),
        ("zero", lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        ("pipe", os.mkfifo, "not a regular file"),
        ("sparse", lambda path: path.touch() or os.truncate(path, 2**31), "2,147,483,648 bytes"),
        ("empty", Path.touch, "no text"),
        ("white", lambda path: path.write_bytes(b" \n\t\n"), "no text"),
        ("zero byte", lambda path: path.write_bytes(b"words\0"), "the byte 0"),
        ("latin", lambda path: path.write_bytes(b"ca va, gar\xe7on"), "byte 10"),
    ],
)
def test_a_file_that_is_no_text_is_refused(
    tmp_path: Path, name: str, make: Callable[[Path], None], named: str
) -> None:
    make(tmp_path / name)
    with raises_bad_input(named, place=f"corpus {tmp_path / name}"):
        tokenize_corpus(str(tmp_path / name))


def test_line_ends_and_a_byte_order_mark_change_no_text(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert read_corpus_text(str(path)) == "a\nb\nc\n"


@pytest.mark.parametrize("setting", [{"window": 10**9}, {"batch": 10**9}])
@pytest.mark.parametrize("split", ["tail", "blocks"])
def test_a_huge_window_or_batch_is_refused_before_memory_is_taken(
    write_file: Callable[[str], str], setting: dict[str, int], split: str
) -> None:
    trial = ChapterTrial(model="lm4", seed=0, corpus=write_file("a b " * 50), split=split, **setting)
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    text = load_corpus(trial)
    private = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()  # bytes
    resource.setrlimit(resource.RLIMIT_DATA, (private + 2**30, limits[1]))
    try:
        with raises_bad_input("100 tokens", place=f"corpus {trial.corpus}"):
            make_batches(trial, text)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limits)


@pytest.mark.parametrize(
    "settings",
    [{"batch": 8}, {"batch": 2, "window": 40}, {"batch": 1000}, {"batch": 8, "window": 4, "split": "blocks"}],
)
def test_a_short_text_is_refused_with_the_tokens_it_needs(
    write_file: Callable[[str], str], settings: dict[str, int]
) -> None:
    trial = ChapterTrial(model="lm4", seed=0, corpus=write_file("a b " * 50), **settings)
    with raises_bad_input("100 tokens") as excinfo:
        make_batches(trial, load_corpus(trial))
    (number,) = re.findall(r"[\d,]+\d", excinfo.value.cure)
    needed = int(number.replace(",", ""))
    path = Path(trial.corpus).with_name("long.txt")
    path.write_text("a " * needed)
    train, valid = make_batches(trial, tokenize_corpus(str(path)))
    assert len(train) >= 1
    assert len(valid) == 1
    path = Path(trial.corpus).with_name("nearly.txt")
    path.write_text("a " * (needed - 5 * trial.window))  # a fifth of the windows validates
    with pytest.raises(BadInput):
        make_batches(trial, tokenize_corpus(str(path)))
