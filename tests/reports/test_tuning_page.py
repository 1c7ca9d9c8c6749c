"""The tuned comparison on the page: budgets, winners, flips, and what is missing."""

import math
import re
from dataclasses import replace

import pytest
from synthetic import arm, compare, hostile, realistic, study, text_of

from unrolled.bench.metric import Metric
from unrolled.bench.trial import failure
from unrolled.reports.claims import flips
from unrolled.reports.design import Tuned
from unrolled.reports.render import describe, render, render_index
from unrolled.reports.tuning import own_best

LEVELS = (0.001, 0.003, 0.01)
SEEDS = (2000, 2001, 2002)


def searched(name, losses, own, **settings):
    """An arm's search: `losses` are each level's distance from 1.30, `own` the winner's on ten seeds."""
    levels = {}
    for level, loss in zip(LEVELS, losses, strict=True):
        found = arm(f"{name}{level}", loss, seeds=3, settings={**settings, "lr": level}).results
        levels[level] = {
            s + 2000: replace(r, trial=replace(r.trial, seed=s + 2000)) for s, r in found.items()
        }
    best = LEVELS[losses.index(min(losses))]
    winner = arm(f"{name}, best", own, settings={**settings, "lr": best}, changes=settings)
    return Tuned(arm=name, setting="lr", seeds=SEEDS, levels=levels, best=best, own=winner)


@pytest.fixture(scope="module")
def tuned():
    """`clipped` is worse at the shared rate and better at its own; `calm` is worse at both."""
    clip, alpha = {"clip": 0.5}, {"alpha": 2.0}
    arms = (arm("base", 0.0), arm("clipped", 0.30, settings=clip), arm("calm", 0.30, settings=alpha))
    searches = (
        searched("base", (0.2, 0.1, 0.0), 0.0),
        searched("clipped", (0.5, 0.0, 0.3), -0.2, **clip),
        searched("calm", (0.5, 0.4, 0.3), 0.3, **alpha),
    )
    return study(arms, tuned=searches)


@pytest.fixture(scope="module")
def text(tuned, tmp_path_factory):
    return text_of(render(compare(tuned), tmp_path_factory.mktemp("out")))


def test_the_page_says_at_which_level_its_other_files_are(text, tmp_path):
    assert "CSV and Markdown , at the shared learning rate." in text
    assert "CSV and Markdown ." in text_of(render(compare(realistic()), tmp_path))


def test_an_arm_is_judged_against_the_baseline_at_the_baseline_s_own_best(tuned):
    base, clipped, calm = own_best(compare(tuned))
    assert not base.verdicts and not base.note
    assert (clipped.row.verdict.kind, clipped.own.verdict.kind) == ("worse", "better")
    assert (calm.row.verdict.kind, calm.own.verdict.kind) == ("worse", "worse")
    worse = "“worse by more than δ” at"
    assert calm.sentence == f"{worse} the shared learning rate, {worse} each arm's own best."
    ours, theirs = tuned.tuned[1].own.results, tuned.tuned[0].own.results
    mean = sum(ours[s].metrics["valid_loss"] - theirs[s].metrics["valid_loss"] for s in range(10)) / 10
    assert clipped.own.contrast.mean == pytest.approx(mean)
    assert clipped.own.contrast.seeds == tuple(range(10))


def test_parts_at_the_shared_level_are_no_answer_at_the_own_best_one(tmp_path):
    arms = tuple(realistic().arms[i] for i in (0, 2, 3, 4))  # neither part, each, and both
    searches = tuple(searched(a.name, (0.2, 0.1, 0.0), 0.1 * i, clip=1.0 + i) for i, a in enumerate(arms))
    text = text_of(render(compare(replace(realistic(), arms=arms, tuned=searches)), tmp_path))
    answer, _, table = text.partition("Mean Effect [interval]")
    assert "Each at its own best learning rate:" in answer and "Beside all the others" not in answer
    assert "at the shared learning rate with the part on minus with it off" in table


def test_the_main_comparison_is_that_of_the_declared_arms(tuned):
    assert compare(tuned).rows == compare(replace(tuned, tuned=())).rows


def test_a_flip_is_flagged_in_words_and_with_a_symbol_in_section_answer_and_index(tuned, text, tmp_path):
    said = "The verdict flips: “worse by more than δ” at the shared learning rate, "
    said += "“better by more than δ” at each arm's own best."
    assert flips(own_best(compare(tuned))) == (f"clipped: {said}",)
    assert f"⇄ FLIP {said}" in text and f"⇄ FLIP clipped: {said}" in text.partition("Learning curves")[0]
    assert text.count("⇄ FLIP") == 3  # answer, table, and what the sign means
    index = text_of(render_index(map(describe, [compare(tuned)]), tmp_path))
    assert f"⇄ FLIP clipped: {said}" in index and index.count("⇄ FLIP") == 1


