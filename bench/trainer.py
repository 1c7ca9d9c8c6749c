"""The trainers, and what each supplies. Nothing of a trainer is loaded before it is used.

A new trainer needs a row in `TRAINERS`, and a TrialFactory, which `make_factory` of `ablations.study.loading`
chooses by the study's file.
"""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from unrolled.bench.mlflow_metrics import MlflowMetrics
    from unrolled.bench.trial import Result, Trial

Named = TypeVar("Named")


class ImportName(str, Generic[Named]):
    """The name of a module, or of an object as "module:name", that is imported when it is first needed."""

    def load(self) -> Named:
        """Import its module and return the object. Raises ImportError or AttributeError if there is none."""
        loaded: Named = pkgutil.resolve_name(self)
        return loaded


NOTHING: ImportName[Any] = ImportName()
"""The name, which is false, of a thing that there is not."""


class Plugins(Protocol):
    """The module that loads a user's plug-ins. `bench.chapter.plugins` is one."""

    def load_plugin(self, name: str) -> ModuleType:
        """Import the file of a plug-in, which registers its models. Raises BadInput if it has a mistake."""

    def find_companion_files(self, name: str) -> list[str]:
        """Return the other files that the trials of a loaded plug-in need."""

    def locate_error(self, error: BaseException) -> str:
        """Return "my_cell.py, line 9" if the error passed through the file of a plug-in; else ""."""


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """What a trainer supplies.

    trial_type: subclass of Trial whose fields are the settings. Its `trainer_name` is its key in `TRAINERS`.
    run_trial: function from a trial to its Result, called in a process of the trial's own.
    presentation: a `reports.presentation.Presentation`, how pages show its trials.
    mlflow_metrics: the metrics and curves that MLflow shows.
    runs_user_code: whether a trial runs a program of the user's. Then the first trials have to show whether
        seed and settings have an effect, and whether an equal trial gives equal numbers.
    check_first_batch: like `run_trial`, but checks a model on its first batch, before its study is trained.
    plugins: the module that loads plug-ins.
    estimate_seconds: function from a trial to its expected seconds on one core; a minute without one.
    """

    trial_type: "ImportName[type[Trial]]"
    run_trial: "ImportName[Callable[[Any], Result]]"
    presentation: ImportName[Any]  # `bench` does not import `reports`
    mlflow_metrics: "ImportName[MlflowMetrics]"
    runs_user_code: bool
    check_first_batch: "ImportName[Callable[[Any], Result]]" = NOTHING
    plugins: ImportName[Plugins] = NOTHING
    estimate_seconds: ImportName[Callable[[Any], float]] = NOTHING


TRAINERS = {
    "chapter": Trainer(
        trial_type=ImportName("unrolled.bench.chapter.chapter_trial:ChapterTrial"),
        run_trial=ImportName("unrolled.bench.chapter.chapter_run:run_trial"),
        presentation=ImportName("unrolled.reports.chapter.chapter_pages:CHAPTER_PRESENTATION"),
        mlflow_metrics=ImportName("unrolled.bench.chapter.chapter_mlflow:CHAPTER_MLFLOW"),
        runs_user_code=False,
        check_first_batch=ImportName("unrolled.bench.chapter.first_batch:check_first_batch"),
        plugins=ImportName("unrolled.bench.chapter.plugins"),
        estimate_seconds=ImportName("unrolled.bench.chapter.time_estimates:estimate_seconds"),
    ),
    "program": Trainer(
        trial_type=ImportName("unrolled.bench.program.program_trial:ProgramTrial"),
        run_trial=ImportName("unrolled.bench.program.program_run:run_trial"),
        presentation=ImportName("unrolled.reports.presentation:PROGRAM_PRESENTATION"),
        mlflow_metrics=ImportName("unrolled.bench.mlflow_metrics:PROGRAM_MLFLOW"),
        runs_user_code=True,
    ),
}
"""The trainers by name: "chapter" trains the models of the chapter, "program" runs a user's program."""
