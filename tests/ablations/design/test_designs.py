"""From a few words to cells: which arms a design asks for, under which names, and which it shares."""

from itertools import combinations
from pathlib import Path

import pytest

from ablations.design.designs import Design
from ablations.design.loading import load
from ablations.design.settings import (
    CHAPTER_FACTORS,
    DEFAULTS,
    TrialFields,
    inherit,
    label,
    parse_set,
    resolve,
)
from ablations.design.study import Study
from bench.models.registry import ZOO
from bench.trial import FOUND, BadInput, Trial

FOUR = ["tying", "dropout", "ar", "tar"]


@pytest.fixture
def study(tmp_path: Path):  # type: ignore[no-untyped-def]
    """A study of this baseline and this design, both as TOML."""

    def write(design: str, model: str = "lm7", baseline: str = "") -> Study:
        path = tmp_path / "mine.toml"
        head = f'name = "n"\nquestion = "q?"\n[baseline]\nmodel = "{model}"\n{baseline}\n'
        path.write_text(f"{head}[design]\n{design}")
        return load(path)

    return write


def changes(study: Study) -> dict[str, dict[str, object]]:
    return {arm.name: dict(arm.changes) for arm in study.arms[1:]}


def test_leave_one_out_puts_each_factor_to_what_lmmodel6_does(study) -> None:
    assert changes(study(f"leave_one_out = {list(CHAPTER_FACTORS)}")) == {
        "no tying": {"tying": False},
        "no dropout": {"dropout": 0.0},
        "no AR": {"alpha": 0.0},
        "no TAR": {"beta": 0.0},
        "weight decay 0.01": {"wd": 0.01},
        "moms of LMModel6": {"moms": "0.95,0.85,0.95"},
    }


def test_add_one_puts_each_factor_to_what_lmmodel7_does(study) -> None:
    # Levels of LMModel7: fastbook chapter 12 (p .4, alpha 2, beta 1, wd .1) and fastai's TextLearner (moms).
    assert changes(study(f"add_one = {list(CHAPTER_FACTORS)}", "lm6")) == {
        "+ tying": {"tying": True},
        "+ dropout": {"dropout": 0.4},
        "+ AR": {"alpha": 2.0},
        "+ TAR": {"beta": 1.0},
        "+ weight decay": {"wd": 0.1},
        "+ moms": {"moms": "0.8,0.7,0.8"},
    }


def test_add_one_to_another_base_brings_the_base_as_an_arm(study) -> None:
    arms = study('add_one = { base = { model = "lm6" }, factors = ["ar"] }').arms
    assert [arm.name for arm in arms] == ["LMModel7", "LMModel6", "LMModel6 + AR"]
    assert arms[2].settings == {**arms[1].settings, "alpha": 2.0}
    assert arms[1].settings == resolve({"model": "lm6"})


def test_lmmodel6_with_all_of_lmmodel7_s_parts_is_lmmodel7() -> None:
    on = {factor.key: factor.on for factor in CHAPTER_FACTORS.values()}
    assert resolve({"model": "lm6", **on}) == {**resolve({"model": "lm7"}), "model": "lm6"}


def test_a_factorial_is_every_combination_once(study) -> None:
    arms = study(f"factorial = {FOUR}").arms
    keys = {CHAPTER_FACTORS[name].key: CHAPTER_FACTORS[name].off for name in FOUR}
    seen = {frozenset(key for key, off in keys.items() if flat[key] == off) for flat in map(_flat, arms)}
    subsets = {frozenset(c) for r in range(5) for c in combinations(keys, r)}
    assert len(arms) == 16
    assert seen == subsets
    assert [arm.name for arm in arms if len(arm.changes) == 4] == ["no tying, no dropout, no AR, no TAR"]


def test_a_factorial_keeps_the_baseline_s_own_level_as_on(study) -> None:
    arms = study('factorial = ["dropout", "ar"]', "lm6", "dropout = 0.2").arms
    assert {(_flat(arm)["dropout"], _flat(arm)["alpha"]) for arm in arms} == {
        (0.2, 0),
        (0.2, 2),
        (0, 0),
        (0, 2),
    }
    assert arms[0].name == "LMModel6, dropout 0.2"
    assert {arm.name for arm in arms[1:]} == {"+ AR", "no dropout", "no dropout, + AR"}


