"""Studies on the chapter's page: sentences turn with verdicts; shipped results stand in, labelled."""

import re
from dataclasses import replace
from typing import Any

import pytest
from synthetic import BOTH, arm, study, switched, text_of

from bench.trial import Metric, failure
from reports.chapter.page import render
from reports.chapter.questions import QUESTIONS
from reports.chapter.studied import bears, best_levels, clipped, detached, helped, judged, part
from reports.comparison import Comparison, compare
from reports.evidence import Evidence
from reports.render import render as render_report

ACCURACY = (Metric("valid_accuracy", 0.02),)
DEPTH = next(q for q in QUESTIONS if q.id == "depth")


def deeper(effect: float, spread: float = 0.004, **facts: Any) -> Evidence:
    """A second and a third layer whose losses differ by `effect` and twice that."""
    arms = (arm(f"{n} layers", effect * (n - 1), spread, options={"layers": n}) for n in (1, 2, 3))
    return study(tuple(arms), study="depth", metrics=ACCURACY, delta=0.02, **facts)


def of_another_machine(evidence: Evidence) -> Comparison:
    facts = {"cpu": "EPYC 9654", "packages": {"torch": "2.12.1"}}
    arms = (
        replace(a, results={s: replace(r, environment=facts) for s, r in a.results.items()})
        for a in evidence.arms
    )
    return compare(replace(evidence, arms=tuple(arms)))


@pytest.mark.parametrize(
    ("effect", "spread", "said", "counts"),
    [
        (-0.4, 0.004, "is higher with 3 layers (+0.", "Yes: stacking helps"),
        (0.4, 0.004, "is lower with 3 layers (−0.", "No: stacking harms"),
        (0.0, 0.004, "is the same within ±0.02 with 2 layers (", "No: stacking changes too little to matter"),
        (0.0, 0.3, "is undecided with 2 layers (", "Stacking has an undecided effect"),
    ],
)
def test_a_studys_sentences_turn_with_its_verdicts(
    effect: float, spread: float, said: str, counts: str
) -> None:
    c = compare(deeper(effect, spread))
    assert judged(c).startswith("Against 1 layers, validation accuracy is ")
    assert said in judged(c) and judged(c).count("layers") == 3
    assert helped(c, "stacking") == f"{counts} in 2 of 2 comparisons."


def test_each_arm_names_its_base_where_these_differ_and_a_loss_is_lower_where_it_is_better() -> None:
    first, second, third = deeper(-0.4).arms
    held = study(
        (first, replace(second, against="1 layers"), replace(third, against="2 layers")),
        metrics=(Metric("valid_loss", 0.03),),
    )
    said = re.sub(r"\(−[0-9.]+", "(−x", judged(compare(held)))
    both = {"2 layers (−x against 1 layers)", "3 layers (−x against 2 layers)"}
    assert said.startswith("Validation loss is lower with ")
    assert set(said[30:-1].split(" and ")) == both


@pytest.mark.parametrize(("effect", "best"), [(-0.4, "3"), (0.4, "1"), (0.01, "any")])
def test_the_best_levels_are_those_within_delta_of_the_best_mean(effect: float, best: str) -> None:
    sentence = best_levels(compare(deeper(effect)), "layers", "model", "layers")
    assert f"lm6 at {best} (0." in sentence


def test_verdicts_that_disagree_are_counted_each_and_arms_below_a_level_are_not() -> None:
    first, second, _ = deeper(-0.4).arms
    worse = arm("3 layers", 0.4, 0.004, options={"layers": 3})
    c = compare(study((first, second, worse), study="depth", metrics=ACCURACY, delta=0.02))
    assert (
        helped(c, "stacking") == "Stacking helps in 1 of 2 comparisons (2 layers) and harms in 1 (3 layers)."
    )
    assert helped(c, "stacking", ("layers", lambda n: n > 2)) == "No: stacking harms in 1 comparison."
    assert helped(c, "stacking", ("layers", lambda n: n > 3)) == ""


