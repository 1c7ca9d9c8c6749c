"""Bad input is refused before the first trial, in one line that names file, key and cure."""

import os
import time
from pathlib import Path

import pytest

from ablations.design.loading import load, override
from ablations.design.seeds import seeds
from ablations.design.settings import parse_set, resolve
from bench.trial import BadInput

HEAD = 'name = "n"\nquestion = "q?"\n'
LM6 = HEAD + '[baseline]\nmodel = "lm6"\n'
SWEEP = LM6 + "[design.one_at_a_time]\n"
ARM = LM6 + '[[arm]]\nname = "a"\n'


def refusal(tmp_path: Path, text: str | bytes) -> str:
    """What `load` says about a study with this text."""
    path = tmp_path / "mine.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadInput) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # unknown, misspelt and duplicate keys
        (HEAD + 'metrik = "x"\n[baseline]\nmodel = "lm6"', "unknown key 'metrik'; did you mean 'metric'?"),
        (LM6 + "[design]\nleave_one_oot = []", "'design.leave_one_oot'; did you mean 'leave_one_out'?"),
        (LM6 + "[design.add_one]\nfactor = []", "'design.add_one.factor'; did you mean 'factors'?"),
        (ARM + 'notes = ""\nset = {}', "'arm.0.notes'; did you mean 'note'?"),
        (LM6 + '[[arms]]\nname = "a"', "did you mean 'arm'?"),
        (LM6 + "lrr = 0.1", "[baseline]: unknown setting 'lrr'; did you mean 'lr'?"),
        (LM6 + "layer = 1", "[baseline]: unknown setting 'layer'; did you mean 'layers'?"),
        (LM6 + "tar = 1", "unknown setting 'tar'; did you mean 'beta'?"),
        (LM6 + "seed = 1", "'seed' is not a setting: the study's own `seeds` name them"),
        (LM6 + 'source = "x"', "'source' is not a setting"),
        (LM6 + "learning_rate = 0.1", "'learning_rate' is not a setting: it is called lr"),
        (LM6 + "horizon = 4", "'horizon' is not a setting: it is called detach_every"),
        (LM6 + 'model = "lm7"', "line 5: a key is given twice: model = \"lm7\"; keep one"),
        (LM6 + "[design]\n[design]\n", "line 6: a key is given twice: [design]"),
        (SWEEP + "lr = [1e-3]\nlr = [1e-2]", "line 7: a key is given twice: lr = [1e-2]"),
        (ARM + "set = { lr = 0.1, lr = 0.2 }", "line 7: a key is given twice"),
        # what is missing
        ('question = "q?"\n[baseline]\nmodel = "lm6"', "name: is missing"),
        (HEAD, "baseline: is missing"),
        (HEAD + "[baseline]\nlr = 0.1", '[baseline]: no model; name one: model = "lm6"'),
        (LM6 + "[[arm]]\nset = { lr = 0.1 }", "arm.0.name: is missing"),
        (LM6 + '[[arm]]\nname = "a"', "arm.0.set: is missing"),
        # not a study at all
        ("", "is missing"),
        ("name = ", "line 1: is not TOML"),
        (b"name = '\xff'", "byte 8 is not UTF-8"),
        ("a = " + "[" * 5000, "is nested too deeply"),
        (LM6 + "lr." + "a." * 5000 + "b = 1", "is nested too deeply"),
        # wrong types and ranges at the top
        (HEAD.replace('"n"', '" "') + '[baseline]\nmodel = "lm6"', "name"),
        (HEAD + 'metric = "loss"\n[baseline]\nmodel = "lm6"', "metric"),
        (HEAD + 'equivalence = "0.1"\n[baseline]\nmodel = "lm6"', "equivalence"),
        (HEAD + "equivalence = 0\n[baseline]\nmodel = 'lm6'", "equivalence = 0"),
        (HEAD + "equivalence = nan\n[baseline]\nmodel = 'lm6'", "equivalence"),
        (HEAD + "equivalence = inf\n[baseline]\nmodel = 'lm6'", "equivalence"),
        (HEAD + "aa = 1\n[baseline]\nmodel = 'lm6'", "aa = 1"),
        (HEAD + "seeds = [0, 1000]\naa = true\n[baseline]\nmodel = 'lm6'", "aa: needs the seeds 1000 above"),
        (HEAD + "seeds = [4294967295]\naa = true\n[baseline]\nmodel = 'lm6'", "aa: needs the seeds 1000"),
        (HEAD + 'seeds = "3"\n[baseline]\nmodel = "lm6"', 'seeds = "3": write 3 for the seeds below it'),
        (HEAD + 'seeds = ["3"]\n[baseline]\nmodel = "lm6"', "seeds: '3' is not a whole number"),
        (HEAD + "baseline = 3", "baseline = 3"),
        (HEAD + "design = 3\n[baseline]\nmodel = 'lm6'", "design = 3"),
        (HEAD + "arm = {}\n[baseline]\nmodel = 'lm6'", "arm"),
        # designs
        (LM6 + '[design]\nadd_one = ["tyin"]', "add_one: unknown factor 'tyin'; did you mean 'tying'?"),
        (LM6 + '[design]\nadd_one = ["ar", "ar"]', "add_one: 'ar' is given twice"),
        (LM6 + '[design]\nleave_one_out = ["ar"]', "leave_one_out 'ar': changes nothing"),
        (LM6.replace("lm6", "lm7") + '[design]\nadd_one = ["ar"]', "add_one: 'ar' changes nothing"),
        (LM6.replace("lm6", "lm4") + '[design]\nadd_one = ["tying"]', "model 'lm4' has no option 'tying'"),
        (LM6.replace("lm6", "lm4") + '[design]\nfactorial = ["tying"]', "model 'lm4' has no option 'tying'"),
        (SWEEP + "lr = [1e-2]", "one_at_a_time.lr: changes nothing"),
        (SWEEP + "lr = []", "design.one_at_a_time.lr"),
        (SWEEP + "lr = 1e-2", "design.one_at_a_time.lr = 0.01"),
        (SWEEP + "detach_every = [16]", "one_at_a_time.detach_every: changes nothing"),
        (SWEEP + "epochs = [1, 1]", "one_at_a_time.epochs: 1 is given twice"),
        (SWEEP + "detach_evry = [1]", "unknown setting 'detach_evry'; did you mean 'detach_every'?"),
        (LM6 + "[design]\ninclude = [{ lr = 1e-2 }]", "[design]: include: changes nothing"),
        (LM6 + "[design]\nexclude = [{ lr = 1e-2 }]", "[design]: exclude: no cell has {'lr': 0.01}"),
        (LM6 + '[design]\nfactorial = ["ar"]\nfraction = "ar = tar"', "fraction 'ar = tar'"),
        (
            LM6 + '[design]\nfactorial = ["ar", "tar", "tying"]\nfraction = "ar = tar * tying"',
            "a product of fewer than three confounds main effects",
        ),
        # arms
        (ARM + "set = {}", "arm 'a': changes nothing"),
        (ARM + "set = { lr = 1e-2 }", "arm 'a': lr = 0.01 changes nothing"),
        (ARM + "set = { lr = 1e-3, epochs = 15 }", "arm 'a': epochs = 15 changes nothing"),
        (ARM + "set = { model = 'lm4', lr = 3e-3 }", "arm 'a': lr = 0.003 changes nothing"),
        (ARM + "set = { model = 'lm6', lr = 3e-3 }", "arm 'a': model = 'lm6' changes nothing"),
        (ARM + "set = { model = 'lm4', layers = 1 }", "model 'lm4' has no option 'layers'; it has: hidden"),
        (ARM + "set = { model = 'lm' }", "model 'lm' is not in the zoo; did you mean"),
        (ARM + "set = { lr = 0.1 }\n[[arm]]\nname = 'a'\nset = { lr = 0.2 }", "two arms are called 'a'"),
    ],
)  # fmt: skip
def test_a_bad_study_is_refused_naming_file_key_and_cure(tmp_path: Path, text: str, words: str) -> None:
    assert words in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("window = 0", "window"), ("window = 1.5", "window"), ("window = true", "window"),
        ('window = "3"', "window"), ("window = 100000000000", "window"),
        ("batch = 0", "batch"), ("batch = 64.0", "batch"), ("epochs = 0", "epochs"),
        ("epochs = true", "epochs"),
        ("lr = 0", "lr"), ("lr = -1e-3", "lr"), ("lr = nan", "lr"), ("lr = inf", "lr"), ('lr = "1e-3"', "lr"),
        ("lr = true", "lr"), ("lr = 1" + "0" * 400, "lr"), ("wd = -0.1", "wd"), ("alpha = nan", "alpha"),
        ("beta = -1", "beta"), ("clip = inf", "clip"), ("vocab = -1", "vocab"),
        ("moms = 0.9", "moms"), ("moms = [0.9, 0.8]", "moms"), ("moms = [0.9, 0.8, 1.0]", "moms"),
        ("moms = [0.9, 0.8, nan]", "moms"), ("moms = [0.9, 0.8, true]", "moms"),
        ('moms = ["0.9", 0.8, 0.7]', "moms"), ("moms = [0.95, 0.85, 0.95, 0.95]", "moms"),
        ("detach_every = 5", "detach_every"), ("detach_every = 24", "detach_every"),
        ("detach_every = -1", "detach_every"),
        ('order = "group"', "order"), ('target = "all"', "target"), ('reset = "always"', "reset"),
        ('split = "head"', "split"), ('tokens = "words"', "tokens"), ('engine = "fast"', "engine"),
        ('corpus = ""', "corpus"), ("corpus = 1", "corpus"),
        ("dropout = 1", "dropout"), ("dropout = -0.1", "dropout"), ("dropout = nan", "dropout"),
        ("dropout = true", "dropout"), ('dropout = "0.1"', "dropout"), ("dropout = 1" + "0" * 400, "dropout"),
        ("tying = 1", "tying"), ('tying = "true"', "tying"), ("hidden = 0", "hidden"),
        ("hidden = 64.0", "hidden"),
        ("hidden = true", "hidden"), ("layers = 0", "layers"), ('layers = "2"', "layers"),
    ],
)  # fmt: skip
def test_a_setting_of_the_wrong_type_or_range_is_refused(tmp_path: Path, setting: str, key: str) -> None:
    message = refusal(tmp_path, LM6 + setting)
    assert message.startswith(f": [baseline]: {key}")
    assert "should" in message


