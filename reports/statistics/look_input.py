"""What the looks of a study or a gate read: the values of contrasts by seed, and the seeds that were lost."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from unrolled.bench.metric import Metric
from unrolled.bench.phrases import join_first
from unrolled.reports.statistics.looks import Looks
from unrolled.reports.statistics.seed_values import SidePair, select_seeds, select_side_seeds

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class LookInput(Generic[Key]):
    """The values of all declared contrasts, and the looks at which they are judged. Look k counts from 0.

    Raises ValueError without metrics, or with fewer seeds than the last look.
    """

    # values of both sides by contrast and metric, even before there are results
    sides: Mapping[Key, Mapping[str, SidePair]]
    seeds: Sequence[int]
    looks: Looks
    metrics: Sequence[Metric]
    # by contrast, the seeds that cannot have a result, with the reason: {"b": {3: "failed"}}
    lost_reasons: Mapping[Key, Mapping[int, str]] = field(default_factory=dict)
    # by contrast, the lost seeds whose values are known and cannot be judged, as zero has no ratio
    barred_seeds: Mapping[Key, Collection[int]] = field(default_factory=dict)
    # by contrast, the seeds on which both sides are known to have computed the same
    equal_seeds: Mapping[Key, Collection[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.metrics or len(set(self.seeds)) < max(self.looks.last_pair_count, len(self.seeds)):
            raise ValueError(
                f"looks up to {self.looks.last_pair_count} need a metric and as many different seeds"
            )

    def select_look_seeds(self, k: int) -> Sequence[int]:
        """Return the seeds of look k."""
        return self.seeds[: self.looks.pair_counts[k]]

    def select_sides(self, name: Key, metric: str, k: int) -> SidePair:
        """Return the values of both sides at the seeds of look k."""
        return select_side_seeds(self.sides[name].get(metric, ({}, {})), self.select_look_seeds(k))

    def select_lost_seeds(self, name: Key, k: int) -> dict[int, str]:
        """Return the seeds of look k that cannot have a result, with the reason."""
        return select_seeds(self.lost_reasons.get(name, {}), self.select_look_seeds(k))

    def is_complete(self, name: Key, k: int) -> bool:
        """Return True if both sides have all seeds of look k by all metrics, except lost ones."""
        lost = self.select_lost_seeds(name, k).keys()
        sides = (side for metric in self.metrics for side in self.select_sides(name, metric.name, k))
        return all(len(side.keys() | lost) == self.looks.pair_counts[k] for side in sides)

    def explain_block(self, name: Key, k: int) -> str:
        """Return why a contrast gets no look k: "seed 3 failed"; "" if it does.

        A contrast that lost half of the seeds of look k, or of an earlier look, goes no further. Nor does one
        with a barred seed: its value may be worse than any that a lost seed is taken to have. The reason
        names the seeds that the earliest of these looks lost.
        """
        barred_seeds = self.barred_seeds.get(name, ())
        for look, n in enumerate(self.looks.pair_counts[: k + 1]):
            lost = self.select_lost_seeds(name, look)
            barred = {seed: reason for seed, reason in lost.items() if seed in barred_seeds}
            if barred or 2 * len(lost) >= n:
                lost = barred or lost
                return join_first([f"seed {seed} {reason}" for seed, reason in lost.items()], 2)
        return ""
