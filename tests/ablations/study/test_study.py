"""A study: arms, trials, the hash of its plan, what the command line changes, and its cost."""

from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from tests.helpers.bad_input import raises_bad_input
from unrolled.ablations.plans.planning import make_plan
from unrolled.ablations.plans.seen_results import warn_of_shared_seeds
from unrolled.ablations.study.chapter_factory import make_arm_fields
from unrolled.ablations.study.loading import load_study, override_study
from unrolled.ablations.study.study import Study
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.models.registry import ZOO
from unrolled.bench.chapter.time_estimates import estimate_seconds
from unrolled.bench.metric import Metric
from unrolled.bench.table_columns import AA_NAME

TEXT = """
name = "mine"
question = "Does dropout help?"
about = "A small one."
metrics = [{ name = "valid_accuracy", delta = 0.01 }]
seeds = [3, 0]
aa = true
[baseline]
model = "lm6"
epochs = 2
[design]
add_one = ["dropout"]
[[arm]]
name = "calm"
question = "And AR?"
note = "As in the book."
exploratory = true
set = { alpha = 2 }
"""


Edit = Callable[[str, str], Study]


@pytest.fixture
def study(load_text: Callable[[str], Study]) -> Study:
    """Return the study of TEXT."""
    return load_text(TEXT)


@pytest.fixture
def edit_text(load_text: Callable[[str], Study]) -> Edit:
    """Return a function that loads the study with one piece of its text replaced."""

    def write(old: str, new: str) -> Study:
        assert old in TEXT
        return load_text(TEXT.replace(old, new))

    return write


def test_a_study_is_what_its_file_says(study: Study, tmp_path: Path) -> None:
    assert (study.name, study.rules.question, study.rules.about) == (
        "mine",
        "Does dropout help?",
        "A small one.",
    )
    assert (study.rules.metrics, study.rules.seeds, study.rules.looks) == (
        (Metric("valid_accuracy", 0.01),),
        (3, 0),
        (2,),
    )
    assert [arm.name for arm in study.arms] == ["LMModel6, 2 epochs", "+ dropout", "calm", AA_NAME]
    assert study.baseline is study.arms[0]
    assert study.path == str(tmp_path / "mine.toml")
    calm = study.arms[2]
    assert (calm.question, calm.note, calm.exploratory) == ("And AR?", "As in the book.", True)
    assert calm.changes == {"alpha": 2.0}
    assert calm.fields == {**study.baseline.fields, "alpha": 2.0}
    aa_arm = study.arms[3]
    assert (aa_arm.fields, aa_arm.changes, aa_arm.seed_offset) == (
        study.baseline.fields,
        {},
        1000,
    )
    with pytest.raises(FrozenInstanceError):
        study.name = "other"  # type: ignore[misc]


def test_a_metric_may_declare_the_direction_that_the_table_has(edit_text: Edit) -> None:
    metric = '{ name = "valid_accuracy", delta = 0.01'
    declared_study = edit_text(metric, f'{metric}, better = "higher"')
    assert declared_study.study_hash == edit_text(metric, metric).study_hash


def test_a_small_file_is_enough(load_text: Callable[[str], Study]) -> None:
    study = load_text('name = "small"\nquestion = "How good is it?"\nbaseline.model = "lm6"')
    assert study.rules.metrics == (Metric("valid_accuracy", 0.02), Metric("valid_loss", 0.05))
    assert (study.rules.seeds, study.rules.looks) == (tuple(range(40)), (10, 15, 20, 30, 40))
    assert [arm.fields for arm in study.arms] == [make_arm_fields({"model": "lm6"})]


