"""What the parts of a model bring: one question, three designs. The study's true effects are in synthetic."""

from dataclasses import replace
from functools import cache
from itertools import product

import pytest

from tests.helpers.arms import break_trials, make_arm, set_metrics
from tests.helpers.designs import (
    compare,
    design_arms,
    make_pair_design,
    make_realistic_design,
    make_switched_design,
)
from tests.helpers.pages import read_page_text
from unrolled.bench.metric import Metric
from unrolled.reports.compare.factorial import (
    ALONE,
    AVERAGE,
    BESIDE,
    CONTEXTS,
    Part,
    find_parts,
    make_factorial,
)
from unrolled.reports.page.render import render
from unrolled.reports.words.answer import write_answer

compare_switched = cache(lambda: compare(make_switched_design()))
find_switched_factorial = cache(lambda: make_factorial(compare_switched()))


def name_parts(comparison=None) -> dict[str, Part]:
    """Return the parts of the switched study by name."""
    return {
        part.factor.name: part
        for part in find_parts(comparison or compare_switched(), find_switched_factorial())
    }


def test_the_largest_full_factorial_is_found_and_its_effects_judged():
    assert [s.name for s in find_switched_factorial().factors] == ["tying", "dropout", "AR", "TAR"]
    factorial = {e.name: e for e in find_switched_factorial().effects}
    # −.2 + .08/2, −.1 + .08/2, −.05 and all of .08, with noise of .004 in each of 160 trials
    expected = {"tying": -0.16, "dropout": -0.06, "AR": -0.05, "TAR": 0.0, "tying × dropout": 0.08}
    assert {name: factorial[name].mean for name in expected} == pytest.approx(expected, abs=0.003)
    words = {name: e.verdict.kind for name, e in factorial.items()}
    assert len(factorial) == 4 + 6
    assert words["tying"] is words["dropout"] is words["AR"] == "better"
    assert words["TAR"] is words["tying × AR"] == "same"  # δ is .03
    assert words["tying × dropout"] == "worse"  # together they bring less than the sum


def test_a_switch_is_on_where_it_is_not_zero():
    factorial = make_factorial(compare(make_realistic_design()))  # its baseline has neither
    assert [(s.name, s.off, s.on) for s in factorial.factors] == [
        ("dropout", 0.0, 0.4),
        ("tying", False, True),
    ]
    # with both .12, .06 and .24 below: (−.12 − .18)/2, (−.06 − .12)/2 and −.06
    assert [e.mean for e in factorial.effects] == pytest.approx((-0.15, -0.09, -0.06), abs=0.04)


def test_without_a_switch_the_baseline_is_off_and_the_name_has_the_other_level():
    """“momentum costs 0.063” was said of a grid in which momentum .8 saved it."""
    lr, batch = {"lr": 0.01}, {"batch": 32}
    arms = (
        make_arm("base", 0.0),
        make_arm("lr", -0.1, settings=lr),
        make_arm("batch", -0.1, settings=batch),
        make_arm("both", -0.2, settings={**lr, **batch}),
    )
    factorial = make_factorial(compare(design_arms(arms)))
    assert [(factor.name, factor.on) for factor in factorial.factors] == [("lr 0.01", 0.01), ("batch 32", 32)]
    assert [effect.verdict.kind for effect in factorial.effects[:2]] == ["better", "better"]


def test_the_a_a_arm_does_not_stand_in_for_the_baseline():
    repeated = replace(make_arm("A/A", 0.5), model="lm7", changes={})
    base = make_switched_design().arms[0].results
    results = {s: replace(r, trial=base[s].trial) for s, r in repeated.results.items()}
    comparison = compare(
        replace(
            make_switched_design(), arms=(*make_switched_design().arms, replace(repeated, results=results))
        )
    )
    assert make_factorial(comparison) == find_switched_factorial()
    assert name_parts(comparison) == name_parts()


def test_a_study_without_a_full_factorial_has_none():
    arms = [arm for arm in make_realistic_design().arms if arm.name != "dropout and tying"]
    assert make_factorial(compare(replace(make_realistic_design(), arms=tuple(arms)))) is None


