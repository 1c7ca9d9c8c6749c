"""`unrolled report`: the pages of studies, and the index over them."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from markupsafe import Markup

from unrolled.ablations.ledger import MISREAD, Ledger, seal, unseal
from unrolled.ablations.study import stored_plans
from unrolled.ablations.study.plan import Plan
from unrolled.ablations.training.comparison import compare_plan, read, render
from unrolled.bench.errors import BadInput
from unrolled.bench.files import PARTIAL, make_output_folder, save, sweep
from unrolled.bench.identity import digest
from unrolled.bench.trial import canonical
from unrolled.reports.design import page_of

if TYPE_CHECKING:
    from unrolled.ablations.mlflow.study_runs import ArmRun
    from unrolled.reports.comparison import Comparison
    from unrolled.reports.render import Entry

    Published = tuple[Path, tuple[str, ...], tuple[ArmRun, ...]]
    """What MLflow shows of a report: its folder, one sentence for each contrast, the arms' means."""


def report(studies: Sequence[str], results: Path, out: Path) -> int:
    """Render the reports of studies from the ledger, and the index."""
    ledger = Ledger(results)
    prepare_folder(out)
    chosen = stored_plans.of_studies(studies, ledger)
    pages = [render(compare_plan(plan, read(plan, ledger)), out) for plan in chosen]
    index(ledger, out)
    print(f"report: {pages[0]}" if len(pages) == 1 else f"{len(pages)} reports: {out / 'index.html'}")
    return 0


def index(ledger: Ledger, out: Path) -> None:
    """Render the index over every study that was run."""
    from unrolled.reports.render import render_index  # see comparison.render

    render_index([_entry(plan, ledger, out) for plan in stored_plans.all_stored(ledger)], out)


def _entry(plan: Plan, ledger: Ledger, out: Path) -> "Entry":
    """What the index says of a study: as it was kept, unless plan, results or code have changed."""
    from unrolled.reports.render import Entry

    state = state_of(plan, ledger)
    with suppress(OSError, *MISREAD):
        kept = unseal(_place(plan, out).read_bytes())
        if kept["state"] == state:
            return Entry(plan.study, float(kept["largest"]), Markup(kept["html"]))
    return keep_entry(plan, compare_plan(plan, ledger.results(plan.ids)), state, out)


def state_of(plan: Plan, ledger: Ledger) -> str:
    """A hash of what an entry of the index follows from: a plan, its results and our code.

    To be taken before the results are read: an entry is then never kept as the one of later results.
    """
    root = Path(__file__).parents[2]
    code = digest(sorted(file for part in _CODE for file in root.glob(part)))
    results = ledger.digest(plan.ids)
    return hashlib.sha256(canonical([code, asdict(plan), results])).hexdigest()


_CODE = (
    "ablations/study/*.py",  # titles of settings
    "ablations/training/comparison.py",
    "bench/**/*.py",
    "reports/**/*.py",
    "reports/**/*.html",
    "reports/**/*.npy",  # p values at looks
)


def keep_entry(plan: Plan, comparison: "Comparison", state: str, out: Path) -> "Entry":
    """Describe a study for the index, and keep that for the next ones."""
    from unrolled.reports.render import describe

    entry = describe(comparison)
    save(_place(plan, out), seal({**entry._asdict(), "state": state, "plan": plan.hash}))
    return entry


def is_page_of_other_plan(plan: Plan, out: Path) -> bool:
    """Whether the page of a plan's study is there and is of other seeds or settings."""
    with suppress(OSError, *MISREAD):
        kept = unseal(_place(plan, out).read_bytes())
        return page_of(plan.study, out).exists() and kept["plan"] != plan.hash
    return False


def _place(plan: Plan, out: Path) -> Path:
    return out / ".index" / f"{page_of(plan.study, out).parent.name}.json"


def report_parts(page: Path, plan: Plan, comparison: "Comparison") -> "Published":
    """The parts of a report that are published in MLflow."""
    from unrolled.ablations.commands.summaries import summarise_arms  # scipy
    from unrolled.reports.claims import sentences

    return page.parent, sentences(comparison), summarise_arms(plan, comparison)


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
    make_output_folder(out)
