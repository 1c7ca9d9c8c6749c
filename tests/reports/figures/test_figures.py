"""Rules that every picture keeps, and what each shows."""

import math
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from tests.helpers.arms import break_trials, make_arm, make_counting_arm, set_metrics
from tests.helpers.designs import (
    BOTH,
    SHOWN_NAMES,
    compare,
    design_arms,
    make_program_design,
    make_realistic_design,
    make_switched_design,
)
from tests.helpers.pages import list_labels, parse_svgs
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.metric import Metric
from unrolled.bench.trial import Result
from unrolled.reports.chapter.extras import make_extras, read_curves
from unrolled.reports.compare.factorial import make_factorial
from unrolled.reports.figures import forest
from unrolled.reports.figures.curves import draw_curves
from unrolled.reports.page.render import render
from unrolled.reports.presentation import Extras


@pytest.fixture(scope="module")
def page_pictures(render_study):
    """Return the pictures of a page by their titles; readers aloud are spared the others."""
    pictures = parse_svgs(render_study("realistic").read_text(encoding="utf-8"))
    return {svg[0].text: svg for svg in pictures if not svg.get("aria-hidden")}


def draw_strips(comparison, extras=None):
    """Return by panel the strip of each arm by name."""
    by_panel = {}
    for panel in forest.make_panels(comparison, extras or Extras()):
        strips = {row.name: ET.fromstring(strip) for rows in panel.groups for row, strip in rows}
        by_panel[panel.view.scale.title] = strips
    return by_panel


def list_places(strip, tag="circle", name="cx"):
    """Return the places of a strip's marks, in per cent of the width."""
    return [float(mark.get(name).removesuffix("%")) for mark in strip.iter(tag)]


def find_marks(strip, kind):
    """Return the marks of one class in a strip."""
    return [mark for mark in strip if kind in (mark.get("class") or "").split()]


def test_every_picture_is_one_svg_with_a_title_and_a_description(page_pictures):
    curves = [f"Learning curves of {arm.name}" for arm in make_realistic_design().arms]
    assert list(page_pictures) == [*curves, "Learning rates of lm6"]
    for title, description, svg in ((svg[0], svg[1], svg) for svg in page_pictures.values()):
        assert (title.tag, description.tag) == ("title", "desc")
        assert title.text
        assert description.text
        assert svg.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"


def test_the_axes_of_a_picture_have_their_units(page_pictures):
    by_step = draw_curves(compare(make_program_design(Metric("error", 0.01))))["error"]
    assert {"step or epoch", "error"} <= set(list_labels(ET.fromstring(by_step[0])))
    assert {"learning rate", "nats"} <= set(list_labels(page_pictures["Learning rates of lm6"]))
    assert {"epoch", "nats"} <= set(list_labels(page_pictures["Learning curves of LMModel6"]))
    accuracy = draw_curves(compare(design_arms((make_arm("base", 0.0),), metrics=BOTH)))["valid_accuracy"]
    assert {"epoch", "%", "20"} <= set(list_labels(ET.fromstring(accuracy[0])))


def test_the_curve_of_perplexity_is_that_of_the_loss_read_as_perplexity():
    trial = ChapterTrial(model="lm4", seed=0)
    curves = read_curves(Result(trial=trial, status="done", curves={"valid_loss": ((0, 0.0), (1, 2.0))}))
    np.testing.assert_allclose(curves["valid_perplexity"], [(1, 1), (2, math.exp(2))])
    np.testing.assert_allclose(curves["valid_loss"], [(1, 0), (2, 2)])


def test_colours_come_from_the_page_so_that_dark_mode_reaches_them(page_pictures):
    elements = [mark for svg in page_pictures.values() for mark in svg.iter()]
    colours = {mark.get(name, "none") for mark in elements for name in ("fill", "stroke")}
    assert [c for c in colours if not c.startswith(("var(--", "currentColor", "none"))] == []


