"""What was seen cannot confirm: told by plans that were really stored, whatever the study and the code."""

from dataclasses import replace

import pytest
from result_sets import trained
from stub_plans import planned

from unrolled.ablations.api import compare, verdicts
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.study import loading, stored_plans
from unrolled.ablations.study import plan as plans
from unrolled.ablations.training.comparison import compare_plan, read
from unrolled.bench.trial import failure
from unrolled.reports.claims import seen_data, sentences


def made(seeds, code="v1"):
    """Results of two arms; `code` is that of the arm b."""
    return {
        "base": [trained(s, code="base") for s in seeds],
        "b": [
            replace(r, trial=replace(r.trial, lr=0.1)) for r in (trained(s, 0.1, code=code) for s in seeds)
        ],
    }


def declared(ledger, seeds, code="v1", **facts):
    """The stored plan of these results, as a run stores it: with its trials."""
    results = made(seeds, code)
    plan = planned(results, {"b": {"lr": 0.1}}, **{"hash": f"{seeds}", **facts})
    return stored_plans.store(plan, ledger, [r.trial for of in results.values() for r in of])


def train(ledger, seeds, code="v1"):
    for results in made(seeds, code).values():
        for result in results:
            ledger.record(result)


def told(plan, ledger):
    return seen_data(compare_plan(plan, read(plan, ledger)))


SAID = (
    "The results of 1 of 1 contrast had been seen when this plan was declared: their claims are exploratory. "
)


@pytest.fixture
def ledger(tmp_path):
    """A ledger of a study whose ten seeds were declared, and then trained."""
    ledger = Ledger(tmp_path)
    assert declared(ledger, range(10)).seen == {}
    train(ledger, range(10))
    return ledger


@pytest.mark.parametrize(
    "facts",
    [
        {"study": "a copy"},
        {"study": "another δ", "metrics": (replace(planned().metrics[0], delta=0.01),)},
        {"looks": (5, 10), "hash": "other looks"},
    ],
)
def test_another_name_delta_or_look_makes_no_seen_seed_fresh(ledger, facts):
    plan = declared(ledger, range(10), **facts)
    assert plan.seen == {"b": 10}
    assert told(plan, ledger) == f"{SAID}Fresh seeds confirm: --seeds 10-19"
    assert "b against base (exploratory)" in sentences(compare_plan(plan, read(plan, ledger)))[0]
    assert verdicts(plan.study, folder=ledger.root).exploratory.all()
    assert compare(plan.study, "b", folder=ledger.root).exploratory
    again = declared(ledger, range(10), **facts)  # resumed: it stays what it was
    assert again == plan


def test_an_edited_comment_makes_no_seen_seed_fresh(ledger):
    plan = declared(ledger, range(10), code="v1 with a comment")
    assert not set(plan.arms[1].trials.values()) & ledger.files().keys(), "other identities"
    train(ledger, range(10), "v1 with a comment")
    assert told(plan, ledger).startswith(SAID)


def test_seeds_that_only_one_side_had_or_that_failed_were_not_seen(tmp_path):
    ledger = Ledger(tmp_path)
    for result in made(range(10))["base"]:
        ledger.record(result)
    for result in made(range(10))["b"]:
        ledger.record(failure(result.trial, "killed"))
    assert declared(ledger, range(10)).seen == {}


def test_fresh_seeds_of_seen_arms_confirm(ledger):
    plan = declared(ledger, range(10, 20), study="confirms")
    train(ledger, range(10, 20))
    assert (plan.seen, told(plan, ledger)) == ({}, "")


def test_a_plan_declared_before_its_results_and_its_resumption_are_exempt(ledger):
    first = stored_plans.stored("s", ledger)
    assert told(first, ledger) == "" and declared(ledger, range(10)) == first
    more = declared(ledger, range(40))
    assert more.seen == {"b": 10} and told(more, ledger).startswith(SAID)
    assert declared(ledger, range(10)).seen == {}, "the first plan was declared before its results"


def test_a_study_that_ships_was_declared_before_all_results_and_a_copy_of_it_was_not(tmp_path):
    ledger = Ledger(tmp_path)
    study = loading.load("lstm")
    plan, trials = plans.make_plan(study, "unrolled run lstm")
    for trial in trials[: 3 * len(plan.arms)]:
        ledger.record(replace(trained(trial.seed), trial=trial))
    assert stored_plans.store(plan, ledger, trials).seen == {}
    copy = plans.make_plan(replace(study, name="copy"), "")[0]
    seen = stored_plans.store(copy, ledger, trials).seen
    assert seen
    other = loading.override(study, seeds="100-110")
    assert stored_plans.store(plans.make_plan(other, "")[0], ledger, trials).seen, (
        "its seeds are no longer as it ships"
    )
