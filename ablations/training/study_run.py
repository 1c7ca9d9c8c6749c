"""Training a plan's trials: on what device, until when, and what is done with each result."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.mlflow.writer import Writer
from unrolled.ablations.options import RunOptions, VerifyOptions
from unrolled.ablations.runner.child import Limits
from unrolled.ablations.runner.parallel import Counts, TrialConditions, run_aside, run_trials
from unrolled.ablations.runner.process import plain_reason
from unrolled.ablations.study.plan import Plan
from unrolled.ablations.training.comparison import compare_plan, read, render
from unrolled.ablations.training.device import Device
from unrolled.ablations.training.progress import checking, progress
from unrolled.ablations.training.seed_scheduler import SeedScheduler
from unrolled.bench.errors import BadInput
from unrolled.bench.trial import TIME_LIMIT, Result, Trial

FIRST_BATCH_SECONDS = 120.0  # what the first batch of an arm may take


class Budget:
    """The time of a run: no trial starts that is expected to end after `end` (monotonic).

    Expected seconds are corrected by how long the trials so far took.
    """

    def __init__(self, end: float) -> None:
        self._end = end
        self._expected = self._taken = 0.0
        self.has_refused = False  # whether it has kept a trial from starting

    @property
    def over(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self._end

    def half(self) -> "Budget":
        """A budget of half of the time that is left."""
        now = time.monotonic()
        return Budget(now + (self._end - now) / 2)

    def learn(self, result: Result) -> None:
        """Take the seconds of a finished trial into account: others may have ended early."""
        if result.done:
            self._expected, self._taken = self._expected + result.trial.seconds, self._taken + result.spent

    @property
    def has_learned(self) -> bool:
        """Whether a trial has been measured."""
        return self._expected > 0

    def allows(self, expected: float) -> bool:
        """Whether a trial that starts now is expected to end in time. A refusal is kept in `has_refused`."""
        pace = self._taken / self._expected if self.has_learned else 1.0
        fits = time.monotonic() + expected * pace <= self._end
        self.has_refused = self.has_refused or not fits
        return fits


@dataclass(kw_only=True)
class StudyRun:
    """One study's run: its plan, which trials are wanted, where they are trained and until when."""

    plan: Plan
    trials: Sequence[Trial]  # all of the plan's
    scheduler: SeedScheduler
    ledger: Ledger
    writer: Writer
    options: RunOptions
    device: Device
    budget: Budget
    trained: set[str] = field(default_factory=set)  # identities
    unchecked_arms: frozenset[str] = frozenset()  # names of those whose first batch was not tried
    ended_trials: int = 0  # those that it trained, and those that another run trained meanwhile

    def todo(self) -> list[Trial]:
        """The trials that are wanted and have no result, in the order of running."""
        known, wants = self.scheduler.results, self.scheduler.wants
        return self.scheduler.in_order(t for t in self.trials if t.id not in known and wants(t.id))

    def train_missing(self, todo: Sequence[Trial], *, strict: bool = False) -> Counts:
        """Train those of these trials that are wanted.

        `strict` trains failed trials again, and starts no more after the first failure, unless the arms are
        commits, one of which may be broken.
        """
        options, arm_names, plan = self.options, self.plan.arm_names, self.plan
        unchecked = {id for id, name in arm_names.items() if name in self.unchecked_arms}
        labels = {id: f"{arm.name}/seed={seed}" for id, (arm, seed) in self.plan.arm_and_seed.items()}
        judged = [metric.name for metric in self.plan.metrics]
        has_commits = any(arm.is_other_commit for arm in self.plan.arms)
        shown = progress(self.plan.study, labels, judged, self._remaining, self.ended_trials)
        with shown as show_result, self._pages() as render_page:

            def on_result(result: Result) -> None:
                self.trained.add(result.trial.id)
                on_stored_result(result)

            def on_stored_result(result: Result) -> None:
                id = result.trial.id
                self.ended_trials += 1
                if self.scheduler.add(result) and self.scheduler.pending:
                    render_page()  # not after the last look: the end of the run renders the page
                self.budget.learn(result)
                # the writer reads the result when its turn comes: thousands may be queued
                self.writer.write_trial(arm_names[id], partial(self.ledger.read, id))
                show_result(result)

            return run_trials(
                todo,
                self.ledger,
                self.conditions(todo),
                is_replaced=lambda stored: (
                    (strict or options.retry) and plan.is_replaced(stored, retry=options.retry)
                ),
                fail_fast=options.fail_fast or (strict and not has_commits),
                judge=self.plan.judge_result,
                wanted=lambda trial: trial.id not in unchecked and self._wants(trial),
                on_result=on_result,
                on_result_of_another_run=on_stored_result,
            )

    def conditions(self, trials: Iterable[Trial]) -> TrialConditions:
        """How and where these trials are run: from the start where a time is judged.

        The time of a part of a program would be too short. A model of the chapter adds up its attempts.
        """
        timed = self.plan.of_program and not all(metric.is_quality for metric in self.plan.metrics)
        return replace(trial_conditions(trials, self.options, self.device), resumes=not timed)

    def _remaining(self) -> tuple[int, str]:
        """How many trials the next look still needs, and the status line if there are several looks.

        After the last of them it is "": the outcome has it.
        """
        missing = len(self.scheduler.pending)
        return missing, self.scheduler.status_line if missing and len(self.plan.looks) > 1 else ""

    def _wants(self, trial: Trial) -> bool:
        """Whether a trial is to start: the scheduler wants it, and it is expected to end in time.

        Once the budget has refused a trial, only trials that the next look needs start.
        """
        due = trial.id in self.scheduler.pending or not self.budget.has_refused
        return due and self.scheduler.wants(trial.id) and self.has_time_for(trial)

    def has_time_for(self, trial: Trial) -> bool:
        """Whether a trial is expected to end in time; before any is measured, one of a program is."""
        has_estimate = self.budget.has_learned or not self.plan.of_program
        return self.budget.allows(trial.seconds if has_estimate else 0.0)

    @contextmanager
    def _pages(self) -> Iterator[Callable[[], object]]:
        """Yield a function that renders the page from the results so far, on a thread of its own."""

        def render_page() -> None:
            render(compare_plan(self.plan, read(self.plan, self.ledger)), self.options.out)

        with ThreadPoolExecutor(1, "page") as pool:
            pages = []
            yield lambda: pages.append(pool.submit(render_page))
        for page in pages:
            page.result()  # raises where the disk is full


