"""A study gets seeds until it is decided: it ends the same however it is stopped and begun again."""

import math
import os
import random
import signal
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from itertools import combinations
from pathlib import Path

import pytest

from tests.helpers.command_call import PrintedCounts, check_command, read_trial_counts, run_command
from tests.helpers.command_process import write_study
from tests.helpers.look_study import StudyOnDisk
from tests.helpers.processes import wait_for
from tests.helpers.stub_results import build_plan, change_trial, make_result
from unrolled import results
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.publishing.plan_comparison import compare_plan
from unrolled.ablations.publishing.plan_page import read_page_results
from unrolled.ablations.training import first_batches
from unrolled.ablations.training.budget import Budget
from unrolled.ablations.training.seed_scheduler import SeedScheduler
from unrolled.bench.metric import Metric
from unrolled.bench.program.program_trial import ProgramTrial
from unrolled.bench.trial import Result
from unrolled.reports.page.exports import write_trials_csv
from unrolled.reports.words.study_state import describe_trials

LOOKS = FIRST, SECOND, LAST = 5, 6, 8
STATES = {"hidden 8": "decided", "hidden 24": "open", "hidden 32": "decided"}
"""What becomes of each contrast of `look_study`."""


@pytest.fixture
def study(tmp_path: Path) -> Iterator[StudyOnDisk]:
    looks_study = StudyOnDisk(tmp_path)
    yield looks_study
    looks_study.programs.kill_all()


@pytest.fixture(scope="module")
def full_study(tmp_path_factory) -> StudyOnDisk:
    """Return the study after a run of one worker, which never has to guess what a look will need."""
    study = StudyOnDisk(tmp_path_factory.mktemp("whole"))
    study.run("-j", "1")
    return study


def count_trials(study: StudyOnDisk) -> dict[int, int]:
    """Return how many trials each width has in the ledger."""
    return dict(Counter(hidden for hidden, _ in study.list_trained_trials()))


def test_a_decided_contrast_asks_for_no_more_seeds(full_study: StudyOnDisk) -> None:
    # the baseline's are those of the last look, and of A/A
    assert count_trials(full_study) == {64: LAST + FIRST, 8: FIRST, 24: LAST, 32: SECOND, 48: FIRST}
    assert full_study.list_states() == STATES
    assert read_trial_counts(full_study.output) == PrintedCounts(trained=37)


def test_futile_contrasts_get_no_seeds_unless_run_to_the_end(
    full_study: StudyOnDisk, study: StudyOnDisk
) -> None:
    file = study.folder / "looks.toml"
    file.write_text(file.read_text().replace("to_the_end = true\n", ""))
    output = study.run("-j", "1")  # its exit code is 0
    assert count_trials(study) == {64: SECOND + FIRST, 8: FIRST, 24: FIRST, 32: SECOND, 48: FIRST}
    assert study.list_states() == STATES
    assert read_trial_counts(output).left == 0
    plan = plan_store.load_plan("looks", study.ledger)
    _check_speculation(plan, study.ledger.read_results(plan.ids))
    study.run("-j", "1", "--to-the-end")
    assert (
        study.outcome() == full_study.outcome()
        and study.list_trained_trials() == full_study.list_trained_trials()
    )
    new_plan = plan_store.load_plan("looks", study.ledger)
    assert (new_plan.study_hash, new_plan.declared_at, new_plan.seen_pairs) == (
        plan.study_hash,
        plan.declared_at,
        {},
    ), "it is confirmatory"
    assert read_trial_counts(study.run("-j", "1")).trained == 0
    assert study.outcome() == full_study.outcome(), "no verdict is taken back"


def _check_speculation(plan: Plan, results: Mapping[str, Result]) -> None:
    """Check that after the first look only the contrast that goes on has later trials."""
    first_results = {id: result for id, result in results.items() if result.trial.seed % 1000 < FIRST}
    scheduler = SeedScheduler(plan, first_results)
    arms = {arm.name for arm in plan.arms if scheduler.is_wanted(arm.trial_ids[LAST - 1])}
    assert arms == {"LMModel4, corpus text.txt", "hidden 32"}


def test_the_page_is_rendered_while_the_next_look_is_trained(study: StudyOnDisk) -> None:
    study.run("-j", "1", SLEEP="0.05")
    assert [looks for looks, _ in study.list_logged("page")] == [1, 2, 3]
    words = [line.split()[0] for line in study.log.read_text().splitlines()]
    assert "page" in words[: len(words) - words[::-1].index("start")], "before the last trial"


