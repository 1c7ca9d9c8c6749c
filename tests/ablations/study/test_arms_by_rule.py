"""From a few words to arms: which ones a design asks for, under which names, and which it shares."""

from collections.abc import Callable
from dataclasses import fields
from itertools import product
from typing import Any

import pytest

from tests.helpers.bad_input import raises_bad_input
from unrolled.ablations.options import parse_set
from unrolled.ablations.study.chapter_factory import (
    DEFAULTS,
    FACTORS,
    describe_setting,
    inherit_settings,
    make_arm_fields,
)
from unrolled.ablations.study.study import Arm, Study
from unrolled.bench.chapter.chapter_trial import ChapterTrial, SettingSpec
from unrolled.bench.chapter.models.registry import ZOO
from unrolled.bench.trial import PLANNED_FIELDS

FACTOR_NAMES = ["tying", "dropout", "ar", "tar"]
MakeStudy = Callable[..., Study]


@pytest.fixture
def make_study(load_text: Callable[[str], Study]) -> MakeStudy:
    """Return a function that makes a study of a baseline and a design, both as TOML."""

    def write(design: str, model: str = "lm7", baseline: str = "") -> Study:
        head = f'name = "n"\nquestion = "q?"\n[baseline]\nmodel = "{model}"\n{baseline}\n'
        return load_text(f"{head}[design]\n{design}")

    return write


def read_changes(study: Study) -> dict[str, dict[str, object]]:
    """Return the changes of each arm but the baseline, by its name."""
    return {arm.name: dict(arm.changes) for arm in study.arms[1:]}


def read_levels(arm: Arm, *keys: str) -> tuple[Any, ...]:
    """Return the levels of an arm's settings."""
    return tuple({**arm.fields, **arm.fields["options"]}[key] for key in keys)


def test_leave_one_out_puts_each_factor_to_what_lmmodel6_does(make_study: MakeStudy) -> None:
    assert read_changes(make_study(f"leave_one_out = {list(FACTORS)}")) == {
        "no tying": {"tying": False},
        "no dropout": {"dropout": 0.0},
        "no AR": {"alpha": 0.0},
        "no TAR": {"beta": 0.0},
        "weight decay 0.01": {"wd": 0.01},
        "momentum of LMModel6": {"moms": "0.95,0.85,0.95"},
    }


def test_each_factor_has_two_levels() -> None:
    """A flag that is off by default in LMModel7 would have one, as `off` is LMModel6's level or 0."""
    assert all(factor.on != factor.off for factor in FACTORS.values())


def test_add_one_puts_each_factor_to_what_lmmodel7_does(make_study: MakeStudy) -> None:
    # Levels of LMModel7: fastbook chapter 12 (p .4, alpha 2, beta 1, wd .1) and fastai's TextLearner (moms).
    assert read_changes(make_study(f"add_one = {list(FACTORS)}", "lm6")) == {
        "+ tying": {"tying": True},
        "+ dropout": {"dropout": 0.4},
        "+ AR": {"alpha": 2.0},
        "+ TAR": {"beta": 1.0},
        "+ weight decay": {"wd": 0.1},
        "+ momentum": {"moms": "0.8,0.7,0.8"},
    }


def test_add_one_to_another_base_brings_the_base_as_an_arm(make_study: MakeStudy) -> None:
    arms = make_study('add_one = { base = { model = "lm6" }, factors = ["ar"] }').arms
    assert [arm.name for arm in arms] == ["LMModel7", "LMModel6", "LMModel6 + AR"]
    assert arms[2].fields == {**arms[1].fields, "alpha": 2.0}
    assert arms[1].fields == make_arm_fields({"model": "lm6"})


def test_lmmodel6_with_all_of_lmmodel7_s_parts_is_lmmodel7() -> None:
    on = {factor.key: factor.on for factor in FACTORS.values()}
    assert make_arm_fields({"model": "lm6", **on}) == {
        **make_arm_fields({"model": "lm7"}),
        "model": "lm6",
    }


