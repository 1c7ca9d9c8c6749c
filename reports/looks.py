"""The looks that a study has taken: its decisions, and the results that count for them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from reports.arms import is_self_check, values
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
    families = [_decided(family, evidence) for family in _families(pairs) if family]
    decisions = Decisions(
        verdicts={name: v for family in families for name, v in family.verdicts.items()},
        asks={name: n for family in families for name, n in family.asks.items()},
        looks=min((f.looks for f in families if any(f.asks.values())), default=len(evidence.looks)),
    )
    return Taken(decisions, _counted(pairs, decisions, evidence), _needed(pairs, decisions, evidence))


def _families(pairs: Mapping[str, Pair]) -> Iterator[dict[str, Pair]]:
    """The contrasts that are corrected together: those of the plan, and the exploratory ones."""
    for exploratory in (False, True):
        yield {
            name: pair
            for name, pair in pairs.items()
            if pair[0].exploratory is exploratory and not is_self_check(pair[0])
        }


def _decided(family: Mapping[str, Pair], evidence: Evidence) -> Decisions[str]:
    measured: dict[str, dict[str, tuple[dict[int, float], dict[int, float]]]] = {}
    lost: dict[str, dict[int, str]] = {}
    for name, (arm, base) in family.items():
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
        adjust=benjamini_hochberg if any(arm.exploratory for arm, _ in family.values()) else holm,
    )


def _counted(
    pairs: Mapping[str, Pair], decisions: Decisions[str], evidence: Evidence
) -> dict[str, MeasuredArm]:
    """The arms with the results that count: of the looks that their contrasts took, and of the first."""
    seeds = dict.fromkeys((arm.name for arm in evidence.arms), evidence.looks[0])
    for name, verdicts in decisions.verdicts.items():
        look = verdicts[evidence.metrics[0].name].contrast.look
        for side in pairs[name]:
            seeds[side.name] = max(seeds[side.name], look.looks.numbers[look.k])
    return {
        arm.name: replace(
            arm, results={s: arm.results[s] for s in evidence.seeds[: seeds[arm.name]] if s in arm.results}
        )
        for arm in evidence.arms
    }


def _needed(pairs: Mapping[str, Pair], decisions: Decisions[str], evidence: Evidence) -> dict[str, int]:
    """By arm, the seeds of the first look, and of the next one of each contrast that it is a side of."""
    needs = dict.fromkeys((arm.name for arm in evidence.arms), evidence.looks[0])
    for name, asked in decisions.asks.items():
        for side in pairs[name]:
            needs[side.name] = max(needs[side.name], asked)
    return needs
