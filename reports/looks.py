"""The looks that a study has taken: its decisions, and the results that count for them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from reports.arms import is_self_check, on, values
from reports.evidence import Evidence, MeasuredArm
from reports.statistics.contrasts import benjamini_hochberg, holm
from reports.statistics.decisions import Decisions, decide
from reports.statistics.sequential import Looks

Pair = tuple[MeasuredArm, MeasuredArm]
"""An arm, and the one that it is compared with."""


@dataclass(frozen=True)
class Taken:
    """The decisions on every contrast; by arm, the results that count, and the seeds that are needed next."""

    decisions: Decisions[str]
    arms: Mapping[str, MeasuredArm]
    needs: Mapping[str, int]


def taken(pairs: Mapping[str, Pair], evidence: Evidence) -> Taken:
    """Take every look whose results are complete. `pairs` are the contrasts, by the name of their arm."""
    families = [_decided(pairs, evidence, exploratory) for exploratory in (False, True)]
    decisions = Decisions(
        verdicts={name: v for family in families for name, v in family.verdicts.items()},
        asks={name: n for family in families for name, n in family.asks.items()},
        looks=min((f.looks for f in families if any(f.asks.values())), default=len(evidence.looks)),
    )
    looks = {name: v[evidence.metrics[0].name].contrast.look for name, v in decisions.verdicts.items()}
    counted = _seeds(pairs, {name: look.looks.numbers[look.k] for name, look in looks.items()}, evidence)
    arms = {
        arm.name: replace(arm, results=on(arm.results, evidence.seeds[: counted[arm.name]]))
        for arm in evidence.arms
    }
    return Taken(decisions, arms, _seeds(pairs, decisions.asks, evidence))


def _decided(pairs: Mapping[str, Pair], evidence: Evidence, exploratory: bool) -> Decisions[str]:
    """The contrasts that are corrected together: those of the plan, or the exploratory ones."""
    measured: dict[str, dict[str, tuple[dict[int, float], dict[int, float]]]] = {}
    lost: dict[str, dict[int, str]] = {}
    for name, (arm, base) in pairs.items():
        if arm.exploratory is not exploratory or is_self_check(arm):
            continue
        measured[name] = {m.name: (values(arm, m.name), values(base, m.name)) for m in evidence.metrics}
        lost[name] = {
            seed: "failed"
            for sides in measured[name].values()
            for side, numbers in zip((arm, base), sides, strict=True)
            for seed in side.results.keys() - numbers.keys()
        }
    return decide(
        measured,
        seeds=evidence.seeds,
        looks=Looks(evidence.looks),
        metrics=evidence.metrics,
        lost=lost,
        adjust=benjamini_hochberg if exploratory else holm,
    )


def _seeds(pairs: Mapping[str, Pair], wanted: Mapping[str, int], evidence: Evidence) -> dict[str, int]:
    """By arm, the most seeds that a contrast wants of which it is a side; the first look's at least."""
    most = dict.fromkeys((arm.name for arm in evidence.arms), evidence.looks[0])
    for name, number in wanted.items():
        for side in pairs[name]:
            most[side.name] = max(most[side.name], number)
    return most
