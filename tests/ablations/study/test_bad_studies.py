"""A bad study is refused in one line that names file, key and cure."""

import os
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.bad_input import raises_bad_input
from unrolled.ablations.options import parse_set
from unrolled.ablations.study import loading
from unrolled.ablations.study.chapter_factory import DEFAULTS, make_arm_fields
from unrolled.ablations.study.loading import declare_study, load_study, override_study
from unrolled.ablations.study.seeds import parse_seeds
from unrolled.bench.chapter.models.registry import ZOO
from unrolled.bench.errors import BadInput

HEAD = 'name = "n"\nquestion = "q?"\n'
LM6 = HEAD + '[baseline]\nmodel = "lm6"\n'
LM4 = LM6.replace("lm6", "lm4")
TOP = HEAD + "{}\n[baseline]\nmodel = 'lm6'\n"
SWEEP = LM6 + "[design.one_at_a_time]\n"
ARM = LM6 + '[[arm]]\nname = "a"\n'
SECOND_ARM = "[[arm]]\nname = 'b'\nset = { lr = 0.2 }"
WITHIN = LM6 + 'layers = 3\n[design]\nwithin = [{}]\n[design.grid]\nmodel = ["lm6", "gru"]\nlayers = [2, 1]'


def expect_refusal(tmp_path: Path, text: str | bytes, item: str, named: str) -> None:
    """Load this text; the error's place and key are the file and this item of it, and it names `named`."""
    path = tmp_path / "mine.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadInput) as excinfo:
        load_study(path)
    error = excinfo.value
    assert (
        ": ".join(filter(None, (error.place, error.key))).removeprefix(str(path)).removeprefix(": ") == item
    )
    assert named in f"{error.rule}; {error.cure}"
    assert "\n" not in str(error)


def test_an_error_says_place_key_rule_and_cure_also_in_another_process() -> None:
    error = pickle.loads(pickle.dumps(BadInput("is too low", place="a.toml", key="lr = 0", cure="raise it")))
    assert (error.place, error.key, error.rule, error.cure) == ("a.toml", "lr = 0", "is too low", "raise it")
    assert str(error) == "a.toml: lr = 0: is too low; raise it"
    assert (str(BadInput("no room")), BadInput("no room").cure) == ("no room", "")


