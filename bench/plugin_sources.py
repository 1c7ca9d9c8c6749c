"""The sources of a plug-in's numbers: its file, the modules that it imports, the data that it declares.

Imports are read from the source, so that one inside a function counts as well. A module that no import
statement names is found in the process that trains: see `uncounted`.
"""

import ast
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType

from bench.models.spec import Sources

BENCH = Path(__file__).parent
PROJECT = ("bench", "ablations", "reports")
STANDARD = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}


def sources_of(module: ModuleType, declared: Iterable[Path] = ()) -> Sources:
    """Follow the imports of a loaded plug-in to every file and package that counts for its trials."""
    own = Path(str(module.__file__))
    files, families, packages = {own, *declared}, set[Path](), set[str]()
    queue = [(own, module.__package__ or "")]
    while queue:
        for name in _imports(*queue.pop()):
            top, found = name.partition(".")[0], _origin(name)
            if top == "bench":
                families |= {found[0]} if found and found[0].parent == BENCH / "models" else set()
            elif found is not None and not _installed(found[0]):
                if found[0] not in files and top not in PROJECT:
                    files.add(found[0])
                    queue.append(found)
            elif found is not None and top not in sys.stdlib_module_names:
                packages.add(top)
    names = metadata.packages_distributions() if packages - {"torch"} else {}
    return Sources(
        files=tuple(sorted(map(str, files))),
        families=tuple(sorted(map(str, families - {BENCH / "models" / "registry.py"}))),
        packages=tuple(sorted({names[top][0] for top in packages - {"torch"} if top in names})),
    )


def uncounted(modules: Iterable[str], counted: Iterable[str]) -> list[str]:
    """The loaded modules that are neither installed packages nor among the plug-in's counted files."""
    known = {Path(file) for file in counted}
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in modules}
    return sorted(
        name
        for name, file in files.items()
        if file and name.partition(".")[0] not in PROJECT
        if Path(file) not in known and not _installed(Path(file))
    )


def _imports(path: Path, package: str) -> Iterator[str]:
    """The names of all modules that a source file may import; of `from a import b` also a.b."""
    if path.suffix != ".py":
        return
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _origin(name: str) -> tuple[Path, str] | None:
    """The file and the package of a module, loaded or not; None for what is none or has no file."""
    if name.partition(".")[0] in sys.builtin_module_names:
        return None
    try:
        spec = getattr(sys.modules.get(name), "__spec__", None) or importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):  # `from a import b`, where b is no module
        return None
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    return Path(spec.origin), spec.parent or ""


def _installed(path: Path) -> bool:
    """Whether a file belongs to Python or to an installed package."""
    if {"site-packages", "dist-packages"} & set(path.parts):
        return True
    return any(path.is_relative_to(folder) for folder in STANDARD)
