"""`unrolled audit`: which changes of a history help? Each is taken back alone, and compared with the tip."""

import json
import sys
import time
from contextlib import redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING

from unrolled.ablations.commands.plan import print_plan
from unrolled.ablations.commands.run import exit_code, format_command_line
from unrolled.ablations.commits.audit.audit_study import make_audit
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import AuditOptions, refuse_flags, refuse_folder
from unrolled.ablations.plans.planning import make_plan
from unrolled.ablations.publishing.plan_comparison import compare_plan
from unrolled.ablations.study.study import Study
from unrolled.ablations.terminal import print_line
from unrolled.ablations.training.device import choose_device
from unrolled.ablations.training.run_studies import run_studies
from unrolled.bench.files.atomic_files import save_file
from unrolled.reports.formats import join_names

if TYPE_CHECKING:
    from unrolled.reports.compare.comparison import Comparison


def audit(commits: str, study: str, options: AuditOptions) -> int:
    """Judge each change of a range, BASE..TIP. Returns the exit code of `run`."""
    refuse_flags(options, ("plugin",), "is for models of the chapter", "leave it out")
    refuse_folder(options.markdown, "--markdown")
    if options.dry_run:
        refuse_flags(options, ("json", "markdown"), "has no answer to write with --dry-run", "leave it out")
    with redirect_stdout(sys.stderr if options.json else sys.stdout):
        code, comparison = _run_audit(commits, study, options)
    if comparison:
        from unrolled.reports.commits.audit_words import (
            make_audit_record,
            write_audit_markdown,
        )  # imports pandas

        if options.markdown:
            save_file(options.markdown, write_audit_markdown(comparison).encode())
        if options.json:
            print(json.dumps(make_audit_record(comparison), indent=1, ensure_ascii=False))
    return code


def _run_audit(commits: str, path: str, options: AuditOptions) -> "tuple[int, Comparison | None]":
    """Train what an audit needs. Returns the exit code of `run`, and the comparison if there is one."""
    end = time.monotonic() + options.budget
    study = make_audit(commits, path, options)
    if not study.contrasts:
        return 0, _compare_nothing(study)
    if options.dry_run:
        _print_audit(study, options)
        return 0, None
    options = replace(options, budget=max(end - time.monotonic(), 0.0))
    outcome = run_studies([study], options, format_command_line())
    return exit_code(outcome), outcome.comparisons.get(study.name)


def _print_audit(study: Study, options: AuditOptions) -> None:
    """Print the plan of an audit, and how each change is taken back."""
    print_plan(study, choose_device(study, options, ""), Ledger(options.results))
    for change in study.rules.audit.changes if study.rules.audit else ():
        remark = "" if options.forward else "taken back alone"
        if change.taken_back_with:
            remark = f"taken back with {join_names(change.taken_back_with)}"
        print_line(f"{change.name}: {change.reason or remark}")


def _compare_nothing(study: Study) -> "Comparison":
    """Return the comparison of a history that changes no file that counts, and print it."""
    from unrolled.reports.commits.audit_words import write_audit_lines  # imports pandas

    comparison = compare_plan(make_plan(study, format_command_line())[0], {})
    for line in write_audit_lines(comparison):
        print_line(line)
    return comparison
