"""Main effects and interactions of a full factorial, by seed."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from unrolled.reports.statistics.estimators import Floats, remove_rounding
from unrolled.reports.statistics.pairs import JudgedScale, LostPairs, compare_pairs
from unrolled.reports.statistics.verdicts import Verdict, judge_contrasts


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A main effect or a two-way interaction of a 2^k design: its value by seed, compared with zero.

    If seeds `diverged` in a cell, the effect is over the other seeds, and its verdict claims nothing.
    """

    factors: tuple[str, ...]
    verdict: Verdict  # corrected for all effects of the factorial
    left_out: tuple[int, ...]  # seeds that lack a cell, or that diverged in one
    diverged: tuple[int, ...]  # seeds that diverged in a cell

    @property
    def name(self) -> str:
        """The factors joined by ×."""
        return " × ".join(self.factors)

    @property
    def mean(self) -> float:
        """The mean over seeds, in units of the metric."""
        return self.verdict.contrast.mean_difference or 0.0

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that converged in every cell."""
        return self.verdict.contrast.seeds


Cells = Mapping[tuple[bool, ...], Mapping[int, float]]
"""The values by seed of each combination of factors, such as (False, True): the first off, the second on."""


def estimate_effects(
    cells: Cells, factors: Sequence[str], scale: JudgedScale, failed: Collection[int] = ()
) -> tuple[Effect, ...]:
    """Return main effects, then two-way interactions, of a full 2^k; Holm over all of them.

    On each seed, with the cells y of factors (a, b) averaged over all other factors:

        main effect of a       (y(on, on) + y(on, off)) / 2 − (y(off, on) + y(off, off)) / 2
        interaction of a and b  (y(on, on) − y(off, on)) − (y(on, off) − y(off, off))

    Both are changes in the metric's unit, so that δ means the same for both. `factors` are in the order of
    the cells' keys. Seeds that `failed` in a cell count against every claim. Raises ValueError if a cell
    is missing, a value is NaN, or fewer than 2 seeds converged in every cell.
    """
    scale = JudgedScale(scale.zone, scale.lower_is_better)  # effects are differences, which have no ends
    seeds, table, diverged = _select_converged(cells, len(factors))
    signs = np.where(np.array(sorted(cells)), 1, -1)  # (cells, factors)
    chosen = [*combinations(range(len(factors)), 1), *combinations(range(len(factors)), 2)]
    zeros = dict.fromkeys(seeds, 0.0)
    lost_pairs = LostPairs(len(set(failed) - set(seeds)))
    contrasts = {}
    for columns in chosen:
        effect = table @ signs[:, columns].prod(1) / 2 ** (len(factors) - len(columns))
        effect = remove_rounding(effect, np.abs(table).max())
        contrasts[columns] = compare_pairs(
            dict(zip(seeds, effect.tolist(), strict=True)),
            zeros,
            scale,
            family_size=len(chosen),
            lost_pairs=lost_pairs,
        )
    judged = judge_contrasts(contrasts)
    if diverged:
        judged = {name: verdict.withdraw_claim() for name, verdict in judged.items()}
    left_out = tuple(sorted({*failed, *(seed for cell in cells.values() for seed in cell)} - set(seeds)))
    return tuple(
        Effect(
            factors=tuple(factors[i] for i in columns), verdict=verdict, left_out=left_out, diverged=diverged
        )
        for columns, verdict in judged.items()
    )


def _select_converged(cells: Cells, k: int) -> tuple[list[int], Floats, tuple[int, ...]]:
    """Return the seeds that converged in all 2^k cells, their values (seeds, cells), and diverged seeds."""
    keys = sorted(cells)
    if len(keys) != 2**k or any(len(key) != k for key in keys):
        raise ValueError(f"{k} factors have {2**k} cells, not {len(keys)}")
    if any(math.isnan(v) for key in keys for v in cells[key].values()):
        raise ValueError("NaN is no value: a diverged seed is an infinite one")
    diverged_seeds = {s for key in keys for s, v in cells[key].items() if math.isinf(v)}
    seeds = sorted(set.intersection(*(set(cells[key]) for key in keys)) - diverged_seeds)
    if len(seeds) < 2:
        raise ValueError("factorial effects need two seeds that converged in every cell")
    return seeds, np.array([[cells[key][s] for key in keys] for s in seeds]), tuple(sorted(diverged_seeds))