@pytest.mark.parametrize(
    ("text", "item", "suggestion"),
    [
        (HEAD + 'metrik = "x"\n[baseline]\nmodel = "lm6"', "'metrik'", "'metrics'"),
        (TOP.format("metric = 'valid_loss'"), "'metric'", "'metrics'"),
        (LM6 + "[design]\nleave_one_oot = []", "'design.leave_one_oot'", "'leave_one_out'"),
        (LM6 + "[design.add_one]\nfactor = []", "'design.add_one.factor'", "'factors'"),
        (ARM + 'notes = ""\nset = {}', "'arm.0.notes'", "'note'"),
        (LM6 + "lrr = 0.1", "[baseline]: 'lrr'", "'lr'"),
        (LM6 + "tar = 1", "[baseline]: 'tar'", "'beta'"),
        (LM6 + "seed = 1", "[baseline]: 'seed'", "`seeds`"),
        (LM6 + "batch_size = 4", "[baseline]: 'batch_size'", "'batch'"),
        (LM6 + '"ключ" = 1', "[baseline]: 'ключ'", "model, corpus, "),
        (LM6 + '[design]\nadd_one = ["tyin"]', "[design]: add_one", "'tying'"),
        (ARM + "set = { model = 'lm' }", "arm 'a': model 'lm'", "'lm7'"),
        (ARM + "set = { lr = 0.1 }\nagainst = 'LMModel'", "arm 'a': against", "'LMModel6'"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(
    tmp_path: Path, text: str, item: str, suggestion: str
) -> None:
    expect_refusal(tmp_path, text, item, suggestion)


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("", "name"),
        ('question = "q?"\n[baseline]\nmodel = "lm6"', "name"),
        (HEAD + "[baseline]\nlr = 0.1", "[baseline]: model"),
        (LM6 + "[[arm]]\nset = { lr = 0.1 }", "arm.0.name"),
        (TOP.format("metrics = [{ name = 'valid_loss' }]"), "metrics.0.delta"),
    ],
)
def test_a_missing_key_is_named(tmp_path: Path, text: str, item: str) -> None:
    expect_refusal(tmp_path, text, item, "missing")


@pytest.mark.parametrize(
    ("text", "item", "named"),
    [
        ("name = ", "", "line 1"),
        (b"name = '\xff'", "", "byte 8"),
        (LM6 + 'model = "lm7"', "", 'line 5: a key is given twice: model = "lm7"'),
        (LM6 + "[design]\n[design]\n", "", "line 6: a key is given twice: [design]"),
        (LM6 + "lr = .01", "", "write 0.01"),
        (LM6 + "lr = [1, -.5]", "", "write -0.5"),
        (LM6 + 'a = "--lr=.9', "", "Illegal character"),
        ("a = " + "[" * 5000, "", "nested"),
        (LM6 + "lr." + "a." * 5000 + "b = 1", "baseline.lr.a.a", "nested"),
        (LM6 + "lr." + "a." * 20 + "b = 1", "baseline.lr.a.a", "nested"),
        (LM6 + f"epochs = {'9' * 5000}", "", "4300 digits"),
        (LM6 + r'corpus = "a\u0000b"', "baseline.corpus", "U+0000"),
        (LM6 + r'"a\u0000b" = 1', r"baseline.'a\x00b'", "U+0000"),
        (LM6 + '[design]\nadd_one = "tying"', 'design.add_one.factors = "tying"', "array"),
        (LM6 + "[arm]\nname = 'a'", "[arm]", "[[arm]]"),
        (HEAD + "[[baseline]]\nmodel = 'lm6'", "[[baseline]]", "write [baseline]"),
    ],
)
def test_a_file_that_is_no_toml_of_a_study_is_refused(
    tmp_path: Path, text: str | bytes, item: str, named: str
) -> None:
    expect_refusal(tmp_path, text, item, named)


# The types and ranges of the other keys are in test_every_field, and those of settings below.
@pytest.mark.parametrize(
    ("text", "item", "named"),
    [
        (LM6 + f"epochs = {'9' * 400}", f"[baseline]: epochs = {'9' * 57}…", "1,000,000,000"),
        (LM6 + "lr = 1979-05-27", "[baseline]: lr = 1979-05-27", "a number"),
        (TOP.format("metrics = []"), "metrics = []", "empty"),
        (TOP.format("metrics = [{ name = 'valid_loss', delta = 0 }]"), "metrics.0.delta = 0", "more than 0"),
        (TOP.format("metrics = [{ name = 'valid_loss', delta = '٥%' }]"), 'metrics.0.delta = "٥%"', '"5%"'),
        (TOP.format("metrics = [{ name = 'los', delta = 1 }]"), 'metrics.0.name = "los"', "valid_loss"),
        (
            TOP.format("metrics = [{ name = 'valid_loss', delta = 1 }, { name = 'valid_loss', delta = 2 }]"),
            'metrics = [{"name": "valid_loss", "delta": 1}, {"name": "valid_loss…',
            "twice",
        ),
        (
            TOP.format("metrics = [{ name = 'valid_accuracy', delta = 1, kind = 'time' }]"),
            "kind of valid_accuracy = time",
            "leave the kind out",
        ),
        (
            TOP.format("metrics = [{ name = 'valid_accuracy', delta = 1, better = 'lower' }]"),
            "better of valid_accuracy = lower",
            "leave better out",
        ),
        (
            TOP.format("metrics = [{ name = 'valid_loss', delta = 1, better = 'up' }]"),
            'metrics.0.better = "up"',
            "'higher' or 'lower'",
        ),
        (TOP.format("looks = [10, 10, 20]"), "looks = [10, 10, 20]", "rise"),
        (TOP.format("looks = [20, 10]"), "looks = [20, 10]", "rise"),
        (TOP.format("looks = [4, 10]"), "looks = [4, 10]", "5 seeds"),
        (TOP.format("looks = [0, 10]"), "looks.0 = 0", "at least 1"),
        (TOP.format(f"looks = {[*range(5, 26)]}"), f"looks = {str([*range(5, 26)])[:57]}…", "20"),
        (TOP.format("looks = [10, 20]\nseeds = 30"), "looks = [10, 20]", "30"),
        (HEAD + "seeds = [0, 1000]\naa = true\n[baseline]\nmodel = 'lm6'", "aa", "1000"),
        (HEAD + "seeds = [4294967295]\naa = true\n[baseline]\nmodel = 'lm6'", "aa", "1000"),
        (HEAD + 'seeds = "3"\n[baseline]\nmodel = "lm6"', 'seeds = "3"', "[3]"),
        (HEAD + 'seeds = ["3"]\n[baseline]\nmodel = "lm6"', "seeds", "'3'"),
    ],
)  # fmt: skip
def test_a_value_at_the_top_is_refused_by_its_key(tmp_path: Path, text: str, item: str, named: str) -> None:
    expect_refusal(tmp_path, text, item, named)


@pytest.mark.parametrize(
    ("text", "item", "named"),
    [
        (LM6 + '[design]\nadd_one = ["ar", "ar"]', "[design]: add_one", "'ar' is given twice"),
        (LM6 + '[design]\nleave_one_out = ["ar"]', "[design]: leave_one_out 'ar'", "changes nothing"),
        (LM6.replace("lm6", "lm7") + '[design]\nadd_one = ["ar"]', "[design]: add_one", "alpha = 2.0"),
        (LM4 + '[design]\nadd_one = ["tying"]', "[design]: add_one: model 'lm4'", "'tying'"),
        (LM4 + '[design]\nfactorial = ["tying"]', "[design]: factorial: model 'lm4'", "'tying'"),
        (SWEEP + "lr = []", "design.one_at_a_time.lr = []", "empty"),
        (SWEEP + "lr = 1e-2", "design.one_at_a_time.lr = 0.01", "an array"),
        (SWEEP + "detach_every = [16]", "[design]: one_at_a_time.detach_every", "changes nothing"),
        (SWEEP + "epochs = [1, 1]", "[design]: one_at_a_time.epochs", "1 is given twice"),
        (LM6 + '[design]\nwithin = ["lr"]\none_at_a_time = { lr = [1e-3] }', "[design]: within", "grid"),
        (WITHIN.format('"batch"'), "[design]: within", "'batch'"),
        (WITHIN.format('"model"'), "[design]: within", "LMModel6"),
    ],
)
def test_a_bad_design_is_refused_by_its_key(tmp_path: Path, text: str, item: str, named: str) -> None:
    expect_refusal(tmp_path, text, item, named)


@pytest.mark.parametrize(
    ("text", "item", "named"),
    [
        (ARM + "set = {}", "arm 'a'", "`set`"),
        (ARM + "set = { lr = 1e-3, epochs = 15 }", "arm 'a'", "epochs = 15 changes nothing"),
        (ARM + "set = { model = 'lm4', lr = 3e-3 }", "arm 'a'", "lr = 0.003 changes nothing"),
        (ARM + "set = { model = 'lm6', lr = 3e-3 }", "arm 'a'", "model = 'lm6' changes nothing"),
        (ARM + "set = { lr = 0.1 }\n[[arm]]\nname = 'a'\nset = { lr = 0.2 }", "", "two arms are called 'a'"),
        (ARM + "set = { lr = 0.1 }\nagainst = 'b'\n" + SECOND_ARM, "arm 'a': against", "'b'"),
        (ARM + "set = { lr = 0.1 }\nagainst = 'a'", "arm 'a': against", "'a'"),
    ],
)
def test_a_bad_arm_is_refused_by_its_name(tmp_path: Path, text: str, item: str, named: str) -> None:
    expect_refusal(tmp_path, text, item, named)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("stride = 17", "window (16)"),
        ("stride = 1", 'reset = "batch"'),
        ("detach_every = 24", "window (16)"),
        ("moms = [0.9, 0.8]", "3 values"),
        ("moms = [0.95, 0.85, 0.95, 0.95]", "3 values"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(tmp_path: Path, line: str, named: str) -> None:
    expect_refusal(tmp_path, LM6 + line, f"[baseline]: {line}", named)


def test_a_value_within_an_array_is_refused_by_its_place(tmp_path: Path) -> None:
    expect_refusal(tmp_path, LM6 + "moms = [0.9, 0.8, true]", "[baseline]: moms.2 = true", "a number")


WRONG_VALUES: dict[type, list[Any]] = {
    bool: [1, "true", None],
    int: [-1, 1.5, 64.0, True, "3", 10**11],
    float: [-1.0, float("nan"), float("inf"), True, "0.1", 10**400],
    str: ["zzz", "", 1, True],
    tuple: [0.9, [], [1.0, 0.9, 0.9], [-0.1, 0.9, 0.9], ["0.9", 0.8, 0.7]],
}
EDGES = {
    **dict.fromkeys(("lr", "window", "batch", "epochs", "hidden", "embedding", "layers"), 0),
    **dict.fromkeys(("dropout", "embed_p", "input_p", "weight_p", "hidden_p", "output_p"), 1),
}
OWN_MODELS = {key: spec.name for spec in ZOO.values() for key in spec.options}


@pytest.mark.parametrize("key", [*DEFAULTS, *OWN_MODELS])
def test_a_setting_of_wrong_type_or_range_is_refused_by_name(key: str) -> None:
    model = OWN_MODELS.get(key, "lm6")
    values = list(WRONG_VALUES[type({**DEFAULTS, **ZOO[model].options}[key])])
    if key == "corpus":
        values.remove("zzz")
    for value in (*values, *([EDGES[key]] if key in EDGES else [])):
        with pytest.raises(BadInput) as excinfo:
            make_arm_fields({"model": model, key: value})
        assert re.match(rf"{key}(\.\d+)? = ", excinfo.value.key)


@pytest.mark.parametrize(
    ("model", "text"), [(3, "3"), (True, "true"), (["lm6"], '["lm6"]'), ({"lm6": 1}, '{"lm6": 1}')]
)
def test_a_model_that_is_not_a_name_is_refused(model: object, text: str) -> None:
    with raises_bad_input(key=f"model = {text}"):
        make_arm_fields({"model": model})


@pytest.mark.parametrize(
    "seeds",
    [-1, 0, True, False, 1.5, 10**9, "", ",", "-1", "1.5", "9-0", "0-", "x", "0,0", "0-3,3", "4294967296",
     "0-4294967295", [], [-1], [2**32], [1.5], ["3"], [True], [0, 0], [[0]], None, {"a": 1}],
)  # fmt: skip
def test_seeds_that_are_no_seeds_are_refused(seeds: object) -> None:
    with raises_bad_input(key="seeds"):
        parse_seeds(seeds)  # type: ignore[arg-type]


def test_the_cure_of_a_text_of_seeds_is_a_text() -> None:
    with pytest.raises(BadInput) as excinfo:
        parse_seeds("x")
    assert "0-9" in excinfo.value.cure
    assert "10" not in excinfo.value.cure, "which in a text is the one seed 10"


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        (1, (0,)),
        (10, tuple(range(10))),
        ("0", (0,)),
        ("0-9", tuple(range(10))),
        (" 0-2 , 7 ", (0, 1, 2, 7)),
        ([5, 0], (5, 0)),
        ([2**32 - 1], (2**32 - 1,)),
    ],
)
def test_seeds_are_a_number_a_range_or_a_list(seeds: object, expected: tuple[int, ...]) -> None:
    assert parse_seeds(seeds) == expected  # type: ignore[arg-type]


