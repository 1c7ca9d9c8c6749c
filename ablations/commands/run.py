"""`unrolled run`: train what is missing of each study, log it, report it."""

import os
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from ablations import scratch
from ablations.commands import device
from ablations.commands.budget import Budget
from ablations.commands.device import Device
from ablations.commands.plan import chosen, print_plans
from ablations.commands.progress import Ahead, checking, progress
from ablations.commands.report import comparison, index, published, read, render, writable
from ablations.commands.until_decided import UntilDecided
from ablations.ledger import Ledger
from ablations.mlflow.database import tracking_uri
from ablations.mlflow.writer import Writer
from ablations.options import LimitOptions, PlaceOptions, RunOptions
from ablations.runner.process import Limits, loaded
from ablations.runner.run import Counts, missing, run_trials
from ablations.study import costs, retraining
from ablations.study import plan as plans
from ablations.study.plan import Plan
from ablations.study.study import Study
from bench.machine_kind import kind, kinds_apart
from bench.trial import BadInput, Result, Trial, counted, visible

if TYPE_CHECKING:
    from reports.comparison import Comparison


FIRST_BATCH = 120.0
"""Seconds that the first batch of an arm may take."""
WARM_UP = "bench.chapter.warm_up"
"""The module that the trials' processes have loaded when they start."""
INTERRUPTED = 130
"""The exit code after Ctrl-C."""


@scratch.used()
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
        print(f"{decided} of {counted(len(every), 'contrast')} decided; all reports: {page}")
    return INTERRUPTED if interrupted else 1 if failed else 0, made


class _Run(NamedTuple):
    """The parts of one study's run, and the trials that it has trained."""

    ledger: Ledger
    writer: Writer
    options: RunOptions
    device: Device
    budget: Budget
    trained: set[str]


def _run_study(study: Study, options: RunOptions, budget: Budget) -> "tuple[Comparison, int, bool]":
    """Study → plan → trials → results → comparison → page, under the study's lock.

    Returns the comparison, how many trials failed or have no result, and whether Ctrl-C ended the training.
    """
    ledger = Ledger(options.results)
    with ledger.lock(study.name):
        on = device.choose(study, options, plans.device_of(study.name, ledger))
        print(f"{visible(study.name)}: {on}", flush=True)
        plan, trials = plans.decide(study, _command(), on.kind)
        until = _so_far(plan, ledger, options.retry)
        there = frozenset(until.results)
        wanted = (trial for trial in trials if trial.id not in there and until.wanted(trial.id))
        todo = until.in_order(wanted)
        writer = Writer(tracking_uri())
        try:
            _check(todo, plan, ledger, on)  # before MLflow knows of the study: a refusal leaves none
            _try_first_batches(_untried(todo, plan, until.results), options, on)
            plan = plans.store(plan, ledger)
            writer.open(plan)
            run = _Run(ledger, writer, options, on, budget, set())
            plan, interrupted = _train(run, plan, trials, todo, until)
            results = read(plan, ledger)  # again: a result may have been damaged or removed meanwhile
            found, page = _report(run, plan, results)
            until = UntilDecided(plan, results)
            counts = _counts(plan, results, run.trained, until)
        except BaseException:
            writer.close()
            raise
        without = 0 if interrupted or run.budget.short else counts["left"]
        if lacking := writer.finish():
            print(lacking, file=sys.stderr)
    told = [", ".join(f"{number} {what}" for what, number in counts.items())]
    told += [until.standing if options.cluster else until.ahead(on.places)]
    told += map(visible, _remarks(found, there))
    print("\n".join(f"{visible(plan.study)}: {line}" for line in told))
    print(f"report: {page}")
    if counts["left"] and not interrupted:
        why = "were not begun, as the time is up" if run.budget.short else "have no result"
        print(f"{counted(counts['left'], 'trial')} of this look {why}: run again", file=sys.stderr)
    return found, counts["failed"] + without, interrupted


def _so_far(plan: Plan, ledger: Ledger, retry: bool) -> UntilDecided:
    """What the stored results decide; with `retry` those that failed are wanted again."""
    return UntilDecided(plan, {id: r for id, r in read(plan, ledger).items() if r.done or not retry})


def _check(todo: Sequence[Trial], plan: Plan, ledger: Ledger, on: Device) -> None:
    """Raise BadInput if the device cannot be used; print why trials are trained again."""
    if todo:
        on.check()
    if before := plans.latest(plan.study, ledger):
        for reason in retraining.reasons(before, plan, todo, ledger):
            print(reason)


def _report(run: _Run, plan: Plan, results: Mapping[str, Result]) -> "tuple[Comparison, Path]":
    """Write to MLflow what it lacks, and render the page."""
    arms = {id: arm.name for id, (arm, _) in plan.places.items()}
    run.writer.write_missing((arms[id], result) for id, result in results.items())
    found = comparison(plan, results, run.writer)
    page = render(found, run.options.out)
    run.writer.publish(*published(page, plan, found))
    return found, page


