"""Where tests of the reports find the pages of made-up studies."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def render_study(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function from the name of a study in synthetic_studies.py to its page, rendered once."""
    from tests.helpers import synthetic_studies
    from unrolled.reports.render import render

    out = tmp_path_factory.mktemp("pages")
    return cache(
        lambda name: render(synthetic_studies.compare(getattr(synthetic_studies, name)()), out / name)
    )