def test_a_factorial_is_every_combination_once_and_shares_arms_with_other_designs(
    make_study: MakeStudy,
) -> None:
    arms = make_study(f"leave_one_out = {FACTOR_NAMES}\nfactorial = {FACTOR_NAMES}").arms
    cells = [read_levels(arm, "tying", "dropout", "alpha", "beta") for arm in arms]
    assert len(arms) == 16  # the four of leave-one-out are cells of the factorial, and so is the baseline
    assert set(cells) == set(product((True, False), (0.4, 0.0), (2.0, 0.0), (1.0, 0.0)))
    assert [arm.name for arm in arms[1:5]] == ["no tying", "no dropout", "no AR", "no TAR"]
    assert [arm.name for arm in arms if len(arm.changes) == 4] == ["no tying, no dropout, no AR, no TAR"]


def test_a_factorial_keeps_the_baseline_s_own_level_as_on(make_study: MakeStudy) -> None:
    arms = make_study('factorial = ["dropout", "ar"]', "lm6", "dropout = 0.2").arms
    assert {read_levels(arm, "dropout", "alpha") for arm in arms} == {(0.2, 0), (0.2, 2), (0, 0), (0, 2)}
    assert arms[0].name == "LMModel6, dropout 0.2"
    assert {arm.name for arm in arms[1:]} == {"+ AR", "no dropout", "no dropout, + AR"}


def test_a_shared_arm_keeps_its_first_name_and_lists_the_others(make_study: MakeStudy) -> None:
    arms = make_study(
        'one_at_a_time = { alpha = [0, 1] }\nleave_one_out = ["ar"]\ngrid = { alpha = [0.0], lr = [1e-2] }'
    ).arms
    assert [(arm.name, arm.other_names) for arm in arms] == [
        ("LMModel7", ()),
        ("no AR", ("no AR, lr 0.01",)),
        ("AR 1", ()),
    ]


def test_one_at_a_time_changes_one_thing_an_arm(make_study: MakeStudy) -> None:
    assert read_changes(
        make_study("one_at_a_time = { lr = [1e-3, 1e-2], detach_every = [4, 16, 32] }", "lm6")
    ) == {
        "lr 0.001": {"lr": 0.001},
        "detach every 4": {"detach_every": 4},
        "detach every 32": {"detach_every": 32},
    }  # lr 0.01 and 16 are the baseline's: they are the baseline


def test_a_grid_crosses_its_levels(make_study: MakeStudy) -> None:
    arms = make_study('grid = { model = ["lm4", "lm6"], lr = [1e-3, 1e-2], epochs = [1, 15] }', "lm6").arms
    cells = [read_levels(arm, "model", "lr", "epochs") for arm in arms]
    assert sorted(cells) == sorted(product(("lm4", "lm6"), (1e-3, 1e-2), (1, 15)))
    assert arms[1].name == "LMModel4, lr 0.001, 1 epoch"


# Settings.


def test_every_field_of_a_trial_can_be_set() -> None:
    assert {f.name for f in fields(ChapterTrial)} - set(DEFAULTS) == {
        "model",
        "seed",
        "options",
        *PLANNED_FIELDS,
    }


def test_every_setting_and_every_string_option_is_declared() -> None:
    rules = [f.metadata["setting"] for f in fields(ChapterTrial) if f.name in DEFAULTS]
    assert all(isinstance(rule, SettingSpec) and rule.description for rule in rules)
    for spec in ZOO.values():
        strings = {key: value for key, value in spec.options.items() if isinstance(value, str)}
        assert strings.keys() == spec.choices.keys()
        assert all(value in spec.choices[key] for key, value in strings.items())


