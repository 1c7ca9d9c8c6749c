"""The outcome of a study's run, as the terminal shows it: counts of trials, remarks, arms and the answer."""

import sys
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from rich.console import Console

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.runner.process import format_reason
from unrolled.ablations.terminal import print_line
from unrolled.ablations.training.seed_scheduler import SeedScheduler
from unrolled.bench.phrases import plural
from unrolled.bench.trial import ResultInStudy

if TYPE_CHECKING:
    from unrolled.reports.compare.comparison import Comparison

MOST_LISTED_ATTEMPTS = 5  # earlier attempts that are listed before the rest is counted


@dataclass(frozen=True, kw_only=True)
class StudyOutcome:
    """What became of a study's trials in one run."""

    plan: Plan
    comparison: "Comparison"
    results: Mapping[str, ResultInStudy]  # results by identity
    trained_ids: Collection[str]  # identities of the trials that this run trained
    has_repeated_baseline: bool  # whether the baseline's first trial was trained a second time, as a check
    timed_out: bool  # whether the budget kept trials from starting
    interrupted: bool  # whether Ctrl-C ended the run

    @cached_property
    def scheduler(self) -> SeedScheduler:
        """The trials that the study needs, as its results decide."""
        return SeedScheduler(self.plan, self.results)

    @cached_property
    def status_counts(self) -> Counter[str]:
        """The number of results by status."""
        return Counter(result.status for result in self.results.values())

    @cached_property
    def counted_failures(self) -> list[ResultInStudy]:
        """The failed results that count: none that lies beyond the look that decided its contrast."""
        arms = [arm.counted_arm for arm in self.comparison.arms]
        return [result for arm in arms for result in arm.results.values() if result.status == "failed"]

    @property
    def missing_count(self) -> int:
        """The number of trials without a result that the study needs."""
        return len(self.scheduler.pending_ids)

    @property
    def fault_count(self) -> int:
        """The number of failures that count, and of trials that lack a result though nothing kept them."""
        if self.interrupted or self.timed_out:
            return len(self.counted_failures)
        return len(self.counted_failures) + self.missing_count


def print_outcome(outcome: StudyOutcome, ledger: Ledger) -> None:
    """Print counts of trials, remarks, the table of arms, the answer, and what is missing."""
    from unrolled.reports.page.render import write_answer_lines  # imports matplotlib and pandas

    comparison = outcome.comparison
    lines = [
        _count_trials(outcome),
        outcome.scheduler.status_line,
        *_list_remarks(comparison),
        _describe_first_failure(outcome, ledger),
    ]
    for line in filter(None, lines):
        print_line(f"{outcome.plan.study_name}: {line}")
    if outcome.status_counts["done"]:
        _print_table(comparison)
    for line in write_answer_lines(comparison):
        print_line(f"  {line}")
    if outcome.missing_count:
        print_line(_describe_missing_trials(outcome), sys.stderr)


def _count_trials(outcome: StudyOutcome) -> str:
    """Return the counts of trials: "21 trained, 0 already there, 0 failed, …"."""
    from unrolled.reports.words.study_state import describe_uncounted  # imports scipy

    results = outcome.results
    counts = outcome.status_counts
    new_count = sum(results[id].is_done for id in outcome.trained_ids if id in results)
    line = (
        f"{new_count} trained, {counts['done'] - new_count} already there, {counts['failed']} failed, "
        f"{counts['diverged']} diverged, {outcome.missing_count} left"
    )
    if uncounted_count := outcome.comparison.uncounted_count:
        line += f"; {uncounted_count} not counted: {describe_uncounted(outcome.comparison)}"
    if outcome.has_repeated_baseline:
        line += "; the baseline's first was trained a second time, as a check"
    return line


def _print_table(comparison: "Comparison") -> None:
    """Print the table of arms."""
    from unrolled.ablations.training.terminal_table import print_arms  # imports pandas

    console = Console(highlight=False)
    with console.capture() as table:  # rich would end the process if the reader of the output is gone
        print_arms(comparison, console)
    print(table.get(), end="")


def _describe_missing_trials(outcome: StudyOutcome) -> str:
    """Return how many trials have no result, and why."""
    reason = "no result yet"
    if outcome.interrupted:
        reason += ", as the run was interrupted"
    elif outcome.timed_out:
        reason = "not begun, as the time is up"
    return f"{plural(outcome.missing_count, 'trial')} of this look: {reason}; run again"


def _list_remarks(comparison: "Comparison") -> list[str]:
    """Return the warnings of a comparison's page, other remarks, and the first of the earlier attempts."""
    from unrolled.reports.words.page_limits import describe_repetition  # imports scipy
    from unrolled.reports.words.page_warnings import list_warnings  # imports scipy
    from unrolled.reports.words.study_state import (  # imports scipy
        describe_futile_contrasts,
        describe_repeated_plans,
        describe_seen_data,
        list_earlier_plan_lines,
    )

    writers = (
        describe_futile_contrasts,
        describe_repetition,
        describe_seen_data,
        describe_repeated_plans,
    )
    attempts = list_earlier_plan_lines(comparison)
    remainder = (
        [f"and {len(attempts) - MOST_LISTED_ATTEMPTS} more"] if len(attempts) > MOST_LISTED_ATTEMPTS else []
    )
    warnings = [f"WARNING: {sentence}" for sentence in list_warnings(comparison)]
    sentences = [write(comparison) for write in writers]
    return [*warnings, *sentences, *attempts[:MOST_LISTED_ATTEMPTS], *remainder]


def _describe_first_failure(outcome: StudyOutcome, ledger: Ledger) -> str:
    """Return why the first failed trial failed, and the cure if its training did; "" if none failed."""
    failure = next(iter(outcome.counted_failures), None)
    if failure is None:
        return ""
    plan = outcome.plan
    id = failure.trial.id
    reason = format_reason(failure)
    if any(plan.should_retrain(stored, retry=False) for stored in ledger.read_results([id]).values()):
        reason += "; --retry trains failed trials again"
    return f"{plan.arm_names_by_id[id]}, seed {plan.arm_and_seed_by_id[id][1]}: {reason}"
