"""Runs that failed, or lack a partner: a claim must survive them counted as losses.

Only survivors have numbers, and an arm whose bad runs crash or were left out would be better for it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from bench.errors import plural
from reports.statistics.verdicts import Size, Verdict

Values = Mapping[Any, float]


def count_as_losses(values: Values, seeds: Iterable[Any]) -> Values:
    """The values of one side, with a loss for each of the seeds that has none.

    A loss is infinite, as a divergence is: it has no size, so that signs decide.
    """
    return {**dict.fromkeys(seeds, float("inf")), **values}


def withdraw(verdict: Verdict, counted: Verdict | None, lost: int) -> Verdict:
    """The verdict, or an open one with the reason if it is another one with the `lost` runs counted.

    A size that is another one with them is not settled.
    """
    if not lost or not verdict.claims:
        return verdict
    if counted and counted.kind == verdict.kind:
        return verdict if counted.size is verdict.size else replace(verdict, size=Size.UNSETTLED)
    runs = plural(lost, "run")
    reason = f"“{verdict.text}” does not survive {runs} that failed or lack a partner, counted as losses"
    return replace(verdict.withdrawn(), blocked_reason=reason)
