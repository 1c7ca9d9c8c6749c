"""What is said of a file that cannot be opened."""

import errno
import os

import pytest

from unrolled.bench.files.regular_files import explain_unread_file


@pytest.mark.parametrize(
    ("code", "cure"),
    [(errno.EACCES, "make it readable"), (errno.ENOENT, "another"), (errno.EISDIR, "another")],
)
def test_a_file_without_permission_is_to_be_made_readable_and_others_replaced(code: int, cure: str) -> None:
    error = explain_unread_file(OSError(code, os.strerror(code)), "mine.toml", "another")
    assert (error.place, error.rule, error.cure) == ("mine.toml", os.strerror(code), cure)
