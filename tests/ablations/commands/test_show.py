"""`unrolled show`: a trial as text, and its model, the same to the last bit."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from unrolled.ablations.api import learner
from unrolled.ablations.commands import show
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.study.retraining import find
from unrolled.bench.chapter.retrained import continuation, retrained
from unrolled.bench.chapter.run import run_trial
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.errors import BadInput
from unrolled.bench.trial import Result, failure


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
    lost = failure(small(seed=7), "time limit of 5 s", output="step 1\n\x1b[31mstep 2\n")
    found |= {"failed": lost, "counted": run_trial(small(model="ngram-2", options={"context": 1}))}
    for result in found.values():
        ledger.record(result)
    return found


@pytest.fixture
def unrolled(folder: Path, results, command) -> Callable[..., tuple[int, str, str]]:
    """The command on that ledger."""
    return lambda *words: command(*words, "--results", folder / "results")


# What is shown


def test_a_trial_is_shown_with_all_that_the_ledger_has(unrolled, results) -> None:
    result = results["loop"]
    code, out, _ = unrolled("show", result.trial.id)
    assert code == 0
    assert f"trial {result.trial.id}: LMModel4, seed 0: done" in out
    assert "hidden 8" in out and "window 8" in out and "\n\nresult\n" in out
    (_, first), (_, last) = result.curves["valid_loss"]
    assert f"{first:.4g} → {last:.4g}" in out and "speed_train_seconds" not in out
    nats, hits, count = result.records["roles"]["rank 1–10"]
    assert f"{hits / count:.1%} of {count}" in out and f"{nats / count:.4f} nats" in out
    wrong = next(row for row in result.records["passage"] if row["token"] != row["guess"])
    assert f"{wrong['token']}‹{wrong['guess']}›" in out
    assert f"× {wrong['guess']} for {wrong['token']}" in out
    assert "✓ detach_every: declared 8, seen 8" in out
    assert all(value in out for value in result.fingerprints.values())


def test_a_failed_trial_is_shown_with_its_reason_and_what_it_printed(unrolled, results) -> None:
    code, out, _ = unrolled("show", results["failed"].trial.id)
    assert code == 0 and "FAILED: time limit of 5 s" in out
    assert "  step 1\n  ␛[31mstep 2\n" in out  # an escape character cannot steer the terminal
    assert "learning curve" not in out and "passage" not in out


def test_the_beginning_of_an_identity_is_enough(unrolled, results) -> None:
    id = results["loop"].trial.id
    assert unrolled("show", id[:8]) == unrolled("show", id) == unrolled("show", id[:8].upper())
    code, out, err = unrolled("show", "nothing")
    assert (code, out) == (2, "") and err.startswith("unrolled: trial 'nothing': no trial in ")


def test_an_unknown_identity_and_one_of_several_are_refused(folder: Path, small) -> None:
    ledger = Ledger(folder / "many")
    trials = [small(seed=seed) for seed in range(40)]
    for trial in trials:
        ledger.record(failure(trial, "stub"))
    ((first, several),) = Counter(trial.id[0] for trial in trials).most_common(1)  # 40 trials, 16 digits
    told = dict.fromkeys(("nothing", "", "../trials"), "no trial in .*none has been run")
    told[first] = f"{several} identities begin so .*; write more of it"
    for id, rule in told.items():
        with pytest.raises(BadInput, match=f"^trial '{id}': {rule}"):
            find(id, ledger)


def test_show_corpus_is_still_a_corpus(unrolled, folder: Path) -> None:
    shown = (f"--set=corpus={folder}/text.txt", "--set=batch=4", "--set=window=8", "--rows=1", "--batches=1")
    code, out, _ = unrolled("show", "corpus", *shown)
    assert code == 0 and "validation batch 0, its first 1 rows of 4" in out


def test_a_curve_of_any_length_is_one_line_with_its_ends_its_lowest_and_its_highest_value(results) -> None:
    points = {"auc": ((10.0, 0.25), (20.0, 0.5), (30.0, 0.4)), "gone": ((1.0, math.inf), (2.0, math.inf))}
    points["long"] = tuple((float(step), 1 / step) for step in range(1, 10_001))
    lines = list(show.describe_trial(replace(results["loop"], curves=points), ()))
    assert "  auc   ▁█▅  0.25 → 0.4, lowest 0.25 at 10, highest 0.5 at 20" in lines
    assert "  gone  ××  inf → inf" in lines
    (long,) = (line for line in lines if line.startswith("  long"))
    assert len(long) <= 120 and long.endswith("1 → 0.0001, lowest 0.0001 at 10000, highest 1 at 1")


def test_a_witness_that_says_no_stands_out(results) -> None:
    dead = {"alpha": {"ok": False, "declared": 2.0, "seen": 0.0}}
    text = "\n".join(show.describe_trial(replace(results["loop"], witnesses=dead), ()))
    assert "✗ DEAD TOGGLE: alpha: declared 2.0, seen 0.0" in text


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
    found = retrained(other)
    assert found.difference.startswith("step ") and "NOT the ledger's: they differ from step " in str(found)


def test_what_has_no_model_to_give_back_says_why(results, folder: Path) -> None:
    with pytest.raises(BadInput, match="has no model, as its training did not finish: time limit of 5 s"):
        retrained(results["failed"])
    with pytest.raises(BadInput, match="fitted by counting; there is nothing to train"):
        retrained(results["counted"])
    edited = replace(results["loop"], trial=replace(results["loop"].trial, source="0" * 64))
    with pytest.raises(BadInput, match="its code or text have changed since"):
        retrained(edited)


def test_a_continuation_is_the_models_own_and_always_the_same(unrolled, results) -> None:
    result = results["loop"]
    code, out, _ = unrolled("show", result.trial.id, "--generate", 5)
    assert code == 0 and "continuation of the first validation window" in out
    found = retrained(result)
    prompt, words = continuation(found, 5)
    assert len(prompt) == 8 and len(words) == 5 and set(words) <= set(found.corpus.vocab)
    assert f"  {' '.join(words)}\n" in out
    ids = found.valid.inputs[found.valid.order[:1]]
    with torch.no_grad():
        expected = found.learner.model.eval()(ids).logits[0, -1].argmax()
    assert words[0] == found.corpus.vocab[int(expected)]
