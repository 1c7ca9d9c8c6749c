"""Tokens a second by batch and hidden size, their share of the arithmetic limit, and what growth costs."""

from statistics import median

import numpy as np
import pytest

from unrolled.bench.devices import count_cores

OPERATIONS = 3e10  # of a measurement, about: large networks make fewer updates
FEWEST = 2
MOST = 40
DOUBLED = ("hidden", "layers", "window")


@pytest.mark.benchmark(group="throughput")
def test_tokens_a_second(benchmark, profile, ours, load):
    """Every size of every family in turn, so that a busy minute falls on all of them alike."""
    grid = [(family, batch, hidden) for family in profile.families for batch, hidden in profile.sizes]
    cells = {cell: [] for cell in grid}
    peaks: list[float] = []

    def measure() -> None:
        peaks.append(ours.ask("peak", times=10, **({"size": 64} if benchmark.disabled else {}))["flops"])
        for family, batch, hidden in grid:
            updates = 2 if benchmark.disabled else _updates(batch, hidden)
            words = {"model": family, "updates": updates, "batch": batch, "hidden": hidden}
            cells[family, batch, hidden].append(ours.ask("pace", **words))

    benchmark.pedantic(measure, rounds=profile.rounds)
    assert all(len(measured) == profile.rounds for measured in cells.values())
    benchmark.extra_info.update(
        peak=max(peaks),
        machine={**ours.ask("machine"), "load": load},
        cells={
            f"{family}, batch {batch}, hidden {hidden}": _medians(measured) | {"limit": max(peaks)}
            for (family, batch, hidden), measured in cells.items()
        },
    )


@pytest.mark.benchmark(group="growth")
def test_what_growth_costs(benchmark, profile, ours):
    """Seconds an update as one size doubles and the others stay the chapter's, and those of so many seeds."""
    sizes = {"hidden": 64, "layers": 1, "window": 16}
    points: dict[tuple[str, str, int], list[float]] = {}

    def note(family: str, what: str, size: int, seconds: float) -> None:
        points.setdefault((family, what, size), []).append(seconds)

    def measure() -> None:
        for step in range(profile.growth + 1):
            for family in profile.families:
                for what in DOUBLED:
                    if family == "lm4" and what == "layers":  # it has one
                        continue
                    size = sizes[what] * 2**step
                    words = {"updates": 2 if benchmark.disabled else 20, what: size}
                    note(family, what, size, ours.ask("pace", model=family, **words)["update"])
            workers = 1 if benchmark.disabled else count_cores()
            seconds = ours.ask("seeds", count=2**step * workers, model="lm4", workers=workers)["seconds"]
            note("lm4", "seeds", 2**step * workers, seconds)

    if benchmark.enabled:
        ours.ask("seeds", count=1, model="lm4", workers=1)  # the fork server loads torch once
    benchmark.pedantic(measure, rounds=profile.rounds)
    assert {what for _, what, _ in points} >= {"hidden", "window", "seeds"}
    curves: dict[tuple[str, str], dict[int, float]] = {}
    for (family, what, size), seconds in points.items():
        curves.setdefault((family, what), {})[size] = median(seconds)
    benchmark.extra_info["exponents"] = {
        f"{family}, {what}": _exponent(curve) for (family, what), curve in curves.items() if len(curve) > 1
    }


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The median of each number that every round has: tokens a second, FLOP/s, on a GPU its memory."""
    return {name: median(one[name] for one in rounds) for name in rounds[0]}


def _exponent(curve: dict[int, float]) -> float:
    """The slope of a line through the logarithms of size and seconds: 1 is cost in proportion."""
    sizes, seconds = np.log(np.array(sorted(curve.items()))).T
    return float(np.polyfit(sizes, seconds, 1)[0])


def _updates(batch: int, hidden: int) -> int:
    operations = 6 * batch * 16 * 4 * (2 * hidden) ** 2  # of one update of two layers of LSTM
    return min(MOST, max(FEWEST, int(OPERATIONS / operations)))
