"""Many trials: studies, the runner, the ledger, MLflow, and the command. For notebooks: see ablations.api."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ablations.api import (
        Study,
        bundle,
        compare,
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
    "Study",
    "bundle",
    "compare",
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


def __getattr__(name: str) -> Any:
    """Import the public functions when they are first used: the command starts without pandas."""
    if name not in __all__:
        raise AttributeError(f"module 'ablations' has no attribute {name!r}")
    from ablations import api

    return getattr(api, name)
