"""A stored plan decides what a report shows, so whatever happens to its file is noticed."""

import random
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.bad_input import raises_bad_input
from tests.helpers.study_rules import change_rules
from unrolled.ablations.ledger import Ledger, seal
from unrolled.ablations.plans.plan import Plan, PlannedArm
from unrolled.ablations.plans.plan_store import load_plan, load_plans, store_plan
from unrolled.ablations.plans.planning import list_trial_fields
from unrolled.ablations.plans.retraining import explain_retraining
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.files.atomic_files import save_file
from unrolled.bench.metric import Metric
from unrolled.bench.study_rules import StudyRules
from unrolled.bench.trial import make_failed_result


def make_arm(seeds: Iterable[int], **settings: Any) -> PlannedArm:
    """Return an arm of trials that no study makes, as their code has no hash."""
    trials = {seed: ChapterTrial(model="stub", seed=seed, **settings) for seed in seeds}
    return PlannedArm(
        name="a",
        model="stub",
        title="stub",
        trial_ids={seed: trial.id for seed, trial in trials.items()},
        trial_fields=list_trial_fields(next(iter(trials.values()))),
    )


ARM = make_arm((0, 7))
PLAN = Plan(
    rules=StudyRules(
        name="s", question="q?", metrics=(Metric("valid_loss", 0.02),), seeds=(0, 7), looks=(2,)
    ),
    arms=(ARM,),
    study_hash="h",
    command="unrolled run s",
    trainer_name="chapter",
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Return a ledger that holds PLAN."""
    ledger = Ledger(tmp_path)
    store_plan(PLAN, ledger)
    return ledger


@pytest.fixture
def file(ledger: Ledger) -> Path:
    """Return the file of PLAN in the ledger."""
    (path,) = (ledger.root / "plans").glob("*.json")
    return path


def test_a_stored_plan_reads_back_equal(ledger: Ledger) -> None:
    assert load_plan("s", ledger) == PLAN


def test_a_file_that_cannot_be_run_names_its_stored_plan(ledger: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('name = "s"\nquestion = "q?"\n[baseline]\nmodel = "one of a plug-in"\n')
    assert load_plan(str(file), ledger) == PLAN


def test_every_one_of_300_flipped_bits_of_a_plan_is_refused(ledger: Ledger, file: Path) -> None:
    data = file.read_bytes()
    for place in random.Random(0).sample(range(8 * len(data)), 300):
        copy = bytearray(data)
        copy[place // 8] ^= 1 << place % 8
        file.write_bytes(copy)
        with raises_bad_input(file, "run its study again", place="study 's'"):
            load_plan("s", ledger)


@pytest.mark.parametrize("text", [b"", b"{", b"null", b"3", b"[]", b'"x"', b"{}", b"[" * 100_000, b"\xff"])
def test_a_file_that_is_no_plan_is_skipped_among_plans(tmp_path: Path, file: Path, text: bytes) -> None:
    lines: list[str] = []
    ledger = Ledger(tmp_path, lines.append)
    store_plan(change_rules(PLAN, name="other"), ledger)
    file.write_bytes(text)
    for _ in range(2):  # a command may read the plans more than once
        assert [plan.study_name for plan in load_plans(ledger)] == ["other"]
    (line,) = lines
    assert line.startswith(f"{file}: ")
    assert "run its study again" in line


@pytest.mark.parametrize(
    "changes",
    [
        {"rules": {**asdict(PLAN.rules), "metrics": [{"name": "valid_loss", "delta": "0.02"}]}},
        {"rules": {**asdict(PLAN.rules), "seeds": 3}},
        {"rules": {**asdict(PLAN.rules), "name": 5}},
        {"rules": {**asdict(PLAN.rules), "more": 1}},
        {"study": "s", "question": "q?", "looks": [2]},  # of an earlier form
        {"arms": {}},
        {"arms": [{**asdict(ARM), "trial_ids": {"0": 3}}]},
        {"arms": [{**asdict(ARM), "trial_ids": {"0": "../../../../elsewhere/file"}}]},
        {"arms": [{**asdict(ARM), "trial_ids": [1]}]},
        {"arms": [{**asdict(ARM), "seedless": False}]},  # of an earlier form
        {"more": 1},
    ],
)
def test_a_sealed_plan_with_other_content_is_refused(
    ledger: Ledger, file: Path, changes: dict[str, object]
) -> None:
    save_file(file, seal({"plan": {**asdict(PLAN), **changes}}))
    with raises_bad_input(file, place="study 's'"):
        load_plan("s", ledger)


WIDE = replace(make_arm((0, 7), options={"hidden": 8}), name="wide", changes={"hidden": 8})
SHIFTED = dict(zip((0, 7), make_arm((7, 14), options={"hidden": 8}).trial_ids.values(), strict=True))
HONEST = replace(PLAN, arms=(ARM, WIDE))


def change_arm(**facts: Any) -> dict[str, Any]:
    """Return the facts of a plan whose second arm has these."""
    return {"arms": (ARM, replace(WIDE, **facts))}


@pytest.mark.parametrize(
    ("changes", "contradiction"),
    [
        (change_arm(trial_ids={0: WIDE.trial_ids[7], 7: WIDE.trial_ids[0]}), "(seeds 0, 7)"),
        (change_arm(trial_ids={0: WIDE.trial_ids[7], 7: WIDE.trial_ids[7]}), "(seeds 0)"),
        (change_arm(trial_ids=ARM.trial_ids), "(seeds 0, 7)"),
        (change_arm(seed_offset=7), "(seeds 0, 7)"),
        (change_arm(seed_offset=7, trial_ids=SHIFTED), "other seeds than its base"),
        (change_arm(trial_ids=dict.fromkeys((0, 7), WIDE.trial_ids[0])), "(seeds 7)"),
        ({"device": "cuda"}, "(seeds 0, 7)"),
        ({"rules": replace(PLAN.rules, seeds=(0,), looks=(1,))}, "seeds are not the plan's"),
        (change_arm(trial_ids=ARM.trial_ids, trial_fields=ARM.trial_fields), "another hidden"),
        (change_arm(changes={"hidden": 16}), "another hidden"),
        (change_arm(changes={}), "another hidden"),
        (change_arm(changes={"hidden": 8, "tying": True}), "another tying"),
        (change_arm(model="lm6"), "another model"),
        ({"repetition_differences": {"valid_loss": 0.1}}, "equal trials"),
        (change_arm(trial_fields={}), "damaged"),
        (change_arm(trial_ids={}), "seeds are not the plan's"),
    ],
)
def test_a_sealed_plan_that_contradicts_itself_is_refused_and_set_aside(
    ledger: Ledger, file: Path, changes: dict[str, Any], contradiction: str
) -> None:
    store_plan(HONEST, ledger)
    assert load_plan("s", ledger) == HONEST
    save_file(file, seal({"plan": asdict(replace(HONEST, **changes))}))
    with raises_bad_input(file, contradiction, place="study 's'"):
        load_plan("s", ledger)
    store_plan(HONEST, ledger)
    assert load_plan("s", ledger) == HONEST


# When a plan was declared. Trials are real, as their identities name the results.


def make_plan(study: str, seeds: range, lr: float = 0.01, time: float = 0.0) -> Plan:
    """Return a plan of these seeds, declared at a time."""
    facts: dict[str, Any] = {"study_hash": f"{study} {seeds} {lr}", "declared_at": time}
    rules = replace(PLAN.rules, name=study, seeds=tuple(seeds))
    return replace(PLAN, rules=rules, arms=(make_arm(seeds, lr=lr),), **facts)


def record_trials(ledger: Ledger, seeds: range) -> None:
    """Record a failed result of each seed."""
    for seed in seeds:
        ledger.record_result(
            make_failed_result(ChapterTrial(model="stub", seed=seed, lr=0.01), "of no matter", started=1e9)
        )


def test_a_study_extended_after_a_tour_is_dated_by_both_plans(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    store_plan(make_plan("s", range(1), time=1.0), ledger)
    record_trials(ledger, range(1))
    plan = store_plan(make_plan("s", range(10), time=2.0), ledger)
    assert (plan.declared_at, [earlier.declared_at for earlier in plan.earlier_plans]) == (2.0, [1.0])
    record_trials(ledger, range(10))
    assert store_plan(make_plan("s", range(10), time=3.0), ledger) == plan, "the same plan again"
    assert load_plan("s", ledger) == plan


def test_a_stored_plan_keeps_its_order_and_the_distance_of_equal_trials(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path)
    plan = make_plan("s", range(5, 45))
    store_plan(plan, ledger)
    record_trials(ledger, range(5, 45))
    plan_with_distance = store_plan(replace(plan, repetition_differences={}), ledger)
    assert plan_with_distance.repetition_differences == {}
    assert store_plan(plan, ledger) == plan_with_distance, "of one that has not measured it"
    assert (load_plan("s", ledger).ids, load_plan("s", ledger).earlier_plans) == (plan.ids, ())


def test_a_trial_that_failed_is_trained_again_for_no_other_reason(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    plan = make_plan("s", range(1))
    record_trials(ledger, range(1))
    assert explain_retraining(plan, plan, [ChapterTrial(model="stub", seed=0, lr=0.01)], ledger) == []
    trial = ChapterTrial(model="stub", seed=0, lr=0.01, source="edited")
    new_plan = replace(plan, arms=(make_arm([0], source="edited"),))
    (line,) = explain_retraining(plan, new_plan, [trial], ledger)
    assert line.startswith("the code was edited: 1 trial")


def test_a_plan_that_comes_back_after_another_keeps_its_first_time(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    store_plan(make_plan("s", range(10), time=1.0), ledger)
    record_trials(ledger, range(10))
    assert store_plan(make_plan("s", range(1), time=2.0), ledger).declared_at == 2.0
    assert store_plan(make_plan("s", range(10), time=3.0), ledger).declared_at == 1.0
    assert store_plan(make_plan("s", range(20), time=4.0), ledger).declared_at == 4.0


def test_a_plan_of_edited_code_forgets_earlier_ones_without_results(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path)
    store_plan(make_plan("s", range(3), time=1.0), ledger)
    new_plan = replace(
        make_plan("s", range(3), lr=0.02, time=2.0), study_hash=make_plan("s", range(3)).study_hash
    )
    stored = store_plan(new_plan, ledger)
    assert (stored.declared_at, stored.earlier_plans) == (2.0, ())