def test_a_diverged_seed_leaves_the_effects_given_convergence_and_undecided(tmp_path):
    clip = {"settings": {"clip": 1.0}}
    tying = {"options": {"tying": True}}
    combined = break_trials(make_arm("both", 0.4, **clip, **tying), diverged=(3,))
    comparison = compare(
        design_arms(
            (make_arm("base", 0.0), make_arm("clip", 0.2, **clip), make_arm("tying", 0.2, **tying), combined)
        )
    )
    effect = make_factorial(comparison).effects[0]
    assert (effect.left_out, effect.diverged, len(effect.seeds)) == ((3,), (3,), 9)
    assert effect.verdict.adjusted_difference.p < 0.001
    assert effect.verdict.kind == "open"
    assert "Seeds left out: 3" in read_page_text(render(comparison, tmp_path))


def test_a_factorial_is_not_judged_before_its_first_look_has_ended():
    last = make_switched_design().arms[-1]
    fewer = replace(last, results={s: r for s, r in last.results.items() if s != 5})
    assert (
        make_factorial(
            compare(replace(make_switched_design(), arms=(*make_switched_design().arms[:-1], fewer)))
        )
        is None
    )


def test_a_lost_pair_of_a_part_is_on_the_side_that_lost_it():
    """“warmup gains 0.051 (…, the arm's 0, its baseline's 1)”, where the arm without it had failed."""
    arms = []
    for clip, tying in product((1.0, 0.0), (True, False)):
        arm = make_arm(f"{clip} {tying}", 0.0, seeds=20, settings={"clip": clip}, options={"tying": tying})
        accuracies = {seed: 0.3 + 0.4 * clip + 0.2 * tying + 0.001 * (seed % 7) for seed in range(20)}
        arms.append(set_metrics(arm, valid_accuracy=accuracies))
    arms[1] = break_trials(arms[1], failed=(4,))
    metrics = (Metric("valid_accuracy", 0.02),)
    comparison = compare(design_arms(tuple(arms), metrics=metrics, seeds=tuple(range(20))))
    factorial = make_factorial(comparison)
    lines = write_answer(comparison, find_parts(comparison, factorial), factorial)
    text = " ".join(line.striptags() for line in lines)
    assert "1 pair lost, with it 0, without it 1" in text
    assert "its baseline's" not in text


def test_a_failed_seed_of_a_cell_counts_against_every_effect():
    last = break_trials(make_switched_design().arms[-1], failed=(5,))
    effect = make_factorial(
        compare(replace(make_switched_design(), arms=(*make_switched_design().arms[:-1], last)))
    ).effects[0]
    assert (effect.left_out, effect.verdict.contrast.lost_count, effect.verdict.kind) == ((5,), 1, "open")


@pytest.mark.parametrize("cell", [0, -1])
def test_a_cell_that_is_one_copied_run_leaves_no_effects(cell: int) -> None:
    """Of four equal arms, one of them a copied run, some effect was claimed in .39."""
    arms = [*make_realistic_design().arms]
    arms = [x for x in arms if x.name in ("LMModel6", "dropout 0.4", "tying", "dropout and tying")]
    first = arms[cell].results[0]
    copies = {s: replace(first, trial=r.trial) for s, r in arms[cell].results.items()}
    arms[cell] = replace(arms[cell], results=copies)
    comparison = compare(replace(make_realistic_design(), arms=tuple(arms)))
    assert comparison.arms[cell].is_one_run
    assert make_factorial(comparison) is None
    copied_context = ALONE if cell == 0 else BESIDE  # that of the copied cell and its neighbours
    verdicts = [part.verdicts[copied_context] for part in find_parts(comparison, None)]
    assert verdicts and not any(v.makes_claim for v in verdicts if v)


def test_leave_one_out_add_one_and_the_factorial_stand_side_by_side():
    expected = {  # on minus off: beside all others, alone, averaged over the rest
        "tying": (-0.12, -0.2, -0.16),
        "dropout": (-0.02, -0.1, -0.06),
        "AR": (-0.05, -0.05, -0.05),
        "TAR": (0.0, 0.0, 0.0),
    }
    for name, means in expected.items():
        means_by_context = [
            name_parts()[name].verdicts[context].contrast.mean_difference for context in CONTEXTS
        ]
        assert means_by_context == pytest.approx(means, abs=0.006)
    assert name_parts()["weight decay"].verdicts[AVERAGE] is None  # no factor of the factorial
    assert list(name_parts()) == ["tying", "dropout", "AR", "TAR", "weight decay"]


