"""The text of a corpus. Human Numbers is generated, so nothing is downloaded. Imports no torch."""

import functools
import hashlib
import re
from pathlib import Path

from bench.trial import BadInput

HUMAN_NUMBERS = "human-numbers"
HUMAN_NUMBERS_SHA256 = "e675f3b0bbac28b2a5d0ce1b77c9d0c310fae05ff7b11a148e82f0f36e8ac941"
"""Of train.txt and valid.txt, one after the other: planning need not write out ten thousand numbers."""


def human_numbers() -> tuple[str, str]:
    """fastai's `train.txt` (1 … 7999) and `valid.txt` (8001 … 9999), to the byte."""
    from num2words import num2words

    def lines(numbers: range) -> str:
        words = (re.sub(r", | and |-", " ", num2words(n)) for n in numbers)
        return "".join(f"{w} \n" for w in words)

    return lines(range(1, 8000)), lines(range(8001, 10000))


@functools.cache
def text_of(name: str) -> str:
    """The text of a corpus. Raises BadInput for a file that is missing, empty or not UTF-8."""
    if name == HUMAN_NUMBERS:
        return "".join(human_numbers())
    try:
        text = Path(name).read_text(encoding="utf-8-sig")  # a byte-order mark is no part of the text
    except UnicodeDecodeError as error:
        raise BadInput(f"corpus {name}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except OSError as error:
        raise BadInput(f"corpus {name}: {error.strerror}; give the path of a UTF-8 text file") from error
    if not text.strip():
        raise BadInput(f"corpus {name}: the file has no text; give a file with words in it")
    return text


def data_hash(name: str) -> str:
    """sha256 of the corpus's text."""
    if name == HUMAN_NUMBERS:
        return HUMAN_NUMBERS_SHA256
    return hashlib.sha256(text_of(name).encode()).hexdigest()
