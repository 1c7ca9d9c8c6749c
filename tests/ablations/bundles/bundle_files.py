"""Bundles that a test makes, reads, writes again and checks."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.helpers.command_call import check_command, run_command
from tests.helpers.command_process import write_study
from tests.helpers.command_without_mlflow import silence_mlflow
from unrolled.ablations.bundles.bundle_file import DESCRIPTION
from unrolled.ablations.ledger import seal, unseal

Spoil = Callable[[dict[str, bytes]], None]
"""A change of a bundle's files."""


def make_bundle(folder: Path, model: str, *plugin: str, corpus: str = "texts/mine.txt") -> Path:
    """Run a study of four trials in a folder, and return its bundle."""
    (folder / corpus).parent.mkdir(exist_ok=True)
    arm = '[[arm]]\nname = "lr .02"\nset = { lr = 0.02 }\n'
    write_study(folder, seeds="seeds = 2", widths=(), arms=arm, model=model, corpus=corpus, hidden=8)
    with silence_mlflow():
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


def forge(bundle: Path, spoil: Spoil) -> None:
    """Change files of the bundle, and the hashes with them."""
    spoil(files := read_files(bundle))
    body = json.loads(files[DESCRIPTION])
    entities = [e for e in body["@graph"] if e["@type"] != "File"]
    body["@graph"] = entities + [
        {"@id": name, "@type": "File", "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
        if name != DESCRIPTION
    ]
    write_files(bundle, {**files, DESCRIPTION: json.dumps(body).encode()})


def edit_file(folder: str, old: bytes, new: bytes) -> Spoil:
    """Return a change of the first file below a folder, or of the one whose path ends so."""

    def edit(files: dict[str, bytes]) -> None:
        name = next((name for name in files if name.endswith(folder)), None) or first_name(files, folder)
        assert old in files[name]
        files[name] = files[name].replace(old, new, 1)

    return edit


def reseal_file(folder: str, change: Callable[[dict[str, Any]], None]) -> Spoil:
    """Return a change of the first file below a folder that seals it again."""

    def reseal(files: dict[str, bytes]) -> None:
        name = first_name(files, folder)
        body = unseal(files[name])
        change(body)
        files[name] = seal({key: value for key, value in body.items() if key != "sha256"})

    return reseal
