"""`unrolled audit`: which changes of a history help? Each is taken back alone, and compared with the tip."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unrolled.ablations import run_folder
from unrolled.ablations.commands.plan import print_plan
from unrolled.ablations.commands.run import exit_code, format_command_line
from unrolled.ablations.commits.audit import make_audit, read_audited_study
from unrolled.ablations.commits.history import read_history
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import AuditOptions, parse_set, refuse_flags
from unrolled.ablations.runner.parallel import run_trials
from unrolled.ablations.runner.process import plain_reason
from unrolled.ablations.study.commits import open_repository
from unrolled.ablations.study.gate_study import STUDY, find_program_folder
from unrolled.ablations.study.loading import make_study, override_study
from unrolled.ablations.study.plan import make_plan
from unrolled.ablations.study.program import ProgramSettings
from unrolled.ablations.study.study import Study
from unrolled.ablations.study.study_file import StudyFile
from unrolled.ablations.training.comparison import compare_plan
from unrolled.ablations.training.device import choose_device
from unrolled.ablations.training.run_studies import run_studies
from unrolled.ablations.training.study_run import trial_conditions
from unrolled.bench.errors import plural, require, visible
from unrolled.bench.files import save_file
from unrolled.reports.formats import join_names

if TYPE_CHECKING:
    from unrolled.reports.comparison import Comparison


def audit(commits: str, study: str, options: AuditOptions) -> int:
    """Judge each change of a range, BASE..TIP. Returns the exit code of `run`."""
    refuse_flags(options, ("plugin",), "is for models of the chapter", "leave it out")
    if options.dry_run:
        refuse_flags(options, ("json", "markdown"), "has no answer to write with --dry-run", "leave it out")
    with redirect_stdout(sys.stderr if options.json else sys.stdout):
        code, comparison = run_audit(commits, study, options)
    if comparison:
        from unrolled.reports.commits.audit import audit_record, write_audit_markdown  # pandas

        if options.markdown:
            save_file(options.markdown, write_audit_markdown(comparison).encode())
        if options.json:
            print(json.dumps(audit_record(comparison), indent=1, ensure_ascii=False))
    return code


@run_folder.use_run_folder()
def run_audit(commits: str, path: str, options: AuditOptions) -> "tuple[int, Comparison | None]":
    """Train what an audit needs. Returns the exit code of `run`, and the comparison if there is one."""
    end = time.monotonic() + options.budget
    repository = open_repository(find_program_folder(path), options.results)
    history = read_history(repository, commits)
    file_path = Path(path) if path else repository.root / STUDY
    file = _override_file(read_audited_study(file_path, history), str(file_path), options)
    count = plural(len(history.commits), "commit")
    print(visible(f"{count} from {history.base.hash[:10]} to {history.tip.description}"), flush=True)
    study = make_audit(
        history,
        file,
        str(file_path),
        options.results,
        forward=options.forward,
        confirmed=options.yes,
        find_failures=lambda names, factory: _find_failures(
            names, factory, file, str(file_path), options, end
        ),
    )
    study = replace(study, to_the_end=study.to_the_end or options.to_the_end)
    if not study.contrasts:
        return 0, _compare_nothing(study)
    if options.dry_run:
        print_plan(study, choose_device(study, options, ""), Ledger(options.results))
        for change in study.audit.changes if study.audit else ():
            companions = f"taken back with {join_names(change.taken_back_with)}"
            remark = change.reason or (companions if change.taken_back_with else "")
            print(visible(f"{change.name}: {remark or ('' if options.forward else 'taken back alone')}"))
        return 0, None
    options = replace(options, budget=max(end - time.monotonic(), 0.0))
    outcome = run_studies([study], options, format_command_line())
    return exit_code(outcome), outcome.comparisons.get(study.name)


def _override_file(file: StudyFile, path: str, options: AuditOptions) -> StudyFile:
    """Return the study's file with the seeds and settings of --seeds and --set."""
    sets = [parse_set(text) for text in options.set]
    for key, values in sets:
        cure = "give one, for all of them" if key != "commit" else "leave it out"
        require(
            len(values) == 1 and key != "commit",
            "would make arms, and those of an audit are changes",
            place=f"--set {key}",
            cure=cure,
        )
    return override_study(
        make_study(file, path, options.yes), options.seeds, sets, confirmed=options.yes
    ).file


def _compare_nothing(study: Study) -> "Comparison":
    """Print and return the comparison of a history that changes no file that counts."""
    from unrolled.reports.commits.audit import write_audit_lines  # pandas

    comparison = compare_plan(make_plan(study, format_command_line())[0], {})
    for line in write_audit_lines(comparison):
        print(visible(line))
    return comparison


def _find_failures(
    names: Sequence[str],
    factory: ProgramSettings,
    file: StudyFile,
    path: str,
    options: AuditOptions,
    end: float,
) -> Mapping[str, str]:
    """Train the first seed in these checkouts. Returns why the program fails, by their names."""
    if options.dry_run:
        return {}
    study = make_study(file, path, options.yes)
    device = choose_device(study, options, "")
    fields = {name: factory.resolve_settings({**factory.baseline, "commit": name}) for name in names}
    trials = {
        name: factory.make_trial(f, study.seeds[0], device.kind).identify() for name, f in fields.items()
    }
    ledger = Ledger(options.results)
    if trials:
        print(f"trying {plural(len(trials), 'checkout')} on seed {study.seeds[0]}", flush=True)
    counts = run_trials(
        [*trials.values()],
        ledger,
        trial_conditions(trials.values(), options, device),
        is_replaced=lambda stored: options.retry and stored.status == "failed",
        is_wanted=lambda _: time.monotonic() < end,
    )
    if counts.interrupted:
        raise KeyboardInterrupt
    metrics = [metric.name for metric in study.metrics]
    results = ledger.results([trial.id for trial in trials.values()])
    judged = {
        name: trial.judge_result(results[trial.id], metrics)
        for name, trial in trials.items()
        if trial.id in results
    }
    return {name: plain_reason(result) for name, result in judged.items() if result.status == "failed"}
