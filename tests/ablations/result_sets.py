"""Ledgers of made-up trials, whose losses are the seed's luck and what a version of the code adds."""

import random
from pathlib import Path
from typing import Any

from stub_plans import kept, planned

from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.trial import Result

MACHINE = {"cpu": "EPYC 9V74", "threads": 1, "device": "cpu", "torch_build": "abc", "commit": "c0ffee12345"}


def trained(seed: int, worse: float = 0.0, code: str = "v1", slow: float = 1.0, **machine: Any) -> Result:
    """A finished trial of one version of the code: its loss is the seed's luck, and what the version adds."""
    luck, own = random.Random(seed).gauss(0, 0.06), random.Random(f"{code}{seed}").gauss(0, 0.004)
    loss = 1.3 + luck + worse + own
    return Result(
        trial=ChapterTrial(model="lm1", seed=seed, source=code, data="3a3e30cd"),
        status="done",
        started=1_770_000_000.0 + seed,
        seconds=2.0,
        metrics={"valid_loss": loss, "speed_train": 9000 / slow * (1 + 0.001 * seed)},
        fingerprints={"weights": f"w{loss}", "metrics": f"m{loss}"},
        environment={**MACHINE, **machine},
    )


def ledger(folder: Path, arms: dict[str, list[Result]], **facts: Any) -> Path:
    return kept(folder, planned(arms, **facts), arms).root
