"""`unrolled run`: train what is missing of each study, log it, report it."""

import os
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ablations import run_folder
from ablations.commands import device
from ablations.commands.device import Device
from ablations.commands.plan import chosen, print_plans
from ablations.commands.report import comparison, index, published, read, render, writable
from ablations.commands.seed_scheduler import SeedScheduler
from ablations.commands.train import Budget, StudyRun, train, try_first_batches, untried_arms
from ablations.ledger import Ledger
from ablations.mlflow.database import tracking_uri
from ablations.mlflow.writer import Writer
from ablations.options import RunOptions
from ablations.study import plan as plans
from ablations.study import retraining
from ablations.study.plan import Plan
from ablations.study.study import Study
from bench.errors import plural, visible
from bench.machine_kind import kind, machine_difference
from bench.trial import Result, Trial

if TYPE_CHECKING:
    from reports.comparison import Comparison


INTERRUPTED = 130
"""The exit code after Ctrl-C."""


@run_folder.used()
def run(names: Sequence[str], options: RunOptions) -> int:
    """Train the trials of each study that have no result, log them to MLflow, and render the reports."""
    if "golden" in names:
        from ablations.commands.golden import golden  # torch and fastai: four seconds

        return golden(names, options)
    if options.dry_run:
        return print_plans(names, options)
    return run_studies(chosen(names, options), options)[0]


def run_studies(studies: Iterable[Study], options: RunOptions) -> "tuple[int, dict[str, Comparison]]":
    """Run each study. Returns the exit code, and the comparisons by study."""
    made: dict[str, Comparison] = {}
    failed, interrupted, end = 0, False, time.monotonic() + options.budget
    writable(options.out)
    if not (ledger := Ledger(options.results)).root.exists():
        told = filter(None, [f"a new ledger begins in {ledger.root.absolute()}", ledger.elsewhere])
        print(visible("; ".join(told)), flush=True)
    try:
        for study in studies:
            budget = Budget(end)
            if budget.over:
                print(f"{visible(study.name)}: not run: no time was left", flush=True)
                continue
            made[study.name], faults, interrupted = _run_study(study, options, budget)
            failed += faults
            if interrupted:
                break
    finally:
        if made:  # also where a later study is refused
            index(ledger, options.out, made)
    if len(made) > 1:
        every = [row for found in made.values() for row in found.judged]
        decided = sum(row.decided for row in every)
        page = options.out / "index.html"
        print(f"{decided} of {plural(len(every), 'contrast')} decided; all reports: {page}")
    return INTERRUPTED if interrupted else 1 if failed else 0, made


def _run_study(study: Study, options: RunOptions, budget: Budget) -> "tuple[Comparison, int, bool]":
    """Study → plan → trials → results → comparison → page, under the study's lock.

    Returns the comparison, how many trials failed or have no result, and whether Ctrl-C ended the training.
    """
    ledger = Ledger(options.results)
    with ledger.lock(study.name):
        on = device.choose(study, options, plans.device_of(study.name, ledger))
        print(f"{visible(study.name)}: {on}", flush=True)
        plan, trials = plans.decide(study, _command(), on.kind)
        scheduler = _so_far(plan, ledger, options.retry)
        there = frozenset(scheduler.results)
        wanted = (trial for trial in trials if trial.id not in there and scheduler.wants(trial.id))
        todo = scheduler.in_order(wanted)
        writer = Writer(tracking_uri())
        try:
            _check(todo, plan, ledger, on)  # before MLflow knows of the study: a refusal leaves none
            try_first_batches(untried_arms(todo, plan, scheduler.results), options, on)
            plan = plans.store(plan, ledger)
            writer.open(plan)
            run = StudyRun(ledger, writer, options, on, budget)
            plan, interrupted = train(run, plan, trials, todo, scheduler)
            results = read(plan, ledger)  # again: a result may have been damaged or removed meanwhile
            found, page = _report(run, plan, results)
            scheduler = SeedScheduler(plan, results)
            counts = _counts(plan, results, run.trained, scheduler)
        except BaseException:
            writer.close()
            raise
        without = 0 if interrupted or run.budget.short else counts["left"]
        if lacking := writer.finish():
            print(lacking, file=sys.stderr)
    told = [", ".join(f"{number} {what}" for what, number in counts.items())]
    told += [scheduler.status_line if options.cluster else scheduler.describe_remaining(on.slots)]
    told += map(visible, _remarks(found, there))
    print("\n".join(f"{visible(plan.study)}: {line}" for line in told))
    print(f"report: {page}")
    if counts["left"] and not interrupted:
        why = "were not begun, as the time is up" if run.budget.short else "have no result"
        print(f"{plural(counts['left'], 'trial')} of this look {why}: run again", file=sys.stderr)
    return found, counts["failed"] + without, interrupted


def _so_far(plan: Plan, ledger: Ledger, retry: bool) -> SeedScheduler:
    """What the stored results decide; with `retry` those that failed are wanted again."""
    return SeedScheduler(plan, {id: r for id, r in read(plan, ledger).items() if r.done or not retry})


def _check(todo: Sequence[Trial], plan: Plan, ledger: Ledger, on: Device) -> None:
    """Raise BadInput if the device cannot be used; print why trials are trained again."""
    if todo:
        on.check()
    if before := plans.latest(plan.study, ledger):
        for reason in retraining.reasons(before, plan, todo, ledger):
            print(reason)


def _report(run: StudyRun, plan: Plan, results: Mapping[str, Result]) -> "tuple[Comparison, Path]":
    """Write to MLflow what it lacks, and render the page."""
    arms = plan.arm_names
    run.writer.write_missing((arms[id], result) for id, result in results.items())
    found = comparison(plan, results, run.writer)
    page = render(found, run.options.out)
    run.writer.publish(*published(page, plan, found))
    return found, page


def _counts(
    plan: Plan, results: Mapping[str, Result], trained: Collection[str], scheduler: SeedScheduler
) -> dict[str, int]:
    """Trials of the plan by what became of them, each counted once; `left` are those of the present look."""
    counts = dict.fromkeys(("trained", "already there", "failed", "diverged"), 0)
    for id in plan.ids:
        if result := results.get(id):
            what = "trained" if id in trained else "already there"
            counts[what if result.done else result.status] += 1
    return {**counts, "left": len(scheduler.pending)}


def _remarks(found: "Comparison", reused: Collection[str]) -> Iterator[str]:
    """Lines on trials from another kind of machine than today's, and on a plan that came after results."""
    from reports.answer import extension, mixed_machines  # scipy: most of a second, before a trial

    kinds = {r.trial.id: kind(r.environment) for arm in found.design.arms for r in arm.results.values()}
    now = {repr(one): one for id, one in kinds.items() if id not in reused}.values()  # a few, of thousands
    before = [one for id, one in kinds.items() if id in reused]
    if apart := [one for one in before if now and all(machine_difference([one, other]) for other in now)]:
        verb = "result is" if len(apart) == 1 else "results are"
        difference = machine_difference([*apart, *now])
        yield f"{len(apart)} {verb} of another kind of machine, then / now: {difference}"
    yield from filter(None, (mixed_machines(found), extension(found)))


def _command() -> str:
    """What was typed, in which a byte that is not UTF-8 is written \\xff: a plan is text."""
    return os.fsencode(" ".join(["unrolled", *sys.argv[1:]])).decode(errors="backslashreplace")
