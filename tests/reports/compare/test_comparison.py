"""Which arms are compared with which, by whose results, and in which family."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.helpers.arms import make_arm, make_counting_arm, set_metrics
from tests.helpers.bad_input import raises_bad_input
from tests.helpers.designs import (
    compare,
    design_arms,
    make_audited_design,
    make_laddered_design,
    make_looked_design,
    make_pair_design,
    make_realistic_design,
)
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.compare.contrast_decisions import decide_looks
from unrolled.reports.compare.design import ArmRemark, Design
from unrolled.reports.page.exports import write_comparison_markdown, write_trials_csv
from unrolled.reports.words.contrast_lines import list_claims
from unrolled.reports.words.page_limits import list_limits
from unrolled.reports.words.study_state import describe_trials


def test_arms_are_joined_on_the_seed_and_failures_are_no_results():
    by_name = {arm.name: arm for arm in compare(make_realistic_design()).arms}
    reset = by_name["no reset"]
    swift = by_name["lr 3e-2"]
    assert (reset.done_count, reset.failed_count, reset.diverged_count, reset.contrast.pair_count) == (
        9,
        1,
        0,
        9,
    )
    assert 7 not in reset.summary.values  # although the killed trial left a number behind
    assert (swift.done_count, swift.failed_count, swift.diverged_count) == (9, 0, 1)
    assert swift.contrast.omits_diverged


def test_a_number_whose_powers_overflow_diverged():
    base, second = make_pair_design().arms
    design = replace(make_pair_design(), arms=(base, set_metrics(second, valid_loss={3: 1e200})))
    arm = compare(design).arms[1]
    assert (arm.diverged_count, arm.contrast.arm_diverged_count, arm.verdict.direction) == (1, 1, "worse")
    assert decide_looks(design).verdicts["b"]["valid_loss"] == arm.verdict


@pytest.mark.parametrize(
    "make_design",
    [make_realistic_design, make_looked_design, make_laddered_design, make_audited_design, make_pair_design],
)
def test_training_stops_by_the_verdicts_that_the_page_shows(make_design: Callable[[], Design]):
    design = make_design()
    comparison = compare(design)
    shown = {
        arm.name: {view.metric.name: view.arms[arm.index].verdict for view in comparison.views}
        for arm in comparison.judged_arms
    }
    assert shown
    assert decide_looks(design).verdicts == shown


def test_another_task_gets_no_contrast_and_is_not_in_the_family():
    by_name = {arm.name: arm for arm in compare(make_realistic_design()).arms}
    assert by_name["random blocks"].contrast is None
    assert by_name["random blocks"].reason_not_compared == "another task: split"
    assert by_name["LMModel7"].contrast.family_size == 9  # ten arms against the baseline, less one


def test_an_arm_says_whose_results_it_waits_for():
    comparison = compare(
        design_arms((make_arm("base", 0.0, seeds=0), make_arm("now", 0.1), make_arm("later", 0.1, seeds=0)))
    )
    assert (
        comparison.arms[1].reason_not_compared != comparison.arms[2].reason_not_compared == "no results yet"
    )


def test_an_interim_report_is_corrected_for_the_arms_without_results():
    arms = (make_arm("base", 0.0), make_arm("now", 0.1, settings={"clip": 1.0}))
    later = tuple(make_arm(f"later {wd}", 0.0, seeds=0, settings={"wd": wd}) for wd in (0.0, 1.0))
    single = compare(design_arms(arms)).arms[1]
    complete = compare(design_arms(arms + later))
    interim = complete.arms[1]
    waiting = complete.arms[2]
    assert (waiting.reason_not_compared, waiting.missing_count, waiting.verdict) == (
        "no results yet",
        10,
        None,
    )
    assert (single.contrast.family_size, interim.contrast.family_size) == (1, 3)
    assert (single.state.has_ended, interim.state.has_ended, interim.verdict.adjusted_difference.p) == (
        True,
        False,
        1,
    )  # no look is complete


@pytest.mark.parametrize(
    ("arms", "delta", "key", "named"),
    [((), 0.03, "arms", "baseline"), ((make_arm("base", 0.0),), 0.0, "", "δ of valid_loss")],
)
def test_nothing_to_report_is_refused(arms, delta, key, named):
    with raises_bad_input(named, place="study 'regularization'", key=key):
        compare(design_arms(arms, delta=delta))


def test_the_path_of_a_text_makes_no_other_task():
    arms = (make_arm("base", 0.0), make_arm("moved", 0.1, settings={"corpus": "elsewhere.txt", "clip": 1.0}))
    assert ChapterTrial(model="lm6", seed=0, corpus="x").id == ChapterTrial(model="lm6", seed=0).id
    assert compare(design_arms(arms)).arms[1].contrast


def test_arms_of_another_task_are_not_ranked_with_the_baseline():
    window = {"target": "last", "window": 3}
    base = make_arm("three words", 0.5, settings=window)
    third = replace(make_arm("held", 0.3, settings={**window, "clip": 2.0}), against="three words")
    comparison = compare(
        design_arms((make_arm("baseline", 0.0), make_arm("wd", 0.1, settings={"wd": 0.0}), base, third))
    )
    assert [arm.name for arm in comparison.arms_with_contrast] == ["wd", "held"]
    assert [arm.name for arm in comparison.same_task_arms] == ["baseline", "wd"]


@pytest.fixture(scope="module")
def three_bases() -> Comparison:
    """Return the comparison of `second` with `other`, `named` with the baseline, and `other` with none."""
    base = make_arm("other", 0.5, settings={"clip": 1.0})
    second = replace(make_arm("second", 0.3, settings={"clip": 2.0}), against="other")
    third = replace(make_arm("named", 0.2, settings={"wd": 0.0}), against="baseline")
    return compare(design_arms((make_arm("baseline", 0.0), base, second, third)))


def test_arms_may_be_compared_with_one_another(three_bases: Comparison) -> None:
    pairs = {"second": "other", "named": "baseline"}
    assert {arm.name: three_bases.find_base(arm).name for arm in three_bases.arms_with_contrast} == pairs
    assert {arm.contrast.family_size for arm in three_bases.arms_with_contrast} == {len(pairs)}
    assert "baseline or the arm that each names" in write_comparison_markdown(three_bases)


def test_a_verdict_is_against_the_arm_that_is_named(three_bases: Comparison) -> None:
    baseline, _, second, _ = three_bases.arms
    assert second.summary.mean > baseline.summary.mean
    assert second.verdict.kind == "better"
    assert second.describe_changes().endswith("against other")
    assert "against other" not in list_claims(three_bases)[0].text  # the names stand beside the sentence


def test_an_arm_that_is_only_a_base_is_a_reference(three_bases: Comparison) -> None:
    reference = three_bases.arms[1]
    assert reference.contrast is None
    assert "others are compared with it" in reference.reason_not_compared


def test_exploratory_arms_do_not_burden_the_declared_family():
    arms = tuple(make_arm(f"arm {i}", 0.05 * i, settings={"clip": float(i)}) for i in range(6))
    arms = arms[:3] + tuple(replace(a, is_marked_exploratory=True) for a in arms[3:])
    comparison = compare(design_arms(arms))
    assert [arm.contrast.family_size for arm in comparison.arms_with_contrast] == [2, 2, 3, 3, 3]
    assert "for exploratory arms by Benjamini–Hochberg" in write_comparison_markdown(comparison)
    assert list_limits(comparison, {})[-1] == "Arms marked exploratory suggest and do not confirm."
    assert "Benjamini" not in write_comparison_markdown(compare(design_arms(arms[:3])))


def test_counts_are_one_value_and_compared_where_they_name_an_arm():
    against_counts = replace(make_arm("held", 0.3, settings={"clip": 2.0}), against="bigrams")
    second_counts = replace(make_counting_arm("named", 0.5), against="baseline")
    comparison = compare(
        design_arms(
            (make_arm("baseline", 0.0), make_counting_arm("bigrams", 0.5), against_counts, second_counts)
        )
    )
    _, counts, first_arm, second_arm = comparison.arms
    assert counts.contrast is None
    assert counts.remark is ArmRemark.WITHOUT_SEED
    assert (counts.describe_seeds_of_mean(), counts.summary.sd, counts.summary.interval) == (
        "10 alike",
        None,
        None,
    )
    assert first_arm.contrast.pair_count == second_arm.contrast.pair_count == 10
    assert first_arm.contrast.family_size == 2
    assert first_arm.contrast.sd == pytest.approx(first_arm.summary.sd)
    assert describe_trials(comparison) == "40 of 40 trials finished, none failed"
    _, *rows = write_trials_csv(comparison).splitlines()
    assert len(rows) == 40
    assert sum("bigrams," in row for row in rows) == 10
