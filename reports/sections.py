"""The data of the page's later sections: each function returns rows, or nothing if there are no data."""

import math
from collections import Counter
from collections.abc import Mapping

from bench.errors import plural
from bench.machine_kind import kind, machine_difference
from bench.trial import Result, canonical
from reports.arms import finished, mean_of, trial_of, values
from reports.comparison import ComparedArm, Comparison
from reports.design import MeasuredArm
from reports.formats import merge_facts
from reports.statistics.arm_summary import ArmSummary
from reports.statistics.speed_ratio import SpeedRatio, speed_ratio, unlike

Sweep = tuple[str, tuple[tuple[float, ArmSummary], ...]]
"""One model at several learning rates, rising, everything else equal."""

Accuracies = tuple[ComparedArm, tuple[float | None, ...]]
"""An arm, and its accuracy on each token role."""

Spent = tuple[ComparedArm, Mapping[str, float], Mapping[str, float]]
"""What one arm spent, a trial on average, and what the baseline did."""

COSTS = {
    "model_parameters": "parameters",
    "train_updates": "updates",
    "train_tokens": "tokens trained on",
    "train_flops": "GFLOPs of training",
    "seconds": "seconds",
    "speed_train": "tokens/s",
    "speed_steady": "tokens/s after the first epoch",
    "memory_peak": "peak memory (MiB)",
    "gpu_utilisation": "GPU in use (%)",
    "gpu_memory_peak": "peak GPU memory (MiB)",
}
"""The columns of the table of what else differs; each is there if the trials have it."""

ON_A_GPU = ("speed_train", "speed_steady", "gpu_utilisation", "gpu_memory_peak")
"""Columns for trials on a GPU. On a CPU the table is as wide as its page without them."""

FINE = ("seconds", "train_flops")
"""Costs that are shown with a decimal."""

_CLOCKS = ("seconds", "speed_train", "speed_steady", "gpu_utilisation")


def roles(c: Comparison) -> tuple[tuple[str, ...], tuple[Accuracies, ...]] | None:
    """Names of the token roles, and each arm's accuracy on them, pooled over finished seeds."""
    names = tuple(dict.fromkeys(name for row in c.rows for r in finished(row.arm) for name in r.roles))
    lines = [(row, tuple(_accuracy(row.arm, name) for name in names)) for row in c.rows if finished(row.arm)]
    return (names, tuple(lines)) if names else None


def _accuracy(arm: MeasuredArm, role: str) -> float | None:
    pooled = [r.roles[role] for r in finished(arm) if role in r.roles]
    targets = sum(n for _, _, n in pooled)
    return sum(hits for _, hits, _ in pooled) / targets if targets else None


def passage(c: Comparison) -> tuple[ComparedArm, Result] | None:
    """The first finished trial, baseline first, that decoded a stretch of the validation set."""
    return next(((row, r) for row in c.rows for r in finished(row.arm) if r.passage), None)


def throughput(c: Comparison) -> tuple[tuple[ComparedArm, float, SpeedRatio | None], ...]:
    """Mean training speed of every arm in tokens/s, and its ratio to the baseline's over common seeds.

    Only seeds that both sides trained on one kind of machine count: see `speed_not_compared`.
    """
    lines = []
    for row in c.rows:
        pairs = [(a, b) for a, b, reason in _speeds(row, c) if not reason]
        if (mean := mean_of(row.arm, "speed_train")) is not None:
            lines.append((row, mean, speed_ratio(pairs) if row.index else None))
    return tuple(lines)


def speed_not_compared(c: Comparison) -> str:
    """A sentence on the pairs of speeds that are not compared, and why; "" if there are none."""
    pairs = [pair for row in c.rows[1:] for pair in _speeds(row, c)]
    reasons = [reason for _, _, reason in pairs if reason]
    if not reasons:
        return ""
    why = "; ".join(dict.fromkeys(reasons))
    return f"{len(reasons)} of {plural(len(pairs), 'pair')} of speeds not compared: {why}"


def _speeds(row: ComparedArm, c: Comparison) -> list[tuple[float, float, str]]:
    """The arm's and the baseline's speed for every seed with both, and why the two cannot be compared."""
    base, arm = c.base(row).arm, row.arm
    speeds, base_speeds = values(arm, "speed_train"), values(base, "speed_train")
    return [
        (speeds[s], base_speeds[s], unlike([kind(side.results[s].environment) for side in (base, arm)]))
        for s in sorted(speeds.keys() & base_speeds.keys())
        if 0 < speeds[s] < math.inf and 0 < base_speeds[s] < math.inf
    ]


def sweeps(c: Comparison) -> tuple[Sweep, ...]:
    """Groups of arms that differ in the learning rate alone."""
    groups: dict[bytes, dict[float, ComparedArm]] = {}
    for row in c.rows:
        if trial := trial_of(row.arm):
            settings = trial.factors()
            lr = settings.pop("lr", None)
            if isinstance(lr, float):
                groups.setdefault(canonical([trial.data, settings]), {}).setdefault(lr, row)
    return tuple(
        (next(iter(rows.values())).arm.title, tuple((lr, rows[lr].summary) for lr in sorted(rows)))
        for rows in groups.values()
        if len(rows) > 1
    )


def costs(c: Comparison) -> tuple[Spent, ...]:
    """The mean costs of each arm's trials: parameters, updates, tokens, operations, time, memory.

    Times and speeds are compared only if both arms were trained on one kind of machine.
    """
    wanted = [name for name in COSTS if devices(c) or name not in ON_A_GPU]
    spent = [{name: v for name in wanted if (v := _cost(row.arm, name)) is not None} for row in c.rows]
    return tuple(
        (row, mine, _comparable(spent[c.base(row).index], row, c))
        for row, mine in zip(c.rows, spent, strict=True)
        if mine
    )


def devices(c: Comparison) -> tuple[str, ...]:
    """The GPUs that trials were trained on, with driver, CUDA and number of trials; () for none."""
    trials = Counter(
        tuple(str(r.environment.get(fact, "unknown")) for fact in ("gpu", "driver", "cuda"))
        for row in c.rows
        for r in finished(row.arm)
        if r.environment.get("gpu")
    )
    return tuple(
        f"{plural(number, 'trial')} on {gpu}, driver {driver}, CUDA {cuda}"
        for (gpu, driver, cuda), number in sorted(trials.items())
    )


def _comparable(spent: Mapping[str, float], row: ComparedArm, c: Comparison) -> dict[str, float]:
    """The baseline's costs that the arm's may be held against."""
    base = c.base(row)
    both = [] if row is base else [*finished(row.arm), *finished(base.arm)]
    difference = machine_difference(kind(result.environment) for result in both)
    return {name: v for name, v in spent.items() if not (difference and name in _CLOCKS)}


def _cost(arm: MeasuredArm, name: str) -> float | None:
    if name == "seconds":
        taken = [r.spent for r in finished(arm)]
        return sum(taken) / len(taken) if taken else None
    mean = mean_of(arm, name)
    return mean / 1e9 if mean is not None and name == "train_flops" else mean


def environments(c: Comparison) -> dict[str, str]:
    """Facts of the machines, each with all the values that the trials saw."""
    return dict(
        sorted(merge_facts(r.environment for row in c.rows for r in row.arm.results.values()).items())
    )
