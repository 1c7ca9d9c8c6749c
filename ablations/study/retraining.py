"""Trials that were trained before: which they are, why some are trained again, and a program's files.

A ledger does not tell where a program lies, so that none runs: its files are those of a study's file that the
user names, or those of a bundle that the user trusts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.study import loading, stored_plans
from unrolled.ablations.study.commits import open_repository, with_checkouts
from unrolled.ablations.study.plan import Plan
from unrolled.ablations.study.program import ProgramSettings
from unrolled.ablations.study.study import Study
from unrolled.bench.errors import BadInput, nearest, plural, require
from unrolled.bench.identity import changes
from unrolled.bench.program.trial import ProgramTrial
from unrolled.bench.trial import Result, Trial


def find(id: str, ledger: Ledger) -> Result:
    """The result of the trial whose identity begins with `id`. Raises BadInput for none and for several."""
    found = [known for known in ledger.files() if id and known.startswith(id.lower())]
    if len(found) > 1:
        shown = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
        raise BadInput(
            f"{len(found)} identities begin so ({shown})", place=f"trial {id!r}", cure="write more of it"
        )
    result = ledger.read(found[0]) if found else None
    if result is None:
        cure = "a study's page lists its trials, `unrolled show models` the models"
        if near := nearest(id, ["models", "corpus"]):
            cure = f"did you mean {near[0]!r}?"
        raise BadInput(f"no trial in {ledger.root} has this identity", place=f"trial {id!r}", cure=cure)
    return result


def as_today(trial: Trial) -> tuple[Trial | None, str]:
    """The trial that the present code, data and plug-ins make of a stored one, and what differs, if anything.

    None where more than the versions of packages differ: it would be another experiment.
    """
    try:
        today = trial.identify()
    except BadInput as error:
        return None, str(error)
    if today.id == trial.id:
        return today, ""
    same = replace(today, versions=trial.versions).id == trial.id
    return today if same else None, ", ".join(changes(trial, today))


def reasons(before: Plan, plan: Plan, todo: Sequence[Trial], ledger: Ledger) -> list[str]:
    """A line for each reason, with the number of trials: "torch 2.13.0 → 2.14.0: 400 trials to train; …".

    `todo` are trials of `plan` to be trained. Those whose settings have changed are not trained again, and
    one that is trained once more because it failed needs no reason.
    """
    arm_and_seed = plan.arm_and_seed
    earlier = {(arm.name, seed): result.trial for arm, seed, result in before.cells(ledger)}
    found, edited = Counter[str](), None
    for trial in todo:
        arm, seed = arm_and_seed[trial.id]
        known = earlier.get((arm.name, seed))
        if known is not None and known.id != trial.id and known.declared == trial.declared:
            found[" and ".join(changes(known, trial))] += 1
            if isinstance(trial, ProgramTrial) and known.source != trial.source:
                edited = trial
    lines = [
        f"{reason}: {plural(count, 'trial')} to train; the earlier results stay in the ledger"
        for reason, count in found.items()
    ]
    if edited:
        cure = "`code` in [program] names the files that count"
        lines.append(f"its newest file is {edited.newest_code}; {cure}")
    return lines


def find_program(study: str | Study, ledger: Ledger) -> tuple[Plan, ProgramSettings | None]:
    """The plan of a study, and its program if it has one, with checkouts of the plan's commits.

    Raises BadInput where it has one and only its name is given.
    """
    if isinstance(study, str) and not study.endswith(".toml"):
        plan = stored_plans.stored(study, ledger)
        require(
            not plan.of_program,
            "is a study of a program, and its name does not tell where that lies",
            place=study,
            cure="give its file's path in place of the name, or from Python the study itself",
        )
        return plan, None
    loaded = loading.load(study, confirmed=True) if isinstance(study, str) else study
    plan, trainer = stored_plans.stored(loaded.name, ledger), loaded.baseline.trainer
    if not isinstance(trainer, ProgramSettings):
        return plan, None
    commits = {arm.commit.name: arm.commit for arm in plan.arms if arm.commit}
    if commits:
        repository = open_repository(Path(trainer.table.repository), ledger.root)
        trainer = with_checkouts(trainer, repository, commits, ledger.root)
    return plan, trainer


def with_files(result: Result, program: ProgramSettings | None) -> Result:
    """A result whose trial has the files of this program, if it runs it, and keeps none that it writes."""
    trial = result.trial
    if program is None or not isinstance(trial, ProgramTrial):
        return result
    if (trial.run, trial.function) != (program.table.run, program.table.function):
        return result
    return replace(result, trial=program.locate(trial))
