"""`unrolled run`: train what is missing of each study, log it, report it."""

import os
import shlex
import sys
from collections.abc import Sequence

from unrolled.ablations.commands.plan import print_plans
from unrolled.ablations.options import RunOptions
from unrolled.ablations.study.loading import load_studies
from unrolled.ablations.training.run_studies import RunOutcome, run_studies

INTERRUPTED = 130  # exit code after Ctrl-C


def run(names: Sequence[str], options: RunOptions) -> int:
    """Train the trials of each study that have no result, log them to MLflow, and render the reports."""
    if options.dry_run:
        return print_plans(names, options)
    return exit_code(run_studies(load_studies(names, options), options, format_command_line()))


def exit_code(outcome: RunOutcome) -> int:
    """Return the exit code of a run of studies: 0, 1 for faults, or 130."""
    return INTERRUPTED if outcome.interrupted else int(outcome.has_faults)


def format_command_line() -> str:
    """Return the command line, which a plan keeps: a byte that is not UTF-8 is written as \\xff."""
    return os.fsencode(shlex.join(["unrolled", *sys.argv[1:]])).decode(errors="backslashreplace")
