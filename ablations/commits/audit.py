"""An audit as a study: the tip of a history, and an arm for each of its changes, the tip without it.

Forward, each commit is an arm, beside the one before it. Study, data and frozen files are the tip's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from unrolled.ablations.commits.history import Change, History
from unrolled.ablations.commits.removal import TIP, Checkouts, Removal, Tree, list_removals
from unrolled.ablations.study.commits import run_in_checkouts
from unrolled.ablations.study.errors import error_context
from unrolled.ablations.study.gate_study import read_study_at
from unrolled.ablations.study.loading import make_study
from unrolled.ablations.study.program import ProgramSettings
from unrolled.ablations.study.study import Study
from unrolled.ablations.study.study_file import ArmTable, DesignTable, StudyFile
from unrolled.ablations.study.study_reader import parse_study
from unrolled.bench.audit import Audit, AuditedChange
from unrolled.bench.errors import BadInput, require
from unrolled.bench.program.commits.clone import Clone

BASE = "base"
"""The name of the arm that the first commit is compared with, if an audit looks forward."""

FindFailures = Callable[[Sequence[str], ProgramSettings], Mapping[str, str]]
"""Return why the program fails in each of these checkouts, named as their arms, in which it does."""


def read_audited_study(path: Path, history: History) -> StudyFile:
    """Return the study in a file as the tip has it, with its baseline alone; else as it lies there.

    Raises BadInput for a study that trains no program.
    """
    text = read_study_at(path, history.repository, history.tip)
    with error_context(str(path)):
        file = parse_study(text)
        require(
            file.program, "is missing", key="[program]", cure="an audit trains a program of the repository"
        )
    baseline = {name: value for name, value in file.baseline.items() if name != "commit"}
    updates = {"baseline": baseline, "baseline_name": "", "design": DesignTable(), "arm": (), "aa": False}
    return file.model_copy(update=updates).locate(path.parent)


def make_audit(
    history: History,
    file: StudyFile,
    path: str,
    results: Path,
    *,
    forward: bool,
    confirmed: bool,
    find_failures: FindFailures,
) -> Study:
    """Return the study that compares the tip with itself without each change or, forward, each with the last.

    A change without which the program fails, or whose removal conflicts, is taken back with later ones that
    mend it, and compared with the tip without these. Raises BadInput where the tip itself cannot be compared,
    and for more trials than a study may have, unless they are `confirmed`.
    """
    with error_context(path):
        commits = [ArmTable(name=change.name, set={"commit": change.name}) for change in history.changes]
        factory = make_study(file.model_copy(update={"arm": commits}), path, confirmed).baseline.factory
        assert isinstance(factory, ProgramSettings)
        factory = replace(factory, baseline=file.baseline)
        checkouts = Checkouts(history, factory, results)
        if forward:
            tables, changes = _compare_forward(history, checkouts)
        else:
            tables, changes = _compare_removals(history, checkouts, find_failures)
        base = BASE if forward else TIP
        ends = f"{history.base.hash[:7]}..{history.tip.hash[:7]}"
        updates = {
            "name": f"{file.name}-audit",
            "question": f"Which changes of {ends} help? ({file.question})",
            "baseline": {**file.baseline, "commit": base},
            "baseline_name": base,
            "arm": tuple(tables),
        }
        study = make_study(file.model_copy(update=updates), path, confirmed=True)
        study = run_in_checkouts(study, checkouts.factory)
    return replace(study, audit=Audit(changes=tuple(changes), forward=forward))


def _compare_removals(
    history: History, checkouts: Checkouts, find_failures: FindFailures
) -> tuple[list[ArmTable], list[AuditedChange]]:
    """Return an arm for each change that can be taken back, and all changes."""
    removals = list_removals(history)
    with TemporaryDirectory() as folder:
        clone = Clone(history.repository, history.tip.hash, Path(folder))
        untried = [removal for removal in removals if not removal.change.is_undone]
        while untried:
            for removal in untried:
                removal.take_back(history, clone, checkouts)
            trees = [tree for r in untried for tree in (r.without, r.beside) if r.without and tree]
            names = [tree.name for tree in trees if tree.identity != checkouts.tip_identity]
            failures = find_failures([*dict.fromkeys([TIP, *names] if names else [])], checkouts.factory)
            if TIP in failures:
                raise BadInput(
                    f"fails on the first seed: {failures[TIP]}", place=TIP, cure="audit a commit that runs"
                )
            untried = [r for r in untried if r.without and _explain_failure(r, failures)]
            for removal in untried:
                removal.refuse(f"the program fails without it: {_explain_failure(removal, failures)}")
    arms = _Arms(checkouts.tip_identity)
    changes = [arms.add(removal, history) for removal in reversed(removals)]  # companions come first
    return arms.tables, changes[::-1]


def _explain_failure(removal: Removal, failures: Mapping[str, str]) -> str:
    """Return why the program fails in a tree of a removal; "" if it does not."""
    trees = filter(None, (removal.without, removal.beside))
    return next((failures[tree.name] for tree in trees if tree.name in failures), "")


class _Arms:
    """The arms of an audit: the tip without a change, and what each is compared with."""

    def __init__(self, tip_identity: str) -> None:
        self.tables: list[ArmTable] = []
        self._tip = tip_identity
        self._names: dict[tuple[str, str], str] = {}  # by the identities of an arm's trials and of its base's

    def add(self, removal: Removal, history: History) -> AuditedChange:
        """Add what shows the effect of a change, and return it as the audit has it."""
        if removal.change.is_undone:
            return _describe_change(removal.change, history)
        if not removal.without or not removal.beside:
            return _describe_change(removal.change, history, reason=removal.reason)
        if removal.without.identity == removal.beside.identity:
            return _describe_change(removal.change, history, companions=removal.companions)
        base = self._find_base(removal.beside)
        key = (removal.without.identity, removal.beside.identity)
        name = self._names.get(key, "")
        if not name:
            name = self._names[key] = removal.without.name
            self.tables.append(ArmTable(name=name, set={"commit": name}, against=base))
        against = "" if base == TIP else base
        return _describe_change(removal.change, history, name, removal.companions, against=against)

    def _find_base(self, tree: Tree) -> str:
        """Return the name of the arm of a tree, which is added if there is none."""
        if tree.identity == self._tip:
            return TIP
        key = (tree.identity, self._tip)
        if key not in self._names:
            self._names[key] = tree.name
            self.tables.append(ArmTable(name=tree.name, set={"commit": tree.name}))
        return self._names[key]


def _compare_forward(history: History, checkouts: Checkouts) -> tuple[list[ArmTable], list[AuditedChange]]:
    """Return an arm for each commit whose files differ from those of the one before, and all commits."""
    parent = history.repository.resolve(history.commits[0].parents[0])
    last_arm = BASE
    last_identity = checkouts.add(replace(parent, name=BASE))
    is_gap = False
    tables = []
    changes = []
    for logged in history.commits:
        change = Change((logged,))
        try:
            identity = checkouts.add(replace(logged.commit, name=change.name))
        except BadInput as error:
            changes.append(_describe_change(change, history, reason=f"the program cannot run: {error}"))
            is_gap = True
            continue
        arm = "" if identity == last_identity else change.name
        changes.append(_describe_change(change, history, arm, against=last_arm if is_gap else ""))
        is_gap = False
        if arm:
            tables.append(ArmTable(name=arm, set={"commit": arm}, against=last_arm))
            last_arm = arm
            last_identity = identity
    return tables, changes


def _describe_change(
    change: Change,
    history: History,
    arm: str = "",
    companions: Sequence[Change] = (),
    *,
    reason: str = "",
    against: str = "",
) -> AuditedChange:
    added, deleted = history.count_lines(change)
    return AuditedChange(
        name=change.name,
        hash=change.first.hash,
        added=added,
        deleted=deleted,
        arm=arm,
        taken_back_with=tuple(other.name for other in companions),
        against=against,
        reason=reason,
    )