def test_the_range_of_needed_trials_only_narrows_and_holds_the_final_number(
    full_study: StudyOnDisk,
) -> None:
    plan = plan_store.load_plan("looks", full_study.ledger)
    results = full_study.ledger.read_results(plan.ids)
    scheduler = SeedScheduler(plan, {})
    ranges = [(len(scheduler.pending_ids), len(scheduler.possible_ids))]
    for result in sorted(results.values(), key=lambda result: result.trial.seed % 1000):
        scheduler.add_result(result)
        size = len(scheduler.results)
        ranges.append((size + len(scheduler.pending_ids), size + len(scheduler.possible_ids)))
    lower, upper = zip(*ranges, strict=True)
    assert list(lower) == sorted(lower) and list(upper) == sorted(upper, reverse=True)
    assert lower[0] == 6 * FIRST and lower[-1] == upper[-1] == len(results) == 37


def test_trials_follow_looks_and_arms_without_contrast_get_the_first(
    full_study: StudyOnDisk,
) -> None:
    order = [bisect_right(LOOKS, seed % 1000) for _, seed in full_study.list_logged("start")]
    assert order == sorted(order)
    assert {seed for _, seed in full_study.list_trained_trials() if seed >= 1000} == set(range(1000, 1005))
    assert {seed for hidden, seed in full_study.list_trained_trials() if hidden == 48} == set(range(5))


def test_trials_begin_seed_by_seed_and_the_longest_of_a_seed_first(full_study: StudyOnDisk) -> None:
    """Wider is longer; the baseline's width is that of A/A, too."""
    trials = [(width, seed % 1000) for width, seed in full_study.list_logged("start")]
    first_look = [(width, seed) for width, seed in trials if seed < FIRST]
    assert first_look == sorted(first_look, key=lambda trial: (trial[1], -trial[0]))
    assert len(first_look) == 6 * FIRST


@pytest.mark.slow
def test_four_workers_have_the_same_verdicts_and_train_few_trials_more(
    full_study: StudyOnDisk, study: StudyOnDisk
) -> None:
    study.run("-j", "4", SLEEP="0.1")
    assert study.outcome() == full_study.outcome()
    assert full_study.list_trained_trials() <= study.list_trained_trials()
    assert len(study.list_trained_trials() - full_study.list_trained_trials()) <= 4 * len(LOOKS)


@pytest.mark.slow
def test_a_study_interrupted_then_killed_comes_to_the_same_end(
    full_study: StudyOnDisk, study: StudyOnDisk
) -> None:
    dice = random.Random(9)
    for signal_number in (signal.SIGINT, signal.SIGKILL):
        target = len(study.list_logged("end")) + dice.randint(1, 10)
        program = study.start("-j", "2", SLEEP="0.05")
        wait_for(lambda target=target: len(study.list_logged("end")) >= target)
        if signal_number is signal.SIGINT:
            os.killpg(program.pid, signal_number)  # as a terminal does
        else:
            program.kill()
        program.communicate(timeout=120)
        assert program.returncode == (130 if signal_number is signal.SIGINT else -signal_number)
    study.run("-j", "2")
    assert study.outcome() == full_study.outcome()


@pytest.mark.slow
def test_results_of_other_seeds_and_of_damaged_files_change_no_verdict(
    full_study: StudyOnDisk, study: StudyOnDisk
) -> None:
    study.run("-j", "2", "--seeds", "0-6")
    assert count_trials(study) == {64: 14, 8: 7, 24: 7, 32: 7, 48: 7}, (
        "a fixed design trains all of its seeds"
    )
    for id in [*study.ledger.find_result_files()][:3]:
        study.ledger.find_result_path(id).write_bytes(b"{}")
    study.run("-j", "1")  # two cores may begin a trial of the next look
    assert study.outcome() == full_study.outcome()
    assert count_trials(study)[24] == LAST and count_trials(study)[8] <= 7


