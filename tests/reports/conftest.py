"""Where tests of the reports find their made-up studies, synthetic.py, and the pages of these."""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(scope="session")
def render_study(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function from the name of a study in synthetic.py to its page, rendered once."""
    import synthetic

    from unrolled.reports.render import render

    out = tmp_path_factory.mktemp("pages")
    return cache(lambda name: render(synthetic.compare(getattr(synthetic, name)()), out / name))
