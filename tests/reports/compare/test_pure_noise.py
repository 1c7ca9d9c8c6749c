"""A study of pure noise, from its results to the words of its page: how often is a difference claimed?

`STUDIES=2000 pytest -s -n0 tests/reports/compare/test_pure_noise.py` repeats it 2,000 times (four minutes).
"""

import math
import os

import numpy as np
import pytest

from tests.helpers.designs import compare, design_arms, four_errors
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.metric import Metric
from unrolled.bench.trial import Result
from unrolled.reports.compare.design import Design, DesignArm

STUDIES = int(os.environ.get("STUDIES", 20))
ARMS = 12
SEEDS = tuple(range(10, 50))
METRICS = (Metric("valid_accuracy", 0.02), Metric("valid_loss", 0.05))
DIFFERENCES = ("better", "worse")


def make_noise_design(rng: np.random.Generator) -> Design:
    """Return a baseline and twelve arms that are alike but for luck; the SD of a pair's accuracies is .05."""
    luck = dict(zip(SEEDS, rng.normal(0, 0.03, len(SEEDS)), strict=True))

    def make_result(seed: int, hidden: int) -> Result:
        accuracy = 0.7 + luck[seed] + rng.normal(0, 0.05 / math.sqrt(2))
        metrics = {"valid_accuracy": accuracy, "valid_loss": 3 - 2 * accuracy + rng.normal(0, 0.2)}
        trial = ChapterTrial(model="lm6", seed=seed, options={"hidden": hidden})
        return Result(trial=trial, status="done", metrics=metrics)

    def make_arm(hidden: int) -> DesignArm:
        changes = {"hidden": hidden} if hidden > 64 else {}
        results = {seed: make_result(seed, hidden) for seed in SEEDS}
        return DesignArm(name=str(hidden), model="lm6", title="", changes=changes, results=results)

    arms = tuple(make_arm(64 + index) for index in range(ARMS + 1))
    return design_arms(arms, metrics=METRICS, seeds=SEEDS, looks=(10, 15, 20, 30, 40))


@pytest.mark.slow
def test_a_difference_is_rarely_claimed_of_noise():
    rng = np.random.default_rng(1)
    wrong = dict.fromkeys((metric.name for metric in METRICS), 0)
    for _ in range(STUDIES):
        for view in compare(make_noise_design(rng)).views:
            words = [arm.verdict.kind for arm in view.judged_arms if arm.verdict]
            assert len(words) == ARMS
            wrong[view.metric.name] += any(word in DIFFERENCES for word in words)
    for metric, studies in wrong.items():
        print(f"{metric}: a difference claimed in {studies} of {STUDIES} studies")
        assert studies / STUDIES <= 0.05 + four_errors(0.05, STUDIES)
