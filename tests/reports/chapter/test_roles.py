"""Where a difference lies: its parts by token role add up to it, and only consistent ones are named."""

from dataclasses import replace

import pytest

from tests.helpers.arms import break_trials, make_arm, set_metrics
from tests.helpers.designs import compare, design_arms
from tests.helpers.pages import read_page_text
from unrolled.bench.metric import Metric
from unrolled.reports.chapter.extras import make_extras
from unrolled.reports.chapter.roles import TITLES, RolePart, describe_parts, split_difference
from unrolled.reports.compare.design import DesignArm
from unrolled.reports.page.render import render

TARGETS = {"lead digit": 150, "digit": 350, "tens": 200, "rank 1–10": 300}
ACCURACY = (Metric("valid_accuracy", 0.02),)


def set_hits(arm: DesignArm, hits: dict[str, tuple[int, ...]]) -> DesignArm:
    """Return the arm with these right guesses by role and seed, of TARGETS each, and their accuracy."""
    results = {}
    for seed, result in arm.results.items():
        roles = {name: [1.0, of_role[seed % len(of_role)], TARGETS[name]] for name, of_role in hits.items()}
        results[seed] = replace(result, records={**result.records, "roles": roles})
    sums = {s: sum(row[1] for row in r.records["roles"].values()) for s, r in results.items()}
    accuracies = {seed: hits / sum(TARGETS.values()) for seed, hits in sums.items()}
    return set_metrics(replace(arm, results=results), valid_accuracy=accuracies)


BASE = {"lead digit": (140, 138), "digit": (300, 305, 302), "tens": (190, 185), "rank 1–10": (300, 299, 298)}
BASELINE = set_hits(make_arm("base", 0.0), BASE)


def make_change(**changed: tuple[int, ...]) -> DesignArm:
    """Return an arm that differs from BASE in the hits of these roles."""
    return set_hits(make_arm("changed", 0.0, settings={"clip": 1.0}), {**BASE, **changed})


def test_the_parts_of_all_roles_add_up_to_the_difference():
    comparison = compare(
        design_arms((BASELINE, make_change(tens=(100, 90, 120), digit=(301, 340))), metrics=ACCURACY)
    )
    parts = split_difference(comparison.arms[1], comparison)
    targets = {TITLES.get(role, role): number for role, number in TARGETS.items()}
    assert [part.role for part in parts] == list(targets)
    assert sum(part.part for part in parts) == pytest.approx(
        comparison.arms[1].contrast.mean_difference, abs=1e-12
    )
    total = sum(TARGETS.values())
    for part in parts:
        share = targets[part.role] / total
        assert part.part == pytest.approx(share * (part.after - part.before), abs=1e-12)


def test_a_decided_difference_names_the_roles_on_which_seeds_agree(tmp_path):
    lost = {"lead digit": (10, 20)}
    comparison = compare(design_arms((BASELINE, make_change(**lost)), metrics=ACCURACY))
    page = render(comparison, tmp_path)
    assert "Where: all on first digits (92.7 → 10.0 %)" in read_page_text(page)
    assert page.read_text(encoding="utf-8").count('class="part worse"') == 1
    mixed = make_change(**lost, digit=(250, 360, 305, 302))  # the mean falls, and it rises on as many seeds
    parts = split_difference(compare(design_arms((BASELINE, mixed), metrics=ACCURACY)).arms[1], comparison)
    assert {part.role for part in parts if part.is_consistent} == {"first digits"}


def test_an_open_or_incomplete_difference_is_not_explained(tmp_path):
    open_arm = make_change(**{"lead digit": (139, 140)})
    failed = break_trials(make_change(**{"lead digit": (10, 20)}), diverged=(3,))
    unmeasured = make_change(**{"lead digit": (10, 20)})
    unmeasured = replace(
        unmeasured, results={s: replace(r, records={}) for s, r in unmeasured.results.items()}
    )
    for second in (open_arm, failed, unmeasured):
        comparison = compare(design_arms((BASELINE, second), metrics=ACCURACY))
        assert not make_extras(comparison).explanations
    assert "Small bars" not in read_page_text(render(comparison, tmp_path))


def test_a_sentence_names_the_shares_of_its_roles_the_largest_first():
    def make_part(role: str, size: float, *, is_consistent: bool = True) -> RolePart:
        return RolePart(role=role, before=0.5, after=0.6, part=size, is_consistent=is_consistent)

    scale = compare(design_arms((BASELINE,), metrics=ACCURACY)).scale
    level = "(50.0 → 60.0 %)".replace(" ", "\u00a0")
    parts = [
        make_part("twenty to ninety", 0.02),
        make_part("rank 1–10", 0.07),
        make_part("later digits", 0.01, is_consistent=False),
    ]
    assert describe_parts(parts, scale) == f"70\u00a0% on rank 1–10 {level}, 20\u00a0% on twenty to ninety"
    parts = [make_part("ten to nineteen", 0.13), make_part("“hundred”", -0.03)]
    sentence = f"more than all on ten to nineteen {level}, against it “hundred”"
    assert describe_parts(parts, scale) == sentence
    assert (
        describe_parts([make_part("teen", -0.3), make_part("hundred", 0.4, is_consistent=False)], scale) == ""
    )
    assert describe_parts([make_part("teen", 0.3, is_consistent=False)], scale) == ""
