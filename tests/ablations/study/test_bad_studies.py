"""Bad input is refused before the first trial, in one line that names file, key and cure."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from unrolled.ablations.options import parse_set
from unrolled.ablations.study import loading
from unrolled.ablations.study.chapter import DEFAULTS, make_trial_fields
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


def load_refusal(tmp_path: Path, text: str | bytes) -> str:
    """Return the message of the error that loading this text raises."""
    path = tmp_path / "mine.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadInput) as excinfo:
        load_study(path)
    message = str(excinfo.value)
    assert excinfo.value.place.startswith(str(path)) and "\n" not in message
    return message.removeprefix(str(path))


def test_an_error_says_place_key_rule_and_cure_also_in_another_process() -> None:
    error = pickle.loads(pickle.dumps(BadInput("is too low", place="a.toml", key="lr = 0", cure="raise it")))
    assert (error.place, error.key, error.rule, error.cure) == ("a.toml", "lr = 0", "is too low", "raise it")
    assert str(error) == "a.toml: lr = 0: is too low; raise it"
    assert (str(BadInput("no room")), BadInput("no room").cure) == ("no room", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # unknown, misspelt and duplicate keys
        (HEAD + 'metrik = "x"\n[baseline]\nmodel = "lm6"', "'metrik': unknown key; did you mean 'metrics'?"),
        (LM6 + "[design]\nleave_one_oot = []", "leave_one_oot': unknown key; did you mean 'leave_one_out'?"),
        (LM6 + "[design.add_one]\nfactor = []", "'design.add_one.factor': unknown key; did you mean"),
        (ARM + 'notes = ""\nset = {}', "'arm.0.notes': unknown key; did you mean 'note'?"),
        (LM6 + "lrr = 0.1", "[baseline]: 'lrr': unknown setting; did you mean 'lr'?"),
        (LM6 + "tar = 1", "'tar': unknown setting; did you mean 'beta'?"),
        (LM6 + "seed = 1", "'seed': is not a setting; the study's own `seeds` name them"),
        (LM6 + "batch_size = 4", "'batch_size': unknown setting; did you mean 'batch'?"),
        (LM6 + 'model = "lm7"', "line 5: a key is given twice: model = \"lm7\"; keep one"),
        (LM6 + "[design]\n[design]\n", "line 6: a key is given twice: [design]"),
        # what is missing
        ('question = "q?"\n[baseline]\nmodel = "lm6"', "name: is missing"),
        (HEAD + "[baseline]\nlr = 0.1", '[baseline]: model: is missing; name one: model = "lm6"'),
        (LM6 + "[[arm]]\nset = { lr = 0.1 }", "arm.0.name: is missing"),
        # not a study at all
        ("", "is missing"),
        ("name = ", "line 1: is not TOML"),
        (b"name = '\xff'", "byte 8 is not UTF-8"),
        ("a = " + "[" * 5000, "is nested too deeply"),
        (LM6 + "lr." + "a." * 5000 + "b = 1", "is nested too deeply"),
        (LM6 + "lr." + "a." * 20 + "b = 1", "baseline.lr.a.a: is nested too deeply"),
        (LM6 + f"epochs = {'9' * 5000}", "is not TOML: Exceeds the limit (4300 digits)"),
        (LM6 + f"epochs = {'9' * 400}", "epochs = 999"),
        (LM6 + r'corpus = "a\u0000b"', "baseline.corpus: has the character U+0000, which no text has; take"),
        (LM6 + r'"a\u0000b" = 1', r"baseline.'a\x00b': has the character U+0000"),
        (LM6 + "lr = 1979-05-27", "[baseline]: lr = 1979-05-27: should be a number"),
        (LM6 + '"ключ" = 1', "[baseline]: 'ключ': unknown setting"),
        (TOP.format(f"metrics = [{{ name = 'valid_loss', delta = {'9' * 400} }}]"), "should be a finite num"),
        (TOP.format("metrics = [{ name = 'valid_loss', delta = '٥%' }]"), 'should be a number, or a share'),
        # values at the top, whose types and ranges test_every_field tries
        (
            HEAD + "metrics = [{ name = 'valid_loss', delta = 0 }]\n[baseline]\nmodel = 'lm6'",
            "metrics.0.delta = 0: should be more than 0",
        ),
        (TOP.format("metrics = [{ name = 'valid_los', delta = 1 }]"), 'metrics.0.name = "valid_los": should'),
        (
            TOP.format("metrics = [{ name = 'valid_loss', delta = 1 }, { name = 'valid_loss', delta = 2 }]"),
            "a metric is given twice; keep one of them",
        ),
        (TOP.format("metrics = []"), "metrics = []: should not be empty"),
        (
            TOP.format("metrics = [{ name = 'valid_loss', delta = 1, better = 'up' }]"),
            "metrics.0.better = \"up\": should be 'higher' or 'lower'",
        ),
        (TOP.format("metrics = [{ name = 'valid_loss' }]"), "metrics.0.delta: is missing; add this key"),
        (TOP.format("metric = 'valid_loss'"), "'metric': unknown key; did you mean 'metrics'?"),
        (TOP.format("looks = [10, 10, 20]"), "looks = [10, 10, 20]: should rise, as in [10, 15, 20, 30, 40]"),
        (TOP.format("looks = [20, 10]"), "looks = [20, 10]: should rise, as in [10, 15, 20, 30, 40]"),
        (TOP.format("looks = [4, 10]"), "looks = [4, 10]: a verdict needs 5 seeds; begin with 5 or more"),
        (TOP.format("looks = [0, 10]"), "looks.0 = 0: should be at least 1"),
        (TOP.format("looks = [10, 20]\nseeds = 30"), "should end with the number of seeds, 30; change"),
        (TOP.format(f"looks = {[*range(5, 40)]}"), "should have at most 20 numbers; leave some out"),
        (HEAD + "seeds = [0, 1000]\naa = true\n[baseline]\nmodel = 'lm6'", "aa: needs the seeds 1000 above"),
        (HEAD + "seeds = [4294967295]\naa = true\n[baseline]\nmodel = 'lm6'", "aa: needs the seeds 1000"),
        (HEAD + 'seeds = "3"\n[baseline]\nmodel = "lm6"', 'seeds = "3": write 3 for the seeds below it'),
        (HEAD + 'seeds = ["3"]\n[baseline]\nmodel = "lm6"', "seeds: '3' is not an integer"),
        # designs
        (LM6 + '[design]\nadd_one = ["tyin"]', "add_one: unknown factor 'tyin'; did you mean 'tying'?"),
        (LM6 + '[design]\nadd_one = ["ar", "ar"]', "add_one: 'ar' is given twice"),
        (LM6 + '[design]\nleave_one_out = ["ar"]', "leave_one_out 'ar': changes nothing"),
        (LM6.replace("lm6", "lm7") + '[design]\nadd_one = ["ar"]', "add_one: 'ar' changes nothing"),
        (LM4 + '[design]\nadd_one = ["tying"]', "model 'lm4': has no option 'tying'; it has: hidden"),
        (LM4 + '[design]\nfactorial = ["tying"]', "model 'lm4': has no option 'tying'; it has: hidden"),
        (SWEEP + "lr = []", "design.one_at_a_time.lr"),
        (SWEEP + "lr = 1e-2", "design.one_at_a_time.lr = 0.01: should be an array"),
        (SWEEP + "detach_every = [16]", "one_at_a_time.detach_every: changes nothing"),
        (SWEEP + "epochs = [1, 1]", "one_at_a_time.epochs: 1 is given twice"),
        # arms
        (LM6 + "[arm]\nname = 'a'", "[arm]: should be an array of tables; write [[arm]]"),
        (HEAD + "[[baseline]]\nmodel = 'lm6'", "[[baseline]]: should be a table; write [baseline]"),
        (ARM + "set = {}", "arm 'a': changes nothing"),
        (ARM + "set = { lr = 1e-3, epochs = 15 }", "arm 'a': epochs = 15 changes nothing"),
        (ARM + "set = { model = 'lm4', lr = 3e-3 }", "arm 'a': lr = 0.003 changes nothing"),
        (ARM + "set = { model = 'lm6', lr = 3e-3 }", "arm 'a': model = 'lm6' changes nothing"),
        (ARM + "set = { model = 'lm' }", "model 'lm': is not in the zoo; did you mean"),
        (ARM + "set = { lr = 0.1 }\n[[arm]]\nname = 'a'\nset = { lr = 0.2 }", "two arms are called 'a'"),
        (ARM + "set = { lr = 0.1 }\nagainst = 'b'\n" + SECOND_ARM, "arm 'a': against: no arm 'b' comes"),
        (ARM + "set = { lr = 0.1 }\nagainst = 'a'", "arm 'a': against: no arm 'a' comes before this one"),
        (ARM + "set = { lr = 0.1 }\nagainst = 'LMModel'", "before this one; did you mean 'LMModel6'?"),
        (LM6 + '[design]\nwithin = ["lr"]\none_at_a_time = { lr = [1e-3] }', "within: needs a grid; add"),
        (WITHIN.format('"batch"'), "[design]: within: 'batch' is no setting of the grid"),
        (WITHIN.format('"model"'), "within: no cell has LMModel6 and the baseline's levels otherwise; add"),
        # settings that would be ignored, or do not go together
        (LM6 + "stride = 17", "should be at most the window (16)"),
        (LM6 + "stride = 1", 'stride = 1: needs reset = "batch"'),
        (LM6 + "detach_every = 24", "detach_every = 24: should be 0, or divide the window (16)"),
        (LM6 + "moms = [0.9, 0.8]", "moms = [0.9, 0.8]: should have 3 values"),
        (LM6 + "moms = [0.95, 0.85, 0.95, 0.95]", "moms"),
        (LM6 + "moms = [0.9, 0.8, true]", "moms.2 = true: should be a number"),
    ],
)  # fmt: skip
def test_a_bad_study_is_refused_naming_file_key_and_cure(tmp_path: Path, text: str, words: str) -> None:
    assert words in load_refusal(tmp_path, text)


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
def test_a_setting_of_the_wrong_type_or_range_is_refused_by_its_name(key: str) -> None:
    model = OWN_MODELS.get(key, "lm6")
    values = list(WRONG_VALUES[type({**DEFAULTS, **ZOO[model].options}[key])])
    if key == "corpus":
        values.remove("zzz")
    for value in (*values, *([EDGES[key]] if key in EDGES else [])):
        with pytest.raises(BadInput, match=rf"^{key}[. ].*should"):
            make_trial_fields({"model": model, key: value})


@pytest.mark.parametrize("model", [3, True, ["lm6"], {"lm6": 1}, ""])
def test_a_model_that_is_not_a_name_is_refused(model: object) -> None:
    with pytest.raises(BadInput, match="model"):
        make_trial_fields({"model": model})


@pytest.mark.parametrize(
    "seeds",
    [-1, 0, True, False, 1.5, 10**9, "", ",", "-1", "1.5", "9-0", "0-", "x", "0,0", "0-3,3", "4294967296",
     "0-4294967295", [], [-1], [2**32], [1.5], ["3"], [True], [0, 0], [[0]], None, {"a": 1}],
)  # fmt: skip
def test_seeds_that_are_no_seeds_are_refused(seeds: object) -> None:
    with pytest.raises(BadInput, match="seeds: ") as excinfo:
        parse_seeds(seeds)  # type: ignore[arg-type]
    # in a string 10 is the one seed 10, so the cure of an integer would mislead
    assert not (isinstance(seeds, str) and "write 10 (for 0 to 9)" in str(excinfo.value))


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
def test_seeds_are_a_number_a_range_or_a_list_and_zero_is_one(
    seeds: object, expected: tuple[int, ...]
) -> None:
    assert parse_seeds(seeds) == expected  # type: ignore[arg-type]


LEVELS = {key: [n / 100 if key in ("lr", "wd") else n for n in range(1, 11)] for key in
          ("lr", "wd", "alpha", "beta", "clip", "epochs", "hidden", "layers", "batch")}  # fmt: skip
GRID = "[design.grid]\n" + "\n".join(f"{key} = {levels}" for key, levels in LEVELS.items())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # 40 seeds × (10⁹ cells + the baseline)
        (LM6 + GRID, "plans up to 40,000,000,040 trials, more than 10,000; take levels out, or run"),
        (SWEEP + f"lr = [{', '.join(f'{n}e-9' for n in range(1, 80_000))}]", "plans up to 3,200,000 trials"),
        (SWEEP + f"lr = [{', '.join(f'{n}e-9' for n in range(1, 1_000_001))}]", "bytes, more than 1,000,000"),
    ],
    ids=["a billion cells", "as long as a file may be", "a million levels"],
)
def test_very_many_arms_are_refused_without_being_made(tmp_path: Path, text: str, words: str) -> None:
    assert words in load_refusal(tmp_path, text)


def test_more_trials_than_the_limit_need_a_confirmation(monkeypatch: pytest.MonkeyPatch) -> None:
    gru = load_study("gru")
    monkeypatch.setattr(loading, "MAX_TRIALS", 539)
    with pytest.raises(BadInput, match="plans up to 540 trials, more than 539"):
        override_study(gru)
    assert load_study("gru", confirmed=True).plan_hash == gru.plan_hash


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
    with pytest.raises(BadInput) as excinfo:
        declare_study("mine", **{"baseline": {"model": "lm1"}, **keys})
    assert (excinfo.value.place, excinfo.value.key) == ("study 'mine'", key)


def test_a_pipe_is_no_study(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(BadInput, match="is not a regular file; give the path of a"):
        load_study(tmp_path / "pipe.toml")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("togles", "did you mean 'toggles'?"),
        ("nowhere.toml", "No such file"),
        ("a\0.toml", "null"),
        (".", "is a folder"),
        (__file__, "give the path of a .toml"),
        ("../studies/", "give the path of a .toml"),
    ],
)
def test_a_study_that_is_not_there_is_refused(name: str, words: str) -> None:
    with pytest.raises(BadInput) as excinfo:
        load_study(name)
    assert words in str(excinfo.value)


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        ([("lrr", [1e-3])], "'lrr': unknown setting; did you mean 'lr'?"),
        ([("lr", [1e-3, -1])], "lr = -1"),
        ([("lr", [1e-3, float("nan")])], "lr = nan"),
        ([("lr", [])], "no value for lr"),
        ([("corpus", ["a\udcff"])], "corpus.0: has the character U+DCFF"),
        ([("window", [16]), ("detach_every", [4, 5])], "detach_every = 5"),
        ([("lr", [1e-3]), ("lr", [1e-2])], "lr is given twice; write its values side by side: lr=0.001,0.01"),
    ],
)
def test_a_bad_set_is_refused_by_its_name(sets: list[tuple[str, list[object]]], words: str) -> None:
    with pytest.raises(BadInput) as excinfo:
        override_study(load_study("gru"), sets=sets)
    assert str(excinfo.value).startswith(f"--set: {words}")


@pytest.mark.parametrize("text", ["lr", "=1", "lr=", "", " = "])
def test_a_set_without_a_key_or_a_value_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--set"):
        parse_set(text)
