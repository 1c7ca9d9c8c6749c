"""Training a plan's trials: where, until when, and what each result sets off."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ablations.commands.device import Device
from ablations.commands.progress import Remaining, checking, progress
from ablations.commands.report import comparison, read, render
from ablations.commands.seed_scheduler import SeedScheduler
from ablations.ledger import Ledger
from ablations.mlflow.writer import Writer
from ablations.options import LimitOptions, PlaceOptions, RunOptions
from ablations.runner.parallel import Counts, missing, run_trials
from ablations.runner.process import Limits, loaded
from ablations.study import costs
from ablations.study import plan as plans
from ablations.study.plan import Plan
from bench.errors import BadInput
from bench.trial import Result, Trial

FIRST_BATCH = 120.0
"""Seconds that the first batch of an arm may take."""
WARM_UP = "bench.chapter.warm_up"
"""The module that the trials' processes have loaded when they start."""


class Budget:
    """A monotonic time, `end`: a trial that is expected to end later does not start."""

    def __init__(self, end: float) -> None:
        self._end = end
        self._expected = self._taken = 0.0
        self.short = False  # whether it has kept a trial from starting

    @property
    def over(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self._end

    def learn(self, expected: float, taken: float) -> None:
        """Correct expected seconds by those that a trial took."""
        self._expected, self._taken = self._expected + expected, self._taken + taken

    @property
    def pace(self) -> float:
        """Seconds that trials took, for each that was expected."""
        return self._taken / self._expected if self._expected else 1.0

    def allows(self, expected: float) -> bool:
        """Whether a trial that starts now is expected to end in time."""
        fits = time.monotonic() + expected * self.pace <= self._end
        self.short = self.short or not fits
        return fits


@dataclass(frozen=True)
class StudyRun:
    """One study's run: where its trials are trained, until when, and those that it has trained."""

    ledger: Ledger
    writer: Writer
    options: RunOptions
    device: Device
    budget: Budget
    trained: set[str] = field(default_factory=set)


def train(
    run: StudyRun, plan: Plan, trials: Sequence[Trial], todo: Sequence[Trial], scheduler: SeedScheduler
) -> tuple[Plan, bool]:
    """Train `todo`, the trials that are wanted, and then the winners if the searches of tuning ended.

    `trials` are the plan's. Returns the plan, and whether Ctrl-C ended it.
    """
    for result in scheduler.results.values():
        run.budget.learn(costs.seconds(result.trial), result.seconds)
    first = _train_missing(run, plan, todo, scheduler)
    if not plan.searches or first.interrupted or (run.options.fail_fast and first.failed):
        return plan, first.interrupted
    plan, winners = plans.settle(plan, trials, run.ledger)
    plan = plans.store(plan, run.ledger)
    winners = missing(winners, run.ledger.results(trial.id for trial in winners), run.options.retry)
    scheduler = SeedScheduler(plan, scheduler.results)
    second = _train_missing(run, plan, scheduler.in_order(winners), scheduler)
    return plan, second.interrupted


def _train_missing(run: StudyRun, plan: Plan, todo: Sequence[Trial], scheduler: SeedScheduler) -> Counts:
    options, budget, trained = run.options, run.budget, run.trained
    planned = plan.arm_and_seed
    names = {id: f"{arm.name}/seed={seed}" for id, (arm, seed) in planned.items()}
    seconds = {trial.id: costs.seconds(trial) for trial in todo}
    slots = max(_count_slots(options, run.device), 1)

    def remaining() -> Remaining:
        left = [id for id in seconds if id not in trained and scheduler.wants(id)]
        standing = scheduler.status_line if len(plan.looks) > 1 else ""
        rest = sum(seconds[id] for id in left) * budget.pace / slots
        return Remaining(len(scheduler.pending), rest, standing)

    def wanted(trial: Trial) -> bool:
        """Beyond this look only while it will be taken in time."""
        near = trial.id in scheduler.pending or not budget.short
        return near and scheduler.wants(trial.id) and budget.allows(seconds[trial.id])

    with progress(plan.study, names, remaining) as show, _pages(plan, run) as render_page:

        def finished(result: Result) -> None:
            id = result.trial.id
            trained.add(id)
            if scheduler.add(result) and scheduler.pending:
                render_page()  # after the last look, the page is that of the whole run
            budget.learn(seconds[id], result.seconds)
            arm = planned[id][0].name
            run.writer.write_trial(arm, partial(run.ledger.read, id))  # later: thousands may wait
            show(result)

        return run_trials(
            todo,
            run.ledger,
            retry=options.retry,
            fail_fast=options.fail_fast,
            wanted=wanted,
            on_result=finished,
            on_drain=lambda: print("finishing the running trials; Ctrl-C again stops them", file=sys.stderr),
            **conditions(todo, options, options, run.device),
        )


@contextmanager
def _pages(plan: Plan, run: StudyRun) -> Iterator[Callable[[], object]]:
    """Yields a function that renders the study's page from the results so far, on a thread of its own."""

    def render_page() -> None:
        render(comparison(plan, read(plan, run.ledger)), run.options.out)

    with ThreadPoolExecutor(1, "page") as pool:
        rendered = []
        yield lambda: rendered.append(pool.submit(render_page))
    for page in rendered:
        page.result()  # raises where the disk is full


def untried_arms(todo: Sequence[Trial], plan: Plan, results: Mapping[str, Result]) -> dict[str, Trial]:
    """A trial of each arm that has no result yet, by the arm's name."""
    arms = plan.arm_names
    tried = {arms[id] for id, result in results.items() if result.done or result.diverged}
    return {arms[trial.id]: trial for trial in todo if arms[trial.id] not in tried}


def try_first_batches(arms: Mapping[str, Trial], options: RunOptions, on: Device) -> None:
    """Train a batch of each arm. Raises BadInput, naming the arm, for one that cannot be trained in time."""
    if not arms:
        return
    where = conditions(arms.values(), options, options, on)
    ready = (lambda: True) if options.cluster else loaded  # a cluster's workers load it
    seconds = min(FIRST_BATCH, options.time_limit)
    where |= {
        "work": "bench.chapter.first_batch:train_first_batch",
        "limits": replace(where["limits"], seconds=seconds),
    }
    with TemporaryDirectory() as folder, checking(len(arms), ready) as checked:
        replies = Ledger(Path(folder))
        tally = run_trials([*arms.values()], replies, fail_fast=True, on_result=checked, **where)
        if tally.interrupted:
            raise KeyboardInterrupt
        for name, trial in arms.items():
            if (result := replies.read(trial.id)) and not result.done:
                reason = result.reason.removeprefix("BadInput: ")
                if reason.startswith("time limit"):
                    large = "lower what makes it large (layers, hidden, window, batch, the text)"
                    reason = f"its first batch takes more than {seconds:g} s: {large}"
                raise BadInput(reason, place=f"arm {name!r}")


def _count_slots(options: PlaceOptions, on: Device) -> int:
    """How many trials run at a time."""
    if not options.cluster:
        return on.slots
    from ablations.runner.cluster import count_slots  # the extra `cluster`

    return count_slots(options.cluster)


def conditions(
    trials: Iterable[Trial], options: PlaceOptions, limits: LimitOptions, on: Device
) -> dict[str, Any]:
    """The keywords of `run_trials` for the place and the limits of these trials."""
    fastai = any("fastai " in trial.versions for trial in trials)
    return {
        "preload": (WARM_UP, *([f"{WARM_UP}_fastai"] if fastai else []), *options.plugin),
        "workers": on.slots,
        "gpus": on.found.gpus,
        "cluster": options.cluster,
        "limits": Limits(seconds=limits.time_limit, memory_bytes=limits.memory_limit * 2**20),
    }
