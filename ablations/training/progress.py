"""The progress of running trials: a bar on a terminal, otherwise one line for each trial."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from unrolled.bench.errors import plural, visible
from unrolled.bench.trial import Result
from unrolled.reports.formats import duration


@contextmanager
def progress(
    title: str,
    names: Mapping[str, str],
    judged: Sequence[str],
    remaining: Callable[[], tuple[int, str]],
    done: int = 0,
) -> Iterator[Callable[[Result], None]]:
    """Show the progress of trials; yields a function to be called with each result.

    `names` are the trials' names by id, `judged` the study's metrics; `done` trials have ended already. After
    each, `remaining` is asked for the number of trials that the next look needs, and a line on the looks (""
    where there is one).
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
    (trials, shown), began, before = remaining(), time.monotonic(), done
    with Progress(*columns, console=console, expand=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(visible(title), completed=done, total=done + trials, left="", latest="")

        def update(result: Result) -> None:
            nonlocal done, shown
            done += 1
            trials, status_line = remaining()
            total, latest = done + trials, line(names[result.trial.id], result, judged)
            left = f"{duration((time.monotonic() - began) / (done - before) * trials)} left"
            lines = [] if console.is_terminal else [f"[{done}/{total}] {latest}, {left}"]
            lines += [f"{visible(title)}: {status_line}"] if status_line not in ("", shown) else []
            shown = status_line
            if lines:
                console.print("\n".join(lines), markup=False, soft_wrap=True)
            bar.update(task, advance=1, total=total, latest=latest, left=left)

        yield update


@contextmanager
def checking(arms: int) -> Iterator[Callable[[Result], None]]:
    """Show how many arms' first batches are checked; yields a function to be called with each result."""
    console = Console(highlight=False)
    title = f"loading torch, then checking the first batch of {plural(arms, 'arm')}"
    columns = TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
    if not console.is_terminal:
        console.print(title)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=arms)
        yield lambda result: bar.advance(task)


def line(name: str, result: Result, judged: Sequence[str]) -> str:
    """One line on a trial that ended: its name, main metrics and time, or the reason of its failure."""
    index, uuid = (result.environment.get(fact, "") for fact in ("gpu_index", "gpu_uuid"))
    where = visible(f", GPU {index} ({uuid})") if index else ""
    where += visible(f", {restart}") if (restart := result.environment.get("restart")) else ""
    if not result.done:
        return visible(f"{name}: {result.trouble}") + where
    return (
        f"{visible(name)}: {visible(', '.join(result.main_numbers(judged)))}, {result.seconds:.1f} s{where}"
    )
