"""The book's values beside ours: whole hits, arms of its settings, and whether ours predict them."""

import math
from dataclasses import fields, replace

import pytest

from tests.helpers.arms import make_arm, make_result
from tests.helpers.designs import LM7_OPTIONS, LM7_SETTINGS, compare, design_arms
from unrolled.ablations.study.loading import load_study
from unrolled.bench.chapter.chapter_trial import ChapterTrial, make_chapter_trial
from unrolled.reports.chapter.book import BOOK, compare_with_book, has_book_settings, predict_value
from unrolled.reports.chapter.extras import describe_fits
from unrolled.reports.compare.design import DesignArm

HITS = {"lm1": 2080, "lm2": 1979, "lm3": 2450, "lm4": 7865, "lm5": 5995, "lm6": 9320, "lm7": 10683}
"""The right predictions that the accuracies of the chapter's rows imply."""
OURS = (0.632, 0.651, 0.618, 0.644, 0.660, 0.627, 0.639, 0.655)  # accuracies of eight seeds


@pytest.mark.parametrize("name", BOOK)
def test_each_published_accuracy_is_a_whole_number_of_hits(name):
    row = BOOK[name]
    assert row.hits == HITS[name]
    assert row.hits / row.targets == pytest.approx(row.accuracy, abs=5.1e-7)


def change_each_setting(model):
    """Return the chapter's trial of a model once for each of its settings, with another value there."""
    chapter = make_chapter_trial(model)
    for name in (field.name for field in fields(ChapterTrial) if "setting" in field.metadata):
        yield name, replace(chapter, **{name: change_value(getattr(chapter, name))})
    for name, value in {**chapter.options, "a_penalty": 0.0}.items():
        yield name, replace(chapter, options={**chapter.options, name: change_value(value)})


def change_value(value):
    """Return another value of the same type."""
    if isinstance(value, str | tuple):
        return value * 2
    return not value if isinstance(value, bool) else value + 1


@pytest.mark.parametrize("name", BOOK)
def test_the_books_row_stands_beside_trials_of_its_settings_alone(name):
    alike = {setting for setting, trial in change_each_setting(name) if has_book_settings(trial, name)}
    chapter = make_chapter_trial(name)
    off = replace(chapter, options={**chapter.options, "a_penalty": 0.0})
    assert alike == {"engine"}
    assert has_book_settings(off, name)
    shipped = [
        arm.make_unidentified_trial() for arm in load_study("models").arms if arm.fields["model"] == name
    ]
    assert shipped
    assert all(has_book_settings(trial, name) for trial in shipped)


def test_the_book_is_compared_with_arms_of_its_own_settings():
    lm7 = {"model": "lm7", "options": LM7_OPTIONS, "settings": LM7_SETTINGS}
    arms = (
        make_arm("LMModel6", 0.0),
        make_arm("LMModel6 again", 0.0, changes={}, options={"hidden": 8}),
        make_arm("LMModel7", -0.5, **lm7),
        make_arm("no AR", -0.4, **{**lm7, "settings": {**LM7_SETTINGS, "alpha": 0.0}}),
        make_arm("LMModel7 of LMModel6's settings", -0.5, model="lm7"),
    )
    values = compare_with_book(compare(design_arms(arms)))
    assert [h.arm.name for h in values] == ["LMModel6", "LMModel7"]
    # 1.368 is near 1.30, .458 not near .80
    assert [h.prediction.is_plausible for h in values] == [True, False]


def test_a_page_says_why_the_books_values_differ():
    def make_book_arm(model, effect):
        chapter = make_chapter_trial(model)
        losses = {seed: 1.6 + 0.01 * (seed % 3) + effect for seed in range(10)}
        results = {seed: make_result(replace(chapter, seed=seed), loss) for seed, loss in losses.items()}
        return DesignArm(name=model, model=model, title=model, changes={"model": model}, results=results)

    comparison = compare(design_arms((make_book_arm("lm1", 0.0), make_book_arm("lm2", 0.0))))
    _, _, reason = describe_fits(compare_with_book(comparison), comparison).rpartition("; ")
    assert reason.startswith("those of LMModel1 and LMModel2 differ where ours are identical")
    comparison = compare(design_arms((make_book_arm("lm1", 0.0), make_book_arm("lm2", 0.1))))
    assert "identical" not in describe_fits(compare_with_book(comparison), comparison)


def test_a_published_value_is_compared_with_the_prediction_interval() -> None:
    prediction = predict_value(OURS, 0.640055)
    far = predict_value(OURS, 0.70)
    assert prediction is not None
    assert far is not None
    assert (round(prediction.interval.low, 5), round(prediction.interval.high, 5)) == (0.60434, 0.67716)
    assert (round(prediction.p, 3), round(far.p, 4)) == (0.965, 0.0063)
    assert prediction.wording == "a plausible single run of our procedure"
    assert far.wording == "not a plausible single run of our procedure"


def test_a_prediction_counts_diverged_seeds_and_refuses_nan() -> None:
    prediction = predict_value([*OURS, math.inf], 0.64)
    assert prediction is not None
    assert prediction.diverged_count == 1
    assert prediction.wording.endswith("given convergence (1 diverged)")
    assert predict_value([0.6, 0.7, math.inf], 0.64) is None
    with pytest.raises(ValueError, match="NaN"):
        predict_value([*OURS, math.nan], 0.64)
