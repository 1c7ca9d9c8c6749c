"""An audit as a study: the baseline is the tip of a history, and each arm is the tip without one change.

With --forward, each arm is a commit, compared with the commit before it. Study, data and frozen files are
taken from the tip.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from unrolled.ablations import run_folder
from unrolled.ablations.commits.audit.clone import Clone
from unrolled.ablations.commits.audit.history import Change, History, read_history
from unrolled.ablations.commits.audit.removal import TIP, Checkouts, Removal, Tree, TreeBuilder, list_removals
from unrolled.ablations.commits.commit_pair import (
    STUDY_FILE,
    find_file_place,
    find_program_folder,
    read_study_at,
)
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import AuditOptions, parse_set
from unrolled.ablations.runner.parallel import run_trials
from unrolled.ablations.runner.process import format_reason
from unrolled.ablations.study.checkouts import open_repository, use_checkouts
from unrolled.ablations.study.loading import make_study, override_study
from unrolled.ablations.study.program_factory import ProgramFactory
from unrolled.ablations.study.study import Study
from unrolled.ablations.study.study_errors import name_error_place
from unrolled.ablations.study.study_file import ArmTable, DesignTable, StudyFile
from unrolled.ablations.study.study_reader import parse_study
from unrolled.ablations.terminal import print_line
from unrolled.ablations.training.budget import Budget, BudgetSupervisor
from unrolled.ablations.training.device import choose_device
from unrolled.ablations.training.study_run import make_trial_conditions
from unrolled.bench.errors import BadInput, require
from unrolled.bench.phrases import plural
from unrolled.bench.study_rules import Audit, AuditedChange

BASE = "base"
"""With --forward, the name of the arm that the first commit is compared with: the commit before it."""

FindFailures = Callable[[Sequence[str], ProgramFactory], Mapping[str, str]]
"""Takes names of checkouts. Returns the names of those in which the program fails, each with the reason."""


@run_folder.use_run_folder()
def make_audit(commits: str, path: str, options: AuditOptions) -> Study:
    """Return the study that judges each change of a range, BASE..TIP, by the study in a file.

    The default file is STUDY_FILE at the repository's top. To find changes without which the program fails,
    the first seed of each checkout is trained, unless `dry_run` is set. Raises BadInput if there is nothing
    to audit, and KeyboardInterrupt after Ctrl-C.
    """
    budget = Budget(time.monotonic() + options.budget)
    repository = open_repository(find_program_folder(path), options.results)
    history = read_history(repository, commits)
    file_path = Path(path) if path else repository.root / STUDY_FILE
    file = _override_file(_read_audited_study(file_path, history), str(file_path), options)
    count = plural(len(history.commits), "commit")
    print_line(f"{count} from {history.base.hash[:10]} to {history.tip.description}")
    find_failures = partial(
        _try_checkouts, study=make_study(file, str(file_path), options.yes), options=options, budget=budget
    )
    study = _make_audit(history, file, str(file_path), options, find_failures)
    return study.extend_to_the_end() if options.to_the_end else study


def _override_file(file: StudyFile, path: str, options: AuditOptions) -> StudyFile:
    """Return the study's file with the seeds and settings of --seeds and --set."""
    sets = [parse_set(text) for text in options.set]
    for key, values in sets:
        cure = "give one, for all of them" if key != "commit" else "leave it out"
        require(
            len(values) == 1 and key != "commit",
            "would make arms, but the arms of an audit are its changes",
            place=f"--set {key}",
            cure=cure,
        )
    return override_study(
        make_study(file, path, options.yes), options.seeds, sets, confirmed=options.yes
    ).file


