"""Metrics: what arms are judged by, and whether lower or higher is better.

A direction is declared, or known by the metric's whole name. It is never guessed from a word within the name:
`neg_log_loss` is a loss whose higher values are better.
"""

import math
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from unrolled.bench.errors import BadInput, require

Better = Literal["higher", "lower"]

_HIGHER = """
accuracy acc accuracy_score balanced_accuracy top1 top5 exact_match precision recall sensitivity specificity
f1 f1_score f1_macro f1_micro f1_weighted auc auroc roc_auc auprc average_precision mcc hits
r2 r2_score explained_variance log_likelihood bleu sacrebleu chrf meteor rouge1 rouge2 rougel
iou miou dice psnr ssim mrr ndcg reward mean_reward win_rate success_rate
throughput tokens_per_second samples_per_second speed_train speed_valid speed_steady gpu_utilisation
neg_log_loss neg_brier_score neg_mean_absolute_error neg_mean_squared_error neg_root_mean_squared_error
"""
_LOWER = """
loss cross_entropy log_loss nll nats bits perplexity ppl bits_per_byte bits_per_character bpb bpc
error err error_rate wer cer mae mse rmse mape mean_absolute_error mean_squared_error root_mean_squared_error
brier_score brier_score_loss ece fid seconds milliseconds time duration runtime latency
memory memory_peak gpu_memory_peak parameters model_parameters flops
"""
KNOWN: dict[str, Better] = {
    **dict.fromkeys(_HIGHER.split(), "higher"),
    **dict.fromkeys(_LOWER.split(), "lower"),
}
"""Metrics that are known, by their whole names in lower case."""

_SPLIT = re.compile("^(train|training|valid|validation|val|dev|test|eval)_")


@dataclass(frozen=True)
class Metric:
    """A metric by which arms are judged, and its δ: a smaller difference counts as none.

    Raises BadInput where no direction is given and none is known of the name.
    """

    name: str
    delta: float  # in the metric's unit
    better: str = ""  # higher | lower; "" is that of KNOWN
    ratio: bool = False  # judged as 100 ln, so that differences are per cent: see `judged`

    def __post_init__(self) -> None:
        """Complete the direction, so that equal metrics are equal."""
        object.__setattr__(self, "better", self.better or direction(self.name))
        known = self.better in ("higher", "lower")
        require(known, "should be higher or lower", key=f"better of {self.name} = {self.better}")

    def judged(self, value: float) -> float:
        """The number by which arms are compared: the value, or 100 ln of one that is judged as a ratio.

        A difference of 5 is then a ratio of e^.05. NaN where there is no logarithm.
        """
        if not self.ratio or not math.isfinite(value):
            return value
        return 100 * math.log(value) if value > 0 else math.nan

    @property
    def lower_is_better(self) -> bool:
        """Whether a lower value is better."""
        return self.better == "lower"


def direction(name: str) -> Better:
    """Whether higher or lower values of a metric are better, by its whole name.

    Case does not count, `/`, `-`, `.` and a space are as good as `_`, and the name of a split may stand in
    front: `val/F1` is f1. Raises BadInput for a name that is not known.
    """
    plain = re.sub("[/. -]", "_", name.lower())
    whole = _SPLIT.sub("", plain)
    known = KNOWN.get(plain) or KNOWN.get(whole)
    if known is None:
        rule = "whether higher or lower is better is not known of this name"
        cure = f'add --higher {name} or --lower {name}; in a study and in Python better = "higher" or "lower"'
        close = get_close_matches(whole, KNOWN, n=1, cutoff=0.8)
        raise BadInput(rule, key=name, cure=f"did you mean {close[0]!r}? If not, {cure}" if close else cure)
    return known
