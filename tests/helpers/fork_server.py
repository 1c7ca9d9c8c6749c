"""A new fork server, for trials that need another environment than the present one began with."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from unrolled.ablations.runner import process

PRELOADED = process.PRELOADED
"""What a user's fork server loads; that of the tests, which they share, loads more."""


@contextmanager
def new_fork_server() -> Iterator[None]:
    """Have the first trial within the block start a fork server, and the first one after it another."""
    process._preloaded.clear()
    try:
        with patch.object(process, "PRELOADED", PRELOADED):
            yield
    finally:
        process._preloaded.clear()