def _read_audited_study(path: Path, history: History) -> StudyFile:
    """Return the study that the tip has in a file, with its baseline alone.

    A file outside of the repository is read from the disk. Raises BadInput for a study that trains no
    program.
    """
    text = read_study_at(path, history.repository, history.tip)
    with name_error_place(str(path)):
        file = parse_study(text)
        require(
            file.program, "is missing", key="[program]", cure="an audit trains a program of the repository"
        )
    baseline = {name: value for name, value in file.baseline.items() if name != "commit"}
    updates = {"baseline": baseline, "baseline_name": "", "design": DesignTable(), "arm": (), "aa": False}
    return file.model_copy(update=updates).locate(path.parent)


def _make_audit(
    history: History, file: StudyFile, path: str, options: AuditOptions, find_failures: FindFailures
) -> Study:
    """Return the study of an audit, whose arms are the changes of a history.

    If the program fails without a change, or taking the change back conflicts, later changes that mend this
    are taken back with it. Its arm is then compared with the tip without these later changes.

    Raises BadInput if the tip itself cannot be compared, and for more trials than a study may have, unless
    --yes is given.
    """
    with name_error_place(path):
        commits = [ArmTable(name=change.name, set={"commit": change.name}) for change in history.changes]
        factory = make_study(file.model_copy(update={"arm": commits}), path, options.yes).baseline.factory
        assert isinstance(factory, ProgramFactory)
        factory = replace(factory, baseline=file.baseline)
        study_file = find_file_place(Path(path), history.repository)
        checkouts = Checkouts(history, factory, options.results, study_file)
        if options.forward:
            tables, changes = _compare_forward(history, checkouts)
        else:
            tables, changes = _compare_removals(history, checkouts, find_failures)
        base = BASE if options.forward else TIP
        range_name = f"{history.base.hash[:7]}..{history.tip.hash[:7]}"
        updates = {
            "name": f"{file.name}-audit",
            "question": f"Which changes of {range_name} help? ({file.question})",
            "baseline": {**file.baseline, "commit": base},
            "baseline_name": base,
            "arm": tuple(tables),
        }
        study = make_study(file.model_copy(update=updates), path, confirmed=True)
        study = use_checkouts(study, checkouts.factory)
    audit = Audit(changes=tuple(changes), forward=options.forward)
    return replace(study, rules=replace(study.rules, audit=audit))


def _compare_removals(
    history: History, checkouts: Checkouts, find_failures: FindFailures
) -> tuple[list[ArmTable], list[AuditedChange]]:
    """Return an arm for each change that can be taken back, and all changes."""
    removals = list_removals(history)
    with TemporaryDirectory() as folder:
        clone = Clone(history.repository, history.tip.hash, Path(folder))
        builder = TreeBuilder(history, clone, checkouts)
        untried_removals = [removal for removal in removals if not removal.change.is_undone]
        while untried_removals:
            for removal in untried_removals:
                removal.take_back(builder)
            trees = [tree for removal in untried_removals for tree in removal.trees]
            names = [tree.name for tree in trees if tree.identity != checkouts.tip_identity]
            failures = find_failures([*dict.fromkeys([TIP, *names] if names else [])], checkouts.factory)
            if TIP in failures:
                raise BadInput(
                    f"fails on the first seed: {failures[TIP]}", place=TIP, cure="audit a commit that runs"
                )
            untried_removals = [
                removal for removal in untried_removals if _explain_failure(removal, failures)
            ]
            for removal in untried_removals:
                removal.refuse(f"the program fails without it: {_explain_failure(removal, failures)}")
    arms = _AuditArms(checkouts)
    # companions come before the changes that need them
    changes = [arms.add_removal(removal) for removal in reversed(removals)]
    return arms.tables, changes[::-1]


def _explain_failure(removal: Removal, failures: Mapping[str, str]) -> str:
    """Return why the program fails in a tree of a removal; "" if it does not."""
    return next((failures[tree.name] for tree in removal.trees if tree.name in failures), "")


