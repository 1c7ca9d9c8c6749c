"""Training a plan's trials within a budget of time: results go to the scheduler, the page and MLflow."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from rich.console import Console

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.mlflow.writer import Writer
from unrolled.ablations.options import RunOptions, VerifyOptions
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.publishing.plan_comparison import compare_plan
from unrolled.ablations.publishing.plan_page import read_page_results, render_page
from unrolled.ablations.runner.child import Limits
from unrolled.ablations.runner.parallel import TrialConditions, run_trials
from unrolled.ablations.runner.supervisor import RunSupervisor
from unrolled.ablations.terminal import print_line
from unrolled.ablations.training.budget import Budget
from unrolled.ablations.training.device import DeviceChoice
from unrolled.ablations.training.progress import Remaining, show_progress
from unrolled.ablations.training.remeasuring import Remeasuring, explain_outdated
from unrolled.ablations.training.seed_scheduler import SeedScheduler
from unrolled.bench.metric import judges_cost
from unrolled.bench.phrases import make_visible
from unrolled.bench.trial import Result, ResultInStudy, Trial


@dataclass(kw_only=True)
class StudyRun:
    """The run of one study: its plan, which trials are wanted, where they are trained and until when.

    `store_plan` replaces the plan and the scheduler. A function that stores a plan, or calls one that does,
    reads `study_run.plan` afresh afterwards.
    """

    plan: Plan
    trials: Sequence[Trial]  # all trials of the plan
    scheduler: SeedScheduler
    ledger: Ledger
    writer: Writer
    options: RunOptions
    device: DeviceChoice
    budget: Budget
    remeasuring: Remeasuring
    trained_ids: set[str] = field(default_factory=set)  # identities of the trials that this run trained
    unchecked_arms: frozenset[str] = frozenset()  # names of the arms whose first batch was not checked
    ended_trials: int = 0  # trials that this run or, meanwhile, another run trained
    interrupted: bool = False  # whether Ctrl-C ended the run

    def store_plan(self, plan: Plan) -> None:
        """Store another plan of the same trials, and use it from now on, as the ledger has it.

        Its `repetition_differences` may change which trials are wanted.
        """
        self.plan = plan_store.store_plan(plan, self.ledger, self.trials)
        self.scheduler = SeedScheduler(self.plan, self.scheduler.results)

    def leave_out_arms(self, names: frozenset[str]) -> None:
        """Start no trial of these arms, whose first batch was not checked, as the time did not suffice."""
        self.unchecked_arms = names
        self.budget.has_refused = True

    def list_missing_trials(self) -> list[Trial]:
        """Return the trials that are wanted and have no result, in the order of running."""
        ids = self.scheduler.possible_ids
        return self.scheduler.sort_trials(trial for trial in self.trials if trial.id in ids)

    def train_trials(self, trials: Sequence[Trial], *, strict: bool = False) -> None:
        """Train the trials among these that are wanted.

        `strict` trains failed trials again, and starts no trial after the first failure. If arms are commits,
        trials still start, because any commit may be broken.
        """
        self._train_until_pause(trials, strict=strict)
        while self.remeasuring.paused_ids and not self.interrupted:
            self.forget_outdated_results()
            trials = [trial for trial in trials if trial.id not in self.scheduler.results]
            self._train_until_pause(trials, strict=strict)

    def _train_until_pause(self, trials: Sequence[Trial], *, strict: bool) -> None:
        """Train as `train_trials` does. After a pause, if a cost is judged, no trial starts."""
        plan = self.plan
        labels = {id: f"{arm.name}/seed={seed}" for id, (arm, seed) in plan.arm_and_seed_by_id.items()}
        has_commits = any(arm.is_other_commit for arm in plan.arms)
        console = Console(highlight=False)
        progress = show_progress(
            console,
            plan.study_name,
            labels,
            plan.rules.metric_names,
            self._count_remaining_trials,
            self.ended_trials,
        )
        with progress as show_result, self._start_page_thread(console) as queue_page:
            interrupted = run_trials(
                trials,
                self.ledger,
                self.choose_conditions(trials),
                StudySupervisor(
                    study_run=self,
                    arm_names=plan.arm_names_by_id,
                    show_result=show_result,
                    queue_page=queue_page,
                    retries=strict or self.options.retry,
                ),
                fail_fast=self.options.fail_fast or (strict and not has_commits),
            )
        self.interrupted = self.interrupted or interrupted

    def choose_conditions(self, trials: Iterable[Trial]) -> TrialConditions:
        """Return how and where these trials are run.

        If a time, a speed or memory is judged, a killed trial starts anew. A resumed program would measure a
        part, and a model of the chapter would add up the times of two occasions.
        """
        conditions = make_trial_conditions(trials, self.options, self.device)
        if judges_cost(self.plan.rules.metrics):
            conditions = replace(conditions, resumes=False, run_token=self.remeasuring.run_token)
        return conditions

    def forget_outdated_results(self, retried_ids: Set[str] = frozenset()) -> None:
        """Forget the results that are measured again: see `Remeasuring`. Print a line if there are any.

        `retried_ids` are trials with a result that are trained again.
        """
        forgotten: dict[str, float] = {}
        missing_ids = self.scheduler.possible_ids | retried_ids
        # without the results of a seed, a contrast that was decided may want further seeds
        while starts := self.remeasuring.find_outdated_starts(self.plan, self.scheduler.results, missing_ids):
            forgotten |= starts
            results = self.scheduler.results
            self.scheduler = SeedScheduler(
                self.plan, {id: results[id] for id in results.keys() - forgotten.keys()}
            )
            missing_ids = self.scheduler.possible_ids | retried_ids
        self.remeasuring.mark_outdated(forgotten)
        if outdated_ids := forgotten.keys() & self.scheduler.possible_ids:
            print_line(explain_outdated(self.plan, outdated_ids))

    def has_time_for(self, trial: Trial) -> bool:
        """Return True if a trial is expected to end in time or, while that is unknown, if time is left."""
        is_unknown = not trial.trainer.estimate_seconds and not self.budget.has_measurement
        return self.budget.allows_trial(0.0 if is_unknown else trial.expected_seconds)

    def _count_remaining_trials(self) -> Remaining:
        """Return the trials that the study still needs."""
        pending_ids = self.scheduler.pending_ids
        return Remaining(
            trials=len(pending_ids),
            seconds=sum(self._expected_seconds[id] for id in pending_ids),
            most_seconds=sum(self._expected_seconds[id] for id in self.scheduler.possible_ids),
        )

    @cached_property
    def _expected_seconds(self) -> dict[str, float]:
        return {trial.id: trial.expected_seconds for trial in self.trials}

    @contextmanager
    def _start_page_thread(self, console: Console) -> Iterator[Callable[[], object]]:
        """Yield a function that renders and prints the results so far, on a thread of its own."""

        def show_results(status_line: str) -> None:
            from unrolled.ablations.training.terminal_table import print_arms  # imports pandas
            from unrolled.reports.words.page_warnings import describe_repeated_numbers

            comparison = compare_plan(self.plan, read_page_results(self.plan, self.ledger))
            render_page(comparison, self.options.out)
            lines = [status_line]
            if sentence := describe_repeated_numbers(comparison):
                lines.append(f"WARNING: {sentence}")
            for line in lines:
                text = make_visible(f"{self.plan.study_name}: {line}")
                console.print(text, markup=False, soft_wrap=not console.is_terminal)
            print_arms(comparison, console)

        with ThreadPoolExecutor(1, "page") as pool:
            pages = []
            yield lambda: pages.append(pool.submit(show_results, self.scheduler.status_line))
        for page in pages:
            page.result()  # raises if the disk is full


@dataclass(frozen=True, kw_only=True)
class StudySupervisor(RunSupervisor):
    """The supervisor of a StudyRun, whose scheduler and budget decide which trials start.

    Results go to both, to MLflow, to the terminal by `show_result` and, at each look, by `queue_page` to the
    study's page.
    """

    study_run: StudyRun
    arm_names: Mapping[str, str]  # names of arms by trial
    show_result: Callable[[ResultInStudy], None]
    queue_page: Callable[[], object]

    def should_retrain(self, stored: Result) -> bool:
        """Return True for an outdated time, and for a failure that is tried again."""
        run = self.study_run
        return run.remeasuring.is_outdated(stored) or (
            self.retries and run.plan.should_retrain(stored, retry=run.options.retry)
        )

    def is_wanted(self, trial: Trial) -> bool:
        """Return True if a trial is wanted and expected to end in time.

        No trial of an arm is started whose first batch was not checked. Once the budget has refused a trial,
        only trials that the next look needs are started.
        """
        run = self.study_run
        if self.arm_names[trial.id] in run.unchecked_arms:
            return False
        may_start = trial.id in run.scheduler.pending_ids or not run.budget.has_refused
        is_wanted = may_start and run.scheduler.is_wanted(trial.id) and run.has_time_for(trial)
        return is_wanted and not run.remeasuring.paused_ids

    def receive_start(self, trial: Trial) -> None:
        """Remove what is outdated of the trial's seed."""
        self.study_run.remeasuring.receive_start(trial, self.study_run.plan)

    def receive_pause(self) -> None:
        """Start no further trial before the seeds of the last trials are forgotten."""
        self.study_run.remeasuring.receive_pause(self.study_run.plan)

    def make_result_in_study(self, result: Result) -> ResultInStudy:
        """Return the result with the status that the plan gives it."""
        return self.study_run.plan.make_result_in_study(result)

    def receive_result(self, result: ResultInStudy) -> None:
        """Count the trial as trained by this run, and pass its result on."""
        self.study_run.trained_ids.add(result.trial.id)
        self.study_run.remeasuring.receive_result(result.trial.id)
        self._pass_on(result)

    def receive_foreign_result(self, result: ResultInStudy) -> None:
        """Pass the result of another run on."""
        self._pass_on(result)

    def _pass_on(self, result: ResultInStudy) -> None:
        """Give a result to the scheduler, the budget, MLflow and the terminal."""
        run = self.study_run
        id = result.trial.id
        run.ended_trials += 1
        if run.scheduler.add_result(result) and run.scheduler.pending_ids:
            self.queue_page()  # not after the last look: the end of the run renders that page
        run.budget.add_trial(result)
        # the writer reads a result when its turn comes, as thousands may be queued
        run.writer.write_trial(self.arm_names[id], partial(run.ledger.read_result, id))
        self.show_result(result)


def read_final_results(plan: Plan, ledger: Ledger, *, retry: bool) -> dict[str, ResultInStudy]:
    """Read the results of trials that are not run again, as the plan counts them, without details.

    Damaged results are set aside.
    """
    stored_results = [result.drop_details() for id in plan.ids if (result := ledger.read_result(id))]
    final_results = [
        result for result in stored_results if not (retry and plan.should_retrain(result, retry=True))
    ]
    return {result.trial.id: plan.make_result_in_study(result) for result in final_results}


def make_trial_conditions(
    trials: Iterable[Trial], options: RunOptions | VerifyOptions, device: DeviceChoice
) -> TrialConditions:
    """Return how and where these trials are run, by the options and on this device."""
    trials = list(trials)
    usual_limit = max((trial.usual_time_limit for trial in trials), default=3600.0)
    return TrialConditions(
        preload=tuple(dict.fromkeys(module for trial in trials for module in trial.preload)),
        plugins=options.plugin,
        workers=device.slots,
        gpus=device.gpus,
        hides_gpus=device.hides_gpus,
        cluster=options.cluster,
        limits=Limits(
            time_limit=options.time_limit or usual_limit, memory_bytes=options.memory_limit * 2**20
        ),
    )
