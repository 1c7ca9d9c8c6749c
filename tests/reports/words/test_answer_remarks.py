"""What the answer adds where seeds are too few for a verdict, or diverged."""

import pytest
from rich.console import Console

from tests.helpers.arms import break_trials, make_arm
from tests.helpers.designs import BOTH, compare, design_arms
from tests.helpers.pages import read_arm_rows, read_page_text, write_lines, write_texts
from unrolled.ablations.training.terminal_table import print_arms
from unrolled.reports.page.exports import write_comparison_markdown, write_screen
from unrolled.reports.page.render import render
from unrolled.reports.words.contrast_lines import list_claims, write_claims


@pytest.mark.parametrize(("seeds", "words"), [(1, "the one seed"), (2, "both seeds"), (4, "all 4 seeds")])
def test_an_arm_equal_on_too_few_seeds_is_open(seeds, words):
    twin = make_arm("twin", 0.0, 0.0, seeds=seeds, model="lm6b")
    worse = make_arm("other", 0.9, settings={"clip": 1.0})
    _, equality, undecided = write_texts(design_arms((make_arm("base", 0.0, 0.0), worse, twin)))
    assert equality.startswith("twin equals base ")
    assert equality.endswith(f" on {words}")
    assert undecided == "Open: other and twin"


@pytest.fixture(params=[1, 4])
def few_seeds(request):
    """Return the comparison of four arms, and one of another task, under too few seeds for a verdict."""
    effects = {"base": 0.0, "bad": 0.9, "good": -0.5, "middling": 0.4}
    facts = {"spread": 0.0, "seeds": request.param}
    arms = [make_arm(name, x, settings={"clip": x}, **facts) for name, x in effects.items()]
    other_task = make_arm("elsewhere", -0.9, settings={"split": "blocks"}, **facts)
    return compare(design_arms((*arms, other_task), seeds=tuple(range(request.param)), metrics=BOTH[::-1]))


def test_too_few_seeds_rank_all_arms(few_seeds, tmp_path):
    levels = {arm.name: f"{arm.summary.mean:.2f} nats" for arm in few_seeds.arms}
    undecided, ranking, other_task = write_lines(few_seeds)
    assert undecided.endswith(" at least 5")
    assert ranking.startswith("good ")
    ranked = f"base {levels['base']}, middling {levels['middling']}, bad {levels['bad']}"
    assert ranking.endswith(f" {levels['good']}, {ranked}")
    assert other_task.startswith("On another task elsewhere ")
    assert other_task.endswith(f" {levels['elsewhere']}")
    rows = read_arm_rows(render(few_seeds, tmp_path))
    assert list(rows) == ["good", "base", "middling", "bad", "elsewhere"]


def test_too_few_seeds_are_said_once_to_decide_nothing(few_seeds, tmp_path):
    seeds = len(few_seeds.design.rules.seeds)
    number = "One seed" if seeds == 1 else f"{seeds} seeds"
    answer = read_page_text(render(few_seeds, tmp_path)).partition("Learning curves")[0]
    tables = write_screen(few_seeds), write_comparison_markdown(few_seeds)
    for text in (answer, *tables, "\n".join(write_claims(few_seeds))):
        assert text.count("nothing is decided") == text.count(f"{number}: ") > 0
    for text in tables:
        assert text.count("nothing is decided") == 1
    for text in (answer, *tables):
        assert text.count("at least") == text.count("nothing is decided")


def make_diverged_arm(name, effect, *diverged):
    """Return an arm of forty seeds, of which these diverged."""
    clip = {"settings": {"clip": 1.0}} if name != "base" else {}
    return break_trials(make_arm(name, effect, 0.0003, seeds=40, **clip), diverged=diverged)


def compare_diverged(*arms):
    """Return the comparison of arms of forty seeds by a δ of .02 nats."""
    return compare(design_arms(arms, delta=0.02, seeds=tuple(range(40))))


FIVE = (3, 9, 11, 20, 31)  # seeds; McNemar's p of five against none is .0625


@pytest.mark.parametrize(
    ("effect", "line"), [(-0.01, "{} is better by less than 0.02 nats"), (0.0, "Open: {}")]
)
def test_the_diverged_seeds_of_an_arm_are_counted_wherever_it_is_named(effect, line):
    comparison = compare_diverged(make_diverged_arm("base", 0.0), make_diverged_arm("near", effect, *FIVE))
    rates = "diverged 5 of 40 against 0 of 40"
    assert write_lines(comparison)[1] == line.format(f"near ({rates})")
    assert rates in write_claims(comparison)[0]
    assert "5 diverged" in write_screen(comparison)
    assert "5 diverged" in write_comparison_markdown(comparison)


def test_the_diverged_seeds_of_a_baseline_are_counted():
    comparison = compare_diverged(make_diverged_arm("base", 0.0, *FIVE), make_diverged_arm("other", 0.0))
    headline, undecided = write_lines(comparison)
    assert headline.endswith("nats (5 of 40 diverged); other is open after 40 seeds")
    assert undecided == "Open: other (diverged 0 of 40 against 5 of 40)"


def test_the_diverged_seeds_of_arms_that_are_not_named_are_counted():
    arms = [make_diverged_arm(f"wd {i}", -0.01, 0) for i in range(10)]
    texts = write_lines(compare_diverged(make_diverged_arm("base", 0.0), *arms))
    assert texts[1].endswith("and 2 others (seeds of 2 diverged) are better by less than 0.02 nats")


def test_a_claim_on_few_seeds_is_marked_provisional_wherever_it_stands(capsys):
    def make_comparison(effect: float):
        arms = make_arm("base", 0, 0, seeds=6), make_arm("b", effect, effect / 20, seeds=6, model="lm7")
        return compare(design_arms(arms, seeds=tuple(range(6))))

    for effect in (-0.3, 0.3, 0.0):
        comparison = make_comparison(effect)
        assert all("provisional" in line for line in write_lines(comparison)), effect
        assert "provisional" in list_claims(comparison)[0].sentence
        print_arms(comparison, Console(width=80))
        row, note = capsys.readouterr().out.splitlines()[-2:]
        assert row.rstrip().endswith("*") and note == "* provisional: under 10 seeds"
