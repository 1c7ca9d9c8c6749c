"""The progress of running trials: a bar on a terminal, otherwise one line for each trial."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.trial import Result, counted, visible

PAUSE = 3.0
"""Seconds between two lines about the first batches, where there is no terminal."""


@contextmanager
def progress(
    title: str, seconds: dict[str, float], names: dict[str, str], workers: int
) -> Iterator[Callable[[Result], None]]:
    """Show the progress of trials; yields a function to be called with each result.

    `seconds` are the trials' expected times by id, `names` their names. The time left is computed from the
    expected times, corrected by the measured times of the trials that ended.
    """
    console = Console(highlight=False)
    total, spent, planned = len(seconds), [0.0], [0.0]

    def left() -> str:
        factor = spent[0] / planned[0] if planned[0] else 1.0
        rest = max(0.0, sum(seconds.values()) - planned[0])  # sums in another order may end below it
        return duration(rest * factor / max(workers, 1))

    def count(result: Result) -> str:
        spent[0] += result.seconds
        planned[0] += seconds[result.trial.id]
        return line(names[result.trial.id], result)

    if not console.is_terminal:
        done = [0]

        def say(result: Result) -> None:
            done[0] += 1
            console.print(f"[{done[0]}/{total}] {count(result)}, {left()} left", markup=False, soft_wrap=True)

        yield say
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]} left  {task.fields[latest]}", markup=False),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(visible(title), total=total, left=left(), latest="")
        yield lambda result: bar.update(task, advance=1, latest=count(result), left=left())


@contextmanager
def checking(arms: int) -> Iterator[Callable[[Result], None]]:
    """Show how many arms' first batches are checked; yields a function to be called with each result."""
    console, text = Console(highlight=False), f"checking the first batch of {counted(arms, 'arm')}"
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(text, total=arms)
            yield lambda _: bar.advance(task)
        return
    began, checked, over = time.monotonic(), [0], threading.Event()

    def say() -> None:
        while not over.wait(PAUSE):
            console.print(f"{text}: {checked[0]} of {arms}, {duration(time.monotonic() - began)}")

    def count(_: Result) -> None:
        checked[0] += 1

    teller = threading.Thread(target=say, daemon=True)
    teller.start()
    try:
        yield count
    finally:
        over.set()
        teller.join()


def line(name: str, result: Result) -> str:
    """One line on a trial that ended: its name, loss, accuracy and time, or the reason of its failure."""
    index, uuid = (result.environment.get(fact, "") for fact in ("gpu_index", "gpu_uuid"))
    where = visible(f", GPU {index} ({uuid})") if index else ""
    if not result.done:
        return visible(f"{name}: {result.trouble}") + where
    loss, accuracy = result.metrics["valid_loss"], result.metrics["valid_accuracy"]
    return f"{visible(name)}: loss {loss:.4f}, accuracy {accuracy:.4f}, {result.seconds:.1f} s{where}"


def duration(seconds: float) -> str:
    """A duration as text, in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
