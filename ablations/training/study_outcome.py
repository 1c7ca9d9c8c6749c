"""The outcome of a study's run, as the terminal shows it: counts of trials, remarks, arms and the answer."""

import sys
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.runner.process import plain_reason
from unrolled.ablations.training.progress import print_line
from unrolled.ablations.training.seed_scheduler import SeedScheduler
from unrolled.bench.phrases import make_visible, plural
from unrolled.bench.trial import StudyResult

if TYPE_CHECKING:
    from unrolled.reports.compare.comparison import Comparison

MOST_LISTED_ATTEMPTS = 5  # earlier attempts that are listed before the rest is counted


def print_outcome(
    comparison: "Comparison",
    plan: Plan,
    results: Mapping[str, StudyResult],
    ledger: Ledger,
    trained_ids: set[str],
    *,
    is_checked: bool,
    timed_out: bool,
    interrupted: bool,
) -> int:
    """Print what became of a plan's trials. Returns the number of faults.

    A fault is a trial that failed. A trial without a result is a fault, too, unless Ctrl-C or the budget kept
    it from starting. `is_checked` says that the baseline's first trial was trained a second time, as a check.
    """
    from unrolled.ablations.training.terminal_table import print_arms  # imports pandas
    from unrolled.reports.page.render import answer_lines

    scheduler = SeedScheduler(plan, results)
    missing_count = len(scheduler.pending_ids)
    status_counts = Counter(result.status for result in results.values())
    new_count = sum(results[id].done for id in trained_ids & results.keys())
    counts = f"{new_count} trained, {status_counts['done'] - new_count} already there"
    counts += f", {status_counts['failed']} failed"
    counts += f", {status_counts['diverged']} diverged, {missing_count} left"
    if comparison.uncounted_count:
        counts += (
            f"; {comparison.uncounted_count} not counted: of a look that is incomplete or no longer needed"
        )
    counts += "; the baseline's first was trained a second time, as a check" if is_checked else ""
    first_failure = next((result for result in results.values() if result.status == "failed"), None)
    remarks = map(make_visible, _list_remarks(comparison))
    lines = [counts, scheduler.status_line, *remarks, _describe_failure(first_failure, plan, ledger)]
    for line in filter(None, lines):
        print_line(f"{make_visible(plan.study)}: {line}")
    if any(result.done for result in results.values()):
        console = Console(highlight=False)
        with console.capture() as table:  # rich would end the process if the reader of the output is gone
            print_arms(comparison, console)
        print(table.get(), end="")
    for line in answer_lines(comparison):
        print_line(f"  {make_visible(line)}")
    if not missing_count:
        return status_counts["failed"]
    reason = "no result yet"
    if interrupted:
        reason += ", as the run was interrupted"
    elif timed_out:
        reason = "not begun, as the time is up"
    print_line(f"{plural(missing_count, 'trial')} of this look: {reason}; run again", sys.stderr)
    return status_counts["failed"] + (0 if interrupted or timed_out else missing_count)


def _list_remarks(comparison: "Comparison") -> list[str]:
    """Return the warnings on a comparison, and the first of the earlier attempts."""
    from unrolled.reports.words.caveats import (  # imports scipy
        describe_attempts,
        describe_futile_contrasts,
        describe_nondeterminism,
        describe_seen_data,
        list_earlier_attempts,
    )
    from unrolled.reports.words.doubts import describe_mixed_machines, describe_warned_trials  # imports scipy

    writers = (
        describe_warned_trials,
        describe_futile_contrasts,
        describe_mixed_machines,
        describe_nondeterminism,
        describe_seen_data,
        describe_attempts,
    )
    attempts = list_earlier_attempts(comparison)
    remainder = (
        [f"and {len(attempts) - MOST_LISTED_ATTEMPTS} more"] if len(attempts) > MOST_LISTED_ATTEMPTS else []
    )
    return [*(write(comparison) for write in writers), *attempts[:MOST_LISTED_ATTEMPTS], *remainder]


def _describe_failure(failure: StudyResult | None, plan: Plan, ledger: Ledger) -> str:
    """Return why a trial failed, and the cure if its training did; "" for None."""
    if failure is None:
        return ""
    id = failure.trial.id
    reason = plain_reason(failure)
    if any(plan.should_retrain(stored, retry=False) for stored in ledger.read_results([id]).values()):
        reason += "; --retry trains failed trials again"
    return make_visible(f"{plan.arm_names_by_id[id]}, seed {plan.arm_and_seed_by_id[id][1]}: {reason}")
