"""Checking that a program ran the files of its commit, by a report of the files that it loaded.

Every Python that the program starts imports `at_start/sitecustomize.py` first, which writes the report.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from unrolled.bench.git.checkout import Checkout
from unrolled.bench.program.at_start.sitecustomize import CHECKOUT, REPORT, REPOSITORY, STUDY
from unrolled.bench.program.identity.layout import Layout
from unrolled.bench.program.program_trial import ProgramTrial, shorten_names

AT_START_FOLDER = Path(__file__).with_name("at_start")
FOLDER_VARIABLES = REPOSITORY, CHECKOUT, STUDY
"""The variables whose values `list_loaded_files` takes, in its order."""


def make_commit_variables(checkout: Checkout, layout: Layout, out: Path) -> dict[str, str]:
    """Return the environment variables by which a program runs its commit and reports its files."""
    python_path = [str(AT_START_FOLDER), *map(str, layout.python_path), os.environ.get("PYTHONPATH", "")]
    repository, study = (
        os.path.realpath(path) if path else "" for path in (checkout.repository, layout.separate_study_folder)
    )
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, python_path)),
        # git may have compiled files that do not fit; modules of others are compiled once for all commits
        "PYTHONPYCACHEPREFIX": str(checkout.root.parent / ".pycache"),
        "PYTHONDONTWRITEBYTECODE": "",
        "GIT_CEILING_DIRECTORIES": str(checkout.root.parent),  # git finds no repository above the checkout
        REPOSITORY: repository,
        CHECKOUT: os.path.realpath(checkout.root),
        STUDY: study,
        **({REPORT: str(_report_path(out))} if repository else {}),
    }


def check_report(trial: ProgramTrial, out: Path) -> str:
    """Return why a program's processes did not run its commit, or "". Reads and removes their report.

    If a script sets PYTHONPATH anew, no Python looks in the checkout first, and there is no report. That is a
    failure of a program with Python files.
    """
    report = _report_path(out)
    lines = report.read_text("utf-8").splitlines() if report.exists() else []
    report.unlink(missing_ok=True)
    files: dict[str, list[str]] = {"own": [], "foreign": []}
    for owner, _, file in (line.partition(" ") for line in lines):
        files.setdefault(owner, []).append(file)
    if reason := find_other_files(trial, files):
        return reason
    is_python = any(facts.path.suffix == ".py" for facts in trial.snapshot.code.values())
    if not is_python or "hello" in files:
        return ""
    cure = "a script sets PYTHONPATH anew, or runs none: PYTHONPATH=.:$PYTHONPATH, or `code` without .py"
    return f"no Python that it started looked first in the checkout of its commit; {cure}"


def find_other_files(trial: ProgramTrial, files: Mapping[str, Sequence[str]]) -> str:
    """Return why the files that a program loaded are not its trial's, or "". See `list_loaded_files`."""
    assert trial.checkout is not None
    if foreign := sorted({*files["foreign"]}):
        return f"it ran {shorten_names(foreign)} of the work tree, and not of the commit"
    paths = {os.path.realpath(facts.path) for facts in trial.snapshot.facts}
    root = Path(os.path.realpath(trial.checkout.root))
    uncounted = sorted(name for name in {*files["own"]} if paths and str(root / name) not in paths)
    if uncounted:
        cure = "name them in `code`, or set `folder` to the top"
        return f"it ran {shorten_names(uncounted)}, which do not count: {cure}"
    return ""


def _report_path(out: Path) -> Path:
    """Return the file in which a program's processes name the files that they loaded."""
    return out.with_suffix(".loaded-files")
