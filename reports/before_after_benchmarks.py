"""Benchmarks before and after a change: is one slower?

Runs of unchanged code differ by more than their rounds tell, so that only three stored runs on each side can
show that a benchmark is slower.
"""

from bench.errors import BadInput
from reports.before_after import LISTED, ArmChange, BeforeAfter, ResultSet, not_slower
from reports.formats import listed_up_to
from reports.statistics.speed_ratio import FEWEST, ratios_of_rounds, unlike


def compare_timings(
    before: ResultSet, after: ResultSet, *, margin: float, require_speed: bool = False
) -> BeforeAfter:
    """Compare two sides' benchmarks by name. Raises BadInput on unlike machines, and where none is shared."""
    if reason := unlike([*before.table.machine, *after.table.machine]):
        raise BadInput(reason, place=after.name, cure="run both sides' benchmarks on one machine")
    runs_before, runs_after = (
        {str(name): runs for name, runs in side.table.groupby("arm", sort=False)} for side in (before, after)
    )
    pairs = {name: (runs, runs_after[name]) for name, runs in runs_before.items() if name in runs_after}
    if not pairs:
        cure = "compare runs of the same tests"
        raise BadInput(f"has no benchmark of {before.name}", place=after.name, cure=cure)
    ratios = ratios_of_rounds(pairs, margin)
    missing = listed_up_to([name for name in runs_before if name not in ratios], LISTED)
    lost = [f"not compared, for want of rounds on both sides: {missing}"] if missing else []
    repeated = [name for name in ratios if min(map(len, pairs[name])) >= FEWEST]
    if few := listed_up_to([name for name in ratios if name not in repeated], LISTED):
        lost.append(f"slower is shown by {FEWEST} stored runs on each side, which these lack: {few}")
    fails = bool(lost) and (require_speed or not ratios)
    return BeforeAfter(
        before=before.name,
        after=after.name,
        asked=f"pytest-benchmark: {not_slower(margin)}",
        noun="benchmark",
        arms=tuple(
            ArmChange(name=name, faults=ratio.fault if name in repeated else (), speed_ratio=ratio)
            for name, ratio in ratios.items()
        ),
        faults=tuple(lost) if fails else (),
        notes=() if fails else tuple(lost),
    )
