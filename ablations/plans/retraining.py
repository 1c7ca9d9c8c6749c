"""Stored results and the present code: finding a result, why a trial is trained again, and its program.

A ledger does not say where a program is, so that reading a ledger runs no program. The program's files come
from a study file that the user names, or from a bundle that the user trusts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.plans.plan_store import load_plan
from unrolled.ablations.study.checkouts import make_checkouts, open_repository
from unrolled.ablations.study.loading import load_study
from unrolled.ablations.study.program import ProgramFactory
from unrolled.ablations.study.study import Study
from unrolled.bench.errors import BadInput, find_nearest, require
from unrolled.bench.identity import describe_changes
from unrolled.bench.phrases import plural
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
    """Return a stored trial as present code and data identify it, and what has changed since.

    The trial is None if more than the versions of packages differ: it would be another experiment.
    """
    try:
        present_trial = trial.identify()
    except BadInput as error:
        return None, str(error)
    if present_trial.id == trial.id:
        return present_trial, ""
    is_same_program = replace(present_trial, versions=trial.versions).id == trial.id
    return present_trial if is_same_program else None, ", ".join(describe_changes(trial, present_trial))


def explain_retraining(earlier_plan: Plan, plan: Plan, trials: Sequence[Trial], ledger: Ledger) -> list[str]:
    """Return a line for each reason to train trials of an earlier plan again.

    An example: "torch 2.13.0 → 2.14.0: 400 trials to train; the earlier results stay in the ledger". `trials`
    are the trials of `plan` to be trained. A trial needs an explanation if it differs from its predecessor in
    `earlier_plan` in code, data or versions alone. Other settings, and a retried failure, need none.
    """
    arm_and_seed_by_id = plan.arm_and_seed_by_id
    earlier_trials = {
        (arm.name, seed): result.trial for arm, seed, result in earlier_plan.read_results(ledger)
    }
    counts = Counter[str]()
    edited_trial = None
    for trial in trials:
        arm, seed = arm_and_seed_by_id[trial.id]
        earlier_trial = earlier_trials.get((arm.name, seed))
        if earlier_trial is None or earlier_trial.id == trial.id:
            continue
        if earlier_trial.declared_fields == trial.declared_fields:
            counts[" and ".join(describe_changes(earlier_trial, trial))] += 1
            if isinstance(trial, ProgramTrial) and earlier_trial.source != trial.source:
                edited_trial = trial
    lines = [
        f"{reason}: {plural(count, 'trial')} to train; the earlier results stay in the ledger"
        for reason, count in counts.items()
    ]
    if edited_trial:
        cure = "`code` in [program] names the files that count"
        lines.append(f"its newest file is {edited_trial.newest_code}; {cure}")
    return lines


def load_plan_and_factory(study: str | Study, ledger: Ledger) -> tuple[Plan, ProgramFactory | None]:
    """Return the stored plan of a study, and the factory of its program, with checkouts of its commits.

    The factory is None for a study of the chapter. Raises BadInput for a program's study that is given only
    by its name.
    """
    if isinstance(study, str) and not study.endswith(".toml"):
        plan = load_plan(study, ledger)
        require(
            not plan.of_program,
            "is a study of a program, and its name does not say where the program is",
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


def locate_files(result: Result, program: ProgramFactory | None) -> Result:
    """Return the result with the places of a program's files in its trial, if the trial runs this program."""
    trial = result.trial
    if program is None or not isinstance(trial, ProgramTrial):
        return result
    if (trial.run, trial.function) != (program.table.run, program.table.function):
        return result
    return replace(result, trial=program.locate_trial(trial))
