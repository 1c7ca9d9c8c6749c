"""The limits of one driver with 1,000 workers and a million trials, calculated from measured costs.

    python -m ablations.commands.cluster_costs

measures on this machine what a trial costs the driver, the scheduler and MLflow, on a local cluster whose
trials do nothing, and prints the tables of docs/cluster.md.
"""

import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from ablations.design import loading, plan
from ablations.ledger import Ledger
from ablations.mlflow.study_runs import StudyRuns
from ablations.trials.process import Limits, run_alone
from ablations.trials.runner import run_trials
from bench.trial import Result, Trial

WORK = "ablations.commands.cluster_costs:nothing"
TRIALS, PLACES = 200, 2
LONG = 50_000  # bytes of an answer, as of LMModel7's
STRETCH = 25  # consecutive trials, of which the quickest count


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What one trial costs beside its training."""

    plan: float  # s, before the first trial starts
    ledger: float  # s, the file and its fsync
    driver: float  # CPU s of the driver: sending, receiving, checking, recording
    mlflow: float  # s, one after the other, behind the training
    mlflow_cpu: float  # CPU s, in the driver's process too
    scheduler: float  # CPU s of Dask's scheduler
    worker: float  # s of a place without training: a fresh process, the messages, the wait for the next
    local: float  # the same of the local runner
    planned_bytes: float  # memory of the driver for a planned trial
    result_bytes: float  # and for one that is done, whose trace has been dropped
    file_bytes: float  # on disk


def ceilings(costs: Costs, *, mlflow: bool = True) -> dict[str, float]:
    """The parts that every trial passes, and the trials a second that each lets through; the slowest first.

    MLflow is written during the run, or by a later `sync`. The driver stores one result at a time, and shares
    Python's lock with the thread that writes to MLflow.
    """
    waits = {
        "the driver's loop: CPU, then fsync": costs.driver + costs.ledger,
        "Dask's scheduler: CPU": costs.scheduler,
    }
    if mlflow:
        waits["MLflow: one write after the other"] = costs.mlflow
        waits["the driver and its MLflow thread: CPU"] = costs.driver + costs.mlflow_cpu
    return {part: 1 / waits[part] for part in sorted(waits, key=waits.__getitem__, reverse=True)}


def hours(costs: Costs, trials: int, workers: int, seconds: float, *, mlflow: bool) -> float:
    """The hours that a study takes, limited by its workers or by the slowest part."""
    rate = min(workers / (seconds + costs.worker), *ceilings(costs, mlflow=mlflow).values())
    return (trials * costs.plan + trials / rate) / 3600


def nothing(trial: Trial) -> Result:
    """A trial that trains nothing and returns a result as long as a real one's."""
    return Result(trial=trial, status="done", trace={"checksums": "0" * LONG})


