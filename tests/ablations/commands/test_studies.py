"""`unrolled studies`, and what `plan` and `run` say of studies and ledgers before anything is trained."""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean

import pytest

from tests.helpers import many_trials
from tests.helpers.command_call import run_command
from tests.helpers.command_process import write_study
from tests.helpers.many_trials import store_results
from tests.helpers.stub_results import build_plan, store_plan_and_results
from unrolled.ablations.cli import main
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans import plan_store
from unrolled.ablations.study.loading import load_study
from unrolled.ablations.study.study_reader import list_shipped_studies
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.corpus import make_batches, tokenize_corpus
from unrolled.bench.chapter.time_estimates import check_length
from unrolled.bench.errors import BadInput
from unrolled.bench.metric import Metric
from unrolled.bench.program.program_trial import ProgramTrial
from unrolled.bench.trial import Result
from unrolled.reports.page.summary import find_page, read_summary


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """Return the folder of a study's file, in which this process works."""
    monkeypatch.chdir(write_study(tmp_path))
    return tmp_path


def list_studies(capsys, *words: str) -> dict[str, str]:
    """Return the line of each study, by its name."""
    assert main(["studies", *words]) == 0
    lines = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    return {line.partition(" ")[0]: line for line in lines[1:]}


def test_every_study_of_the_package_is_listed_with_its_question(folder: Path, capsys) -> None:
    lines = list_studies(capsys)
    assert [*lines] == [*list_shipped_studies()]
    assert all(line.endswith(f"  {load_study(name).rules.question}") for name, line in lines.items())


@pytest.mark.usefixtures("skip_mlflow")
def test_a_finished_study_is_listed_with_its_answer(folder: Path, capsys) -> None:
    assert f"a new ledger begins in {folder}/results\n" in run_command(folder, "run", "small.toml").stdout
    summary = read_summary(find_page("small", folder / "out"))
    assert summary is not None and (summary.done_count, summary.failed_count, summary.contrast_count) == (
        10,
        0,
        1,
    )
    cells = ("10", "0", f"{summary.decided_count} of 1", summary.last_result, summary.answer[0])
    assert re.split("  +", list_studies(capsys)["small"]) == ["small", *cells]
    assert main(["plan", "small.toml", "--seeds", "0-9"]) == 0
    output = capsys.readouterr().out
    assert "of 20 trials at most, 10 are in results already\n" in output
    assert " seconds of training, under a minute on " in output
    ledger = Ledger(folder / "results")
    baseline = list(plan_store.load_plan("small", ledger).arms[0].trial_ids.values())
    seconds = fmean(result.total_seconds for result in ledger.read_results(baseline).values())
    assert output.splitlines()[4].split()[-2] == f"{seconds:.1f}"
    assert main(["plan", "small.toml", "--set", "epochs=2"]) == 0
    assert "measured" not in capsys.readouterr().out, "trials with other settings"


def test_a_study_without_a_page_is_listed_with_its_question(tmp_path: Path, capsys) -> None:
    store_results(tmp_path, many_trials.make_arms(seeds=3, arms=2))
    flags = ("--results", str(tmp_path), "--out", str(tmp_path / "out"))
    line = list_studies(capsys, *flags)["width"]
    assert re.split("  +", line)[:2] == ["width", "6"] and line.endswith("How wide?")
    assert main(["report", *flags]) == 0
    capsys.readouterr()
    page = find_page("width", tmp_path / "out")
    assert list_studies(capsys, *flags)["width"].endswith(read_summary(page).answer[0])
    page.with_name("summary.json").write_bytes(b"half")
    assert list_studies(capsys, *flags)["width"].endswith("How wide?")
    assert main(["report", *flags]) == 0
    store_results(tmp_path, many_trials.make_arms(seeds=3, arms=2), study_hash="beef" * 16)
    capsys.readouterr()
    assert list_studies(capsys, *flags)["width"].endswith("How wide?"), "the page is of another plan"


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        ("report smal", "'small.toml'"),
        ("run smal.toml", "'small.toml'"),
        ("show modles", "'models'"),
        ("verify smal.zp", "'small.zip'"),
        ("run program.toml", "train.py"),
        ("compare lm6 lstm", "'lstm-gates' or 'lstm-chunk'"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_nearest(
    folder: Path, capsys, words: str, suggestion: str
) -> None:
    Path("small.zip").touch()
    Path("train.py").touch()
    Path("program.toml").write_text(
        'name = "p"\nquestion = "?"\nmetrics = [{ name = "loss", delta = 1 }]\n'
        '[program]\nrun = "python trian.py {seed}"\n[baseline]\n'
    )
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert f"did you mean {suggestion}?" in error and error.count("\n") == 1


def test_a_study_that_was_stopped_has_the_reason(tmp_path: Path, capsys) -> None:
    result = Result(trial=ProgramTrial(seed=0, run="train"), status="done", metrics={"loss": 1.0})
    plan = build_plan(
        {"base": [result], "b": [result]}, trainer_name="program", metrics=(Metric("loss", 0.1),)
    )
    store_plan_and_results(tmp_path, replace(plan, stop_reason="arm 'base', seed 0: it reports no loss"), {})
    line = list_studies(capsys, "--results", str(tmp_path))["s"]
    assert line.endswith("  stopped by its first trials: arm 'base', seed 0: it reports no loss")


def test_a_command_in_another_folder_names_the_nearest_ledger(folder: Path, capsys) -> None:
    (folder / "results" / "plans").mkdir(parents=True)
    (folder / "below" / "it").mkdir(parents=True)
    os.chdir(folder / "below" / "it")
    assert main(["report"]) == 2
    hint = f"{Path.cwd()}/results: no study has been run yet; a ledger is in {folder}: cd there, or give "
    assert hint + f"--results {folder}/results\n" in capsys.readouterr().err


@pytest.mark.parametrize("split", ["tail", "blocks"])
@pytest.mark.parametrize("shape", [{"window": 8, "batch": 4}, {"window": 5, "batch": 7, "stride": 2}])
def test_a_text_is_refused_by_its_length_where_its_batches_are(
    shape: dict[str, int], split: str, folder: Path
) -> None:
    text = tokenize_corpus("text.txt")
    for length in range(1, 300):
        data = replace(text, ids=text.ids[:length], roles=text.roles[:length])
        (folder / f"{length}.txt").write_text("a " * length)
        trial = ChapterTrial(model="lm4", seed=0, corpus=f"{folder}/{length}.txt", split=split, **shape)
        is_short = is_refused(partial(check_length, trial))
        assert is_refused(partial(make_batches, trial, data)) == is_short
        assert is_short or all(map(len, make_batches(trial, data)))


def is_refused(check: Callable[[], object]) -> bool:
    """Return whether a check raises BadInput."""
    try:
        check()
    except BadInput:
        return True
    return False
