"""The progress of running trials: a bar on a terminal, otherwise one line for each trial."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from unrolled.bench.errors import plural, visible
from unrolled.bench.trial import Result
from unrolled.reports.formats import format_duration


@contextmanager
def show_progress(
    title: str,
    names: Mapping[str, str],
    judged: Sequence[str],
    remaining_trials: Callable[[], tuple[int, str]],
    ended_trials: int = 0,
) -> Iterator[Callable[[Result], None]]:
    """Show the progress of trials; yields a function to be called with each result.

    `names` are the trials' names by id, `judged` the study's metrics. `remaining_trials` is called after each
    trial: it returns how many the next look needs, and a line on the looks, which may be "".
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
    start = time.monotonic()
    remaining, printed_status = remaining_trials()
    with Progress(*columns, console=console, expand=True, disable=not console.is_terminal) as bar:
        total = ended_trials + remaining
        task = bar.add_task(visible(title), completed=ended_trials, total=total, left="", latest="")
        ended_results = 0

        def show_result(result: Result) -> None:
            nonlocal ended_results, printed_status
            ended_results += 1
            remaining, status_line = remaining_trials()
            ended = ended_trials + ended_results
            total = ended + remaining
            latest = describe_result(names[result.trial.id], result, judged)
            left = f"{format_duration((time.monotonic() - start) / ended_results * remaining)} left"
            lines = [] if console.is_terminal else [f"[{ended}/{total}] {latest}, {left}"]
            if status_line not in ("", printed_status):
                lines.append(f"{visible(title)}: {status_line}")
            printed_status = status_line
            if lines:
                console.print("\n".join(lines), markup=False, soft_wrap=True)
            bar.update(task, advance=1, total=total, latest=latest, left=left)

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


def describe_result(name: str, result: Result, judged: Sequence[str]) -> str:
    """Return a line on a trial that ended: its name, main metrics and time, or the reason of its failure."""
    facts = result.environment
    place = ""
    if facts.get("gpu_index"):
        place += f", GPU {facts['gpu_index']} ({facts.get('gpu_uuid', '')})"
    if "restart" in facts:
        place += f", {facts['restart']}"
    if not result.done:
        return visible(f"{name}: {result.trouble}{place}")
    numbers = ", ".join(result.main_numbers(judged))
    return visible(f"{name}: {numbers}, {result.seconds:.1f} s{place}")
