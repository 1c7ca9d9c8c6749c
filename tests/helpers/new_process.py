"""Stand-ins for a new process, which has no plug-ins and no texts, and for one with a new fork server."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from unittest.mock import patch

from unrolled.ablations.runner import process
from unrolled.bench.chapter import time_estimates
from unrolled.bench.chapter.chapter_identity import hash_source
from unrolled.bench.chapter.models.registry import ZOO
from unrolled.bench.chapter.models.spec import PLUGIN_PARTS, PLUGIN_PENALTIES
from unrolled.bench.program.identity import file_facts, interpreter
from unrolled.bench.sources import identity


@contextmanager
def new_process() -> Iterator[None]:
    """Begin as a new process does, without plug-ins and texts, and leave none of them."""
    zoo = dict(ZOO)
    _forget()
    yield
    _forget()
    ZOO.clear()
    ZOO.update(zoo)
    for name in [name for name in list(sys.modules) if name.startswith(("unrolled_plugin_", "mylayers"))]:
        del sys.modules[name]


def _forget() -> None:
    from unrolled.bench.chapter import corpus, text  # torch: not for every worker

    PLUGIN_PENALTIES.clear()
    PLUGIN_PARTS.clear()
    for cached in (hash_source, corpus.tokenize_corpus, text.read_corpus_text, time_estimates._measure_text):
        cached.cache_clear()


def forget_code() -> None:
    """Have identities read the files of the project again."""
    hash_source.cache_clear()
    identity._CONTENT_HASHES.clear()
    identity._SOURCES.clear()


def forget_read_files() -> None:
    """Have identities read every file and ask every Python again, as in a process that starts now."""
    forget_code()
    file_facts._FACTS.clear()
    interpreter._ANSWERS.clear()


PRELOADED = process.PRELOADED
"""What a user's fork server loads; that of the tests, which they share, loads more."""


@contextmanager
def new_fork_server() -> Iterator[None]:
    """Have the first trial within the block start a fork server; the earlier one goes on after it."""
    server = forkserver._forkserver  # type: ignore[attr-defined]
    earlier_state = dict(vars(server))
    vars(server).update(_forkserver_address=None, _forkserver_alive_fd=None, _forkserver_pid=None)
    try:
        with patch.multiple(process, PRELOADED=PRELOADED, _preloaded=set()):
            yield
    finally:
        server._stop()  # type: ignore[attr-defined]
        vars(server).update(earlier_state)
