"""A text file of a user's own: tokens, vocabulary, roles, and what is refused."""

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from unrolled.bench.chapter.corpus import UNKNOWN, load_corpus, make_batches, tokenize_corpus
from unrolled.bench.chapter.text import text_of
from unrolled.bench.chapter.trial import ChapterTrial
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
    ("name", "make", "message"),
    [
        ("no-such.txt", lambda path: None, "No such file or directory; give the path of a UTF-8"),
        ("a\0b", lambda path: None, "embedded null byte; give the path"),
        ("folder", Path.mkdir, "Is a directory; give the path"),
        (
            "zero",
            lambda path: path.symlink_to("/dev/zero"),
            "is not a regular file; give the path of a UTF-8",
        ),
        ("pipe", os.mkfifo, "is not a regular file; give the path of a UTF-8 text file"),
        (
            "sparse",
            lambda path: path.touch() or os.truncate(path, 2**31),
            "has 2,147,483,648 bytes, more than 100,000,000; give",
        ),
        ("empty", Path.touch, "the file has no text; give a file with words"),
        ("white", lambda path: path.write_bytes(b" \n\t\n"), "the file has no text; give a file with words"),
        ("zero byte", lambda path: path.write_bytes(b"words\0"), "holds the byte 0, as no text does"),
        (
            "latin",
            lambda path: path.write_bytes(b"ca va, gar\xe7on"),
            "byte 10 is not UTF-8; save the file as UTF-8",
        ),
    ],
)
def test_what_is_no_text_file_is_refused(
    tmp_path: Path, name: str, make: Callable[[Path], None], message: str
) -> None:
    make(tmp_path / name)
    with pytest.raises(BadInput, match=f"{name}: {message}"):
        tokenize_corpus(str(tmp_path / name))


def test_line_ends_are_the_same_on_every_system_and_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert text_of(str(path)) == "a\nb\nc\n"


@pytest.mark.parametrize("setting", [{"window": 10**9}, {"batch": 10**9}])
@pytest.mark.parametrize("split", ["tail", "blocks"])
def test_a_window_or_a_batch_of_any_size_is_refused_before_anything_is_as_large(
    write_file: Callable[[str], str], setting: dict[str, int], split: str
) -> None:
    trial = ChapterTrial(model="lm4", seed=0, corpus=write_file("a b " * 50), split=split, **setting)
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    text = load_corpus(trial)
    private = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()  # bytes
    resource.setrlimit(resource.RLIMIT_DATA, (private + 2**30, limits[1]))
    try:
        with pytest.raises(BadInput, match="100 tokens are too few"):
            make_batches(trial, text)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limits)


@pytest.mark.parametrize(
    "settings",
    [{"batch": 8}, {"batch": 2, "window": 40}, {"batch": 1000}, {"batch": 8, "window": 4, "split": "blocks"}],
)
def test_a_text_too_short_is_refused_with_the_number_of_tokens_that_suffices(
    write_file: Callable[[str], str], settings: dict[str, int]
) -> None:
    trial = ChapterTrial(model="lm4", seed=0, corpus=write_file("a b " * 50), **settings)
    with pytest.raises(BadInput, match=r"100 tokens are too few .* about ([\d,]+) are needed") as error:
        make_batches(trial, load_corpus(trial))
    needed = int(str(error.value).split("about ")[1].split(" ")[0].replace(",", ""))
    path = Path(trial.corpus).with_name("long.txt")
    path.write_text("a " * needed)
    train, valid = make_batches(trial, tokenize_corpus(str(path)))
    assert len(train) >= 1
    assert len(valid) == 1
    path = Path(trial.corpus).with_name("nearly.txt")
    path.write_text("a " * (needed - 5 * trial.window))  # a fifth of the windows validates
    with pytest.raises(BadInput):
        make_batches(trial, tokenize_corpus(str(path)))
