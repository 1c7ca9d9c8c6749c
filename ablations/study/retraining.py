"""Stored trials and today's: the trial of an identity, why it is trained again, where its program lies.

A ledger does not say where a program lies, so that no program runs by itself: its files come from a study
file that the user names, or from a bundle that the user trusts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.study.commits import make_checkouts, open_repository
from unrolled.ablations.study.loading import load_study
from unrolled.ablations.study.plan import Plan
from unrolled.ablations.study.plan_store import load_plan
from unrolled.ablations.study.program import ProgramFactory
from unrolled.ablations.study.study import Study
from unrolled.bench.errors import BadInput, find_nearest, plural, require
from unrolled.bench.identity import describe_changes
from unrolled.bench.program.trial import ProgramTrial
from unrolled.bench.trial import Result, Trial


def find_result(id: str, ledger: Ledger) -> Result:
    """Return the result of the trial whose identity begins with `id`. Raises BadInput for none or several."""
    ids = [name for name in ledger.find_result_files() if id and name.startswith(id.lower())]
    if len(ids) > 1:
        examples = ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")
        raise BadInput(
            f"{len(ids)} identities begin so ({examples})", place=f"trial {id!r}", cure="write more of it"
        )
    result = ledger.read_result(ids[0]) if ids else None
    if result is None:
        cure = "a study's page lists its trials, `unrolled show models` the models"
        if words := find_nearest(id, ["models", "corpus"]):
            cure = f"did you mean {words[0]!r}?"
        raise BadInput(f"no trial in {ledger.root} has this identity", place=f"trial {id!r}", cure=cure)
    return result


def identify_today(trial: Trial) -> tuple[Trial | None, str]:
    """Return the trial that the present code, data and plug-ins make of a stored one, and the differences.

    The trial is None if more than the versions of packages differ: it would be another experiment.
    """
    try:
        today = trial.identify()
    except BadInput as error:
        return None, str(error)
    if today.id == trial.id:
        return today, ""
    same = replace(today, versions=trial.versions).id == trial.id
    return today if same else None, ", ".join(describe_changes(trial, today))


def explain_retraining(before: Plan, plan: Plan, todo: Sequence[Trial], ledger: Ledger) -> list[str]:
    """Return a line for each reason: "torch 2.13.0 → 2.14.0: 400 trials to train; …".

    `todo` are the trials of `plan` to be trained. Trials whose settings have changed are not counted, and a
    trial that is trained once more because it failed needs no reason.
    """
    arm_and_seed = plan.arm_and_seed
    earlier_trials = {(arm.name, seed): result.trial for arm, seed, result in before.read_results(ledger)}
    counts = Counter[str]()
    edited = None
    for trial in todo:
        arm, seed = arm_and_seed[trial.id]
        earlier = earlier_trials.get((arm.name, seed))
        if earlier and earlier.id != trial.id and earlier.declared_fields == trial.declared_fields:
            counts[" and ".join(describe_changes(earlier, trial))] += 1
            if isinstance(trial, ProgramTrial) and earlier.source != trial.source:
                edited = trial
    lines = [
        f"{reason}: {plural(count, 'trial')} to train; the earlier results stay in the ledger"
        for reason, count in counts.items()
    ]
    if edited:
        cure = "`code` in [program] names the files that count"
        lines.append(f"its newest file is {edited.newest_code}; {cure}")
    return lines


def load_program(study: str | Study, ledger: Ledger) -> tuple[Plan, ProgramFactory | None]:
    """Return the plan of a study, and its program if it has one, with checkouts of the plan's commits.

    Raises BadInput for a study of a program that is given only by name.
    """
    if isinstance(study, str) and not study.endswith(".toml"):
        plan = load_plan(study, ledger)
        require(
            not plan.of_program,
            "is a study of a program, and its name does not say where that lies",
            place=study,
            cure="give its file's path in place of the name, or from Python the study itself",
        )
        return plan, None
    if isinstance(study, str):
        study = load_study(study, confirmed=True)
    plan = load_plan(study.name, ledger)
    factory = study.baseline.factory
    if not isinstance(factory, ProgramFactory):
        return plan, None
    commits = {arm.commit.name: arm.commit for arm in plan.arms if arm.commit}
    if commits:
        repository = open_repository(Path(factory.table.repository), ledger.root)
        factory = make_checkouts(factory, repository, commits, ledger.root)
    return plan, factory


def attach_files(result: Result, program: ProgramFactory | None) -> Result:
    """Return a result whose trial has the files of this program, if it runs it, and keeps none it writes."""
    trial = result.trial
    if program is None or not isinstance(trial, ProgramTrial):
        return result
    if (trial.run, trial.function) != (program.table.run, program.table.function):
        return result
    return replace(result, trial=program.locate_trial(trial))
