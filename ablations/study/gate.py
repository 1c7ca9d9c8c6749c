"""A gate as a study: the base of a change and its head, at every level of the base's own study.

Its rules are the base's, so that a change cannot weaken its own test: the study's file, with δ, and the files
that it calls `data` and `frozen`.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from unrolled.ablations.study.commits import (
    FOLDER,
    find_place,
    open_repository,
    run_in_checkouts,
    with_checkouts,
)
from unrolled.ablations.study.errors import error_context
from unrolled.ablations.study.loading import make_study, place_file
from unrolled.ablations.study.program import ProgramSettings
from unrolled.ablations.study.study import Arm, Study
from unrolled.ablations.study.study_file import ArmTable, DesignTable, StudyFile, parse, read
from unrolled.bench.errors import BadInput, require
from unrolled.bench.metric import judges_clock
from unrolled.bench.program.checkout import check_out
from unrolled.bench.program.files import files_of
from unrolled.bench.program.repository import FETCH, Commit, Repository, TreeEntry
from unrolled.bench.trial import canonical

STUDY = "unrolled.toml"
"""The file of the study that a gate runs by default, at the top of the repository."""
BASE, HEAD = "base", "head"
"""What a gate calls its two commits."""


class Gate(NamedTuple):
    """What a gate compares."""

    study: Study
    base: Commit
    head: Commit
    remarks: Sequence[str]  # on what the change edited and the base decides

    @property
    def has_contrast(self) -> bool:
        """Whether any file that counts differs."""
        return len(self.study.contrasts) > 0


def make_gate(path: str, base: str, head: str, results: Path) -> Gate:
    """The gate of `head` against its merge base with `base`, by the study in a file.

    The file is by default STUDY at the repository's top, the base the branch that a pull request asks to
    change (GITHUB_BASE_REF), or the remote's default branch. Raises BadInput where there is nothing to
    compare, and for what `check_out` refuses.
    """
    repository = open_repository(Path(path).parent if path else Path(), results)
    file_path = Path(path) if path else repository.root / STUDY
    head_commit = replace(repository.resolve(head), name=HEAD)
    merge_base = repository.find_merge_base(base or _find_base(repository), head_commit.hash)
    base_commit = replace(repository.resolve(merge_base), name=BASE)
    same = (base_commit.hash, base_commit.tree) == (head_commit.hash, head_commit.tree)
    cure = "name what it is to be compared with: --base REF"
    require(not same, f"is its own base, {merge_base[:10]}", key=f"head {head!r}", cure=cure)
    sides = _Sides(repository, base_commit, head_commit, results)
    file, remarks = _read_study(file_path, sides)
    with error_context(str(file_path)):
        study = _study_of_levels(file, file_path)
        trainer = study.baseline.trainer
        assert isinstance(trainer, ProgramSettings)
        frozen = sides.entries_of_base(trainer)
        if frozen:
            remarks.append(f"{', '.join(frozen)}: the base's, by `data` or `frozen`")
            tree = repository.replace_files(head_commit.tree, frozen)
            head_commit = replace(head_commit, tree=tree)
        commits = {BASE: base_commit, HEAD: head_commit}
        trainer = with_checkouts(trainer, repository, commits, results)
        study = run_in_checkouts(study, _with_study_of_base(trainer, file_path, repository))
    if judges_clock(study.metrics):
        study = _trained_anew(study, f"{base_commit.tree[:12]} {head_commit.tree[:12]}")
    return Gate(study, base_commit, head_commit, remarks)


class _Sides(NamedTuple):
    """The two commits of a gate, and where they are."""

    repository: Repository
    base: Commit
    head: Commit
    results: Path

    def entries_of_base(self, trainer: ProgramSettings) -> dict[str, TreeEntry | None]:
        """The files that `data` and `frozen` match and the change edited, by their paths in the repository.

        Each as the base has it; None for one that the base does not have.
        """
        table = trainer.table
        place = find_place(table, self.repository)
        patterns = (*table.data, *table.frozen)
        trees: list[dict[str, TreeEntry]] = []
        for commit in (self.base, self.head) if patterns else ():
            checkout = check_out(self.repository, commit, self.results / FOLDER, place, ())
            names: set[str] = set()
            for pattern in patterns:
                with suppress(BadInput):  # a file that git does not have
                    names |= {
                        os.path.normpath(Path(place, name)) for name in files_of(checkout.folder, [pattern])
                    }
            files = self.repository.list_files(commit.tree)
            trees.append({name: files[name] for name in names if name in files})
        if not trees:
            return {}
        base, head = trees
        edited = [name for name in sorted(base.keys() | head.keys()) if base.get(name) != head.get(name)]
        return {name: base.get(name) for name in edited}


def _find_base(repository: Repository) -> str:
    """The branch that a change is to be merged into. Raises BadInput where it is not known."""
    asked = os.environ.get("GITHUB_BASE_REF", "")
    for name in ([f"origin/{asked}", asked] if asked else []) + ["origin/HEAD"]:
        with suppress(BadInput):
            return repository.resolve(name).hash
    cure = FETCH if repository.is_shallow else "name it: --base main"
    raise BadInput("is not known", place=f"repository {repository.root}", key="base", cure=cure)


def _read_study(path: Path, sides: _Sides) -> tuple[StudyFile, list[str]]:
    """The study in a file as the base has it, and a remark where the change edits it.

    One that lies outside of the repository is no part of the change.
    """
    repository = sides.repository
    place = os.path.relpath(os.path.realpath(path), os.path.realpath(repository.root))
    remarks: list[str] = []
    if place.startswith("../"):
        text = read(str(path))[1]
    else:
        content = repository.read_file(sides.base.tree, place)
        rule = f"is not in the base, {sides.base.hash[:10]}"
        cure = "add it in a change of its own: a gate has the rules of its base"
        require(content is not None, rule, place=place, cure=cure)
        assert content is not None
        text = content.decode("utf-8-sig", errors="replace")
        if content != repository.read_file(sides.head.tree, place):
            remarks.append(f"{place}: the base's, as the change edits it")
    with error_context(place):
        file = parse(text)
        require(file.program, "is missing", key="[program]", cure="a gate trains a program of the repository")
    return place_file(file, path.parent), remarks


def _study_of_levels(file: StudyFile, path: Path) -> Study:
    """The study that has the base and the head at every level of the other settings of a file."""
    given = make_study(file, str(path))
    levels = {canonical(arm.settings["settings"]): arm for arm in reversed(given.arms) if not arm.seed_offset}
    first, *others = reversed(levels.values())
    baseline = {**first.settings["settings"], "commit": BASE}
    tables = [ArmTable(name=HEAD, set={"commit": HEAD})]
    for arm in others:
        changes = {name: x for name, x in arm.settings["settings"].items() if baseline[name] != x}
        base = ArmTable(name=f"{BASE}, {arm.name}", set=changes)
        head = ArmTable(name=f"{HEAD}, {arm.name}", set={**changes, "commit": HEAD}, against=base.name)
        tables += [base, head]
    changes = {
        "name": f"{given.name}-gate",
        "question": f"Is the change less than δ worse? ({given.question})",
        "baseline": baseline,
        "baseline_name": BASE,
        "design": DesignTable(),
        "arm": tuple(tables),
        "aa": False,
    }
    study = make_study(file.model_copy(update=changes), str(path), confirmed=True)
    return replace(study, decide="gate", to_the_end=True)


def _with_study_of_base(trainer: ProgramSettings, path: Path, repository: Repository) -> ProgramSettings:
    """The settings whose {study} is the base's folder of the study's file, where it is in the repository."""
    place = os.path.relpath(os.path.realpath(path.parent), os.path.realpath(repository.root))
    if place.startswith("../"):
        return trainer
    root = trainer.checkouts[BASE].root
    return replace(trainer, table=trainer.table.with_study_folder(root / place))


def _trained_anew(study: Study, occasion: str) -> Study:
    """The study whose results are of no other gate: a time of another day is no evidence."""

    def anew(arm: Arm) -> Arm:
        return replace(arm, settings={**arm.settings, "occasion": occasion})

    return replace(study, arms=tuple(map(anew, study.arms)))