def rates(ours: float, theirs: float, **more: float) -> Comparison:
    """Models at three rates; each does best at the rates up to its own limit."""

    def at(model: str, lr: float, limit: float) -> Any:
        worse = 0.0 if lr <= limit else 0.5
        made = arm(f"{model} {lr}", worse, model=model, settings={"lr": lr}, changes={"lr": lr})
        return replace(made, title="nn.GRU") if model == "gru" else made

    limits = {"lm6": ours, "lm5": theirs, **more}
    rows = [at(model, lr, top) for model, top in limits.items() for lr in (0.001, 0.01, 0.1)]
    return compare(study(tuple(rows), study="learning-rate", metrics=ACCURACY, delta=0.02))


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [(0.1, 0.01, "least"), (0.01, 0.1, "not the least"), (0.01, 0.01, "not the least")],
)
def test_the_lstm_is_said_to_bear_more_only_where_it_does(ours: float, theirs: float, said: str) -> None:
    told = bears(rates(ours, theirs))
    assert told.startswith(f"At the highest rate, 0.1, lm6 loses {said} against its own best rate: ")
    assert "These means are not tested against each other." in told
    first = told.partition("rate: ")[2].split()[0]
    assert first == {"least": "lm6", "not the least": "lm5"}[said] or ours == theirs


@pytest.mark.parametrize(
    ("effect", "said"),
    [
        (
            -0.4,
            "Clipping its gradients helps in 1 comparison. Against base, validation accuracy is higher with",
        ),
        (
            0.4,
            "Clipping its gradients harms in 1 comparison. Against base, validation accuracy is lower with",
        ),
    ],
)
def test_whether_clipping_helps_stands_before_the_verdicts_of_its_study(effect: float, said: str) -> None:
    arms = (arm("base", 0.0), arm("clip 0.1", effect, settings={"clip": 0.1}, changes={"clip": 0.1}))
    assert clipped(compare(study(arms, study="stability", metrics=ACCURACY, delta=0.02))).startswith(said)


@pytest.mark.parametrize(("effect", "less", "more"), [(-0.4, "Yes", "harms"), (0.4, "No", "helps")])
def test_detaching_less_often_and_more_often_are_counted_apart(effect: float, less: str, more: str) -> None:
    every = {1: -effect, 64: effect, 128: 2 * effect}
    arms = [arm("base", 0.0, settings={"detach_every": 16})]
    arms += [arm(f"every {n}", e, settings={"detach_every": n}) for n, e in every.items()]
    said = detached(compare(study(tuple(arms), study="detach", metrics=ACCURACY, delta=0.02)))
    assert said.startswith(f"{less}: detaching less often than once a window h")
    assert said.endswith(f" in 2 of 2 comparisons. Detaching more often {more} in 1 comparison.")
    gone = {
        seed: failure(r.trial, "nan", status="diverged") for seed, r in arms[1].results.items() if seed < 2
    }
    arms[1] = replace(arms[1], results={**arms[1].results, **gone})
    said = detached(compare(study(tuple(arms), study="detach", metrics=ACCURACY, delta=0.02)))
    assert said.endswith(" Trainings diverged with every 1.")


@pytest.mark.parametrize(
    ("turned", "said"), [(True, " By validation loss the opposite holds for b."), (False, "")]
)
def test_an_arm_that_another_metric_judges_the_other_way_is_named(turned: bool, said: str) -> None:
    better, other = (arm("b", e, settings={"lr": 0.1}) for e in (-0.4, 0.4 if turned else -0.4))
    results = {
        seed: replace(
            r, metrics={**other.results[seed].metrics, "valid_accuracy": r.metrics["valid_accuracy"]}
        )
        for seed, r in better.results.items()
    }
    found = judged(compare(study((arm("a", 0.0), replace(better, results=results)), metrics=BOTH)))
    assert found.startswith("Against a, validation accuracy is higher with b (+")
    assert found.partition(").")[2] == said


