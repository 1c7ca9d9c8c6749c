"""`unrolled show`: a trial as text, and its model, the same to the last bit."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from unrolled.ablations.api import learner
from unrolled.ablations.commands import show
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.study.retraining import find_result
from unrolled.bench.chapter.retrain import continue_text, retrain_model
from unrolled.bench.chapter.run import run_trial
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.errors import BadInput
from unrolled.bench.trial import Result, failed_result


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("inside")
    (made / "text.txt").write_text("the cat sat on the mat and the dog sat on the log . " * 60)
    return made


@pytest.fixture(scope="module")
def small(folder: Path) -> Callable[..., ChapterTrial]:
    def make(**changes: object) -> ChapterTrial:
        settings = {"model": "lm4", "seed": 0, "corpus": str(folder / "text.txt"), "epochs": 2, "batch": 4}
        settings |= {"window": 8, "options": {"hidden": 8}}
        return ChapterTrial(**{**settings, **changes}).identify()  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="module")
def results(folder: Path, small, torch_as_it_was) -> dict[str, Result]:
    """A ledger of a trial under each engine, of a failed trial and of counts."""
    ledger = Ledger(folder / "results")
    found = {engine: run_trial(small(engine=engine)) for engine in ("learner", "loop")}
    lost = failed_result(small(seed=7), "time limit of 5 s", output="step 1\n\x1b[31mstep 2\n")
    found |= {"failed": lost, "counted": run_trial(small(model="ngram-2", options={"context": 1}))}
    for result in found.values():
        ledger.record(result)
    return found


@pytest.fixture
def unrolled(folder: Path, results, command) -> Callable[..., tuple[int, str, str]]:
    """The command on that ledger."""
    return lambda *words: command(*words, "--results", folder / "results")


# What is shown


def test_a_trial_is_shown_with_its_settings_numbers_witnesses_and_fingerprints(unrolled, results) -> None:
    result = results["loop"]
    code, out, _ = unrolled("show", result.trial.id)
    assert code == 0
    assert f"trial {result.trial.id}: LMModel4, seed 0: done" in out
    assert "hidden 8" in out and "window 8" in out and "\n\nresult\n" in out
    assert f"valid_loss {result.metrics['valid_loss']:,.6g}" in out
    assert "✓ detach_every seen: 8" in out
    assert all(value in out for value in result.fingerprints.values())


def test_a_failed_trial_is_shown_with_its_reason_and_what_it_printed(unrolled, results) -> None:
    code, out, _ = unrolled("show", results["failed"].trial.id)
    assert code == 0 and "FAILED: time limit of 5 s" in out
    assert "  step 1\n  ␛[31mstep 2\n" in out  # an escape character cannot steer the terminal


def test_the_beginning_of_an_identity_is_enough(unrolled, results) -> None:
    id = results["loop"].trial.id
    assert unrolled("show", id[:8]) == unrolled("show", id) == unrolled("show", id[:8].upper())
    code, out, err = unrolled("show", "nothing")
    assert (code, out) == (2, "") and err.startswith("unrolled: trial 'nothing': no trial in ")


def test_an_unknown_identity_and_one_of_several_are_refused(folder: Path, small) -> None:
    ledger = Ledger(folder / "many")
    trials = [small(seed=seed) for seed in range(40)]
    for trial in trials:
        ledger.record(failed_result(trial, "stub"))
    ((first, several),) = Counter(trial.id[0] for trial in trials).most_common(1)  # 40 trials, 16 digits
    told = dict.fromkeys(("nothing", "", "../trials"), "no trial in .* has this identity")
    told[first] = f"{several} identities begin so .*; write more of it"
    for id, rule in told.items():
        with pytest.raises(BadInput, match=f"^trial '{id}': {rule}"):
            find_result(id, ledger)


def test_show_corpus_is_still_a_corpus(unrolled, folder: Path) -> None:
    shown = (f"--set=corpus={folder}/text.txt", "--set=batch=4", "--set=window=8", "--rows=1", "--batches=1")
    code, out, _ = unrolled("show", "corpus", *shown)
    assert code == 0 and "validation batch 0, its first 1 rows of 4" in out


def test_a_witness_that_says_no_stands_out(results) -> None:
    dead = {"alpha": {"ok": False, "declared": 2.0, "seen": 0.0, "penalty": "AR"}}
    text = "\n".join(show.describe_trial(replace(results["loop"], witnesses=dead), ()))
    assert "✕ AR penalty seen: 0, not > 0" in text


# The trained model


@pytest.mark.parametrize("engine", ["learner", "loop"])
def test_the_learner_has_the_ledgers_weights_to_the_bit_and_goes_on_training(
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


def test_other_bits_are_told_with_the_step_at_which_they_part(results) -> None:
    learned, looped = results["learner"], results["loop"]
    other = replace(learned, fingerprints=looped.fingerprints, trace=looped.trace)
    found = retrain_model(other)
    assert found.difference.startswith("step ") and "NOT the ledger's: they differ from step " in str(found)


def test_what_has_no_model_to_give_back_says_why(results, folder: Path) -> None:
    with pytest.raises(BadInput, match="has no model, as its training did not finish: time limit of 5 s"):
        retrain_model(results["failed"])
    with pytest.raises(BadInput, match="fitted by counting; there is nothing to train"):
        retrain_model(results["counted"])
    edited = replace(results["loop"], trial=replace(results["loop"].trial, source="0" * 64))
    with pytest.raises(BadInput, match="its code or text have changed since"):
        retrain_model(edited)


def test_a_continuation_is_the_models_own_and_always_the_same(unrolled, results) -> None:
    result = results["loop"]
    code, out, _ = unrolled("show", result.trial.id, "--generate", 5)
    assert code == 0 and "continuation of the first validation window" in out
    found = retrain_model(result)
    prompt, words = continue_text(found, 5)
    assert len(prompt) == 8 and len(words) == 5 and set(words) <= set(found.corpus.vocab)
    assert f"  {' '.join(words)}\n" in out
    ids = found.valid.inputs[found.valid.order[:1]]
    with torch.no_grad():
        expected = found.learner.model.eval()(ids).logits[0, -1].argmax()
    assert words[0] == found.corpus.vocab[int(expected)]
