"""A ledger of a study of more than a hundred trials, which MLflow's pages do not load at once. No torch."""

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablations.design import plan as plans
from ablations.design.plan import Plan, PlannedArm
from ablations.ledger import Ledger
from bench.trial import Epoch, Result, Trial

ARMS = [f"hidden = {size}" for size in (64, 8, 12, 16, 24, 32, 48, 96, 128, 160, 192)]
"""The baseline is the first: 110 trials over ten seeds."""


def trained(hidden: int, seed: int, source: str = "v1", **facts: Any) -> Result:
    """A finished trial of four epochs, whose numbers come from its settings and its seed."""
    luck = random.Random(f"{hidden} {seed} {source}").gauss(0, 0.2)
    losses = [3.0 - 0.4 * epoch + 4 / hidden + luck for epoch in range(4)]
    epochs = tuple(
        Epoch(
            epoch=i, train_loss=loss + 0.1, ar=0.0, tar=0.0, valid_loss=loss, accuracy=1 / (1 + loss),
            train_seconds=1.0, valid_seconds=0.5,
        )
        for i, loss in enumerate(losses)
    )  # fmt: skip
    metrics = {"valid_loss": losses[-1], "valid_accuracy": 1 / (1 + losses[-1])}
    metrics["valid_perplexity"] = math.exp(losses[-1])
    return Result(
        trial=Trial(model="lm4", seed=seed, options={"hidden": hidden}, source=source, data="5a" * 32),
        status="done",
        started=1_700_000_000.0 + 20 * seed + hidden / 100,
        seconds=6.0,
        epochs=epochs,
        metrics={**metrics, "speed_train": 2e6 / hidden + 10 * luck, "model_parameters": 1000.0 * hidden},
        **facts,
    )


def study(seeds: int = 10, source: str = "v1", arms: int = len(ARMS)) -> dict[str, list[Result]]:
    """The results of the first so many arms."""
    return {arm: [trained(int(arm.split()[-1]), s, source) for s in range(seeds)] for arm in ARMS[:arms]}


def planned(results: dict[str, list[Result]], **facts: Any) -> Plan:
    """The plan whose trials these are."""
    arms = tuple(
        PlannedArm(
            name=arm,
            model="lm4",
            title="LMModel4",
            changes={"hidden": int(arm.split()[-1])} if arm != ARMS[0] else {},
            trials={r.trial.seed: r.trial.id for r in of_arm},
        )
        for arm, of_arm in results.items()
    )
    seeds = tuple(sorted({r.trial.seed for of_arm in results.values() for r in of_arm}))
    told = {
        "question": "How wide?",
        "about": "",
        "metric": "valid_loss",
        "equivalence": 0.02,
        "command": "run",
    }
    return Plan(**{"study": "width", "seeds": seeds, "arms": arms, "hash": "f00d" * 16, **told, **facts})


def keep(folder: Path, results: dict[str, list[Result]], **facts: Any) -> Ledger:
    """A ledger that holds the plan and these results."""
    ledger = Ledger(folder)
    for result in (result for of_arm in results.values() for result in of_arm):
        ledger.record(result)
    plans.store(planned(results, **facts), ledger)
    return ledger


def diverged(result: Result) -> Result:
    """The same trial, had it diverged in its second epoch."""
    return replace(
        result, status="diverged", reason="diverged at step 9", epochs=result.epochs[:1], metrics={}
    )
