"""A new fork server, for trials that need another environment than the present one began with."""

from collections.abc import Iterator
from contextlib import contextmanager

from unrolled.ablations.runner import process


@contextmanager
def new_fork_server() -> Iterator[None]:
    """Have the first trial within the block start a fork server, and the first one after it another."""
    process._preloaded.clear()
    try:
        yield
    finally:
        process._preloaded.clear()