@pytest.mark.parametrize("model", [3, True, ["lm6"], {"lm6": 1}, ""])
def test_a_model_that_is_not_a_name_is_refused(model: object) -> None:
    with pytest.raises(BadInput, match="model"):
        resolve({"model": model})


@pytest.mark.parametrize(
    ("model", "key", "value", "choices"),
    [
        ("lm5", "nonlinearity", "sigmoid", "'relu' or 'tanh'"),
        ("gru-after", "form", "chunk", "'after' or 'before'"),
        ("lstm-gates", "form", 1, "'chunk' or 'gates'"),
    ],
)
def test_an_option_with_choices_names_them(model: str, key: str, value: object, choices: str) -> None:
    with pytest.raises(BadInput, match=f"{key} = .*: should be {choices}"):
        resolve({"model": model, key: value})


@pytest.mark.parametrize(
    "written",
    [-1, 0, True, False, 1.5, 10**9, "", ",", "-1", "1.5", "9-0", "0-", "x", "0,0", "0-3,3", "4294967296",
     "0-4294967295", [], [-1], [2**32], [1.5], ["3"], [True], [0, 0], [[0]], None, {"a": 1}],
)  # fmt: skip
def test_seeds_that_are_no_seeds_are_refused(written: object) -> None:
    with pytest.raises(BadInput, match="seeds: "):
        seeds(written)  # type: ignore[arg-type]


