"""Kills of trials, of their server and of the study, over and over, with real signals."""

import os
import random
import signal
import tempfile
import time
from pathlib import Path

import pytest

from tests.helpers.processes import wait_for
from tests.helpers.stub_trials import make_trial, read_results, serialize_result, steady
from unrolled.ablations.ledger import Ledger
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.files.atomic_files import OUTPUT_MARK

VICTIMS = ["worker"] * 9 + ["driver"] * 3 + ["fork server"] * 2
COUNT = 30
SLEEP = 0.05


@pytest.mark.slow
def test_after_many_kills_the_ledger_is_as_if_undisturbed(
    tmp_path: Path, start_study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each trial starts a process that leaves its group and its parent."""
    tmpdir = Path(tempfile.mkdtemp())  # pytest's own path is too long for a socket
    monkeypatch.setenv("TMPDIR", str(tmpdir))
    (tmp_path / "pids").mkdir()
    acts = {"act": "leaves_an_orphan", "pid": str(tmp_path / "pids" / "pid"), "sleep": SLEEP}
    trials = [make_trial(seed, **acts) for seed in range(COUNT)]
    expected = {stub.id: serialize_result(steady(stub)) for stub in trials}
    dice = random.Random(20240229)
    victims = dice.sample(VICTIMS, len(VICTIMS))
    drivers = []
    while count := len(victims):
        folder = tmp_path / f"results-{count}"
        drivers += disturb_until_finished(folder, start_study, dice, victims, **acts)
        check_ledger(folder, trials, expected)
        assert len(victims) < count, "every victim outlived the study"
    for study in drivers:
        wait_for(lambda study=study: study.living_pids() == [])
    tmpdir.rmdir()  # raises OSError unless it is empty


def disturb_until_finished(
    folder: Path, start_study, dice: random.Random, victims: list[str], **options
) -> list:
    """Run the study, again after each kill of its driver, with one victim after another, to its end."""
    drivers = []
    while True:
        study = start_study(folder, count=COUNT, workers=3, attempts=1000, **options)
        drivers.append(study)
        study.read_until("locked")  # the last driver may have been killed after its last trial
        while victims and study.process.poll() is None:
            time.sleep(dice.uniform(0, 0.06))
            if victims[-1] == "driver":
                study.process.kill()
                break
            if kill_any(study.trial_pids() if victims[-1] == "worker" else study.fork_server_pids(), dice):
                victims.pop()
        code, output = study.wait_for_end()
        if code != -signal.SIGKILL:
            assert code == 0, output
            return drivers
        victims.pop()


def kill_any(pids: list[int], dice: random.Random) -> bool:
    """Kill one of these and return whether there was one."""
    try:
        os.kill(dice.choice(pids), signal.SIGKILL)
    except (IndexError, ProcessLookupError):
        return False
    return True


def check_ledger(folder: Path, trials: list[ChapterTrial], expected: dict[str, object]) -> None:
    """Check that the ledger has the expected results and nothing else."""
    warnings: list[str] = []
    ledger = Ledger(folder, warnings.append)
    files = [
        path for path in folder.rglob("*") if path.is_file() and path.name not in (OUTPUT_MARK, ".gitignore")
    ]
    assert {path.suffix for path in files} == {".json", ".lock"}
    results = read_results(ledger, trials)
    assert {id: serialize_result(result) for id, result in results.items()} == expected
    assert all(result.is_done for result in results.values())
    names = sorted(path.name for path in (folder / "trials").rglob("*") if path.is_file())
    assert names == sorted(f"{trial.id}.json" for trial in trials), "none lost, none doubled, nothing else"
    assert len(list((folder / "details").rglob("*.json"))) >= len(trials)
    assert warnings == [], "no file was damaged"
