"""Verdicts a CPU hour: seeds until decided against a fixed number of them, on stored differences."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from unrolled.ablations.study.loading import load_study
from unrolled.bench.chapter.time_estimates import estimate_seconds
from unrolled.bench.metric import Metric
from unrolled.reports.statistics.decisions import evaluate_looks
from unrolled.reports.statistics.look_input import LookInput
from unrolled.reports.statistics.looks import Looks

DIFFERENCES = Path(__file__).parents[1] / "data" / "toggles_differences.csv"
TOGGLES = load_study("toggles")
DESIGNS = {
    "until decided": Looks(TOGGLES.rules.looks),
    "fewer looks": Looks((10, 15, 20, 30, 40, 60)),
    "10 seeds": Looks((10,)),
    "40 seeds": Looks((40,)),
}
SEEDS = range(TOGGLES.rules.looks[-1])


def draw_studies(number: int, metrics: list[Metric]) -> list[dict[str, dict[str, tuple[dict, dict]]]]:
    """Return pairs of `decide` for studies like `toggles`: its seeds are drawn whole, and smoothed."""
    table = pd.read_csv(DIFFERENCES).pivot(index=["metric", "arm"], columns="seed", values="difference")
    table = table.dropna(axis=1)
    rng = np.random.default_rng(5)
    d = table.to_numpy()
    zero = dict.fromkeys(SEEDS, 0.0)
    pairs_by_study = []
    mean = d.mean(1, keepdims=True)
    spread = d.std(1, ddof=1, keepdims=True)
    width = 0.9 * len(d.T) ** -0.2  # Silverman's; the SD stays what it was
    for _ in range(number):
        differences = d[:, rng.integers(len(d.T), size=len(SEEDS))] - mean
        differences = (differences + width * spread * rng.standard_normal(differences.shape)) / (
            1 + width**2
        ) ** 0.5
        differences = pd.DataFrame(mean + differences, table.index)
        pairs_by_study.append(
            {
                arm: {m.name: (differences.loc[m.name, arm].to_dict(), zero) for m in metrics}
                for arm in table.index.unique("arm")
            }
        )
    return pairs_by_study


@pytest.mark.benchmark(group="verdicts")
def test_verdicts_a_cpu_hour(benchmark):
    """Each design judges the same studies; a trial costs what `unrolled plan` expects of its arm."""
    costs = {arm.name: estimate_seconds(arm.make_unidentified_trial()) for arm in TOGGLES.arms}
    studies = draw_studies(1 if benchmark.disabled else 20, list(TOGGLES.rules.metrics))
    designs: dict[str, dict[str, float]] = {}

    def judge() -> None:
        for name, looks in DESIGNS.items():
            verdicts = cpu = trials = 0.0
            for pairs in studies:
                verdicts_by_arm = evaluate_looks(
                    LookInput(sides=pairs, seeds=SEEDS, looks=looks, metrics=TOGGLES.rules.metrics)
                ).verdicts
                firsts = {
                    arm: by_metric[TOGGLES.rules.metrics[0].name]
                    for arm, by_metric in verdicts_by_arm.items()
                }
                seeds = {arm: v.contrast.pair_count for arm, v in firsts.items()}
                seeds[TOGGLES.baseline.name] = max(seeds.values())
                verdicts += sum(v.makes_claim for v in firsts.values())
                trials += sum(seeds.values())
                cpu += sum(n * costs[arm] for arm, n in seeds.items())
            means = {"verdicts": verdicts / len(studies), "trials": trials / len(studies)}
            designs[name] = {**means, "verdicts_an_hour": 3600 * verdicts / cpu}

    benchmark.pedantic(judge, rounds=1)
    assert all(design["verdicts"] for design in designs.values())
    benchmark.extra_info.update(contrasts=len(studies[0]), designs=designs)
