"""The programs of docs/examples with less to train, and one arm beside the baseline."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from unrolled.ablations.runner import process

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SMALLER = {
    "digits": [("max_iter=20", "max_iter=2"), ("hidden = [64]", ""), ("[1e-2, 1.0]", "[1.0]")],
    "lm4": [
        ("1000", "400"),
        ("one_at_a_time = { hidden = [32, 128] }", ""),
        ("[program]", "[program]\nrepeat = false"),
    ],
    "own_function": [('"depth": [4, 16], ', "")],
}
"""By example: texts, each with what stands in its place."""


def replace_texts(files: Sequence[Path], pairs: Iterable[tuple[str, str]]) -> None:
    """Replace each text wherever it is in the files."""
    for old, new in pairs:
        matches = [path for path in files if old in path.read_text()]
        assert matches, f"{old} is not in the example"
        for path in matches:
            path.write_text(path.read_text().replace(old, new))


def preload_scikit_learn(patch: pytest.MonkeyPatch) -> None:
    """Have the fork server import scikit-learn, which would take each trial more than a second."""
    modules = "sklearn.datasets", "sklearn.model_selection", "sklearn.tree"
    patch.setattr(process, "PRELOADED", [*process.PRELOADED, *modules])
