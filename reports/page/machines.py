"""The machines that a comparison's trials ran on."""

from collections import Counter

from unrolled.bench.phrases import plural
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.formats import merge_facts


def list_devices(comparison: Comparison) -> tuple[str, ...]:
    """Return a phrase for each kind of GPU: "3 trials on H100, driver 570, CUDA 12.8"; () without GPUs."""
    trials = Counter(
        tuple(str(r.provenance.get(fact, "unknown")) for fact in ("gpu", "driver", "cuda"))
        for arm in comparison.arms
        for r in arm.trained_arm.finished_results
        if r.provenance.get("gpu")
    )
    return tuple(
        f"{plural(number, 'trial')} on {gpu}, driver {driver}, CUDA {cuda}"
        for (gpu, driver, cuda), number in sorted(trials.items())
    )


def merge_environments(comparison: Comparison) -> dict[str, str]:
    """Return the facts of all machines by name, with all values: {"cpu": "EPYC | Xeon"}."""
    results = [r for arm in comparison.arms for r in arm.trained_arm.results.values()]
    return dict(sorted(merge_facts(r.provenance for r in results).items()))
