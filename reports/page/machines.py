"""The machines that a comparison's trials ran on."""

from collections import Counter
from collections.abc import Mapping

from unrolled.bench.phrases import plural
from unrolled.reports.compare.comparison import Comparison


def list_devices(comparison: Comparison) -> tuple[str, ...]:
    """Return a phrase for each kind of GPU: "3 trials on H100, driver 570, CUDA 12.8"; () without GPUs."""
    trials = Counter(
        tuple(str(r.provenance.get(fact, "unknown")) for fact in ("gpu", "driver", "cuda"))
        for arm in comparison.arms
        for r in arm.counted_arm.finished_results
        if r.provenance.get("gpu")
    )
    return tuple(
        f"{plural(number, 'trial')} on {gpu}, driver {driver}, CUDA {cuda}"
        for (gpu, driver, cuda), number in sorted(trials.items())
    )


def merge_environments(comparison: Comparison) -> dict[str, str]:
    """Return the facts of all machines by name, each with all its values: {"cpu": "EPYC | Xeon"}.

    The machines are those of the trials that count, failures included.
    """
    facts = [
        fact
        for arm in comparison.arms
        for r in arm.counted_arm.results.values()
        for fact in r.provenance.items()
    ]
    values_by_name: dict[str, dict[str, None]] = {}
    for name, value in facts:
        flat = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)
        values_by_name.setdefault(name, {})[flat] = None
    return {
        name: " | ".join(filter(None, values))
        for name, values in sorted(values_by_name.items())
        if any(values)
    }


def count_trials_at_a_time(comparison: Comparison) -> int:
    """Return the most trials that ran at the same time on a machine, of those that count; 1 if unknown."""
    arms = [arm.counted_arm for arm in comparison.arms]
    counts = [r.provenance.get("trials_at_a_time", 1) for arm in arms for r in arm.finished_results]
    return max(counts, default=1)
