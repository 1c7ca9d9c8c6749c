"""A gate as a study: the base of a change against its head, at every level of the base's own study.

The base provides the rules, so that a change cannot weaken its own test: the study file, with δ, and the
files that it lists as `data` and `frozen`.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from unrolled.ablations.study.commits import (
    find_place,
    make_checkouts,
    open_repository,
    run_in_checkouts,
)
from unrolled.ablations.study.errors import error_context
from unrolled.ablations.study.loading import make_study
from unrolled.ablations.study.program import ProgramFactory
from unrolled.ablations.study.study import Study
from unrolled.ablations.study.study_file import ArmTable, DesignTable, StudyFile
from unrolled.ablations.study.study_reader import parse_study, read_study_text
from unrolled.bench.errors import BadInput, require
from unrolled.bench.metric import judges_cost
from unrolled.bench.program.commits.repository import FETCH, LINK, Commit, Repository, TreeEntry
from unrolled.bench.program.file_selection import is_code, match_names
from unrolled.bench.program.template import split_template
from unrolled.bench.stopping_rule import StoppingRule
from unrolled.bench.trial import canonical_json

STUDY_FILE = "unrolled.toml"
"""The file of the study that a gate runs by default, at the top of the repository."""
BASE = "base"
HEAD = "head"
"""The names of a gate's two commits."""


class Gate(NamedTuple):
    """A change and its base, and the study that compares them."""

    study: Study
    base: Commit
    head: Commit
    remarks: Sequence[str]  # a line on each edit that the gate ignores, as the base decides the file
    edits: Sequence[str]  # the other files that the change edits


def make_gate(path: str, base: str, head: str, results: Path) -> Gate:
    """Return the gate of `head` against its merge base with `base`, by the study in a file.

    The default file is STUDY_FILE at the repository's top. The default base is the branch that a pull request
    asks to change (GITHUB_BASE_REF), or else the remote's default branch. Raises BadInput if there is nothing
    to compare, and for errors of `check_out`.
    """
    repository = open_repository(find_program_folder(path), results)
    file_path = Path(path) if path else repository.root / STUDY_FILE
    head_commit = replace(repository.resolve(head), name=HEAD)
    base_hash = repository.resolve(base).hash if base else _find_base(repository)
    merge_base = repository.find_merge_base(base_hash, head_commit.hash)
    base_commit = replace(repository.resolve(merge_base), name=BASE)
    differs = (base_commit.hash, base_commit.tree) != (head_commit.hash, head_commit.tree)
    require(
        differs,
        f"is its own base, {merge_base[:10]}",
        key=f"head {head!r}",
        cure="name what it is to be compared with: --base REF",
    )
    sides = Sides(repository, base_commit, head_commit)
    file, remarks = _read_study(file_path, sides)
    with error_context(str(file_path)):
        study = _make_study(file, str(file_path))
        factory = study.baseline.factory
        assert isinstance(factory, ProgramFactory)
        study_place = repository.find_subfolder(file_path.parent)
        replaced_files = sides.find_edits(list_base_patterns(factory, study_place, sides))
        if replaced_files:
            remarks.append(f"{', '.join(sides.describe_edit(name) for name in replaced_files)}: the base's")
            tree = repository.replace_files(head_commit.tree, replaced_files)
            head_commit = replace(head_commit, tree=tree)
        factory = replace(factory, study_place=study_place)
        commits = {BASE: base_commit, HEAD: head_commit}
        tracked = {*sides.base_files, *sides.head_files}
        study = run_in_checkouts(study, make_checkouts(factory, repository, commits, results, tracked))
        study = _leave_out_equal_levels(study)
    if judges_cost(study.metrics):  # a time measured by another gate, on another day, is no evidence
        occasion = f"{base_commit.tree[:12]} {head_commit.tree[:12]}"
        arms = [replace(arm, trial_fields={**arm.trial_fields, "occasion": occasion}) for arm in study.arms]
        study = replace(study, arms=tuple(arms))
    edits = [name for name in sides.find_edits(["**"]) if name not in replaced_files]
    place = find_place(factory.table, repository)
    paths_outside = [name for name in edits if place and not name.startswith(f"{place}/") and is_code(name)]
    require(
        study.contrasts or factory.table.code or not paths_outside,
        "differs outside of the program's folder, so that it does not count",
        key=", ".join(paths_outside),
        cure="set `folder` to the top, or name in `code` what counts",
    )
    return Gate(study, base_commit, head_commit, remarks, edits)


