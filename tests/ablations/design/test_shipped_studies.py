"""The studies that ship: each asks what it says, with the arms it says."""

import subprocess
import sys
from itertools import product

import pytest

from ablations.design.costs import contrasts
from ablations.design.loading import load
from ablations.design.study import Study, trials
from ablations.design.study_file import shipped
from ablations.design.tuning import searches
from bench.models.registry import ZOO
from bench.trial import Trial
from reports.statistics.power import seeds_for_exact

NAMES = shipped()


def flat(study: Study) -> list[dict[str, object]]:
    """Every arm's settings but the A/A arm's."""
    arms = [arm for arm in study.arms if not arm.seed_offset]
    return [Trial(seed=0, **arm.settings).factors() for arm in arms]


def changes(study: Study) -> dict[str, dict[str, object]]:
    return {arm.name: dict(arm.changes) for arm in study.arms[1:] if not arm.seed_offset}


def test_the_studies_that_ship_are_these() -> None:
    assert set(NAMES) == {
        *("models", "toggles", "regularization", "detach", "learning-rate", "gru", "tuned"),
        *("context", "depth", "lstm", "order", "split", "stability", "engines"),
        *("awd", "awd-paper"),
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_study_can_claim_something(name: str) -> None:
    study = load(name)
    assert study.name == name
    assert study.question.endswith("?")
    assert study.about
    assert study.seeds == tuple(range(30 if name == "engines" else 10))  # ten seeds for claims
    assert seeds_for_exact(contrasts(study)) <= len(study.seeds)
    assert [arm.seed_offset for arm in study.arms].count(1000) == 1  # the A/A arm


@pytest.mark.parametrize("name", NAMES)
def test_no_trial_of_a_shipped_study_is_trained_twice(name: str) -> None:
    listed = trials(load(name), lambda trial: trial)
    assert len({trial.id for _, trial in listed}) == len(listed)


def test_models_has_every_model_in_its_chapter_s_settings() -> None:
    study = load("models")
    arms = flat(study)
    assert study.baseline.settings["model"] == "lm6"
    chapter = arms[: len(ZOO)]
    assert {arm["model"] for arm in chapter} == set(ZOO)
    for arm in chapter:
        spec = ZOO[str(arm["model"])]
        assert {key: arm[key] for key in spec.options} == spec.options
        for key in spec.settings.keys() - {"moms"}:
            assert arm[key] == spec.settings[key]


def test_engines_holds_each_model_against_itself_under_the_other_engine() -> None:
    study = load("engines")
    arms = {arm.name: arm for arm in study.arms}
    learners = [arm for arm in study.arms if arm.settings["engine"] == "learner"]
    assert [arm.settings["model"] for arm in learners] == ["lm4", "lm6", "lm7", "gru"]
    for arm in learners:
        base = arms[arm.against] if arm.against else study.baseline
        assert arm.changes == {"engine": "learner"}
        assert {**base.settings, "engine": "learner"} == arm.settings


def test_models_has_counting_baselines_on_the_three_word_task() -> None:
    # The set-up of LMModel1 and LMModel2; a 5-gram looks further back than three words.
    lm1 = {key: ZOO["lm1"].settings[key] for key in ("window", "target", "order")}
    counts = [arm for arm in flat(load("models")) if ZOO[str(arm["model"])].counted and arm["window"] == 3]
    assert [arm["model"] for arm in counts] == ["most-common", "ngram-1", "ngram-2"]
    for arm in counts:
        assert {key: arm[key] for key in lm1} == lm1


def test_toggles_changes_one_thing_of_lmmodel7_at_a_time() -> None:
    study = load("toggles")
    assert study.baseline.settings["model"] == "lm7"
    assert changes(study) == {
        "no tying": {"tying": False},
        "no dropout": {"dropout": 0.0},
        "no AR": {"alpha": 0.0},
        "no TAR": {"beta": 0.0},
        "weight decay 0.01": {"wd": 0.01},
        "moms of LMModel6": {"moms": "0.95,0.85,0.95"},
        "lr 0.001": {"lr": 1e-3},
        "lr 0.003": {"lr": 3e-3},
        "lr 0.03": {"lr": 3e-2},
        "detach every 1": {"detach_every": 1},
        "detach every 4": {"detach_every": 4},
        "detach every 8": {"detach_every": 8},
        "detach every 32": {"detach_every": 32},
        "detach every 64": {"detach_every": 64},
        "neither AR nor TAR": {"alpha": 0.0, "beta": 0.0},
    }


def test_regularization_trains_the_cells_that_its_views_share_once() -> None:
    study = load("regularization")
    names = [arm.name for arm in study.arms]
    # LMModel7, 6 left out, LMModel6, 6 added, 16 - 1 - 4 more of the factorial, A/A
    assert len(names) == 1 + 6 + 1 + 6 + 11 + 1
    for part in ("tying", "dropout", "AR", "TAR", "weight decay", "moms"):
        assert f"LMModel6 + {part}" in names
    lm7 = [
        arm
        for arm in flat(study)
        if arm["model"] == "lm7" and arm["wd"] == 0.1 and arm["moms"] == "0.8,0.7,0.8"
    ]
    cells = {(arm["tying"], arm["dropout"], arm["alpha"], arm["beta"]) for arm in lm7}
    assert cells == set(product((False, True), (0.0, 0.4), (0.0, 2.0), (0.0, 1.0)))


def test_tuned_leaves_out_each_part_of_lmmodel7_and_gives_every_arm_the_same_rates() -> None:
    study = load("tuned")
    assert study.baseline.settings["model"] == "lm7"
    assert list(changes(study)) == ["no tying", "no dropout", "no AR", "no TAR"]
    cells = {(s.arm.name, s.level) for s in searches(study)}
    arms = [arm.name for arm in study.arms if not arm.seed_offset]
    assert cells == set(product(arms, (1e-3, 3e-3, 1e-2, 3e-2)))


def test_detach_moves_the_detach_every_and_nothing_else() -> None:
    arms = flat(load("detach"))
    cells = {(arm["model"], arm["detach_every"]) for arm in arms}
    assert cells == set(product(("lm6", "gru", "rnn-relu", "lm5"), (1, 4, 16, 64, 128)))
    assert len(arms) == 20
    assert {(arm["window"], arm["batch"], arm["epochs"]) for arm in arms} == {(64, 64, 15)}


def test_learning_rate_gives_every_model_the_same_four_rates() -> None:
    arms = flat(load("learning-rate"))
    assert {(arm["model"], arm["lr"]) for arm in arms} == set(
        product(("lm4", "lm5", "lm6", "lm7", "gru"), (1e-3, 3e-3, 1e-2, 3e-2))
    )
    assert len(arms) == 20


def test_gru_crosses_the_forms_with_the_depth() -> None:
    arms = flat(load("gru"))
    assert {(arm["model"], arm["layers"]) for arm in arms} == set(
        product(("gru", "gru-after", "gru-before"), (1, 2))
    )
    assert len(arms) == 6


def test_all_studies_load_in_half_a_second_without_torch() -> None:
    code = (
        "import sys, time\n"
        "from ablations.design.loading import load\n"
        "from ablations.design.study import trials\n"
        "from ablations.design.study_file import shipped\n"
        "from ablations.design.costs import contrasts, expected_seconds\n"
        "start = time.process_time()\n"
        "for name in shipped():\n"
        "    study = load(name); contrasts(study)\n"
        "    sum(expected_seconds(t) for _, t in trials(study, lambda t: t))\n"
        "print(time.process_time() - start)\n"
        "print([m for m in ('torch', 'fastai', 'mlflow', 'numpy', 'scipy', 'pandas') if m in sys.modules])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, heavy = ran.stdout.splitlines()
    assert float(seconds) < 0.5
    assert heavy == "[]"
