"""Running, replaying, reporting: where studies, trials and reports meet."""

import os
import socket
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import TYPE_CHECKING, Any

from ablations import looking, planning, study
from ablations import plan as plans
from ablations.ledger import Ledger
from ablations.plan import Plan
from bench.trial import BadInput, Result, Trial, visible

if TYPE_CHECKING:
    from ablations.entry import StudyFacts
    from ablations.recorder import Recorder
    from ablations.runner import Tally
    from reports.evidence import Arm, Evidence, Tuned


def run(args: Namespace) -> int:
    """Train what is missing of each study, then report."""
    if "golden" in args.studies:
        return golden(args)
    failed, interrupted = 0, False
    for chosen in looking.chosen(args):
        if args.dry_run:
            looking.print_plan(chosen)
            continue
        faults, interrupted = _run_one(chosen, args)
        failed += faults
        if interrupted:
            break
    if args.dry_run:
        return 0
    if len(args.studies) > 1 or args.studies == ["all"]:
        print(f"all reports: {args.out / 'index.html'}")
    return 130 if interrupted else 1 if failed else 0


def _run_one(chosen: study.Study, args: Namespace) -> tuple[int, bool]:
    from ablations.recorder import Recorder
    from ablations.tracking import uri

    ledger = Ledger(args.results)
    writable(args.out)
    with ledger.lock(chosen.name):
        plan, trials = plans.decide(chosen, _command())
        recorder = Recorder(_facts(plan), uri())
        try:
            _rehearse(_missing(trials, ledger.results(t.id for t in trials), args), plan, args)
            plan = plans.store(plan, ledger)
            plan, tally = _train(plan, trials, ledger, recorder, args)
        except BaseException:
            recorder.close("FAILED", patience=5)
            raise
        level = recorder.wait(30)
        page = _report([plan], ledger, args.out, recorder)
        recorder.publish(page.parent)
        if behind := recorder.close(
            "KILLED" if tally.interrupted else "FINISHED", patience=30 if level else 1
        ):
            print(behind, file=sys.stderr)
    results = [result for _, _, result in plan.cells(ledger)]
    faults = sum(not r.done and not r.diverged for r in results)
    diverged = sum(r.diverged for r in results)
    print(
        f"{visible(plan.study)}: {tally.done} trained, "
        f"{len(results) - tally.done - tally.failed} already there, "
        f"{faults} failed, {diverged} diverged, {tally.left} left"
    )
    print(f"report: {page}")
    return faults, tally.interrupted


def _train(
    plan: Plan, trials: Sequence[Trial], ledger: Ledger, recorder: "Recorder", args: Namespace
) -> tuple[Plan, "Tally"]:
    """Train what is missing and then, where the study tunes and every search has ended, the winners."""
    first = _train_missing(plan, trials, ledger, recorder, args)
    if not plan.searches or first.interrupted or (args.fail_fast and first.failed):
        return plan, first
    plan, winners = plans.settle(plan, trials, ledger)
    plan = plans.store(plan, ledger)
    second = _train_missing(plan, winners, ledger, recorder, args)
    sums = {key: getattr(first, key) + getattr(second, key) for key in ("done", "failed", "skipped", "left")}
    return plan, replace(second, **sums)


def _train_missing(
    plan: Plan, trials: Sequence[Trial], ledger: Ledger, recorder: "Recorder", args: Namespace
) -> "Tally":
    from ablations.progress import progress
    from ablations.runner import run_trials

    names = {id: f"{arm.name}/seed={seed}" for id, (arm, seed) in plan.places.items()}
    arms = {id: arm.name for id, (arm, _) in plan.places.items()}
    have = ledger.results(trial.id for trial in trials)
    for id, result in have.items():
        recorder.record(arms[id], result)
    missing = _missing(trials, have, args)
    seconds = {t.id: planning.expected_seconds(t) for t in missing}
    with progress(plan.study, seconds, names, args.workers) as show:

        def finished(result: Result) -> None:
            recorder.record(arms[result.trial.id], result)
            show(result)

        return run_trials(
            missing,
            ledger,
            retry=args.retry,
            fail_fast=args.fail_fast,
            on_result=finished,
            on_drain=lambda: print("finishing the running trials; Ctrl-C again stops them", file=sys.stderr),
            **_places(args),
        )


