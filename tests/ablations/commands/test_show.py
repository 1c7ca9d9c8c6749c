"""`unrolled show`: a trial as text, and its model, the same to the last bit."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers.bad_input import raises_bad_input
from unrolled.ablations.api import learner
from unrolled.ablations.commands import show
from unrolled.ablations.ledger import Ledger
from unrolled.bench.chapter.chapter_run import run_trial
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.retrain import continue_text, retrain_model
from unrolled.bench.trial import Result, make_failed_result


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return a folder with a small text."""
    path = tmp_path_factory.mktemp("inside")
    (path / "text.txt").write_text("the cat sat on the mat and the dog sat on the log . " * 60)
    return path


@pytest.fixture(scope="module")
def make_trial(folder: Path) -> Callable[..., ChapterTrial]:
    """Return a function that makes a trial on the small text."""

    def make(**changes: object) -> ChapterTrial:
        settings = {"model": "lm4", "seed": 0, "corpus": str(folder / "text.txt"), "epochs": 2, "batch": 4}
        settings |= {"window": 8, "options": {"hidden": 8}}
        return ChapterTrial(**{**settings, **changes}).identify()  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="module")
def results(folder: Path, make_trial, restore_torch_state) -> dict[str, Result]:
    """Return, by name, a result of each engine, of a failed trial and of counts."""
    ledger = Ledger(folder / "results")
    results_by_name = {engine: run_trial(make_trial(engine=engine)) for engine in ("learner", "loop")}
    failure = make_failed_result(make_trial(seed=7), "time limit of 5 s", output="step 1\n\x1b[31mstep 2\n")
    results_by_name |= {
        "failed": failure,
        "counted": run_trial(make_trial(model="ngram-2", options={"context": 1})),
    }
    for result in results_by_name.values():
        ledger.record_result(result)
    return results_by_name


@pytest.fixture
def run_unrolled(folder: Path, results, call_command) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs the command on that ledger."""
    return lambda *words: call_command(*words, "--results", folder / "results")


# What is shown


def test_a_trial_is_shown_with_its_settings_numbers_witnesses_and_fingerprints(run_unrolled, results) -> None:
    result = results["loop"]
    code, output, _ = run_unrolled("show", result.trial.id)
    assert code == 0
    assert f"trial {result.trial.id}: LMModel4, seed 0: done" in output
    assert "hidden 8" in output
    assert "window 8" in output
    assert "\n\nresult\n" in output
    assert f"valid_loss {result.metrics['valid_loss']:,.6g}" in output
    assert "✓ detach_every seen: 8" in output
    assert all(value in output for value in result.fingerprints.values())


def test_a_failed_trial_is_shown_with_its_reason_and_output(run_unrolled, results) -> None:
    code, output, _ = run_unrolled("show", results["failed"].trial.id)
    assert code == 0 and "FAILED: time limit of 5 s" in output
    assert "  step 1\n  ␛[31mstep 2\n" in output  # an escape character cannot steer the terminal


def test_the_beginning_of_an_identity_is_enough(run_unrolled, results) -> None:
    id = results["loop"].trial.id
    assert run_unrolled("show", id[:8]) == run_unrolled("show", id) == run_unrolled("show", id[:8].upper())
    code, output, errors = run_unrolled("show", "nothing")
    assert (code, output) == (2, "") and errors.startswith("unrolled: trial 'nothing': no trial in ")


def test_an_unknown_identity_and_one_of_several_are_refused(folder: Path, make_trial) -> None:
    ledger = Ledger(folder / "many")
    trials = [make_trial(seed=seed) for seed in range(40)]
    for trial in trials:
        ledger.record_result(make_failed_result(trial, "stub"))
    ((digit, number),) = Counter(trial.id[0] for trial in trials).most_common(1)  # 40 trials, 16 digits
    for id, named in {
        "nothing": ledger.root,
        "": ledger.root,
        "../trials": ledger.root,
        digit: number,
    }.items():
        with raises_bad_input(named, place=f"trial '{id}'"):
            ledger.find_result(id)


def test_show_corpus_is_still_a_corpus(run_unrolled, folder: Path) -> None:
    flags = (f"--set=corpus={folder}/text.txt", "--set=batch=4", "--set=window=8", "--rows=1", "--batches=1")
    code, output, _ = run_unrolled("show", "corpus", *flags)
    assert code == 0 and "validation batch 0, its first 1 rows of 4" in output


def test_a_witness_that_says_no_stands_out(results) -> None:
    witnesses = {"alpha": {"ok": False, "declared": 2.0, "seen": 0.0, "penalty": "AR"}}
    text = "\n".join(show.describe_trial(replace(results["loop"], witnesses=witnesses), ()))
    assert "✕ AR penalty seen: 0, not > 0" in text


# The trained model


@pytest.mark.parametrize("engine", ["learner", "loop"])
def test_the_learner_has_the_ledgers_weights_and_trains_on(
    folder: Path, results, engine: str, capsys
) -> None:
    id = results[engine].trial.id
    learn = learner(id[:10], folder / "results")
    assert f"trial {id}, trained again: weights " in capsys.readouterr().out
    assert learn.dls.vocab[:3] == ["the", "cat", "sat"]
    loss, accuracy = learn.validate()
    assert loss == pytest.approx(results[engine].metrics["valid_loss"], abs=1e-4)
    assert accuracy == pytest.approx(results[engine].metrics["valid_accuracy"], abs=1e-4)
    learn.fit_one_cycle(3, 1e-2)
    assert learn.validate()[0] < loss


def test_other_bits_have_the_step_at_which_they_part(results) -> None:
    learner_result = results["learner"]
    loop_result = results["loop"]
    altered = replace(learner_result, fingerprints=loop_result.fingerprints, trace=loop_result.trace)
    model = retrain_model(altered)
    assert model.difference.startswith("step ")
    assert "NOT the ledger's: they differ from step " in str(model)


def test_a_trial_without_a_model_says_why(results) -> None:
    altered = replace(results["loop"], trial=replace(results["loop"].trial, source="0" * 64))
    causes = {"failed": "time limit of 5 s", "counted": "ngram-2", "altered": "run its study again"}
    for name, cause in causes.items():
        result = {**results, "altered": altered}[name]
        with raises_bad_input(cause, place=f"trial {result.trial.id}"):
            retrain_model(result)


def test_a_continuation_is_the_models_own_and_always_the_same(run_unrolled, results) -> None:
    result = results["loop"]
    code, output, _ = run_unrolled("show", result.trial.id, "--generate", 5)
    assert code == 0 and "continuation of the first validation window" in output
    model = retrain_model(result)
    prompt, words = continue_text(model, 5)
    assert len(prompt) == 8
    assert len(words) == 5
    assert set(words) <= set(model.corpus.vocab)
    assert f"  {' '.join(words)}\n" in output
    ids = model.valid.all_inputs[model.valid.window_order[:1]]
    with torch.no_grad():
        expected = model.learner.model.eval()(ids).logits[0, -1].argmax()
    assert words[0] == model.corpus.vocab[int(expected)]
