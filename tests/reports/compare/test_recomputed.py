"""A study's verdicts, computed a second time by other code than that of `reports`."""

import math
import re
from collections.abc import Callable
from html import unescape
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from unrolled import shipped
from unrolled.ablations.study import loading
from unrolled.ablations.tables import study_tables
from unrolled.reports.page.exports import write_comparison_csv
from unrolled.reports.page.render import render
from unrolled.reports.words.answer import write_answer

ROOT = Path(__file__).parents[3]
NUMBERS = (
    "arm_mean",
    "baseline_mean",
    "difference",
    "difference_low",
    "difference_high",
    "p_uncorrected",
    "p",
    "p_same",
)


class Looks:
    """The looks of a study, n pairs each, and the distribution of min p_k/√(n_k/N) without a difference."""

    def __init__(self, numbers):
        self.numbers = numbers
        file = ROOT / "reports/statistics/boundaries" / f"looks_{'_'.join(map(str, numbers))}.npy"
        self.p, self.one_sided, self.two_sided = np.load(file)

    def find_level(self, alpha, n, sides):
        """Return the part of alpha that a test at n pairs may take."""
        return math.sqrt(n / self.numbers[-1]) * np.interp(alpha, self.p, getattr(self, f"{sides}_sided"))

    def compute_p(self, p_by_n, sides):
        """Return the p of all looks together."""
        smallest = min(p / math.sqrt(n / self.numbers[-1]) for n, p in p_by_n.items())
        return np.interp(min(smallest, 1), getattr(self, f"{sides}_sided"), self.p)


def compute_statistics(d, mu):
    """Return Student's t and Hall's T (1992) of the mean's distance from mu."""
    deviations = d - d.mean()
    n = len(d)
    w = (d.mean() - mu) / d.std(ddof=1)
    skew = (deviations**3).mean() / (deviations**2).mean() ** 1.5
    return math.sqrt(n) * w, math.sqrt(n) * (w + skew * w**2 / 3 + skew**2 * w**3 / 27 + skew / 6 / n)


def compute_tails(d, mu):
    """Return the p that the mean is at most mu, and at least mu, each the larger of both tests."""
    t_values = compute_statistics(d, mu)
    return stats.t.sf(min(t_values), len(d) - 1), stats.t.cdf(max(t_values), len(d) - 1)


def find_interval(d, alpha):
    """Return the means that neither tail rejects at alpha/2."""
    critical = stats.t.isf(alpha / 2, len(d) - 1)
    reach = 20 * d.std(ddof=1)
    ends = d.mean() - reach, d.mean() + reach
    low = optimize.brentq(lambda mu: min(compute_statistics(d, mu)) - critical, *ends, xtol=1e-14)
    return low, optimize.brentq(lambda mu: max(compute_statistics(d, mu)) + critical, *ends, xtol=1e-14)


def holm(ps):
    """Return adjusted p by name, and the level of each one's own step."""
    adjusted = {}
    levels = {}
    largest = 0.0
    failed = 0.0
    for step, name in enumerate(sorted(ps, key=ps.get)):
        largest = max(largest, min(1.0, ps[name] * (len(ps) - step)))
        adjusted[name] = largest
        failed = failed or (0.05 / (len(ps) - step) if largest > 0.05 else 0.0)
        levels[name] = failed or 0.05 / (len(ps) - step)
    return adjusted, levels