def _missing(trials: Sequence[Trial], have: Mapping[str, Result], args: Namespace) -> list[Trial]:
    """The trials that are still to be run: with --retry also those that failed."""
    return [t for t in trials if t.id not in have or (args.retry and not have[t.id].done)]


def _rehearse(trials: Sequence[Trial], plan: Plan, args: Namespace) -> None:
    """One batch of each arm. Raises BadInput, naming the arm, for the first that cannot be trained."""
    from ablations.runner import run_trials

    places = plan.places
    arms = {places[trial.id][0].name: trial for trial in trials}
    with TemporaryDirectory() as folder:
        scratch = Ledger(Path(folder))
        tally = run_trials(list(arms.values()), scratch, work="bench.rehearsal:rehearse", **_places(args))
        if tally.interrupted:
            raise KeyboardInterrupt
        for name, trial in arms.items():
            result = scratch.read(trial.id)
            if result is not None and not result.done:
                raise BadInput(f"arm {name!r}: {result.reason.removeprefix('BadInput: ')}")


def writable(out: Path) -> None:
    """Make the reports' folder. Raises BadInput if nothing can be written there: now, not after training."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=out).close()
    except OSError as error:
        raise BadInput(f"--out {out}: cannot be written ({error.strerror}): choose another folder") from error


def _places(args: Namespace) -> dict[str, Any]:
    """Where trials run, and within which limits."""
    from ablations.process import Limits

    return {
        "preload": ("bench.preload", *args.plugin),
        "workers": args.workers,
        "limits": Limits(seconds=args.time_limit, memory_bytes=args.memory_limit * 2**20),
    }


def verify(args: Namespace) -> int:
    """Train a sample of the finished trials again, in fresh processes, and compare the bits."""
    from ablations.verification import sample, verdicts

    looking.load_plugins(args)
    plan = plans.stored(args.study, Ledger(args.results))
    results = sample(plan, Ledger(args.results), args.number)
    same = 0
    for result, difference in verdicts(results, **_places(args)):
        same += not difference
        if difference:
            print(f"{result.trial.model} seed {result.trial.seed} ({result.trial.id}): {difference}")
    print(f"{same} of {len(results)} bit-identical")
    return 0 if same == len(results) else 1


def golden(args: Namespace) -> int:
    """Do what the book's notebook did, and hold the rows against the printed ones. Not a study: no arms."""
    from dataclasses import asdict

    from bench import golden as book
    from reports.golden import render

    if args.studies != ["golden"]:
        raise BadInput("golden is the book's notebook and no study: run it alone, as `unrolled run golden`")
    facts, rows = book.facts(), []

    def played() -> Iterator[book.GoldenRow]:
        for row in book.play():
            rows.append(row)
            yield row

    for line in book.lines(played(), facts):
        print(line, flush=True)
    print(f"report: {render([asdict(row) for row in rows], facts, args.out)}")
    return 0


def status(args: Namespace) -> int:
    """Print how far each study is."""
    ledger = Ledger(args.results)
    for plan in _plans(args.studies, ledger):
        results = [result for _, _, result in plan.cells(ledger)]
        done = sum(r.done for r in results)
        faults = [r for r in results if not r.done]
        missing = len(plan.ids) - len(results)
        print(f"{visible(plan.study)}: {done} done, {len(faults)} failed, {missing} missing")
        for result in faults:
            print(f"  {result.trial.id} seed {result.trial.seed}: {visible(result.reason)}")
    return 0


def report(args: Namespace) -> int:
    """Render the reports of studies from the ledger, and the index."""
    ledger = Ledger(args.results)
    writable(args.out)
    print(f"report: {_report(_plans(args.studies, ledger), ledger, args.out)}")
    return 0


def _report(chosen: Sequence[Plan], ledger: Ledger, out: Path, recorder: "Recorder | None" = None) -> Path:
    """Render these plans' pages and the index over every study; returns the last page."""
    from reports.render import render, render_index

    pages = [render(evidence(plan, ledger, recorder), out) for plan in chosen]
    render_index([evidence(plan, ledger) for plan in plans.all_stored(ledger)], out)
    return pages[-1]


