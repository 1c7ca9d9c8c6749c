"""Where tests of the reports find the pages of made-up studies."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def render_study(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that renders a study once: "pair" → the page of `make_pair_design()`."""
    from tests.helpers import designs
    from unrolled.reports.page.render import render

    out = tmp_path_factory.mktemp("pages")

    @cache
    def render_named(name: str) -> Path:
        make_design = getattr(designs, f"make_{name}_design")
        return render(designs.compare(make_design()), out / name)

    return render_named