def final_results(plan: Plan, ledger: Ledger, ids: Iterable[str], *, retry: bool) -> dict[str, Result]:
    """The results of trials that are not run again, as the plan judges them, without details.

    Those that are damaged are set aside.
    """
    stored = [result.without_details() for id in ids if (result := ledger.read(id))]
    kept = [result for result in stored if not (retry and plan.is_replaced(result, retry=True))]
    return {result.trial.id: plan.judge_result(result) for result in kept}


def untried_arms(todo: Sequence[Trial], plan: Plan, results: Mapping[str, Result]) -> dict[str, Trial]:
    """For each arm of which no trial has finished or diverged, one of its missing trials, by arm name.

    Trials without a rehearsal are left out.
    """
    names = plan.arm_names
    tried = {names[id] for id, result in results.items() if result.done or result.diverged}
    return {names[t.id]: t for t in todo if t.rehearsal and names[t.id] not in tried}


def try_first_batches(
    arms: Mapping[str, Trial], options: RunOptions, device: Device, budget: Budget
) -> frozenset[str]:
    """Train a batch of each arm, within half of the budget. Returns the names of arms that were not reached.

    Raises BadInput, naming the arm, for one that cannot be trained in time.
    """
    if not arms:
        return frozenset()
    half = budget.half()
    conditions = trial_conditions(arms.values(), options, device)
    seconds = min(FIRST_BATCH_SECONDS, conditions.limits.seconds)
    conditions = replace(
        conditions,
        work=next(iter(arms.values())).rehearsal,
        limits=replace(conditions.limits, seconds=seconds),
    )
    with checking(len(arms)) as on_result:
        results, interrupted = run_aside(
            [*arms.values()],
            conditions,
            fail_fast=True,
            wanted=lambda _: not half.over,
            on_result=on_result,
        )
    if interrupted:
        raise KeyboardInterrupt
    for name, trial in arms.items():
        if (result := results.get(trial.id)) and not result.done:
            reason = plain_reason(result)
            if reason.startswith(TIME_LIMIT):
                cure = "lower what makes it large (layers, hidden, window, batch, the text)"
                reason = f"its first batch takes more than {seconds:g} s: {cure}"
            raise BadInput(reason, place=f"arm {name!r}")
    return frozenset(name for name, trial in arms.items() if trial.id not in results)


def trial_conditions(
    trials: Iterable[Trial], options: RunOptions | VerifyOptions, device: Device
) -> TrialConditions:
    """How and where these trials are run, by the options and on this device."""
    trials = list(trials)
    usual = max((trial.usual_time_limit for trial in trials), default=3600.0)
    modules = dict.fromkeys(module for trial in trials for module in trial.preload)
    return TrialConditions(
        preload=(*modules, *options.plugin),
        workers=device.slots,
        gpus=device.gpus,
        hides_gpus=device.hides_gpus,
        cluster=options.cluster,
        limits=Limits(seconds=options.time_limit or usual, memory_bytes=options.memory_limit * 2**20),
    )
