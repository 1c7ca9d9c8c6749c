"""`unrolled verify`: train ended trials again in fresh processes and compare every number."""

import random
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from unrolled.ablations import run_folder
from unrolled.ablations.commands import bundle_check
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import VerifyOptions, refuse
from unrolled.ablations.runner.parallel import TrialConditions, run_trials
from unrolled.ablations.runner.process import plain_reason
from unrolled.ablations.study.loading import load_plugins, refuse_plugins
from unrolled.ablations.study.plan import Plan
from unrolled.ablations.study.retraining import as_today, find_program, with_files
from unrolled.ablations.study.study import Study
from unrolled.ablations.training.device import device_of_plan
from unrolled.ablations.training.study_run import trial_conditions
from unrolled.bench.differences import differences, numbers
from unrolled.bench.errors import plural, require, visible
from unrolled.bench.machine_kind import kind, machine_difference
from unrolled.bench.metric import MEASURED
from unrolled.bench.trial import Result
from unrolled.reports.formats import listed, short


@run_folder.used()
def verify(study: str | Study, options: VerifyOptions) -> int:
    """Train a sample of the ended trials again, in fresh processes, and compare every number.

    A study that is a .zip is a bundle, which is checked first; its plug-ins or its program are run only if it
    is trusted. The exit code is 1 where a number differs, where a trial could not be trained again, and where
    a bundle has a fault.
    """
    if isinstance(study, str) and (study.lower().endswith(".zip") or zipfile.is_zipfile(study)):
        refuse(options, ("plugin",), "a bundle has its own plug-ins", "leave it out; --trust runs those")
        with bundle_check.checked(Path(study), options.trust) as bundle:
            if bundle.runs_foreign_code:
                return 1  # else a forger would add a plug-in, and no number would be computed again
            own = replace(options, plugin=bundle.plugins)
            code = replay(bundle.plan, bundle.ledger, own, bundle.locate)
            return 1 if bundle.faults else code
    load_plugins(options.plugin)
    refuse(options, ("trust",), "is for a bundle", "name its .zip, or leave it out")
    ledger = Ledger(options.results)
    plan, program = find_program(study, ledger)
    if plan.of_program:
        refuse_plugins(plan.study, options)
    return replay(plan, ledger, options, partial(with_files, program=program))


def replay(
    plan: Plan,
    ledger: Ledger,
    options: VerifyOptions,
    locate: Callable[[Result], Result] = lambda result: result,
) -> int:
    """Train a sample of a plan's trials again and print how many are bit-identical. Returns the exit code.

    `locate` is the result with the files that its trial reads. A program that is not deterministic is
    compared by the distance of its two first trials, of which `REPEATS` are allowed.
    """
    results = list(map(locate, sample(plan, ledger, options.number)))
    differ, unplayed = 0, Counter[str]()  # by the reason
    kind_of_device = results[0].trial.device  # which is that of all trials of a plan
    device = device_of_plan(kind_of_device, options, of_program=plan.of_program)
    conditions = trial_conditions([result.trial for result in results], options, device)
    for again in replays(results, conditions, plan):
        trial = again.result.trial
        arm = plan.arm_names[trial.id]
        if again.unplayed:
            unplayed[short(again.unplayed, 400)] += 1
        elif again.differs:
            differ += 1
            print(f"{visible(arm)} seed {trial.seed} ({trial.id}): {visible(again.differs)}")
    same = len(results) - differ - unplayed.total()
    alike = (
        f"within {REPEATS} times the distance of two equal trials" if plan.nondeterminism else "bit-identical"
    )
    parts = [f"{same} of {len(results)} {alike}"]
    parts += [f"{differ} not"] if differ else []
    if unplayed:
        why = "; ".join(f"{reason}: {number}" for reason, number in unplayed.most_common())
        parts.append(f"{unplayed.total()} could not be replayed ({why})")
    told = {name for result in results for name in result.metrics} & plan.irreproducible - {*MEASURED}
    print(", ".join(parts) + (f"; not compared: {visible(listed(sorted(told)))}" if told else ""))
    if unplayed["interrupted"] and not differ:
        return 130
    return 0 if same == len(results) else 1


