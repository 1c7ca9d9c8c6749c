"""The progress of running trials: on a terminal a bar and the latest trial, otherwise a line for each."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from unrolled.bench.phrases import make_visible, plural
from unrolled.bench.trial import Result
from unrolled.reports.formats import format_duration, format_durations, shorten


class Remaining(NamedTuple):
    """The trials that a study still needs. Seconds are expected ones, of one trial at a time."""

    trials: int  # number of trials that the next look needs
    seconds: float  # seconds of these trials
    most_seconds: float  # seconds of all trials that may be needed by the last look

    def describe_time(self, pace: float) -> str:
        """Return the time left for the look, and the range of the study's time if more looks may follow.

        `pace` is the time that an expected second takes.
        """
        if not self.trials:
            return ""
        look = pace * self.seconds
        if self.most_seconds <= self.seconds:
            return f"{format_duration(look)} left"
        return f"{format_duration(look)} left, study {format_durations(look, pace * self.most_seconds)}"


class _TrialProgress(Progress):
    """A bar, and below it the latest trial, which is wrapped and never cut."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(None, table_column=Column(ratio=1)),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False, table_column=Column(no_wrap=True)),
        )
        self.latest = Text()
        super().__init__(*columns, console=console, expand=True, disable=not console.is_terminal)

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        if self.latest:
            yield Padding.indent(self.latest, 2)


@contextmanager
def show_progress(
    console: Console,
    title: str,
    names: Mapping[str, str],
    judged: Sequence[str],
    remaining_trials: Callable[[], Remaining],
    ended_trials: int = 0,
) -> Iterator[Callable[[Result], None]]:
    """Show the progress of trials; yields a function to be called with each result.

    `names` are the trials' names by id. `judged` are the study's metrics, the deciding one first.
    `remaining_trials` is called after each trial.
    """
    start = time.monotonic()
    with _TrialProgress(console) as bar:
        ended = ended_trials
        total = ended_trials + remaining_trials().trials
        task = bar.add_task(shorten(title, 20), completed=ended_trials, total=total, left="")
        expected_seconds = 0.0  # expected seconds of the trials that ended here

        def show_result(result: Result) -> None:
            nonlocal ended, expected_seconds
            ended += 1
            expected_seconds += result.trial.expected_seconds
            remaining = remaining_trials()
            total = ended + remaining.trials
            latest = describe_result(names[result.trial.id], result, judged)
            left = remaining.describe_time((time.monotonic() - start) / expected_seconds)
            if not console.is_terminal:
                line = "; ".join(filter(None, [f"[{ended}/{total}] {latest}", left]))
                console.print(line, markup=False, soft_wrap=True)
            color = "" if result.is_done else "red"
            bar.latest = Text(latest, "yellow" if result.warning else color)
            bar.update(task, advance=1, total=total, left=left)

        yield show_result


@contextmanager
def show_first_batches(arms: int) -> Iterator[Callable[[Result], None]]:
    """Show how many arms' first batches are checked; yields a function to be called with each result."""
    console = Console(highlight=False)
    title = f"loading torch, then checking the first batch of {plural(arms, 'arm')}"
    columns = TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
    if not console.is_terminal:
        console.print(title)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=arms)
        yield lambda result: bar.advance(task)


def _format_metric(value: float) -> str:
    """Return a value with four decimals; of a smaller one, four significant digits."""
    return f"{value:.4g}" if abs(value) < 0.001 else f"{value:.4f}"


def describe_result(name: str, result: Result, judged: Sequence[str]) -> str:
    """Return a line on a trial that ended: its main metrics, name and time, or the reason of its failure."""
    facts = result.provenance
    place = ""
    if facts.get("gpu_index"):
        place += f", GPU {facts['gpu_index']} ({facts.get('gpu_uuid', '')})"
    if "restart" in facts:
        place += f", {facts['restart']}"
    if not result.is_done:
        return make_visible(f"{name}: {result.trouble}{place}")
    names = dict.fromkeys([*judged, *result.trial.main_metrics])
    numbers = ", ".join(
        f"{name.removeprefix('valid_')} {_format_metric(result.metrics[name])}"
        for name in names
        if name in result.metrics
    )
    warning = f", {result.warning}" if result.warning else ""
    return make_visible(f"{numbers}: {name}, {format_duration(result.training_seconds)}{place}{warning}")
