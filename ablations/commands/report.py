"""`unrolled report`: the data of each page, and rendering it."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from markupsafe import Markup

from ablations.ledger import MISREAD, Ledger, seal, unseal
from ablations.study import plan as plans
from ablations.study.chapter import SETTINGS
from ablations.study.plan import Plan
from bench.errors import BadInput
from bench.files import PARTIAL, save, sweep
from bench.identity import digest
from bench.trial import Result
from reports.chapter import CHAPTER
from reports.design import Design, MeasuredArm, Tuned, page_of
from reports.presentation import PLAIN

if TYPE_CHECKING:
    from ablations.mlflow.study_runs import ArmRun
    from reports.comparison import Comparison
    from reports.render import Entry

    Published = tuple[Path, tuple[str, ...], tuple[ArmRun, ...]]
    """What MLflow shows of a report: its folder, one sentence for each contrast, the arms' means."""


def report(studies: Sequence[str], results: Path, out: Path) -> int:
    """Render the reports of studies from the ledger, and the index."""
    ledger = Ledger(results)
    prepare_folder(out)
    chosen = plans.of_studies(studies, ledger)
    pages = [render(compare_plan(plan, read(plan, ledger)), out) for plan in chosen]
    index(ledger, out)
    print(f"report: {pages[0]}" if len(pages) == 1 else f"{len(pages)} reports: {out / 'index.html'}")
    return 0


def render(comparison: "Comparison", out: Path) -> Path:
    """Render a study's page. Returns its path."""
    from reports.render import render  # matplotlib and pandas: two seconds, and not before training

    return render(comparison, out)


def index(ledger: Ledger, out: Path) -> None:
    """Render the index over every study that was run."""
    from reports.render import render_index  # see render

    root = Path(__file__).parents[2]
    parts = ("bench/*.py", "reports/**/*.py", "reports/**/*.html")
    code = digest(sorted(file for part in parts for file in root.glob(part)))
    render_index([_entry(plan, code, ledger, out) for plan in plans.all_stored(ledger)], out)


def _entry(plan: Plan, code: str, ledger: Ledger, out: Path) -> "Entry":
    """What the index says of a study: as the last index did, unless plan, results or code have changed.

    The hash of the results is taken before they are read: nothing is kept as the answer of later ones.
    """
    from reports.render import Entry, describe

    kept = out / ".index" / f"{page_of(plan.study, out).parent.name}.json"
    state = hashlib.sha256(f"{code}{plan}{ledger.digest(plan.ids)}".encode()).hexdigest()
    with suppress(OSError, *MISREAD):
        body = unseal(kept.read_bytes())
        if body["state"] == state:
            return Entry(plan.study, float(body["largest"]), Markup(body["html"]))
    entry = describe(compare_plan(plan, ledger.results(plan.ids)))
    save(kept, seal({**entry._asdict(), "state": state}))
    return entry


def report_parts(page: Path, plan: Plan, comparison: "Comparison") -> "Published":
    """The parts of a report that are published in MLflow."""
    from ablations.commands.summaries import summarise_arms  # scipy
    from reports.answer import sentences

    return page.parent, sentences(comparison), summarise_arms(plan, comparison)


def compare_plan(plan: Plan, results: Mapping[str, Result]) -> "Comparison":
    """A plan's arms side by side; `results` by trial id. A page needs those of `read`."""
    from reports.comparison import compare  # scipy and pandas
    from reports.trials import tabulate

    design = design_of_plan(plan, results)
    return compare(tabulate(design), design)


def read(plan: Plan, ledger: Ledger) -> dict[str, Result]:
    """The stored results of a plan's trials, by id, with all that a page and MLflow show: all but traces."""
    return {id: replace(result, trace={}) for id in plan.ids if (result := ledger.read(id))}


def design_of_plan(plan: Plan, results: Mapping[str, Result]) -> Design:
    """The data of a plan's report: its results, arm by arm."""
    shared = [earlier.planned for earlier in plan.earlier if not set(earlier.trials).isdisjoint(plan.ids)]
    asked = ("study", "question", "about", "metrics", "seeds", "looks", "decide")
    copied = (*asked, "planned", "command", "seen")
    return Design(
        arms=tuple(_measured_arm(arm, results) for arm in plan.arms),
        tuned=tuple(_tuned(plan, results)),
        plan_hash=plan.hash,
        first=min(shared, default=None),
        titles=_TITLES.get(plan.trainer, {}),
        presentation=PRESENTATIONS[plan.trainer],
        apart=plan.apart or {},
        **{key: getattr(plan, key) for key in copied},
    )


PRESENTATIONS = {"chapter": CHAPTER, "program": PLAIN}
"""By trainer."""
_TITLES = {"chapter": {key: setting.title for key, setting in SETTINGS.items() if setting.title}}


def _measured_arm(arm: plans.PlannedArm, results: Mapping[str, Result]) -> MeasuredArm:
    same = ("name", "model", "title", "question", "note", "changes", "exploratory", "against", "seedless")
    facts = {key: getattr(arm, key) for key in same}
    return MeasuredArm(results=_results_of_arm(arm, results), **facts)


def _tuned(plan: Plan, results: Mapping[str, Result]) -> Iterator[Tuned]:
    """Each tuned arm's searches, and its winner if there is one."""
    winners = {arm.tunes: arm for arm in plan.tuned}
    for name, group in groupby(plan.searches, key=lambda search: search.tunes):
        searches, won = list(group), winners.get(name)
        yield Tuned(
            arm=name,
            setting=searches[0].setting,
            seeds=tuple(searches[0].trials),
            levels={search.level: _results_of_arm(search, results) for search in searches},
            best=won.level if won else None,
            own=_measured_arm(won, results) if won else None,
        )


def _results_of_arm(arm: plans.PlannedArm, results: Mapping[str, Result]) -> dict[int, Result]:
    return {seed: results[id] for seed, id in arm.trials.items() if id in results}


def prepare_folder(out: Path) -> None:
    """Make the reports' folder, without drafts of killed processes. Raises BadInput where it is read-only."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=out).close()
        sweep([*out.glob(f".*{PARTIAL}"), *out.glob(f"*/.*{PARTIAL}")])
    except OSError as error:
        raise BadInput(
            f"cannot be written ({error.strerror})", place=f"--out {out}", cure="choose another folder"
        ) from error
