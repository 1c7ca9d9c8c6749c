"""A study gets seeds until it is decided: it ends the same however it is stopped and begun again."""

import os
import random
import signal
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations, count
from pathlib import Path

import pytest
from as_typed import write
from called import call
from look_trials import Study
from processes import wait_for
from result_sets import trained
from stub_plans import planned

from unrolled import results
from unrolled.ablations.study import plan_store
from unrolled.ablations.study.plan import Plan
from unrolled.ablations.training.comparison import compare_plan, read_page_results
from unrolled.ablations.training.seed_scheduler import SeedScheduler
from unrolled.ablations.training.study_run import Budget
from unrolled.bench.metric import Metric
from unrolled.bench.program.trial import ProgramTrial
from unrolled.bench.trial import Result
from unrolled.reports.caveats import describe_trials
from unrolled.reports.tables import trials_csv

LOOKS = 5, 6, 8


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    made = Study(tmp_path)
    yield made
    made.marked.end()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Study:
    """The study run whole by one worker, which never has to guess what a look will ask for."""
    made = Study(tmp_path_factory.mktemp("whole"))
    made.said = made.run("-j", "1")  # type: ignore[attr-defined]
    return made


def seeds(study: Study) -> dict[int, int]:
    """How many trials each width has in the ledger."""
    return dict(Counter(hidden for hidden, _ in study.trained()))


def test_a_decided_contrast_asks_for_no_more_seeds(whole: Study) -> None:
    # the baseline's are 8, and 5 more of A/A
    assert seeds(whole) == {64: 8 + 5, 8: 5, 24: 8, 32: 6, 48: 5}
    assert "looks: 2 of 3 contrasts decided; open: hidden 24" in whole.said  # type: ignore[attr-defined]
    assert "looks: 37 trained, 0 already there, 0 failed, 0 diverged, 0 left" in whole.said  # type: ignore[attr-defined]


def test_a_contrast_that_is_given_up_gets_no_more_seeds_until_the_study_goes_to_the_end(
    whole: Study, study: Study
) -> None:
    file = study.folder / "looks.toml"
    file.write_text(file.read_text().replace("to_the_end = true\n", ""))
    said = study.run("-j", "1")  # its exit code is 0
    assert seeds(study) == {64: 6 + 5, 8: 5, 24: 5, 32: 6, 48: 5}
    assert "looks: 2 of 3 contrasts decided; open: hidden 24 (about 92 seeds would decide it)" in said
    assert "1 contrast is given up" in said and "0 left" in said
    plan = plan_store.load_plan("looks", study.ledger)
    _check_speculation(plan, study.ledger.results(plan.ids))
    study.run("-j", "1", "--to-the-end")
    assert study.outcome() == whole.outcome() and study.trained() == whole.trained()
    later = plan_store.load_plan("looks", study.ledger)
    assert (later.hash, later.planned, later.seen) == (plan.hash, plan.planned, {}), "it is confirmatory"
    assert "0 trained" in study.run("-j", "1")
    assert study.outcome() == whole.outcome(), "no verdict is taken back"


def _check_speculation(plan: Plan, results: Mapping[str, Result]) -> None:
    """After the first look later trials are wanted for the contrast that goes on, and for no other."""
    first = {id: result for id, result in results.items() if result.trial.seed % 1000 < LOOKS[0]}
    scheduler = SeedScheduler(plan, first)
    wanted = {arm.name for arm in plan.arms if scheduler.is_wanted(arm.trials[LOOKS[2] - 1])}
    assert wanted == {"LMModel4, corpus text.txt", "hidden 32"}


def test_the_page_is_rendered_after_each_look_while_the_next_one_is_trained(study: Study) -> None:
    study.run("-j", "1", SLEEP="0.05")
    assert [looks for looks, _ in study.logged("page")] == [1, 2, 3]
    words = [line.split()[0] for line in study.log.read_text().splitlines()]
    assert "page" in words[: len(words) - words[::-1].index("start")], "before the last trial"


