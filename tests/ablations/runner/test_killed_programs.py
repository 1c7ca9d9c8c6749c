"""A program that is killed or stopped by a limit goes on from its own checkpoint, and leaves nothing."""

import json
import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.helpers import command_without_mlflow
from tests.helpers.processes import ROOT, ProgramGroup, is_alive, read_proc_file, wait_for
from tests.helpers.program_project import run_program
from tests.helpers.stub_results import build_plan
from unrolled.ablations.ledger import Ledger
from unrolled.bench.metric import Metric

LOSS = Metric("loss", 0.1)
SECONDS = Metric("seconds", 5.0, ratio=True)
CHECKPOINTED = """
import json, os, pathlib, signal, sys
seed, out = int(sys.argv[1]), pathlib.Path(sys.argv[2])
saved = out / "step"
first = int(saved.read_text()) if saved.exists() else 0
for step in range(first, 6):
    print(json.dumps({"step": step, "loss": seed + 1 / (1 + step)}), flush=True)
    saved.write_text(str(step + 1))
    if step == 2 and first == 0:
        os.kill(os.getpid(), signal.SIGKILL)
(out / "last").mkdir(exist_ok=True)
for name in ("model.png", "last/model.pt"):
    (out / name).write_text("kept")
print(json.dumps({"began": first}))
"""


def test_a_killed_program_resumes_from_its_checkpoint_and_its_folder_is_removed(
    tmp_path: Path,
) -> None:
    result = run_program(tmp_path, CHECKPOINTED, keep=("*.png", "last", "last/*"), reduction={"loss": "max"})
    assert result.is_done
    assert result.attempts == 2
    assert result.metrics["began"] == 3
    loss_plan, time_plan = (build_plan({"base": [result]}, metrics=(metric,)) for metric in (LOSS, SECONDS))
    assert loss_plan.make_result_in_study(result).is_done
    assert time_plan.make_result_in_study(result).status == "failed", "its time is of a part"
    replacements = [
        plan.should_retrain(result, retry=retry) for plan in (loss_plan, time_plan) for retry in (False, True)
    ]
    assert replacements == [False, False, False, True], "--retry trains it anew where its time is judged"
    assert [step for step, _ in result.curves["loss"]] == [0, 1, 2, 3, 4, 5]
    assert result.metrics["loss"] == 4, "the best value, which was told before the kill"
    files = sorted(tmp_path.glob("results/kept/*/**/*.*"))
    assert [path.parts[-2:] for path in files] == [("last", "model.pt"), (result.trial.id, "model.png")]
    assert not list((tmp_path / "results" / "checkpoints").iterdir())