def test_a_contrast_of_the_study_has_one_verdict_on_the_page():
    arms = {arm.name: arm for arm in compare_switched().arms}
    for name in ("tying", "dropout", "AR", "TAR", "weight decay"):
        key = {"AR": "alpha", "TAR": "beta", "weight decay": "wd"}.get(name, name)
        arm = arms[f"no {key}"]
        verdict = name_parts()[name].verdicts[BESIDE]
        kinds = ("same", "same") if name in ("TAR", "weight decay") else ("better", "worse")
        assert (verdict.kind, arm.verdict.kind) == kinds, "with the part, and without"
        assert (verdict.adjusted_difference.p, verdict.contrast.better_count) == (
            arm.verdict.adjusted_difference.p,
            arm.contrast.worse_count,
        )


def set_bias(arm, bias):
    """Return an arm whose trials have an option that LMModel6 lacks, whose class is LMModel7's."""
    trials = {s: replace(r.trial, options={**r.trial.options, "bias": bias}) for s, r in arm.results.items()}
    results = {s: replace(r, trial=trials[s]) for s, r in arm.results.items()}
    return replace(arm, results=results)


def test_an_option_that_a_model_lacks_is_no_difference():
    arms = [set_bias(a, True) if a.model == "lm7" else a for a in make_switched_design().arms]
    assert name_parts(compare(replace(make_switched_design(), arms=tuple(arms)))) == name_parts()
    without = make_arm(
        "no bias",
        0.4,
        0.004,
        model="lm7",
        options={"tying": True, "dropout": 0.4},
        changes={"bias": False},
        settings={"alpha": 2.0, "beta": 1.0, "wd": 0.1},
    )
    parts = name_parts(compare(replace(make_switched_design(), arms=(*arms, set_bias(without, False)))))
    assert {name: [bool(part.verdicts[context]) for context in CONTEXTS] for name, part in parts.items()} == {
        name: [bool(part.verdicts[context]) for context in CONTEXTS] for name, part in name_parts().items()
    }


def test_two_networks_of_equal_settings_are_no_levels_of_a_switch():
    clip = {"settings": {"clip": 1.0}}
    tying = {"options": {"tying": True}}
    arms = (
        make_arm("base", 0.0),
        make_arm("GRU, clip", 0.2, model="gru", **clip),
        make_arm("tying", 0.2, **tying),
        make_arm("GRU, tying, clip", 0.2, model="gru", **clip, **tying),
    )
    assert find_parts(compare(design_arms(arms)), None) == ()


def test_the_answer_names_parts_whose_effects_do_not_add_up():
    texts = [
        line.striptags()
        for line in write_answer(
            compare_switched(),
            find_parts(compare_switched(), find_switched_factorial()),
            find_switched_factorial(),
        )
    ]
    assert texts[1] == "Beside all the others:"
    assert texts[2].startswith("tying saves 0.117 nats, 99.6 % CI [0.1")
    assert texts[3].startswith("AR saves 0.049 nats, 9")
    assert "changes less than 0.03" not in texts[3]
    together = (
        "Together tying and dropout are 0.080 nats worse than their two effects add up to, 99.3 % CI [0.07"
    )
    assert texts[-1].startswith(together)


def test_parts_carry_what_their_arms_had_behind_them(tmp_path) -> None:
    seen = {"no tying": 10, "no dropout": 5}
    design = replace(make_switched_design(), seen_pairs=seen, attempts={"no tying": 2})
    comparison = compare(design)
    factorial = make_factorial(comparison)
    parts = {part.factor.name: part for part in find_parts(comparison, factorial)}
    assert parts["tying"].standings[BESIDE] == factorial.standing == ("exploratory", "attempt 2")
    assert parts["AR"].standings[BESIDE] == ()
    assert parts["AR"].standings[AVERAGE] == factorial.standing, "its cells are among those that were seen"
    texts = [line.striptags() for line in write_answer(comparison, [*parts.values()], factorial)]
    assert "(exploratory, attempt 2)" in texts[0]
    assert texts[2].endswith("(exploratory, attempt 2)")
    assert texts[-1].endswith("(exploratory, attempt 2)")
    assert not texts[3].endswith(")")
    assert read_page_text(render(comparison, tmp_path)).count("exploratory, attempt 2") > len(
        factorial.effects
    )


