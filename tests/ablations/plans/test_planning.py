"""From a study to its plan: which trials are those of an earlier plan."""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.helpers.command_call import check_command, run_command
from tests.helpers.program_project import PROGRAM, STUDY, write_project
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.runner import parallel
from unrolled.bench.trial import Result

pytestmark = pytest.mark.usefixtures("skip_mlflow")

JUDGED_TIME = STUDY.replace(
    'metrics = [{ name = "accuracy", delta = 0.01 }]',
    'metrics = [{ name = "accuracy", delta = 0.01 }, { name = "seconds", delta = "10 %" }]',
)


BREAKABLE = PROGRAM.replace(
    "random.seed(given.seed)",
    """random.seed(given.seed)
from pathlib import Path
broken = [path.stem for path in Path(__file__).parent.glob("*.broken")]
if given.seed == 3 and ("deep" in broken and given.deep or "dropout" in broken and given.dropout == 0.5):
    raise SystemExit(1)""",
)
"""The program, of which an arm fails on seed 3 while a file beside it says so."""

NOISY_DAY = """
import argparse, json
from pathlib import Path
options = argparse.ArgumentParser()
options.add_argument("--kernel")
options.add_argument("--seed", type=int)
given = options.parse_args()
day = int(Path(__file__).with_name("day").read_text())
if day == 1 and given.kernel == "fails" and given.seed == 3:
    raise SystemExit(1)
wave = [0, 1, -1, 2, -2, 1, -1, 0][given.seed]
slow = 60 if day == 2 and given.seed == 3 else 110 + wave
latency = {"base": 100, "slow": slow, "fails": 100 + 5 * wave}[given.kernel]
print(json.dumps({"latency": latency + 0.1 * wave + 20 * day}))
"""
"""A program whose arm "slow" is clearly slower, but for seed 3 on the second day."""

TWO_LOOKS = """
name = "mine"
question = "Which is faster?"
metrics = [{ name = "latency", kind = "time", delta = 3.0 }]
seeds = 8
looks = [5, 8]
to_the_end = true

[program]
run = "python train.py --kernel {kernel} --seed {seed}"

[baseline]
kernel = "base"

[[arm]]
name = "slow"
exploratory = true
set.kernel = "slow"

[[arm]]
name = "fails"
set.kernel = "fails"
"""


NARROW_ARM = """
import argparse, json, random
options = argparse.ArgumentParser()
options.add_argument("--kernel")
options.add_argument("--seed", type=int)
given = options.parse_args()
draw = random.Random(f"{given.kernel}{given.seed}")
loss = 1 + draw.gauss(0, 0.005 if given.kernel == "narrow" else 0.1)
print(json.dumps({"latency": 100 + draw.gauss(0, 3), "loss": loss}))
"""
"""A program of whose arm "narrow" the seeds differ so little that it may be one run."""

UNREPEATED = """
name = "mine"
question = "Which is faster?"
metrics = [{ name = "latency", kind = "time", delta = "3%" }, { name = "loss", delta = 0.05 }]
seeds = 8
looks = [5, 8]
to_the_end = true

[program]
run = "python train.py --kernel {kernel} --seed {seed}"
repeat = false

[baseline]
kernel = "base"

[design.one_at_a_time]
kernel = ["narrow", "wide"]
"""


def find_days(
    plan: Plan, results: Mapping[str, Result], earlier: Mapping[str, Result]
) -> dict[int, set[bool]]:
    """Return by seed whether its results are later than all earlier ones; two values if they are mixed."""
    last_start = max(result.started for result in earlier.values())
    return {
        seed: {results[arm.trial_ids[seed]].started > last_start for arm in plan.arms}
        for seed in plan.rules.seeds
    }


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
    first = run_study(folder, one_arm.replace("seeds = 5", "seeds = 2"))
    again = run_study(folder, one_arm.replace("seeds = 5", "seeds = 3"))
    assert set(first.ids) < set(again.ids), "further seeds are no other occasion"
    added = run_study(folder, study.replace("seeds = 5", "seeds = 3"))
    assert set(again.ids).issubset(added.ids) is is_kept
    assert set(again.ids).isdisjoint(added.ids) is not is_kept
    arms = [arm for arm in added.arms if arm.name != "deep"]
    assert added.seen_pairs == {arm.name: 3 for arm in arms[1:]}, "another occasion makes nothing unseen"


