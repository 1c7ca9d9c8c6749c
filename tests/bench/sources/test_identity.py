"""An edit of the code or of the text makes another trial, and only where it can change a number."""

import os
import shutil
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import unrolled.bench.sources.identity
from tests.helpers.new_process import forget_read_files
from tests.helpers.trial_work import list_loaded_files
from unrolled.bench.chapter import chapter_identity
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.models.registry import ZOO
from unrolled.bench.program.identity.program_identity import HASHED_FILES, list_readers
from unrolled.bench.program.program_trial import ProgramTrial

PACKAGE = chapter_identity.BENCH
ROOT = PACKAGE.parent

UNCOUNTED = {
    "../ablations/__init__.py": "empty",
    "../ablations/run_folder.py": "names a temporary folder",
    "../ablations/runner/__init__.py": "empty",
    "../ablations/runner/fork_server.py": "ends the trials with their server",
    "__init__.py": "empty",
    "files/__init__.py": "empty",
    "git/__init__.py": "empty",
    "hardware/__init__.py": "empty",
    "sources/__init__.py": "empty",
    "chapter/__init__.py": "empty",
    "chapter/witnesses/__init__.py": "empty",
    "chapter/models/__init__.py": "empty",
    "chapter/training/__init__.py": "empty",
    "hardware/devices.py": "finds the GPUs that can be used",
    "errors.py": "words of errors",
    "phrases.py": "words of lines that people read",
    "git/git_command.py": "reads the machine's facts",
    "files/atomic_files.py": "writes bytes, which are read back under a checksum",
    "sources/identity.py": "decides which trial it is",
    "sources/imports.py": "finds the files of plug-ins",
    "chapter/chapter_identity.py": "decides which trial it is",
    "hardware/machine_kind.py": "names the machine's facts",
    "hardware/machine.py": "reads the machine's facts, and the memory that a process took",
    "chapter/metric_table.py": "tells how metrics are judged and shown",
    "metric.py": "knows kinds and directions of metrics by their names",
    "table_columns.py": "names the columns of tables, and words what a witness saw",
    "chapter/models/registry.py": "lists models: a trial holds their settings, and its hash their class",
    "sources/module_sources.py": "finds the files of plug-ins",
    "files/regular_files.py": "reads bytes, which are hashed",
    "chapter/plugins.py": "loads plug-ins; it counts for their models, whose layers it stacks",
    "chapter/warm_up.py": "imports the rest before a trial",
    "chapter/warm_up_fastai.py": "imports the rest before a trial",
    "sources/code_lines.py": "decides which trial it is",
}
"""Files that change no number, with the reason: not in the identity. A trial's process loads no others."""

RUNNER = [f"../{path.relative_to(ROOT)}" for path in unrolled.bench.sources.identity.RUNNER]

