"""Writing a bundle: a study with everything that a reviewer needs, in one file.

The file is a zip with an RO-Crate 1.1 description (https://w3id.org/ro/crate/1.1), which holds the sha256 of
every other file. `unrolled verify FILE.zip` checks it.
"""

import hashlib
import io
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib import metadata, resources
from pathlib import Path
from tempfile import TemporaryDirectory

from unrolled.ablations.ledger import Ledger, read_required
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.plans.retraining import identify_today
from unrolled.ablations.runner.sent_files import read_trial_files
from unrolled.bench.chapter.plugins import find_companion_files
from unrolled.bench.errors import BadInput, require
from unrolled.bench.files.atomic_files import save_file
from unrolled.bench.trial import Trial

DESCRIPTION = "ro-crate-metadata.json"
SOURCE_SUFFIXES = {".py", ".toml", ".json", ".npy", ".html", ".css", ".js"}
PARTS = {
    "ledger": "the plan, with its date and hash, and every result, as the ledger has them",
    "plugins": "the study's own models, cells and regularisers, and what they read",
    "files": "the texts, programs and commits that were studied, by the hashes that every trial has",
    "source": "the source that trained it",
    "environment.txt": "the installed packages",
}
"""The parts of a bundle, files and folders, with what each holds."""
PACKAGES = "bench", "ablations", "reports"
_USER_PATH = r"(/(?!\.\.?(/|$))[^/\\\x00-\x1f]+)+"  # any names, except "." and ".."
NAMES = re.compile(
    r"ledger/plans/[0-9a-f]{16}\.json|ledger/trials/[0-9a-f]{2}/[0-9a-f]{12,64}\.json"
    r"|ledger/details/[0-9a-f]{2}/[0-9a-f]{12,64}\.[0-9a-f]{16}\.json"
    rf"|(plugins|files/[0-9a-f]{{64}}){_USER_PATH}|source/({'|'.join(PACKAGES)})(/\w[\w.-]*)+"
    r"|environment\.txt|" + re.escape(DESCRIPTION)
)
"""A pattern that matches the names of all files that a bundle may have."""


def write_bundle(
    output: Path,
    plan: Plan,
    ids: Iterable[str],
    ledger: Ledger,
    plugins: Sequence[str],
    trials: Sequence[Trial],
) -> None:
    """Write the bundle of a plan: its results by identity, the plug-ins, and the files that `trials` read.

    Raises BadInput for a file whose name no bundle can have.
    """
    with TemporaryDirectory() as folder:
        root = Path(folder)
        for name, data in _collect_files(plan, ids, ledger, plugins, trials):
            require(
                NAMES.fullmatch(name),
                "no bundle can have a file of this name",
                place=name.split("/", 2)[-1],
                cure="rename it, or keep it beside the others",
            )
            save_file(root / name, data)
        _write_description(root, plan)
        save_file(output, _zip_files(root))


def check_parts(trials: Iterable[Trial], study: str) -> None:
    """Raise BadInput if `verify` could not train a trial again: a plug-in is missing, a file edited."""
    for trial in trials:
        trial_today, reason = identify_today(trial)
        require(
            trial_today,
            f"no one could train it again: {reason}",
            place=f"study {study!r}",
            cure="restore that, or run the study again",
        )


def _collect_files(
    plan: Plan, ids: Iterable[str], ledger: Ledger, plugins: Sequence[str], trials: Sequence[Trial]
) -> Iterator[tuple[str, bytes]]:
    """Yield every file but the description, by its name in the bundle."""
    trial_paths = [path for id in ids for path in ledger.find_trial_files(id)]
    paths = [plan_store.find_plan_path(ledger, plan.study_name), *trial_paths]
    yield from ((f"ledger/{path.relative_to(ledger.root).as_posix()}", read_required(path)) for path in paths)
    for name in plugins:
        yield f"plugins/{Path(name).name}", read_required(Path(name))
        for file in find_companion_files(name):
            yield f"plugins/{os.path.relpath(file, Path(name).resolve().parent)}", read_required(Path(file))
    yield from ((f"files/{name}", data) for name, data in read_trial_files(trials).items())
    for package in PACKAGES:
        yield from _read_package(package)
    packages = sorted({f"{package.name}=={package.version}\n" for package in metadata.distributions()})
    yield "environment.txt", "".join(packages).encode()


def _read_package(name: str) -> Iterator[tuple[str, bytes]]:
    root = Path(str(resources.files(f"unrolled.{name}")))
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.is_file() and path.suffix in SOURCE_SUFFIXES:
            yield f"source/{name}/{relative.as_posix()}", path.read_bytes()


def _write_description(root: Path, plan: Plan) -> None:
    """Write the description of the files below `root` beside them."""
    try:
        from rocrate.rocrate import ROCrate  # the package is an extra
    except ImportError as error:
        raise BadInput(
            f"rocrate is missing ({error})", cure=".venv/bin/pip install -e '.[bundle]'"
        ) from error
    crate = ROCrate(version="1.1")
    for key, value in make_crate_facts(plan).items():
        crate.root_dataset[key] = value
    crate.license = "The code is under Apache-2.0; texts and plug-ins keep their own licences."
    crate.datePublished = datetime.now(UTC)
    for path in list_files(root):
        name = path.relative_to(root).as_posix()
        data = path.read_bytes()
        properties = {"sha256": hashlib.sha256(data).hexdigest(), "contentSize": str(len(data))}
        crate.add_file(path, name, properties={**properties, "description": PARTS[name.partition("/")[0]]})
    crate.metadata.write(root)


def make_crate_facts(plan: Plan) -> dict[str, str]:
    """Return the fields of a bundle's description that say which study it holds."""
    return {
        "name": f"unrolled: {plan.study_name}",
        "description": plan.rules.question,
        "studyHash": plan.study_hash,
        "planned": datetime.fromtimestamp(plan.declared_at, UTC).isoformat(),
    }


def list_files(root: Path) -> list[Path]:
    """Return every file below a folder."""
    return sorted(path for path in root.rglob("*") if path.is_file())


def _zip_files(root: Path) -> bytes:
    """Return the files below `root` as a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in list_files(root):
            archive.write(path, path.relative_to(root).as_posix())
    return buffer.getvalue()
