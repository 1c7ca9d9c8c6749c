"""How often `compare` errs on tables whose rows are not what the options say: "Rows that need care".

    python tests/simulations/simulate_tables.py [STUDIES]

prints the rates (2,000 studies: two minutes of CPU), all of two or more equal arms.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[2]))  # where a script finds `tests`

from tests.helpers.designs import compare_table
from tests.simulations.command_line import read_numbers
from tests.simulations.noise_laws import LAWS, both_tails, make_generator, t_tails
from tests.simulations.simulate_compare import print_rates
from unrolled.bench.metric import Metric
from unrolled.reports.compare.repeated_numbers import describe_few_numbers
from unrolled.reports.foreign.columns import Columns
from unrolled.reports.statistics.error_contrasts import welch
from unrolled.reports.statistics.estimators import tails_to_p
from unrolled.reports.statistics.pairs import JudgedScale
from unrolled.reports.statistics.power import ALPHA

DOCUMENT_RULES = {
    "seed, items documents": Columns(("arm",), ("seed",), (Metric("loss", 0.1),), item=("document",)),
    "document, items seeds": Columns(("arm",), ("document",), (Metric("loss", 0.1),), item=("seed",)),
    "document, item none": Columns(("arm",), ("document",), (Metric("loss", 0.1),), item=("none",)),
}
"""Three ways to pair the rows of fifty documents and ten seeds."""


def draw_documents(rng: np.random.Generator, seeds: int, spread: float) -> pd.DataFrame:
    """Return the losses of two equal arms on fifty documents of each seed.

    Rows differ by an SD of 1, and documents as well, trainings by `spread`.
    """
    trainings = spread * rng.standard_normal((2, seeds, 1))
    losses = 5 + trainings + rng.standard_normal(50) + rng.standard_normal((2, seeds, 50))
    names = ["arm", "seed", "document"]
    index = pd.MultiIndex.from_product([range(2), range(seeds), [f"d{n}" for n in range(50)]], names=names)
    return pd.DataFrame({"loss": losses.ravel()}, index).reset_index()


def simulate_document_rates(rng: np.random.Generator, spread: float, studies: int) -> list[float]:
    """Return how often equal arms differ by each of `DOCUMENT_RULES`, and where each is one training."""
    different = np.zeros(len(DOCUMENT_RULES) + 1)
    single = replace(DOCUMENT_RULES["document, item none"], item=())
    for _ in range(studies):
        frame = draw_documents(rng, 10, spread)
        tables = [(frame, columns) for columns in DOCUMENT_RULES.values()]
        tables.append((draw_documents(rng, 1, spread), single))
        verdicts = [compare_table(*table).arms[1].verdict for table in tables]
        different += [v.kind in ("better", "worse") for v in verdicts]
    return (different / studies).tolist()


def simulate_day_rate(rng: np.random.Generator, day: float, studies: int) -> float:
    """Return how often equal arms of ten runs differ in a time: trials by 2 %, days by `day` %."""
    days = day * rng.standard_normal((2, studies, 1))
    first, second = days + 2 * rng.standard_normal((2, studies, 10))
    return float(np.mean(tails_to_p(*both_tails(first - second)) <= ALPHA))


def simulate_rows_twice(rng: np.random.Generator, studies: int) -> float:
    """Return how often equal arms of ten rows, each written twice, differ without pairs."""
    samples = np.tile(rng.standard_normal((studies, 2, 10)), 2)
    return float(np.mean([welch(a, b, JudgedScale(1.0)).p <= ALPHA for a, b in samples]))


def simulate_sorted_table(rng: np.random.Generator, pairs: int, studies: int) -> float:
    """Return how often the best of sixteen equal arms, made the baseline, differs from some other arm."""
    values = rng.standard_normal((studies, 16, pairs))
    best = values.mean(axis=2).argmin(axis=1)
    d = values - values[np.arange(studies), best][:, np.newaxis]
    others = d[np.arange(16) != best[:, np.newaxis]].reshape(studies, 15, pairs)
    return float(np.mean((tails_to_p(*both_tails(others)) <= ALPHA / 15).any(axis=1)))


def simulate_plain_interval(rng: np.random.Generator, law: str, studies: int) -> float:
    """Return how often the plain t interval of an arm's ten values misses their true mean."""
    return float(np.mean(tails_to_p(*t_tails(LAWS[law](rng, studies)[:, :10])) <= ALPHA))


def simulate_honest_repeats(law: str, studies: int) -> float:
    """Return how often two honest arms of twenty rows of two decimals are taken for copies."""
    rng = make_generator(0)
    warned = 0
    for _ in range(studies):
        noise = rng.standard_normal((2, 20))
        if law == "two modes":
            numbers = np.where(rng.random((2, 20)) < 0.5, 0.5, 0.9) + 0.01 * noise
        elif law == "lognormal":
            numbers = 1 + 0.02 * np.exp(noise)
        elif law == "one in ten far worse":
            numbers = 1 + 0.02 * noise + 0.5 * (rng.random((2, 20)) < 0.1)
        else:
            numbers = 1 + 0.02 * noise
        arms = [
            pd.DataFrame({"arm": arm, "accuracy": row})
            for arm, row in zip("ab", numbers.round(2), strict=True)
        ]
        table = pd.concat(arms, ignore_index=True)
        warned += bool(describe_few_numbers(table, [Metric("accuracy", 0.02)], "row"))
    return warned / studies


def print_tables(studies: int) -> None:
    """Print the rates of tables that are read in a wrong way."""
    print(f"pairs by {'; '.join(DOCUMENT_RULES)}; one training each")
    for spread in (0.2, 0.5, 1.0):
        rates = simulate_document_rates(make_generator(0), spread, studies // 10)
        print_rates(f"trainings differ by {spread:g} of the rows' SD", *rates)
    rng = make_generator(0)
    print_rates(
        "a time on days that differ by 1, 2 %", *(simulate_day_rate(rng, x, 5 * studies) for x in (1, 2))
    )
    print_rates("rows written twice", simulate_rows_twice(rng, studies))
    sorted_rates = (simulate_sorted_table(rng, pairs, studies) for pairs in (5, 10, 30))
    print_rates("the best of 16 arms first; 5, 10, 30 pairs", *sorted_rates)
    laws = "normal", "exponential", "lognormal"
    misses = (simulate_plain_interval(rng, law, 5 * studies) for law in laws)
    print_rates("plain interval: normal, exp., lognormal", *misses)
    warned_laws = "normal", "one in ten far worse", "lognormal", "two modes"
    warned = (simulate_honest_repeats(law, studies) for law in warned_laws)
    print_rates(f"honest arms taken for copies: {', '.join(warned_laws)}", *warned)


if __name__ == "__main__":
    (number,) = read_numbers(__doc__, studies=2000)
    print_tables(number)
