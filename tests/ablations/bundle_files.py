"""Bundles that a test makes, reads, writes again and checks."""

import zipfile
from pathlib import Path

from as_typed import write_study
from called import check_command, run_command


def make_bundle(folder: Path, model: str, *plugin: str, corpus: str = "texts/mine.txt") -> Path:
    """Run a study of four trials in a folder, and return its bundle."""
    (folder / corpus).parent.mkdir(exist_ok=True)
    arm = '[[arm]]\nname = "lr .02"\nset = { lr = 0.02 }\n'
    write_study(folder, seeds="seeds = 2", widths=(), arms=arm, model=model, corpus=corpus, hidden=8)
    check_command(folder, "run", "small.toml", "-j", "1", *plugin)
    check_command(folder, "bundle", "small", "-o", "small.zip", *plugin)
    return folder / "small.zip"


def read_files(bundle: Path) -> dict[str, bytes]:
    """Return the files of a bundle, by name."""
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_files(bundle: Path, files: dict[str, bytes]) -> None:
    """Write a bundle of these files."""
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def first_name(files: dict[str, bytes], folder: str) -> str:
    """Return the first name of a file below a folder."""
    return min(name for name in files if name.startswith(f"{folder}/"))


def verify_bundle(bundle: Path, *words: str) -> tuple[int, str]:
    """Check a bundle and train one of its trials again; the exit code and what is printed."""
    process = run_command(bundle.parent, "verify", bundle.name, "-n", "1", *words)
    return process.returncode, process.stdout
