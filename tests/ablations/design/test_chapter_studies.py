"""The studies and measurements behind the chapter's page, and the word that brings them together."""

from argparse import Namespace
from itertools import product
from pathlib import Path

import pytest

from ablations.commands import chapter
from ablations.design.costs import contrasts, expected_seconds
from ablations.design.loading import load
from ablations.design.study import Study, trials
from ablations.design.study_file import shipped
from ablations.ledger import Ledger
from bench import corpus
from bench.analyses import identity
from bench.trial import Trial
from reports.chapter.questions import QUESTIONS
from reports.statistics.power import seeds_for_exact

NAMES = ("context", "depth", "lstm", "order", "split", "stability")


def arms(study: Study) -> list[dict[str, object]]:
    """Every arm's settings but the A/A arm's."""
    return [Trial(seed=0, **arm.settings).factors() for arm in study.arms if not arm.seed_offset]


@pytest.mark.parametrize("name", NAMES)
def test_a_study_of_the_chapter_can_claim_something_in_ten_minutes_on_two_cores(name: str) -> None:
    study = load(name)
    assert study.name == name and study.question.endswith("?") and study.about
    assert study.seeds == tuple(range(10))
    assert seeds_for_exact(contrasts(study)) <= len(study.seeds)
    assert [arm.seed_offset for arm in study.arms].count(1000) == 1  # the A/A arm
    listed = trials(study, lambda trial: trial)
    assert len({trial.id for _, trial in listed}) == len(listed)
    assert sum(expected_seconds(trial) for _, trial in listed) <= 2 * 600


def test_context_makes_as_many_updates_with_one_word_as_with_five() -> None:
    updates = {}
    for arm in load("context").arms:
        trial = Trial(seed=0, **arm.settings)
        if trial.model == "lm2" and not arm.seed_offset:
            updates[trial.window] = len(corpus.batches(trial, corpus.load(trial))[0]) * trial.epochs
    assert sorted(updates) == [1, 2, 3, 4, 5]
    assert max(updates.values()) <= 1.01 * min(updates.values())


def test_context_counts_the_words_that_the_network_reads() -> None:
    counts = [arm for arm in arms(load("context")) if str(arm["model"]).startswith("ngram")]
    assert [(arm["window"], arm["context"]) for arm in counts] == [(n, n) for n in range(1, 6)]
    assert {(arm["target"], arm["order"]) for arm in counts} == {("last", "sequential")}


def test_depth_crosses_layers_with_both_activations() -> None:
    cells = [(arm["nonlinearity"], arm["layers"]) for arm in arms(load("depth"))]
    assert sorted(cells) == sorted(product(("relu", "tanh"), (1, 2, 3, 4)))


def test_order_crosses_orders_with_resets() -> None:
    cells = [(arm["order"], arm["reset"]) for arm in arms(load("order"))]
    assert sorted(cells) == sorted(
        product(("grouped", "sequential", "shuffled"), ("epoch", "batch", "never"))
    )


def test_lstm_crosses_forms_with_depth() -> None:
    cells = [(arm["model"], arm["layers"]) for arm in arms(load("lstm"))]
    assert sorted(cells) == sorted(product(("lm6", "lstm-gates", "lstm-chunk"), (1, 2)))


def test_split_has_every_model_on_both_splits_and_its_baseline_on_blocks() -> None:
    study = load("split")
    cells = [(arm["split"], arm["model"]) for arm in arms(study)]
    models = ("lm4", "lm5", "lm6", "lm7", "gru", "ngram-5")
    assert sorted(cells) == sorted(product(("blocks", "tail"), models))
    assert study.baseline.settings["split"] == "blocks"


def test_stability_changes_one_thing_of_lmmodel4_at_a_time() -> None:
    study = load("stability")
    same = {arm.name: dict(arm.changes) for arm in study.arms[1:] if "model" not in arm.changes}
    assert [len(changes) for changes in same.values()] == [1, 1, 1, 1, 0]  # and A/A
    others = [arm for arm in arms(study) if arm["model"] != "lm4"]
    assert {(arm["nonlinearity"], arm["layers"], arm["lr"]) for arm in others} == {
        ("relu", 1, 3e-3),
        ("tanh", 1, 3e-3),
    }


@pytest.mark.parametrize("question", [q for q in QUESTIONS if q.study], ids=lambda q: q.id)
def test_a_question_s_study_ships_and_varies_what_it_is_drawn_along(question) -> None:
    assert question.study in shipped()
    if question.along:
        for factor in question.along[:2]:
            assert len({arm.get(factor) for arm in arms(load(question.study))}) > 1


def measure(results: Path) -> dict[str, float]:
    return dict(chapter.measured(["spacing", "tanh"], results))


def test_a_measurement_is_kept_under_the_identity_of_its_code(tmp_path) -> None:
    assert set(measure(tmp_path)) == {"spacing", "tanh"}
    files = {path.name for path in (tmp_path / "analyses").iterdir()}
    assert files == {f"{name}-{identity(name)}.json" for name in ("spacing", "tanh")}
    found = chapter.stored("spacing", tmp_path)
    assert found is not None and found["found"]["first_gap"]["float32"] == 2**24 + 1
    assert found["environment"]["threads"] == 1
    assert chapter.stored("same", tmp_path) is None


@pytest.mark.parametrize("at", [0, 100, -30])
def test_a_damaged_measurement_is_named_and_counts_as_none(tmp_path, capsys, at: int) -> None:
    measure(tmp_path)
    (path,) = (tmp_path / "analyses").glob("tanh-*")
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    assert chapter.stored("tanh", tmp_path) is None
    assert f"{path}: damaged, so it is measured again" in capsys.readouterr().err


def test_the_word_measures_once_and_writes_the_page(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(chapter, "MEASURED", ("spacing", "tanh"))
    args = Namespace(results=tmp_path / "results", out=tmp_path / "out")
    assert chapter.chapter(args) == 0
    assert "measuring spacing, tanh" in capsys.readouterr().out
    first = (tmp_path / "out" / "chapter.html").read_bytes()
    assert chapter.chapter(args) == 0
    assert capsys.readouterr().out == f"page: {tmp_path / 'out' / 'chapter.html'}\n"
    assert (tmp_path / "out" / "chapter.html").read_bytes() == first
    assert not list(Ledger(args.results).root.glob("trials"))