@pytest.fixture(scope="module")
def rows_with_strips():
    """Return the rows of the realistic study of which no seed diverged, with their strips."""
    comparison = compare(make_realistic_design())
    strips = draw_strips(comparison)["validation loss"]
    one_task = comparison.arms[:-1]  # the last is of another task, and beyond the scale
    return [(row, strips[row.name]) for row in one_task if not row.summary.diverged_count]


def list_finite_values(row):
    """Return by seed the finite values of an arm."""
    return {seed: x for seed, x in row.summary.values.items() if math.isfinite(x)}


def fit_scale(row, strip):
    """Return slope and zero of a strip's scale, in per cent of the width, on which all of its marks stand."""
    contrast = row.contrast
    (tick,) = find_marks(strip, "mean")
    values = [*list_finite_values(row).values(), contrast.arm_mean if contrast else row.summary.mean]
    marks = [(tick, "x1")]
    if contrast:
        for kind, ends in (("ends", row.interval), ("plain", contrast.plain_interval)):
            values += [contrast.base_mean + ends.low, contrast.base_mean + ends.high]
            (bar,) = find_marks(strip, kind)
            marks += [(bar, "x1"), (bar, "x2")]
    places = [*list_places(strip), *(float(mark.get(end).removesuffix("%")) for mark, end in marks)]
    slope, zero = np.polyfit(values, places, 1)
    assert np.allclose(np.polyval((slope, zero), values), places, atol=0.05)
    return slope, zero


def test_a_strip_has_a_dot_for_each_finite_seed(rows_with_strips):
    for row, strip in rows_with_strips:
        assert [int(dot.get("data-seed")) for dot in strip.iter("circle")] == list(list_finite_values(row))


def test_a_difference_has_both_intervals_in_the_colour_of_its_verdict(rows_with_strips):
    for row, strip in rows_with_strips:
        bars = find_marks(strip, "ends")
        assert len(bars) == len(find_marks(strip, "plain")) == bool(row.contrast)
        if row.verdict:
            assert row.verdict.kind in bars[0].get("class").split()
            assert row.contrast.plain_interval.low >= row.interval.low
            assert row.contrast.plain_interval.high <= row.interval.high


def test_marks_and_the_zone_of_delta_stand_on_one_scale(rows_with_strips):
    delta = make_realistic_design().rules.metrics[0].delta
    for row, strip in rows_with_strips:
        if row.failed_count:
            continue  # its interval has no ends
        slope, zero = fit_scale(row, strip)
        (band,) = find_marks(strip, "band")
        width = 2 * delta * slope
        middle = slope * (row.contrast.base_mean if row.contrast else row.summary.mean) + zero
        assert float(band.get("width").removesuffix("%")) == pytest.approx(width, abs=0.05)
        assert float(band.get("x").removesuffix("%")) + width / 2 == pytest.approx(middle, abs=0.05)


def test_a_perplexity_stands_where_its_loss_stands():
    by_panel = draw_strips(compare(make_realistic_design()))
    assert list(by_panel) == ["validation loss", "perplexity"]
    by_loss, by_perplexity = ([list_places(s) for s in panel.values()] for panel in by_panel.values())
    assert by_loss == by_perplexity
    loss, perplexity = forest.make_panels(compare(make_realistic_design()), Extras())
    assert len(perplexity.ticks) > 1
    for place, label in perplexity.ticks:
        low, high = (float(tick[0][:-1]) for tick in (loss.ticks[0], loss.ticks[-1]))
        first, last = (float(tick[1]) for tick in (loss.ticks[0], loss.ticks[-1]))
        share = (math.log(float(label)) - first) / (last - first)
        assert float(place[:-1]) == pytest.approx(low + share * (high - low), abs=0.05)


