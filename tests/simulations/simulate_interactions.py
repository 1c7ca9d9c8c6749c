"""How often a study of four parts whose effects add up is said to depend on how they are combined.

    python tests/simulations/simulate_interactions.py [STUDIES]

prints the share of studies in which it is said of some part: before, where the words of its effect beside the
others, alone and on average differed; now, where an interaction is shown. A second or two for 400 studies.
"""

import sys
from itertools import product
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))  # where a script finds `tests`

from tests.simulations.command_line import read_numbers
from tests.simulations.noise_laws import make_generator
from unrolled.reports.statistics.factorial_effects import Cells, estimate_effects
from unrolled.reports.statistics.pairs import JudgedScale, compare_pairs
from unrolled.reports.statistics.verdicts import Verdict, judge_contrasts

PARTS = 4
SEEDS = 10
OFF = (False,) * PARTS
ON = (True,) * PARTS


def draw_additive_study(effect: float, sd: float, rng: np.random.Generator) -> Cells:
    """Return losses of all combinations of parts that each save `effect` δ, by seed; pairs differ by `sd`."""
    luck = rng.normal(size=SEEDS)
    cells = {}
    for levels in product((False, True), repeat=PARTS):
        losses = luck - effect * sum(levels) + rng.normal(0, sd / np.sqrt(2), SEEDS)
        cells[levels] = dict(enumerate(losses.tolist()))
    return cells


def words_differ(cells: Cells) -> bool:
    """Return whether some part has another verdict beside the others than alone or on average."""
    with_others = {}
    single_parts = {}
    for part in range(PARTS):
        with_others[part] = compare_pairs(cells[ON], cells[_switch_part(ON, part)], JudgedScale(1.0))
        single_parts[part] = compare_pairs(cells[_switch_part(OFF, part)], cells[OFF], JudgedScale(1.0))
    average = estimate_effects(cells, "abcd", JudgedScale(1.0))[:PARTS]
    verdicts = judge_contrasts(with_others), judge_contrasts(single_parts), [e.verdict for e in average]
    return any(len({by_part[part].kind_beyond_delta for by_part in verdicts}) > 1 for part in range(PARTS))


def interaction_shown(cells: Cells) -> bool:
    """Return whether the verdict on some interaction has a direction."""
    return any(_has_direction(e.verdict) for e in estimate_effects(cells, "abcd", JudgedScale(1.0))[PARTS:])


def _has_direction(v: Verdict) -> bool:
    """Return whether a verdict is better or worse."""
    return v.kind_beyond_delta in ("better", "worse")


def _switch_part(levels: tuple[bool, ...], part: int) -> tuple[bool, ...]:
    """Return the levels with one part switched."""
    return tuple(level is not (place == part) for place, level in enumerate(levels))


def simulate_rates(effect: float, sd: float, studies: int, seed: int = 0) -> tuple[float, float]:
    """Return the shares of studies, by the words and by the interactions."""
    rng = make_generator(seed)
    designs = [draw_additive_study(effect, sd, rng) for _ in range(studies)]
    word_rule, interaction_rule = (
        [rule(cells) for cells in designs] for rule in (words_differ, interaction_shown)
    )
    return float(np.mean(word_rule)), float(np.mean(interaction_rule))


if __name__ == "__main__":
    (number,) = read_numbers(__doc__, studies=400)
    print(f"{'effects that add up, each of':32}{'SD':>6}{'before':>8}{'now':>8}")
    for size, spread in product((0.5, 1.0, 1.5), (1.0, 1.5)):
        old, new = simulate_rates(size, spread, number)
        print(f"{f'{size:g} δ':32}{f'{spread:g} δ':>6}{old:8.3f}{new:8.3f}")
