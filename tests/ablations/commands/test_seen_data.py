"""What was seen cannot confirm: told by plans that were really stored, whatever the study and the code."""

from dataclasses import replace
from itertools import chain

import pytest

from tests.helpers.stub_results import build_plan, change_trial, make_result
from tests.helpers.study_rules import change_rules
from unrolled.ablations.api import compare, verdicts
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.planning import make_plan
from unrolled.ablations.publishing.plan_comparison import compare_plan, make_plan_design
from unrolled.ablations.publishing.plan_page import read_page_results
from unrolled.ablations.study import loading
from unrolled.ablations.training.earlier_verdicts import add_earlier_verdicts
from unrolled.bench.metric import Metric
from unrolled.bench.program.program_trial import ProgramTrial
from unrolled.bench.trial import Result, make_failed_result
from unrolled.reports.formats import format_markdown_cell
from unrolled.reports.page.exports import write_comparison_markdown
from unrolled.reports.words.contrast_lines import write_claims
from unrolled.reports.words.study_state import (
    describe_declaration,
    describe_repeated_plans,
    describe_seen_data,
    list_earlier_plan_lines,
)


def make_results(seeds, code="v1"):
    """Return results of two arms; `code` is that of the arm b."""
    return {
        "base": [make_result(s, code="base") for s in seeds],
        "b": [change_trial(make_result(s, 0.1, code=code), lr=0.1) for s in seeds],
    }


def make_program_results(run="python train.py", rate="lr", numbers="", metrics=None, data="", **settings):
    """Return results of two arms that differ in the setting `rate`: an accuracy, which `numbers` changes."""
    return {
        arm: [
            Result(
                trial=ProgramTrial(seed=seed, run=run, settings={rate: lr, **settings}, data=data),
                status="done",
                metrics=metrics or {"accuracy": 0.8 + lr / 10 + seed / 1000 + len(numbers) / 1e6},
                fingerprints={"numbers": f"{lr} {seed} {numbers}"},
            )
            for seed in range(5)
        ]
        for arm, lr in (("base", 0.3), ("b", 0.1))
    }


def declare_plan(ledger, seeds, code="v1", **facts):
    """Store the plan of these results as a run does, and return it."""
    return store_results(make_results(seeds, code), ledger, **{"study_hash": f"{seeds}", **facts})


def store_results(results, ledger, **facts):
    """Store the plan of results, with its earlier verdicts, and return it."""
    plan = build_plan(results, {"b": {"lr": 0.1}}, **facts)
    plan = add_earlier_verdicts(plan, ledger)
    return plan_store.store_plan(plan, ledger, [r.trial for r in chain.from_iterable(results.values())])


def record_results(ledger, results):
    """Record results of arms in the ledger."""
    for result in chain.from_iterable(results.values()):
        ledger.record_result(result)


def describe_seen(plan, ledger):
    """Return the page's sentence on contrasts whose results were seen."""
    return describe_seen_data(compare_plan(plan, read_page_results(plan, ledger)))


WARNING = "The results of 1 of 1 contrast had been seen"


@pytest.fixture
def ledger(tmp_path):
    """Return a ledger of a study whose ten seeds were declared before they were trained."""
    ledger = Ledger(tmp_path)
    assert declare_plan(ledger, range(10)).seen_pairs == {}
    record_results(ledger, make_results(range(10)))
    return ledger


@pytest.mark.parametrize(
    "facts",
    [
        {"study": "a copy"},
        {"study": "another δ", "metrics": (replace(build_plan().rules.metrics[0], delta=0.01),)},
        {"looks": (5, 10), "study_hash": "other looks"},
    ],
)
def test_another_name_delta_or_look_makes_no_seen_seed_fresh(ledger, facts):
    plan = declare_plan(ledger, range(10), **facts)
    assert plan.seen_pairs == {"b": 10}
    assert describe_seen(plan, ledger).startswith(WARNING)
    assert describe_seen(plan, ledger).endswith("--seeds 10-19")
    assert (
        "b against base (exploratory, attempt 2)"
        in write_claims(compare_plan(plan, read_page_results(plan, ledger)))[0]
    )
    assert verdicts(plan.study_name, folder=ledger.root).exploratory.all()
    assert compare(plan.study_name, "b", folder=ledger.root).exploratory
    resumed = declare_plan(ledger, range(10), **facts)  # resumed: it stays what it was
    assert resumed == plan


