"""Summary claims, warnings and caveats of a report; every claim comes from a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from bench.kinds import kind, mixed
from reports.book import Held
from reports.comparison import REFERENCE, ComparedArm, Comparison, apart, values
from reports.evidence import MeasuredArm
from reports.formats import count, interval, number
from reports.statistics.contrasts import divergence_interval
from reports.statistics.verdicts import Verdict, Word, grounds, verdicts
from reports.statistics.verdicts import self_check as checked
from reports.tuning import OwnBest, words

OPEN, FEW = 10, 4
"""Claims that the answer box shows before the reader unfolds the rest; few where it has a table as well."""

BIGRAMS = "ngram-2"
"""The counting baseline that every neural arm must beat."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One line of the answer box."""

    row: ComparedArm
    verdict: Verdict
    text: str  # the generated sentence, less the word and the names, which stand beside it


def claims(c: Comparison) -> tuple[Claim, ...]:
    """One claim a contrast: by verdict, improvements first, and within each the largest effect first."""
    found = []
    for row in c.compared:
        if row.verdict:
            correction = "Benjamini–Hochberg" if row.arm.exploratory else "Holm"
            text = grounds(row.verdict, unit=c.unit, correction=correction)
            found.append(Claim(row=row, verdict=row.verdict, text=text))
    order = list(Word)
    return tuple(sorted(found, key=lambda x: (order.index(x.verdict.word), -_size(x), x.row.index)))


def sentences(c: Comparison) -> tuple[str, ...]:
    """The claims as whole sentences."""
    return tuple(
        f"{x.verdict.symbol} {x.verdict.word} — {x.row.arm.name} against {c.base(x.row).arm.name}: {x.text}"
        for x in claims(c)
    )


def _size(claim: Claim) -> float:
    return abs(claim.verdict.contrast.mean or 0.0)


def largest(found: Sequence[Claim]) -> float:
    """The largest absolute effect among IMPROVES and WORSENS; 0 if there is none."""
    return max((_size(x) for x in found if x.verdict.word in (Word.IMPROVES, Word.WORSENS)), default=0.0)


def tally(c: Comparison) -> str:
    """A phrase that counts the trials that finished, diverged, failed or are missing."""
    done, total = sum(row.done for row in c.rows), sum(row.total for row in c.rows)
    ends = {
        "diverged": sum(row.diverged for row in c.rows),
        "failed": sum(row.failed for row in c.rows),
        "not trained yet": sum(row.waiting for row in c.rows),
    }
    bad = [f"{k} {what}" for what, k in ends.items() if k] or ["none failed"]
    return ", ".join([f"{done} of {total} trials finished", *bad])


def broken(c: Comparison) -> tuple[tuple[ComparedArm, str], ...]:
    """The arms that have failures, with their rate of divergence."""
    lines = []
    for row in c.rows:
        parts: list[str] = []
        if k := row.diverged:
            n = row.done + k
            parts.append(f"{k} of {n} diverged (95 % CI {interval(divergence_interval(k, n), 3)})")
        parts += [f"{row.failed} failed"] if row.failed else []
        if parts:
            lines.append((row, ", ".join(parts)))
    return tuple(lines)


def warnings(c: Comparison) -> tuple[str, ...]:
    """Dead toggles, missing witnesses, arms worse than counting, mixed machines."""
    said = [
        f"{row.arm.name}: {row.note} bit for bit, so the change did nothing" for row in c.rows if row.dead
    ]
    place = attrgetter("where")
    for row in c.rows:
        for where, proofs in groupby(sorted(row.unwitnessed, key=place), place):
            factors = ", ".join(proof.factor for proof in proofs)
            some = f" in {where}" if where else ""
            said.append(f"{row.arm.name}: no proof that {factors} took effect{some}")
    return tuple(filter(None, (*said, *_worse_than_counting(c), mixed_machines(c))))


def mixed_machines(c: Comparison) -> str:
    """A sentence on pairs of results from different kinds of machine; "" if there are none."""
    sides = [(c.base(row).arm, row.arm) for row in c.compared]
    best = [search.own for search in c.evidence.tuned]  # the baseline's own best first
    sides += [(best[0], own) for own in best[1:] if best[0] and own]
    return mixed(
        (kind(base.results[seed].environment), kind(arm.results[seed].environment))
        for base, arm in sides
        for seed in values(base, c.metric.name).keys() & values(arm, c.metric.name).keys()
    )


