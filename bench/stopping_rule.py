"""The rules by which the contrasts of a study end. Plans store their values, and reports read them.

This module is in `bench` because neither `ablations`, which plans, nor `reports` may import the other.
"""

from enum import StrEnum


class StoppingRule(StrEnum):
    """When a study gives a contrast no more seeds."""

    DIRECTION = "direction"
    """Once the arm is better, worse, or the same within δ."""
    SIZE = "size"
    """Once it is also known whether a difference is larger than δ."""
    GATE = "gate"
    """Once the gate is decided, which judges all contrasts together: `reports.statistics.non_inferiority`."""
    PROPOSAL = "proposal"
    """Once the proposal is kept or rejected: see `reports.statistics.proposals`."""