def evidence(plan: Plan, ledger: Ledger, recorder: "Recorder | None" = None) -> "Evidence":
    """What the report of a plan is made from: the ledger's results, arm by arm."""
    from reports.evidence import Evidence

    results = ledger.results(plan.ids)
    return Evidence(
        study=plan.study,
        question=plan.question,
        about=plan.about,
        metric=plan.metric,
        equivalence=plan.equivalence,
        seeds=plan.seeds,
        arms=tuple(_seen(arm, results, recorder) for arm in plan.arms),
        tuned=tuple(_tuned(plan, results, recorder)),
        plan=plan.hash,
        planned=plan.planned,
        command=plan.command,
    )


def _seen(arm: plans.PlannedArm, results: Mapping[str, Result], recorder: "Recorder | None") -> "Arm":
    from reports.evidence import Arm

    return Arm(
        name=arm.name,
        model=arm.model,
        title=arm.title,
        changes=arm.changes,
        results=_had(arm, results),
        exploratory=arm.exploratory,
        links=_links(arm, recorder),
    )


def _tuned(plan: Plan, results: Mapping[str, Result], recorder: "Recorder | None") -> Iterator["Tuned"]:
    """Each tuned arm's searches, and its winner if there is one."""
    from reports.evidence import Tuned

    winners = {arm.tunes: arm for arm in plan.tuned}
    for name, group in groupby(plan.searches, key=lambda search: search.tunes):
        searches, won = list(group), winners.get(name)
        yield Tuned(
            arm=name,
            setting=searches[0].setting,
            seeds=tuple(searches[0].trials),
            levels={search.level: _had(search, results) for search in searches},
            best=won.level if won else None,
            own=_seen(won, results, recorder) if won else None,
        )


def _had(arm: plans.PlannedArm, results: Mapping[str, Result]) -> dict[int, Result]:
    return {seed: results[id] for seed, id in arm.trials.items() if id in results}


def _links(arm: plans.PlannedArm, recorder: "Recorder | None") -> dict[int, str]:
    if recorder is None:
        return {}
    found = {seed: recorder.link(arm.name, id) for seed, id in arm.trials.items()}
    return {seed: link for seed, link in found.items() if link}


def sync(args: Namespace) -> int:
    """Bring MLflow level with the ledger."""
    from ablations import tracking

    ledger = Ledger(args.results)
    for plan in _plans(args.studies, ledger):
        with ledger.lock(plan.study):
            by_arm: dict[str, list[Result]] = {}
            for arm, _, result in plan.cells(ledger):
                by_arm.setdefault(arm.name, []).append(result)
            print(f"{visible(plan.study)}: {tracking.sync(_facts(plan), by_arm, tracking.uri())}")
    return 0


def ui(args: Namespace) -> int:
    """Become MLflow's server on 127.0.0.1."""
    from ablations import tracking

    command = tracking.ui_command(tracking.uri(), args.port)
    try:
        with socket.create_server(("127.0.0.1", args.port)):
            pass  # it is free
    except OSError as error:
        raise BadInput(f"--port {args.port}: {error.strerror}; choose another one") from error
    tracking.settings()
    print(f"MLflow: http://127.0.0.1:{args.port} (Ctrl-C ends it)", flush=True)
    os.execvp(command[0], command)


def _plans(names: Sequence[str], ledger: Ledger) -> list[Plan]:
    found = [plans.stored(name, ledger) for name in names] if names else plans.all_stored(ledger)
    if not found:
        raise BadInput(f"{ledger.root}: no study has been run yet; `unrolled run toggles` runs one")
    return found


def _facts(plan: Plan) -> "StudyFacts":
    from ablations.entry import StudyFacts

    return StudyFacts(
        name=plan.study,
        question=plan.question,
        plan=plan.hash,
        about=plan.about,
        command=plan.command,
        arms=tuple(arm.name for arm in plan.arms),
    )


def _command() -> str:
    return " ".join(["unrolled", *sys.argv[1:]])
