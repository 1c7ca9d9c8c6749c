"""Ledgers of made-up trials, whose losses are the seed's luck and what a version of the code adds."""

import random
from pathlib import Path
from typing import Any

from tests.helpers.stub_plans import build_plan, store_plan_and_results
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.trial import Result

MACHINE = {"cpu": "EPYC 9V74", "threads": 1, "device": "cpu", "torch_build": "abc", "commit": "c0ffee12345"}


def make_result(
    seed: int, penalty: float = 0.0, code: str = "v1", slowdown: float = 1.0, **machine: Any
) -> Result:
    """Return a finished trial of one version of the code: the loss is the seed's luck and the version's."""
    luck = random.Random(seed).gauss(0, 0.06)
    noise = random.Random(f"{code}{seed}").gauss(0, 0.004)
    loss = 1.3 + luck + penalty + noise
    return Result(
        trial=ChapterTrial(model="lm1", seed=seed, source=code, data="3a3e30cd"),
        status="done",
        started=1_770_000_000.0 + seed,
        attempt_seconds=2.0,
        metrics={"valid_loss": loss, "speed_train": 9000 / slowdown * (1 + 0.001 * seed)},
        fingerprints={"weights": f"w{loss}", "metrics": f"m{loss}"},
        provenance={**MACHINE, **machine},
    )


def write_ledger(folder: Path, arms: dict[str, list[Result]], **facts: Any) -> Path:
    """Write a ledger of these results, by arm, and return its folder."""
    return store_plan_and_results(folder, build_plan(arms, **facts), arms).root