LEAVES_A_WORKER = """
import json, os, pathlib, signal, subprocess, sys
out = pathlib.Path(sys.argv[2])
sys.path.append({ROOT!r})
from tests.helpers.processes import is_alive
print(json.dumps({"loss": sum(is_alive(int(path.name)) for path in out.iterdir())}), flush=True)
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
worker = subprocess.Popen(["sleep", "600"], start_new_session=True, **quiet)  # as torchrun starts its own
first = not [*out.iterdir()]
(out / str(worker.pid)).touch()
if first:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_in_a_session_of_its_own_ends_with_each_attempt(
    tmp_path: Path,
) -> None:
    program = LEAVES_A_WORKER.replace("{ROOT!r}", repr(str(ROOT)))
    result = run_program(tmp_path, program, keep=("*",))
    assert result.is_done and result.attempts == 2
    assert result.metrics["loss"] == 0, "the second attempt is alone in its folder"
    workers = [int(path.name) for path in tmp_path.glob("results/kept/*/*")]
    assert len(workers) == 2 and not any(map(is_alive, workers))


WRITES = "    (out / f'{step}.bin').write_bytes(bytes(1 << 20))\n    saved.write"
TOO_LARGE = CHECKPOINTED.replace("    saved.write", WRITES).replace("step == 2 and", "step < 0 and")


def test_a_program_that_a_limit_stopped_resumes_under_a_higher_one(
    tmp_path: Path,
) -> None:
    stopped_result = run_program(tmp_path, TOO_LARGE, disk_limit=3)
    (folder,) = tmp_path.glob("results/checkpoints/*.out")
    assert stopped_result.stopped_by_limit and str(folder) in stopped_result.reason
    result = run_program(tmp_path, TOO_LARGE, disk_limit=30)
    assert result.is_done and result.metrics["began"] == 6
    assert [step for step, _ in result.curves["loss"]] == [0, 1, 2, 3, 4, 5], "those told before, too"
    assert not list((tmp_path / "results" / "checkpoints").iterdir())


def test_a_checkpoint_of_another_kind_of_machine_is_removed_with_a_word(tmp_path: Path) -> None:
    run_program(tmp_path, TOO_LARGE, disk_limit=3)
    (kind,) = tmp_path.glob("results/checkpoints/*.kind")
    kind.write_text(json.dumps({**json.loads(kind.read_text()), "ATEN_CPU_CAPABILITY": "default"}))
    result = run_program(tmp_path, TOO_LARGE, disk_limit=30)
    assert result.is_done and result.metrics["began"] == 0
    assert "ATEN_CPU_CAPABILITY default / not set" in result.provenance["restart"]
    assert not list((tmp_path / "results" / "checkpoints").iterdir())


def test_a_killed_program_that_does_not_resume_begins_anew(tmp_path: Path) -> None:
    condition = f"not os.path.exists('{tmp_path}/killed') and not open('{tmp_path}/killed', 'w').close()"
    result = run_program(tmp_path, CHECKPOINTED.replace("first == 0", condition), resumes=False)
    assert result.is_done
    assert result.attempts == 2
    assert result.metrics["began"] == 0
    assert build_plan({"base": [result]}, metrics=(SECONDS,)).make_result_in_study(result).is_done


def count_results(trials: Path) -> int:
    """Return the number of results."""
    return len(list(trials.rglob("*.json")))


UNLOGGED = sys.executable, command_without_mlflow.__file__
STUDY = """
name = "mine"
question = "Is it worth it?"
metrics = [{ name = "loss", delta = 0.01 }]
seeds = 5
[program]
run = "python train.py {seed} {width}"
[baseline]
width = 1
[design.one_at_a_time]
width = [2, 3, 4]
"""
RANDOM = """
import json, random, sys, time
random.seed(int(sys.argv[1]))
time.sleep(0.05)
print(json.dumps({"loss": random.random() / int(sys.argv[2])}))
"""


@pytest.mark.slow
def test_after_kills_of_driver_and_program_all_trials_are_as_if_undisturbed(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(RANDOM)
    (tmp_path / "mine.toml").write_text(STUDY)
    dice = random.Random(5)
    victims = ["driver", "program", "driver"]
    trials = tmp_path / "results" / "trials"

    def find_programs(group: ProgramGroup) -> list[int]:
        commands = {pid: read_proc_file(pid, "cmdline") for pid in group.living_pids()}
        return [pid for pid, command in commands.items() if "train.py" in command]

    def find_victims(driver: subprocess.Popen[str], group: ProgramGroup) -> list[int]:
        return [driver.pid] if victims[-1] == "driver" else find_programs(group)

    while True:
        group = ProgramGroup()
        driver = group.start(*UNLOGGED, "run", "mine.toml", cwd=tmp_path)
        while victims and driver.poll() is None:
            finished = count_results(trials)
            wait_for(
                lambda driver=driver, n=finished + 3: driver.poll() is not None or count_results(trials) >= n
            )
            wait_for(lambda driver=driver, m=group: driver.poll() is not None or find_victims(driver, m))
            with suppress(ProcessLookupError, IndexError):
                os.kill(dice.choice(find_victims(driver, group)), signal.SIGKILL)
                victims.pop()
        if driver.wait(120) != -signal.SIGKILL:
            break
        wait_for(lambda group=group: group.living_pids() == [])
    assert not victims
    assert driver.returncode == 0
    ledger = Ledger(tmp_path / "results")
    results = ledger.read_results(ledger.find_result_files())
    assert len(results) == 20
    for result in results.values():
        expected = random.Random(result.trial.seed).random() / int(result.trial.flat_settings()["width"])
        assert result.is_done and result.metrics["loss"] == expected
