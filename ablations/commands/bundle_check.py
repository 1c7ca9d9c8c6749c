"""The checks of a bundle, which may come from anyone.

Nothing in it is run unless --trust says so, and nothing is written outside of a temporary folder but the page
that is made of its results.
"""

import hashlib
import json
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from unrolled.ablations.commands.bundle import DESCRIPTION, NAMES, below, crate_facts, programs_of
from unrolled.ablations.ledger import MISREAD, Ledger, explaining_misread
from unrolled.ablations.study import stored_plans
from unrolled.ablations.study.plan import Plan
from unrolled.ablations.study.plan_check import plan_faults
from unrolled.ablations.training.comparison import compare_plan, read, render
from unrolled.bench import plugins
from unrolled.bench.chapter.identity import package_files, package_hash
from unrolled.bench.chapter.text import data_hash
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.errors import BadInput, plural, require, visible
from unrolled.bench.program.trial import ProgramTrial
from unrolled.bench.trial import Result

if TYPE_CHECKING:
    from unrolled.reports.comparison import Comparison

MAX_BYTES, MAX_FILES = 2**31, 100_000  # of a bundle's files together

Results = Mapping[str, Result]


class Bundle(NamedTuple):
    """An unpacked bundle, what is wrong with it, and the plug-ins that were loaded."""

    plan: Plan
    ledger: Ledger
    faults: list[str]
    plugins: tuple[str, ...]
    locate: Callable[[Result], Result]  # the result whose trial reads the bundle's files
    runs_foreign_code: bool  # where a trial is trained again, and that is not trusted


@contextmanager
def checked(path: Path, trust: bool, out: Path) -> Iterator[Bundle]:
    """Check a bundle's files and its plan, and print what is wrong and what was not checked.

    Where nothing is wrong, its verdicts are printed, and the page of its results is written below `out`. Its
    plug-ins are loaded if they are trusted. Raises BadInput where it is no bundle, or a hostile one.
    """
    with TemporaryDirectory() as folder:
        root = Path(folder)
        _extract(path, root)
        faults: list[str] = []
        ledger = Ledger(root / "ledger", warn=faults.append)
        plan = _plan(ledger, path)
        with explaining_misread(
            path, "has a plan or a result that no run writes", "ask its author for another"
        ):
            results = read(plan, ledger)
            faults += _faults(plan, results, root, trust)
            comparison = compare_plan(plan, results)
            page = None if faults else render(comparison, out)
        print("".join(f"✗ {visible(fault.replace(folder, path.name))}\n" for fault in faults), end="")
        count = f"{len(results)} of {plural(len(plan.ids), 'result')}"
        print(f"{visible(plan.study)}: plan {plan.hash[:12]}, {count}, {plural(len(faults), 'fault')}")
        print(f"not checked: {', '.join(_unchecked(results, root, trust))}")
        _print_verdicts(comparison, page)
        foreign = plan.of_program or any(root.glob("plugins/*.py"))
        if foreign and not trust:
            print("no trial was trained again, as that would run foreign code; --trust runs it (exit code 1)")
        loaded = _load(root) if trust else ()
        yield Bundle(plan, ledger, faults, loaded, _locator(root, plan, trust), foreign and not trust)


def _print_verdicts(comparison: "Comparison", page: Path | None) -> None:
    """Print the verdicts and where their page is; only that there is none, if the bundle has a fault."""
    if page is None:
        print("no page is written of a bundle that has a fault")
        return
    from unrolled.reports.render import answer_lines  # matplotlib and pandas: see comparison.render

    for line in answer_lines(comparison):
        print(f"  {visible(line)}")
    print(f"report: {visible(page)}")


def _locator(root: Path, plan: Plan, trust: bool) -> Callable[[Result], Result]:
    """A function from a result to the same one whose trial reads the files of the bundle.

    A program's are those that it runs, which has to be trusted.
    """
    texts = {text.parent.name: text for text in root.glob("text/*/*")}

    def locate(result: Result) -> Result:
        trial = result.trial
        if isinstance(trial, ProgramTrial):
            return replace(result, trial=replace(_unpacked(trial, root, plan), keep=())) if trust else result
        text = texts.get(trial.data)
        return replace(result, trial=trial.reading(text)) if text else result

    return locate


