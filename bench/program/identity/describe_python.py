"""Print what the Python that runs this file has installed, as a last line of JSON.

A program may use another Python than Unrolled, of 3.8 or newer, and that Python runs this file. The file
therefore imports only the standard library. Its argument is a list of modules and one of packages, as JSON.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sys
import sysconfig
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

INSTALLED = ("site-packages", "dist-packages")
COMPILED = re.compile(r"\.(so|pyd|dll|dylib)(\.|$)")
STANDARD_FOLDERS = {Path(sysconfig.get_paths()[name]).resolve() for name in ("stdlib", "platstdlib")}


def describe_environment(modules: list[str], packages: list[str]) -> dict[str, Any]:
    """Return the version of this Python, its modules (see `describe_module`), packages and path.

    `watched` are the paths whose state changes if a package is installed or removed.
    """
    owners = find_owners()
    name = platform.python_implementation().lower()
    name = "python" if name == "cpython" else name
    folders = [Path(entry) for entry in sys.path if Path(entry).is_dir()]
    links = [path for folder in folders for path in folder.glob("*.pth")]
    environment = [path for path in (Path(sys.prefix, "pyvenv.cfg"), Path(sys.executable)) if path.exists()]
    return {
        "python": f"{name} {platform.python_version()}",
        "modules": {module: describe_module(module, owners.get(module, [])) for module in modules},
        "packages": {package: read_version(package) for package in packages},
        "path": [*map(str, folders), *find_mapped_folders()],
        "watched": [str(path) for path in (*folders, *links, *environment)],
    }


def find_mapped_folders() -> list[str]:
    """Return the folders of packages that setuptools has installed as editable, from its import hooks."""
    folders = []
    for finder in sys.meta_path:
        hook = sys.modules.get(getattr(finder, "__module__", ""))
        for name, place in dict(getattr(hook, "MAPPING", {})).items():
            folders.append(str(Path(place).parents[name.count(".")]))
        for name, places in dict(getattr(hook, "NAMESPACES", {})).items():
            folders += [str(Path(place).parents[name.count(".")]) for place in places]
    return folders


def find_owners() -> dict[str, list[metadata.Distribution]]:
    """Return the installed distributions of each top-level module, by its name."""
    owners: dict[str, list[metadata.Distribution]] = {}
    for distribution in metadata.distributions():
        tops = (distribution.read_text("top_level.txt") or "").split()
        if not tops:
            paths = [path.parts for path in distribution.files or () if path.suffix in (".py", ".so", ".pyd")]
            tops = sorted({parts[0].partition(".")[0] for parts in paths})
        for top in tops:
            owners.setdefault(top, []).append(distribution)
    return owners


def describe_module(name: str, owners: list[metadata.Distribution]) -> dict[str, Any] | None:
    """Return {"packages": {name: version}, "sources": [path]} of a top-level module; None if it is missing.

    `sources` are paths of the module that belong to no package with a version. A module of the standard
    library has neither.
    """
    try:
        spec = find_spec(name)
    except (ImportError, ValueError, AttributeError):
        spec = None
    if spec is None:
        return None
    places = [Path(place) for place in spec.submodule_search_locations or () if Path(place).is_dir()]
    if not places and spec.has_location and spec.origin:
        origin = Path(spec.origin)
        # the origin may lie in an archive
        places = [next(path for path in (origin, *origin.parents) if path.exists())]
    packages: dict[str, str] = {}
    sources: list[str] = []
    for place in places:
        folder = place.parent.resolve()
        installed_owners = [owner for owner in owners if Path(str(owner.locate_file(""))).resolve() == folder]
        if folder.name not in INSTALLED:
            if STANDARD_FOLDERS.intersection((folder, *folder.parents)):
                continue
            # leaves out a folder with its .egg-info
            installed_owners = [owner for owner in installed_owners if owner.read_text("WHEEL")]
        for owner in installed_owners:
            packages.update(list_required(owner))
            packages[owner.metadata["Name"]] = describe_version(owner)
        if not installed_owners:
            sources.append(str(place.resolve()))
    return {"packages": packages, "sources": sources}


def list_required(owner: metadata.Distribution) -> dict[str, str]:
    """Return the versions of the packages with compiled code that a package requires: numpy of scikit-learn.

    They do its arithmetic. Required packages of plain Python are left out, since there may be many.
    """
    versions: dict[str, str] = {}
    for requirement in owner.requires or ():
        name, _, marker = requirement.partition(";")
        if "extra" not in marker:
            versions.update(find_compiled_version(re.split(r"[^\w.-]", name.strip())[0]))
    return versions


@lru_cache(maxsize=None)  # noqa: UP033 (Python 3.8 has no cache)
def find_compiled_version(name: str) -> dict[str, str]:
    """Return the version of a package by its name, or {} if it is not installed or has no compiled code."""
    try:
        distribution = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):  # such as a package for another platform
        return {}
    is_compiled = any(COMPILED.search(path.name) for path in distribution.files or ())
    return {distribution.metadata["Name"]: describe_version(distribution)} if is_compiled else {}


def read_version(name: str) -> str | None:
    """Return the version of a package by its name in the index; None if it is not installed."""
    try:
        return describe_version(metadata.distribution(name))
    except (metadata.PackageNotFoundError, ValueError):
        return None


def describe_version(distribution: metadata.Distribution) -> str:
    """Return a version without its build ("2.13.0+cu126" → "2.13.0").

    A package that was installed from a folder or a repository, which may change without a new version, has a
    hash of its files in place of the build.
    """
    public_version = str(distribution.version).partition("+")[0]
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if "archive_info" in origin or not origin:
        return public_version
    lines = (distribution.read_text("RECORD") or "").splitlines()
    files = sorted(line for line in lines if ".dist-info/" not in line and "__pycache__" not in line)
    return f"{public_version}+{hashlib.sha256(chr(10).join(files).encode()).hexdigest()[:8]}"


if __name__ == "__main__":
    if Path(sys.path[0]).resolve() == Path(__file__).parent.resolve():
        del sys.path[0]  # so that no module of this folder is imported
    print()
    print(json.dumps(describe_environment(*json.loads(sys.argv[1]))))