def test_trials_come_seed_by_seed_and_once_each(study: Study) -> None:
    plan, trials = make_plan(study, "unrolled run mine")
    arms = list(plan.arm_names_by_id.values())
    assert [(name, trial.seed) for name, trial in zip(arms, trials, strict=True)] == [
        ("LMModel6, 2 epochs", 0), ("+ dropout", 0), ("calm", 0), (AA_NAME, 1000),
        ("LMModel6, 2 epochs", 3), ("+ dropout", 3), ("calm", 3), (AA_NAME, 1003),
    ]  # fmt: skip
    assert all(trial.source and trial.data and trial.versions for trial in trials)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "mine"', 'name = "other"'),
        ("Does dropout help?", "Does dropout hurt?"),
        ("valid_accuracy", "valid_loss"),
        ("0.01", "0.02"),
        ("[3, 0]", "[3, 1]"),
        ("[3, 0]", "[0, 3]"),
        ("aa = true", "aa = false"),
        ("epochs = 2", "epochs = 3"),
        ("alpha = 2", "alpha = 1"),
        ("exploratory = true", "exploratory = false"),
        ('"calm"', '"AR"'),
    ],
)
def test_the_plan_s_hash_changes_with_what_is_decided(
    study: Study, edit_text: Edit, old: str, new: str
) -> None:
    assert edit_text(old, new).study_hash != study.study_hash


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("alpha = 2", "alpha = 2.0"),
        ("epochs = 2", "epochs = 2\ndetach_every = 16"),  # the window, written out
        ("[3, 0]", '"3,0"'),
        ('name = "mine"', '# a comment\nname = "mine"'),
    ],
)
def test_the_plan_s_hash_is_of_what_is_meant(study: Study, edit_text: Edit, old: str, new: str) -> None:
    variant = edit_text(old, new)
    renamed_variant = replace(
        variant, arms=(replace(variant.baseline, name=study.baseline.name), *variant.arms[1:])
    )
    assert renamed_variant.study_hash == study.study_hash
    assert len(study.study_hash) == 64


# What the command line changes.


def test_one_value_changes_the_baseline_and_every_arm_that_follows_it(study: Study) -> None:
    override = override_study(study, sets=[("epochs", [5]), ("hidden", [32])])
    assert {arm.fields["epochs"] for arm in override.arms} == {5}
    assert {arm.fields["options"]["hidden"] for arm in override.arms} == {32}
    assert override.baseline.name == "LMModel6, 5 epochs, hidden 32"
    assert study.baseline.fields["epochs"] == 2


def test_several_values_are_arms_one_at_a_time(study: Study) -> None:
    override = override_study(study, sets=[("lr", [1e-3, 1e-2]), ("layers", [1, 3])])
    assert [arm.name for arm in override.arms] == [
        "LMModel6, 2 epochs", "+ dropout", "lr 0.001", "1 layer", "3 layers", "calm", AA_NAME,
    ]  # fmt: skip
    assert override.baseline.other_names == ("lr 0.01",)
    assert override.study_hash != study.study_hash


@pytest.mark.parametrize(
    ("seeds", "looks"), [("40-79", (10, 15, 20, 30, 40)), ("0-4", (5,)), ("0-49", (50,))]
)
def test_as_many_seeds_as_the_study_has_keep_its_looks(
    edit_text: Edit, seeds: str, looks: tuple[int, ...]
) -> None:
    study = edit_text("seeds = [3, 0]\n", "")  # 40 seeds, with the usual looks
    overridden = override_study(study, seeds=seeds)
    assert overridden.rules.looks == looks
    assert override_study(study, seeds="0-39").study_hash == study.study_hash


@pytest.mark.parametrize(
    ("seeds", "is_warned_of"), [("0-4", True), ("0-1", False), ("40-44", False), ("0-39", False)]
)
def test_a_first_try_on_seeds_of_the_whole_study_is_warned_of(
    edit_text: Edit, seeds: str, is_warned_of: bool
) -> None:
    study = override_study(edit_text("seeds = [3, 0]\n", ""), seeds=seeds)
    assert bool(warn_of_shared_seeds(study)) is is_warned_of
    assert not warn_of_shared_seeds(override_study(load_study("toggles"), seeds=seeds)), "it is shipped"