@contextmanager
def cluster_of_two() -> Iterator[tuple[str, psutil.Process]]:
    """Two workers, and the process of their scheduler."""
    words = [sys.executable, "-m", "ablations.trials.local_cluster", "--port", "0", "--workers", str(PLACES)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as program:
        assert program.stdout is not None
        try:
            yield program.stdout.readline().partition(",")[0], psutil.Process(program.pid)
        finally:
            program.send_signal(signal.SIGINT)


def overhead(ledger: Ledger, seeds: range, **where: Any) -> tuple[float, float]:
    """Seconds and CPU seconds of the driver for each trial that does nothing; `where` is for `run_trials`."""
    stamps: list[tuple[float, float]] = []
    trials = [Trial(model="none", seed=seed) for seed in seeds]
    run_trials(trials, ledger, work=WORK, workers=PLACES, on_result=lambda _: stamps.append(_now()), **where)
    return _pace(stamps)


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _pace(stamps: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Seconds and CPU seconds from stamp to stamp, where they were quickest: other work does not count."""
    ahead = min(STRETCH, len(stamps) - 1)
    pairs = list(zip(stamps, stamps[ahead:], strict=False))
    seconds, cpu = (min((late[i] - early[i]) / ahead for early, late in pairs) for i in (0, 1))
    return seconds, cpu


def _one_by_one(work: Callable[[Result], object], results: Sequence[Result]) -> tuple[float, float]:
    stamps = [_now()]
    for result in results:
        work(result)
        stamps.append(_now())
    return _pace(stamps)


def measure() -> Costs:
    """Train one real trial, then run trials that do nothing: on a cluster of two workers, and here."""
    chosen = loading.override(loading.load("toggles"), "0-99")
    plan.decide(chosen, "")
    clock = time.process_time()
    planned, trials = plan.decide(chosen, "")
    planning = (time.process_time() - clock) / len(trials)
    planned_bytes = _memory(lambda: plan.decide(chosen, "")) / len(trials)
    with TemporaryDirectory() as folder, cluster_of_two() as (address, scheduler):
        ledger = Ledger(Path(folder))
        here, _ = overhead(ledger, range(TRIALS))  # first, as the fork server keeps what it is started with
        before = sum(scheduler.cpu_times()[:2])
        away, driver = overhead(ledger, range(TRIALS, 2 * TRIALS), cluster=address)
        scheduled = sum(scheduler.cpu_times()[:2]) - before
        result = run_alone(trials[0], "bench.run:run_trial", Limits(), preload=["bench.preload"])
        assert result is not None and result.done, result
        shown = [replace(result, trial=replace(result.trial, seed=seed)) for seed in range(TRIALS)]
        recorded, _ = _one_by_one(ledger.record, shown)
        size = ledger.path(shown[0].trial.id).stat().st_size
        result_bytes = _memory(lambda: ledger.results(each.trial.id for each in shown)) / TRIALS
        shown_in = StudyRuns(planned, f"sqlite:///{folder}/mlflow.db")
        arm = planned.arms[0].name
        mlflow, mlflow_cpu = _one_by_one(lambda each: shown_in.write_trial(arm, each), shown)
    return Costs(
        plan=planning,
        ledger=recorded,
        driver=driver,
        mlflow=mlflow,
        mlflow_cpu=mlflow_cpu,
        scheduler=scheduled / TRIALS,
        worker=away * PLACES,
        local=here * PLACES,
        planned_bytes=planned_bytes,
        result_bytes=result_bytes,
        file_bytes=size,
    )


def _memory(make: Callable[[], object]) -> float:
    """Bytes that what is made takes."""
    tracemalloc.start()
    made = make()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del made
    return size


def table(costs: Costs) -> str:
    """The measured costs and the calculated limits, in Markdown."""
    lines = ["| a trial costs | |", "|---|---|"]
    for name, value in asdict(costs).items():
        text = f"{value / 1024:,.1f} KiB" if name.endswith("bytes") else f"{1000 * value:.2f} ms"
        lines.append(f"| {name} | {text} |")
    lines += ["", "| what breaks, in this order | trials/s | busy workers at 1 s | 10 s | 60 s |"]
    lines.append("|---|---|---|---|---|")
    for part, rate in ceilings(costs).items():
        busy = " | ".join(f"{int(rate * seconds):,}" for seconds in (1, 10, 60))
        lines.append(f"| {part} | {rate:,.0f} | {busy} |")
    lines += ["", "| 1,000,000 trials on 1,000 workers | workers alone | with one driver | and MLflow |"]
    lines.append("|---|---|---|---|")
    for seconds in (1, 10, 60):
        alone = 1e6 * seconds / 1000 / 3600
        both = [hours(costs, 10**6, 1000, seconds, mlflow=mlflow) for mlflow in (False, True)]
        lines.append(f"| {seconds} s a trial | {alone:.1f} h | {both[0]:.1f} h | {both[1]:.1f} h |")
    memory, disk = costs.planned_bytes + costs.result_bytes, costs.file_bytes
    total = f"{memory / 1e3:.0f} GB of the driver's memory, {disk / 1e3:.0f} GB on disk"
    return "\n".join([*lines, "", f"A million trials: {total}."])


if __name__ == "__main__":
    print(table(measure()))
