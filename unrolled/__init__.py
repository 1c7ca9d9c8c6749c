"""Does a change help? Reproducible benchmarks and ablations, from Python: see `unrolled.ablations.api`.

from unrolled import declare_study, run
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unrolled.ablations.api import (
        bundle,
        compare,
        declare_study,
        learner,
        plugin,
        result,
        results,
        run,
        shipped,
        train,
        trial,
        verdicts,
        verify,
    )

__all__ = [
    "bundle",
    "compare",
    "declare_study",
    "learner",
    "plugin",
    "result",
    "results",
    "run",
    "shipped",
    "train",
    "trial",
    "verdicts",
    "verify",
]

_HERE = Path(__file__).parent
if (_HERE / "bench").is_symlink():
    # In a checkout the three packages lie beside this one. Without the links, which are there for mypy and
    # import-linter, tracebacks and breakpoints have the paths that an editor shows.
    __path__.insert(0, str(_HERE.parent))


def __getattr__(name: str) -> Any:
    """Import the public functions when they are first used: the command starts without pandas."""
    if name not in __all__:
        raise AttributeError(f"module 'unrolled' has no attribute {name!r}")
    from unrolled.ablations import api

    return getattr(api, name)
