"""What a trial costs more through a cluster than side by side on the same machine."""

from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="needs the extra: pip install 'unrolled[cluster]'")

from ablations.commands import cluster_costs
from ablations.commands.cluster_costs import PLACES
from ablations.ledger import Ledger


@pytest.mark.benchmark(group="cluster")
def test_overhead_of_a_trial_on_a_cluster(benchmark, profile, tmp_path: Path) -> None:
    """Trials that do nothing, on two workers and with two places here, in turn. The bound is 50 ms."""
    trials = 4 if benchmark.disabled else 100
    starts = iter(range(0, 100 * trials, trials))
    seconds: dict[str, list[float]] = {"cluster": [], "here": []}

    def run(arm: str, **where: str) -> None:
        first = next(starts)
        pace, _ = cluster_costs.overhead(Ledger(tmp_path), range(first, first + trials), **where)
        seconds[arm].append(pace * PLACES)

    with cluster_costs.cluster_of_two() as (address, _):
        benchmark.pedantic(
            run,
            args=("cluster",),
            kwargs={"cluster": address},
            setup=lambda: run("here"),
            rounds=profile.rounds,
        )
    away, here = (min(measured) for measured in seconds.values())
    benchmark.extra_info.update(seconds={"cluster": away, "here": here}, ratio=away / here)
    assert benchmark.disabled or away - here < 0.05
