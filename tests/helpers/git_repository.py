"""A small git repository, as a user has one."""

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path


def git(folder: Path, *words: str) -> str:
    """What a git command prints."""
    author = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always")
    done = subprocess.run(["git", *author, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit_files(folder: Path, message: str, files: Mapping[str, str]) -> None:
    """Write files and commit them with all other changes, of which there may be none."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", message)


def begin_repository(folder: Path, files: Mapping[str, str]) -> Path:
    """Make a repository whose first commit has these files, and return its folder."""
    folder.mkdir(exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    commit_files(folder, "first", files)
    return folder


def commit_change(folder: Path, branch: str, base: str = "main", **files: str) -> None:
    """Commit files on a new branch, and check it out. Two underscores in a name are its dot."""
    git(folder, "checkout", "-q", "-f", "-B", branch, base)
    texts_by_name = {name.replace("__", "."): text for name, text in files.items()}
    commit_files(folder, f"a change: {branch}", texts_by_name)


def make_repository(folder: Path) -> None:
    """Make a repository of two commits, with a file that is ignored."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / ".gitignore").write_text("*.bin\n")
    (folder / "src").mkdir()
    (folder / "src/train.py").write_text("print(1)\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    (folder / "src/train.py").write_text("print(2)\n")
    git(folder, "commit", "-qam", "second, with ünïcode")
    (folder / "weights.bin").write_bytes(b"ignored")


def hash_files(folder: Path) -> dict[str, str]:
    """The sha256 of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read_texts(folder: Path) -> dict[str, str]:
    """The text of every file below a folder, by its path from there."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}
