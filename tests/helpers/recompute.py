"""A study's comparison.csv again, from its table of trials: pandas, scipy, and a stored null distribution.

None of `reports` is imported. It holds where every pair converged and no difference is constant.
"""

import math
from pathlib import Path

import numpy as np
from scipy import optimize, stats

ROOT = Path(__file__).parents[2]
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
        file = ROOT / "reports/statistics" / f"looks_{'_'.join(map(str, numbers))}.npy"
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
    done = {}
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