@pytest.mark.parametrize(("plain", "gru", "said"), [(0.1, 0.01, True), (0.01, 0.1, False)])
def test_gates_do_not_explain_it_where_a_gru_loses_more_than_a_plain_cell(plain, gru, said: bool) -> None:
    told = bears(rates(0.1, plain, gru=gru))
    assert ("Gates alone do not explain it: nn.GRU loses more than a cell without." in told) == said


def test_a_part_of_a_study_has_the_named_contrasts_alone() -> None:
    c = compare(deeper(-0.4))
    assert "2 layers" not in judged(part(c, ["3 layers"])) and "3 layers" in judged(part(c, ["3 layers"]))
    assert judged(part(c, ["layers"])) == judged(c)
    assert judged(part(c, ["lr"])) == ""


def test_what_parts_bring_is_said_as_on_the_first_screen_of_the_studys_report(tmp_path) -> None:
    c = compare(replace(switched(), study="regularization"))
    report = text_of(render_report(c, tmp_path))
    chapter = text_of(render({}, [c], tmp_path)).partition("weight decay and momentum each bring?")[2]
    said = chapter.partition("Dropout and weight tying change the network")[0].strip()
    toggles = study(
        (arm("base", 0.0), arm("no AR", 0.4, changes={"alpha": 0.0})), study="toggles", metrics=ACCURACY
    )
    both = text_of(render({}, [c, compare(toggles)], tmp_path))
    assert "In the study toggles, against base, validation accuracy is lower with no AR (" in both
    assert said.startswith("Beside all the others, ")
    beside, _, alone = said.partition(" Alone, ")
    assert beside.count(". ") >= 1 and "tying" in beside and "tying" in alone
    assert beside.replace(" ", "") in report.replace(" ", "")


def test_shipped_results_stand_in_with_day_and_machine_until_there_are_own_ones(tmp_path) -> None:
    shipped, minutes = [of_another_machine(deeper(-0.4))], {"depth": "3 to 7 min on 2 cores"}
    page = text_of(render({}, [], tmp_path, shipped=shipped, minutes=minutes))
    assert "Best mean validation accuracy by layers" in page
    label = "From the results that come with Unrolled (2026-02-02, EPYC 9654, torch 2.12.1)"
    assert label in page
    assert "Yours replace them from five seeds on: unrolled run depth (3 to 7 min on 2 cores)" in page
    assert "Studies still to be run: context, depth" in page
    unseen = replace(deeper(0.4), arms=tuple(replace(a, results={}) for a in deeper(0.4).arms))
    assert label in text_of(render({}, [compare(unseen)], tmp_path, shipped=shipped))
    tour = study(tuple(arm(f"{n}", 0.4 * n, seeds=4, options={"layers": n}) for n in (1, 2)), study="depth")
    assert label in text_of(render({}, [compare(tour)], tmp_path, shipped=shipped))
    assert label not in (toured := text_of(render({}, [compare(tour)], tmp_path))) and "1 undecided" in toured
    own = text_of(render({}, [compare(deeper(0.4))], tmp_path, shipped=shipped))
    assert "Unrolled (2026" not in own and "come with Unrolled.)" not in own
    assert "Of 2 contrasts: 2 worse." in own and "made by unrolled run" in own


def test_a_default_study_answers_where_the_questions_own_was_not_run(tmp_path) -> None:
    name, which, setup = DEPTH.default
    arms = [arm("base", 0.0), *(arm(a, -0.4, model="rnn", changes={"model": "rnn"}) for a in which)]
    default = compare(study(tuple(arms), study=name, metrics=BOTH, delta=0.02))
    page = text_of(render({}, [default], tmp_path)).partition("does stacking more help?")[2]
    section = page.partition("Questions 9 and 14")[0]
    assert "Against base, validation accuracy is higher with" in section
    assert f"From the study {name}: {setup}" in section
    assert "The study depth has not been run: unrolled run depth" in section