def test_an_edited_comment_makes_no_seen_seed_fresh(ledger):
    plan = declare_plan(ledger, range(10), code="v1 with a comment")
    assert not set(plan.arms[1].trial_ids.values()) & ledger.find_result_files().keys(), "other identities"
    record_results(ledger, make_results(range(10), "v1 with a comment"))
    assert describe_seen(plan, ledger).startswith(WARNING)


def test_seeds_that_only_one_side_had_or_that_failed_were_not_seen(tmp_path):
    ledger = Ledger(tmp_path)
    record_results(ledger, {"base": make_results(range(10))["base"]})
    for result in make_results(range(10))["b"]:
        ledger.record_result(make_failed_result(result.trial, "killed"))
    assert declare_plan(ledger, range(10)).seen_pairs == {}


def test_seeds_of_the_aa_arm_that_were_seen_make_no_arm_exploratory(ledger):
    results = {
        "base": [make_result(seed) for seed in range(10)],
        "aa": [make_result(seed + 1000) for seed in range(10)],
    }
    record_results(ledger, {"aa": results["aa"]})
    plan = build_plan(results, study_hash="later")
    base, aa_arm = plan.arms
    trial_ids = {seed - 1000: id for seed, id in aa_arm.trial_ids.items()}
    plan = replace(plan, arms=(base, replace(aa_arm, trial_ids=trial_ids, seed_offset=1000)))
    plan = change_rules(plan, seeds=tuple(range(10)))
    trials = [result.trial for result in chain.from_iterable(results.values())]
    assert plan_store.store_plan(plan, ledger, trials).seen_pairs == {}


def test_fresh_seeds_of_seen_arms_confirm(ledger):
    plan = declare_plan(ledger, range(10, 20), study="confirms")
    record_results(ledger, make_results(range(10, 20)))
    assert (plan.seen_pairs, describe_seen(plan, ledger)) == ({}, "")


def test_an_earlier_plan_of_a_contrast_is_listed_with_seeds_and_verdict(ledger):
    plan = declare_plan(ledger, range(10, 20), study="confirms")
    record_results(ledger, make_results(range(10, 20)))
    comparison = compare_plan(plan, read_page_results(plan, ledger))
    assert describe_repeated_plans(comparison).startswith("1 of 1 contrast was planned before")
    (line,) = list_earlier_plan_lines(comparison)
    assert line.startswith("b against base in study s, seeds 0-9: worse by more than δ")
    assert "valid_loss, δ 0.02" in line
    assert "3 pairs of any of its contrasts" in describe_declaration(comparison)
    assert "b against base (attempt 2)" in write_claims(comparison)[0]
    assert format_markdown_cell(line) in write_comparison_markdown(comparison)
    assert list(verdicts("confirms", folder=ledger.root).attempt) == [2]
    third = declare_plan(ledger, range(10, 20), study="again")
    lines = list_earlier_plan_lines(compare_plan(third, read_page_results(third, ledger)))
    assert [", seeds 10-19: " in line for line in lines] == [False, True], "the oldest first"
    assert describe_seen(third, ledger).endswith("--seeds 20-29")
    assert declare_plan(ledger, range(10, 20), study="again") == third, "resumed"


def test_an_attempt_lists_the_seeds_that_its_verdict_was_read_from(ledger):
    seeds = range(10, 20)
    plan = declare_plan(ledger, seeds, study="two looks", looks=(5, 10))
    record_results(ledger, make_results([*seeds[:7]]))
    (_, attempt) = declare_plan(ledger, range(20, 30), study="last").earlier_verdicts["b"]
    assert (attempt.study, attempt.seeds) == (plan.study_name, (*seeds[:5],))


def test_a_plan_of_other_arms_in_between_hides_no_attempt(ledger):
    for first_seed in (10, 20):
        seeds = range(first_seed, first_seed + 10)
        attempts = declare_plan(ledger, seeds).earlier_verdicts["b"]
        assert [attempt.seeds[0] for attempt in attempts] == [*range(0, first_seed, 10)]
        record_results(ledger, make_results(seeds))
        results = make_results(seeds)
        results["b"] = [change_trial(r, lr=0.7) for r in results["b"]]
        other_plan = build_plan(results, {"b": {"lr": 0.7}}, study_hash=f"other {seeds}")
        plan_store.store_plan(add_earlier_verdicts(other_plan, ledger), ledger)


