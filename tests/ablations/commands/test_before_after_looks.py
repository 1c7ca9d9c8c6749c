"""A gate between studies that look several times: fewer seeds are no fault where a contrast was decided."""

from result_sets import ledger, trained
from stub_plans import kept, planned

from bench.metric import Metric

LOOKS = {"looks": (10, 15, 20, 30, 40)}
CHANGES = {"worse": {"lr": 0.1}, "alike": {"lr": 0.2}}


def looked(folder, *, base, code="v1", delta=0.02, **arms):
    """A ledger in which every arm has this many seeds; `worse` is .2 worse than the baseline."""
    effects, counts = {"base": 0.0, "worse": 0.2, "alike": 0.0}, {"base": base, **arms}
    whole = {name: [trained(s, effects[name], f"{code}{name}") for s in range(40)] for name in counts}
    plan = planned(whole, CHANGES, metrics=(Metric("valid_loss", delta),), **LOOKS)
    return kept(folder, plan, {name: whole[name][:n] for name, n in counts.items()}).root


def test_an_arm_that_was_decided_at_an_earlier_look_lacks_nothing(tmp_path, gate):
    before = looked(tmp_path / "a", base=15, worse=15, alike=15)
    code, said = gate(before, looked(tmp_path / "b", base=10, worse=10, alike=10, code="v2"))
    assert code == 0 and "has no result" not in said and "only on one side: seed 10, 11" in said


def test_a_candidate_whose_open_contrast_could_go_on_is_interrupted(tmp_path, gate):
    before = looked(tmp_path / "a", base=15, alike=15)
    after = looked(tmp_path / "b", base=12, alike=11, code="v2", delta=0.0005)
    code, said = gate(before, after)
    assert code == 3
    assert "✗ alike: has no result for seed 11, 12, 13, 14: run the study to its end" in said
    assert "✗ base: has no result for seed 12, 13, 14: run the study to its end" in said
    whole = looked(tmp_path / "c", base=40, alike=40, code="v2", delta=0.0005)
    assert "has no result" not in gate(before, whole)[1]  # open, but there is no further look


def test_a_candidate_that_stopped_before_its_first_look_is_interrupted(tmp_path, gate):
    before = looked(tmp_path / "a", base=10, worse=10)
    code, said = gate(before, looked(tmp_path / "b", base=10, worse=8, code="v2"))
    assert code == 3 and "✗ worse: has no result for seed 8, 9: run the study to its end" in said


def test_every_metric_of_the_plan_can_be_asked_with_its_own_delta(tmp_path, gate):
    two = (Metric("valid_loss", 0.02), Metric("speed_train", 400.0))
    sides = [
        ledger(tmp_path / code, {"base": [trained(s, code=code) for s in range(10)]}, metrics=two)
        for code in ("v1", "v2")
    ]
    assert "valid_loss not worse by 0.02 or more" in gate(*sides)[1]
    assert "speed_train not worse by 400 or more" in gate(*sides, "--metric", "speed_train")[1]
