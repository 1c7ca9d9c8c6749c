"""Tokens a second by batch and hidden size, their share of the arithmetic limit, and what growth costs."""

from statistics import median
from typing import Any

import numpy as np
import pytest

from unrolled.bench.hardware.devices import count_cores

OPERATIONS = 3e10  # of a measurement, about: large networks make fewer updates
FEWEST = 2
MOST = 40
DOUBLED = ("hidden", "layers", "window")


@pytest.mark.benchmark(group="throughput")
def test_tokens_a_second(benchmark, profile, unrolled_process, load):
    """Every size of every family in turn, so that a busy minute falls on all of them alike."""
    grid = [(family, batch, hidden) for family in profile.families for batch, hidden in profile.sizes]
    cells: dict[tuple[Any, ...], list[dict[str, float]]] = {cell: [] for cell in grid}
    peaks: list[float] = []

    def measure() -> None:
        peaks.append(
            unrolled_process.ask("peak", times=10, **({"size": 64} if benchmark.disabled else {}))["flops"]
        )
        for family, batch, hidden in grid:
            updates = 2 if benchmark.disabled else _count_updates(batch, hidden)
            words = {"model": family, "updates": updates, "batch": batch, "hidden": hidden}
            cells[family, batch, hidden].append(unrolled_process.ask("pace", **words))

    benchmark.pedantic(measure, rounds=profile.rounds)
    assert all(len(numbers) == profile.rounds for numbers in cells.values())
    benchmark.extra_info.update(
        peak=max(peaks),
        machine={**unrolled_process.ask("machine"), "load": load},
        cells={
            f"{family}, batch {batch}, hidden {hidden}": _compute_medians(numbers) | {"limit": max(peaks)}
            for (family, batch, hidden), numbers in cells.items()
        },
    )


@pytest.mark.benchmark(group="growth")
def test_what_growth_costs(benchmark, profile, unrolled_process):
    """Seconds an update as one size doubles and the others stay the chapter's, and those of so many seeds."""
    sizes = {"hidden": 64, "layers": 1, "window": 16}
    points: dict[tuple[str, str, int], list[float]] = {}

    def record_seconds(family: str, size_name: str, size: int, seconds: float) -> None:
        points.setdefault((family, size_name, size), []).append(seconds)

    def measure() -> None:
        for step in range(profile.growth + 1):
            for family in profile.families:
                for size_name in DOUBLED:
                    if family == "lm4" and size_name == "layers":  # it has one
                        continue
                    size = sizes[size_name] * 2**step
                    words = {"updates": 2 if benchmark.disabled else 20, size_name: size}
                    record_seconds(
                        family, size_name, size, unrolled_process.ask("pace", model=family, **words)["update"]
                    )
            workers = 1 if benchmark.disabled else count_cores()
            seconds = unrolled_process.ask("seeds", count=2**step * workers, model="lm4", workers=workers)[
                "seconds"
            ]
            record_seconds("lm4", "seeds", 2**step * workers, seconds)

    if benchmark.enabled:
        unrolled_process.ask("seeds", count=1, model="lm4", workers=1)  # the fork server loads torch once
    benchmark.pedantic(measure, rounds=profile.rounds)
    assert {size_name for _, size_name, _ in points} >= {"hidden", "window", "seeds"}
    curves: dict[tuple[str, str], dict[int, float]] = {}
    for (family, size_name, size), seconds in points.items():
        curves.setdefault((family, size_name), {})[size] = median(seconds)
    benchmark.extra_info["exponents"] = {
        f"{family}, {size_name}": _fit_exponent(curve)
        for (family, size_name), curve in curves.items()
        if len(curve) > 1
    }


def _compute_medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each number that every round has."""
    return {name: median(numbers[name] for numbers in rounds) for name in rounds[0]}


def _fit_exponent(curve: dict[int, float]) -> float:
    """Return the slope of a line through the logarithms of size and seconds: 1 is cost in proportion."""
    sizes, seconds = np.log(np.array(sorted(curve.items()))).T
    return float(np.polyfit(sizes, seconds, 1)[0])


def _count_updates(batch: int, hidden: int) -> int:
    """Return a number of updates that takes about OPERATIONS, within bounds."""
    operations = 6 * batch * 16 * 4 * (2 * hidden) ** 2  # of one update of two layers of LSTM
    return min(MOST, max(FEWEST, int(OPERATIONS / operations)))
