"""git, which only reads: it runs no program of the user's, and writes nothing of its own accord."""

import os
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

OF_ANOTHER_CALL = frozenset(
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
    """What a git command prints in a folder, under these further settings and environment variables.

    Raises BadInput where it fails, with the last line that it says.
    """
    options = [
        word for name, value in {**_SETTINGS, **settings}.items() for word in ("-c", f"{name}={value}")
    ]
    inherited = {name: value for name, value in os.environ.items() if name not in OF_ANOTHER_CALL}
    own = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **variables}
    environment = inherited | own
    try:
        done = subprocess.run(
            ["git", *options, *words],
            cwd=folder,
            env=environment,
            input=stdin,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise BadInput("git is not installed", place="commit", cure="install git") from error
    if done.returncode == 0:
        return done.stdout
    raise _explain(folder, words[0], done.stderr.decode(errors="replace"))


def _explain(folder: Path, command: str, complaint: str) -> BadInput:
    """The error of a git command that failed."""
    lines = [line for line in complaint.splitlines() if line.strip()]
    if "dubious ownership" in complaint:
        return BadInput(
            "belongs to another user, so that git does not read it",
            place=f"repository of {folder}",
            cure=f"git config --global --add safe.directory {folder}",
        )
    if "not a git repository" in complaint:
        return BadInput(
            "is in no git repository", place=str(folder), cure="name it by `repository`, or git init there"
        )
    if "not a tree object" in complaint or "bad object" in complaint or "unable to read tree" in complaint:
        cure = "fetch or restore it, or run the study again with commits that are there"
        return BadInput("has lost a commit that a study names", place=f"repository of {folder}", cure=cure)
    said = lines[-1] if lines else "it says nothing"
    return BadInput(f"git {command} failed ({said})", place=f"repository of {folder}")
