"""The faults of an unpacked bundle, a sentence each, and the parts that cannot be checked.

No code of the bundle runs here.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from unrolled.ablations.bundles.bundle_file import DESCRIPTION, list_files, make_crate_facts
from unrolled.ablations.bundles.unpacking import Bundle
from unrolled.ablations.ledger import MALFORMED_DATA_ERRORS
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.retraining import identify_today
from unrolled.ablations.runner.sent_files import select_distinct_trials
from unrolled.bench.chapter.chapter_identity import hash_package
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.text import hash_corpus
from unrolled.bench.errors import BadInput
from unrolled.bench.program.program_trial import ProgramTrial
from unrolled.bench.trial import Trial


def find_faults(bundle: Bundle) -> list[str]:
    """Return the faults of a bundle: what is missing, altered, or not as it is described."""
    trials = _select_trials(bundle)
    faults = [
        *bundle.unreadable_results,
        *_find_file_faults(bundle),
        *_find_description_faults(bundle),
        *_find_ledger_faults(bundle),
        *_find_source_faults(trials, bundle.root),
        *_find_trial_file_faults(trials, bundle),
    ]
    return [fault.replace(str(bundle.root), bundle.path.name) for fault in faults]


def list_unchecked_parts(bundle: Bundle) -> Iterator[str]:
    """Yield the parts of a bundle that were compared only with the hashes in its description."""
    trials = _select_trials(bundle)
    yield "environment.txt"
    other_sources = "source/ but for the files that trained the results"
    yield other_sources if _select_trials_without_plugins(trials) else "source/"
    programs = [trial for trial in trials if isinstance(trial, ProgramTrial)]
    if not bundle.is_trusted and any(map(_reads_elsewhere, programs)):
        yield "files/ of a program that reads files elsewhere"
    if not bundle.is_trusted and any(bundle.root.glob("plugins/*")):
        yield "plugins/"
    yield "the plan's question, δ, looks, date and marks"


def _select_trials(bundle: Bundle) -> list[Trial]:
    return select_distinct_trials(result.trial for result in bundle.results.values())


def _read_entities(root: Path) -> dict[str, dict[str, Any]]:
    """Return the entities of the description by name; {} if it is missing or malformed."""
    with suppress(OSError, *MALFORMED_DATA_ERRORS):
        graph = json.loads((root / DESCRIPTION).read_bytes())["@graph"]
        return {unquote(entity["@id"]): dict(entity) for entity in graph}
    return {}


def _find_file_faults(bundle: Bundle) -> Iterator[str]:
    """Yield faults of files: missing, not described, or not as described."""
    root = bundle.root
    entities = _read_entities(root)
    if not entities:
        yield f"{DESCRIPTION}: is missing, or describes no bundle"
        return
    hashes = {name: entity.get("sha256") for name, entity in entities.items() if entity["@type"] == "File"}
    files = {path.relative_to(root).as_posix(): path for path in list_files(root)}
    files.pop(DESCRIPTION)
    yield from (f"{name}: is described and not there" for name in hashes if name not in files)
    yield from (
        f"{name}: is not as it was described" if name in hashes else f"{name}: is not described"
        for name, path in files.items()
        if hashlib.sha256(path.read_bytes()).hexdigest() != hashes.get(name)
    )


def _find_description_faults(bundle: Bundle) -> Iterator[str]:
    """Yield fields of the description that contradict the plan."""
    dataset = _read_entities(bundle.root).get("./", {})
    yield from (
        f"{DESCRIPTION}: its {key} is not the plan's"
        for key, value in make_crate_facts(bundle.plan).items()
        if dataset.get(key) != value
    )


def _find_ledger_faults(bundle: Bundle) -> Iterator[str]:
    """Yield files of the ledger that belong to no trial of the plan."""
    ledger = bundle.ledger
    planned_paths = {plan_store.find_plan_path(ledger, bundle.plan.study_name)}
    planned_paths |= {path for id in bundle.results for path in ledger.find_trial_files(id)}
    for path in list_files(ledger.root):
        name = path.relative_to(ledger.root).as_posix()
        if path not in planned_paths and not name.startswith("set-aside/"):
            yield f"ledger/{name}: belongs to no trial of the plan"


def _select_trials_without_plugins(trials: Iterable[Trial]) -> list[ChapterTrial]:
    """Return the trials without plug-ins, whose source is the package's alone."""
    return [trial for trial in trials if isinstance(trial, ChapterTrial) and "-" not in trial.source]


def _find_source_faults(trials: Iterable[Trial], root: Path) -> Iterator[str]:
    """Yield faults of source/, whose hash must equal the hash of the code that trained the results."""
    for trial in _select_trials_without_plugins(trials):
        try:
            code_hash = hash_package(trial.model, trial.engine, root / "source" / "bench")
        except OSError as error:
            yield f"source/: lacks {Path(str(error.filename)).relative_to(root / 'source')}"
            return
        except BadInput as error:
            yield f"source/: cannot be compared with what was trained: {error}"
            return
        if code_hash != trial.source:
            yield f"source/: is not what trained {trial.model} with engine {trial.engine}"


def _find_trial_file_faults(trials: Sequence[Trial], bundle: Bundle) -> Iterator[str]:
    """Yield texts and programs whose hashes differ from the hashes in their trials, and files of no trial."""
    files = bundle.root / "files"
    unused_files = set(list_files(files))
    for trial in trials:
        local_trial = trial.relocate_to(files)
        if isinstance(local_trial, ProgramTrial):
            may_read = bundle.is_trusted or not _reads_elsewhere(local_trial)
            trial_today, reason = identify_today(local_trial) if may_read else (local_trial, "")
            unused_files -= (
                _list_program_files(local_trial) if may_read else set(list_files(Path(local_trial.folder)))
            )
            if trial_today is None:
                yield f"{Path(local_trial.folder).relative_to(bundle.root)}/: {reason}"
        elif text := bundle.find_text_file(local_trial):
            unused_files.discard(text)
            if _hash_text(text) != trial.data:
                yield f"{text.relative_to(bundle.root)}: is not the text that was trained on"
    yield from (f"{path.relative_to(bundle.root)}: belongs to no trial" for path in sorted(unused_files))


def _hash_text(path: Path) -> str:
    """Return the hash by which trials know a text; "" for a file that is no text."""
    with suppress(BadInput):
        return hash_corpus(str(path))
    return ""


def _list_program_files(trial: ProgramTrial) -> set[Path]:
    """Return the files that count in a program's identity; all of its folder if they cannot be listed."""
    try:
        return set(trial.list_hashed_files().values())
    except BadInput:
        return set(list_files(Path(trial.folder)))


def _reads_elsewhere(program: ProgramTrial) -> bool:
    """Return True if a program names files outside of its folder, which are not read unless it is trusted."""
    patterns = [Path(pattern) for pattern in (*program.code_patterns, *program.data_patterns)]
    return any(pattern.is_absolute() or ".." in pattern.parts for pattern in patterns)