@pytest.mark.slow
def test_cores_work_on_at_a_look_and_unneeded_trials_enter_no_mean(
    full_study: StudyOnDisk, study: StudyOnDisk, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.mkdir()
    blocker = gate / "64-1004"  # of the first look: the A/A arm's fifth seed
    blocker.touch()
    program = study.start("-j", "2", GATE=str(gate))
    try:
        wait_for(lambda: (8, 5) in study.list_logged("end"))
        assert (64, 1004) not in study.list_logged("end"), "the next look had not begun"
    finally:
        blocker.unlink()
    output, _ = program.communicate(timeout=120)
    assert program.returncode == 0, output
    assert (8, 5) in study.list_trained_trials() - full_study.list_trained_trials()
    assert study.outcome() == full_study.outcome()
    _check_numbers_of_trials(study, full_study)


def _check_numbers_of_trials(study: StudyOnDisk, full_study: StudyOnDisk) -> None:
    """Check the numbers of trials that count, in every place; `full_study` trained no others."""
    folder = study.folder / "results"
    table = results("looks", folder)
    all_rows = results("looks", folder, all=True)
    assert set(table.trial) == set(full_study.ledger.find_result_files())
    assert set(all_rows.trial) == set(study.ledger.find_result_files())
    assert all_rows[all_rows.counts].drop(columns="counts").reset_index(drop=True).equals(table)
    plan = plan_store.load_plan("looks", study.ledger)
    page = compare_plan(plan, read_page_results(plan, study.ledger))
    means = table.groupby("arm").valid_loss.mean()
    assert all(
        arm.summary.mean == pytest.approx(means[arm.name]) for arm in page.find_view("valid_loss").arms
    )
    assert len(write_trials_csv(page).splitlines()) == 1 + len(table)
    assert f"{len(table)} of {len(table)} trials finished" in describe_trials(page)


@pytest.mark.slow
def test_a_failure_leaves_its_contrast_to_signs_until_it_is_tried_again(
    full_study: StudyOnDisk, study: StudyOnDisk
) -> None:
    output = study.run("-j", "2", FAIL="32/3", code=1)
    assert study.list_states() == {**STATES, "hidden 32": "open"}
    assert read_trial_counts(output)[2:] == (1, 0, 0), "failed, diverged and left"
    assert count_trials(study)[24] == count_trials(study)[32] == LAST, "both go on"
    assert read_trial_counts(study.run(code=1)).trained == 0, "a failure is final"
    study.run("-j", "2", "--retry")
    assert study.outcome() == full_study.outcome()


@pytest.mark.slow
def test_a_budget_ends_a_run_and_the_next_one_goes_on(full_study: StudyOnDisk, study: StudyOnDisk) -> None:
    output = study.run("-j", "1", "--budget", "1s", SLEEP="0.15")  # all of it would take 5.5 s
    assert "as the time is up; run again" in output or "looks: not run: no time was left" in output
    assert "looks: not run: no time was left" in study.run("--budget", "0.001s")
    study.run("-j", "2")
    assert study.outcome() == full_study.outcome()


def test_where_time_is_judged_the_order_of_arms_is_balanced() -> None:
    trials = {arm: [change_trial(make_result(s), lr=lr) for s in range(10)]
              for arm, lr in (("base", 0.1), ("b", 0.2), ("c", 0.3))}  # fmt: skip
    plan = build_plan(trials, metrics=(Metric("seconds", 2.0, ratio=True),))
    names = plan.arm_names_by_id
    all_trials = [r.trial for of_arm in trials.values() for r in of_arm]
    order = SeedScheduler(plan, {}).sort_trials(all_trials)
    by_seed = [[names[t.id] for t in order if t.seed == seed] for seed in range(10)]
    assert [t.seed for t in order] == sorted(t.seed for t in all_trials)
    for first, second in combinations(trials, 2):
        assert sum(arms.index(first) < arms.index(second) for arms in by_seed) == 5
    assert {arms[0] for arms in by_seed} == set(trials)
    remainder = SeedScheduler(plan, {}).sort_trials(all_trials[7::3])  # a run that is resumed keeps the order
    assert remainder == [t for t in order if t in remainder]
    loss_plan = build_plan(trials, metrics=(Metric("valid_loss", 0.02),))
    assert [names[t.id] for t in SeedScheduler(loss_plan, {}).sort_trials(all_trials)][:3] == [
        "base",
        "b",
        "c",
    ]


@pytest.mark.usefixtures("skip_mlflow")
def test_only_arms_whose_first_batch_fitted_the_budget_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked_results: list[Result] = []  # results of first batches

    class FirstBatchBudget(Budget):
        is_over = property(lambda _: len(checked_results) == 2)

    folder = write_study(tmp_path, seeds="seeds = 2", widths=(8, 16))
    with monkeypatch.context() as patch:
        patch.setattr(Budget, "halve", lambda _: FirstBatchBudget(math.inf))
        patch.setattr(first_batches, "show_first_batches", lambda _: nullcontext(checked_results.append))
        process = run_command(folder, "run", "small.toml", "-j", "1", "--budget", "1h")
    assert process.returncode == 0
    assert "the first batch of 2 of 3 arms was checked" in process.stdout
    assert read_trial_counts(process.stdout) == PrintedCounts(trained=4, left=2)
    assert "2 trials of this look: not begun, as the time is up" in process.stderr
    assert read_trial_counts(check_command(folder, "run", "small.toml")) == PrintedCounts(trained=2, stored=4)


def test_a_budget_goes_by_the_times_that_trials_took(monkeypatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    budget = Budget(110.0)
    assert budget.allows_trial(10.0) and not budget.has_refused
    trial = ProgramTrial(seed=0)
    assert trial.expected_seconds == 60
    budget.add_trial(Result(trial=trial, status="failed", attempt_seconds=0.1))
    budget.add_trial(Result(trial=trial, status="done", attempt_seconds=40.0, metrics={"seconds": 120.0}))
    assert not budget.allows_trial(6.0) and budget.has_refused
    assert budget.allows_trial(5.0) and not budget.is_over
    clock[0] = 110.0
    assert budget.is_over
