"""A trial of a user's program or function: its command line, its files, how its numbers are read."""

import hashlib
import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from unrolled.bench.errors import BadInput, require, suggestion
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.git.checkout import Checkout
from unrolled.bench.metric import LARGEST_FINITE, find_kind
from unrolled.bench.phrases import plural
from unrolled.bench.program.identity.file_facts import FileFacts
from unrolled.bench.program.identity.layout import STUDY_PREFIX, Layout, make_absolute_folder
from unrolled.bench.program.identity.program_identity import (
    Identity,
    Snapshot,
    identify_program,
    list_readers,
)
from unrolled.bench.program.output import find_similar_line
from unrolled.bench.sources.identity import describe_changes
from unrolled.bench.trial import FileState, Result, Scalar, Trial

MOST_NAMED_FILES = 5  # files that a message names
REASON_LENGTH = 300  # characters of a program's line that the reason of a failure quotes
MOST_SENT_BYTES = 100_000_000  # most bytes of a program's files that are sent to a cluster's workers
STUDY_FILES = ".study"  # folder, among the sent files, for files that lie beside the study file


@dataclass(frozen=True, kw_only=True)
class ProgramTrial(Trial):
    """A program, or a function, with one seed.

    `run` is the template of its command line. In its place, `function` names a function as "module:name",
    which is called with the settings and the seed. Either runs in `folder`; `code_patterns` and
    `data_patterns` match files there. The folder is not stored: no ledger from elsewhere may start programs.
    `snapshot` is what `identify` read. `commit` is the study's name for a commit, whose files are in
    `checkout`; the identity has the files, not the name. `import_roots` are folders of the checkout in which
    Python looks for modules first.
    """

    trainer_name: ClassVar[str] = "program"
    unhashed_fields: ClassVar[tuple[str, ...]] = (
        "folder",
        "snapshot",
        "code_patterns",
        "data_patterns",
        "packages",
        "keep",
        "disk_limit",
        "time_limit",
        "commit",
        "import_roots",
        "file_modes",
        "study_folder",
        "checkout",
    )
    same_draw_fields: ClassVar[tuple[str, ...]] = (
        "metrics_source",
        "rows_key",
        "patterns",
        "reduction",
        "threads",
    )

    run: str = ""
    function: str = ""
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    metrics_source: str = ""  # files that have its metrics, or "mlflow"; "" for standard output
    rows_key: str = ""  # key of the list of rows in a .json file
    patterns: Mapping[str, str] = field(default_factory=dict)  # metric → expression that finds it in a line
    reduction: Mapping[str, str] = field(default_factory=dict)  # metric → which value counts, if not the last
    threads: int = 1
    gpus: int = 1  # number of GPUs that a trial on device cuda gets
    folder: str = ""
    code_patterns: tuple[str, ...] = ()  # () for the files of `select_default_code`
    data_patterns: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()  # () for the packages that the code imports
    keep: tuple[str, ...] = ()  # patterns of files in the trial's folder that are kept
    disk_limit: int = 0  # limit of its folder in MiB; 0 sets no limit
    time_limit: float = 0.0  # limit of an attempt in seconds; 0 sets no limit
    commit: str = ""
    import_roots: tuple[str, ...] = ()
    file_modes: tuple[tuple[str, str], ...] = ()  # of links and executable files of a commit, see `Checkout`
    study_folder: str = ""  # folder of the study file, {study} in `run`
    checkout: Checkout | None = None
    snapshot: Snapshot = field(default=Snapshot(), compare=False, repr=False)

    def __post_init__(self) -> None:
        """Make tuples of lists and sort the settings, so that a trial read from JSON equals its original."""
        for name in ("code_patterns", "data_patterns", "packages", "keep", "import_roots"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "file_modes", tuple((name, mode) for name, mode in self.file_modes))
        object.__setattr__(self, "settings", dict(sorted(self.settings.items())))

    def to_dict(self) -> dict[str, Any]:
        """Return every field by its name, but for folders, which may name the user, and what they hold."""
        left_out = "folder", "snapshot", "study_folder", "checkout"
        return {name: value for name, value in super().to_dict().items() if name not in left_out}

    @property
    def configured_class(self) -> str:
        """Whether the commit is a setting, as "commit" or "". All arms of a study run one program."""
        return "commit" if self.commit else ""

    def flat_settings(self) -> dict[str, Scalar]:
        """Return every setting by its name, the commit first."""
        return {**({"commit": self.commit} if self.commit else {}), **self.settings}

    @property
    def declared_fields(self) -> dict[str, Any]:
        """The fields that a study declares and, if the commit is a setting, the hash of its code."""
        return {**super().declared_fields, **({"source": self.source} if self.commit else {})}

    @property
    def gpu_count(self) -> int:
        """How many GPUs it gets, by its study."""
        return 0 if self.device == "cpu" else self.gpus

    @property
    def usual_time_limit(self) -> float:
        """`time_limit` of its study; no limit if that is 0."""
        return self.time_limit or math.inf

    @property
    def comparable_content(self) -> dict[str, Any]:
        """The program's name, its settings and its data. Other words of its command line are left out."""
        code = {"source": self.source} if self.commit else {}
        return {"program": self.title, "settings": dict(self.settings), "data": self.data, **code}

    @property
    def command_template(self) -> str:
        """The template of its command line; "" for a function."""
        return self.run

    @property
    def title(self) -> str:
        """The function, or the first word of the command line that names a file with a dot, or a module."""
        words = self.run.split()
        return self.function or next((word for word in words if "." in word.rpartition("/")[2]), *words[:1])

    def decide_status(self, result: Result, metrics: Sequence[str]) -> Result:
        """Return the result with the status that these judged metrics give it.

        It has diverged if one of them is not finite, or beyond LARGEST_FINITE, even if the program failed. It
        has failed if one of them is missing or is text.
        """
        for name in metrics:
            if name in result.metrics and not abs(value := result.metrics[name]) <= LARGEST_FINITE:
                reason = f"diverged: {name} is {value}"
                return replace(result, status="diverged", reason=reason, cause="")
            if not_number := result.provenance.get("not_numbers", {}).get(name):
                return replace(result, status="failed", reason=not_number, cause="")
        missing_metric = next((name for name in metrics if name not in result.metrics), None)
        if missing_metric is None or not result.is_done:
            return result
        reason = self._explain_missing_metric(missing_metric, result)
        return replace(result, status="failed", reason=reason)

    def _explain_missing_metric(self, metric: str, result: Result) -> str:
        """Return why a program that ended well has no value of a metric, and what it printed instead."""
        if metric in self.patterns:
            lines = result.provenance.get("unmatched", {}).get(metric, ())
            hint = f"; the most similar: {'; '.join(map(repr, lines))}" if lines else ""
            return f"its pattern of {metric} matches no line{hint}"
        if names := [name for name in result.metrics if find_kind(name) == "quality"]:
            return f"it reports no {metric}; {suggestion(metric, names)}"
        reason = f"it reports no {metric}; it reported no number"
        if self.metrics_source or self.function:
            return reason
        reason += f', such as {{"{metric}": 0.5}} on a line of its own (`patterns` read text)'
        line = find_similar_line(result.output, metric)
        return f"{reason}; it printed {line[:REASON_LENGTH]}" if line else reason

    def identify(self) -> Self:
        """Return the trial with the hashes of its files and the versions. Raises BadInput."""
        identity = self._compute_identity()
        return replace(
            self,
            source=identity.code_hash,
            data=identity.data_hash,
            versions=identity.versions,
            import_roots=identity.import_roots,
            file_modes=self.checkout.file_modes if self.checkout else (),
            snapshot=identity.snapshot,
        )

    def read_planned_file_states(self) -> Mapping[Path, FileState]:
        """See Trial.read_planned_file_states. The BadInput names files of code and data that were edited."""
        self.snapshot.remember()
        current = self.identify()
        cure = "run the study again"
        for key, before, after in (
            ("code", self.snapshot.code, current.snapshot.code),
            ("data", self.snapshot.data, current.snapshot.data),
        ):
            names = _list_edited(before, after)
            if names and before:
                rule = f"its {key} was edited after the study was planned: {shorten_names(names)}"
                cure += f"; a file that trials write belongs in {{out}}, or `{key}` names the others"
                raise BadInput(rule, place=self.title, cure=cure)
        identities = [(trial.source, trial.data, trial.versions) for trial in (self, current)]
        rule = f"{' and '.join(describe_changes(self, current))} after the study was planned"
        require(identities[0] == identities[1], rule, place=self.title, cure=cure)
        return current.snapshot.states

    def _compute_identity(self) -> Identity:
        """Identify it by its files and versions. Raises BadInput."""
        require(
            self.folder,
            "no study that is given says where it runs",
            place=self.title,
            cure="give the study's file as it was when this was trained",
        )
        return identify_program(
            self.layout,
            self.run,
            self.settings,
            code=self.code_patterns,
            data=self.data_patterns,
            packages=self.packages,
            readers=list_readers(self.metrics_source, has_patterns=bool(self.patterns)),
        )

    @property
    def _root(self) -> Path:
        return make_absolute_folder(self.folder)

    @property
    def layout(self) -> Layout:
        """Where its files are."""
        study = make_absolute_folder(self.study_folder) if self.study_folder else self._root
        return Layout(self._root, study, self.checkout, self.import_roots)

    def rename_commit(self, name: str) -> Self:
        """Return the trial with another name for its commit, as a branch may have had another name."""
        return replace(self, commit=name)

    def list_hashed_files(self) -> dict[str, Path]:
        """Return its code and data by name: relative to its folder, absolute, or `module:file` of a package.

        Raises BadInput if a file is missing.
        """
        snapshot = self._compute_identity().snapshot
        return {name: facts.path for name, facts in (*snapshot.code.items(), *snapshot.data.items())}

    def read_files_to_send(self) -> dict[str, bytes]:
        """Return its code and data that lie in its folder, by their paths on the other machine.

        Raises BadInput if they are too large, and for a name that leads out of the folder.
        """
        files = self.list_hashed_files()
        for name in files:
            if name.startswith(f"..{os.sep}"):
                cure = "give all one folder: `folder` of [program]"
                raise BadInput(f"{name} lies outside of its folder", place=self.title, cure=cure)
        paths_inside = {
            name.replace(STUDY_PREFIX, STUDY_FILES, 1): path
            for name, path in files.items()
            if path.is_relative_to(self._root) or name.startswith(f"{STUDY_PREFIX}/")
        }
        size = sum(path.stat().st_size for path in paths_inside.values())
        require(
            size <= MOST_SENT_BYTES,
            f"has {size / 1e6:.0f} MB of files, more than are sent to workers",
            place=self.title,
            cure="keep large data at one absolute path on every machine",
        )
        return {f"{self._sent_folder}/{name}": path.read_bytes() for name, path in paths_inside.items()}

    def describe_identity(self) -> str:
        """Return a line on what enters its identity beside its settings. Raises BadInput for missing files.

        An example: "train.py, model.py; data: words.txt; python 3.11.2, numpy 2.3.0".
        """
        identity = self._compute_identity()
        snapshot = identity.snapshot
        # the program itself comes first, before other files beside it
        names = sorted(snapshot.code, key=lambda name: name not in snapshot.command.files)
        parts = [shorten_names(names)]
        if snapshot.data:
            parts.append(f"data: {shorten_names(snapshot.data)}")
        assumption = self.describe_assumption()
        parts.append(f"{identity.versions} ({assumption})" if assumption else identity.versions)
        folders = [
            name
            for name in snapshot.command.folders
            if not any(facts.path.is_relative_to(self._root / name) for facts in snapshot.facts)
        ]
        if folders:
            parts.append(f"not the files in {', '.join(folders)}: `data` in [program] names them")
        return "; ".join(parts)

    def describe_assumption(self) -> str:
        """Return a clause if its packages are assumed, because no word of `run` names a Python; else ""."""
        if not self._compute_identity().snapshot.command.is_assumed:
            return ""
        return f"of the Python that runs Unrolled: {self.run.split()[0]} may start another"

    @property
    def newest_code(self) -> str:
        """The file of its code that was written last."""
        code = self._compute_identity().snapshot.code
        return max(code, key=lambda name: code[name].path.stat().st_mtime_ns)

    @property
    def outside_paths(self) -> list[str]:
        """The paths that `read_files_to_send` leaves out: absolute ones, patterns, sources of packages."""
        patterns = [
            pattern for pattern in (*self.code_patterns, *self.data_patterns) if Path(pattern).is_absolute()
        ]
        words = [name for name in self._compute_identity().snapshot.command.files if Path(name).is_absolute()]
        sources = [
            str(path).removesuffix(name.partition("/")[2]).rstrip(os.sep)
            for name, path in self.list_hashed_files().items()
            if ":" in name and not name.startswith("unrolled:") and not path.is_relative_to(self._root)
        ]
        return list(dict.fromkeys((*patterns, *words, *sources)))

    def relocate_to(self, folder: Path) -> Self:
        """Return the same trial with its `read_files_to_send` below another folder."""
        root = folder / self._sent_folder
        study = root / STUDY_FILES
        trial = replace(self, folder=str(root), study_folder=str(study if study.is_dir() else root))
        if not self.commit:
            return trial
        paths = [path for path in root.rglob("*") if path.is_file() and not path.is_relative_to(study)]
        names = sorted(path.relative_to(root).as_posix() for path in paths)
        for name, mode in self.file_modes:
            if mode == "executable" and name in names:  # a forged result may name any file
                (root / name).chmod(0o755)
        return replace(trial, checkout=Checkout(root=root, tracked=tuple(names), file_modes=self.file_modes))

    @property
    def _sent_folder(self) -> str:
        return hashlib.sha256(canonical_json([self.source, self.data])).hexdigest()


def shorten_names(names: Collection[str]) -> str:
    """Return the first names of files: "a.py, b.py and 3 more files". Sources of a package are its name."""
    distinct = list(dict.fromkeys(name.partition(":")[0] for name in names))
    listing = ", ".join(distinct[:MOST_NAMED_FILES])
    more = len(distinct) - MOST_NAMED_FILES
    return f"{listing} and {plural(more, 'more file')}" if more > 0 else listing


def _list_edited(before: Mapping[str, FileFacts], after: Mapping[str, FileFacts]) -> list[str]:
    """Return the files whose content differs, or that only one of the two has."""
    old_hashes = {(name, facts.sha256) for name, facts in before.items()}
    new_hashes = {(name, facts.sha256) for name, facts in after.items()}
    return sorted({name for name, _ in old_hashes ^ new_hashes})