def _try_checkouts(
    names: Sequence[str], factory: ProgramFactory, *, study: Study, options: AuditOptions, budget: Budget
) -> Mapping[str, str]:
    """Train the first seed in each of these checkouts, until the budget is over: see `FindFailures`."""
    if options.dry_run:
        return {}
    device = choose_device(study, options, "")
    trials = {}
    for name in names:
        arm_fields = factory.make_arm_fields({**factory.baseline, "commit": name})
        trials[name] = factory.make_trial(arm_fields, study.rules.seeds[0], device.type).identify()
    ledger = Ledger(options.results)
    if trials:
        print_line(f"trying {plural(len(trials), 'checkout')} on seed {study.rules.seeds[0]}")
    with ledger.lock_out_measuring():
        interrupted = run_trials(
            [*trials.values()],
            ledger,
            make_trial_conditions(trials.values(), options, device),
            BudgetSupervisor(budget=budget, retries=options.retry),
        )
    if interrupted:
        raise KeyboardInterrupt
    results = ledger.read_results([trial.id for trial in trials.values()])
    checked_results = {
        name: trial.decide_status(results[trial.id], study.rules.metric_names)
        for name, trial in trials.items()
        if trial.id in results
    }
    return {
        name: format_reason(result) for name, result in checked_results.items() if result.status == "failed"
    }


class _AuditArms:
    """The arms of an audit: the tip without a change, and what each is compared with."""

    def __init__(self, checkouts: Checkouts) -> None:
        self.tables: list[ArmTable] = []
        self._checkouts = checkouts
        self._tip = checkouts.tip_identity
        self._names: dict[
            tuple[str, str], str
        ] = {}  # names by the identities of an arm's tree and its base's

    def add_removal(self, removal: Removal) -> AuditedChange:
        """Add the arms that show the effect of a change, and return the change with their names."""
        if removal.change.is_undone:
            return _describe_change(removal.change, self._checkouts)
        if not removal.arm_tree or not removal.base_tree:
            return _describe_change(removal.change, self._checkouts, reason=removal.reason)
        if removal.arm_tree.identity == removal.base_tree.identity:
            return _describe_change(removal.change, self._checkouts, companions=removal.companions)
        base = self._find_base(removal.base_tree)
        key = (removal.arm_tree.identity, removal.base_tree.identity)
        name = self._names.get(key, "")
        if not name:
            name = removal.arm_tree.name
            self._names[key] = name
            self.tables.append(ArmTable(name=name, set={"commit": name}, against=base))
        against = "" if base == TIP else base
        return _describe_change(removal.change, self._checkouts, name, removal.companions, against=against)

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
    """Return an arm for each commit that edits a file that counts, and all commits as changes."""
    parent = history.repository.resolve(history.commits[0].parents[0])
    last_arm = BASE
    last_identity = checkouts.add_commit(replace(parent, name=BASE))
    is_gap = False
    tables = []
    changes = []
    for logged in history.commits:
        change = Change((logged,))
        try:
            identity = checkouts.add_commit(replace(logged.commit, name=change.name))
        except BadInput as error:
            changes.append(_describe_change(change, checkouts, reason=f"the program cannot run: {error}"))
            is_gap = True
            continue
        arm = "" if identity == last_identity else change.name
        changes.append(_describe_change(change, checkouts, arm, against=last_arm if is_gap else ""))
        is_gap = False
        if arm:
            tables.append(ArmTable(name=arm, set={"commit": arm}, against=last_arm))
            last_arm = arm
            last_identity = identity
    return tables, changes


def _describe_change(
    change: Change,
    checkouts: Checkouts,
    arm: str = "",
    companions: Sequence[Change] = (),
    *,
    reason: str = "",
    against: str = "",
) -> AuditedChange:
    added, deleted = checkouts.history.count_lines(change)
    return AuditedChange(
        name=change.name,
        hash=change.first.hash,
        added=added,
        deleted=deleted,
        arm=arm,
        taken_back_with=tuple(companion.name for companion in companions),
        against=against,
        reason=reason,
        kept_edits=checkouts.list_kept_edits(change),
    )
