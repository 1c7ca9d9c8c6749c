"""`unrolled studies`, and what `plan` and `run` say of studies and ledgers before anything is trained."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean

import pytest
from as_typed import write
from called import call
from stub_plans import kept, planned

from unrolled.ablations.cli import main
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.study import stored_plans
from unrolled.ablations.study.loading import load
from unrolled.ablations.study.study_file import shipped
from unrolled.bench.chapter.corpus import batches, corpus
from unrolled.bench.chapter.costs import check_length
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.errors import BadInput
from unrolled.bench.metric import Metric
from unrolled.bench.program.trial import ProgramTrial
from unrolled.bench.trial import Result


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(write(tmp_path))
    return tmp_path


def listed(capsys) -> dict[str, tuple[str, str]]:
    """The line of each study and the one below it, by the study's name."""
    assert main(["studies"]) == 0
    lines = capsys.readouterr().out.splitlines()
    below = {line.split(" ")[0]: (line, lines[i + 1].strip()) for i, line in enumerate(lines[:-1])}
    return {name: pair for name, pair in below.items() if name and pair[0] != lines[0]}


def test_every_study_of_the_package_and_of_the_folder_is_listed_with_its_question(
    folder: Path, capsys
) -> None:
    (folder / "other.toml").write_text("[tool]\nx = 1\n")
    write(folder, "mine", model="my-cell")
    write(folder, "no-text", corpus="nowhere.txt")
    (folder / "nowhere.txt").unlink()
    found = listed(capsys)
    for name in shipped():
        study = load(name)
        line, question = found[name]
        assert question == study.question and f"  {len(study.arms)} " in line and line.endswith("not run")
    assert found["small.toml"][1] == "Does a narrower network do worse?"
    refused = {"mine": "model 'my-cell': is not in the zoo", "no-text": "nowhere.txt: No such"}
    for name, why in refused.items():
        line, reason = found[f"{name}.toml"]
        assert line.endswith("cannot be run") and why in reason
    assert "other.toml" not in found


def test_a_study_that_was_run_says_how_far_it_is_and_plan_counts_its_results_and_takes_their_seconds(
    folder: Path, capsys
) -> None:
    assert f"a new ledger begins in {folder}/results\n" in call(folder, "run", "small.toml").stdout
    assert main(["studies", "small"]) == 0
    done = "done: " + capsys.readouterr().out.strip().partition("none failed; ")[2]
    assert "of 1 contrast decided" in done
    assert listed(capsys)["small.toml"][0].endswith(done)
    assert main(["plan", "small.toml", "--seeds", "0-9"]) == 0
    told = capsys.readouterr().out
    assert "of 20 trials at most, 10 are in results already\n" in told
    assert " seconds of training, under a minute on " in told
    ledger = Ledger(folder / "results")
    baseline = list(stored_plans.stored("small", ledger).arms[0].trials.values())
    measured = fmean(result.spent for result in ledger.results(baseline).values())
    assert told.splitlines()[4].split()[-2] == f"{measured:.1f}"
    assert main(["plan", "small.toml", "--set", "epochs=2"]) == 0
    assert "measured" not in capsys.readouterr().out, "trials with other settings"
    write(folder, seeds="seeds = 6")
    assert listed(capsys)["small.toml"][0].endswith(f"{done}, of other seeds or settings")
    write(folder, seeds="seeds = 5")
    (folder / "same.toml").write_text((folder / "small.toml").read_text().replace("seeds = 5", "seeds = 7"))
    assert main(["studies"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("small", "same"))]
    assert [line.rpartition("  ")[2] for line in lines] == ["not run", done], "two studies of one name"
    (folder / "same.toml").unlink()
    (folder / "small.toml").unlink()  # what was run is listed without its file
    assert listed(capsys)["small"][1] == "Does a narrower network do worse?"


@pytest.mark.parametrize(
    ("words", "near"),
    [
        ("studies togles", "'toggles'"),
        ("report smal", "'small.toml'"),
        ("run smal.toml", "'small.toml'"),
        ("show smal", "'small.toml'"),
        ("show modles", "'models'"),
        ("verify smal.zp", "'small.zip'"),
        ("run program.toml", "train.py"),
        ("compare lm6 lstm", "'lstm-gates' or 'lstm-chunk'"),
    ],
)
def test_what_is_misspelt_is_answered_with_what_is_near(folder: Path, capsys, words: str, near: str) -> None:
    Path("small.zip").touch()
    Path("train.py").touch()
    Path("program.toml").write_text(
        'name = "p"\nquestion = "?"\nmetrics = [{ name = "loss", delta = 1 }]\n'
        '[program]\nrun = "python trian.py {seed}"\n[baseline]\n'
    )
    assert main(words.split()) == 2
    said = capsys.readouterr().err
    assert f"did you mean {near}?" in said and said.count("\n") == 1


def test_a_short_run_and_a_study_that_was_stopped_are_not_done(tmp_path: Path, capsys) -> None:
    trained = Result(trial=ProgramTrial(seed=0, run="train"), status="done", metrics={"loss": 1.0})
    metrics = (Metric("loss", 0.1),)
    plan = planned({"base": [trained], "b": [trained]}, trainer="program", metrics=metrics)
    kept(tmp_path, plan, {"base": [trained]})
    assert main(["studies", "--results", str(tmp_path)]) == 0
    assert "1 seed trained, and under 5 nothing is decided" in capsys.readouterr().out
    kept(tmp_path, replace(plan, refusal="arm 'base', seed 0: it tells no loss"), {})
    for words in ([], ["s"]):
        assert main(["studies", *words, "--results", str(tmp_path)]) == 0
        told = capsys.readouterr().out
        assert "stopped by its first trials: arm 'base', seed 0: it tells no loss" in told
        assert "done: " not in told and "contrast decided" not in told


def test_a_command_in_another_folder_names_the_nearest_ledger(folder: Path, capsys) -> None:
    (folder / "results" / "plans").mkdir(parents=True)
    (folder / "below" / "it").mkdir(parents=True)
    os.chdir(folder / "below" / "it")
    assert main(["report"]) == 2
    hint = f"{Path.cwd()}/results: no study has been run yet; a ledger is in {folder}: cd there, or give "
    assert hint + f"--results {folder}/results\n" in capsys.readouterr().err


def test_a_study_with_the_name_of_a_shipped_one_says_so(folder: Path, capsys) -> None:
    write(folder, "toggles")
    assert main(["plan", "toggles.toml"]) == 0
    assert capsys.readouterr().err.startswith("toggles.toml: is called 'toggles' as a shipped study is")
    assert main(["plan", "stability"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("split", ["tail", "blocks"])
@pytest.mark.parametrize("shape", [{"window": 8, "batch": 4}, {"window": 5, "batch": 7, "stride": 2}])
def test_a_text_is_refused_by_its_length_where_its_batches_are(
    shape: dict[str, int], split: str, folder: Path
) -> None:
    text = corpus("text.txt")
    for length in range(1, 300):
        data = replace(text, ids=text.ids[:length], roles=text.roles[:length])
        (folder / f"{length}.txt").write_text("a " * length)
        trial = ChapterTrial(model="lm4", seed=0, corpus=f"{folder}/{length}.txt", split=split, **shape)
        told = refuses(partial(check_length, trial))
        if split == "tail" or not told:
            assert refuses(partial(batches, trial, data)) == told


def refuses(check: Callable[[], object]) -> bool:
    try:
        check()
    except BadInput:
        return True
    return False
