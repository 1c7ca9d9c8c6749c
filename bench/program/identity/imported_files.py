"""The files that a program imports: modules beside it, and sources of packages that have no version."""

import functools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from unrolled.bench.program.identity.file_facts import FileFacts, inspect_file
from unrolled.bench.program.identity.interpreter import Answer, Question
from unrolled.bench.program.identity.layout import Layout
from unrolled.bench.sources.identity import ROOT

_SUFFIXES = (".py", ".so", ".pyd")
_PROJECT = tuple(ROOT / name for name in ("bench", "ablations", "reports"))


class ImportedFiles:
    """Files that count, and the files that they import.

    `module_folders` are the folders in which the program's Python looks for modules first. `missing` are the
    top-level modules that are in none of them, so that this Python has to be asked. `identify` sets its
    `python_answers`, and the `versions` of packages.
    """

    def __init__(
        self, layout: Layout, module_folders: Iterable[Path], files: Mapping[str, FileFacts]
    ) -> None:
        self.files = dict(files)
        self.missing: set[str] = set()
        self.versions: list[str] = []
        self.python_answers: dict[Question, Answer] = {}
        self._layout = layout
        self._module_folders = tuple(module_folders)
        self._paths = {facts.path for facts in files.values()}
        self._list_modules = functools.cache(_list_modules)
        self._follow_imports([*files.values()])

    def has_part(self, module: str) -> bool:
        """Return True if a file that counts, or a folder that it is in, has the name of the module."""
        return any(module in [part.partition(".")[0] for part in Path(name).parts] for name in self.files)

    def add_modules(self, names: Iterable[str]) -> None:
        """Add the files of modules, and what those import."""
        for name in names:
            self._follow_imports(self._add_import(name))

    def add_sources(self, module: str, sources: Iterable[str]) -> None:
        """Add every source file of an installed module, and what those import."""
        for source in map(Path, sources):
            inner = [path for path in source.rglob("*") if path.suffix in _SUFFIXES]
            paths = sorted(path for path in (source, *inner) if path.is_file())
            names = {f"{module}:{os.path.relpath(path, source.parent)}": path for path in paths}
            self._follow_imports(
                [self._add_file(name, path) for name, path in names.items() if path not in self._paths]
            )

    def _follow_imports(self, queue: list[FileFacts]) -> None:
        """Add what files import, and what that imports."""
        while queue:
            facts = queue.pop()
            for name in facts.imports or ():
                level = len(name) - len(name.lstrip("."))
                if not level:
                    queue += self._add_import(name)
                elif level <= len(facts.path.parents):
                    queue += self._add_module(facts.path.parents[level - 1], name[level:])

    def _add_import(self, name: str) -> list[FileFacts]:
        """Add the files of a module, or add it to `missing`. Return the files that are new."""
        top, _, inner = name.partition(".")
        new_files: list[FileFacts] = []
        if top == "unrolled" and not any(self._list_modules(folder / top) for folder in self._module_folders):
            return self._add_module(ROOT, inner) if inner else new_files
        for folder in self._module_folders:
            new_files += self._add_module(folder, name)
            if self._list_modules(folder).get(top) or self._list_modules(folder / top).get("__init__"):
                return new_files  # of a folder without __init__.py, Python prefers a later package
        self.missing.add(top)
        return new_files

    def _add_module(self, folder: Path, name: str) -> list[FileFacts]:
        """Add the files of a module in a folder, and of the packages around it. Return those that are new."""
        paths: list[Path] = []
        for part in name.split(".") if name else ["__init__"]:
            paths += [folder / file for file in self._list_modules(folder).get(part, ())]
            folder = folder / part
            paths += [folder / file for file in self._list_modules(folder).get("__init__", ())]
        new_paths = [path for path in dict.fromkeys(paths) if path not in self._paths and path.is_file()]
        if any(folder.is_relative_to(part) for part in _PROJECT):
            return [self._add_file(f"unrolled:{os.path.relpath(path, ROOT)}", path) for path in new_paths]
        return [self._add_file(self._layout.name_file(path), path) for path in new_paths]

    def _add_file(self, name: str, path: Path) -> FileFacts:
        self._paths.add(path)
        facts = self.files[name] = inspect_file(path)
        return facts


def _list_modules(folder: Path) -> dict[str, list[str]]:
    """Return the file names of the modules in a folder, by import name: {"fast": ["fast.py", "fast.so"]}."""
    modules: dict[str, list[str]] = {}
    for name in sorted(os.listdir(folder)) if folder.is_dir() else ():  # noqa: PTH208 (names alone)
        if name.endswith(_SUFFIXES):
            modules.setdefault(name.partition(".")[0], []).append(name)
    return modules
