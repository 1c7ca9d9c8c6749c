"""From a study to its plan: which trials are those of an earlier plan."""

from pathlib import Path

import pytest

from tests.helpers.command_call import check_command
from tests.helpers.program_project import STUDY, write_project
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.plan import Plan

pytestmark = pytest.mark.usefixtures("skip_mlflow")

JUDGED_TIME = STUDY.replace(
    'metrics = [{ name = "accuracy", delta = 0.01 }]',
    'metrics = [{ name = "accuracy", delta = 0.01 }, { name = "seconds", delta = "10 %" }]',
)


def run_study(folder: Path, study: str) -> Plan:
    (folder / "mine.toml").write_text(study)
    check_command(folder, "run", "mine.toml")
    return plan_store.load_plan("mine", Ledger(folder / "results"))


@pytest.mark.parametrize(("study", "is_kept"), [(STUDY, True), (JUDGED_TIME, False)])
def test_an_added_arm_trains_the_others_again_only_if_a_time_is_judged(
    tmp_path: Path, study: str, is_kept: bool
) -> None:
    """Sides that were trained on different days differed in .17 to .72 of studies of equal arms."""
    folder = write_project(tmp_path / "project")
    one_arm = study.replace("deep = [true]\n", "")
    first = run_study(folder, one_arm)
    again = run_study(folder, one_arm.replace("seeds = 5", "seeds = 6"))
    assert set(first.ids) < set(again.ids), "further seeds are no other occasion"
    added = run_study(folder, study.replace("seeds = 5", "seeds = 6"))
    assert set(again.ids).issubset(added.ids) is is_kept
    assert set(again.ids).isdisjoint(added.ids) is not is_kept
    arms = [arm for arm in added.arms if arm.name != "deep"]
    assert added.seen_pairs == {arm.name: 6 for arm in arms[1:]}, "another occasion makes nothing unseen"
