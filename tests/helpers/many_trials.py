"""A ledger of a study of more than a hundred trials, which MLflow's pages do not load at once. No torch."""

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.helpers import stub_results
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans.plan import Plan
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.trial import Result

ARMS = [f"hidden = {size}" for size in (64, 8, 12, 16, 24, 32, 48, 96, 128, 160, 192)]
"""The baseline is the first: 110 trials over ten seeds."""


def make_result(hidden: int, seed: int, source: str = "v1", **facts: Any) -> Result:
    """Return a finished trial of four epochs, whose numbers come from its settings and its seed."""
    luck = random.Random(f"{hidden} {seed} {source}").gauss(0, 0.2)
    losses = [3.0 - 0.4 * epoch + 4 / hidden + luck for epoch in range(4)]
    of_epoch = {"train_loss": lambda loss: loss + 0.1, "valid_loss": lambda loss: loss,
                "valid_accuracy": lambda loss: 1 / (1 + loss),
                "speed_train_seconds": lambda _: 1.0, "speed_valid_seconds": lambda _: 0.5}  # fmt: skip
    curves = {
        name: tuple((float(i), point(loss)) for i, loss in enumerate(losses))
        for name, point in of_epoch.items()
    }
    metrics = {"valid_loss": losses[-1], "valid_accuracy": 1 / (1 + losses[-1])}
    metrics["valid_perplexity"] = math.exp(losses[-1])
    return Result(
        trial=ChapterTrial(model="lm4", seed=seed, options={"hidden": hidden}, source=source, data="5a" * 32),
        status="done",
        started=1_700_000_000.0 + 20 * seed + hidden / 100,
        attempt_seconds=6.0,
        curves=curves,
        metrics={**metrics, "speed_train": 2e6 / hidden + 10 * luck, "model_parameters": 1000.0 * hidden},
        **facts,
    )


def make_arms(seeds: int = 10, source: str = "v1", arms: int = len(ARMS)) -> dict[str, list[Result]]:
    """Return the results of the first arms, by arm."""
    return {arm: [make_result(int(arm.split()[-1]), s, source) for s in range(seeds)] for arm in ARMS[:arms]}


def build_plan(results: dict[str, list[Result]], **facts: Any) -> Plan:
    """Return the plan whose trials these are."""
    changes = {arm: {"hidden": int(arm.split()[-1])} for arm in results if arm != ARMS[0]}
    defaults = {"study": "width", "question": "How wide?", "command": "run", "study_hash": "f00d" * 16}
    return stub_results.build_plan(results, changes, **{**defaults, **facts})


def store_results(folder: Path, results: dict[str, list[Result]], **facts: Any) -> Ledger:
    """Store the results and their plan and return the ledger."""
    return stub_results.store_plan_and_results(folder, build_plan(results, **facts), results)


def make_diverged(result: Result) -> Result:
    """Return the same trial, had it diverged in its second epoch."""
    curves = {name: points[:1] for name, points in result.curves.items()}
    return replace(result, status="diverged", reason="diverged at step 9", curves=curves, metrics={})
