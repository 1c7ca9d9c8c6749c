"""The progress of running trials: a bar on a terminal, otherwise one line for each trial."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from bench.errors import plural, visible
from bench.trial import Result
from reports.formats import duration

PAUSE = 3.0
"""Seconds between two lines about the first batches, where there is no terminal."""


class Remaining(NamedTuple):
    """What may still be trained: trials up to the next look, expected seconds until the last one ends."""

    trials: int
    seconds: float
    status_line: str  # looks and contrasts, in words; "" where there is one look


@contextmanager
def progress(
    title: str, names: Mapping[str, str], remaining: Callable[[], Remaining], done: int = 0
) -> Iterator[Callable[[Result], None]]:
    """Show the progress of trials; yields a function to be called with each result.

    `names` are the trials' names by id; `remaining` is asked after each; `done` trials have ended already.
    """
    console = Console(highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(20),  # it stays where 80 columns cut the latest trial
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False),
        TextColumn("{task.fields[latest]}", markup=False, table_column=Column(no_wrap=True, ratio=1)),
    )
    shown = remaining().status_line
    with Progress(*columns, console=console, expand=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(
            visible(title), completed=done, total=done + remaining().trials, left="", latest=""
        )

        def update(result: Result) -> None:
            nonlocal done, shown
            done += 1
            trials, seconds, status_line = remaining()
            total, latest = done + trials, line(names[result.trial.id], result)
            left = f"{'at most ' if status_line else ''}{duration(seconds)} left"
            lines = [] if console.is_terminal else [f"[{done}/{total}] {latest}, {left}"]
            lines += [f"{visible(title)}: {status_line}"] if status_line != shown else []
            shown = status_line
            if lines:
                console.print("\n".join(lines), markup=False, soft_wrap=True)
            bar.update(task, advance=1, total=total, latest=latest, left=left)

        yield update


@contextmanager
def checking(arms: int, loaded: Callable[[], bool]) -> Iterator[Callable[[Result], None]]:
    """Show how many arms' first batches are checked; yields a function to be called with each result.

    Until torch is `loaded`, which takes longer than checking an arm, it is that which is shown.
    """
    console, began, over = Console(highlight=False), time.monotonic(), threading.Event()
    results: list[Result] = []

    def text() -> str:
        done = f"checking the first batch of {plural(arms, 'arm')}: {len(results)} of {arms}"
        return f"{done if loaded() else 'loading torch'}, {duration(time.monotonic() - began)}"

    with console.status(text()) if console.is_terminal else nullcontext() as status:
        say = status.update if status else console.print

        def keep_saying() -> None:
            while not over.wait(PAUSE / 10 if status else PAUSE):
                say(text())

        teller = threading.Thread(target=keep_saying, daemon=True)
        teller.start()
        try:
            yield results.append
        finally:
            over.set()
            teller.join()


def line(name: str, result: Result) -> str:
    """One line on a trial that ended: its name, main metrics and time, or the reason of its failure."""
    index, uuid = (result.environment.get(fact, "") for fact in ("gpu_index", "gpu_uuid"))
    where = visible(f", GPU {index} ({uuid})") if index else ""
    if not result.done:
        return visible(f"{name}: {result.trouble}") + where
    return f"{visible(name)}: {visible(', '.join(result.main_numbers))}, {result.seconds:.1f} s{where}"