def test_what_a_study_may_still_need_only_gets_less_and_holds_what_it_comes_to_need(whole: Study) -> None:
    plan = plan_store.load_plan("looks", whole.ledger)
    results = whole.ledger.results(plan.ids)
    scheduler = SeedScheduler(plan, {})
    ranges = [(len(scheduler.pending), len(scheduler.possible))]
    for result in sorted(results.values(), key=lambda result: result.trial.seed % 1000):
        scheduler.add_result(result)
        ended = len(scheduler.results)
        ranges.append((ended + len(scheduler.pending), ended + len(scheduler.possible)))
    fewest, most = zip(*ranges, strict=True)
    assert list(fewest) == sorted(fewest) and list(most) == sorted(most, reverse=True)
    assert fewest[0] == 6 * LOOKS[0] and fewest[-1] == most[-1] == len(results) == 37


def test_trials_are_in_the_order_of_looks_and_what_has_no_contrast_gets_the_first_look(whole: Study) -> None:
    order = [bisect_right(LOOKS, seed % 1000) for _, seed in whole.logged("start")]
    assert order == sorted(order)
    assert {seed for _, seed in whole.trained() if seed >= 1000} == set(range(1000, 1005))
    assert {seed for hidden, seed in whole.trained() if hidden == 48} == set(range(5))


def test_trials_begin_seed_by_seed_and_the_longest_of_a_seed_first(whole: Study) -> None:
    """Wider is longer; the baseline's width is that of A/A, too."""
    started = [(width, seed % 1000) for width, seed in whole.logged("start")]
    first = [(width, seed) for width, seed in started if seed < LOOKS[0]]
    assert first == sorted(first, key=lambda trial: (trial[1], -trial[0])) and len(first) == 6 * LOOKS[0]


@pytest.mark.slow
def test_four_workers_come_to_the_same_end_and_train_no_more_than_their_places_beyond_a_look(
    whole: Study, study: Study
) -> None:
    study.run("-j", "4", SLEEP="0.2")
    assert study.outcome() == whole.outcome()
    assert whole.trained() <= study.trained()
    assert len(study.trained() - whole.trained()) <= 4 * len(LOOKS)


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_a_study_that_is_ended_three_times_comes_to_the_same_end(
    whole: Study, study: Study, by: signal.Signals
) -> None:
    dice = random.Random(int(by))
    for _ in range(3):
        enough = len(study.logged("end")) + dice.randint(1, 10)
        program = study.start("-j", "2", SLEEP="0.05")
        wait_for(lambda enough=enough: len(study.logged("end")) >= enough)
        if by is signal.SIGINT:
            os.killpg(program.pid, by)  # as a terminal does
        else:
            program.kill()
        program.communicate(timeout=120)
        assert program.returncode == (130 if by is signal.SIGINT else -by)
    study.run("-j", "2")
    assert study.outcome() == whole.outcome()


@pytest.mark.slow
def test_results_of_other_seeds_and_of_damaged_files_change_no_verdict(whole: Study, study: Study) -> None:
    study.run("-j", "2", "--seeds", "0-6")
    assert seeds(study) == {64: 14, 8: 7, 24: 7, 32: 7, 48: 7}, "a fixed design trains all of its seeds"
    for id in [*study.ledger.files()][:3]:
        study.ledger.path(id).write_bytes(b"{}")
    study.run("-j", "2")
    assert study.outcome() == whole.outcome()
    assert seeds(study)[24] == 8 and seeds(study)[8] <= 7