def test_an_arm_with_another_model_takes_that_model_s_chapter_settings() -> None:
    arm = make_arm_fields(inherit_settings({"model": "lm7", "batch": 32, "dropout": 0.2}, {"model": "lm4"}))
    assert arm["batch"] == 32  # given in the baseline, and kept
    assert (arm["lr"], arm["wd"], arm["alpha"]) == (3e-3, 0.01, 0.0)  # LMModel4's, not LMModel7's
    assert arm["options"] == {"hidden": 64}  # it has no dropout to inherit


@pytest.mark.parametrize("detach_every", [1, 2, 4, 8, 16, 32, 64, 160])
def test_a_detach_every_divides_the_window_or_is_a_multiple_of_it(detach_every: int) -> None:
    assert make_arm_fields({"model": "lm6", "detach_every": detach_every})["detach_every"] == detach_every
    assert make_arm_fields({"model": "lm6", "detach_every": 0, "window": 64})["detach_every"] == 64


@pytest.mark.parametrize("settings", [{"reset": "batch"}, {"order": "shuffled"}, {"order": "sequential"}])
def test_a_detach_every_beyond_the_window_needs_a_state_that_is_kept(settings: dict[str, str]) -> None:
    assert make_arm_fields({"model": "lm6", "detach_every": 8, **settings})["detach_every"] == 8
    with raises_bad_input("window (16)", key="detach_every = 32"):
        make_arm_fields({"model": "lm6", "detach_every": 32, **settings})


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("lr", 1e-3, "lr 0.001"),
        ("detach_every", 4, "detach every 4"),
        ("detach_every", 0, "detach every window"),
        ("tying", True, "tying"),
        ("tying", False, "no tying"),
        ("beta", 0, "no TAR"),
        ("beta", 1, "TAR 1"),
        ("layers", 1, "1 layer"),
        ("layers", 2, "2 layers"),
        ("model", "gru", "nn.GRU"),
        ("moms", [0.8, 0.7, 0.8], "momentum of LMModel7"),
        ("moms", [0.9, 0.8, 0.9], "momentum 0.9,0.8,0.9"),
        ("embed_p", 0.0, "no embedding dropout"),
        ("hidden_p", 0.1, "hidden dropout 0.1"),
    ],
)
def test_settings_have_names_that_a_learner_reads(key: str, value: object, words: str) -> None:
    assert describe_setting(key, value) == words


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("lr=1e-3,1e-2", "lr", [1e-3, 1e-2]),
        ("lr = .5", "lr", [0.5]),
        ("epochs=1, 2", "epochs", [1, 2]),
        ("tying=true,false", "tying", [True, False]),
        ("model=lm4,'lm5'", "model", ["lm4", "lm5"]),
        ("moms=[.8, .7, .8],[.95,.85,.95]", "moms", [[0.8, 0.7, 0.8], [0.95, 0.85, 0.95]]),
        ("corpus=a=b.txt", "corpus", ["a=b.txt"]),
    ],
)
def test_the_command_line_s_settings_are_read_by_type(text: str, key: str, values: list[object]) -> None:
    assert repr(parse_set(text)) == repr((key, values))


WITHIN = 'within = ["model"]\ngrid = { model = ["lm6", "gru"], layers = [2, 1], lr = [1e-2] }'


def test_a_grid_within_a_setting_compares_cells_of_one_level_of_it(
    make_study: MakeStudy,
) -> None:
    study = make_study(WITHIN, "lm6", "layers = 1")
    assert [arm.name for arm in study.arms] == [
        "LMModel6, 1 layer, lr 0.01",
        "nn.GRU, 1 layer, lr 0.01",
        "LMModel6, 2 layers, lr 0.01",
        "nn.GRU, 2 layers, lr 0.01",
    ]
    assert study.contrasts == {
        "LMModel6, 2 layers, lr 0.01": "LMModel6, 1 layer, lr 0.01",
        "nn.GRU, 2 layers, lr 0.01": "nn.GRU, 1 layer, lr 0.01",
    }
    assert study.arms[3].changes == {"layers": 2}