def test_an_earlier_plan_that_is_run_again_in_between_hides_no_attempt(ledger):
    """Ten plans on fresh seeds, each after the first plan was looked at again, were ten times attempt 2."""
    for first_seed in (10, 20, 30):
        seeds = range(first_seed, first_seed + 10)
        attempts = declare_plan(ledger, seeds).earlier_verdicts["b"]
        assert [attempt.seeds[0] for attempt in attempts] == [*range(0, first_seed, 10)]
        record_results(ledger, make_results(seeds))
        first_plan = declare_plan(ledger, range(10))
        assert "b" not in first_plan.earlier_verdicts, "it was declared before the others"


def test_only_a_plan_of_both_sides_that_had_results_is_an_attempt(ledger):
    results = make_results(range(10, 20))
    results["b"] = [change_trial(r, lr=0.7) for r in results["b"]]
    assert store_results(results, ledger, study="another rate").earlier_verdicts == {}
    assert [
        a.study for a in declare_plan(ledger, range(30, 40), study="no result yet").earlier_verdicts["b"]
    ] == ["s"]
    assert [a.study for a in declare_plan(ledger, range(40, 50), study="last").earlier_verdicts["b"]] == ["s"]
    assert declare_plan(ledger, range(10), declared_at=1e9).earlier_verdicts == {}, (
        "the first plan had none before it"
    )


@pytest.mark.parametrize("edit", [{"wd": 0.0}, {"rate": "rate"}, {"data": "0f"}])
def test_a_setting_that_changes_no_number_makes_no_seen_seed_fresh(tmp_path, edit):
    ledger = Ledger(tmp_path)
    facts = {"trainer_name": "program", "metrics": (Metric("accuracy", 0.01),)}
    first = make_program_results()
    store_results(first, ledger, study_hash="first", **facts)
    record_results(ledger, first)
    edited = make_program_results(**edit)
    plan = store_results(edited, ledger, study="second", study_hash="second", **facts)
    record_results(ledger, edited)
    c = compare_plan(plan, plan.make_results_in_study(ledger.read_results(plan.ids)))
    assert c.arms[1].is_exploratory
    assert describe_seen_data(c).startswith(WARNING)


@pytest.mark.parametrize(
    "fields",
    [{"reduction": {"accuracy": "mean 5"}}, {"patterns": {"accuracy": "a(?P<value>.*)"}}, {"threads": 2}],
)
def test_another_reading_of_the_numbers_makes_no_seen_seed_fresh(tmp_path, fields):
    ledger = Ledger(tmp_path)
    facts = {"trainer_name": "program", "metrics": (Metric("accuracy", 0.01),)}
    first = make_program_results()
    store_results(first, ledger, study_hash="first", **facts)
    record_results(ledger, first)
    others = {
        arm: [replace(r, trial=replace(r.trial, **fields)) for r in results]
        for arm, results in make_program_results(numbers="others").items()
    }
    assert store_results(others, ledger, study_hash="second", **facts).seen_pairs == {"b": 5}


def test_an_arm_that_repeats_its_base_alone_was_not_seen(ledger):
    results = make_results(range(10))
    results["b"] = [change_trial(r, wd=0.5) for r in results["base"]]
    plan = store_results(results, ledger, study="dead", study_hash="dead")
    record_results(ledger, {"b": results["b"]})
    c = compare_plan(plan, plan.make_results_in_study(ledger.read_results(plan.ids)))
    assert not c.arms[1].is_exploratory


def test_a_refused_study_hides_no_result_of_its_earlier_plans(ledger):
    arms = make_results(range(10))
    arms["c"] = [change_trial(r, lr=0.3) for r in arms["b"]]
    refused = store_results(arms, ledger, study_hash="with c")
    plan_store.store_plan(replace(refused, stop_reason="arm 'c': the setting has no effect"), ledger)
    assert declare_plan(ledger, range(10), study_hash="without c").seen_pairs == {"b": 10}


