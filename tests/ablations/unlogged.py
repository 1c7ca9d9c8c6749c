"""`unrolled run` without MLflow."""


class Unlogged:
    """Stands in for the thread that writes to MLflow."""

    def __init__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> object:
        return lambda *_: ""
