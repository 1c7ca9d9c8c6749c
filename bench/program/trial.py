"""A trial of a user's program or function: its command line, its files, how its numbers are read."""

import glob
import hashlib
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Self

from unrolled.bench.errors import BadInput, require, suggestion
from unrolled.bench.identity import installed_version
from unrolled.bench.metric import LARGEST, kind_of
from unrolled.bench.plugin_sources import imported_names
from unrolled.bench.program.output import find_similar_line
from unrolled.bench.trial import Result, Scalar, Trial, canonical

REASON_LENGTH = 300  # characters of a printed line that the reason of a failure quotes
SHIPPED = 100_000_000  # bytes of a program's files that are sent to a cluster's workers


@dataclass(frozen=True, kw_only=True)
class ProgramTrial(Trial):
    """A program, or a function, with one seed.

    `run` is the template of its command line, or `function` a function as "module:name", called with the
    settings and the seed. `folder` is where both are found and run; `code` and `data_files` are patterns of
    files there. It is not stored: a stored trial cannot run anything.
    """

    trainer: ClassVar[str] = "program"
    work: ClassVar[str] = "unrolled.bench.program.run:run_trial"
    uncounted: ClassVar[tuple[str, ...]] = (
        "folder",
        "code",
        "data_files",
        "packages",
        "keep",
        "disk",
    )

    run: str = ""
    function: str = ""
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    metrics: str = ""  # the file that it writes them to; "" for its standard output
    reduction: Mapping[str, str] = field(default_factory=dict)  # metric → what counts, if not its last value
    threads: int = 1
    folder: str = ""
    code: tuple[str, ...] = ()
    data_files: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()  # () for those that the code imports
    keep: tuple[str, ...] = ()  # patterns of files in its folder that stay
    disk: int = 1024  # MiB that its folder may have

    def __post_init__(self) -> None:
        """Equal trials become equal; what JSON has as lists are tuples."""
        for name in ("code", "data_files", "packages", "keep"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "settings", dict(sorted(self.settings.items())))

    def to_dict(self) -> dict[str, Any]:
        """Every field by its name, but for the folder, which may be a home."""
        return {name: value for name, value in super().to_dict().items() if name != "folder"}

    def factors(self) -> dict[str, Scalar]:
        """Every setting by its name."""
        return dict(self.settings)

    @property
    def title(self) -> str:
        """The function, or the first word of the command line that names a file."""
        words = self.run.split()
        return self.function or next((word for word in words if "." in word), *words[:1])

    def judge_result(self, result: Result, metrics: Sequence[str]) -> Result:
        """The result as a study counts it that judges these metrics; the ledger has what the program told.

        One that is not finite, or too large to be compared, means divergence, also where the program failed;
        one that the program did not tell means failure.
        """
        for name in metrics:
            if name in result.metrics and not abs(value := result.metrics[name]) <= LARGEST:
                return replace(result, status="diverged", reason=f"diverged: {name} is {value}")
            if not_number := result.environment.get("not_numbers", {}).get(name):
                return replace(result, status="failed", reason=not_number)
        missing = next((name for name in metrics if name not in result.metrics), None)
        if missing is None or not result.done:
            return result
        numbers = [name for name in result.metrics if kind_of(name) == "quality"]
        hint = suggestion(missing, numbers) if numbers else self._explain_no_number(missing, result.output)
        return replace(result, status="failed", reason=f"it tells no {missing}; {hint}")

    def _explain_no_number(self, metric: str, output: str) -> str:
        """How a metric is told by a program that told no number, and what it printed in that place."""
        if self.metrics or self.function:
            return "it told no number"
        way = f'it told no number, such as {{"{metric}": 0.5}} on a line of its own'
        similar = find_similar_line(output, metric)
        return f"{way}; it printed {similar[:REASON_LENGTH]}" if similar else way

    def identify(self) -> Self:
        """The trial with the hashes of its files and the versions. Raises BadInput for missing files."""
        require(
            self.folder,
            "a program runs from its study's file alone",
            place=self.title,
            cure="name that: `unrolled verify FILE.toml`, `unrolled bundle FILE.toml`; a .zip needs --trust, "
            "and a study from Python is given to `ablations.verify` and `ablations.bundle`",
        )
        code, data = files_of(self.folder, self.code), files_of(self.folder, self.data_files)
        require(code, f"there is no code in {self.folder}", key="code", cure="name its files")
        source = _digest(code)
        packages = self.packages or _imported_packages(tuple(code.items()), source)
        versions = [f"python {platform.python_version()}", *(f"{p} {_version(p)}" for p in packages)]
        return replace(self, source=source, data=_digest(data), versions=", ".join(versions))

    def check(self) -> None:
        """Raise BadInput if its files or packages are others than when it was planned."""
        now, again = self.identify(), "run the study again"
        for name, what, patterns in (("source", "code", self.code), ("data", "data", self.data_files)):
            if getattr(now, name) != getattr(self, name):
                last = newest(self.folder, patterns)
                raise BadInput(
                    f"its {what} was edited after the study was planned (the newest file is {last})",
                    place=self.title,
                    cure=f"{again}; if trials write it, name fewer files in `{what}`",
                )
        require(
            now.versions == self.versions,
            f"{now.versions} is installed, but {self.versions} when the study was planned",
            place=self.title,
            cure=again,
        )

    def files(self) -> dict[str, bytes]:
        """Its code and data, as far as they lie in its folder."""
        found = files_of(self.folder, (*self.code, *self.data_files))
        inside = {name: path for name, path in found.items() if not Path(name).is_absolute()}
        size = sum(path.stat().st_size for path in inside.values())
        require(
            size <= SHIPPED,
            f"has {size / 1e6:.0f} MB of files, more than are sent to workers",
            place=self.title,
            cure="keep large data at one absolute path on every machine",
        )
        return {f"{self._place}/{name}": path.read_bytes() for name, path in inside.items()}

    @property
    def absolute_patterns(self) -> list[str]:
        """The patterns of its code and data that are absolute paths, whose files `files` leaves out."""
        return [pattern for pattern in (*self.code, *self.data_files) if Path(pattern).is_absolute()]

    def reading(self, data: Path) -> Self:
        """The same trial with its files in another folder."""
        return replace(self, folder=str(data))

    def moved(self, folder: Path) -> Self:
        """The same trial with its files below another folder."""
        return replace(self, folder=str(folder / self._place))

    @property
    def _place(self) -> str:
        return hashlib.sha256(canonical([self.source, self.data])).hexdigest()