def test_another_model_from_the_command_line_drops_what_it_does_not_have(study: Study) -> None:
    single_layer = override_study(study, sets=[("layers", [1])])
    with raises_bad_input("'dropout'"):  # of add_one
        override_study(single_layer, sets=[("model", ["lm4"])])
    gru = override_study(single_layer, sets=[("model", ["gru"])])
    assert gru.baseline.fields == make_arm_fields({"model": "gru", "epochs": 2, "layers": 1})


def test_settings_that_need_each_other_may_come_in_any_order() -> None:
    sets = [("window", [10]), ("detach_every", [5])]
    settings, reverse = (
        override_study(load_study("awd"), sets=order).baseline.fields for order in (sets, sets[::-1])
    )
    assert settings == reverse and (settings["window"], settings["detach_every"]) == (10, 5)


# Cost.


def predict_seconds(**settings: object) -> float:
    """Return the expected seconds of a trial with these settings."""
    return estimate_seconds(ChapterTrial(seed=0, **make_arm_fields({"model": "lm6", **settings})))


@pytest.mark.parametrize("model", ZOO)
def test_the_chapter_s_set_up_costs_what_was_measured(model: str) -> None:
    assert predict_seconds(model=model) == ZOO[model].chapter_seconds


@pytest.mark.parametrize(
    ("settings", "multiplier"),
    [
        ({"epochs": 30}, 2),
        ({"detach_every": 32}, 1.75),  # the window before is read again
        ({"detach_every": 4}, 1.3),  # in four pieces
        ({"stride": 8, "reset": "batch"}, 2),  # every word is read twice
        ({"batch": 32}, 1.5),  # twice the updates, the same tokens
        ({"window": 64}, 0.625),  # a quarter of the updates
        ({"window": 64, "detach_every": 128, "epochs": 30}, 2 * 0.625 * 1.75),
    ],
)
def test_cost_follows_epochs_updates_and_detach_every(settings: dict[str, object], multiplier: float) -> None:
    assert predict_seconds(**settings) == pytest.approx(ZOO["lm6"].chapter_seconds * multiplier)