LEVELS = {key: [n / 100 if key in ("lr", "wd") else n for n in range(1, 11)] for key in
          ("lr", "wd", "alpha", "beta", "clip", "epochs", "hidden", "layers", "batch")}  # fmt: skip
GRID = "[design.grid]\n" + "\n".join(f"{key} = {levels}" for key, levels in LEVELS.items())


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (LM6 + GRID, "40,000,000,040 trials"),  # 40 seeds × (10⁹ cells + the baseline)
        (SWEEP + f"lr = [{', '.join(f'{n}e-9' for n in range(1, 80_000))}]", "3,200,000 trials"),
        (SWEEP + f"lr = [{', '.join(f'{n}e-9' for n in range(1, 1_000_001))}]", "1,000,000"),
    ],
    ids=["a billion cells", "as long as a file may be", "a million levels"],
)
def test_very_many_arms_are_refused_without_being_made(tmp_path: Path, text: str, count: str) -> None:
    expect_refusal(tmp_path, text, "", count)


def test_more_trials_than_the_limit_need_a_confirmation(monkeypatch: pytest.MonkeyPatch) -> None:
    gru = load_study("gru")
    monkeypatch.setattr(loading, "MOST_TRIALS", 539)
    with raises_bad_input("540", "539", "--yes", place="gru.toml"):
        override_study(gru)
    assert load_study("gru", confirmed=True).study_hash == gru.study_hash


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"about": "a\ud800"}, "about"),
        ({"baseline": {"model": "lm1", "\ud800": 1}}, r"baseline.'\ud800'"),
        ({"one_at_a_time": {"corpus": ["a", "\0"]}}, "design.one_at_a_time.corpus.1"),
        ({"arm": [{"name": "\udcff", "set": {"lr": 0.1}}]}, "arm.0.name"),
        ({"metrics": [{"name": "\ud800", "delta": 1}]}, "metrics.0.name"),
    ],
)
def test_a_character_that_is_no_text_is_refused_by_its_key(keys: dict[str, Any], key: str) -> None:
    with raises_bad_input(place="study 'mine'", key=key):
        declare_study("mine", **{"baseline": {"model": "lm1"}, **keys})


