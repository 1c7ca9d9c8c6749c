"""A study whose plan was changed after its results were seen, told by the plans that were really stored."""

from result_sets import trained
from stub_plans import planned

from ablations.commands.report import compare_plan, design_of_plan, read
from ablations.ledger import Ledger
from ablations.study import plan as plans
from reports.answer import extension


def made(seeds):
    return {"base": [trained(s) for s in range(seeds)], "b": [trained(s, 0.1, "b") for s in range(seeds)]}


def declared(ledger, seeds, **facts):
    plan = planned(made(seeds), {"b": {"lr": 0.1}}, **{"hash": f"{seeds} seeds", **facts})
    return plans.store(plan, ledger)


def train(ledger, seeds):
    for results in made(seeds).values():
        for result in results:
            ledger.record(result)


def told(plan, ledger):
    assert design_of_plan(plan, read(plan, ledger)).seen == (plan.reused or {}).get(plan.study, 0)
    return extension(compare_plan(plan, read(plan, ledger)))


def test_more_seeds_or_looks_after_results_were_seen_make_the_claims_exploratory(tmp_path):
    ledger = Ledger(tmp_path)
    declared(ledger, 10)
    train(ledger, 10)
    said = "This plan was declared after 20 of its trials had been seen: its claims are exploratory. "
    assert told(declared(ledger, 40), ledger) == f"{said}Fresh seeds confirm: --seeds 40-79"
    looks = {"looks": (10, 15, 20, 30, 40), "hash": "looks"}
    assert told(declared(ledger, 40, **looks), ledger).startswith(said)
    assert told(declared(ledger, 40, **looks), ledger).startswith(said)  # resumed: it stays what it was
    assert told(declared(ledger, 10), ledger) == ""  # the first plan was declared before its trials


def test_a_run_that_is_resumed_is_no_extension(tmp_path):
    ledger = Ledger(tmp_path)
    plan = declared(ledger, 10)
    train(ledger, 6)
    again = declared(ledger, 10)
    assert (again.planned, told(again, ledger)) == (plan.planned, "")


def test_trials_of_another_study_are_no_extension(tmp_path):
    ledger = Ledger(tmp_path)
    declared(ledger, 5, study="other")
    train(ledger, 5)
    plan = declared(ledger, 10)
    assert plan.reused == {"other": 10} and told(plan, ledger) == ""


def test_an_earlier_plan_of_which_nothing_was_trained_makes_no_extension(tmp_path):
    ledger = Ledger(tmp_path)
    declared(ledger, 5)
    assert told(declared(ledger, 10), ledger) == ""
