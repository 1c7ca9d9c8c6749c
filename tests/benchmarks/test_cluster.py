"""What a trial costs more through a cluster than side by side on the same machine."""

import time
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="needs the extra: pip install 'unrolled[cluster]'")

import dask
from distributed import LocalCluster

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner.parallel import TrialConditions, run_trials
from unrolled.bench.chapter.chapter_trial import ChapterTrial

PLACES = 2
LOCAL = {"n_workers": PLACES, "threads_per_worker": 1, "memory_limit": 0, "dashboard_address": ":0"}


@pytest.mark.benchmark(group="cluster")
def test_overhead_of_a_trial_on_a_cluster(benchmark, profile, tmp_path: Path) -> None:
    """Trials that do nothing, on two workers and with two places here, in turn. The bound is 50 ms."""
    count = 4 if benchmark.disabled else 100
    starts = iter(range(0, 100 * count, count))
    seconds: dict[str, list[float]] = {"cluster": [], "here": []}

    def run(arm: str, **place: str) -> None:
        first = next(starts)
        trials = [ChapterTrial(model="none", seed=seed) for seed in range(first, first + count)]
        began = time.perf_counter()
        run_trials(
            trials,
            Ledger(tmp_path),
            TrialConditions(run_import="tests.helpers.trial_work:train_nothing", workers=PLACES, **place),
        )
        seconds[arm].append((time.perf_counter() - began) * PLACES / count)

    with dask.config.set({"distributed.worker.daemon": False}), LocalCluster(**LOCAL) as cluster:
        benchmark.pedantic(
            run,
            args=("cluster",),
            kwargs={"cluster": cluster.scheduler_address},
            setup=lambda: run("here"),
            rounds=profile.rounds,
        )
    distant, local = (min(rounds) for rounds in seconds.values())
    benchmark.extra_info.update(seconds={"cluster": distant, "here": local}, ratio=distant / local)
    assert benchmark.disabled or distant - local < 0.05
