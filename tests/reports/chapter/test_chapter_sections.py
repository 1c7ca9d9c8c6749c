"""What only pages of the chapter's models have: witnesses, counting models, sweeps, roles and predictions."""

from dataclasses import replace

import pytest

from tests.helpers.arms import SHARE, make_arm, make_counting_arm
from tests.helpers.designs import compare, design_arms, make_realistic_design
from tests.helpers.pages import read_page_text
from unrolled.reports.chapter import extras as chapter
from unrolled.reports.chapter.roles import TITLES, average_roles
from unrolled.reports.compare.sweeps import find_sweeps
from unrolled.reports.page.render import render
from unrolled.reports.words.page_warnings import list_warnings


def test_warnings_name_dead_toggles_missing_witnesses_and_arms_worse_than_counting():
    base = make_arm("base", 0.0, 0.0)
    twin = make_arm("twin", 0.0, 0.0, settings={"alpha": 2.0})
    counts = make_arm("bigrams", -0.4, model="ngram-2")
    blind = make_arm("blind", 0.1, settings={"beta": 1.0})
    unseen = {"tar": {"ok": False, "declared": 1.0, "seen": 0.0}}
    blind = replace(blind, results={s: replace(r, witnesses=unseen) for s, r in blind.results.items()})
    comparison = compare(design_arms((base, twin, counts, blind)))
    dead, unproved, *worse = (*list_warnings(comparison), *chapter.make_extras(comparison).warnings)
    assert dead.startswith("twin: dead toggle")
    assert unproved.startswith("blind: no proof that tar ")
    assert [warning.partition(":")[0] for warning in worse] == ["base", "blind"]
    assert all("▼ worse by more than δ" in warning for warning in worse)
    assert all(warning.endswith("bigram counts") for warning in worse)


def test_an_arm_is_worse_than_counting_by_verdict_alone():
    counts = make_arm("bigrams", -0.01, 0.0, model="ngram-2")
    for base in (make_arm("base", 0.0, seeds=4), make_arm("base", 0.0, spread=0.2)):
        comparison = compare(design_arms((base, counts)))
        assert comparison.arms[0].summary.mean > comparison.arms[1].summary.mean
        assert chapter.make_extras(comparison).warnings == ()


def test_a_sweep_joins_arms_that_differ_in_the_rate_alone():
    ((_, points),) = find_sweeps(compare(make_realistic_design()))
    assert [lr for lr, _ in points] == [0.003, 0.01, 0.03]


def test_sweeps_of_one_model_are_told_apart_by_their_settings():
    rates = [{"lr": lr, "clip": clip} for clip in (1.0, 2.0) for lr in (0.003, 0.01)]
    arms = [make_arm(f"{settings}", 0.1 * i, settings=settings) for i, settings in enumerate(rates)]
    titles = [title for title, _ in find_sweeps(compare(design_arms(tuple(arms))))]
    assert titles == ["clip 1.0", "clip 2.0"]


def test_roles_are_pooled_over_finished_seeds():
    names, lines = average_roles(compare(make_realistic_design()))
    assert names == tuple(TITLES[role] for role in SHARE)
    accuracy = {row.name: shares[0] for row, shares in lines}
    for name, seeds in (("LMModel6", 10), ("no reset", 9)):
        results = next(a for a in make_realistic_design().arms if a.name == name).results.values()
        hits = [r.records["roles"]["separator"][1] for r in results if r.is_done]
        assert accuracy[name] == sum(hits) / (1000 * seeds)


@pytest.mark.parametrize(
    ("effects", "names"),
    [
        pytest.param((0.0, -0.5, 0.3, 0.1), ["arm 1", "arm 0", "arm 2"], id="best, baseline, worst"),
        pytest.param((0.0, 0.5, 0.3, 0.1), ["arm 0", "arm 3", "arm 1"], id="where the baseline is best"),
        pytest.param((0.9, 0.5, 0.3, 0.1), ["arm 3", "arm 1", "arm 0"], id="where the baseline is worst"),
        pytest.param((0.0, 0.5), ["arm 0", "arm 1"], id="of two arms"),
    ],
)
def test_the_best_arm_the_baseline_and_one_other_predict_the_same_stretch(effects, names, tmp_path):
    arms = [make_arm(f"arm {i}", effect, settings={"clip": 1.0 + i}) for i, effect in enumerate(effects)]
    counts = make_counting_arm("counts", 0.8)
    texts = {s: {**r.records, "continuation": ()} for s, r in counts.results.items()}
    counts = replace(counts, results={s: replace(r, records=texts[s]) for s, r in counts.results.items()})
    other_task = make_arm("elsewhere", -0.9, settings={"split": "blocks"})
    other_text = make_arm("other text", -0.9, settings={"clip": 9.0})
    passage = [{"token": "one", "guess": "one", "p": 0.9}]
    read = {s: replace(r, records={"passage": passage}) for s, r in other_text.results.items()}
    other_text = replace(other_text, results=read)
    comparison = compare(
        design_arms((*arms, counts, other_task, other_text, make_arm("again", -0.9, changes={})))
    )
    samples = chapter.choose_samples(comparison)
    assert [sample.arm.name for sample in samples] == names
    assert {sample.result.trial.seed for sample in samples} == {0}
    section = (
        read_page_text(render(comparison, tmp_path))
        .partition(" Predictions ")[2]
        .partition(" All numbers ")[0]
    )
    assert section.count("It writes: eight thousand eighty four . eight") == len(names)
    assert section.count("11 of 15 right") == section.count("eight ✕ nine") == len(names)