FAMILY = {name: spec.module.rsplit(".", 1)[1] for name, spec in ZOO.items()}


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a copy of the package, which identities are taken of, and of the runner beside it."""
    folder = tmp_path / "bench"
    no_cache = shutil.ignore_patterns("__pycache__")
    for package in ("bench", "ablations"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=no_cache)
    monkeypatch.setattr(chapter_identity, "BENCH", folder)
    yield folder
    forget_read_files()


def identify_zoo(engine: str = "learner") -> dict[str, str]:
    """Return the identities of the zoo as a process that starts now would have them."""
    forget_read_files()
    return {name: ChapterTrial(model=name, seed=0, engine=engine).identify().id for name in ZOO}


def find_changed_models(file: Path, engine: str = "learner") -> set[str]:
    """Return the models whose trials have another identity once the file has another line."""
    old_ids = identify_zoo(engine)
    file.write_text(file.read_text() + "EDITED = True\n")
    return {name for name, new_id in identify_zoo(engine).items() if new_id != old_ids[name]}


FAMILIES = sorted(set(FAMILY.values()))
EDITS = [
    *((f"chapter/models/{home}.py", {n for n in ZOO if FAMILY[n] == home}) for home in FAMILIES),
    *((file, set(ZOO)) for file in (*chapter_identity.SHARED, *RUNNER)),
    *((file, set()) for file in UNCOUNTED),
]
"""Files, each with the models whose trials change with it."""


@pytest.mark.parametrize(("file", "models"), EDITS, ids=[file for file, _ in EDITS])
def test_an_edit_of_a_file_changes_only_the_trials_it_trains(copy: Path, file: str, models: set[str]) -> None:
    assert find_changed_models(copy / file) == models


def test_a_reworded_comment_or_docstring_trains_nothing_again(copy: Path) -> None:
    old_ids = identify_zoo()
    for file in (*chapter_identity.SHARED, *RUNNER):
        text = (copy / file).read_text()
        (copy / file).write_text(text.replace('"""', '"""Reworded. ', 1) + "\n\n# a comment\n")
    assert identify_zoo() == old_ids


def test_editing_an_engine_changes_the_trials_under_it_and_no_others(copy: Path) -> None:
    for file in ("learner", "loop", "optimizer", "checkpoint"):
        for engine, files in chapter_identity.ENGINES.items():
            expected = set(ZOO) if file in files else set()
            assert (
                find_changed_models(copy / "chapter" / "training" / f"{file}.py", engine=engine) == expected
            )


def test_another_class_in_the_registry_makes_other_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    old_ids = identify_zoo()
    monkeypatch.setitem(ZOO, "lm2", replace(ZOO["lm2"], builder="LMModel1"))
    assert {name for name, new_id in identify_zoo().items() if new_id != old_ids[name]} == {"lm2"}


def test_moving_text_from_one_file_to_the_next_is_an_edit(copy: Path) -> None:
    old_ids = identify_zoo()
    first = copy / "chapter/metrics.py"
    second = copy / "chapter/regularization.py"  # neighbours in the digest
    code, last_line, _ = first.read_text().rsplit("\n", 2)
    first.write_text(code)
    second.write_text(textwrap.dedent(last_line).removeprefix("return ") + "\n" + second.read_text())
    assert not set(identify_zoo().values()) & set(old_ids.values())


@pytest.mark.usefixtures("restart_fork_server")
@pytest.mark.parametrize("engine", chapter_identity.ENGINES)
def test_every_file_that_a_trials_process_loads_counts_or_has_its_reason(
    make_small_trial: Callable[..., ChapterTrial], tmp_path: Path, engine: str
) -> None:
    loaded = list_loaded_files(make_small_trial("lm4", engine=engine), tmp_path)
    engine_files = {f"chapter/training/{name}.py" for name in chapter_identity.ENGINES[engine]}
    counted_files = {*chapter_identity.SHARED, "chapter/models/elman.py", *engine_files}
    assert counted_files <= loaded
    assert loaded - counted_files - {*RUNNER} <= UNCOUNTED.keys()


UNCOUNTED_IN_PROGRAMS = {
    "formats/file_formats.py": "decides which trial it is",
    "formats/__init__.py": "empty",
    "differences.py": "tells clocks from other metrics",
    "program/__init__.py": "empty",
    "program/at_start/__init__.py": "empty",
    "program/identity/__init__.py": "empty",
    "git/checkout.py": "decides which trial it is",
    "git/repository.py": "decides which trial it is",
    "sources/file_selection.py": "decides which trial it is",
    "program/identity/command_line.py": "decides which trial it is",
    "program/identity/file_facts.py": "decides which trial it is",
    "program/identity/program_identity.py": "decides which trial it is",
    "program/identity/imported_files.py": "decides which trial it is",
    "program/identity/interpreter.py": "decides which trial it is",
    "program/program_trial.py": "decides which trial it is",
    **{f"chapter/{name}.py": "of another trainer" for name in ("text", "chapter_trial", "models/spec")},
}
"""The same of a program's process: files that neither start it nor read its numbers."""


@pytest.mark.usefixtures("restart_fork_server")
def test_every_file_that_a_programs_process_loads_counts_or_has_its_reason(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print('{\"loss\": 1}')")
    trial = ProgramTrial(seed=0, run="python train.py {seed}", folder=str(tmp_path)).identify()
    loaded = list_loaded_files(trial, tmp_path / "checkpoints")
    counted_files = {os.path.relpath(path, PACKAGE) for path in list_readers("", has_patterns=False)}
    other_readers = {os.path.relpath(path, PACKAGE) for path in HASHED_FILES} - counted_files
    assert counted_files - {*RUNNER} <= loaded
    assert loaded - counted_files - other_readers <= UNCOUNTED.keys() | UNCOUNTED_IN_PROGRAMS.keys()


def test_an_edited_text_is_another_trial_and_a_moved_one_is_not(tmp_path: Path) -> None:
    first_text, moved_text, edited_text = (tmp_path / name for name in ("a.txt", "b.txt", "c.txt"))
    first_text.write_text("one two three")
    moved_text.write_text("one two three")
    edited_text.write_text("one two three.")
    first_trial, moved_trial, edited_trial = (
        ChapterTrial(model="lm4", seed=0, corpus=str(path)).identify()
        for path in (first_text, moved_text, edited_text)
    )
    assert first_trial.id == moved_trial.id != edited_trial.id
