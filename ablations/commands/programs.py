"""A program's files, for trials that were stored: a ledger does not tell where they lie, so that none runs.

They are those of a study's file that the user names, or those of a bundle that the user trusts.
"""

from dataclasses import replace

from ablations.study import loading
from bench.program.trial import ProgramTrial
from bench.trial import Result


def find_program(study: str) -> tuple[str, ProgramTrial | None]:
    """A study's name, and its program, where the study is given by the path of a file that has one."""
    if not study.endswith(".toml"):
        return study, None
    loaded = loading.load(study, confirmed=True)
    trial = loaded.baseline.trial()
    return loaded.name, trial if isinstance(trial, ProgramTrial) else None


def with_files(result: Result, program: ProgramTrial | None) -> Result:
    """A result whose trial has the files of this program, if it runs it."""
    trial = result.trial
    if program is None or not isinstance(trial, ProgramTrial):
        return result
    if (trial.run, trial.function) != (program.run, program.function):
        return result
    files = {name: getattr(program, name) for name in ("folder", "code", "data_files", "packages")}
    return replace(result, trial=replace(trial, **files))