def test_parts_whose_words_differ_and_whose_effects_add_up_do_not_interact():
    tying = {"options": {"tying": True}}
    clip = {"settings": {"clip": 1.0}}
    losses = {
        "base": (0.0, {}),
        "tying": (-0.05, tying),
        "clip": (-0.02, clip),
        "both": (-0.07, tying | clip),
    }
    comparison = compare(
        design_arms(tuple(make_arm(name, loss, 0.03, **on) for name, (loss, on) in losses.items()))
    )
    factorial = make_factorial(comparison)
    tying_verdicts = find_parts(comparison, factorial)[0].verdicts
    assert [tying_verdicts[context].kind for context in CONTEXTS] == ["open", "better", "better"]
    *_, last = write_answer(comparison, find_parts(comparison, factorial), factorial)
    assert last == "Whether the effects of two parts add up is open for 1 of 1 pair"


def test_a_main_effect_says_on_which_switch_it_depends(render_study):
    partners = {e.name: find_switched_factorial().partners(e) for e in find_switched_factorial().effects}
    assert partners == dict.fromkeys(partners, ()) | {"tying": ("dropout",), "dropout": ("tying",)}
    assert "it depends on dropout" in read_page_text(render_study("switched"))


def test_a_view_that_no_part_has_is_no_column(render_study):
    assert "Part Alone On average" in read_page_text(render_study("realistic"))


def test_a_study_that_asks_in_one_way_alone_has_no_such_table(render_study):
    assert find_parts(compare(make_pair_design()), None) == ()
    has_table = ["Beside all the others" in read_page_text(render_study(x)) for x in ("switched", "pair")]
    assert has_table == [True, False]


def test_each_effect_of_a_part_has_its_number_of_seeds(render_study):
    """A column has seeds of its own: contrasts of the study go on where the others stop at the first look."""
    table = (
        read_page_text(render_study("realistic")).partition("Part Alone")[2].partition("with the part on")[0]
    )
    assert table.count("% CI [") == table.count("] over 10 seeds") == 4


def test_a_setting_with_several_levels_is_no_switch():
    tying = {"options": {"tying": True}}
    several = (
        make_arm("base", 0.0),
        *(make_arm(f"clip {x}", 0.1, settings={"clip": x}) for x in (1.0, 2.0)),
        make_arm("tying", 0.1, **tying),
        make_arm("tying, clip 1", 0.1, settings={"clip": 1.0}, **tying),
    )
    comparison = compare(design_arms(several))
    assert [part.factor.key for part in find_parts(comparison, make_factorial(comparison))] == ["tying"]


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_a_part_is_judged_alone_and_beside_all_others(clip) -> None:
    """The learning rate has no level 0. Clipping is off in the baseline, or the only part that is on."""
    baseline = {"lr": 0.01, "clip": clip, "alpha": 0.0}
    levels = {"lr": (0.01, 0.02), "clip": (clip, 1.0 - clip), "alpha": (0.0, 2.0)}
    arms = []
    for values in product(*levels.values()):
        settings = dict(zip(levels, values, strict=True))
        has_all_on = settings["lr"] == 0.02 and settings["clip"] and settings["alpha"]
        effect = 0.4 * (settings["lr"] == 0.02) + 0.2 * bool(settings["clip"]) - 0.3 * bool(has_all_on)
        changes = {key: x for key, x in settings.items() if x != baseline[key]}
        arms.append(make_arm(str(values), effect, 0.004, settings=settings, changes=changes))
    comparison = compare(design_arms(tuple(arms)))
    parts = {part.factor.key: part for part in find_parts(comparison, make_factorial(comparison))}
    shown = {context: parts["clip"].verdicts[context].contrast.mean_difference for context in (BESIDE, ALONE)}
    is_faster_on = parts["lr"].factor.on == 0.02
    assert is_faster_on is (clip == 0.0), "it is off in a baseline of which all parts are off"
    assert shown[ALONE] == pytest.approx(0.2, abs=0.01)
    assert shown[BESIDE] == pytest.approx(-0.1 if is_faster_on else 0.2, abs=0.01)