def test_an_arm_beyond_the_scale_is_an_arrow_with_its_mean():
    close_arms = [make_arm(f"clip {i}", 0.03 * i, settings={"clip": float(i)}) for i in range(1, 6)]
    far = make_arm("far", 4.0, settings={"wd": 0.0})
    lone = set_metrics(make_arm("lone", 0.0, settings={"wd": 0.1}), valid_loss={3: 3.0})
    comparison = compare(design_arms((make_arm("base", 0.0), *close_arms, far, lone)))
    by_arm = draw_strips(comparison)["validation loss"]
    assert list_labels(by_arm["far"]) == [f"{comparison.arms[6].summary.mean:.2f} nats ▸"]
    assert not list_places(by_arm["far"])
    assert list_labels(by_arm["lone"]) == ["1 ▸"]
    assert len(list_places(by_arm["lone"])) == 9
    assert float(find_marks(by_arm["base"], "band")[0].get("width")[:-1]) > 5


def test_an_infinite_median_is_shown_as_diverged_seeds():
    often = break_trials(make_arm("often", 0.1, settings={"clip": 2.0}), diverged=tuple(range(8)))
    by_arm = draw_strips(compare(design_arms((make_arm("base", 0.0), often))))["validation loss"]
    assert list_labels(by_arm["often"]) == ["8 ✕"]


def test_counts_are_a_row_and_the_books_value_a_diamond(tmp_path):
    comparison = compare(
        design_arms(
            (
                make_arm("LMModel6", 0.0),
                make_counting_arm("counts", 0.4),
                make_arm("clip", 0.1, settings={"clip": 1.0}),
            )
        )
    )
    panel, _ = forest.make_panels(comparison, make_extras(comparison))
    (rows,) = panel.groups
    assert [row.name for row, _ in rows] == ["LMModel6", "clip", "counts"]
    assert panel.has_marks
    assert f">{comparison.arms[1].summary.mean:.2f} nats</td>" in render(comparison, tmp_path).read_text(
        "utf-8"
    )
    by_arm = draw_strips(comparison, make_extras(comparison))["validation loss"]
    assert len(list_places(by_arm["counts"])) == 1
    assert [len(find_marks(svg, "band")) for svg in by_arm.values()] == [1, 1, 0]
    assert [len(find_marks(svg, "mark")) for svg in by_arm.values()] == [1, 0, 0]  # 1.368


def test_arms_are_sorted_by_gain_and_a_ladder_keeps_its_order():
    def list_arms(c):
        return [row.name for rows in forest.make_panels(c, Extras())[0].groups for row, _ in rows]

    repeated = make_arm("A/A", 0.0)
    arms = [make_arm(f"clip {i}", x, settings={"clip": i}) for i, x in ((1.0, 0.1), (2.0, -0.2), (3.0, -0.1))]
    flat = design_arms((make_arm("base", 0.0), repeated, *arms))
    assert list_arms(compare(flat)) == ["base", "clip 2.0", "clip 3.0", "clip 1.0", "A/A"]
    ladder = replace(flat, arms=(*flat.arms[:3], *(replace(a, against="clip 1.0") for a in flat.arms[3:])))
    assert list_arms(compare(ladder)) == ["base", "clip 1.0", "clip 2.0", "clip 3.0", "A/A"]


def test_a_diverged_seed_is_marked_and_not_dropped(page_pictures):
    assert list_labels(draw_strips(compare(make_realistic_design()))["validation loss"]["lr 3e-2"]) == ["1 ✕"]
    assert len(page_pictures["Learning curves of lr 3e-2"].findall(".//use[@fill='currentColor']")) == 1


def test_effects_of_a_factorial_are_strips_around_zero():
    comparison = compare(make_switched_design())
    factorial = make_factorial(comparison)
    ticks, strips = forest.draw_effects(factorial, comparison)
    assert "0" in [label for _, label in ticks]
    assert len(strips) == len(factorial.effects)
    zero = next(place for place, label in ticks if label == "0")
    for effect, strip in zip(factorial.effects, map(ET.fromstring, strips), strict=True):
        assert find_marks(strip, "origin")[0].get("x1") == zero
        assert len(list_places(strip)) == len(effect.seeds)
        assert effect.verdict.kind in find_marks(strip, "mean")[0].get("class").split()