@pytest.mark.parametrize(
    ("shared", "own", "flips", "begins"),
    [
        (0.3, -0.2, True, "The verdict flips: "),
        (0.3, 0.01, False, "“worse"),
        (0.3, None, False, "Decided at one"),
    ],
)
def test_a_verdict_flips_where_both_are_shown_and_opposite(shared, own, flips, begins):
    clip = {"clip": 0.5}
    searches = (
        searched("base", (0.2, 0.1, 0.0), 0.0),
        searched("clipped", (0.5, 0.0, 0.3), own or 0.0, **clip),
    )
    if own is None:  # the winner has spread enough to be open
        noisy = arm("clipped, best", 0.3, 1.0, settings={**clip, "lr": 0.003}, changes=clip)
        searches = (searches[0], replace(searches[1], own=noisy))
    arms = (arm("base", 0.0), arm("clipped", shared, settings=clip))
    found = own_best(compare(study(arms, tuned=searches)))[1]
    assert found.flips is flips and found.sentence.startswith(begins)


def test_the_page_states_the_budget_and_the_winner(text):
    assert "tried 0.001, 0.003, 0.01 with 3 seeds a level (2000, 2001, 2002): 9 trials an arm" in text
    assert len(re.findall(r"✓ \d\.\d{4}", text)) == 3


def test_a_winner_at_the_edge_of_the_search_is_marked(tuned, text):
    assert [x.at_edge for x in own_best(compare(tuned))] == [True, False, True]
    assert text.count("at the edge") == 3  # base, calm, and what it means


def test_another_setting_is_called_by_its_name(tuned, tmp_path):
    other = tuple(replace(search, setting="weight_p") for search in tuned.tuned)
    named = text_of(render(compare(replace(tuned, tuned=other)), tmp_path))
    assert "At its own best weight p" in named and "at the shared weight p" in named


def lost(search, level, seeds=SEEDS, status="diverged"):
    results = dict(search.levels[level])
    for seed in seeds:
        results[seed] = failure(results[seed].trial, "lost", status=status, metrics={"valid_loss": 0.0001})
    return replace(search, levels={**search.levels, level: results})


def test_a_failed_trial_of_a_search_counts_as_the_worst_by_any_metric_and_is_counted_on_the_page(
    tuned, tmp_path
):
    search = lost(lost(tuned.tuned[1], 0.001), 0.01, (2001,), "failed")
    changed = replace(tuned, tuned=(tuned.tuned[0], search, tuned.tuned[2]))
    x = own_best(compare(changed))[1]
    assert math.isinf(x.means[0.001]) and math.isinf(x.means[0.01]) and x.means[0.003] < 2
    shown = text_of(render(compare(changed), tmp_path))
    assert "✕ 3 of 3 failed" in shown and "✕ 1 of 3 failed" in shown
    assert "0.0001" not in shown
    by_accuracy = replace(changed, metrics=(Metric("valid_accuracy", 0.02),))
    assert own_best(compare(by_accuracy))[1].means[0.001] == -math.inf


def test_an_arm_without_a_winner_says_why(tuned, tmp_path):
    base, clipped, calm = tuned.tuned
    half = replace(clipped, levels={**clipped.levels, 0.01: {}}, best=None, own=None)
    hopeless = replace(lost(lost(lost(calm, 0.001), 0.003), 0.01), best=None, own=None)
    notes = [x.note for x in own_best(compare(replace(tuned, tuned=(base, half, hopeless))))]
    assert notes == ["", "6 of 9 trials of the search have ended", "no level is without a failure"]
    none = replace(base, best=None, own=None)
    found = own_best(compare(replace(tuned, tuned=(none, clipped, calm))))
    assert not any(x.verdicts for x in found)
    assert found[1].note == "the baseline has no best level"
    shown = text_of(render(compare(replace(tuned, tuned=(base, half, hopeless))), tmp_path))
    assert notes[1] in shown and "0 of 3 so far" in shown


def test_a_study_whose_searches_have_not_begun_has_a_page(tuned, tmp_path):
    waiting = tuple(
        replace(x, levels={level: {} for level in LEVELS}, best=None, own=None) for x in tuned.tuned
    )
    shown = text_of(render(compare(replace(tuned, tuned=waiting)), tmp_path))
    assert "0 of 9 trials of the search have ended" in shown


def test_hostile_names_do_nothing_in_the_tuned_section(tuned, tmp_path):
    arms = hostile().arms[:2]
    search = tuple(replace(x, arm=arm.name) for x, arm in zip(tuned.tuned, arms, strict=False))
    html = render(compare(replace(hostile(), arms=arms, tuned=search)), tmp_path).read_text(encoding="utf-8")
    assert html.count("<script") == 1