def find_program_folder(path: str) -> Path:
    """Return the folder whose repository has the program, by the present text of the study's file.

    If the file is missing or has a mistake, that is the file's own folder: the base's version decides later.
    """
    folder = Path(path).parent
    with suppress(BadInput):
        program = parse_study(read_study_text(path)[1]).program
        return folder / program.repository if program else folder
    return folder


class Sides:
    """The two commits of a gate and their files, by their paths in the repository."""

    def __init__(self, repository: Repository, base: Commit, head: Commit) -> None:
        self.repository = repository
        self.base = base
        self.base_files = repository.list_files(base.tree)
        self.head_files = repository.list_files(head.tree)

    def find_edits(self, patterns: Iterable[str]) -> dict[str, TreeEntry | None]:
        """Return the files that match and differ between the two commits: name → the base's version, or None.

        None stands for a file that the base lacks.
        """
        names = sorted({*self.base_files, *self.head_files})
        matches = {name for pattern in patterns for name in match_names(names, pattern)}
        edited = [name for name in sorted(matches) if self.base_files.get(name) != self.head_files.get(name)]
        return {name: self.base_files.get(name) for name in edited}

    def describe_edit(self, name: str) -> str:
        """Return the name of an edited file: "train.py", "new.py (added)", "old.py (deleted)"."""
        if name not in self.base_files:
            return f"{name} (added)"
        return name if name in self.head_files else f"{name} (deleted)"


def list_base_patterns(factory: ProgramFactory, study_place: str | None, sides: Sides) -> list[str]:
    """Return patterns of the files that the gate takes from the base on both sides.

    They are `data`, `frozen` and the files of {study}, by their paths from the repository's top. A frozen
    train.py also covers train/ and train.*, which Python might import in its place. Raises BadInput for a
    frozen file that is in neither commit.
    """
    table = factory.table
    place = find_place(table, sides.repository)
    frozen = [os.path.normpath(f"{place}/{pattern}".lstrip("/")) for pattern in table.frozen]
    for pattern in frozen:
        names = match_names([*sides.base_files, *sides.head_files], pattern)
        require(names, "no file of the two commits matches", key=f"frozen: {pattern!r}", cure="correct it")
    modules = [pattern.removesuffix(".py") for pattern in frozen if pattern.endswith(".py")]
    patterns = [*frozen, *modules, *(f"{module}.*" for module in modules)]
    patterns += [os.path.normpath(f"{place}/{pattern}".lstrip("/")) for pattern in table.data]
    if study_place is not None and "{study}" in table.run:
        words = [word.partition("{study}/")[2] for word in split_template(table.run) if "{study}/" in word]
        names = [os.path.normpath(f"{study_place}/{word}".lstrip("/")) for word in words]
        program_files = [name for name in names if not place or name.startswith(f"{place}/")]
        require(
            not program_files,
            "is a file of the program's own folder",
            key=f"run: {{study}}/{', '.join(program_files)}",
            cure="name it without {study}, and in `frozen` if the base decides it",
        )
        has_program = not study_place or place == study_place or place.startswith(f"{study_place}/")
        patterns += names if has_program else [study_place]
    return patterns


