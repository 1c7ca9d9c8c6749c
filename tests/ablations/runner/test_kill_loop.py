import os
import random
import signal
import tempfile
import time
from pathlib import Path

import pytest
from stub_trials import bits, steady, trial, whole

from unrolled.ablations.ledger import Ledger
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.files import OUTPUT_MARK

VICTIMS = ["worker"] * 84 + ["driver"] * 12 + ["fork server"] * 8
COUNT = 60
SLEEP = 0.05


@pytest.mark.slow
def test_after_a_hundred_kills_the_ledger_is_as_if_undisturbed_and_no_process_and_no_temporary_file_is_left(
    tmp_path: Path, start_study, wait_for, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each trial starts a process that leaves its group and its parent."""
    temporary = Path(tempfile.mkdtemp())  # pytest's own path is too long for a socket
    monkeypatch.setenv("TMPDIR", str(temporary))
    (tmp_path / "pids").mkdir()
    acts = {"act": "leaves_an_orphan", "pid": str(tmp_path / "pids" / "pid"), "sleep": SLEEP}
    trials = [trial(seed, **acts) for seed in range(COUNT)]
    expected = {each.id: bits(steady(each)) for each in trials}
    dice = random.Random(20240229)
    victims = dice.sample(VICTIMS, len(VICTIMS))
    drivers = []
    while left := len(victims):
        folder = tmp_path / f"results-{left}"
        drivers += disturb_until_finished(folder, start_study, dice, victims, **acts)
        check(folder, trials, expected)
        assert len(victims) < left, "none was found while it lived"
    for study in drivers:
        wait_for(lambda study=study: study.alive() == [])
    temporary.rmdir()  # raises OSError unless it is empty


def disturb_until_finished(
    folder: Path, start_study, dice: random.Random, victims: list[str], **options
) -> list:
    """Run the study, again when its driver was killed, and kill one victim after another until it ends."""
    started = []
    while True:
        study = start_study(folder, count=COUNT, workers=3, attempts=1000, **options)
        started.append(study)
        study.read_until("locked")  # the last driver may have been killed after its last trial
        while victims and study.process.poll() is None:
            time.sleep(dice.uniform(0, 0.06))
            if victims[-1] == "driver":
                study.process.kill()
                break
            if strike(study.trials() if victims[-1] == "worker" else study.fork_servers(), dice):
                victims.pop()
        code, output = study.end()
        if code != -signal.SIGKILL:
            assert code == 0, output
            return started
        victims.pop()


def strike(pids: list[int], dice: random.Random) -> bool:
    """Kill one of these; whether there was one."""
    try:
        os.kill(dice.choice(pids), signal.SIGKILL)
    except (IndexError, ProcessLookupError):
        return False
    return True


def check(folder: Path, trials: list[ChapterTrial], expected: dict[str, object]) -> None:
    told: list[str] = []
    ledger = Ledger(folder, told.append)
    files = [
        path for path in folder.rglob("*") if path.is_file() and path.name not in (OUTPUT_MARK, ".gitignore")
    ]
    assert {path.suffix for path in files} == {".json", ".lock"}
    kept = whole(ledger, trials)
    assert {id: bits(result) for id, result in kept.items()} == expected
    assert all(result.done for result in kept.values())
    written = sorted(path.name for path in (folder / "trials").rglob("*") if path.is_file())
    assert written == sorted(f"{each.id}.json" for each in trials), "none lost, none doubled, nothing else"
    assert len(list((folder / "details").rglob("*.json"))) >= len(trials)
    assert told == [], "no file was damaged"
