"""What it saves and loses to give contrasts up that are unlikely to be decided.

    python tests/simulations/simulate_futility.py [STUDIES]

prints three tables (200 studies: six minutes of CPU). The studies of the first are drawn from the stored
differences of shipped studies, with the means that they have: pairs are drawn with replacement and smoothed
(Silverman's width, the SD stays what it was).
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))  # where a script finds `tests`

from tests.helpers.contrasts import LOOKS
from tests.simulations.command_line import read_numbers
from tests.simulations.noise_laws import LAWS, make_generator
from unrolled.ablations.study.loading import load_study
from unrolled.ablations.study.study import Study
from unrolled.ablations.tables.study_tables import shipped
from unrolled.bench.metric import Metric
from unrolled.reports.statistics.decisions import evaluate_looks
from unrolled.reports.statistics.expected_seeds import predict_contrast
from unrolled.reports.statistics.look_input import LookInput
from unrolled.reports.statistics.looks import Looks
from unrolled.reports.statistics.verdicts import Verdict

BOUNDS = 0.02, 0.05, 0.1, 0.2
STORED = "toggles", "models", "regularization", "lstm"
DELTA = Metric("x", 1.0, "higher")


class Outcome(NamedTuple):
    """What became of simulated studies with one bound."""

    trained: float  # trials of a study or, without a difference, seeds of a contrast, on average
    verdicts: float  # of a study, on average
    wrong: float  # the share of studies with a direction


def judge_study(
    d: Mapping[str, np.ndarray], metric: Metric, looks: Looks, bound: float
) -> dict[str, Verdict]:
    """Return the verdicts on a study whose differences are given by arm."""
    seeds = range(looks.last_pair_count)
    zero = dict.fromkeys(seeds, 0.0)
    pairs = {arm: {metric.name: (dict(enumerate(x.tolist())), zero)} for arm, x in d.items()}
    verdicts = evaluate_looks(
        LookInput(sides=pairs, seeds=seeds, looks=looks, metrics=[metric]), futility=bound
    ).verdicts
    return {arm: by_metric[metric.name] for arm, by_metric in verdicts.items()}


def load_differences(study: Study) -> dict[str, np.ndarray]:
    """Return the differences of the study's contrasts in the table that ships, by arm, of whole pairs."""
    metric = study.rules.metrics[0].name
    table = shipped(study.name)
    values = table.pivot(index="seed", columns="arm", values=metric)
    d = {arm: (values[arm] - values[base]).dropna().to_numpy() for arm, base in study.contrasts.items()}
    return {arm: x for arm, x in d.items() if np.ptp(x) > 0}


def draw_differences(x: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Return so many differences like these, with their mean and SD."""
    width = 0.9 * len(x) ** -0.2
    sample = x[rng.integers(len(x), size=number)] - x.mean()
    smooth = width * x.std(ddof=1) * rng.standard_normal(number)
    return x.mean() + (sample + smooth) / np.sqrt(1 + width**2)


def count_trials(verdicts: Mapping[str, Verdict], study: Study) -> int:
    """Return the number of trials of a study with these verdicts."""
    seeds = {arm.name: study.rules.looks[0] for arm in study.arms}
    for name, v in verdicts.items():
        for side in (name, study.contrasts[name]):
            seeds[side] = max(seeds[side], v.contrast.pair_count)
    return sum(seeds.values())


def resample_study(name: str, studies: int, bounds: Sequence[float] = (0.0, *BOUNDS)) -> dict[float, Outcome]:
    """Return the outcomes of studies like a shipped one, judged with each bound."""
    study = load_study(name)
    rng = make_generator(5)
    stored = load_differences(study)
    looks = Looks(study.rules.looks)
    counts = {bound: np.zeros(2) for bound in bounds}
    for _ in range(studies):
        d = {arm: draw_differences(x, looks.last_pair_count, rng) for arm, x in stored.items()}
        for bound in bounds:
            verdicts = judge_study(d, study.rules.metrics[0], looks, bound)
            decided = sum(v.state.has_ended for v in verdicts.values())
            counts[bound] += count_trials(verdicts, study), decided
    return {
        bound: Outcome(trained=count[0] / studies, verdicts=count[1] / studies, wrong=0.0)
        for bound, count in counts.items()
    }


def judge_noise(
    law: str, contrasts: int, sd: float, studies: int, bounds: Sequence[float]
) -> dict[float, Outcome]:
    """Return the outcomes of contrasts without a difference whose SD is given in δ, with each bound."""
    rng = make_generator(6)
    counts = {bound: np.zeros(3) for bound in bounds}
    for _ in range(studies):
        x = LAWS[law](rng, contrasts)
        d = {f"{i}": sd * row for i, row in enumerate(x)}
        for bound in bounds:
            verdicts = judge_study(d, DELTA, LOOKS, bound).values()
            seeds = np.mean([v.contrast.pair_count for v in verdicts])
            wrong = any(v.kind in ("better", "worse") for v in verdicts)
            counts[bound] += seeds, sum(v.state.has_ended for v in verdicts), wrong
    return {bound: Outcome(*(count / studies)) for bound, count in counts.items()}


def format_percent(part: float, total: float) -> str:
    """Return a share of the total, such as 1.25 %."""
    return f"{100 * part / total:.2f} %" if total else "–"


def print_stored(studies: int) -> None:
    """Print the table of the studies that are drawn from stored differences."""
    print(f"{'stored differences':20}{'bound':>6}{'trials':>9}{'saved':>9}{'verdicts':>10}{'lost':>9}")
    for name in STORED:
        outcomes = resample_study(name, studies)
        baseline = outcomes[0.0]
        for bound, x in outcomes.items():
            saving = format_percent(baseline.trained - x.trained, baseline.trained)
            loss = format_percent(baseline.verdicts - x.verdicts, baseline.verdicts)
            print(f"{name:20}{bound:6.2f}{x.trained:9.1f}{saving:>9}{x.verdicts:10.2f}{loss:>9}")


def print_noise(studies: int) -> None:
    """Print the table of contrasts without a difference."""
    print(f"\n{'no difference':34}{'bound':>6}{'seeds':>8}{'verdicts':>10}{'wrong':>8}")
    for law, contrasts, sd in (
        ("normal", 15, 1.5),
        ("normal", 5, 3.0),
        ("normal", 15, 3.0),
        ("exponential", 15, 3.0),
    ):
        for bound, x in judge_noise(law, contrasts, sd, studies, (0.0, 0.1)).items():
            title = f"{law}, {contrasts} contrasts, SD {sd:g} δ"
            print(f"{title:34}{bound:6.2f}{x.trained:8.1f}{x.verdicts:10.2f}{x.wrong:8.3f}")


def print_expected() -> None:
    """Print the seeds that a plan expects, by family."""
    print("\nwhat `unrolled plan` expects of a contrast with an SD of 3 δ and no difference, in a family of")
    for family_size in (1, 5, 9, 15):
        seeds = [
            predict_contrast(
                LOOKS, sd=3.0, zone=1.0, effect=0.0, family_size=family_size, futility=bound
            ).seeds
            for bound in (0.0, 0.1)
        ]
        print(f"{family_size:3}: {seeds[0]:.1f} seeds, and {seeds[1]:.1f} with a bound of .10")


if __name__ == "__main__":
    (number,) = read_numbers(__doc__, studies=200)
    print_stored(number)
    print_noise(number)
    print_expected()
