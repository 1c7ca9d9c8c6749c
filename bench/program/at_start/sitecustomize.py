"""Imported by every Python that a commit's program starts: it reports the files of the modules it loaded.

Static checks cannot see modules that a program imports by a computed name. So each process, as it ends, lists

- "own": files of the commit's checkout, all of which have to count in the trial's identity
- "foreign": files of the user's work tree that were loaded although the commit has a file at the same place

This file is run by the program's Python, 3.8 or newer, and imports nothing else of the project.
"""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress

REPOSITORY, CHECKOUT, STUDY, REPORT = (
    f"UNROLLED_{name}" for name in ("REPOSITORY", "CHECKOUT", "STUDY", "LOADED_FILES")
)
"""Variables with the folders, and with the file to which the names are written."""
CHECKOUT_MTIME = 946_684_800
"""The modification time of every file of a checkout until it is edited, in unix seconds."""


def list_loaded_files(repository: str, checkout: str, study: str) -> dict[str, list[str]]:
    """Return the files of loaded modules: {"own": [of the checkout], "foreign": [of the work tree]}.

    A file of the work tree is foreign if the checkout has a file at the same place. Files below the folder
    `study` are not foreign; "" stands for no such folder. The paths are from the top of either.
    """
    files: dict[str, list[str]] = {"own": [], "foreign": []}
    modules = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    names = [file for file in modules if isinstance(file, str) and os.path.exists(file)]  # noqa: PTH110
    for path in map(os.path.realpath, names):
        if path.startswith(checkout + os.sep):
            if os.stat(path).st_mtime == CHECKOUT_MTIME:  # noqa: PTH116
                files["own"].append(os.path.relpath(path, checkout))
        elif path.startswith(repository + os.sep):
            is_meant = study and path.startswith(study + os.sep)
            relative_path = os.path.relpath(path, repository)
            if not is_meant and os.path.exists(os.path.join(checkout, relative_path)):  # noqa: PTH110, PTH118
                files["foreign"].append(relative_path)
    return files


def _report_files() -> None:
    files = list_loaded_files(*(os.environ[name] for name in (REPOSITORY, CHECKOUT, STUDY)))
    _write_lines([f"{owner} {file}" for owner, names in files.items() for file in names])


def _write_lines(lines: list[str]) -> None:
    with suppress(OSError), open(os.environ[REPORT], "a", encoding="utf-8") as report:  # noqa: PTH123
        report.write("".join(f"{line}\n" for line in lines))


def _import_users_own() -> None:
    """Import the module of this name that Python would have found without this one."""
    folder = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != folder]  # noqa: PTH100
    this = sys.modules.pop(__name__)
    with suppress(ImportError):
        __import__(__name__)
    sys.modules.setdefault(__name__, this)


if REPORT in os.environ:
    _write_lines(["hello"])
    atexit.register(_report_files)
    if __name__ == "sitecustomize":
        _import_users_own()
        del __file__  # the user's work tree may be Unrolled's own, and this file is no module of the program
