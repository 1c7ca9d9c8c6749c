"""The checks of a bundle, which may come from anyone.

Nothing in it is run unless --trust says so, and nothing is written outside of a temporary folder.
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
from itertools import starmap, zip_longest
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.parse import unquote

from unrolled.ablations.commands.bundle import DESCRIPTION, NAMES, below
from unrolled.ablations.ledger import MISREAD, Ledger, explaining_misread
from unrolled.ablations.study import stored_plans
from unrolled.ablations.study.plan import Plan
from unrolled.ablations.study.plan_check import plan_faults
from unrolled.ablations.study.retraining import with_files
from unrolled.ablations.training.comparison import compare_plan, read, render
from unrolled.bench import plugins
from unrolled.bench.chapter.identity import package_hash
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.errors import BadInput, plural, visible
from unrolled.bench.program.trial import ProgramTrial
from unrolled.bench.trial import Result

MAX_BYTES, MAX_FILES = 2**31, 100_000  # of a bundle's files together
TAG = re.compile(rb"(<[^>]*>)")
FIGURE = re.compile(rb"<(circle|clipPath|g|line|path|rect|text|tspan|use)\b")
"""Elements of figures. Their coordinates may be rounded otherwise on another machine."""
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
TOLERANCE = 0.11  # pixels: figures have one decimal


class Bundle(NamedTuple):
    """An unpacked bundle, what is wrong with it, and the plug-ins that were loaded."""

    plan: Plan
    ledger: Ledger
    faults: list[str]
    plugins: tuple[str, ...]
    locate: Callable[[Result], Result]  # the result whose trial reads the bundle's files
    runs_foreign_code: bool  # where a trial is trained again, and that is not trusted


@contextmanager
def checked(path: Path, trust: bool) -> Iterator[Bundle]:
    """Check a bundle's hashes, plan and verdicts.

    Its plug-ins are loaded if they are trusted. Raises BadInput where it is no bundle, or a hostile one.
    """
    with TemporaryDirectory() as folder:
        root = Path(folder)
        _extract(path, root)
        faults = list(_file_faults(root))
        ledger = Ledger(root / "ledger", warn=faults.append)
        plan = _plan(ledger, path)
        with explaining_misread(
            path, "has a plan or a result that no run writes", "ask its author for another"
        ):
            results = read(plan, ledger)
            faults += [*plan_faults(plan), *_other_pages(plan, results, root)]
            faults += _other_source(results, root)
        print("".join(f"✗ {visible(fault.replace(folder, path.name))}\n" for fault in faults), end="")
        there = f"{len(results)} of {plural(len(plan.ids), 'result')}"
        print(f"{visible(plan.study)}: plan {plan.hash[:12]}, {there}, {plural(len(faults), 'fault')}")
        foreign = plan.of_program or any(root.glob("plugins/*.py"))
        if foreign and not trust:
            print("no trial was trained again, as that would run foreign code; --trust runs it (exit code 1)")
        program = _program(results, root) if trust else None
        texts = {path.parent.name: path for path in root.glob("text/*/*")}

        def locate(result: Result) -> Result:
            text = texts.get(result.trial.data)
            located = replace(result, trial=result.trial.reading(text)) if text else result
            return with_files(located, program)

        loaded = _load(root) if trust else ()
        yield Bundle(plan, ledger, faults, loaded, locate, foreign and not trust)


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


def _file_faults(root: Path) -> Iterator[str]:
    """Files that are not as the description says, or not in it."""
    try:
        graph = json.loads((root / DESCRIPTION).read_bytes())["@graph"]
        hashes = {unquote(entity["@id"]): entity["sha256"] for entity in graph if entity["@type"] == "File"}
    except (OSError, *MISREAD):
        yield f"{DESCRIPTION}: is missing, or describes no bundle"
        return
    there = {p.relative_to(root).as_posix(): p for p in below(root) if p.name != DESCRIPTION}
    yield from (f"{name}: is described and not there" for name in hashes if name not in there)
    for name, path in there.items():
        if hashlib.sha256(path.read_bytes()).hexdigest() != hashes.get(name):
            yield f"{name}: is not as it was described" if name in hashes else f"{name}: is not described"


def _plan(ledger: Ledger, bundle: Path) -> Plan:
    """The plan of a bundle, which may contradict itself. Raises BadInput where there is not one."""
    paths = list(ledger.root.glob("plans/*.json"))
    with suppress(BadInput):
        if len(paths) == 1 and (plan := stored_plans.read_unchecked(paths[0])):
            return plan
    raise BadInput("does not hold one plan that can be read", place=bundle, cure="get it again")


def _other_pages(plan: Plan, results: Mapping[str, Result], root: Path) -> Iterator[str]:
    """Pages and tables that are not what the results give."""
    again, pages = root / "again", root / "pages"
    render(compare_plan(plan, results), again)
    made, told = ({str(path.relative_to(top)): path for path in below(top)} for top in (again, pages))
    for name in sorted(made.keys() | told.keys()):
        if name not in made:
            yield f"pages/{name}: is no page of these results"
        elif name not in told or not _same_page(told[name].read_bytes(), made[name].read_bytes()):
            yield f"pages/{name}: is not what the results give"


def _same_page(told: bytes, made: bytes) -> bool:
    """Whether two pages differ at most in how a coordinate of a figure was rounded."""
    return told == made or all(starmap(_same_piece, zip_longest(TAG.split(told), TAG.split(made))))


def _same_piece(told: bytes | None, made: bytes | None) -> bool:
    if told == made:
        return True
    if not (told and made and FIGURE.match(told)):
        return False
    numbers = zip_longest(*(map(float, NUMBER.findall(piece)) for piece in (told, made)), fillvalue=inf)
    return NUMBER.sub(b"#", told) == NUMBER.sub(b"#", made) and all(
        abs(a - b) < TOLERANCE for a, b in numbers
    )


def _other_source(results: Mapping[str, Result], root: Path) -> Iterator[str]:
    """Source files that are not those that trained the results, by the hash that every trial has."""
    for source, trial in {result.trial.source: result.trial for result in results.values()}.items():
        if not isinstance(trial, ChapterTrial) or "-" in source:  # it has plug-ins
            continue
        try:
            found = package_hash(trial.model, trial.engine, root / "source" / "bench")
        except OSError as error:
            yield f"source/: lacks {Path(str(error.filename)).relative_to(root / 'source')}"
            return
        if found != trial.source:
            yield f"source/: is not what trained {trial.model} with engine {trial.engine}"


def _load(root: Path) -> tuple[str, ...]:
    """Load the plug-ins. Returns their files."""
    found = tuple(map(str, sorted((root / "plugins").glob("*.py"))))
    for file in found:
        plugins.load(file)
    return found


def _program(results: Mapping[str, Result], root: Path) -> ProgramTrial | None:
    """The program that was studied, with its files, if there is one."""
    programs = (result.trial for result in results.values() if isinstance(result.trial, ProgramTrial))
    first = next(programs, None)
    return first and first.reading(root / "program")
