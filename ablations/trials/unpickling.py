"""Unpickling refused: what another machine sends is data, whatever it is called.

A pickle does something only through the classes and functions that it names. Python announces each of them
(the audit event pickle.find_class) wherever a pickle is read, so none of a library's ways in is left out.
"""

import builtins
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_hooked = False
_refusing = 0


@contextmanager
def refused() -> Iterator[None]:
    """Let no thread of this process unpickle more than plain data, bytes and Python's own exceptions.

    Whoever tries gets a TypeError.
    """
    global _hooked, _refusing
    with _lock:
        if not _hooked:  # such a hook stays for as long as the process lives
            sys.addaudithook(_hook)
            _hooked = True
        _refusing += 1
    try:
        yield
    finally:
        with _lock:
            _refusing -= 1


def _hook(event: str, words: tuple[Any, ...]) -> None:
    if event == "pickle.find_class" and _refusing and not _harmless(*words):
        raise TypeError(f"{words[0]}.{words[1]}: what a cluster sends is not unpickled")


def _harmless(module: str, name: str) -> bool:
    """Dask sends the type of each result, and the exceptions that it raises itself."""
    named = getattr(builtins, name, None) if module == "builtins" else None
    return named is bytes or (isinstance(named, type) and issubclass(named, BaseException))