def files_of(folder: str, patterns: Iterable[str]) -> dict[str, Path]:
    """The files that match, by their names relative to the folder; absolute ones by their paths.

    Those of hidden folders and of virtual environments are left out. Raises BadInput for a pattern that none
    matches.
    """
    found: dict[str, Path] = {}
    for pattern in patterns:
        names = glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207 (absolute, too)
        paths = {name: Path(folder, name) for name in names}
        files = {n: path for n, path in paths.items() if path.is_file() and not _is_installed(folder, n)}
        require(files, "no file matches", place=folder, key=repr(pattern), cure="correct `code` or `data`")
        found |= files
    return dict(sorted(found.items()))


def newest(folder: str, patterns: Iterable[str]) -> str:
    """The file that was edited last; "" for no files."""
    files = files_of(folder, patterns)
    return max(files, key=lambda name: files[name].stat().st_mtime_ns, default="")


@cache
def _has_environment(folder: Path) -> bool:
    return (folder / "pyvenv.cfg").exists()


def _is_installed(folder: str, name: str) -> bool:
    """Whether a file lies in a virtual environment below the folder, or in the packages of one."""
    inner = [parent for parent in Path(name).parents if parent != Path()]
    return "site-packages" in Path(name).parts or any(
        _has_environment(Path(folder, parent)) for parent in inner
    )


def _digest(files: Mapping[str, Path]) -> str:
    """sha256 of names and contents; "" for no files."""
    stats = {name: (path, path.stat()) for name, path in files.items()}
    hashes = {name: _hash(path, s.st_size, s.st_mtime_ns, s.st_ino) for name, (path, s) in stats.items()}
    return hashlib.sha256(canonical(hashes)).hexdigest() if hashes else ""


@cache
def _hash(path: Path, *version: int) -> str:
    """sha256 of a file; the size and time of its `version` spare the reading of large data once an arm."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _imported_packages(files: tuple[tuple[str, Path], ...], digest: str) -> tuple[str, ...]:
    """The installed packages that source files of this `digest` import, by their names in the package index.

    The digest spares the reading of unchanged files once an arm.
    """
    names = {name.partition(".")[0] for _, path in files for name in imported_names(path, "")}
    own = {part for name, _ in files if name.endswith(".py") for part in Path(name[:-3]).parts}
    known = distributions()
    return tuple(sorted({known[name] for name in names - own if name in known}))


@cache
def distributions() -> Mapping[str, str]:
    """The name in the package index of each installed package, by the name that it is imported by."""
    return {name: packages[0] for name, packages in metadata.packages_distributions().items()}


def _version(package: str) -> str:
    try:
        return installed_version(package).partition("+")[0]
    except (metadata.PackageNotFoundError, ValueError) as error:
        raise BadInput(
            "is not installed", place="packages", key=repr(package), cure="install it, or take it out"
        ) from error
