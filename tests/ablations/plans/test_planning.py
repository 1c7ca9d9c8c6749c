"""From a study to its plan: which trials are those of an earlier plan."""

from pathlib import Path

import pytest

from tests.helpers.command_call import check_command, run_command
from tests.helpers.program_project import PROGRAM, STUDY, write_project
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


@pytest.mark.parametrize(("study", "is_measured_again"), [(STUDY, False), (JUDGED_TIME, True)])
def test_a_retried_seed_is_measured_whole_if_a_time_is_judged(
    tmp_path: Path, study: str, is_measured_again: bool
) -> None:
    """With a quarter of the pairs retried on another day, equal arms were called different in .10 to .49."""
    fails_once = """
from pathlib import Path
if given.deep and given.seed == 3 and not Path(f"{__file__}.mended").exists():
    raise SystemExit(1)
"""
    program = PROGRAM.replace("random.seed(given.seed)", f"random.seed(given.seed){fails_once}")
    folder = write_project(tmp_path / "project", program, study)
    ledger = Ledger(folder / "results")
    run_command(folder, "run", "mine.toml")
    plan = plan_store.load_plan("mine", ledger)
    before = ledger.read_results(plan.ids)
    (folder / "train.py.mended").touch()
    check_command(folder, "run", "mine.toml", "--retry")
    after = ledger.read_results(plan.ids)
    trained_seeds = {
        arm.name: [seed for seed, id in arm.trial_ids.items() if after[id].started != before[id].started]
        for arm in plan.arms
    }
    assert trained_seeds.pop("deep") == [3]
    assert trained_seeds == dict.fromkeys(("baseline", "dropout 0.5"), [3] if is_measured_again else [])
    assert all(result.done for result in after.values())
