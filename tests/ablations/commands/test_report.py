"""Drafts of files whose process was killed while it wrote them; what an index says of the other studies."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.many_trials import build_plan, make_arms, store_results
from unrolled.ablations.commands.report import report
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans import plan_store
from unrolled.ablations.publishing.plan_page import prepare_folder, read_page_results
from unrolled.bench.chapter.chapter_mlflow import CHAPTER_MLFLOW
from unrolled.reports.page.summary import find_page, read_summary

KILLED = """
import os, signal, sys
from pathlib import Path
from unrolled.bench.files.atomic_files import save_file
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
save_file(Path(sys.argv[1]), b"half")
"""


def lock_ledger(folder: Path) -> None:
    """Lock a study of the ledger, as a run does."""
    with Ledger(folder).lock_study("study"):
        pass


@pytest.mark.parametrize(
    ("remove_drafts", "files"),
    [
        (prepare_folder, ("index.html", "study/index.html")),
        (lock_ledger, ("trials/ab/abcd.json", "plans/study.json", "checkpoints/abcd.cpu.pt")),
    ],
)
def test_the_next_report_or_run_removes_drafts_of_dead_processes_alone(
    remove_drafts, files: tuple[str, ...], tmp_path: Path
) -> None:
    drafts = set()
    for file in files:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
        (draft,) = path.parent.glob(".*")
        assert draft.name.startswith(f".{path.name}.") and not path.exists()
        drafts.add(path.with_name(f".{path.name}.{os.getppid()}.1.partial"))
    for draft in drafts:
        draft.write_bytes(b"half")
    remove_drafts(tmp_path)
    assert set(tmp_path.rglob(".*.partial")) == drafts


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Return a ledger of two studies with a page each."""
    store_results(tmp_path, make_arms(seeds=3, source="v2", arms=2), study="other")
    ledger = store_results(tmp_path, make_arms(seeds=5, arms=3))
    report([], tmp_path, tmp_path / "out")
    return ledger


def train_again(ledger: Ledger, study: str) -> None:
    """Change the result of a study's first trial."""
    result = ledger.read_result(plan_store.load_plan(study, ledger).ids[0])
    assert result is not None
    ledger.record_result(replace(result, metrics={**result.metrics, "valid_loss": 9.0}))


def read_index(folder: Path) -> str:
    """Return the text of the index."""
    return (folder / "out" / "index.html").read_text()


def test_an_index_has_each_answer_and_a_report_compares_only_named_studies(
    ledger: Ledger, tmp_path: Path
) -> None:
    index = read_index(tmp_path)
    train_again(ledger, "other")
    report(["width"], tmp_path, tmp_path / "out")
    assert read_index(tmp_path) == index
    report(["other"], tmp_path, tmp_path / "out")
    summary = read_summary(find_page("other", tmp_path / "out"))
    assert summary is not None and summary.answer[0] in read_index(tmp_path) != index
    report([], tmp_path, tmp_path / "fresh")
    assert (tmp_path / "fresh" / "index.html").read_text() == read_index(tmp_path)


def test_a_page_draws_a_curve_that_mlflow_does_not(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(CHAPTER_MLFLOW, "mlflow_curves", ("train_loss",))
    store_results(tmp_path, make_arms(seeds=5, arms=2))
    report([], tmp_path, tmp_path / "out")
    page = (tmp_path / "out/width/index.html").read_text()
    assert re.findall(r'multiples" data-metric="(\w+)"', page) == ["valid_loss"]


def test_results_for_a_page_keep_curves_and_one_passage_an_arm(
    tmp_path: Path,
) -> None:
    records = {"roles": {"digit": [1.0, 2, 3]}, "passage": [{"token": "one", "guess": "two", "p": 0.5}]}
    results = {
        arm: [replace(r, records=records) for r in of_arm[2:]]
        for arm, of_arm in make_arms(seeds=12, arms=2).items()
    }
    baseline, rival = results
    results[baseline][0] = replace(results[baseline][0], status="failed")
    ledger = store_results(tmp_path, results)
    plan_results, ledger_results = (
        read_page_results(plan, ledger)
        for plan in (build_plan(results), plan_store.load_plan("width", ledger))
    )
    for page_results in (plan_results, ledger_results):
        ids = {id for id, result in page_results.items() if "passage" in result.records}
        assert ids == {results[baseline][1].trial.id, results[rival][0].trial.id}
    for id, result in plan_results.items():
        ledger_result = ledger.read_result(id)
        assert ledger_result
        assert result.records["roles"] == ledger_result.records["roles"]
        assert not result.trace
        curves = {name: ledger_result.curves[name] for name in ("train_loss", "valid_loss", "valid_accuracy")}
        assert {name: tuple(map(tuple, curve)) for name, curve in result.curves.items()} == curves