@pytest.mark.parametrize("written", ["", "-1", "1.5", "x", "4294967296"])
def test_the_cure_of_seeds_given_as_text_is_in_text_s_own_terms(written: str) -> None:
    with pytest.raises(BadInput, match=r"; write a range such as 0-9, or a list such as 0,3,5$"):
        seeds(written)  # 10 is the one seed 10 there, so the cure of a file's number would mislead
    assert (seeds("0-9"), seeds("0,3,5")) == (tuple(range(10)), (0, 3, 5))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (1, (0,)),
        (10, tuple(range(10))),
        ("0", (0,)),
        ("0-9", tuple(range(10))),
        ("0,3,5", (0, 3, 5)),
        (" 0-2 , 7 ", (0, 1, 2, 7)),
        ([5, 0], (5, 0)),
        ([2**32 - 1], (2**32 - 1,)),
    ],
)
def test_seeds_are_a_number_a_range_or_a_list_and_zero_is_one(
    written: object, meant: tuple[int, ...]
) -> None:
    assert seeds(written) == meant  # type: ignore[arg-type]


def test_a_billion_cells_are_counted_without_being_built(tmp_path: Path) -> None:
    path = tmp_path / "huge.toml"
    axes = ("lr", "wd", "alpha", "beta", "clip", "epochs", "hidden", "layers", "batch")
    levels = {key: [n / 100 if key in ("lr", "wd") else n for n in range(1, 11)] for key in axes}
    path.write_text(LM6 + "[design.grid]\n" + "\n".join(f"{key} = {level}" for key, level in levels.items()))
    start = time.process_time()  # what others do on this machine does not count
    with pytest.raises(BadInput, match=r"plans up to 10,000,000,010 trials, more than 10,000; .*confirm"):
        load(path)  # 10 seeds × (10⁹ cells + the baseline)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("design", "words"),
    [
        ("lr = [" + ", ".join(f"{n}e-9" for n in range(1, 80_000)) + "]", "plans up to 800,000 trials"),
        ("lr = [" + ", ".join(f"{n}e-9" for n in range(1, 1_000_001)) + "]", "bytes, more than 1,000,000"),
    ],
    ids=["as long as a file may be", "a million"],
)
def test_very_many_arms_are_refused_within_a_second(tmp_path: Path, design: str, words: str) -> None:
    start = time.process_time()
    assert words in refusal(tmp_path, f"{SWEEP}{design}\n")
    assert time.process_time() - start < 1


