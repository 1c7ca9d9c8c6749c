"""Metrics by which arms are judged: their kinds, and whether lower or higher values are better.

A direction is declared, or known from the metric's whole name; a kind is declared, or known because Unrolled
measures the metric itself. Neither is guessed from a word within the name: `neg_log_loss` is a loss whose
higher values are better, and `time_series_mae` is not a time. A metric whose whole name is that of a cost,
such as `latency`, must have a kind: judged as a quality, it would differ by the machine's day.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, get_args

from unrolled.bench.errors import BadInput, require

Better = Literal["higher", "lower"]
Kind = Literal["quality", "time", "speed", "memory"]

COST_KINDS: dict[str, Kind] = {
    "seconds": "time",
    "memory_peak": "memory",
    "speed_train": "speed",  # of the chapter alone; here so that a table of its results has the kind, too
}
"""The kind of each cost that Unrolled measures itself. A cost differs from run to run."""
LARGEST_FINITE = 1e100  # a value beyond ± this counts as diverged: cubes of differences would overflow
FEWEST_SEEDS = 5  # a contrast with fewer pairs is open
DEFAULT_LOOKS = 10, 15, 20, 30, 40
"""The numbers of seeds after which verdicts are sought, if a study declares none."""
_BETTER_BY_KIND: dict[str, Better] = {"time": "lower", "speed": "higher", "memory": "lower"}

_HIGHER = """
accuracy acc accuracy_score balanced_accuracy top1 top5 exact_match precision recall sensitivity specificity
f1 f1_score f1_macro f1_micro f1_weighted auc auroc roc_auc auprc average_precision mcc hits
r2 r2_score explained_variance log_likelihood bleu sacrebleu chrf meteor rouge1 rouge2 rougel
iou miou dice psnr ssim mrr ndcg reward mean_reward win_rate success_rate
throughput tokens_per_second samples_per_second
neg_log_loss neg_brier_score neg_mean_absolute_error neg_mean_squared_error neg_root_mean_squared_error
"""
_LOWER = """
loss cross_entropy log_loss nll nats bits perplexity ppl bits_per_byte bits_per_character bpb bpc
error err error_rate wer cer mae mse rmse mape mean_absolute_error mean_squared_error root_mean_squared_error
brier_score brier_score_loss ece fid seconds milliseconds time duration runtime latency
memory memory_peak parameters model_parameters flops
"""
KNOWN_DIRECTIONS: dict[str, Better] = {
    **dict.fromkeys(_HIGHER.split(), "higher"),
    **dict.fromkeys(_LOWER.split(), "lower"),
}
"""Metrics that are known, by their whole names in lower case."""
_COSTS = """
seconds secs sec milliseconds ms minutes hours time time_s time_sec time_seconds time_ms duration runtime
run_time latency timestamp _timestamp datetime start_time end_time
elapsed elapsed_s elapsed_sec elapsed_seconds elapsed_ms elapsed_time time_elapsed
wall wall_s wall_time walltime wall_clock wallclock wall_clock_time wall_seconds _runtime
cpu_time gpu_time process_time execution_time exec_time compute_time total_time total_seconds
fit_time score_time inference_time predict_time prediction_time forward_time backward_time data_time load_time
step_time batch_time epoch_time iter_time iteration_time time_per_step time_per_batch time_per_epoch
time_this_iter_s time_total_s seconds_per_step seconds_per_epoch ms_per_step step_ms
memory memory_mb memory_gb peak_memory max_memory memory_allocated gpu_memory gpu_memory_mb rss
throughput tokens_per_second tokens_per_sec samples_per_second samples_per_sec images_per_second
examples_per_second steps_per_second steps_per_sec iterations_per_second it_per_sec fps
"""
_COST_NAMES = frozenset(_COSTS.split())
"""Known metrics of a run's cost: they differ from run to run."""
_STRUCTURAL = frozenset(("parameters", "model_parameters", "flops"))
"""Known metrics that follow from the settings alone."""
_SHARES = """
accuracy acc accuracy_score balanced_accuracy top1 top5 exact_match precision recall sensitivity specificity
f1 f1_score f1_macro f1_micro f1_weighted auc auroc roc_auc auprc average_precision hits
iou miou dice mrr ndcg win_rate success_rate error_rate
"""
SHARES = frozenset(_SHARES.split())
"""Metrics that are known to lie between 0 and 1, by their whole names in lower case."""

BETTER_CURE = 'give better = "higher" or "lower"'
"""The cure for a metric of unknown direction."""
KIND_CURE = 'give kind = "time", "speed" or "memory"; "quality" if it is none of a run\'s costs'
"""The cure for a metric that has the name of a cost, and no kind."""
TRAINING_SPLITS = "train", "training"
VALIDATION_SPLITS = "val", "valid", "validation", "dev", "eval"
TEST_SPLITS = ("test",)
HELD_OUT_SPLITS = *VALIDATION_SPLITS, *TEST_SPLITS
SPLIT_PATTERN = f"(?:{'|'.join((*TRAINING_SPLITS, *HELD_OUT_SPLITS))})"
"""The words for a split in a metric's name: "valid" of valid_loss."""
_SPLIT = re.compile(f"^{SPLIT_PATTERN}_|_{SPLIT_PATTERN}$")


