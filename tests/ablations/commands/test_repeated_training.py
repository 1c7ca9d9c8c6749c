"""A run trains the baseline's first trial a second time, which shows whether a program is deterministic."""

import itertools
import os
from pathlib import Path

import pytest

from tests.helpers.command_call import check_command, refuse_command, run_command
from tests.helpers.program_project import ECHO, PROGRAM, STUDY, write_project
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans import plan_store
from unrolled.ablations.training.budget import Budget

pytestmark = pytest.mark.usefixtures("skip_mlflow")


def test_a_diverging_second_training_is_told_and_its_plan_is_readable(tmp_path: Path) -> None:
    program = PROGRAM.replace(
        "for epoch",
        """try:
    open(f"{__file__}.{given.seed}.{given.dropout}.{given.deep}", "x").close()
except FileExistsError:
    accuracy = float("nan")
for epoch""",
    )
    folder = write_project(tmp_path / "project", program)
    output = check_command(folder, "run", "mine.toml", "--seeds", "0-1")
    assert "not deterministic: two trainings of one seed differ (accuracy, which diverged once)" in output
    assert plan_store.load_plan("mine", Ledger(folder / "results")).repetition_differences


def test_unjudged_numbers_that_vary_make_no_program_nondeterministic(
    tmp_path: Path,
) -> None:
    program = PROGRAM.replace('{"epoch"', '{"dt": time.time(), "epoch"').replace("import ", "import time, ")
    folder = write_project(tmp_path / "project", program + ECHO)
    check_command(folder, "run", "mine.toml", "--seeds", "0-1")
    plan = plan_store.load_plan("mine", Ledger(folder / "results"))
    assert (plan.repetition_differences, plan.unjudged_repetition_differences.keys()) == (
        {},
        {"dt", "timestamp"},
    )
    output = check_command(folder, "verify", "mine.toml", "-n", "2")
    assert "2 of 2 bit-identical; not compared: dt and timestamp" in output


@pytest.mark.parametrize(
    "echo", ["'stamp': time.perf_counter()", "'seed': given.seed, 'elapsed': time.perf_counter()"]
)
def test_an_arm_that_ignores_its_seed_is_recognised_beside_clocks(tmp_path: Path, echo: str) -> None:
    """Such an arm was called different from its equal in .64 to .71 of studies."""
    program = PROGRAM.replace("random.seed(given.seed)", "random.seed(0 if given.deep else given.seed)")
    folder = write_project(tmp_path / "project", program + f"import time\nprint(json.dumps({{{echo}}}))\n")
    assert "deep (seed 1 repeats seed 0" in check_command(folder, "run", "mine.toml")


def test_a_nondeterministic_program_is_told_and_verified_by_distance(tmp_path: Path) -> None:
    program = PROGRAM.replace("+ given.dropout / 10", "+ random.SystemRandom().random() / 1e6")
    program += "print(json.dumps({'settings': {'deep': given.deep}}))\n"
    folder = write_project(tmp_path / "project", program)
    output = check_command(folder, "run", "mine.toml", "--seeds", "0-1")
    (line,) = (line for line in output.splitlines() if "not deterministic" in line)
    assert "cannot be checked" in line and "whether the program uses dropout is unknown:" in line
    distance = plan_store.load_plan("mine", Ledger(folder / "results")).repetition_differences
    assert distance and 0 < distance["accuracy"] < 1e-6
    assert "Not deterministic" in (folder / "out" / "mine" / "index.html").read_text("utf-8")


def test_without_a_repeated_training_the_page_says_what_was_not_checked(
    tmp_path: Path,
) -> None:
    """The same study trains once more when it is to be checked after all; its seeds stay unseen."""
    program = PROGRAM + "import time\nprint(json.dumps({'stamp': time.time()}))\n"
    program += "print('ran', file=open(f'{__file__}.runs', 'a'))\n"
    folder = write_project(
        tmp_path / "project", program, STUDY.replace("[program]", "[program]\nrepeat = false")
    )
    page = folder / "out" / "mine" / "index.html"
    ledger = Ledger(folder / "results")
    assert "not checked: whether the same trial gives" in check_command(folder, "plan", "mine.toml")
    output = check_command(folder, "run", "mine.toml")
    assert "(repeat = false)" in output and "whether the program uses deep and dropout is unknown" in output
    assert "Not checked: whether the same trial gives" in page.read_text("utf-8")
    assert len((folder / "train.py.runs").read_text().split()) == 15
    assert plan_store.load_plan("mine", ledger).repetition_differences is None
    report = check_command(folder, "verify", "mine.toml", "-n", "2")
    assert "2 of 2 equal in what is judged" in report
    (folder / "train.py.runs").unlink()
    (folder / "mine.toml").write_text(STUDY)
    assert "1 that repeats" in check_command(folder, "plan", "mine.toml")
    output = check_command(folder, "run", "mine.toml")
    assert "had been seen" not in output and "Not checked" not in page.read_text("utf-8")
    assert len((folder / "train.py.runs").read_text().split()) == 1
    assert plan_store.load_plan("mine", ledger).repetition_differences == {}