def test_a_pipe_is_no_study(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(BadInput, match="is not a regular file; give the path of a"):
        load(tmp_path / "pipe.toml")


def test_more_trials_than_the_limit_need_a_confirmation() -> None:
    with pytest.raises(
        BadInput, match="plans up to 80 trials, more than 69"
    ):  # seven arms, one of them asked for twice
        override(load("gru"), limit=69)
    assert load("gru", limit=69, confirmed=True).plan == load("gru").plan


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("togles", "did you mean 'toggles'?"),
        ("nowhere.toml", "No such file"),
        ("/nowhere/at.toml", "No such file"),
        ("a\0.toml", "null"),
        (".", "ships"),
        ("../studies/", "give the path of a .toml"),
    ],
)
def test_a_study_that_is_not_there_is_refused(name: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        load(name)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        ([("lrr", [1e-3])], "--set: unknown setting 'lrr'; did you mean 'lr'?"),
        ([("lr", [1e-3, -1])], "--set: lr = -1"),
        ([("lr", [1e-3, float("nan")])], "--set: lr = nan"),
        ([("lr", [])], "--set: no value for lr"),
        ([("model", ["lm8"])], "--set: model 'lm8' is not in the zoo"),
        ([("window", [16]), ("detach_every", [4, 5])], "--set: detach_every = 5"),
        (
            [("lr", [1e-3]), ("lr", [1e-2])],
            "--set: lr stands there twice; write its values side by side: lr=0.001,0.01",
        ),
    ],
)
def test_a_bad_set_is_refused_by_its_name(sets: list[tuple[str, list[object]]], words: str) -> None:
    with pytest.raises(BadInput) as caught:
        override(load("gru"), sets=sets)
    assert str(caught.value).startswith(words)


def test_settings_that_need_each_other_may_come_in_any_order() -> None:
    sets = [("epochs", [4]), ("finetune", [1])]
    one, other = (override(load("awd"), sets=way).baseline.settings for way in (sets, sets[::-1]))
    assert one == other and (one["epochs"], one["finetune"]) == (4, 1)


@pytest.mark.parametrize("text", ["lr", "=1", "lr=", "", " = "])
def test_a_set_without_a_key_or_a_value_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--set"):
        parse_set(text)