def test_a_half_fraction_of_four_factors_has_resolution_four(study) -> None:
    arms = study(f'factorial = {FOUR}\nfraction = "tar = tying * dropout * ar"').arms
    keys = {CHAPTER_FACTORS[name].key: CHAPTER_FACTORS[name].off for name in FOUR}
    signs = [[1 if _flat(arm)[key] != off else -1 for key, off in keys.items()] for arm in arms]
    assert len(arms) == 8  # 2^(4-1)
    for a, b, c, d in signs:
        assert a * b * c * d == 1  # the defining relation I = ABCD
    for i, j in combinations(range(4), 2):  # every pair of factors is balanced, so no main effect is hidden
        assert sorted((row[i], row[j]) for row in signs) == sorted(2 * [(-1, -1), (-1, 1), (1, -1), (1, 1)])


def test_cells_that_designs_share_are_one_arm(study) -> None:
    arms = study(f"leave_one_out = {FOUR}\nfactorial = {FOUR}").arms
    assert len(arms) == 16  # the four of leave-one-out are cells of the factorial, and so is the baseline
    assert [arm.name for arm in arms[1:5]] == ["no tying", "no dropout", "no AR", "no TAR"]


def test_a_shared_cell_keeps_its_first_name_and_lists_the_others(study) -> None:
    arms = study(
        'one_at_a_time = { alpha = [0, 1] }\nleave_one_out = ["ar"]\ngrid = { alpha = [0.0], lr = [1e-2] }'
    ).arms
    assert [(arm.name, arm.also) for arm in arms] == [
        ("LMModel7", ()),
        ("no AR", ("no AR, lr 0.01",)),
        ("AR 1", ()),
    ]


def test_one_at_a_time_changes_one_thing_an_arm(study) -> None:
    assert changes(study("one_at_a_time = { lr = [1e-3, 1e-2], detach_every = [4, 16, 32] }", "lm6")) == {
        "lr 0.001": {"lr": 0.001},
        "detach every 4": {"detach_every": 4},
        "detach every 32": {"detach_every": 32},
    }  # lr 0.01 and 16 are the baseline's: they are the baseline


def test_a_grid_crosses_its_levels_and_excludes_what_it_is_told_to(study) -> None:
    grid = 'grid = { model = ["lm4", "lm6"], lr = [1e-3, 1e-2], epochs = [1, 15] }\n'
    assert len(study(grid, "lm6").arms) == 8
    names = [arm.name for arm in study(grid + 'exclude = [{ model = "lm4", lr = 1e-3 }]', "lm6").arms]
    assert names == [
        "LMModel6",
        "LMModel4, lr 0.01, 1 epoch",
        "LMModel4, lr 0.01, 15 epochs",
        "LMModel6, lr 0.001, 1 epoch",
        "LMModel6, lr 0.001, 15 epochs",
        "LMModel6, lr 0.01, 1 epoch",
    ]


def test_the_baseline_is_never_excluded(study) -> None:
    arms = study("grid = { lr = [1e-2, 1e-3], epochs = [15, 1] }\nexclude = [{ lr = 1e-2 }]", "lm6").arms
    assert [arm.name for arm in arms] == ["LMModel6", "lr 0.001, 15 epochs", "lr 0.001, 1 epoch"]


def test_include_adds_a_cell(study) -> None:
    arms = study("include = [{ lr = 1e-3, moms = [0.9, 0.8, 0.9] }]", "lm6").arms
    assert [arm.name for arm in arms] == ["LMModel6", "lr 0.001, moms 0.9,0.8,0.9"]
    assert arms[1].settings["moms"] == (0.9, 0.8, 0.9)


@pytest.mark.parametrize(
    ("design", "count"),
    [
        ({}, 0),
        ({"leave_one_out": ["ar", "tar"]}, 2),
        ({"add_one": ["ar", "tar"]}, 2),
        ({"add_one": {"base": {"model": "lm6"}, "factors": ["ar", "tar"]}}, 3),
        ({"factorial": FOUR}, 16),
        ({"factorial": FOUR, "fraction": "tar = tying * dropout * ar"}, 8),
        ({"one_at_a_time": {"lr": [1, 2], "wd": [1, 2, 3]}}, 5),
        ({"grid": {"lr": [1, 2], "wd": [1, 2, 3]}}, 6),
        ({"include": [{"lr": 1}]}, 1),
        ({"grid": {f"k{i}": list(range(10)) for i in range(9)}}, 10**9),
    ],
)
def test_cells_are_counted_by_arithmetic(design: dict[str, object], count: int) -> None:
    assert Design.model_validate(design).count == count


# Settings.


def test_every_field_of_trial_can_be_set_or_is_set_by_the_study() -> None:
    fields = set(Trial.__dataclass_fields__)
    assert set(TrialFields.model_fields) == set(DEFAULTS)
    assert fields - set(DEFAULTS) == {"model", "seed", "options", *FOUND}


