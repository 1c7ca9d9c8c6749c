"""What a page says of its arms: numbers, verdicts, failures, and what is unusual of the study."""

import re
from dataclasses import replace

import pytest

from tests.helpers.arms import break_trials, make_arm, set_metrics
from tests.helpers.designs import compare, design_arms, make_pair_design, make_realistic_design
from tests.helpers.pages import read_arm_rows, read_page_text
from tests.helpers.study_rules import change_rules
from unrolled.bench.metric import Metric
from unrolled.reports.page.render import render, render_index
from unrolled.reports.words.contrast_lines import write_claims
from unrolled.reports.words.page_warnings import list_warnings


@pytest.fixture(scope="module")
def html(render_study):
    """Return the page of the realistic study."""
    return render_study("realistic").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(render_study):
    """Return the text of the page of the realistic study."""
    return read_page_text(render_study("realistic"))


def test_the_main_figure_has_the_numbers_and_the_verdict_of_each_arm(render_study):
    rows = read_arm_rows(render_study("realistic"))
    lm7, tying = rows["LMModel7"], rows["tying"]
    assert (lm7["levels"], tying["levels"]) == ("1.31 → 0.82 nats", "1.31 → 1.27 nats")
    assert lm7["effect"] == "0.490 nats lower 99.4 % CI [−0.579, −0.439]"
    assert (lm7["wins"], tying["wins"]) == ("10 of 10", "7 of 10")
    assert lm7["verdict"] == "▲ better by more than δ"
    assert tying["verdict"].startswith("? open")


def test_an_effect_says_in_which_tokens_it_lies_where_it_is_decided(render_study):
    rows = read_arm_rows(render_study("realistic"))
    assert "40 % on first digits (2.49 → 1.56 nats)" in rows["LMModel7"]["why"]
    assert rows["tying"]["why"] == ""


def test_the_answer_has_the_failures_and_the_books_values(text):
    answer = text.partition("Learning curves")[0]
    for fact in ("108 of 110", "1 diverged", "1 failed"):
        assert fact in answer
    assert "1.37 nats (LMModel6) lies within" in answer
    assert "0.46 nats (LMModel7) lies outside" in answer


@pytest.mark.parametrize(("seeds", "is_provisional"), [(9, True), (10, False)])
def test_a_claim_on_fewer_than_ten_seeds_is_called_provisional(seeds, is_provisional, tmp_path):
    arms = (make_arm("base", 0.0, seeds=seeds), make_arm("b", 0.1, seeds=seeds, settings={"clip": 1.0}))
    design = design_arms(arms, seeds=tuple(range(seeds)))
    verdict = read_arm_rows(render(compare(design), tmp_path))["b"]["verdict"]
    assert verdict.startswith("▼ worse by more than δ")
    assert ("provisional" in verdict) is is_provisional
    assert ("provisional" in " ".join(write_claims(compare(design)))) is is_provisional


BASE, B = make_pair_design().arms
PLANNED = 1_770_000_000.0  # 2026-02-02, in seconds since 1970
DAY = 86400
SHORT = [make_arm(name, 0.1 * i, seeds=3, settings={"clip": float(i)}) for i, name in enumerate("ab")]


