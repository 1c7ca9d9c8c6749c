"""Stub trials that tell where they are and wait until they are let go, so that no test need guess a time."""

import json
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from stub_trials import steady

from bench.models.registry import PENALTIES
from bench.trial import Result, Trial

WORK = "gated_trials:act"


def trial(seed: int = 0, act: str = "plain", **options) -> Trial:
    return Trial(model="stub", seed=seed, options={"act": act, **options})


def act(trial: Trial) -> Result:
    return globals()[trial.options["act"]](trial)


def plain(trial: Trial) -> Result:
    return steady(trial)


def gated(trial: Trial) -> Result:
    """Write "seed, own pid, worker's pid" into folder/log; go on when folder/<seed> is there."""
    folder = Path(str(trial.options["folder"]))
    with (folder / "log").open("a") as log:
        log.write(f"{trial.seed} {os.getpid()} {worker_pid()}\n")
    while not (folder / str(trial.seed)).exists():
        time.sleep(0.01)
    return steady(trial)


def kills_its_worker(trial: Trial) -> Result:
    os.kill(worker_pid(), signal.SIGKILL)
    time.sleep(60)  # until the worker's death ends this process
    raise AssertionError("outlived its worker")


def reads_its_corpus(trial: Trial) -> Result:
    seen = {"text": Path(trial.corpus).read_text(), "beside": Path(trial.corpus).name}
    return replace(steady(trial), environment=seen)


def names_its_corpus(trial: Trial) -> Result:
    print(f"reading {trial.corpus}")
    raise ValueError(f"corpus {trial.corpus}: too short")


def names_its_penalties(trial: Trial) -> Result:
    return replace(steady(trial), environment={"penalties": sorted(PENALTIES)})


def worker_pid() -> int:
    parent = multiprocessing.parent_process()
    assert parent is not None and parent.pid is not None
    return parent.pid


def drive(results: str, cluster: str, seeds: int, **options) -> None:
    """A driver in a process of its own, which can be killed."""
    from ablations.ledger import Ledger
    from ablations.trials.runner import run_trials

    tally = run_trials(
        [trial(seed, **options) for seed in range(seeds)],
        Ledger(Path(results)),
        work=WORK,
        cluster=cluster,
        on_start=lambda trial: print("start", trial.seed, flush=True),
        on_drain=lambda: print("draining", flush=True),
    )
    print(tally, flush=True)
    sys.exit(130 if tally.interrupted else int(tally.failed > 0))


if __name__ == "__main__":
    drive(**json.loads(sys.argv[1]))
