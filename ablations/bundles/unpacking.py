"""Unpacking a bundle, which may come from anyone.

Nothing is written outside of a temporary folder, and nothing at all before the names and sizes of all files
are known to be harmless.
"""

import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from unrolled.ablations.bundles.bundle_file import NAMES, list_files
from unrolled.ablations.ledger import Ledger, explain_misread
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.publishing.plan_page import read_page_results
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.errors import BadInput, require
from unrolled.bench.files.regular_files import explain_unread_file
from unrolled.bench.program.program_trial import ProgramTrial
from unrolled.bench.trial import Result, ResultInStudy, Trial

MOST_BYTES = 2**31  # most bytes of a bundle's files together
MOST_FILES = 100_000


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """An unpacked bundle. With `is_trusted` its plug-ins and its program may run."""

    path: Path  # its .zip
    root: Path  # the folder with its files
    plan: Plan
    ledger: Ledger
    results: Mapping[str, ResultInStudy]  # results by identity
    is_trusted: bool
    unreadable_results: tuple[str, ...]  # a sentence on each file of the ledger that cannot be read

    @property
    def plugins(self) -> tuple[str, ...]:
        """The paths of its plug-ins."""
        return tuple(map(str, sorted(self.root.glob("plugins/*.py"))))

    @property
    def may_be_trained(self) -> bool:
        """True if training a trial again runs no code that is not trusted."""
        return self.is_trusted or not (self.plan.trainer.runs_user_code or self.plugins)

    def find_text_file(self, trial: Trial) -> Path | None:
        """Return the file of the bundle that has a trial's text, if there is one."""
        path = Path(trial.corpus) if isinstance(trial, ChapterTrial) else None
        return path if path in list_files(self.root / "files") else None

    def relocate_result(self, result: Result) -> Result:
        """Return the result with a trial that reads its files from the bundle, as far as the bundle has them.

        A program's files would be run, and are read only from a trusted bundle.
        """
        trial = result.trial.relocate_to(self.root / "files")
        if isinstance(trial, ProgramTrial):
            return replace(result, trial=replace(trial, keep=())) if self.is_trusted else result
        return replace(result, trial=trial) if self.find_text_file(trial) else result


@contextmanager
def unpack_bundle(path: Path, *, is_trusted: bool) -> Iterator[Bundle]:
    """Yield the bundle of a .zip, in a folder that is removed at the end of the block.

    Raises BadInput if it is no bundle, or a hostile one.
    """
    with TemporaryDirectory() as folder:
        root = Path(folder)
        _extract_files(path, root)
        unreadable_results: list[str] = []
        ledger = Ledger(root / "ledger", warn=unreadable_results.append)
        plan = _read_plan(ledger, path)
        with explain_forged_results(path):
            results = read_page_results(plan, ledger)
        yield Bundle(
            path=path,
            root=root,
            plan=plan,
            ledger=ledger,
            results=results,
            is_trusted=is_trusted,
            unreadable_results=tuple(unreadable_results),
        )


def explain_forged_results(path: Path) -> AbstractContextManager[None]:
    """Turn an error of reading a bundle's results inside the block into a BadInput that names its .zip."""
    return explain_misread(path, "has a result that no run writes", "ask its author for another")


def _extract_files(path: Path, root: Path) -> None:
    """Write the files of a bundle below `root`, none before all names and sizes are known to be harmless."""
    try:
        with zipfile.ZipFile(path) as archive:
            if reason := _find_hazard(archive.infolist()):
                raise BadInput(reason, place=path, cure="nothing was unpacked; ask its author for another")
            archive.extractall(root)
    except (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError, RuntimeError, EOFError) as error:
        if isinstance(error, PermissionError | FileNotFoundError | IsADirectoryError):
            raise explain_unread_file(error, path, "give the path of a bundle") from error
        cause = getattr(error, "strerror", None) or error
        raise BadInput(
            f"is no bundle, or a damaged one ({cause})", place=path, cure="get it again"
        ) from error


def _find_hazard(files: list[zipfile.ZipInfo]) -> str:
    """Return why an archive must not be unpacked; "" if it may."""
    if len(files) > MOST_FILES or sum(info.file_size for info in files) > MOST_BYTES:
        return f"would be more than {MOST_BYTES >> 20:,} MiB or {MOST_FILES:,} files"
    names = [info.filename for info in files]
    for info in files:
        if not NAMES.fullmatch(info.filename) or stat.S_ISLNK(info.external_attr >> 16):
            return f"has a file that no bundle has, {info.filename!r:.80}"
    return "has a name twice" if len(set(names)) < len(names) else ""


def _read_plan(ledger: Ledger, bundle: Path) -> Plan:
    """Return the plan of a bundle. Raises BadInput unless there is one, and it can be read."""
    plans, unreadable = plan_store.read_plans(ledger)
    rule = "; ".join(line.replace(str(ledger.root.parent), bundle.name) for line in unreadable)
    is_single = len(plans) == 1 and not unreadable
    require(is_single, rule or "does not hold one plan", place=bundle, cure="ask its author for another")
    return plans[0]
