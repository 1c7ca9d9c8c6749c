"""A gate as a study: the base of a change against its head, at every level of the base's own study.

The base provides the rules, so that a change cannot weaken its own test: the study file, with δ, and the
files that it lists as `data` and `frozen`.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from unrolled.ablations.commits.commit_pair import (
    STUDY_FILE,
    CommitPair,
    find_file_place,
    find_program_folder,
    list_base_patterns,
    read_study_at,
)
from unrolled.ablations.study.checkouts import (
    find_place,
    make_checkouts,
    open_repository,
    use_checkouts,
)
from unrolled.ablations.study.loading import make_study
from unrolled.ablations.study.program_factory import ProgramFactory
from unrolled.ablations.study.study import Study
from unrolled.ablations.study.study_errors import name_error_place
from unrolled.ablations.study.study_file import ArmTable, DesignTable, StudyFile
from unrolled.ablations.study.study_reader import parse_study
from unrolled.bench.errors import BadInput, require
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.git.repository import FETCH, WORK_TREE, Commit, Repository
from unrolled.bench.sources.file_selection import is_code
from unrolled.bench.study_rules import StoppingRule

BASE = "base"
HEAD = "head"
"""The names of a gate's two commits."""


class Gate(NamedTuple):
    """A change and its base, and the study that compares them."""

    study: Study
    base: Commit
    head: Commit
    remarks: Sequence[str]  # a line on each edit that the gate ignores, as it takes the file from the base
    edits: Sequence[str]  # the other files that the change edits


def make_gate(path: str, base: str, head: str, results: Path) -> Gate:
    """Return the gate of `head` against its merge base with `base`, by the study in a file.

    The default file is STUDY_FILE at the repository's top. The default base is the branch that a pull request
    asks to change (GITHUB_BASE_REF), or else the remote's default branch. Raises BadInput if there is nothing
    to compare, and for errors of `check_out`.
    """
    repository = open_repository(find_program_folder(path), results)
    file_path = Path(path) if path else repository.root / STUDY_FILE
    pair = _find_pair(repository, base, head)
    file, remarks = _read_study(file_path, pair)
    if head != WORK_TREE and pair.head.hash == repository.resolve("HEAD").hash:
        remarks += _list_uncommitted_remarks(repository)
    with name_error_place(str(file_path)):
        study = _make_study(file, str(file_path))
        factory = study.baseline.factory
        assert isinstance(factory, ProgramFactory)
        study_place = repository.find_subfolder(file_path.parent)
        replaced_files = pair.find_edits(list_base_patterns(factory, study_place, pair))
        head_commit = pair.head
        if replaced_files:
            remarks.append(f"{', '.join(pair.describe_edit(name) for name in replaced_files)}: the base's")
            tree = repository.replace_files(head_commit.tree, replaced_files)
            head_commit = replace(head_commit, tree=tree)
        program_with_checkouts = make_checkouts(
            replace(factory, study_place=study_place),
            repository,
            {BASE: pair.base, HEAD: head_commit},
            results,
            {*pair.base_files, *pair.head_files},
        )
        study = _leave_out_equal_levels(use_checkouts(study, program_with_checkouts))
    edits = [name for name in pair.find_edits(["**"]) if name not in replaced_files]
    place = find_place(factory.table, repository)
    paths_outside = [name for name in edits if place and not name.startswith(f"{place}/") and is_code(name)]
    require(
        study.contrasts or factory.table.code or not paths_outside,
        "differs outside of the program's folder, so that it does not count",
        key=", ".join(paths_outside),
        cure="set `folder` to the top, or name in `code` what counts",
    )
    return Gate(study, pair.base, head_commit, remarks, edits)


def _find_pair(repository: Repository, base: str, head: str) -> CommitPair:
    """Return the head of a gate and its merge base with `base`. Raises BadInput if they do not differ."""
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
    return CommitPair(repository, base_commit, head_commit)


def _list_uncommitted_remarks(repository: Repository) -> list[str]:
    """Return a remark if files of the work tree differ from HEAD, which is the one that is judged."""
    names = repository.list_uncommitted_files()
    if not names:
        return []
    files = ", ".join([*names[:3], *(["…"] if names[3:] else [])])
    return [f"{files}: without the edits that are not committed (with them: --head {WORK_TREE})"]


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


def _read_study(path: Path, pair: CommitPair) -> tuple[StudyFile, list[str]]:
    """Return the study in a file as the base has it, and a remark if the change edits it.

    A file outside of the repository is not part of the change.
    """
    place = find_file_place(path, pair.repository)
    remarks: list[str] = []
    if place:
        require(
            place in pair.base_files,
            f"is not in the base, {pair.base.hash[:10]}",
            place=place,
            cure="add it in a change of its own: a gate has the rules of its base",
        )
        if pair.base_files[place] != pair.head_files.get(place):
            remarks.append(f"{place}: the base's, as the change edits it")
    text = read_study_at(path, pair.repository, pair.base)
    with name_error_place(str(place or path)):
        file = parse_study(text)
        require(file.program, "is missing", key="[program]", cure="a gate trains a program of the repository")
    return file.locate(path.parent), remarks


def _make_study(file: StudyFile, path: str) -> Study:
    """Return the study of a gate: for each arm of the file, the arm at the base and the arm at the head.

    The arms lr 0.1 and lr 0.2 become `base`, `head`, `base, lr 0.2` and `head, lr 0.2`.
    """
    study = make_study(file, path)
    arms = [arm for arm in reversed(study.arms) if not arm.seed_offset]
    levels = {canonical_json(arm.fields["settings"]): arm for arm in arms}
    first_level, *further_levels = reversed(levels.values())
    baseline = {**first_level.fields["settings"], "commit": BASE}
    tables = [ArmTable(name=HEAD, set={"commit": HEAD})]
    for arm in further_levels:
        settings = arm.fields["settings"]
        changes = {name: value for name, value in settings.items() if baseline[name] != value}
        base = ArmTable(name=f"{BASE}, {arm.name}", set=changes)
        head = ArmTable(name=f"{HEAD}, {arm.name}", set={**changes, "commit": HEAD}, against=base.name)
        tables += [base, head]
    updates = {
        "name": f"{study.name}-gate",
        "question": f"Is the change less than δ worse? ({study.rules.question})",
        "baseline": baseline,
        "baseline_name": BASE,
        "design": DesignTable(),
        "arm": tuple(tables),
        "aa": False,
    }
    study = make_study(file.model_copy(update=updates), path, confirmed=True)
    rules = replace(study.rules, stopping_rule=StoppingRule.GATE, to_the_end=True)
    return replace(study, rules=rules)