REPEATS = 4  # how many times the distance of two equal trials a third one may be away


class Replay(NamedTuple):
    """The outcome of training a trial again: both texts are empty if every number is the same."""

    result: Result
    differs: str = ""  # what differs first, and the kinds of machine where they do
    unplayed: str = ""  # why it could not be trained again


def sample(plan: Plan, ledger: Ledger, number: int) -> list[Result]:
    """At most `number` ended results, drawn anew each time: no author can know which. BadInput for none."""
    ended = [result for _, _, result in plan.cells(ledger) if result.done or result.diverged]
    random.SystemRandom().shuffle(ended)
    results = filter(None, (ledger.read(result.trial.id) for result in ended))
    drawn = list(islice(map(plan.judge_result, results), number))
    require(
        drawn, f"study {plan.study!r} has no finished trial", cure=f"`unrolled run {plan.study}` trains them"
    )
    return drawn


def replays(
    results: Sequence[Result],
    conditions: TrialConditions = TrialConditions(),
    plan: Plan | None = None,
) -> Iterator[Replay]:
    """Train each trial again where today's code and data still make it; results count as in the plan."""
    today = {result.trial.id: as_today(result.trial) for result in results}
    with TemporaryDirectory() as folder:
        again = Ledger(Path(folder))
        run_trials([trial for trial, _ in today.values() if trial], again, conditions)
        for result in results:
            trial, why = today[result.trial.id]
            found = again.read(trial.id) if trial else None
            yield _compared(result, found, why, plan) if trial else Replay(result, "", why)


def _compared(result: Result, again: Result | None, why: str, plan: Plan | None) -> Replay:
    if again is None:
        return Replay(result, unplayed="interrupted")
    again = plan.judge_result(again) if plan else again
    if not (again.done or again.diverged):
        return Replay(result, unplayed=plain_reason(again))
    if why:
        return Replay(result, unplayed=f"{why}, {_apart(result, again, plan)}")
    apart = plan.nondeterminism or {} if plan else {}
    then, now = result.metrics, again.metrics
    near = [abs(then.get(name, inf) - now.get(name, inf)) <= REPEATS * most for name, most in apart.items()]
    return Replay(result, differs=difference(result, again, plan, apart if all(near) else ()))


def _apart(result: Result, again: Result, plan: Plan | None) -> str:
    if result.diverged or again.diverged:
        return "of which one diverged" if result.diverged != again.diverged else "and both diverged"
    judged = [metric.name for metric in plan.metrics] if plan else []
    name = (*result.trial.main_metrics, *judged)[0]
    return f"by which {name} is {abs(result.metrics[name] - again.metrics[name]):.2g} apart"


def difference(result: Result, replay: Result, plan: Plan | None = None, near: Collection[str] = ()) -> str:
    """ "" for the same numbers; else the first step and tensor, and the first number, that differ.

    What varies by the `plan`, and the metrics that are `near` enough, are not compared.
    """
    from unrolled.bench.chapter.training.engine import first_difference

    left_out = {*near, *(plan.irreproducible if plan else ())}
    apart = list(differences(numbers(result.to_dict(), left_out), numbers(replay.to_dict(), left_out)))
    if not apart:
        return ""
    name, was, now = apart[0]
    text = f"{name} {was} in the ledger, {now} in the replay"
    if len(apart) > 1:
        text += f", and {plural(len(apart) - 1, 'more number')}"
    if result.trace and replay.trace and (step := first_difference(result.trace, replay.trace)):
        text = f"differs from {step}: {text}"
    if machines := machine_difference([kind(result.environment), kind(replay.environment)]):
        text += (
            f"; trained on another kind of machine, then / now: {machines}, {_apart(result, replay, plan)}"
        )
    return text