@pytest.mark.parametrize(("numbers", "expected"), [("", {"b": 5}), ("others", {})])
def test_a_flag_is_another_program_only_if_it_changes_a_number(tmp_path, numbers, expected):
    ledger = Ledger(tmp_path)
    run = "python train.py --lr {lr} --seed {seed}"
    facts = {"trainer_name": "program", "metrics": (Metric("accuracy", 0.01),)}
    for study, template, numbers_read in (("first", run, ""), ("second", f"{run} --verbose", numbers)):
        results = make_program_results(template, numbers=numbers_read)
        plan = store_results(
            results, ledger, study=study, command_template=template, study_hash=study, **facts
        )
        assert plan.seen_pairs == {}
        assert make_plan_design(plan, {}).seen_pairs == {}, "nothing is known before the results"
        record_results(ledger, results)
    comparison = compare_plan(plan, plan.make_results_in_study(ledger.read_results(plan.ids)))
    assert comparison.design.seen_pairs == expected and list_earlier_plan_lines(comparison)[0].endswith(
        f", run as `{run}`"
    )


@pytest.mark.parametrize(
    ("planned_seeds", "trained_seeds", "expected"), [(2, 2, {}), (2, 5, {"b": 5}), (2, 10, {"b": 5})]
)
def test_a_run_too_short_for_a_verdict_is_no_attempt(tmp_path, planned_seeds, trained_seeds, expected):
    ledger = Ledger(tmp_path)
    declare_plan(ledger, range(planned_seeds))
    record_results(ledger, make_results(range(trained_seeds)))  # by that plan, and maybe by others
    plan = declare_plan(ledger, range(5), study="whole")
    assert (plan.seen_pairs, plan.earlier_verdicts) == (expected, {})
    if expected:
        assert declare_plan(ledger, range(9, 14), study="overlaps").seen_pairs == (
            {"b": 1} if trained_seeds > 9 else {}
        )


def test_a_plan_that_its_first_trials_stopped_has_shown_nothing(tmp_path):
    ledger = Ledger(tmp_path)
    plan = declare_plan(ledger, range(5))
    record_results(ledger, make_results(range(5)))
    plan_store.store_plan(replace(plan, stop_reason="arm 'base': the seed has no effect"), ledger)
    new_plan = declare_plan(ledger, range(5), study="finer")
    assert (new_plan.seen_pairs, new_plan.earlier_verdicts) == ({}, {})
    plan_store.store_plan(replace(plan, stop_reason=""), ledger)
    assert declare_plan(ledger, range(5), study="last").earlier_verdicts


def test_trials_without_a_judged_number_were_no_attempt(tmp_path):
    ledger = Ledger(tmp_path)
    run = "python train.py --lr {lr} --seed {seed}"
    results = make_program_results(run, metrics={"loss": 1.0})
    facts = {"trainer_name": "program", "command_template": run}
    for name in ("lss", "loss", "finer"):
        plan = store_results(
            results, ledger, study=name, study_hash=name, metrics=(Metric(name, 0.1, "lower"),), **facts
        )
        record_results(ledger, results)
        if name != "finer":
            assert (plan.seen_pairs, plan.earlier_verdicts) == ({}, {})
    assert plan.seen_pairs == {"b": 5}
    assert [attempt.study for attempt in plan.earlier_verdicts["b"]] == ["loss"]


def test_a_plan_declared_before_its_results_and_its_resumption_are_exempt(ledger):
    plan = plan_store.load_plan("s", ledger)
    assert describe_seen(plan, ledger) == "" and declare_plan(ledger, range(10)) == plan
    longer_plan = declare_plan(ledger, range(40))
    assert longer_plan.seen_pairs == {"b": 10} and describe_seen(longer_plan, ledger).startswith(WARNING)
    assert declare_plan(ledger, range(10)).seen_pairs == {}, "the first plan was declared before its results"


def test_a_shipped_study_was_declared_before_its_results_unlike_its_copy(tmp_path):
    ledger = Ledger(tmp_path)
    study = loading.load_study("lstm")
    plan, trials = make_plan(study, "unrolled run lstm")
    for trial in trials[: 5 * len(plan.arms)]:
        ledger.record_result(replace(make_result(trial.seed), trial=trial))
    plan = plan_store.store_plan(plan, ledger, trials)
    assert plan.seen_pairs == {} and plan.is_shipped
    assert "it ships with Unrolled" in describe_declaration(
        compare_plan(plan, plan.make_results_in_study(ledger.read_results(plan.ids)))
    )
    copy = make_plan(change_rules(study, name="copy"), "")[0]
    seeds = plan_store.store_plan(copy, ledger, trials).seen_pairs
    assert seeds
    override = loading.override_study(study, seeds="100-110")
    assert plan_store.store_plan(make_plan(override, "")[0], ledger, trials).seen_pairs, (
        "its seeds are no longer as it ships"
    )