@pytest.mark.parametrize("model", ZOO)
def test_every_model_resolves_to_its_chapter_s_settings(model: str) -> None:
    trial = Trial(seed=0, **resolve({"model": model}))
    for key, value in ZOO[model].settings.items():
        assert getattr(trial, key) == value
    assert trial.options == ZOO[model].options


def test_written_settings_go_before_the_model_s_and_those_before_the_defaults() -> None:
    fields = resolve({"model": "lm7", "wd": 0.3})
    assert fields["wd"] == 0.3  # written; LMModel7's is .1
    assert fields["alpha"] == 2.0  # LMModel7's; Trial's default is 0
    assert fields["epochs"] == 15  # Trial's default


def test_an_arm_with_another_model_takes_that_model_s_chapter_settings() -> None:
    arm = resolve(inherit({"model": "lm7", "batch": 32, "dropout": 0.2}, {"model": "lm4"}))
    assert arm["batch"] == 32  # written in the baseline, and kept
    assert (arm["lr"], arm["wd"], arm["alpha"]) == (3e-3, 0.01, 0.0)  # LMModel4's, not LMModel7's
    assert arm["options"] == {"hidden": 64}  # it has no dropout to inherit


def test_whole_numbers_that_mean_floats_become_floats() -> None:
    fields = resolve({"model": "lm6", "lr": 1, "dropout": 0})
    assert (type(fields["lr"]), type(fields["options"]["dropout"])) == (float, float)


@pytest.mark.parametrize("detach_every", [1, 2, 4, 8, 16, 32, 64, 160])
def test_a_detach_every_divides_the_window_or_is_a_multiple_of_it(detach_every: int) -> None:
    assert resolve({"model": "lm6", "detach_every": detach_every})["detach_every"] == detach_every


@pytest.mark.parametrize("kept", [{"reset": "batch"}, {"order": "shuffled"}, {"order": "sequential"}])
def test_a_detach_every_beyond_the_window_needs_a_state_that_is_kept(kept: dict[str, str]) -> None:
    assert resolve({"model": "lm6", "detach_every": 8, **kept})["detach_every"] == 8
    with pytest.raises(BadInput, match=r"^detach_every = 32: goes beyond the window \(16\)"):
        resolve({"model": "lm6", "detach_every": 32, **kept})


def test_a_detach_every_of_zero_is_the_window() -> None:
    assert resolve({"model": "lm6", "window": 64, "detach_every": 0})["detach_every"] == 64


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("lr", 1e-3, "lr 0.001"),
        ("lr", 1e-5, "lr 1e-05"),
        ("detach_every", 4, "detach every 4"),
        ("tying", True, "tying"),
        ("tying", False, "no tying"),
        ("beta", 0, "no TAR"),
        ("beta", 1, "TAR 1"),
        ("layers", 1, "1 layer"),
        ("layers", 2, "2 layers"),
        ("model", "gru", "nn.GRU"),
        ("moms", [0.8, 0.7, 0.8], "moms of LMModel7"),
        ("moms", [0.9, 0.8, 0.9], "moms 0.9,0.8,0.9"),
        ("window", 8, "window 8"),
        ("hidden_p", 0.1, "hidden dropout 0.1"),
    ],
)
def test_settings_have_names_that_a_learner_reads(key: str, value: object, words: str) -> None:
    assert label(key, value) == words


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("lr=1e-3,1e-2", "lr", [1e-3, 1e-2]),
        ("lr = .5", "lr", [0.5]),
        ("epochs=1, 2", "epochs", [1, 2]),
        ("tying=true,false", "tying", [True, False]),
        ("model=lm4,'lm5'", "model", ["lm4", "lm5"]),
        ("moms=[0.8,0.7,0.8]", "moms", [[0.8, 0.7, 0.8]]),
        ("moms=[.8, .7, .8],[.95,.85,.95]", "moms", [[0.8, 0.7, 0.8], [0.95, 0.85, 0.95]]),
        ("corpus=a=b.txt", "corpus", ["a=b.txt"]),
    ],
)
def test_the_command_line_s_settings_are_read_by_type(text: str, key: str, values: list[object]) -> None:
    read = parse_set(text)
    assert read == (key, values)
    assert [type(value) for value in read[1]] == [type(value) for value in values]


def test_a_settings_error_names_the_models_own_options() -> None:
    with pytest.raises(BadInput, match=r"^model 'lm4' has no option 'layers'; it has: hidden$"):
        resolve({"model": "lm4", "layers": 1})


def _flat(arm) -> dict[str, object]:  # type: ignore[no-untyped-def]
    return {**arm.settings, **arm.settings["options"]}