def _worse_than_counting(c: Comparison) -> list[str]:
    """The trained arms that counting pairs of tokens beats on their task, by verdict; Holm over all."""
    pairs = {}
    for row in c.rows:
        bigrams = (other for other in c.rows if other.arm.model == BIGRAMS and not apart(other.arm, row.arm))
        if row.note in ("", REFERENCE) and _has_epochs(row.arm) and (counts := next(bigrams, None)):
            pairs[row.arm.name] = (row.summary.values, counts.summary.values)
    judged = verdicts(
        pairs,
        delta=c.metric.delta,
        lower_is_better=c.lower_is_better,
    )
    worse = {name: v for name, v in judged.items() if v.word is Word.WORSENS}
    return [f"{name}: {v.symbol} {v.word} against bigram counts" for name, v in worse.items()]


def _has_epochs(arm: MeasuredArm) -> bool:
    """Whether the arm was trained: a model that is fitted by counting has no epochs."""
    return any(result.epochs for result in arm.results.values())


def flips(found: Sequence[OwnBest]) -> tuple[str, ...]:
    """Arms whose verdict changes with tuning, so that neither verdict may be quoted alone."""
    return tuple(f"{x.row.arm.name}: {x.judged.sentence}" for x in found if x.judged and x.flips)


def self_check(c: Comparison) -> str:
    """The outcome of the A/A check, the baseline against itself under other seeds; "" without that arm."""
    row = next((row for row in c.compared if not row.declared), None)
    return checked(row.contrast) if row and row.contrast else ""


def fits(held: Sequence[Held]) -> str:
    """A sentence that lists the book's values within and outside our prediction intervals."""
    said = []
    for plausible, where in ((True, "within"), (False, "outside")):
        found = [h.published for h in held if h.prediction.plausible is plausible]
        named = dict.fromkeys(f"{number(p.valid_loss, 3)} ({p.title})" for p in found)
        if named:
            verb, s = ("lies", "") if len(named) == 1 else ("lie", "s")
            said.append(f"{', '.join(named)} {verb} {where} our 95 % prediction interval{s}")
    return f"The book's validation losses: {'; '.join(said)}" if said else ""


def limits(c: Comparison, environments: dict[str, str]) -> tuple[str, ...]:
    """Sentences on the limits of these results."""
    undecided = [row for row in c.compared if row.verdict and row.verdict.word is Word.INCONCLUSIVE]
    said = [
        "There is one validation set: every interval is over seeds, given that set. Other text may differ.",
        f"Differences within ±{c.metric.delta:g} {c.unit} were declared too small to matter.",
        *(_undetected(row, c.unit) for row in undecided),
    ]
    if tuned := c.evidence.tuned[:1]:
        tried = f"{len(tuned[0].levels)} levels with {len(tuned[0].seeds)} seeds each"
        said.append(
            f"An arm's own best {words(tuned[0].setting)} is the best of {tried}; no others were tried."
        )
    if machine := environments.get("gpu") or environments.get("cpu") or environments.get("platform"):
        said.append(f"Speeds and seconds hold for this hardware: {machine}. The order may differ elsewhere.")
    if any(row.diverged for row in c.rows):
        said.append("A mean beside a diverged seed is given convergence: it describes the others alone.")
    if any(row.arm.exploratory for row in c.rows):
        said.append("Exploratory arms were not named by the plan: they suggest, they do not confirm.")
    return tuple(filter(None, said))


def _undetected(row: ComparedArm, unit: str) -> str:
    """The effect that this arm's seeds would mostly miss, or nothing where no spread is known."""
    k = row.contrast
    if k is None or k.mde is None:
        return ""
    return (
        f"{row.arm.name}: {len(k.differences)} pairs of seeds would mostly miss an effect under "
        f"{number(k.mde)} {unit} (80 % power); {count(k.seeds_needed)} would detect {k.delta:g}."
    )
