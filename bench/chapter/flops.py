"""Floating-point operations of a training, counted from the shapes of the weights.

Only matrix products count, a multiplication and an addition as two operations, and the backward pass as
two forward ones: the convention of `torch.utils.flop_counter`, which cannot see into a fused nn.LSTM.
What is done element by element (gates, dropout, the optimizer, the loss) is left out, and so is validation.
"""

from unrolled.bench.chapter.models.recurrent import LanguageModel
from unrolled.bench.chapter.trial import ChapterTrial

BACKWARD = 2  # a product's backward pass is two products: one for its weight, one for its input


def forward_flops(model: LanguageModel, tokens: int, targets: int) -> int:
    """Operations of reading `tokens` and of predicting after `targets` of them.

    Right for a model in which every matrix meets every token once, the embedding is a look-up and `h_o` the
    decoder: all of the zoo. The backward pass of the first step needs no gradient of the state before it,
    which this does not take off.
    """
    recurrent = sum(
        weight.numel()
        for name, weight in model.named_parameters()
        if weight.dim() == 2 and not name.startswith(("i_h.", "h_o."))
    )
    decoder = model.get_parameter("h_o.weight").numel()
    return 2 * (recurrent * tokens + decoder * targets)


def training_flops(trial: ChapterTrial, model: LanguageModel, updates: int) -> int:
    """Operations of all of a trial's updates; a `detach_every` beyond the window reads windows again."""
    tokens = trial.batch * trial.window
    targets = tokens if trial.target == "every" else trial.batch
    again = _replayed(trial, updates // trial.epochs) * trial.epochs
    forward = updates * forward_flops(model, tokens, targets) + again * forward_flops(model, tokens, 0)
    return (1 + BACKWARD) * forward


def _replayed(trial: ChapterTrial, updates: int) -> int:
    """Windows that one epoch of so many updates reads again: those that `detach_every` reaches back to."""
    most = 0 if trial.reset == "batch" else max(trial.detach_every // trial.window - 1, 0)
    return sum(min(update, most) for update in range(updates))