def test_hostile_names_are_text_in_a_picture(render_study):
    texts = {
        text
        for svg in parse_svgs(render_study("hostile").read_text(encoding="utf-8"))
        for text in list_labels(svg)
    }
    assert set(SHOWN_NAMES) <= texts  # matplotlib would leave out labels that begin with _


def test_every_seed_of_the_figure_has_its_curve_to_be_shown(page_pictures):
    for measured in make_realistic_design().arms:
        panel = page_pictures[f"Learning curves of {measured.name}"]
        seeds = {s for s, r in measured.results.items() if r.is_done or r.diverged}
        assert {int(g.get("data-seed")) for g in panel.iter("g") if g.get("data-seed")} == seeds


def test_the_curves_of_an_aa_arm_are_of_its_pairs():
    base = make_arm("base", 0.0)
    repeated = make_arm("A/A", 0.0)
    other_seeds = {s: replace(r, trial=replace(r.trial, seed=1000 + s)) for s, r in repeated.results.items()}
    pictures = [
        draw_curves(compare(design_arms((base, second))))
        for second in (repeated, replace(repeated, results=other_seeds))
    ]
    assert pictures[0] == pictures[1]
    assert "data-seed" in pictures[0]["valid_loss"][1]


def test_a_picture_shows_nothing_of_the_arm_that_was_drawn_before_it():
    base, long, short = (make_arm(str(n), 0.0, settings={"epochs": n}) for n in (15, 40, 5))

    def list_shapes(*arms):
        pictures = draw_curves(compare(design_arms(arms)))["valid_loss"]
        by_arm = {a.name: ET.fromstring(pictures[i]) for i, a in enumerate(arms)}
        return {name: [(e.get("d"), e.text) for e in picture.iter()] for name, picture in by_arm.items()}

    assert list_shapes(base, long, short) == list_shapes(base, short, long)


@pytest.mark.parametrize("base_epochs", [40, 400])
def test_curves_end_where_the_arm_ends_though_its_base_was_trained_longer(base_epochs: int) -> None:
    """Beside 400 epochs four panels were empty: points were chosen by the steps of all arms together."""
    base = make_arm("base", 0.0, settings={"epochs": base_epochs})
    arms = (base, make_arm("short", 0.1, settings={"epochs": 5}))
    pictures = draw_curves(compare(design_arms(arms)))["valid_loss"]
    epochs = [
        [int(text) for text in list_labels(ET.fromstring(pictures[i])) if text.isdigit()] for i in (0, 1)
    ]
    assert max(epochs[0]) == base_epochs
    assert max(epochs[1]) == 5


def test_the_curve_of_a_seed_that_stopped_early_ends_where_the_seed_did() -> None:
    """Of the points that were chosen by the steps of all seeds together it had one."""
    arm = make_arm("base", 0.0, settings={"epochs": 400})
    short = make_arm("base", 0.0, seeds=1, settings={"epochs": 3})
    picture = draw_curves(compare(design_arms((replace(arm, results={**arm.results, **short.results}),))))
    lines = {
        group.get("data-seed"): group.find("path")
        for group in ET.fromstring(picture["valid_loss"][0]).iter("g")
        if group.get("data-seed")
    }
    points = {seed: len(str(line.get("d")).split("L")) for seed, line in lines.items() if line is not None}
    assert points["0"] == 2
    assert points["1"] <= 62


def test_trials_without_a_finite_point_have_no_curve():
    base = make_arm("base", 0.0, seeds=3)
    second = make_arm("other", 0.1, seeds=3)
    infinite = {"valid_loss": ((0.0, math.inf), (1.0, math.inf))}
    lost = [
        replace(a, results={s: replace(r, status="diverged", curves=infinite) for s, r in a.results.items()})
        for a in (base, second)
    ]
    assert draw_curves(compare(design_arms(tuple(lost)))) == {"valid_loss": {}}


def test_curves_of_a_long_training_keep_few_points():
    comparison = compare(design_arms((make_arm("base", 0.0, settings={"epochs": 2000}),)))
    assert len(draw_curves(comparison)["valid_loss"][0]) < 60_000
