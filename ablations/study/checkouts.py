"""The commits of a study: what each name stands for, and a checkout of each for its arms to run in."""

import hashlib
import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from unrolled.ablations.study.arms import merge_arms
from unrolled.ablations.study.program_factory import ProgramFactory
from unrolled.ablations.study.study import Arm, Study
from unrolled.ablations.study.study_errors import name_error_place
from unrolled.ablations.study.study_file import ProgramTable
from unrolled.ablations.study.trial_factory import TrialFactory
from unrolled.bench.errors import require
from unrolled.bench.files.atomic_files import make_output_folder
from unrolled.bench.git.checkout import Checkout, check_out
from unrolled.bench.git.repository import Commit, Repository

CHECKOUTS_FOLDER = "commits"
"""The folder of the results that has the checkouts, if they lie in no repository."""


def find_checkouts_folder(repository: Repository, results: Path) -> Path:
    """Return the folder for checkouts: in the results or, if these lie in the repository, the user's cache.

    Programs that search the folders above them, such as pytest for its settings, would find those of the work
    tree if a checkout lay in it.
    """
    folder = Path(os.path.realpath(results)) / CHECKOUTS_FOLDER
    if repository.find_subfolder(folder) is None:
        return folder
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "unrolled")
    cache = Path(os.environ.get("UNROLLED_CACHE") or cache)
    return cache / hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]


def check_out_commits(study: Study, results: Path) -> Study:
    """Return the study with checkouts of the commits that its arms name. Arms of equal trials are merged.

    Names are resolved now, because a branch may have moved since the study was last run. Raises BadInput.
    """
    factory = study.baseline.factory
    names = dict.fromkeys(arm.fields["commit"] for arm in study.arms if arm.fields.get("commit"))
    if not names or not isinstance(factory, ProgramFactory):
        return study
    repository = open_repository(Path(factory.table.repository), results)
    commits = {name: repository.resolve(name) for name in names}
    return use_checkouts(study, make_checkouts(factory, repository, commits, results))


def use_checkouts(study: Study, factory: ProgramFactory) -> Study:
    """Return the study with arms that run in the checkouts of `factory`. Arms of equal trials are merged.

    Raises BadInput if a program cannot be identified.
    """

    def identify_arm(arm: Arm) -> str:
        with name_error_place(f"arm {arm.name!r}"):
            return arm.make_unidentified_trial().identify().id

    arms = [replace(arm, factory=factory) for arm in study.arms]
    return replace(study, arms=merge_arms(arms, identify_arm))


def find_checked_out_commits(factory: TrialFactory) -> dict[str, Commit]:
    """Return the commits that have been checked out, by the names that arms give them."""
    checkouts = factory.checkouts if isinstance(factory, ProgramFactory) else {}
    return {name: checkout.commit for name, checkout in checkouts.items() if checkout.commit}


def open_repository(folder: Path, results: Path) -> Repository:
    """Return the repository that has a folder. Raises BadInput where there is none that git reads."""
    make_output_folder(results)
    return Repository.containing(folder, results / CHECKOUTS_FOLDER / "objects")


def find_place(table: ProgramTable, repository: Repository) -> str:
    """Return the program's folder in the repository, "" for its top. Raises BadInput if it lies outside."""
    place = repository.find_subfolder(Path(table.folder))
    require(
        place is not None,
        f"lies outside of the repository {repository.root}",
        place=table.folder,
        cure="name it by `repository` in [program]",
    )
    assert place is not None
    return place


def make_checkouts(
    factory: ProgramFactory,
    repository: Repository,
    commits: Mapping[str, Commit],
    results: Path,
    tracked_elsewhere: Collection[str] = (),
) -> ProgramFactory:
    """Return the factory with a checkout of each of these commits; see `check_out`. Raises BadInput."""
    data = factory.table.data
    place = find_place(factory.table, repository)
    folder = find_checkouts_folder(repository, results)
    checkouts: dict[str, Checkout] = {}
    for name, commit in commits.items():
        checkouts[name] = check_out(repository, commit, folder, place, data, tracked_elsewhere)
        with name_error_place(f"commit {name!r}"):
            factory.check_scripts(checkouts[name].folder)
    return replace(factory, checkouts=checkouts)
