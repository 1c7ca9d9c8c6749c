"""The checks of a bundle, which may come from anyone.

No code of a bundle runs without --trust. Nothing is written outside of a temporary folder except the page of
its results.
"""

import hashlib
import json
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from unrolled.ablations.bundles.bundle_file import DESCRIPTION, NAMES, crate_facts, list_files
from unrolled.ablations.comparisons.plan_comparison import compare_plan
from unrolled.ablations.comparisons.plan_page import read_page_results, render_page
from unrolled.ablations.ledger import MALFORMED_DATA_ERRORS, Ledger, explaining_misread
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.plans.retraining import identify_today
from unrolled.ablations.runner.shipped_files import distinct_trials
from unrolled.ablations.study.loading import load_plugins
from unrolled.bench.chapter.identity import hash_package
from unrolled.bench.chapter.text import data_hash
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.errors import BadInput, require
from unrolled.bench.phrases import make_visible, plural
from unrolled.bench.program.trial import ProgramTrial
from unrolled.bench.trial import Result, Trial

if TYPE_CHECKING:
    from unrolled.reports.compare.comparison import Comparison

MAX_BYTES = 2**31  # most bytes of a bundle's files together
MAX_FILES = 100_000

Results = Mapping[str, Result]


class Bundle(NamedTuple):
    """An unpacked bundle, its faults, and the plug-ins that were loaded."""

    plan: Plan
    ledger: Ledger
    faults: list[str]
    plugins: tuple[str, ...]
    locate: Callable[[Result], Result]  # returns the result with a trial that reads the bundle's files
    runs_foreign_code: bool  # whether code that is not trusted would run if a trial is trained again


@contextmanager
def check_bundle(path: Path, trust: bool, out: Path) -> Iterator[Bundle]:
    """Check a bundle's files and its plan, and print the faults and what cannot be checked.

    If there are no faults, its verdicts are printed, and the page of its results is written below `out`. With
    `trust`, its plug-ins are loaded. Raises BadInput if it is no bundle, or a hostile one.
    """
    with TemporaryDirectory() as folder:
        root = Path(folder)
        _extract_files(path, root)
        faults: list[str] = []
        ledger = Ledger(root / "ledger", warn=faults.append)
        plan = _read_plan(ledger, path)
        page = None
        with explaining_misread(path, "has a result that no run writes", "ask its author for another"):
            results = read_page_results(plan, ledger)
            trials = distinct_trials(result.trial for result in results.values())
            faults += _find_faults(plan, ledger, results, trials, root, trust)
            if not faults:
                comparison = compare_plan(plan, results)
                page = render_page(comparison, out)
        print("".join(f"✗ {make_visible(fault.replace(folder, path.name))}\n" for fault in faults), end="")
        count = f"{len(results)} of {plural(len(plan.ids), 'result')}"
        faults_count = plural(len(faults), "fault")
        print(f"{make_visible(plan.study)}: plan {plan.study_hash[:12]}, {count}, {faults_count}")
        print(f"not checked: {', '.join(_list_unchecked_parts(trials, root, trust))}")
        if page:
            _print_verdicts(comparison, page)
        else:
            print("no page is written of a bundle that has a fault")
        has_foreign_code = plan.is_of_program or any(root.glob("plugins/*.py"))
        if has_foreign_code and not trust:
            print("no trial was trained again, as that would run foreign code; --trust runs it (exit code 1)")
        plugins = tuple(map(str, sorted(root.glob("plugins/*.py")))) if trust else ()
        load_plugins(plugins)
        yield Bundle(
            plan,
            ledger,
            faults,
            plugins,
            partial(_relocate_result, root / "files", trust),
            has_foreign_code and not trust,
        )


def _print_verdicts(comparison: "Comparison", page: Path) -> None:
    """Print the verdicts and where their page is."""
    from unrolled.reports.page.render import answer_lines  # imports matplotlib and pandas

    for line in answer_lines(comparison):
        print(f"  {make_visible(line)}")
    print(f"report: {make_visible(page)}")


def _relocate_result(files: Path, trust: bool, result: Result) -> Result:
    """Return the result with a trial that reads its files from the bundle, as far as the bundle has them.

    A program's files would be run, and are read only with `trust`.
    """
    trial = result.trial.relocate_to(files)
    if isinstance(trial, ProgramTrial):
        return replace(result, trial=replace(trial, keep=())) if trust else result
    return replace(result, trial=trial) if _find_text_file(trial, files) else result


def _find_text_file(trial: Trial, files: Path) -> Path | None:
    """Return the file of the bundle that has a trial's text, if there is one."""
    path = Path(trial.corpus) if isinstance(trial, ChapterTrial) else None
    return path if path in list_files(files) else None


def _extract_files(path: Path, root: Path) -> None:
    """Write the files of a bundle below `root`, none before all names and sizes are known to be harmless."""
    try:
        with zipfile.ZipFile(path) as archive:
            if reason := _find_hazard(archive.infolist()):
                raise BadInput(reason, place=path, cure="nothing was unpacked; ask its author for another")
            archive.extractall(root)
    except (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError, RuntimeError, EOFError) as error:
        cause = getattr(error, "strerror", None) or error
        raise BadInput(
            f"is no bundle, or a damaged one ({cause})", place=path, cure="get it again"
        ) from error