@dataclass(frozen=True)
class Metric:
    """A metric by which arms are judged, and its δ: a smaller difference counts as none.

    Raises BadInput if no direction is declared and the name has no known direction, and if no kind is
    declared and the name is that of a known cost.
    """

    name: str
    delta: float  # in the metric's unit; in per cent for a ratio
    better: str = ""  # higher | lower; "" to look it up in KNOWN_DIRECTIONS
    ratio: bool = False  # judged as 100 ln of the value, so that differences are in per cent
    kind: str = ""  # quality | time | speed | memory; "" to derive it by `find_kind`

    def __post_init__(self) -> None:
        """Complete kind and direction, so that equal metrics are equal."""
        known_kind = find_kind(self.name)
        needs_kind = known_kind == "quality" and is_known_cost(self.name)
        rule = "its name is that of a cost, which is judged in another way than a quality"
        require(bool(self.kind) or not needs_kind, rule, key=f"kind of {self.name}", cure=KIND_CURE)
        kind = self.kind or known_kind
        key = f"kind of {self.name} = {kind}"
        require(kind in get_args(Kind), f"should be one of {', '.join(get_args(Kind))}", key=key)
        rule = f"it is a {known_kind}, which Unrolled measures itself"
        require(known_kind in ("quality", kind), rule, key=key, cure="leave the kind out")
        object.__setattr__(self, "kind", kind)
        better = self.better or _BETTER_BY_KIND.get(kind) or find_direction(self.name)
        object.__setattr__(self, "better", better)
        is_direction = self.better in get_args(Better)
        require(is_direction, "should be higher or lower", key=f"better of {self.name} = {self.better}")

    def to_judged_scale(self, value: float) -> float:
        """Return the number by which arms are compared: the value, or 100 ln of it for a ratio.

        On that scale, a difference of 5 is a ratio of e^.05. Returns NaN for a value that has no logarithm.
        """
        if not self.ratio or not math.isfinite(value):
            return value
        return 100 * math.log(value) if value > 0 else math.nan

    def from_judged_scale(self, judged: float) -> float:
        """Return the value of which `to_judged_scale` makes this number."""
        return math.exp(judged / 100) if self.ratio and math.isfinite(judged) else judged

    @property
    def zone(self) -> float:
        """δ on the judged scale: differences between −zone and +zone count as none.

        It is δ itself, or 100 ln 1.25 for a ratio with a δ of 25 %: see `to_judged_scale`.
        """
        return 100 * math.log1p(self.delta / 100) if self.ratio else self.delta

    @property
    def shown_delta(self) -> str:
        """δ as text: "0.01", or "5 %" of a ratio."""
        return f"{self.delta:g} %" if self.ratio else f"{self.delta:g}"

    @property
    def is_quality(self) -> bool:
        """True if it is no cost: neither a time, a speed nor memory."""
        return self.kind == "quality"

    @property
    def is_structural(self) -> bool:
        """True if it follows from the settings alone, as a number of parameters does."""
        return not _STRUCTURAL.isdisjoint(_normalize_name(self.name))

    @property
    def is_share(self) -> bool:
        """True if it is known to lie between 0 and 1, or 0 and 100 %."""
        return not SHARES.isdisjoint(_normalize_name(self.name))

    @property
    def highest(self) -> float:
        """The highest possible value of a known share; infinity for any other metric.

        It is 1, or 100 if δ is 1 or more: an accuracy with a δ of 2 is in per cent.
        """
        if self.ratio or not self.is_share:
            return math.inf
        return 1.0 if self.delta < 1 else 100.0

    def are_best(self, values: Iterable[float]) -> bool:
        """Return True if all values are a share's best: 0 of errors, 1 or 100 % of hits."""
        shares = SHARES | {"r2", "r2_score", "wer", "cer"}
        if self.ratio or not shares & {*_normalize_name(self.name)}:
            return False
        levels = {*values}
        return levels == {0.0} if self.lower_is_better else levels in ({1.0}, {100.0})

    @property
    def lower_is_better(self) -> bool:
        """True if a lower value is better."""
        return self.better == "lower"

    @property
    def gain_sign(self) -> int:
        """The sign of a difference for the better: 1 if a higher value is better, else −1."""
        return -1 if self.lower_is_better else 1


def find_kind(name: str, kinds: Mapping[str, Kind] = COST_KINDS) -> Kind:
    """Return the kind of a cost, also by its name in MLflow ("speed/train"); "quality" for any other metric.

    `kinds` has the costs of a trainer: see `Trial.find_cost_kinds`.
    """
    return kinds.get(name.replace("/", "_"), "quality")


def is_known_cost(name: str) -> bool:
    """Return True for a cost, which is known by its kind or its name, such as "latency"."""
    return find_kind(name) != "quality" or not _COST_NAMES.isdisjoint(_normalize_name(name))


def find_direction(name: str) -> Better:
    """Return whether higher or lower values of a metric are better, by its whole name.

    Case is ignored, `/`, `-`, `.` and a space are the same as `_`, and the name of a split may come first or
    last: `val/F1` is f1, `Loss/test` is a loss. Raises BadInput for a name that is not known.
    """
    full_name, base_name = _normalize_name(name)
    better = KNOWN_DIRECTIONS.get(full_name) or KNOWN_DIRECTIONS.get(base_name)
    if better is None:
        rule = "the name does not say whether higher or lower is better"
        similar_names = get_close_matches(base_name, KNOWN_DIRECTIONS, n=1, cutoff=0.8)
        names = [full_name.replace(base_name, name) for name in similar_names]
        question = f"did you mean {names[0]!r}? If not, " if names else ""
        raise BadInput(rule, key=name, cure=question + BETTER_CURE)
    return better


def _normalize_name(name: str) -> tuple[str, str]:
    """Return a name as known names are written, and the same without the name of a split."""
    full_name = re.sub("[/. -]", "_", name.lower())
    return full_name, _SPLIT.sub("", full_name, count=1)


def judges_cost(metrics: Iterable[Metric]) -> bool:
    """Return True if a time, a speed or memory is among the metrics by which arms are judged."""
    return not all(metric.is_quality for metric in metrics)
