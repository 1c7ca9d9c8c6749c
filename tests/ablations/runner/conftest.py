from collections.abc import Iterator
from multiprocessing import forkserver

import pytest

from ablations.runner import process


@pytest.fixture(scope="module", autouse=True)
def a_fork_server_of_its_own() -> Iterator[None]:
    """It keeps the environment and the modules that it was first started with, whichever test did."""
    process._preloaded.clear()  # so that the first trial starts another one
    yield
    process._preloaded.clear()
    forkserver._forkserver._stop()  # type: ignore[attr-defined]
