"""Beyond one contrast: the rank sets of all arms, the effects of a factorial design."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from reports.estimators import difference_p, t_interval, without_rounding
from reports.power import ALPHA, FEWEST_SEEDS
from reports.statistics import Interval, contrast, holm


def rank_sets(
    values: Mapping[str, Mapping[int, float]], *, lower_is_better: bool = True
) -> dict[str, tuple[int, int]]:
    """The ranks that each arm may hold: 1 + arms significantly better, k − arms significantly worse.

    All pairs are compared on their common seeds and corrected with Holm. Pairs of fewer than 5 seeds
    count in the correction and decide nothing.
    """
    pairs = list(combinations(values, 2))
    compared = [
        contrast(values[a], values[b], delta=math.inf, lower_is_better=lower_is_better) for a, b in pairs
    ]
    first, last = dict.fromkeys(values, 1), dict.fromkeys(values, len(values))
    for (a, b), c, p in zip(pairs, compared, holm([c.p for c in compared]), strict=True):
        if p <= ALPHA and c.pairs >= FEWEST_SEEDS:
            better, worse = (a, b) if c.better else (b, a)
            first[worse] += 1
            last[better] -= 1
    return {name: (first[name], last[name]) for name in values}


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A main effect or a two-way interaction of a 2^k design, over seeds.

    `left_out` are seeds that miss a cell or diverged in one: with any, the effect is given convergence.
    """

    factors: tuple[str, ...]
    mean: float
    interval: Interval | None  # None under 3 seeds
    p: float
    p_adjusted: float
    seeds: tuple[int, ...]
    left_out: tuple[int, ...]

    @property
    def name(self) -> str:
        """The factors joined by ×."""
        return " × ".join(self.factors)


def factorial_effects(
    cells: Mapping[tuple[bool, ...], Mapping[int, float]], factors: Sequence[str]
) -> tuple[Effect, ...]:
    """Main effects, then two-way interactions, of a full 2^k design; Holm over all of them.

    A main effect is the mean with the factor on minus the mean with it off. An interaction is half the
    difference that the second factor makes to the effect of the first. Both are taken within each seed.

    Args:
        cells: for each combination of factors off (False) and on, the value by seed; infinite: diverged.
        factors: their names, in the order of the cells' keys.

    Raises:
        ValueError: if a cell is missing, a value is NaN, or fewer than 2 seeds converged in every cell.
    """
    k = len(factors)
    keys = sorted(cells)
    if len(keys) != 2**k or any(len(key) != k for key in keys):
        raise ValueError(f"{k} factors have {2**k} cells, not {len(keys)}")
    everywhere = set.intersection(*(set(cells[key]) for key in keys))
    anywhere = set.union(*(set(cells[key]) for key in keys))
    if any(math.isnan(v) for key in keys for v in cells[key].values()):
        raise ValueError("NaN is no value: a diverged seed is an infinite one")
    seeds = sorted(s for s in everywhere if all(math.isfinite(cells[key][s]) for key in keys))
    if len(seeds) < 2:
        raise ValueError("factorial effects need two seeds that converged in every cell")
    table = np.array([[cells[key][s] for key in keys] for s in seeds])  # (seeds, cells)
    signs = np.where(np.array(keys), 1, -1)  # (cells, factors)
    effects = []
    for chosen in [*combinations(range(k), 1), *combinations(range(k), 2)]:
        per_seed = without_rounding(table @ signs[:, chosen].prod(1) / 2 ** (k - 1), np.abs(table).max())
        low, high = t_interval(per_seed)
        p = difference_p(per_seed)
        effects.append(
            Effect(
                factors=tuple(factors[i] for i in chosen),
                mean=float(per_seed.mean()),
                interval=Interval(float(low), float(high), 1 - ALPHA) if len(seeds) > 2 else None,
                p=p,
                p_adjusted=p,
                seeds=tuple(seeds),
                left_out=tuple(sorted(anywhere - set(seeds))),
            )
        )
    adjusted = holm([e.p for e in effects])
    return tuple(replace(e, p_adjusted=p) for e, p in zip(effects, adjusted, strict=True))