@pytest.mark.parametrize(("study", "is_measured_again"), [(STUDY, False), (JUDGED_TIME, True)])
def test_a_retried_seed_is_measured_whole_if_a_time_is_judged(
    tmp_path: Path, study: str, is_measured_again: bool
) -> None:
    """With a quarter of the pairs retried on another day, equal arms were called different in .10 to .49."""
    folder = write_project(tmp_path / "project", BREAKABLE, study)
    (folder / "deep.broken").touch()
    ledger = Ledger(folder / "results")
    run_command(folder, "run", "mine.toml")
    plan = plan_store.load_plan("mine", ledger)
    before = ledger.read_results(plan.ids)
    (folder / "deep.broken").unlink()
    check_command(folder, "run", "mine.toml", "--retry")
    after = ledger.read_results(plan.ids)
    trained_seeds = {
        arm.name: [seed for seed, id in arm.trial_ids.items() if after[id].started != before[id].started]
        for arm in plan.arms
    }
    assert trained_seeds.pop("deep") == [3]
    assert trained_seeds == dict.fromkeys(("baseline", "dropout 0.5"), [3] if is_measured_again else [])
    assert all(result.is_done for result in after.values())


def test_a_seed_whose_second_measuring_was_stopped_is_measured_whole_again(tmp_path: Path) -> None:
    """The seed had results of two days: its lacking trial was there, and a failure replaced no old time."""
    folder = write_project(tmp_path / "project", BREAKABLE, JUDGED_TIME)
    ledger = Ledger(folder / "results")
    (folder / "deep.broken").touch()
    run_command(folder, "run", "mine.toml")
    (folder / "deep.broken").rename(folder / "dropout.broken")
    run_command(folder, "run", "mine.toml", "--retry", "--fail-fast")
    plan = plan_store.load_plan("mine", ledger)
    ids = [arm.trial_ids[3] for arm in plan.arms]
    stopped = ledger.read_results(ids)
    (folder / "dropout.broken").unlink()
    check_command(folder, "run", "mine.toml", "--retry")
    mended = ledger.read_results(ids)
    assert all(result.is_done for result in mended.values())
    assert all(mended[id].started > result.started for id, result in stopped.items())
    assert min(result.started for result in mended.values()) > max(r.started for r in stopped.values())


def test_a_first_seed_that_failed_is_measured_whole_again(tmp_path: Path) -> None:
    """Failures of the first seeds are trained again without --retry, beside a base of an earlier day."""
    program = BREAKABLE.replace("given.seed == 3", "given.seed == 0")
    folder = write_project(tmp_path / "project", program, JUDGED_TIME)
    ledger = Ledger(folder / "results")
    (folder / "deep.broken").touch()
    run_command(folder, "run", "mine.toml")
    (folder / "deep.broken").unlink()
    plan = plan_store.load_plan("mine", ledger)
    stopped = ledger.read_results(plan.ids)
    assert len(stopped) == len(plan.arms)
    check_command(folder, "run", "mine.toml")
    mended = ledger.read_results(arm.trial_ids[0] for arm in plan.arms)
    assert len(mended) == len(plan.arms)
    assert min(result.started for result in mended.values()) > max(r.started for r in stopped.values())


def test_a_contrast_that_a_retried_seed_reopens_has_later_seeds_of_one_day(tmp_path: Path) -> None:
    """An exploratory arm was open again, and its later seeds were paired with a base of an earlier day."""
    folder = write_project(tmp_path / "project", NOISY_DAY, TWO_LOOKS)
    ledger = Ledger(folder / "results")
    (folder / "day").write_text("1")
    run_command(folder, "run", "mine.toml")
    plan = plan_store.load_plan("mine", ledger)
    slow = plan.arms[1].trial_ids.values()
    before = ledger.read_results(plan.ids)
    assert len(before.keys() & {*slow}) == 5, "slow is decided at the first look"
    (folder / "day").write_text("2")
    check_command(folder, "run", "mine.toml", "--retry")
    after = ledger.read_results(plan.ids)
    assert len(after.keys() & {*slow}) == 8, "slow is open again"
    days = find_days(plan, after, before)
    assert all(len(by_arm) == 1 for by_arm in days.values())
    assert days[7] == {True}