def _find_hazard(files: list[zipfile.ZipInfo]) -> str:
    """Return why an archive must not be unpacked; "" if it may."""
    if len(files) > MAX_FILES or sum(info.file_size for info in files) > MAX_BYTES:
        return f"would be more than {MAX_BYTES >> 20:,} MiB or {MAX_FILES:,} files"
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


def _find_faults(
    plan: Plan, ledger: Ledger, results: Results, trials: Sequence[Trial], root: Path, trust: bool
) -> Iterator[str]:
    """Yield the faults of a bundle, a sentence each."""
    yield from _find_file_faults(root)
    yield from _find_description_faults(root, plan)
    yield from _find_ledger_faults(ledger, plan, results)
    yield from _find_source_faults(trials, root)
    yield from _find_trial_file_faults(trials, root, trust)


def _read_entities(root: Path) -> dict[str, dict[str, Any]]:
    """Return the entities of the description by name; {} if it is missing or malformed."""
    with suppress(OSError, *MALFORMED_DATA_ERRORS):
        graph = json.loads((root / DESCRIPTION).read_bytes())["@graph"]
        return {unquote(entity["@id"]): dict(entity) for entity in graph}
    return {}


def _find_file_faults(root: Path) -> Iterator[str]:
    """Yield faults of files: missing, not described, or not as described."""
    entities = _read_entities(root)
    if not entities:
        yield f"{DESCRIPTION}: is missing, or describes no bundle"
        return
    hashes = {name: entity.get("sha256") for name, entity in entities.items() if entity["@type"] == "File"}
    files = {path.relative_to(root).as_posix(): path for path in list_files(root)}
    files.pop(DESCRIPTION)
    yield from (f"{name}: is described and not there" for name in hashes if name not in files)
    for name, path in files.items():
        if hashlib.sha256(path.read_bytes()).hexdigest() != hashes.get(name):
            yield f"{name}: is not as it was described" if name in hashes else f"{name}: is not described"


def _find_description_faults(root: Path, plan: Plan) -> Iterator[str]:
    """Yield fields of the description that contradict the plan."""
    dataset = _read_entities(root).get("./", {})
    for key, value in crate_facts(plan).items():
        if dataset.get(key) != value:
            yield f"{DESCRIPTION}: its {key} is not the plan's"


def _find_ledger_faults(ledger: Ledger, plan: Plan, results: Results) -> Iterator[str]:
    """Yield files of the ledger that belong to no trial of the plan."""
    planned_paths = {plan_store.plan_path(ledger, plan.study)}
    planned_paths |= {path for id in results for path in ledger.find_trial_files(id)}
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
            source = hash_package(trial.model, trial.engine, root / "source" / "bench")
        except OSError as error:
            yield f"source/: lacks {Path(str(error.filename)).relative_to(root / 'source')}"
            return
        except BadInput as error:
            yield f"source/: cannot be compared with what was trained: {error}"
            return
        if source != trial.source:
            yield f"source/: is not what trained {trial.model} with engine {trial.engine}"


def _find_trial_file_faults(trials: Iterable[Trial], root: Path, trust: bool) -> Iterator[str]:
    """Yield texts and programs whose hashes differ from the hashes in their trials, and files of no trial."""
    files = root / "files"
    unused_files = set(list_files(files))
    for trial in trials:
        local_trial = trial.relocate_to(files)
        if isinstance(local_trial, ProgramTrial):
            may_read = trust or not _reads_elsewhere(local_trial)
            trial_today, reason = identify_today(local_trial) if may_read else (local_trial, "")
            unused_files -= (
                _list_program_files(local_trial) if may_read else set(list_files(Path(local_trial.folder)))
            )
            if trial_today is None:
                yield f"{Path(local_trial.folder).relative_to(root)}/: {reason}"
        elif text := _find_text_file(local_trial, files):
            unused_files.discard(text)
            if _hash_text(text) != trial.data:
                yield f"{text.relative_to(root)}: is not the text that was trained on"
    yield from (f"{path.relative_to(root)}: belongs to no trial" for path in sorted(unused_files))


def _hash_text(path: Path) -> str:
    """Return the hash by which trials know a text; "" for a file that is no text."""
    with suppress(BadInput):
        return data_hash(str(path))
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


def _list_unchecked_parts(trials: Iterable[Trial], root: Path, trust: bool) -> Iterator[str]:
    """Yield the parts of a bundle that were compared only with the hashes in its description."""
    yield "environment.txt"
    other_sources = "source/ but for the files that trained the results"
    yield other_sources if _select_trials_without_plugins(trials) else "source/"
    programs = [trial for trial in trials if isinstance(trial, ProgramTrial)]
    if not trust and any(map(_reads_elsewhere, programs)):
        yield "files/ of a program that reads files elsewhere"
    if not trust and any(root.glob("plugins/*")):
        yield "plugins/"
