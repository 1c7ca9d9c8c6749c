"""`unrolled run` without MLflow."""


class Unlogged:
    """Stands in for the thread that writes to MLflow."""

    def __init__(self, *_: object) -> None:
        pass

    @staticmethod
    def warm_up(*_: object) -> None:
        pass

    def record(self, *_: object) -> None:
        pass

    def close(self, *_: object, **__: object) -> str:
        return ""

    def wait(self, *_: object) -> bool:
        return True

    def link(self, *_: object) -> None:
        return None

    def publish(self, *_: object) -> None:
        pass