def test_without_a_repeated_training_equal_seeds_and_settings_are_still_refused(tmp_path: Path) -> None:
    study = STUDY.replace("[program]", "[program]\nrepeat = false")
    changes = ("random.seed(given.seed)", "random.seed(0)"), ("given.dropout / 10", "0")
    for number, change in enumerate(changes):
        assert "effect" in refuse_command(
            write_project(tmp_path / f"{number}", PROGRAM.replace(*change), study), "run", "mine.toml"
        )


def test_arms_with_repeatable_seeds_claim_nothing_without_a_repeated_training(
    tmp_path: Path,
) -> None:
    program = PROGRAM.replace("random.seed(given.seed)", "random.seed(0 if given.deep else given.seed)")
    program = program.replace("+ 0.05 *", "+ 1e-5 * random.SystemRandom().random() + 0.05 *")
    folder = write_project(
        tmp_path / "project", program, STUDY.replace("[program]", "[program]\nrepeat = false")
    )
    output = check_command(folder, "run", "mine.toml")
    assert "Open: deep (seed 1 may repeat seed 0" in output and "dropout 0.5 gains" in output


def test_a_program_that_fails_the_second_time_is_refused(tmp_path: Path) -> None:
    program = PROGRAM + "open(f'{__file__}.{given.seed}.{given.dropout}.{given.deep}', 'x').close()\n"
    assert "arm 'baseline', seed 0: trained a second time: " in refuse_command(
        write_project(tmp_path / "project", program), "run", "mine.toml", "--seeds", "0-1"
    )
    assert (
        plan_store.load_plan("mine", Ledger(tmp_path / "project" / "results")).repetition_differences is None
    )


def test_ctrl_c_ends_a_run_during_the_baselines_second_training(tmp_path: Path) -> None:
    code = f"""
import os, pathlib, signal, time
try:
    pathlib.Path(f"{{__file__}}.{{given.seed}}.{{given.dropout}}.{{given.deep}}").touch(exist_ok=False)
except FileExistsError:
    os.kill({os.getpid()}, signal.SIGINT)
    time.sleep(1)
"""
    process = run_command(write_project(tmp_path / "project", PROGRAM + code), "run", "mine.toml")
    assert process.returncode == 130
    ledger = Ledger(tmp_path / "project" / "results")
    assert len(ledger.find_result_files()) == 6, "two seeds of three arms"
    assert plan_store.load_plan("mine", ledger).repetition_differences == {}, (
        "what the second time told is kept"
    )


def test_a_budget_also_keeps_the_baseline_from_being_trained_a_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count(1)
    monkeypatch.setattr(Budget, "allows_trial", lambda *_: next(calls) <= 6)
    program = PROGRAM + "print('ran', file=open(f'{__file__}.runs', 'a'))\n"
    run_command(write_project(tmp_path / "project", program), "run", "mine.toml", "-j", "1")
    assert len((tmp_path / "project" / "train.py.runs").read_text().split()) == 6


def test_a_study_run_again_wants_the_seeds_of_an_undisturbed_run(tmp_path: Path) -> None:
    """An arm of little spread beside a wide one was taken for one run until the repetition was known."""
    program = PROGRAM.replace("0.01)", "0.01) * (0.01 if given.deep else 1)")
    program = program.replace("0.05 * given.deep", "0.002 * given.deep")
    study = STUDY.replace("seeds = 5", "looks = [5, 10]").replace("dropout = [0.5]\n", "")
    folder = write_project(tmp_path / "project", program, study)
    assert "20 trained" in check_command(folder, "run", "mine.toml")
    ledger = Ledger(folder / "results")
    plan = plan_store.load_plan("mine", ledger)
    for arm in plan.arms:
        for seed in plan.rules.seeds[5:]:
            ledger.find_result_path(arm.trial_ids[seed]).unlink()
    assert "10 trained, 10 already there, 0 failed, 0 diverged, 0 left" in check_command(
        folder, "run", "mine.toml"
    )