class Judge:
    """The contrasts of a table by one metric: each one's p values at the looks that it has had."""

    def __init__(self, table, looks, metric, delta, lower_is_better):
        self.values = table.pivot(index="seed", columns="arm", values=metric)
        self.looks = looks
        self.delta = delta
        self.lower_is_better = lower_is_better
        self.p = {}
        self.p_same = {}
        self.pairs = {}

    def take_look(self, arm, base, n):
        """Evaluate a contrast at its first n pairs."""
        pairs = self.values[[arm, base]].iloc[:n]
        d = (pairs[arm] - pairs[base]).to_numpy()
        self.pairs[arm] = pairs[arm].mean(), pairs[base].mean(), d
        self.p.setdefault(arm, {})[n] = min(1.0, 2 * min(compute_tails(d, 0)))
        self.p_same.setdefault(arm, {})[n] = max(
            compute_tails(d, -self.delta)[0], compute_tails(d, self.delta)[1]
        )

    def verdicts(self):
        """Return every contrast's numbers and words after the looks so far."""
        differs, levels = holm({arm: self.looks.compute_p(p, "two") for arm, p in self.p.items()})
        same, same_levels = holm({arm: self.looks.compute_p(p, "one") for arm, p in self.p_same.items()})
        rows = {}
        for arm, (mean, base, d) in self.pairs.items():
            low, high = find_interval(d, self.looks.find_level(levels[arm], len(d), "two"))
            words = "open"
            if differs[arm] <= 0.05 and (low > 0 or high < 0):
                words = "better" if (high < 0) == self.lower_is_better else "worse"
                words += self.size(low, high)
            elif same[arm] <= 0.05:
                inner = find_interval(d, 2 * self.looks.find_level(same_levels[arm], len(d), "one"))
                if max(-inner[0], inner[1]) < self.delta:
                    words = "the same within δ"
                    (low, high) = inner
            p = self.p[arm][len(d)]
            row = dict(
                zip(NUMBERS, (mean, base, d.mean(), low, high, p, differs[arm], same[arm]), strict=True)
            )
            rows[arm] = row | {"pairs": len(d), "verdict": words}
        return rows

    def size(self, low, high):
        """Return the words for the size that an interval shows."""
        if low > self.delta or high < -self.delta:
            return " by more than δ"
        return " by less than δ" if max(-low, high) < self.delta else ", size not settled"


def recompute(table, numbers, metrics):
    """Return the columns `NUMBERS`, pairs and words by metric and arm; `metrics` are (name, δ, lower)."""
    table = table[table.counts & ~table.arm.str.startswith("A/A")]
    bases = table.dropna(subset=["baseline"]).groupby("arm").baseline.first()
    looks = Looks(numbers)
    judges = {name: Judge(table, looks, name, delta, lower) for name, delta, lower in metrics}
    first = metrics[0][0]
    done: dict[str, dict[str, object]] = {}
    for n in numbers:
        waiting = [arm for arm in bases.index if arm not in done]
        if not waiting:
            break
        for judge in judges.values():
            for arm in waiting:
                judge.take_look(arm, bases[arm], n)
        current = judges[first].verdicts()
        done |= {
            arm: current[arm] for arm in waiting if current[arm]["verdict"] != "open" or n == numbers[-1]
        }
    return {name: done if name == first else judge.verdicts() for name, judge in judges.items()}


NUMBER = r"[+−]?\d+(?:\.\d+)?"
ENDS = rf"{NUMBER} % CI \[(?P<low>{NUMBER}), (?P<high>{NUMBER})\]"
ROW = re.compile(
    rf"(?P<before>{NUMBER}) → (?P<after>{NUMBER})(?: %| nats)? (?P<size>{NUMBER}) "
    rf"(?P<unit>points|nats|%) (?P<way>higher|lower) {ENDS} (?P<wins>\d+) of (?P<pairs>\d+)"
)
SENTENCE = re.compile(
    rf"(?P<way>gains|loses|saves|costs) (?P<size>{NUMBER}) (?P<unit>points|nats|%)"
    rf"(?: (?:over|against) .*)?, {ENDS}"
)
UNITS: dict[str, tuple[str, Callable[[float], float], Callable[[float], float]]] = {
    "points": ("valid_accuracy", lambda x: 100 * x, lambda x: 100 * x),
    "nats": ("valid_loss", float, float),
    "%": ("valid_loss", math.exp, lambda x: 100 * math.expm1(x)),
}
"""By the unit of a difference its metric, and how the page reads levels and differences."""


