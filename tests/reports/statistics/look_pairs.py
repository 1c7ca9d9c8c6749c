"""Arms whose pairs are decided at looks."""

import numpy as np

from tests.helpers.contrasts import LOOKS
from unrolled.bench.metric import Metric
from unrolled.reports.statistics.decisions import Decisions, evaluate_looks
from unrolled.reports.statistics.look_input import LookInput
from unrolled.reports.statistics.looks import Looks
from unrolled.reports.statistics.seed_values import SidePair, select_side_seeds

ACCURACY = Metric("valid_accuracy", 0.02)
LOSS = Metric("valid_loss", 0.05)
SEEDS = tuple(range(10, 50))
Pairs = dict[str, dict[str, SidePair]]


def make_arm(effect: float, sd: float, seed: int, n: int = 40) -> dict[str, SidePair]:
    """Return both metrics of an arm that differs from its baseline by effect ± sd; loss mirrors accuracy."""
    rng = np.random.default_rng(seed)
    baseline_values = 0.7 + 0.05 * rng.standard_normal(40)
    d = effect + sd * rng.standard_normal(40)
    sides = {
        "valid_accuracy": (baseline_values + d, baseline_values),
        "valid_loss": (2 - baseline_values - 2 * d, 2 - baseline_values),
    }
    return {
        metric: (_number_seeds(arm[:n]), _number_seeds(baseline[:n]))
        for metric, (arm, baseline) in sides.items()
    }


def _number_seeds(values: np.ndarray) -> dict[int, float]:
    return dict(zip(SEEDS, values.tolist(), strict=False))


def cut_pairs(pairs: Pairs, n: int) -> Pairs:
    """Return the same pairs with the first n seeds."""
    return {
        name: {metric: select_side_seeds(sides, SEEDS[:n]) for metric, sides in by_metric.items()}
        for name, by_metric in pairs.items()
    }


def run_looks(pairs: Pairs, looks: Looks = LOOKS, **facts: object) -> Decisions[str]:
    """Return the decisions on the pairs at the looks that can be taken."""
    options = {name: facts.pop(name) for name in ("adjust", "stopping_rule") if name in facts}
    look_input = LookInput(sides=pairs, seeds=SEEDS, looks=looks, metrics=(ACCURACY, LOSS), **facts)
    return evaluate_looks(look_input, **options)


PAIRS = {
    "better": make_arm(0.2, 0.05, 1),
    "worse": make_arm(-0.05, 0.05, 2),
    "same": make_arm(0, 0.012, 3),
    "wide": make_arm(0, 0.1, 4),
}


def get_outcome(decisions: Decisions[str], name: str) -> tuple[str, int]:
    """Return the kind of a contrast's verdict and its number of pairs."""
    verdict = decisions.verdicts[name]["valid_accuracy"]
    return verdict.kind, verdict.contrast.pair_count


def get_halt_reasons(decisions: Decisions[str]) -> dict[str, str]:
    """Return why contrasts stay open, by name."""
    return {
        name: by_metric["valid_accuracy"].state.halt_reason for name, by_metric in decisions.verdicts.items()
    }
