"""Running git without the user's hooks, monitors and signatures, and without its own housekeeping."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from unrolled.bench.errors import BadInput

_SETTINGS = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.sparseCheckout": "false",
    "core.splitIndex": "false",
    "core.untrackedCache": "false",
    "gc.auto": "0",
    "log.showSignature": "false",
}

HOOK_VARIABLES = frozenset(
    f"GIT_{name}"
    for name in ("DIR", "WORK_TREE", "INDEX_FILE", "OBJECT_DIRECTORY", "COMMON_DIR", "PREFIX", "NAMESPACE")
)
"""Variables that git sets for its hooks and aliases: they would name another repository."""


def run_git(
    folder: Path,
    *words: str,
    settings: Mapping[str, str] = {},
    variables: Mapping[str, str] = {},
    stdin: bytes = b"",
) -> bytes:
    """Run a git command in a folder, and return its output.

    Raises BadInput if it fails, with the last line of its standard error.
    """
    options = [
        word for name, value in {**_SETTINGS, **settings}.items() for word in ("-c", f"{name}={value}")
    ]
    inherited_variables = {name: value for name, value in os.environ.items() if name not in HOOK_VARIABLES}
    fixed_variables = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        process = subprocess.run(
            ["git", *options, *words],
            cwd=folder,
            env={**inherited_variables, **fixed_variables, **variables},
            input=stdin,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise BadInput("git is not installed", place="commit", cure="install git") from error
    if process.returncode:
        raise _explain_failure(folder, words[0], process.stderr.decode(errors="replace"))
    return process.stdout


def _explain_failure(folder: Path, command: str, stderr: str) -> BadInput:
    """Return the error of a git command that failed."""
    if ownership := re.search("dubious ownership in repository at '(.*)'", stderr):
        top = ownership[1]  # configuring only this folder, or one below it, would not help
        return BadInput(
            "belongs to another user, so that git does not read it",
            place=f"repository {top}",
            cure=f"git config --global --add safe.directory {top}",
        )
    if "not a git repository" in stderr:
        return BadInput(
            "is in no git repository", place=str(folder), cure="name it by `repository`, or git init there"
        )
    if "not a tree object" in stderr or "bad object" in stderr or "unable to read tree" in stderr:
        cure = "fetch or restore it, or run the study again with commits that are there"
        return BadInput("has lost a commit that a study names", place=f"repository of {folder}", cure=cure)
    lines = [line for line in stderr.splitlines() if line.strip()]
    reason = lines[-1] if lines else "it says nothing"
    return BadInput(f"git {command} failed ({reason})", place=f"repository of {folder}")