@pytest.mark.parametrize("study", ["order", "gru"])
def test_comparison_csv_is_recomputed_by_pandas_and_scipy(study: str) -> None:
    table = shipped(study)
    design = loading.load_study(study).file
    table_of_page = pd.read_csv(
        StringIO(write_comparison_csv(study_tables.compare_study_table(table)))
    ).set_index("arm")
    metrics = [(m.name, m.delta, m.name.endswith("loss")) for m in design.metrics]
    recomputed = recompute(table, tuple(design.looks), metrics)
    for metric, rows in recomputed.items():
        expected = pd.DataFrame.from_dict(rows, orient="index")
        shown_rows = table_of_page.loc[expected.index]
        assert shown_rows[f"{metric}_verdict"].tolist() == expected.verdict.tolist()
        assert shown_rows.pairs.tolist() == expected.pairs.tolist()
        for number in ("mean_seeds", "converged_pairs"):
            assert shown_rows[f"{metric}_{number}"].tolist() == expected.pairs.tolist()
        for number in NUMBERS:
            assert shown_rows[f"{metric}_{number}"].tolist() == pytest.approx(
                expected[number].tolist(), rel=1e-9
            )
    assert len(table_of_page.verdict.dropna()) == len(recomputed[metrics[0][0]])


def is_rounded(shown: str, number: float) -> bool:
    """Return True if a number of a page is this one, rounded to the digits that are shown."""
    digits = len(shown.partition(".")[2])
    return abs(float(shown.replace("−", "-")) - number) <= 0.5001 * 10**-digits


def read_first_screen(page: Path, arms: list[str]) -> list[tuple[str, re.Match[str]]]:
    """Return each row with an interval of the page's figures, and each sentence with one, with its arm."""
    html = page.read_text("utf-8").partition('id="numbers"')[0]
    rows = re.findall(r'(?s)<tr data-arm="(\d+)"[^>]*>(.*?)</tr>', html)
    texts = [(arms[int(index)], ROW, row) for index, row in rows]
    sentences = re.findall(r"<li data-claim><b>(.*?)</b>(.*?)</li>", html)
    texts += [(unescape(arm), SENTENCE, sentence) for arm, sentence in sentences]
    matches = [
        (arm, pattern.search(" ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())))
        for arm, pattern, text in texts
    ]
    return [(arm, match) for arm, match in matches if match and not arm.startswith("A/A")]


@pytest.mark.parametrize("study", ["order", "toggles"])
def test_a_page_has_the_numbers_of_its_table_of_trials(study: str, tmp_path: Path) -> None:
    table = shipped(study)
    file = loading.load_study(study).file
    metrics = [(m.name, m.delta, m.name.endswith("loss")) for m in file.metrics]
    recomputed = recompute(table, tuple(file.looks), metrics)
    comparison = study_tables.compare_study_table(table)
    parts = read_first_screen(render(comparison, tmp_path), [arm.name for arm in comparison.arms])
    for arm, match in parts:
        shown = match.groupdict()
        metric, read_level, read_difference = UNITS[shown["unit"]]
        expected = recomputed[metric][arm]
        delta, *ends = (
            read_difference(expected[name]) for name in ("difference", "difference_low", "difference_high")
        )
        low, high = ends if match.re is ROW else sorted(map(abs, ends))
        assert is_rounded(shown["size"], abs(delta)), match[0]
        assert is_rounded(shown["low"], low) and is_rounded(shown["high"], high), match[0]
        assert (shown["way"] in ("higher", "gains", "costs")) == (delta > 0), match[0]
        if match.re is ROW:
            assert is_rounded(shown["before"], read_level(expected["baseline_mean"])), match[0]
            assert is_rounded(shown["after"], read_level(expected["arm_mean"])), match[0]
            assert int(shown["pairs"]) == expected["pairs"]
    in_rows, in_sentences = ({arm for arm, match in parts if match.re is form} for form in (ROW, SENTENCE))
    assert in_rows == set(recomputed["valid_accuracy"])
    assert len(in_sentences) > 4


def test_the_order_on_two_tasks_agrees_with_the_verdicts() -> None:
    comparison = study_tables.compare_study_table(shipped("split"))
    arms = {arm.name: arm for arm in comparison.arms}
    gru = [arm for name, arm in arms.items() if name.endswith("nn.GRU")]
    assert [arm.verdict.direction for arm in gru] == ["better", "better"], "over LMModel6, on both tasks"
    unclear = "".join(line for line in write_answer(comparison) if "is not shown on every task" in line)
    assert "nn.GRU" not in unclear
