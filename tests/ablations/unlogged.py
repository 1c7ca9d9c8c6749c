"""`unrolled run` without MLflow."""


class Unlogged:
    """Stands in for the thread that writes to MLflow."""

    def __init__(self, *_: object) -> None:
        pass

    def open(self, *_: object) -> None:
        pass

    def write_trial(self, *_: object) -> None:
        pass

    def write_missing(self, *_: object) -> None:
        pass

    def finish(self) -> str:
        return ""

    def close(self) -> None:
        pass

    def publish(self, *_: object) -> None:
        pass