def _extract(path: Path, root: Path) -> None:
    """Write the files of a bundle below `root`, none before all names and sizes are known to be harmless."""
    try:
        with zipfile.ZipFile(path) as archive:
            if reason := _hostile(archive.infolist()):
                raise BadInput(reason, place=path, cure="nothing was unpacked; ask its author for another")
            archive.extractall(root)
    except (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError, RuntimeError, EOFError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadInput(f"is no bundle, or a damaged one ({why})", place=path, cure="get it again") from error


def _hostile(files: list[zipfile.ZipInfo]) -> str:
    """Why an archive is not to be unpacked, or nothing."""
    if len(files) > MAX_FILES or sum(info.file_size for info in files) > MAX_BYTES:
        return f"would be more than {MAX_BYTES >> 20:,} MiB or {MAX_FILES:,} files"
    names = [info.filename for info in files]
    for info in files:
        if not NAMES.fullmatch(info.filename) or stat.S_ISLNK(info.external_attr >> 16):
            return f"has a file that no bundle has, {info.filename!r:.80}"
    return "has a name twice" if len(set(names)) < len(names) else ""


def _plan(ledger: Ledger, bundle: Path) -> Plan:
    """The plan of a bundle, which may contradict itself. Raises BadInput where there is not one."""
    paths = list(ledger.root.glob("plans/*.json"))
    with suppress(BadInput):
        if len(paths) == 1 and (plan := stored_plans.read_unchecked(paths[0])):
            return plan
    raise BadInput("does not hold one plan that can be read", place=bundle, cure="get it again")


def _faults(plan: Plan, results: Results, root: Path, trust: bool) -> Iterator[str]:
    """Yield a sentence on everything that is wrong with a bundle."""
    yield from _file_faults(root)
    yield from _description_faults(root, plan)
    yield from plan_faults(plan)
    yield from _ledger_faults(Ledger(root / "ledger"), plan, results)
    yield from _text_faults(results, root)
    yield from _source_faults(results, root)
    program = _program(results)
    if program and (trust or not _reads_elsewhere(program)):
        yield from _program_faults(results, root, plan)


def _entities(root: Path) -> dict[str, dict[str, Any]]:
    """What the description describes, by name; nothing where it is missing or malformed."""
    with suppress(OSError, *MISREAD):
        graph = json.loads((root / DESCRIPTION).read_bytes())["@graph"]
        return {unquote(entity["@id"]): dict(entity) for entity in graph}
    return {}


def _file_faults(root: Path) -> Iterator[str]:
    """Files that are not as the description says, or not in it."""
    entities = _entities(root)
    if not entities:
        yield f"{DESCRIPTION}: is missing, or describes no bundle"
        return
    hashes = {name: entity.get("sha256") for name, entity in entities.items() if entity["@type"] == "File"}
    files = {path.relative_to(root).as_posix(): path for path in below(root)}
    files.pop(DESCRIPTION)
    yield from (f"{name}: is described and not there" for name in hashes if name not in files)
    for name, path in files.items():
        if hashlib.sha256(path.read_bytes()).hexdigest() != hashes.get(name):
            yield f"{name}: is not as it was described" if name in hashes else f"{name}: is not described"


def _description_faults(root: Path, plan: Plan) -> Iterator[str]:
    """What the description says of the study, where the plan says otherwise."""
    dataset = _entities(root).get("./", {})
    for key, value in crate_facts(plan).items():
        if dataset.get(key) != value:
            yield f"{DESCRIPTION}: its {key} is not the plan's"


def _ledger_faults(ledger: Ledger, plan: Plan, results: Results) -> Iterator[str]:
    """Files of the ledger that the plan does not lead to."""
    planned = {stored_plans.path_of(ledger, plan.study)}
    planned |= {path for id in results for path in ledger.paths(id)}
    for path in below(ledger.root):
        name = path.relative_to(ledger.root).as_posix()
        if path not in planned and not name.startswith("set-aside/"):
            yield f"ledger/{name}: belongs to no trial of the plan"


def _text_faults(results: Results, root: Path) -> Iterator[str]:
    """Texts on which nothing was trained, and texts that were changed."""
    hashes = {result.trial.data for result in results.values() if isinstance(result.trial, ChapterTrial)}
    for path in root.glob("text/*/*"):
        name = path.relative_to(root).as_posix()
        if path.parent.name not in hashes:
            yield f"{name}: nothing was trained on it"
        elif _text_hash(path) != path.parent.name:
            yield f"{name}: is not the text that was trained on"


def _text_hash(path: Path) -> str:
    """The hash by which trials know a text; "" for a file that is no text."""
    with suppress(BadInput):
        return data_hash(str(path))
    return ""


def _of_this_package(results: Results) -> list[ChapterTrial]:
    """A trial of each source without plug-ins, whose files are the package's alone."""
    trials = [result.trial for result in results.values() if isinstance(result.trial, ChapterTrial)]
    return list({trial.source: trial for trial in trials if "-" not in trial.source}.values())


def _source_faults(results: Results, root: Path) -> Iterator[str]:
    """Source files that are not those that trained the results, by the hash that every trial has."""
    for trial in _of_this_package(results):
        try:
            source = package_hash(trial.model, trial.engine, root / "source" / "bench")
        except OSError as error:
            yield f"source/: lacks {Path(str(error.filename)).relative_to(root / 'source')}"
            return
        except BadInput as error:
            yield f"source/: cannot be compared with what was trained: {error}"
            return
        if source != trial.source:
            yield f"source/: is not what trained {trial.model} with engine {trial.engine}"


def _program(results: Results) -> ProgramTrial | None:
    """A trial of the program that was studied, if there is one."""
    programs = (result.trial for result in results.values() if isinstance(result.trial, ProgramTrial))
    return next(programs, None)


def _unpacked(trial: ProgramTrial, root: Path, plan: Plan) -> ProgramTrial:
    """The trial with the files of the bundle. Raises BadInput for a commit without a tree."""
    if not trial.commit:
        return trial.reading(root / "program")
    trees = {arm.commit.name: arm.commit.tree for arm in plan.arms if arm.commit}
    tree = trees.get(trial.commit, "")
    rule, cure = "has no tree in the plan", "ask its author for another"
    require(re.fullmatch("[0-9a-f]{40,64}", tree), rule, place=f"commit {trial.commit!r}", cure=cure)
    return trial.reading(root / "commits" / tree)


def _reads_elsewhere(program: ProgramTrial) -> bool:
    """Whether a program names files outside of its folder, which are not read unless it is trusted."""
    patterns = [Path(pattern) for pattern in (*program.code, *program.data_files)]
    return any(pattern.is_absolute() or ".." in pattern.parts for pattern in patterns)


def _program_faults(results: Results, root: Path, plan: Plan) -> Iterator[str]:
    """Files that are not the program of which the results are, by the hashes that every trial has."""
    names: set[str] = set()
    for trial in programs_of(results):
        located = _unpacked(trial, root, plan)
        place = f"{Path(located.folder).relative_to(root).as_posix()}/"
        try:
            today = located.identify()
            names |= {place + name.partition("/")[2] for name in today.files()}
        except BadInput as error:
            yield f"{place}: cannot be compared with what was run: {error}"
            return
        if trial.source != today.source:
            yield f"{place}: its code is not what was run"
        if trial.data != today.data:
            yield f"{place}: its data are not those that were read"
    for path in (*below(root / "program"), *below(root / "commits")):
        name = path.relative_to(root).as_posix()
        if name not in names:
            yield f"{name}: is neither code nor data of the program"


def _unchecked(results: Results, root: Path, trust: bool) -> Iterator[str]:
    """What of a bundle was compared with nothing but the hashes in its description."""
    yield "environment.txt"
    files: set[str] = set()
    with suppress(BadInput):  # a model that is not known, which is a fault
        files = {n for trial in _of_this_package(results) for n in package_files(trial.model, trial.engine)}
    yield f"source/ but for {len(files)} files of bench/ that trained the results" if files else "source/"
    program = _program(results)
    if program and not trust and _reads_elsewhere(program):
        yield "program/, which reads files elsewhere"
    if any(root.glob("plugins/*")) and not trust:
        yield "plugins/"


def _load(root: Path) -> tuple[str, ...]:
    """Load the plug-ins. Returns their files."""
    files = tuple(map(str, sorted((root / "plugins").glob("*.py"))))
    for file in files:
        plugins.load(file)
    return files
