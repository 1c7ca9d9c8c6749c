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
    from unrolled.bench.chapter.plugins import cell, data_file, model, regularizer

__all__ = [
    "bundle",
    "cell",
    "compare",
    "data_file",
    "declare_study",
    "learner",
    "model",
    "plugin",
    "regularizer",
    "result",
    "results",
    "run",
    "shipped",
    "train",
    "trial",
    "verdicts",
    "verify",
]

_PLUGIN_NAMES = ("cell", "data_file", "model", "regularizer")
"""What a plug-in's file imports; its trials load no more."""

_HERE = Path(__file__).parent
if (_HERE / "bench").is_symlink():
    # In a checkout the three packages lie beside this one. Without the links, which are there for mypy and
    # import-linter, tracebacks and breakpoints have the paths that an editor shows.
    __path__.insert(0, str(_HERE.parent))


def __getattr__(name: str) -> Any:
    """Import the public functions when they are first used: the command starts without pandas."""
    if name not in __all__:
        raise AttributeError(f"module 'unrolled' has no attribute {name!r}")
    if name in _PLUGIN_NAMES:
        from unrolled.bench.chapter import plugins

        return getattr(plugins, name)
    from unrolled.ablations import api

    return getattr(api, name)
