"""The evidence on each contrast: the numbers of both sides, the seeds that were lost, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from unrolled.bench.phrases import choose_form
from unrolled.bench.study_rules import find_base
from unrolled.reports.compare.design import Design, JudgedValues, Statuses
from unrolled.reports.compare.replicates import find_equal_seeds, find_one_run_arms
from unrolled.reports.statistics.seed_values import SidePair, select_seeds


@dataclass(frozen=True)
class Evidence:
    """The numbers by which a design's contrasts are judged. A contrast has the name of its arm.

    `make_evidence` makes it.
    """

    statuses: Statuses  # of all rows that ended
    judged_values: JudgedValues  # by the metrics of the design at least
    design: Design
    one_run_seeds: Mapping[str, Any]  # by arm that is one run: see `replicates.find_one_run_arms`

    def drop_copies(self) -> "Evidence":
        """Return the evidence without copies: an arm that is one run keeps the seed of this run."""
        values = {
            metric: {
                **by_arm,
                **{name: select_seeds(by_arm[name], [seed]) for name, seed in self.one_run_seeds.items()},
            }
            for metric, by_arm in self.judged_values.items()
        }
        return replace(self, judged_values=values)

    def select_sides(self, name: str) -> dict[str, SidePair]:
        """Return the values of an arm and of its base by metric."""
        base = self.design.bases[name]
        return {metric: (by_arm[name], by_arm[base]) for metric, by_arm in self.judged_values.items()}

    def find_equal_seeds(self, name: str) -> frozenset[Any]:
        """Return the seeds on which an arm and its base computed the same."""
        arm = self.design.arms_by_name[name]
        return find_equal_seeds(arm, find_base(arm, self.design.arms), self.judged_values, self.design)

    def explain_lost(self, name: str) -> dict[Any, str]:
        """Return the seeds that a side of a contrast lost, with the reason: {3: "failed"}."""
        lost = {}
        for metric, numbers in self.judged_values.items():
            for side in (name, self.design.bases[name]):
                for seed in self.statuses[side].keys() - numbers[side].keys():
                    lost[seed] = self._explain_missing_number(metric, side, seed)
        return lost

    def find_seeds_without_ratio(self, name: str) -> set[Any]:
        """Return the seeds on which a side of a contrast has a value that δ in per cent cannot judge."""
        return {
            seed
            for numbers in self.judged_values.values()
            for side in (name, self.design.bases[name])
            for seed, status in self.statuses[side].items()
            if status == "done" and seed not in numbers[side] and side not in self.one_run_seeds
        }

    def _explain_missing_number(self, metric: str, side: str, seed: Any) -> str:
        """Return why a trial that ended has no number of a metric."""
        if side in self.one_run_seeds:
            verb = "may repeat" if self.design.repetition_differences is None else "repeats"
            return f"{verb} seed {self.one_run_seeds[side]}"
        return f"has no {metric} to judge" if self.statuses[side][seed] == "done" else "failed"

    def explain_lost_of_gate(self, name: str) -> dict[Any, str]:
        """Return the seeds that a gate lost, with the reason and the side: {3: "failed at the head"}."""
        base = self.design.bases[name]
        lost = {}
        for seed, reason in self.explain_lost(name).items():
            is_of_base = self._lacks_number(base, seed) and not self._lacks_number(name, seed)
            side = "base" if is_of_base else "head"
            lost[seed] = f"{reason} at the {side}"
        return lost

    def describe_one_run_sides(self, name: str) -> str:
        """Return which sides of a gate ignore their seed: "the head ignores the seed"; "" if none does."""
        arms = {"the head": name, "the base": self.design.bases[name]}
        sides = [side for side, arm in arms.items() if arm in self.one_run_seeds]
        if not sides:
            return ""
        if self.design.repetition_differences is None:
            return f"{' and '.join(sides)} may ignore the seed"
        return f"{' and '.join(sides)} {choose_form(len(sides), 'ignores', 'ignore')} the seed"

    def _lacks_number(self, arm: str, seed: Any) -> bool:
        """Return True if a trial ended without a number of some metric."""
        return seed in self.statuses[arm] and any(
            seed not in by_arm[arm] for by_arm in self.judged_values.values()
        )

    def count_lost(self, name: str, sides: SidePair) -> int:
        """Return the number of pairs without a number on some side; without pairing, of rows without one."""
        arm = self.statuses[name].keys()
        base = self.statuses[self.design.bases[name]].keys()
        if not self.design.pairing_column:
            return len(arm - sides[0].keys()) + len(base - sides[1].keys())
        return len((arm | base) - (sides[0].keys() & sides[1].keys()))

    def limit_to_looks(self, looks_taken: int) -> "Evidence":
        """Return the evidence on the seeds of the looks taken so far, or of the first look if none was."""
        seeds = self.design.rules.seeds[: self.design.rules.looks[max(0, looks_taken - 1)]]
        values = {
            metric: {name: select_seeds(side, seeds) for name, side in by_arm.items()}
            for metric, by_arm in self.judged_values.items()
        }
        statuses = {name: select_seeds(by_seed, seeds) for name, by_seed in self.statuses.items()}
        return replace(self, statuses=statuses, judged_values=values)


def make_evidence(
    statuses: Statuses,
    judged_values: JudgedValues,
    design: Design,
    copied_seeds: Mapping[str, Any] = MappingProxyType({}),
) -> Evidence:
    """Return the evidence on a design's contrasts. Arms that are one run are found by their values.

    `copied_seeds` has the arms that are known to be one run, each with the seed of this run.
    """
    one_run_seeds = find_one_run_arms(statuses, judged_values, design)
    return Evidence(statuses, judged_values, design, {**one_run_seeds, **copied_seeds})
