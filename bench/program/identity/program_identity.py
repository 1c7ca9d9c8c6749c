"""Identity of a program: hashes of the files that decide its numbers, and versions of packages.

The files are those that the study's patterns or the command line name, and the modules that they import. The
packages are those that the files import, with their versions in the program's own Python. The versions begin
with a hash of Unrolled's own code: see HASHED_FILES.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from unrolled.bench.errors import require
from unrolled.bench.formats.file_formats import MLFLOW, find_format
from unrolled.bench.program.identity.command_line import CommandLine, read_command
from unrolled.bench.program.identity.file_facts import FileFacts, hash_files, inspect_files, remember_facts
from unrolled.bench.program.identity.imported_files import ImportedFiles
from unrolled.bench.program.identity.interpreter import (
    PATH_VARIABLES,
    Answer,
    Question,
    ask_python,
    remember_answers,
)
from unrolled.bench.program.identity.layout import Layout
from unrolled.bench.sources.file_selection import match_files, select_default_code, select_tracked_code
from unrolled.bench.sources.identity import ROOT, RUNNER, hash_code
from unrolled.bench.trial import FileState, Scalar

_PROGRAM = ROOT / "bench" / "program"
SHARED_READERS = (
    _PROGRAM / "at_start" / "sitecustomize.py",
    _PROGRAM / "identity" / "layout.py",
    _PROGRAM / "import_report.py",
    _PROGRAM / "listener.py",
    _PROGRAM / "output.py",
    _PROGRAM / "program_run.py",
    _PROGRAM / "template.py",
    _PROGRAM / "trial_folder.py",
    ROOT / "bench" / "files" / "canonical_json.py",
    ROOT / "bench" / "formats" / "table_files.py",
    ROOT / "bench" / "trainer.py",
    ROOT / "bench" / "trial.py",
    *RUNNER,
)
"""Files that start any program, and read, carry or write its numbers."""
_LINE_PATTERNS = _PROGRAM / "line_patterns.py"
_FORMATS = (ROOT / "bench" / "formats").glob("[a-z]*.py")
HASHED_FILES = (
    *SHARED_READERS,
    _LINE_PATTERNS,
    *sorted(path for path in _FORMATS if path.stem not in ("file_formats", "table_files")),
)
"""SHARED_READERS, and the readers of formats and of printed lines: see `list_readers`."""

ABSENT = "absent"  # version of an imported package that is missing: installing it makes other trials
_STARTUP_MODULES = ("sitecustomize", "usercustomize")
"""Modules that every Python imports at its start if they exist."""


@dataclass(frozen=True)
class Snapshot:
    """The facts that planning has read. The processes of trials get them, and read only changed files."""

    code: Mapping[str, FileFacts] = field(default_factory=dict)  # facts by the name of each file
    data: Mapping[str, FileFacts] = field(default_factory=dict)
    python_answers: Mapping[Question, Answer] = field(default_factory=dict)
    command: CommandLine = CommandLine("")  # noqa: RUF009 (frozen)

    @property
    def facts(self) -> tuple[FileFacts, ...]:
        """The facts of every file that counts."""
        return (*self.code.values(), *self.data.values())

    @property
    def states(self) -> dict[Path, FileState]:
        """The state of every file that counts, by its path."""
        return {facts.path: facts.state for facts in self.facts}

    def remember(self) -> None:
        """Give this process the facts and answers, so that it does not read them again."""
        remember_facts(self.facts)
        remember_answers(self.python_answers)


class Identity(NamedTuple):
    """The fields of a trial that identify its program, and what they were computed from."""

    code_hash: str  # the trial's `source`
    data_hash: str  # the trial's `data`; "" for no files of data
    versions: str
    import_roots: tuple[str, ...]  # see `Layout`
    snapshot: Snapshot


def list_readers(metrics_source: str, *, has_patterns: bool) -> list[Path]:
    """Return the files that read a program's numbers: SHARED_READERS, and those of its format and patterns.

    Patterns take the place of a format, but for MLflow's. Raises BadInput for an unknown format.
    """
    files = [*SHARED_READERS]
    if has_patterns:
        files.append(_LINE_PATTERNS)
    if metrics_source == MLFLOW or (metrics_source and not has_patterns):
        files.append(find_format(metrics_source).source_file)
    return files


def identify_program(
    layout: Layout,
    run: str,
    settings: Mapping[str, Scalar],
    *,
    code: Sequence[str],
    data: Sequence[str],
    packages: Sequence[str],
    readers: Sequence[Path],
) -> Identity:
    """Identify a program or, if `run` is "", a function. Raises BadInput if a file cannot be read.

    `readers` are the files of Unrolled that read its numbers: see `list_readers`.
    """
    folder = layout.folder
    command = CommandLine(sys.executable, module_folders=(folder,))
    if run:
        command = read_command(run, settings, layout)
    require(
        command.interpreter or not packages,
        "cannot be asked for, as another program chooses the Python",
        key="packages",
        cure="take it out: the files that say which packages there are count",
    )
    data_files = match_files(folder, data)
    selected_code = {} if code else _select_code(layout)
    files = {**selected_code, **command.files}
    files = {name: path for name, path in files.items() if name not in data_files}
    files |= match_files(folder, code)
    require(files, f"there is no code in {folder}", key="code", cure="name its files")
    layout, imported = _resolve_imports(layout, command, inspect_files(files), packages)
    data_facts = inspect_files(data_files)
    if not packages:
        unnamed_files = selected_code.keys() - command.files.keys()
        _refuse_unreadable(facts for name, facts in imported.files.items() if name not in unnamed_files)
    file_modes = layout.checkout.file_modes if layout.checkout else ()
    return Identity(
        code_hash=hash_files(imported.files, file_modes),
        data_hash=hash_files(data_facts) if data_facts else "",
        versions=", ".join([f"unrolled {hash_code(readers)[:12]}", *imported.versions]),
        import_roots=layout.import_roots,
        snapshot=Snapshot(imported.files, data_facts, imported.python_answers, command),
    )


def _refuse_unreadable(files: Iterable[FileFacts]) -> None:
    """Raise BadInput for a file of code whose imports cannot be read."""
    for facts in files:
        require(
            facts.imports is not None,
            "is no Python that can be read",
            place=facts.path,
            cure="correct it, or name what it imports in `packages`",
        )


def _select_code(layout: Layout) -> dict[str, Path]:
    """Return the files of code that count if a study names none, by their names in the program's folder."""
    if layout.checkout:
        return select_tracked_code(layout.folder, layout.checkout.tracked)
    return select_default_code(layout.folder)


