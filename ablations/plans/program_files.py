"""The program of stored results.

A ledger does not say where a program is, so that reading a ledger runs no program. The program's files come
from a study file that the user names, or from a bundle that the user trusts.
"""

from dataclasses import replace
from pathlib import Path

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.plans.plan_store import load_plan
from unrolled.ablations.study.checkouts import make_checkouts, open_repository
from unrolled.ablations.study.loading import load_study
from unrolled.ablations.study.program_factory import ProgramFactory
from unrolled.ablations.study.study import Study
from unrolled.bench.errors import require
from unrolled.bench.program.program_trial import ProgramTrial
from unrolled.bench.trial import Result


def load_plan_and_factory(study: str | Study, ledger: Ledger) -> tuple[Plan, ProgramFactory | None]:
    """Return the stored plan of a study, and the factory of its program, with checkouts of its commits.

    The factory is None for a study of the chapter. Raises BadInput for a program's study that is given only
    by its name.
    """
    if isinstance(study, str) and not study.endswith(".toml"):
        plan = load_plan(study, ledger)
        require(
            not plan.trainer.runs_user_code,
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
