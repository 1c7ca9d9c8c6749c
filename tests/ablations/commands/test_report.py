"""Drafts of files whose process was killed while it wrote them; what an index says of studies that change."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from many_trials import keep, planned, study

from unrolled.ablations.commands import report
from unrolled.ablations.commands.report import index, prepare_folder
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.study import chapter, stored_plans
from unrolled.ablations.study.plan import Plan
from unrolled.ablations.training import comparison
from unrolled.ablations.training.comparison import compare_plan, read
from unrolled.bench import identity
from unrolled.bench.chapter import trial
from unrolled.reports import answer
from unrolled.reports.statistics import sequential

KILLED = """
import os, signal, sys
from pathlib import Path
from unrolled.bench.files import save
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
save(Path(sys.argv[1]), b"half")
"""


def locked(folder: Path) -> None:
    with Ledger(folder).lock_study("study"):
        pass


@pytest.mark.parametrize(
    ("sweeps", "files"),
    [
        (prepare_folder, ("index.html", "study/index.html")),
        (locked, ("trials/ab/abcd.json", "plans/study.json", "checkpoints/abcd.cpu.pt")),
    ],
)
def test_the_next_report_or_run_removes_them_and_none_of_a_process_that_lives(
    sweeps, files: tuple[str, ...], tmp_path: Path
) -> None:
    living = set()
    for file in files:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
        (draft,) = path.parent.glob(".*")
        assert draft.name.startswith(f".{path.name}.") and not path.exists()
        living.add(path.with_name(f".{path.name}.{os.getppid()}.1.partial"))
    for draft in living:
        draft.write_bytes(b"half")
    sweeps(tmp_path)
    assert set(tmp_path.rglob(".*.partial")) == living


OF_WIDTH = study(seeds=5, arms=3)
ONE = next(iter(OF_WIDTH.values()))[0]
"""A trial of the baseline."""


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Two studies, of which `out` has an index."""
    keep(tmp_path, study(seeds=3, source="v2", arms=2), study="other")
    ledger = keep(tmp_path, OF_WIDTH)
    index(ledger, tmp_path / "out")
    return ledger


def read_index(folder: Path) -> str:
    return (folder / "index.html").read_text()


def train_again(ledger: Ledger) -> None:
    ledger.record(replace(ONE, metrics={**ONE.metrics, "valid_loss": 9.0}))


def change_plan(ledger: Ledger) -> None:
    keep(ledger.root, OF_WIDTH, question="How narrow?")


CHANGES = [
    train_again,
    change_plan,
    lambda ledger: ledger.path(ONE.trial.id).unlink(),
    lambda ledger: ledger.path(ONE.trial.id).write_bytes(b"damaged"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_an_index_says_nothing_of_older_results_or_of_another_plan(
    ledger: Ledger, tmp_path: Path, change: Callable[[Ledger], None]
) -> None:
    before = read_index(tmp_path / "out")
    change(ledger)
    for out in ("out", "fresh"):
        index(ledger, tmp_path / out)
    assert before != read_index(tmp_path / "out") == read_index(tmp_path / "fresh")


def test_an_index_compares_the_studies_alone_that_have_changed_or_all_by_other_code(
    ledger: Ledger, tmp_path: Path, monkeypatch
) -> None:
    compared, compare = list[str](), report.compare_plan
    before = read_index(tmp_path / "out")
    monkeypatch.setattr(report, "compare_plan", lambda p, r: compared.append(p.study) or compare(p, r))

    def compared_by_index() -> list[str]:
        compared.clear()
        index(ledger, tmp_path / "out")
        return list(compared)

    assert compared_by_index() == [] and read_index(tmp_path / "out") == before
    train_again(ledger)
    assert compared_by_index() == ["width"]
    table = Path(sequential.__file__).with_name("looks_10_15_20_30_40.npy")
    for file in (answer.__file__, comparison.__file__, chapter.__file__, trial.__file__, table):
        monkeypatch.setitem(identity._CONTENTS, Path(file), "of an edited file")
        assert compared_by_index() == ["other", "width"], file


def test_an_index_compares_no_study_again_whose_entry_was_kept_with_its_page(
    tmp_path: Path, monkeypatch
) -> None:
    results = study(seeds=12, arms=2)
    ledger = keep(tmp_path, results)
    plan = stored_plans.store(planned(results), ledger)
    index(ledger, tmp_path / "fresh")

    def keep_entry_of(plan: Plan) -> None:
        state = report.state_of(plan, ledger)
        report.keep_entry(plan, compare_plan(plan, read(plan, ledger)), state, tmp_path / "out")

    keep_entry_of(replace(plan, question="How narrow?"))  # another process has stored a newer one
    index(ledger, tmp_path / "out")
    assert read_index(tmp_path / "out") == read_index(tmp_path / "fresh")
    keep_entry_of(plan)
    monkeypatch.setattr(report, "compare_plan", None)
    index(ledger, tmp_path / "out")
    assert read_index(tmp_path / "out") == read_index(tmp_path / "fresh")


def test_results_for_a_page_have_the_curves_that_are_drawn_and_the_baselines_first_passage(
    tmp_path: Path,
) -> None:
    records = {"roles": {"digit": [1.0, 2, 3]}, "passage": [{"token": "one", "guess": "two", "p": 0.5}]}
    results = {
        arm: [replace(r, records=records) for r in of_arm[2:]]
        for arm, of_arm in study(seeds=12, arms=2).items()
    }
    baseline, _ = results
    results[baseline][0] = replace(results[baseline][0], status="failed")
    ledger = keep(tmp_path, results)
    as_made, stored = (
        read(plan, ledger) for plan in (planned(results), stored_plans.stored("width", ledger))
    )
    for found in (as_made, stored):
        (told,) = (result.trial for result in found.values() if "passage" in result.records)
        assert told == results[baseline][1].trial
    for id, result in as_made.items():
        whole = ledger.read(id)
        assert whole and result.records["roles"] == whole.records["roles"] and not result.trace
        drawn = {name: whole.curves[name] for name in ("train_loss", "valid_loss", "valid_accuracy")}
        assert result.curves == drawn


def test_an_index_goes_without_what_is_damaged_of_the_last_one(ledger: Ledger, tmp_path: Path) -> None:
    before = read_index(tmp_path / "out")
    for kept in (tmp_path / "out" / ".index").iterdir():
        kept.write_bytes(kept.read_bytes()[:-20].replace(b"Baseline", b"Forged"))
    index(ledger, tmp_path / "out")
    assert read_index(tmp_path / "out") == before