@pytest.mark.parametrize(
    ("design", "facts"),
    [
        pytest.param(
            design_arms(tuple(break_trials(a, diverged=(0, 1, 2)) for a in SHORT), seeds=(0, 1, 2)),
            ["0 of 6", "6 diverged"],
            id="of failures alone",
        ),
        pytest.param(
            design_arms(tuple(SHORT), seeds=(0, 1, 2)),
            ["nothing is decided", "at least 5"],
            id="of too few seeds",
        ),
        pytest.param(
            design_arms(tuple(replace(a, results={0: a.results[0]}) for a in SHORT), seeds=(0,)),
            ["0 of 1 contrast decided", "2 of 2 trials finished"],
            id="of one seed",
        ),
        pytest.param(
            replace(
                make_pair_design(), arms=(BASE, replace(B, question="Is it <b>?", note="as in the paper"))
            ),
            [" b : Is it <b>? as in the paper "],
            id="of an arm with a question and a note",
        ),
        pytest.param(
            make_pair_design(declared_at=PLANNED, first_declared_at=PLANNED - DAY),
            ["2026-02-01 02:40:00 UTC", "2026-02-02 02:40:00 UTC", "pairs of any of its contrasts"],
            id="of a plan that was declared twice",
        ),
        pytest.param(
            make_pair_design(
                earlier_plan_lines={"b": ["b against base in study s, seeds 0-9: open (valid_loss, δ 0.03)"]}
            ),
            ["b against base in study s, seeds 0-9: open (valid_loss, δ 0.03)"],
            id="of a contrast that was planned before",
        ),
    ],
)
def test_a_page_tells_what_is_unusual_of_its_study(design, facts, tmp_path):
    text = read_page_text(render(compare(design), tmp_path))
    assert [fact for fact in facts if fact not in text] == []


def test_a_page_of_one_seed_has_no_intervals(tmp_path):
    arms = (make_arm("base", 0.0, seeds=1), make_arm("b", 0.1, seeds=1, settings={"lr": 0.1}))
    text = read_page_text(render(compare(design_arms(arms, seeds=(0,))), tmp_path))
    assert "? open" in text
    assert re.findall(".{30}(?:interval|Holm).{30}", text) == []


def test_a_failed_trial_never_shows_as_a_result(html, text):
    assert "0.123456" not in html
    assert "0.1235" not in html
    assert "killed by signal 9" in text
    assert "diverged at step 312" in text


def test_means_beside_a_median_say_which_pairs_they_are_of(render_study):
    arm = next(arm for arm in compare(make_realistic_design()).arms if arm.diverged_count)
    contrast = arm.contrast
    assert contrast.estimate != pytest.approx(contrast.arm_mean - contrast.base_mean, abs=1e-3)
    cells = read_arm_rows(render_study("realistic"))[arm.name]
    levels = f"{contrast.base_mean:.2f} → {contrast.arm_mean:.2f} nats"
    assert cells["levels"].startswith(f"{levels} 9 pairs")
    assert cells["effect"].startswith(f"{contrast.estimate:.2f} nats higher 99 % CI [+0.22, ∞]")
    assert cells["effect"].endswith("median of 10 pairs")


def test_the_legend_has_the_sign_of_divergence_where_a_seed_diverged(text, tmp_path):
    legends = (
        text.partition("Arm")[0],
        read_page_text(render(compare(make_pair_design()), tmp_path)).partition("Arm")[0],
    )
    assert ["✕" in legend for legend in legends] == [True, False]


@pytest.mark.parametrize(("effect", "spread", "is_failed"), [(0.025, 0.03, False), (0.3, 0.02, True)])
def test_an_effect_of_the_baseline_against_itself_is_a_warning(effect, spread, is_failed, tmp_path):
    aa_arm = make_arm("A/A: the baseline again", effect, spread)
    comparison = compare(design_arms((make_arm("base", 0.0), aa_arm)))
    ends = comparison.arms[1].interval
    assert is_failed is not (ends.low <= 0 <= ends.high)
    assert bool(list_warnings(comparison)) is is_failed
    text = read_page_text(render(comparison, tmp_path))
    assert ("A/A check failed" in text, "A/A check passed" in text) == (is_failed, not is_failed)
    assert ("A/A check failed" in read_page_text(render_index(tmp_path))) is is_failed


def test_a_baseline_whose_other_seeds_compute_the_same_fails_its_check():
    """A program that drops a part of its seed was told that its check had passed."""
    base = make_arm("base", 0.0)
    repeated = replace(make_arm("A/A: the baseline again", 0.0), results=base.results)
    repeated = set_metrics(repeated, train_seconds={seed: 9 + 0.1 * (seed % 3) for seed in range(10)})
    loss, time = Metric("valid_loss", 0.05), Metric("train_seconds", 0.5, kind="time")
    for metrics in ((loss,), (loss, time), (time, loss)):
        comparison = compare(design_arms((set_metrics(base, train_seconds=9.1), repeated), metrics=metrics))
        assert any("A/A check failed" in warning for warning in list_warnings(comparison)), metrics


