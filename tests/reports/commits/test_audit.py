"""The rows of an audit."""

import pytest

from tests.helpers.arms import break_trials, make_arm
from tests.helpers.designs import compare, design_arms
from tests.helpers.study_rules import change_rules
from unrolled.bench.study_rules import Audit, AuditedChange
from unrolled.reports.commits.audit_words import ChangeEffect, list_audit_rows


@pytest.mark.parametrize(("forward", "effect"), [(False, ChangeEffect.HELPS), (True, ChangeEffect.HURTS)])
def test_a_row_names_a_claim_that_rests_on_divergence_alone(forward: bool, effect: ChangeEffect) -> None:
    without = make_arm("without", 0.0, seeds=20, settings={"clip": 1.0})
    without = break_trials(without, diverged=tuple(range(12)))
    change = AuditedChange(name="1234567 clip", hash="1" * 40, added=1, deleted=0, arm="without")
    design = design_arms((make_arm("tip", 0.0, seeds=20), without), seeds=tuple(range(20)))
    (row,) = list_audit_rows(compare(change_rules(design, audit=Audit(changes=(change,), forward=forward))))
    assert row.effect is effect
    assert "divergence alone" in row.remark
