"""An experiment of MLflow's and its runs. mlflow is imported inside functions, as that takes a second."""

from collections.abc import Iterator, Mapping
from typing import Any

from ablations.tracking.entry import NAME_LENGTH, PARAM_LENGTH, TAG_LENGTH, Point, key, text
from ablations.tracking.store import artifacts, create_whole, settings
from bench.trial import Scalar


class Experiment:
    """The experiment of a title, made or restored where need be. Methods raise what MLflow raises."""

    def __init__(self, title: str, where: str) -> None:
        settings()
        from mlflow import MlflowClient

        create_whole(where)
        self.client = MlflowClient(tracking_uri=where)
        name = text(title, NAME_LENGTH)
        if (found := self.client.get_experiment_by_name(name)) is None:
            folder = None if where.startswith("http") else artifacts(where)
            self.id = str(self.client.create_experiment(name, folder))
            return
        self.id = str(found.experiment_id)
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(self.id)

    def create(self, title: str, started: int, own: Mapping[str, str], more: Mapping[str, str] = {}) -> str:
        """Open a run with the tags `more`, and `own` under `unrolled.`; returns its id.

        `started` in unix milliseconds.
        """
        every = {**{f"unrolled.{name}": text(value, TAG_LENGTH) for name, value in own.items()}, **more}
        made = self.client.create_run(self.id, started, every, text(title, NAME_LENGTH))
        return str(made.info.run_id)

    def log(self, run_id: str, points: list[Point], params: Mapping[str, Scalar]) -> None:
        """Write metrics and parameters; long parameters are cut."""
        from mlflow.entities import Metric, Param

        written = [Param(key(name), text(str(value), PARAM_LENGTH)) for name, value in params.items()]
        self.client.log_batch(run_id, [Metric(*point) for point in points], written)


def studies(where: str) -> list[tuple[str, str]]:
    """The name and the experiment's id of every study, in the order in which they were made."""
    from mlflow import MlflowClient

    found = MlflowClient(tracking_uri=where).search_experiments(
        filter_string="name LIKE 'unrolled/%'", order_by=["creation_time ASC"]
    )
    return [(one.name.removeprefix("unrolled/"), str(one.experiment_id)) for one in found]


def runs(client: Any, experiment: str) -> Iterator[Any]:
    """Every run of an experiment, page by page."""
    token = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