def _leave_out_equal_levels(study: Study) -> Study:
    """Return the study without the levels at which base and head have the same trials."""
    ids = {arm.name: arm.make_unidentified_trial().identify().id for arm in study.arms}
    equal_arms = [arm for arm in study.arms if arm.against and ids[arm.name] == ids[arm.against]]
    equal_names = {name for arm in equal_arms for name in (arm.name, arm.against)}
    return replace(study, arms=tuple(arm for arm in study.arms if arm.name not in equal_names))


def _find_base(repository: Repository) -> str:
    """Return the commit of the branch that a change is to be merged into. Raises BadInput for none."""
    branch = os.environ.get("GITHUB_BASE_REF", "")
    for name in [f"origin/{branch}", branch] if branch else ["origin/HEAD"]:
        with suppress(BadInput):
            return repository.resolve(name).hash
    cure = FETCH if repository.is_shallow else "name it: --base main"
    raise BadInput("is not known", place=f"repository {repository.root}", key="base", cure=cure)


def _read_study(path: Path, sides: Sides) -> tuple[StudyFile, list[str]]:
    """Return the study in a file as the base has it, and a remark if the change edits it.

    A file outside of the repository is not part of the change.
    """
    place = find_file_place(path, sides.repository)
    remarks: list[str] = []
    if place:
        require(
            place in sides.base_files,
            f"is not in the base, {sides.base.hash[:10]}",
            place=place,
            cure="add it in a change of its own: a gate has the rules of its base",
        )
        if sides.base_files[place] != sides.head_files.get(place):
            remarks.append(f"{place}: the base's, as the change edits it")
    text = read_study_at(path, sides.repository, sides.base)
    with error_context(str(place or path)):
        file = parse_study(text)
        require(file.program, "is missing", key="[program]", cure="a gate trains a program of the repository")
    return file.locate(path.parent), remarks


def find_file_place(path: Path, repository: Repository) -> str:
    """Return the path of a file from the repository's top; "" if it lies outside."""
    folder = repository.find_subfolder(path.parent)
    return "" if folder is None else f"{folder}/{path.name}".lstrip("/")


def read_study_at(path: Path, repository: Repository, commit: Commit) -> str:
    """Return the text of a study's file in a commit or, if the commit lacks the file, its present text."""
    place = find_file_place(path, repository)
    entry = repository.list_files(commit.tree).get(place)
    if entry is None:
        return read_study_text(str(path))[1]
    require(entry.mode != LINK, "is a link", place=place, cure="name the file that it leads to")
    return repository.read_file(entry).decode("utf-8-sig", errors="replace")


def _make_study(file: StudyFile, path: str) -> Study:
    """Return the study of a gate: for each arm of the file, the arm at the base and the arm at the head.

    The arms lr 0.1 and lr 0.2 become `base`, `head`, `base, lr 0.2` and `head, lr 0.2`.
    """
    study = make_study(file, path)
    arms = [arm for arm in reversed(study.arms) if not arm.seed_offset]
    levels = {canonical_json(arm.trial_fields["settings"]): arm for arm in arms}
    first_level, *further_levels = reversed(levels.values())
    baseline = {**first_level.trial_fields["settings"], "commit": BASE}
    tables = [ArmTable(name=HEAD, set={"commit": HEAD})]
    for arm in further_levels:
        settings = arm.trial_fields["settings"]
        changes = {name: value for name, value in settings.items() if baseline[name] != value}
        base = ArmTable(name=f"{BASE}, {arm.name}", set=changes)
        head = ArmTable(name=f"{HEAD}, {arm.name}", set={**changes, "commit": HEAD}, against=base.name)
        tables += [base, head]
    updates = {
        "name": f"{study.name}-gate",
        "question": f"Is the change less than δ worse? ({study.question})",
        "baseline": baseline,
        "baseline_name": BASE,
        "design": DesignTable(),
        "arm": tuple(tables),
        "aa": False,
    }
    study = make_study(file.model_copy(update=updates), path, confirmed=True)
    return replace(study, decide=StoppingRule.GATE, to_the_end=True)