def _counts(
    plan: Plan, results: Mapping[str, Result], trained: Collection[str], until: UntilDecided
) -> dict[str, int]:
    """Trials of the plan by what became of them, each counted once; `left` are those of the present look."""
    counts = dict.fromkeys(("trained", "already there", "failed", "diverged"), 0)
    for id in plan.ids:
        if result := results.get(id):
            what = "trained" if id in trained else "already there"
            counts[what if result.done else result.status] += 1
    return {**counts, "left": len(until.pending)}


def _remarks(found: "Comparison", reused: Collection[str]) -> Iterator[str]:
    """Lines on trials from another kind of machine than today's, and on a plan that came after results."""
    from reports.answer import extension, mixed_machines  # scipy: most of a second, before a trial

    kinds = {r.trial.id: kind(r.environment) for arm in found.design.arms for r in arm.results.values()}
    now = {repr(one): one for id, one in kinds.items() if id not in reused}.values()  # a few, of thousands
    before = [one for id, one in kinds.items() if id in reused]
    if apart := [one for one in before if now and all(kinds_apart([one, other]) for other in now)]:
        verb = "result is" if len(apart) == 1 else "results are"
        yield f"{len(apart)} {verb} of another kind of machine, then / now: {kinds_apart([*apart, *now])}"
    yield from filter(None, (mixed_machines(found), extension(found)))


def _train(
    run: _Run, plan: Plan, trials: Sequence[Trial], todo: Sequence[Trial], until: UntilDecided
) -> tuple[Plan, bool]:
    """Train `todo`, the trials that are wanted, and then the winners if the searches of tuning ended.

    `trials` are the plan's. Returns the plan, and whether Ctrl-C ended it.
    """
    for result in until.results.values():
        run.budget.learn(costs.seconds(result.trial), result.seconds)
    first = _train_missing(run, plan, todo, until)
    if not plan.searches or first.interrupted or (run.options.fail_fast and first.failed):
        return plan, first.interrupted
    plan, winners = plans.settle(plan, trials, run.ledger)
    plan = plans.store(plan, run.ledger)
    winners = missing(winners, run.ledger.results(trial.id for trial in winners), run.options.retry)
    until = UntilDecided(plan, until.results)
    second = _train_missing(run, plan, until.in_order(winners), until)
    return plan, second.interrupted


def _train_missing(run: _Run, plan: Plan, todo: Sequence[Trial], until: UntilDecided) -> Counts:
    ledger, writer, options, on, budget, trained = run
    planned = plan.places
    names = {id: f"{arm.name}/seed={seed}" for id, (arm, seed) in planned.items()}
    seconds, places = {trial.id: costs.seconds(trial) for trial in todo}, max(_places(options, on), 1)

    def ahead() -> Ahead:
        left = [id for id in seconds if id not in trained and until.wanted(id)]
        standing = until.standing if len(plan.looks) > 1 else ""
        rest = sum(seconds[id] for id in left) * budget.pace / places
        return Ahead(len(until.pending), rest, standing)

    def wanted(trial: Trial) -> bool:
        """Beyond this look only while it will be taken in time."""
        near = trial.id in until.pending or not budget.short
        return near and until.wanted(trial.id) and budget.allows(seconds[trial.id])

    with progress(plan.study, names, ahead) as show:

        def finished(result: Result) -> None:
            id = result.trial.id
            trained.add(id)
            until.add(result)
            budget.learn(seconds[id], result.seconds)
            writer.write_trial(planned[id][0].name, partial(ledger.read, id))  # later: thousands may wait
            show(result)

        return run_trials(
            todo,
            ledger,
            retry=options.retry,
            fail_fast=options.fail_fast,
            wanted=wanted,
            on_result=finished,
            on_drain=lambda: print("finishing the running trials; Ctrl-C again stops them", file=sys.stderr),
            **conditions(todo, options, options, on),
        )


def _untried(todo: Sequence[Trial], plan: Plan, results: Mapping[str, Result]) -> dict[str, Trial]:
    """A trial of each arm that has no result yet, by the arm's name."""
    arms = {id: arm.name for id, (arm, _) in plan.places.items()}
    tried = {arms[id] for id, result in results.items() if result.done or result.diverged}
    return {arms[trial.id]: trial for trial in todo if arms[trial.id] not in tried}


def _try_first_batches(arms: Mapping[str, Trial], options: RunOptions, on: Device) -> None:
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


def _places(options: PlaceOptions, on: Device) -> int:
    """How many trials run at a time."""
    if not options.cluster:
        return on.places
    from ablations.runner.cluster import count_places  # the extra `cluster`

    return count_places(options.cluster)


def conditions(
    trials: Iterable[Trial], places: PlaceOptions, limits: LimitOptions, on: Device
) -> dict[str, Any]:
    """The keywords of `run_trials` for the place and the limits of these trials."""
    fastai = any("fastai " in trial.versions for trial in trials)
    return {
        "preload": (WARM_UP, *([f"{WARM_UP}_fastai"] if fastai else []), *places.plugin),
        "workers": on.places,
        "gpus": on.found.gpus,
        "cluster": places.cluster,
        "limits": Limits(seconds=limits.time_limit, memory_bytes=limits.memory_limit * 2**20),
    }


def _command() -> str:
    """What was typed, in which a byte that is not UTF-8 is written \\xff: a plan is text."""
    return os.fsencode(" ".join(["unrolled", *sys.argv[1:]])).decode(errors="backslashreplace")
