"""Verdicts a CPU hour: seeds until decided against a fixed number of them, on stored differences."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from unrolled.ablations.study.loading import load_study
from unrolled.bench.chapter.costs import expected_seconds
from unrolled.bench.metric import Metric
from unrolled.reports.statistics.decisions import evaluate_looks
from unrolled.reports.statistics.sequential import Looks

DIFFERENCES = Path(__file__).parents[1] / "data" / "toggles_differences.csv"
TOGGLES = load_study("toggles")
DESIGNS = {
    "until decided": Looks(TOGGLES.looks),
    "fewer looks": Looks((10, 15, 20, 30, 40, 60)),
    "10 seeds": Looks((10,)),
    "40 seeds": Looks((40,)),
}
SEEDS = range(TOGGLES.looks[-1])


def studies(number: int, metrics: list[Metric]) -> list[dict[str, dict[str, tuple[dict, dict]]]]:
    """Pairs of `decide` for studies like `toggles`: its seeds are drawn whole, and smoothed."""
    table = pd.read_csv(DIFFERENCES).pivot(index=["metric", "arm"], columns="seed", values="difference")
    table = table.dropna(axis=1)
    rng = np.random.default_rng(5)
    d = table.to_numpy()
    zero = dict.fromkeys(SEEDS, 0.0)
    found = []
    mean = d.mean(1, keepdims=True)
    spread = d.std(1, ddof=1, keepdims=True)
    width = 0.9 * len(d.T) ** -0.2  # Silverman's; the SD stays what it was
    for _ in range(number):
        drawn = d[:, rng.integers(len(d.T), size=len(SEEDS))] - mean
        drawn = (drawn + width * spread * rng.standard_normal(drawn.shape)) / (1 + width**2) ** 0.5
        drawn = pd.DataFrame(mean + drawn, table.index)
        found.append(
            {
                arm: {m.name: (drawn.loc[m.name, arm].to_dict(), zero) for m in metrics}
                for arm in table.index.unique("arm")
            }
        )
    return found


@pytest.mark.benchmark(group="verdicts")
def test_verdicts_a_cpu_hour(benchmark):
    """Each design judges the same studies; a trial costs what `unrolled plan` expects of its arm."""
    costs = {arm.name: expected_seconds(arm.make_trial()) for arm in TOGGLES.arms}
    drawn = studies(1 if benchmark.disabled else 20, list(TOGGLES.metrics))
    found: dict[str, dict[str, float]] = {}

    def judge() -> None:
        for name, looks in DESIGNS.items():
            verdicts = cpu = trained = 0.0
            for pairs in drawn:
                judged = evaluate_looks(pairs, seeds=SEEDS, looks=looks, metrics=TOGGLES.metrics).verdicts
                firsts = {arm: by[TOGGLES.metrics[0].name] for arm, by in judged.items()}
                seeds = {arm: v.contrast.pairs for arm, v in firsts.items()}
                seeds[TOGGLES.baseline.name] = max(seeds.values())
                verdicts += sum(v.claims for v in firsts.values())
                trained += sum(seeds.values())
                cpu += sum(n * costs[arm] for arm, n in seeds.items())
            each = {"verdicts": verdicts / len(drawn), "trials": trained / len(drawn)}
            found[name] = {**each, "verdicts_an_hour": 3600 * verdicts / cpu}

    benchmark.pedantic(judge, rounds=1)
    assert all(design["verdicts"] for design in found.values())
    benchmark.extra_info.update(contrasts=len(drawn[0]), designs=found)