def test_cost_follows_the_length_of_the_text(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    words = [f"w{n % 30}" for n in range(2 * 63_095)]  # the tokens of Human Numbers, twice, and its 30 words
    text.write_text(" ".join(words))
    assert predict_seconds(corpus=str(text)) == pytest.approx(2 * ZOO["lm6"].chapter_seconds)
    rich = tmp_path / "rich.txt"
    rich.write_text(" ".join(words[:-3000] + [f"rare{n}" for n in range(3000)]))
    # every word more is a number more to predict
    assert predict_seconds(corpus=str(rich)) > 10 * ZOO["lm6"].chapter_seconds
    assert predict_seconds(corpus=str(rich), vocab=30) == pytest.approx(2 * ZOO["lm6"].chapter_seconds)


AGAINST = """
[[arm]]
name = "stormy"
set = { alpha = 2, clip = 1.0 }
against = "calm"
"""


def test_an_arm_may_be_compared_with_another_arm(edit_text: Edit) -> None:
    study = edit_text("[[arm]]", f"{AGAINST.replace('calm', '+ dropout')}[[arm]]")
    stormy = next(arm for arm in study.arms if arm.name == "stormy")
    assert stormy.against == "+ dropout"
    assert stormy.changes == {"alpha": 2.0, "clip": 1.0, "dropout": 0.0}  # less the dropout of the other
    assert study.contrasts == {"stormy": "+ dropout", "calm": study.baseline.name}, "+ dropout is a base"
    assert study.study_hash != edit_text("[[arm]]", f"{AGAINST.replace('calm', '')}[[arm]]").study_hash


CHAIN = """
[[arm]]
name = "two"
set = { hidden = 32 }
{against}
[[arm]]
name = "three"
set = { hidden = 16 }
against = "two"
[[arm]]
name = "four"
set = { hidden = 8 }
against = "three"
[[arm]]
"""


def test_against_may_be_chained(
    edit_text: Edit,
) -> None:
    reference_study, contrast_study = (
        edit_text("[[arm]]", CHAIN.replace("{against}", against))
        for against in ("", 'against = "LMModel6, 2 epochs"')
    )
    four = next(arm for arm in contrast_study.arms if arm.name == "four")
    assert (four.against, four.changes) == ("three", {"hidden": 8})
    assert set(reference_study.contrasts) == {"+ dropout", "calm", "three", "four"}
    assert set(contrast_study.contrasts) == {"+ dropout", "calm", "three", "four", "two"}, (
        "two names the baseline"
    )


def test_against_follows_the_baselines_name_as_set_by_the_command(edit_text: Edit) -> None:
    chain = CHAIN.replace("{against}", 'against = "LMModel6, 2 epochs"')
    study = override_study(edit_text("[[arm]]", chain), sets=[("epochs", [1])])
    assert {arm.name: arm.against for arm in study.arms}["two"] == study.baseline.name == "LMModel6, 1 epoch"


def test_naming_the_baseline_is_the_same_as_naming_none(edit_text: Edit) -> None:
    twin = AGAINST.replace('"stormy"', '"again"').replace("alpha = 2, clip = 1.0", "dropout = 0.4")
    study = edit_text("[[arm]]", f"{twin.replace('calm', 'LMModel6, 2 epochs')}[[arm]]")
    (arm,) = [arm for arm in study.arms if arm.name == "+ dropout"]
    assert (arm.other_names, arm.against) == (("again",), "LMModel6, 2 epochs")


def test_a_whole_number_is_the_same_with_and_without_decimals(
    load_text: Callable[[str], Study],
) -> None:
    study = load_text(
        'name = "mine"\nquestion = "?"\nmetrics = [{ name = "loss", delta = 1 }]\n'
        '[program]\nrun = "train --lr {lr} --seed {seed}"\n'
        "[baseline]\nlr = 1\n[design.one_at_a_time]\nlr = [0.5, 1.0, 2.0]\n"
    )
    assert [repr(arm.fields["settings"]["lr"]) for arm in study.arms] == ["1", "0.5", "2"]


def test_against_names_the_arm_that_an_equal_one_became(edit_text: Edit) -> None:
    twin = '[[arm]]\nname = "twin"\nset = { dropout = 0.4 }\n'
    stormy_arm = AGAINST.replace("calm", "twin")
    storm_arm = AGAINST.replace("calm", "+ dropout")
    study = edit_text("[[arm]]", f"{twin}{stormy_arm}{storm_arm.replace('stormy', 'storm')}[[arm]]")
    (stormy,) = [arm for arm in study.arms if arm.against]
    assert (stormy.name, stormy.other_names, stormy.against) == ("stormy", ("storm",), "+ dropout")


def test_a_counting_arm_has_a_contrast_only_by_against(
    edit_text: Edit,
) -> None:
    counts = '[[arm]]\nname = "counts"\nset = { model = "ngram-2" }\n'
    opponent = '[[arm]]\nname = "named"\nset = { model = "ngram-1" }\nagainst = "counts"\n'
    study = edit_text("[[arm]]", f"{counts}{opponent}{AGAINST.replace('calm', 'counts')}[[arm]]")
    assert set(study.contrasts) == {"+ dropout", "calm", "stormy", "named"}
    plan, trials = make_plan(study, "unrolled run mine")
    arm = next(arm for arm in plan.arms if arm.name == "counts")
    assert list(arm.trial_ids) == [0, 3] and len(set(arm.trial_ids.values())) == 2
    assert [trial.seed for trial in trials if trial.flat_settings()["model"] == "ngram-2"] == [0, 3]
    assert plan.ids == [trial.id for trial in trials]
    assert plan.arm_and_seed_by_id[arm.trial_ids[3]] == (arm, 3)
    assert [arm.name for arm in plan.arms] == [arm.name for arm in study.arms]
