"""The error of bad input, by its fields and not by its words."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from unrolled.bench.errors import BadInput


@contextmanager
def raises_bad_input(
    *named: object, place: object = None, key: str | None = None
) -> Iterator[pytest.ExceptionInfo[BadInput]]:
    """Expect BadInput of one line with this place and key; None allows any.

    Its rule or its cure names each of `named`: a limit, a file, a choice or a flag.
    """
    with pytest.raises(BadInput) as excinfo:
        yield excinfo
    error = excinfo.value
    assert place is None or error.place == str(place), f"{error.place!r} is another place"
    assert key is None or error.key == key, f"{error.key!r} is another key"
    advice = f"{error.rule}; {error.cure}"
    assert [item for item in named if str(item) not in advice] == [], f"not named in {advice!r}"
    assert "\n" not in str(error)
