"""The files that a program's files import: beside the program, and sources that no version tells of."""

import functools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from unrolled.bench.identity import ROOT, file_state
from unrolled.bench.program.file_facts import FileFacts, read_file
from unrolled.bench.program.places import Places
from unrolled.bench.trial import FileState

_SUFFIXES = (".py", ".so", ".pyd")
_PROJECT = tuple(ROOT / name for name in ("bench", "ablations", "reports"))


class ImportedFiles:
    """Files that count, and those that they import.

    `missing` are the top-level modules that are not found in `search`, the folders in which the program's
    Python looks first; `watched` is the state of every folder that was looked at.
    """

    def __init__(self, places: Places, search: Iterable[Path], files: Mapping[str, FileFacts]) -> None:
        self.files = dict(files)
        self.missing: set[str] = set()
        self.watched: dict[Path, FileState] = {}
        self._places = places
        self._search = tuple(search)
        self._paths = {facts.path for facts in files.values()}
        self._modules_in = functools.cache(self._list_modules)
        self._follow([*files.values()])

    def has_part(self, module: str) -> bool:
        """Return True if a file that counts, or a folder of it, is called like the module."""
        return any(module in [part.partition(".")[0] for part in Path(name).parts] for name in self.files)

    def add_modules(self, names: Iterable[str]) -> None:
        """Add the files of modules, and what those import."""
        for name in names:
            self._follow(self._add_import(name))

    def add_sources(self, module: str, sources: Iterable[str]) -> None:
        """Add every source file of an installed module, and what those import."""
        for source in map(Path, sources):
            inner = [path for path in source.rglob("*") if path.suffix in _SUFFIXES]
            self.watched |= {
                folder: file_state(folder) for folder in (source, *{path.parent for path in inner})
            }
            paths = sorted(path for path in (source, *inner) if path.is_file())
            names = {f"{module}:{os.path.relpath(path, source.parent)}": path for path in paths}
            self._follow([self._add(name, path) for name, path in names.items() if path not in self._paths])

    def _follow(self, queue: list[FileFacts]) -> None:
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
        """Add the files of a module, or note that the program's Python has to be asked."""
        top, _, rest = name.partition(".")
        added: list[FileFacts] = []
        if top == "unrolled" and not any(self._modules_in(each / top) for each in self._search):
            return self._add_module(ROOT, rest) if rest else added
        for folder in self._search:
            added += self._add_module(folder, name)
            if self._modules_in(folder).get(top) or self._modules_in(folder / top).get("__init__"):
                return added  # a folder without __init__.py gives way to a package in another place
        self.missing.add(top)
        return added

    def _add_module(self, folder: Path, name: str) -> list[FileFacts]:
        """Add the files of a module in a folder and of the packages around it; those that are new."""
        paths: list[Path] = []
        for part in name.split(".") if name else ["__init__"]:
            paths += [folder / file for file in self._modules_in(folder).get(part, ())]
            folder = folder / part
            paths += [folder / file for file in self._modules_in(folder).get("__init__", ())]
        new = [path for path in dict.fromkeys(paths) if path not in self._paths and path.is_file()]
        is_project = any(folder.is_relative_to(part) for part in _PROJECT)
        if is_project:
            return [self._add(f"unrolled:{os.path.relpath(path, ROOT)}", path) for path in new]
        return [self._add(self._places.name(path), path) for path in new]

    def _add(self, name: str, path: Path) -> FileFacts:
        self._paths.add(path)
        facts = self.files[name] = read_file(path)
        return facts

    def _list_modules(self, folder: Path) -> dict[str, list[str]]:
        """The files of the modules in a folder, by the name that they are imported by."""
        self.watched[folder] = file_state(folder)
        modules: dict[str, list[str]] = {}
        for name in sorted(os.listdir(folder)) if folder.is_dir() else ():  # noqa: PTH208 (names alone)
            if name.endswith(_SUFFIXES):
                modules.setdefault(name.partition(".")[0], []).append(name)
        return modules
