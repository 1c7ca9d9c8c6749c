"""Arms of synthetic trials with known effects, and what breaks them."""

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.trial import Result, make_failed_result
from unrolled.reports.compare.design import DesignArm

WORDS = [word for last in ("four", "five", "six") for word in ("eight", "thousand", "eighty", last, ".")]
SHARE = {"separator": 0.2, "lead digit": 1.9, "digit": 1.0, "teen": 1.1, "hundred": 0.3, "thousand": 0.25}
OPTIONS: dict[str, Any] = {"hidden": 64, "layers": 2, "dropout": 0.0, "tying": False}
PROVENANCE = {"commit": "0123456789abcdef", "dirty": False, "cpu": "Xeon 8481C", "threads": 1}
PROVENANCE |= {"python": "3.11.7", "packages": {"torch": "2.13.0", "fastai": "2.8.12"}}


def make_result(
    trial: ChapterTrial, loss: float, *, parameters: int = 37598, speed: float = 9000.0
) -> Result:
    """Return a finished trial whose curve falls to `loss`."""
    points = {
        "train_loss": lambda e: loss * 0.6 + 2 * math.exp(-e / 3),
        "valid_loss": lambda e: loss + 1.6 * math.exp(-e / 2.5),
        "valid_accuracy": lambda e: math.exp(-loss) * (1 - math.exp(-e - 1)),
        "speed_train_seconds": lambda e: 0.4,
        "speed_valid_seconds": lambda e: 0.1,
    }
    curves = {
        name: tuple((float(e), point(e)) for e in range(trial.epochs)) for name, point in points.items()
    }
    metrics = {
        "valid_loss": loss,
        "valid_accuracy": math.exp(-0.3 * loss),
        "train_updates": 735.0,
        "train_tokens": 752640.0,
        "train_flops": 6.0 * parameters * 752640,
        "speed_train": speed,
        "model_parameters": float(parameters),
    }
    passage = [{"token": w, "guess": w if i % 4 else "nine", "p": 0.5} for i, w in enumerate(WORDS)]
    roles = {
        role: [s * loss * 1000, round(1000 * math.exp(-0.4 * s * loss)), 1000] for role, s in SHARE.items()
    }
    return Result(
        trial=trial,
        status="done",
        started=1_770_000_100.0 + trial.seed,
        attempt_seconds=8.2,
        curves=curves,
        metrics=metrics,
        records={"roles": roles, "passage": passage, "continuation": WORDS[:6]},
        witnesses={"tying": {"ok": True, "declared": False, "seen": "the weights are apart"}},
        fingerprints={"weights": f"w{loss!r}", "metrics": f"m{loss!r}"},
        provenance=PROVENANCE,
    )


def _cut_curves(result: Result, epochs: int) -> dict[str, tuple[tuple[float, float], ...]]:
    """Return the first points of a result's curves."""
    return {name: points[:epochs] for name, points in result.curves.items()}


def make_arm(
    name: str,
    effect: float,
    spread: float = 0.02,
    *,
    seeds: int = 10,
    model: str = "lm6",
    changes: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    **facts: Any,
) -> DesignArm:
    """Return an arm whose losses lie `effect` above 1.30; a seed's luck is shared with other arms."""
    results = {}
    for seed in range(seeds):
        luck = random.Random(seed).gauss(0, 0.06)
        noise = random.Random(f"{name}{seed}").gauss(0, spread)
        trial = ChapterTrial(
            model=model,
            seed=seed,
            options={**OPTIONS, **(options or {})},
            data="3a3e30cd",
            **(settings or {}),
        )
        results[seed] = make_result(trial, 1.30 + luck + effect + noise, **facts)
    changed = {**({"model": model} if model != "lm6" else {}), **(options or {}), **(settings or {})}
    return DesignArm(
        name=name, model=model, title=model, changes=changed if changes is None else changes, results=results
    )


def make_counting_arm(name: str, effect: float, seeds: int = 10) -> DesignArm:
    """Return an arm that is fitted by counting: every seed has the numbers of the first."""
    result = replace(make_arm(name, effect, 0.0, seeds=1, model="ngram-2").results[0], curves={})
    results = {seed: replace(result, trial=replace(result.trial, seed=seed)) for seed in range(seeds)}
    return DesignArm(name=name, model="ngram-2", title="bigram counts", results=results, uses_seed=False)


def set_metrics(arm: DesignArm, **metrics: float | Mapping[int, float] | None) -> DesignArm:
    """Return the arm with these metrics: a number for all seeds or numbers by seed; None removes one."""
    results = {}
    for seed, result in arm.results.items():
        values = {name: x.get(seed) if isinstance(x, Mapping) else x for name, x in metrics.items()}
        all_metrics = {**result.metrics, **{name: x for name, x in values.items() if x is not None}}
        removed = [name for name, x in metrics.items() if x is None]
        results[seed] = replace(
            result, metrics={name: x for name, x in all_metrics.items() if name not in removed}
        )
    return replace(arm, results=results)


def break_trials(
    arm: DesignArm, *, diverged: tuple[int, ...] = (), failed: tuple[int, ...] = ()
) -> DesignArm:
    """Return the same arm with some of its trials diverged or failed."""
    results: dict[int, Any] = dict(arm.results)
    for seed in diverged:
        result = results[seed]
        reason = "diverged at step 312: loss is nan"
        results[seed] = make_failed_result(
            result.trial, reason, status="diverged", curves=_cut_curves(result, 5)
        )
    for seed in failed:
        # a failed trial may have numbers from before it broke: they are not results
        result = results[seed]
        results[seed] = replace(
            result, status="failed", reason="killed by signal 9", metrics={"valid_loss": 0.123456}
        )
    return replace(arm, results=results)
