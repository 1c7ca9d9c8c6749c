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

from ablations.commands.device import Device
from ablations.commands.progress import Remaining, checking, progress
from ablations.commands.report import compare_plan, read, render
from ablations.commands.seed_scheduler import SeedScheduler
from ablations.ledger import Ledger
from ablations.mlflow.writer import Writer
from ablations.options import PlaceOptions, RunOptions, VerifyOptions
from ablations.runner.parallel import Counts, TrialConditions, missing_trials, run_trials
from ablations.runner.process import TIME_LIMIT, Limits, plain_reason, torch_is_loaded
from ablations.study import plan as plans
from ablations.study.plan import Plan
from bench.errors import BadInput
from bench.trial import Result, Trial

FIRST_BATCH_SECONDS = 120.0
"""What the first batch of an arm may take."""


class Budget:
    """Refuses a trial that is expected to end after `end` (monotonic), at the pace of the trials so far."""

    def __init__(self, end: float) -> None:
        self._end = end
        self._expected = self._taken = 0.0
        self.has_refused = False  # whether it has kept a trial from starting

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
        self.has_refused = self.has_refused or not fits
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
    study_run: StudyRun, plan: Plan, trials: Sequence[Trial], todo: Sequence[Trial], scheduler: SeedScheduler
) -> tuple[Plan, bool]:
    """Train `todo`, the trials that are wanted, and then the winners if the searches of tuning ended.

    `trials` are the plan's. Returns the plan, and whether Ctrl-C ended it.
    """
    for result in scheduler.results.values():
        study_run.budget.learn(result.trial.seconds, result.seconds)
    options, ledger = study_run.options, study_run.ledger
    counts = train_missing(study_run, plan, todo, scheduler)
    if not plan.searches or counts.interrupted or (options.fail_fast and counts.failed):
        return plan, counts.interrupted
    plan, winners = plans.settle(plan, trials, ledger)
    plan = plans.store(plan, ledger)
    winners = missing_trials(winners, ledger.results(trial.id for trial in winners), options.retry)
    scheduler = SeedScheduler(plan, scheduler.results)
    counts = train_missing(study_run, plan, scheduler.in_order(winners), scheduler)
    return plan, counts.interrupted


def train_missing(
    study_run: StudyRun, plan: Plan, todo: Sequence[Trial], scheduler: SeedScheduler, retry: bool = False
) -> Counts:
    """Train those of these trials that are wanted; with `retry` also those that failed."""
    options, budget, trained = study_run.options, study_run.budget, study_run.trained
    arm_names = plan.arm_names
    labels = {id: f"{arm.name}/seed={seed}" for id, (arm, seed) in plan.arm_and_seed.items()}
    seconds = {trial.id: trial.seconds for trial in todo}
    slots = max(_count_slots(options, study_run.device), 1)

    def remaining() -> Remaining:
        ids = [id for id in seconds if id not in trained and scheduler.wants(id)]
        expected = sum(seconds[id] for id in ids) * budget.pace / slots
        status_line = scheduler.status_line if len(plan.looks) > 1 else ""
        return Remaining(len(scheduler.pending), expected, status_line)

    def wanted(trial: Trial) -> bool:
        """Once the budget has refused a trial, only those of the current look start."""
        due = trial.id in scheduler.pending or not budget.has_refused
        return due and scheduler.wants(trial.id) and budget.allows(seconds[trial.id])

    with progress(plan.study, labels, remaining) as show_result, _pages(plan, study_run) as render_page:

        def on_result(result: Result) -> None:
            id = result.trial.id
            trained.add(id)
            if scheduler.add(result) and scheduler.pending:
                render_page()  # after the last look, the page is that of the whole run
            budget.learn(seconds[id], result.seconds)
            # read later: thousands may wait
            study_run.writer.write_trial(arm_names[id], partial(study_run.ledger.read, id))
            show_result(result)

        return run_trials(
            todo,
            study_run.ledger,
            trial_conditions(todo, options, study_run.device),
            retry=retry or options.retry,
            fail_fast=options.fail_fast,
            wanted=wanted,
            on_result=on_result,
            on_drain=lambda: print("finishing the running trials; Ctrl-C again stops them", file=sys.stderr),
        )


@contextmanager
def _pages(plan: Plan, study_run: StudyRun) -> Iterator[Callable[[], object]]:
    """Yields a function that renders the study's page from the results so far, on a thread of its own."""

    def render_page() -> None:
        render(compare_plan(plan, read(plan, study_run.ledger)), study_run.options.out)

    with ThreadPoolExecutor(1, "page") as pool:
        pages = []
        yield lambda: pages.append(pool.submit(render_page))
    for page in pages:
        page.result()  # raises where the disk is full


def untried_arms(todo: Sequence[Trial], plan: Plan, results: Mapping[str, Result]) -> dict[str, Trial]:
    """A trial that is missing of each arm of which none has finished or diverged, by the arm's name."""
    names = plan.arm_names
    tried = {names[id] for id, result in results.items() if result.done or result.diverged}
    return {names[t.id]: t for t in todo if t.rehearsal and names[t.id] not in tried}


def try_first_batches(arms: Mapping[str, Trial], options: RunOptions, device: Device) -> None:
    """Train a batch of each arm. Raises BadInput, naming the arm, for one that cannot be trained in time."""
    if not arms:
        return
    conditions = trial_conditions(arms.values(), options, device)
    seconds = min(FIRST_BATCH_SECONDS, options.time_limit)
    conditions = replace(
        conditions,
        work=next(iter(arms.values())).rehearsal,
        limits=replace(conditions.limits, seconds=seconds),
    )
    is_ready = (lambda: True) if options.cluster else torch_is_loaded  # a cluster's workers load it
    with TemporaryDirectory() as folder, checking(len(arms), is_ready) as on_result:
        ledger = Ledger(Path(folder))
        counts = run_trials([*arms.values()], ledger, conditions, fail_fast=True, on_result=on_result)
        if counts.interrupted:
            raise KeyboardInterrupt
        for name, trial in arms.items():
            if (result := ledger.read(trial.id)) and not result.done:
                reason = plain_reason(result)
                if reason.startswith(TIME_LIMIT):
                    cure = "lower what makes it large (layers, hidden, window, batch, the text)"
                    reason = f"its first batch takes more than {seconds:g} s: {cure}"
                raise BadInput(reason, place=f"arm {name!r}")


def _count_slots(options: PlaceOptions, device: Device) -> int:
    """How many trials run at a time."""
    if not options.cluster:
        return device.slots
    from ablations.runner.cluster import count_slots  # the extra `cluster`

    return count_slots(options.cluster, device.kind)


def trial_conditions(
    trials: Iterable[Trial], options: RunOptions | VerifyOptions, device: Device
) -> TrialConditions:
    """The conditions of these trials, as the options say."""
    modules = dict.fromkeys(module for trial in trials for module in trial.preload)
    return TrialConditions(
        preload=(*modules, *options.plugin),
        workers=device.slots,
        gpus=device.available.gpus,
        cluster=options.cluster,
        limits=Limits(seconds=options.time_limit, memory_bytes=options.memory_limit * 2**20),
    )