@pytest.mark.slow
def test_cores_do_not_idle_at_a_look_and_what_was_not_needed_enters_no_mean(
    whole: Study, study: Study, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.mkdir()
    last = gate / "64-1004"  # of the first look: the A/A arm's fifth seed
    last.touch()
    program = study.start("-j", "2", GATE=str(gate))
    try:
        wait_for(lambda: (8, 5) in study.logged("end"))
        assert (64, 1004) not in study.logged("end"), "the next look had not begun"
    finally:
        last.unlink()
    said, _ = program.communicate(timeout=120)
    assert program.returncode == 0, said
    assert (8, 5) in study.trained() - whole.trained()
    assert study.outcome() == whole.outcome()
    _check_numbers_of_trials(study, whole)


def _check_numbers_of_trials(study: Study, whole: Study) -> None:
    """Those that count, in every place; `whole` trained no others."""
    folder = study.folder / "results"
    table, every = results("looks", folder), results("looks", folder, all=True)
    assert set(table.trial) == set(whole.ledger.files())
    assert set(every.trial) == set(study.ledger.files())
    assert every[every.counts].drop(columns="counts").reset_index(drop=True).equals(table)
    plan = plan_store.load_plan("looks", study.ledger)
    page = compare_plan(plan, read_page_results(plan, study.ledger))
    means = table.groupby("arm").valid_loss.mean()
    assert all(
        row.summary.mean == pytest.approx(means[row.arm.name]) for row in page.by_metric("valid_loss").rows
    )
    assert len(trials_csv(page).splitlines()) == 1 + len(table)
    assert f"{len(table)} of {len(table)} trials finished" in describe_trials(page)


@pytest.mark.slow
def test_a_failure_leaves_its_contrast_to_signs_until_it_is_tried_again(whole: Study, study: Study) -> None:
    said = study.run("-j", "2", FAIL="32/3", code=1)
    assert "looks: 1 of 3 contrasts decided; open: hidden 24, hidden 32\n" in said
    assert "1 failed, 0 diverged, 0 left" in said
    assert seeds(study)[24] == seeds(study)[32] == 8, "both go on"
    assert "0 trained" in study.run(code=1), "a failure is final"
    study.run("-j", "2", "--retry")
    assert study.outcome() == whole.outcome()


@pytest.mark.slow
def test_a_budget_ends_a_run_with_what_is_open_and_the_next_run_goes_on(whole: Study, study: Study) -> None:
    said = study.run("-j", "1", "--budget", "6s", SLEEP="0.5")  # all of it would take 18 s
    assert "as the time is up: run again" in said or "looks: not run: no time was left" in said
    if "trained" in said and "0 trained" not in said:
        assert "looks: look 1 of 3, 0 of " in said
    assert "looks: not run: no time was left" in study.run("--budget", "0.001s")
    study.run("-j", "2")
    assert study.outcome() == whole.outcome()


def test_where_a_time_is_judged_the_second_of_two_equal_arms_gains_nothing_from_a_cache() -> None:
    trials = {arm: [replace(trained(s), trial=replace(trained(s).trial, lr=lr)) for s in range(10)]
              for arm, lr in (("base", 0.1), ("b", 0.2), ("c", 0.3))}  # fmt: skip
    plan = planned(trials, metrics=(Metric("seconds", 2.0, ratio=True),))
    names, every = plan.arm_names, [r.trial for of_arm in trials.values() for r in of_arm]
    order = SeedScheduler(plan, {}).sort_trials(every)
    by_seed = [[names[t.id] for t in order if t.seed == seed] for seed in range(10)]
    assert [t.seed for t in order] == sorted(t.seed for t in every)
    for one, other in combinations(trials, 2):
        assert sum(arms.index(one) < arms.index(other) for arms in by_seed) == 5
    assert {arms[0] for arms in by_seed} == set(trials)
    left = SeedScheduler(plan, {}).sort_trials(every[7::3])  # a run that is resumed keeps the order
    assert left == [t for t in order if t in left]
    other = planned(trials, metrics=(Metric("valid_loss", 0.02),))
    assert [names[t.id] for t in SeedScheduler(other, {}).sort_trials(every)][:3] == ["base", "b", "c"]


def test_first_batches_are_within_the_budget_and_only_arms_that_it_reached_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = count()  # first before the study, then before each arm
    monkeypatch.setattr(Budget, "is_over", property(lambda _: next(asked) == 3))
    folder = write(tmp_path, seeds="seeds = 2", widths=(8, 16))
    done = call(folder, "run", "small.toml", "-j", "1", "--budget", "1h")
    assert done.returncode == 0
    assert "the first batch of 2 of 3 arms was tried" in done.stdout
    assert "small: 4 trained, 0 already there, 0 failed, 0 diverged, 2 left" in done.stdout
    assert "2 trials of this look were not begun, as the time is up" in done.stderr
    assert "small: 2 trained, 4 already there" in call(folder, "run", "small.toml").stdout


def test_a_budget_goes_by_the_times_that_trials_took(monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    budget = Budget(110.0)
    assert budget.allows_trial(10.0) and not budget.has_refused
    trial = ProgramTrial(seed=0)
    assert trial.expected_seconds == 60
    budget.measure_trial(Result(trial=trial, status="failed", seconds=0.1))
    budget.measure_trial(Result(trial=trial, status="done", seconds=40.0, metrics={"seconds": 120.0}))
    assert not budget.allows_trial(6.0) and budget.has_refused
    assert budget.allows_trial(5.0) and not budget.is_over
    now[0] = 110.0
    assert budget.is_over
