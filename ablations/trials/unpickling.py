"""Refusal to unpickle: whatever another machine sends is data.

A pickle does something only through the classes and functions that it names. Python announces each of them
(the audit event pickle.find_class) wherever a pickle is read, whichever library reads it.
"""

import builtins
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_refusing: list[None] = []  # an item for each block of `refused`


@contextmanager
def refused() -> Iterator[None]:
    """Let no thread of this process unpickle more than plain data, bytes and Python's own exceptions.

    Any other pickle raises TypeError.
    """
    _add_hook()
    _refusing.append(None)
    try:
        yield
    finally:
        _refusing.pop()


@cache
def _add_hook() -> None:
    sys.addaudithook(_hook)  # which cannot be removed


def _hook(event: str, words: tuple[Any, ...]) -> None:
    if event == "pickle.find_class" and _refusing and not _harmless(*words):
        raise TypeError(f"{words[0]}.{words[1]}: what a cluster sends is not unpickled")


def _harmless(module: str, name: str) -> bool:
    """Whether Dask sends it itself: the type of each result, and exceptions."""
    named = getattr(builtins, name, None) if module == "builtins" else None
    return named is bytes or (isinstance(named, type) and issubclass(named, BaseException))