def test_an_arm_that_a_repetition_clears_has_seeds_of_one_day(tmp_path: Path) -> None:
    """It was trained beside a baseline of an earlier day: equal arms differed in .28 to .92 of studies."""
    folder = write_project(tmp_path / "project", NARROW_ARM, UNREPEATED)
    ledger = Ledger(folder / "results")
    plan = run_study(folder, UNREPEATED)
    before = ledger.read_results(plan.ids)
    narrow = plan.arms[1].trial_ids
    assert len(before.keys() & {*narrow.values()}) == 5, "narrow may be one run, and gets no more seeds"
    plan = run_study(folder, UNREPEATED.replace("repeat = false", ""))
    after = ledger.read_results(plan.ids)
    days = find_days(plan, after, before)
    assert len(after) == len(plan.ids), "narrow goes on"
    assert all(len(by_arm) == 1 for by_arm in days.values())
    assert days[7] == {True}


@pytest.mark.parametrize(("study", "is_shared"), [(STUDY, True), (JUDGED_TIME, False)])
def test_studies_of_the_same_arms_share_trials_unless_a_time_is_judged(
    tmp_path: Path, study: str, is_shared: bool
) -> None:
    """A second study measured some seeds again, removed those of the first, and took back its verdict."""
    folder = write_project(tmp_path / "project")
    first = run_study(folder, study.replace("seeds = 5", "seeds = 2"))
    (folder / "other.toml").write_text((folder / "mine.toml").read_text().replace("mine", "other"))
    check_command(folder, "run", "other.toml")
    other = plan_store.load_plan("other", Ledger(folder / "results"))
    assert (set(first.ids) == set(other.ids)) is is_shared
    assert set(first.ids).isdisjoint(other.ids) is not is_shared


def test_a_seed_of_two_merged_ledgers_is_left_out_and_measured_again(tmp_path: Path) -> None:
    """Of shares that overlap by a seed, a copy of one ledger into another made a pair of two days."""
    folder = write_project(tmp_path / "project", NARROW_ARM, UNREPEATED)
    ledger = Ledger(folder / "results")
    plan = run_study(folder, UNREPEATED)
    before = ledger.read_results(plan.ids)
    shutil.copytree(ledger.root, tmp_path / "share")
    arm_id, base_id = plan.arms[2].trial_ids[3], plan.arms[0].trial_ids[3]
    ledger.remove_result(arm_id)
    run_study(folder, UNREPEATED)
    path = ledger.find_result_path(base_id)
    shutil.copy(tmp_path / "share" / path.relative_to(ledger.root), path)
    assert ledger.read_results([base_id])[base_id].started == before[base_id].started
    results = plan.read_results(ledger)
    assert {arm.trial_ids[3] for arm in plan.arms}.isdisjoint(results)
    assert len(results) == len(ledger.read_results(plan.ids)) - len(plan.arms)
    run_study(folder, UNREPEATED)
    last_start = max(result.started for result in before.values())
    measured_again = ledger.read_results(arm.trial_ids[3] for arm in plan.arms)
    assert all(result.started > last_start for result in measured_again.values())
    assert len(measured_again) == len(plan.arms)


def test_a_seed_in_which_run_stood_still_is_measured_whole_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A computer that slept in a trial made a pair of two days; here the clock says that it did."""
    program = (
        NARROW_ARM
        + """
from pathlib import Path
import time
slept = Path(__file__).with_name("slept")
if given.kernel == "wide" and given.seed == 3 and not slept.exists():
    slept.touch()
    time.sleep(1)
"""
    )
    folder = write_project(tmp_path / "project", program, UNREPEATED)
    slept = folder / "slept"
    clock = SimpleNamespace(time=lambda: time.time() + 3600 * slept.exists())
    monkeypatch.setattr(parallel, "time", clock)
    plan = run_study(folder, UNREPEATED)
    results = Ledger(folder / "results").read_results(plan.ids)
    starts = {seed: [results[arm.trial_ids[seed]].started for arm in plan.arms] for seed in (2, 3, 4)}
    assert max(starts[2]) < slept.stat().st_mtime < min(starts[3])
    assert max(starts[3]) < min(starts[4])
    assert len({result.run_token for result in results.values()}) == 1