@pytest.mark.parametrize(
    ("attempts", "differences", "kind", "runs_user_code", "is_told"),
    [
        (2, {"valid_loss": 0.01}, "quality", True, True),
        (2, None, "quality", True, True),
        (2, {}, "time", False, True),
        (2, {}, "quality", True, True),  # the baseline repeats its numbers, and the arm may not
        (2, {}, "quality", False, False),
        (1, {"valid_loss": 0.01}, "quality", True, False),
    ],
)
def test_trials_that_may_be_the_good_ones_of_several_attempts_are_told(
    attempts: int, differences: dict[str, float] | None, kind: str, runs_user_code: bool, is_told: bool
) -> None:
    base, arm = make_pair_design().arms
    results = {s: replace(r, attempts=attempts if s < 3 else 1) for s, r in arm.results.items()}
    design = design_arms(
        (base, replace(arm, results=results)),
        repetition_differences=differences,
        runs_user_code=runs_user_code,
    )
    time = () if kind == "quality" else (Metric("seconds", 1.0),)
    warnings = list_warnings(compare(change_rules(design, metrics=(*design.rules.metrics, *time))))
    assert any("attempts" in warning and "b on 3 seeds" in warning for warning in warnings) is is_told


@pytest.mark.parametrize(("lowest", "is_told"), [(0.0, True), (-1.0, True), (0.1, False)])
def test_values_without_a_ratio_are_told_where_delta_is_in_per_cent(lowest: float, is_told: bool) -> None:
    base, arm = make_pair_design().arms
    seconds = {seed: max(lowest, 0.0) if seed < 2 else 1.0 + seed for seed in range(10)}
    seconds[0] = lowest
    arm = set_metrics(arm, seconds=seconds)
    metrics = (Metric("valid_loss", 0.05), Metric("seconds", 5.0, ratio=True))
    warnings = list_warnings(compare(design_arms((set_metrics(base, seconds=2.0), arm), metrics=metrics)))
    assert any("no ratio" in warning and "b on 2 seeds" in warning for warning in warnings) is is_told


def test_a_seed_that_diverges_does_not_hide_that_other_seeds_compute_the_same():
    """ "A/A check passed", though nine pairs of ten were equal and the tenth diverged on both sides."""
    base = break_trials(make_arm("base", 0.0), diverged=(3,))
    repeated = replace(make_arm("A/A: the baseline again", 0.0), results=base.results)
    warnings = list_warnings(compare(design_arms((base, repeated))))
    assert any("A/A check failed" in warning for warning in warnings)


def test_equal_accuracies_of_other_seeds_alone_fail_no_check():
    """A baseline that was right on every item was to be distrusted, though its losses differed."""
    names = ("base", "A/A: the baseline again")
    arms = tuple(set_metrics(make_arm(name, 0.0), valid_accuracy=1.0) for name in names)
    design = design_arms(arms, metrics=(Metric("valid_accuracy", 0.02), Metric("valid_loss", 0.05)))
    assert not any("A/A check failed" in warning for warning in list_warnings(compare(design)))


def test_arms_of_another_task_stand_below_a_row_that_names_it(tmp_path):
    other_task = make_arm("elsewhere", -0.9, settings={"split": "blocks"})
    design = design_arms((make_arm("base", 0.0), make_arm("b", 0.1), other_task))
    html = render(compare(design), tmp_path).read_text(encoding="utf-8")
    head = re.search(r'(?s)<tr class="base task">(.*?)</tr>\s*<tr data-arm="2"', html)
    assert head
    assert "split “blocks”, not “" in " ".join(head[1].split())


def test_a_mean_of_perplexity_is_said_to_be_of_the_loss(text):
    assert "A mean of perplexity is exp of the mean validation loss." in text