def _resolve_imports(
    layout: Layout, command: CommandLine, files: Mapping[str, FileFacts], packages: Sequence[str]
) -> tuple[Layout, ImportedFiles]:
    """Return the files that `files` import, and the layout, perhaps with further import roots.

    A commit's imports are followed within its checkout. If a package is installed from the user's work tree,
    its folder in the checkout becomes an import root. Raises BadInput if files of the work tree would run in
    place of the commit's.
    """
    imported = _follow_imports(layout, command, files, packages)
    if layout.checkout is None:
        return layout, imported
    entries = [entry for answer in imported.python_answers.values() for entry in answer.sys_path]
    roots = layout.find_import_roots(entries)
    if not set(roots) <= set(layout.import_roots):
        layout = replace(layout, import_roots=tuple(dict.fromkeys((*layout.import_roots, *roots))))
        imported = _follow_imports(layout, command, files, packages)
    for name, facts in imported.files.items():
        layout.refuse_work_tree(name, facts.path, is_named=name in files)
    for name in command.folders:
        layout.refuse_work_tree(name, layout.folder / name, is_named=True)
    return layout, imported


def _follow_imports(
    layout: Layout, command: CommandLine, files: Mapping[str, FileFacts], packages: Sequence[str]
) -> ImportedFiles:
    """Return the files that `files` import, in the program's folders and in its Python. Raises BadInput."""
    imported = ImportedFiles(layout, dict.fromkeys((*command.module_folders, *layout.python_path)), files)
    imported.add_modules(command.modules)
    if not command.interpreter:
        return imported
    if any(command.variables.get(name, os.environ.get(name)) for name in PATH_VARIABLES):
        imported.missing |= {*_STARTUP_MODULES}
    modules: set[str] | None = None
    while modules != imported.missing:  # the sources of one package may import another package
        modules = set(imported.missing)
        question, answer = ask_python(
            command.interpreter,
            modules,
            packages,
            command.variables,
            layout.folder,
            wants_sys_path=layout.checkout is not None,
        )
        for module, installed_module in answer.modules.items():
            imported.add_sources(module, installed_module.sources if installed_module else ())
    imported.versions = [answer.python, *_list_versions(answer, packages, imported)]
    imported.python_answers = {question: answer}
    return imported


def _list_versions(answer: Answer, packages: Sequence[str], imported: ImportedFiles) -> Iterator[str]:
    """Yield the packages that count, as "numpy 2.3.0". Raises BadInput if one of `packages` is missing."""
    for name in packages:
        version = answer.packages[name]
        cure = "install it, or take it out"
        require(version, "is not installed", place="packages", key=repr(name), cure=cure)
        yield f"{name} {version}"
    if packages:
        return
    versions: dict[str, str] = {}
    for module, installed_module in answer.modules.items():
        if installed_module:
            versions |= installed_module.packages
        elif module not in _STARTUP_MODULES and not imported.has_part(module):
            versions[module] = ABSENT
    yield from (f"{name} {''.join(version.split())}" for name, version in sorted(versions.items()))
