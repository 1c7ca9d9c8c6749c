"""The rows of an audit."""

import math
from dataclasses import replace

import pytest

from tests.helpers.arms import break_trials, make_arm, set_metrics
from tests.helpers.designs import compare, design_arms, make_program_design
from tests.helpers.study_rules import change_rules
from unrolled.bench.metric import Metric
from unrolled.bench.study_rules import Audit, AuditedChange
from unrolled.reports.commits.audit_words import ChangeEffect, describe_audit, list_audit_rows


@pytest.mark.parametrize(("forward", "effect"), [(False, ChangeEffect.HELPS), (True, ChangeEffect.HURTS)])
def test_a_row_names_a_claim_that_rests_on_divergence_alone(forward: bool, effect: ChangeEffect) -> None:
    without = make_arm("without", 0.0, seeds=20, settings={"clip": 1.0})
    without = break_trials(without, diverged=tuple(range(12)))
    change = AuditedChange(name="1234567 clip", hash="1" * 40, added=1, deleted=0, arm="without")
    design = design_arms((make_arm("tip", 0.0, seeds=20), without), seeds=tuple(range(20)))
    (row,) = list_audit_rows(compare(change_rules(design, audit=Audit(changes=(change,), forward=forward))))
    assert row.effect is effect
    assert "divergence alone" in row.remark


@pytest.mark.parametrize("judges_time", [True, False])
def test_a_change_of_a_judged_time_changes_a_number(judges_time: bool) -> None:
    """Losses were equal on every seed, and the time longer by 100 δ: "changes no number", said its row."""
    metrics = (Metric("error", 0.1), Metric("seconds", 0.1, kind="time"))[: 1 + judges_time]
    design = make_program_design(*metrics)
    errors = {seed: 0.2 + math.sqrt(seed) / 100 for seed in design.arms[0].results}
    tip = set_metrics(design.arms[0], error=errors, seconds=9.0)
    results = {
        seed: replace(result, metrics=tip.results[seed].metrics, curves=tip.results[seed].curves)
        for seed, result in design.arms[1].results.items()
    }
    without = set_metrics(replace(design.arms[1], results=results), seconds=19.0)
    change = AuditedChange(name="1234567 clip", hash="1" * 40, added=1, deleted=0, arm=without.name)
    audit = Audit(changes=(change,), forward=False)
    design = change_rules(replace(design, arms=(tip, without)), audit=audit)
    (row,) = list_audit_rows(compare(design))
    assert row.effect is (ChangeEffect.NOTHING if judges_time else ChangeEffect.NO_NUMBER)


@pytest.mark.parametrize("companions", [(), ("7654321 uses it",)])
def test_the_answer_counts_changes_judged_without_later_ones_apart(companions: tuple[str, ...]) -> None:
    change = AuditedChange(
        name="1234567 lr", hash="1" * 40, added=1, deleted=0, arm="without", taken_back_with=companions
    )
    without = make_arm("without", 0.3, seeds=20, settings={"clip": 1.0})
    design = design_arms((make_arm("tip", 0.0, seeds=20), without), seeds=tuple(range(20)))
    comparison = compare(change_rules(design, audit=Audit(changes=(change,), forward=False)))
    assert "need 1" in describe_audit(comparison)
    assert ("without the later changes" in describe_audit(comparison)) == bool(companions)