def test_a_pipe_is_no_study(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    with raises_bad_input(place=pipe):
        load_study(pipe)


def test_an_unknown_name_of_a_study_is_refused_with_the_nearest() -> None:
    with raises_bad_input("'togles'", "'toggles'"):
        load_study("togles")


@pytest.mark.parametrize("name", ["nowhere.toml", "a\0.toml", ".", __file__, "../studies/"])
def test_a_path_that_is_no_study_is_refused(name: str) -> None:
    with raises_bad_input(".toml", place=name):
        load_study(name)


@pytest.mark.parametrize(
    ("sets", "key", "named"),
    [
        ([("lrr", [1e-3])], "'lrr'", "'lr'"),
        ([("lr", [1e-3, -1])], "lr = -1", "more than 0"),
        ([("lr", [1e-3, float("nan")])], "lr = nan", "finite"),
        ([("lr", [])], "", "no value for lr"),
        ([("corpus", ["a\udcff"])], "corpus.0", "U+DCFF"),
        ([("window", [16]), ("detach_every", [4, 5])], "detach_every = 5", "window (16)"),
        ([("lr", [1e-3]), ("lr", [1e-2])], "", "lr=0.001,0.01"),
    ],
)
def test_a_bad_set_is_refused_by_its_name(sets: list[tuple[str, list[object]]], key: str, named: str) -> None:
    with raises_bad_input(named, place="--set", key=key):
        override_study(load_study("gru"), sets=sets)


@pytest.mark.parametrize("text", ["lr", "=1", "lr=", "", " = "])
def test_a_set_without_a_key_or_a_value_is_refused(text: str) -> None:
    with raises_bad_input(place=f"--set {text!r}"):
        parse_set(text)
