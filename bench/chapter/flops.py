"""Floating-point operations of a training, counted from the shapes of the weights.

Only matrix products count, a multiplication and an addition as two operations, and the backward pass as
two forward ones: the convention of `torch.utils.flop_counter`, which cannot see into a fused nn.LSTM.
What is done element by element (gates, dropout, the optimizer, the loss) is left out, and so is validation.
"""

from unrolled.bench.chapter.models.recurrent import LanguageModel
from unrolled.bench.chapter.trial import ChapterTrial

BACKWARD = 2  # a product's backward pass is two products: one for its weight, one for its input


def forward_flops(model: LanguageModel, tokens: int, targets: int) -> int:
    """Return the operations of reading `tokens` tokens and of predicting after `targets` of them.

    This is right for a model that multiplies every matrix by every token once, with the embedding as a
    look-up and `h_o` as the decoder: all of the zoo. The backward pass of the first step needs no gradient of
    the state before it, which is not subtracted.
    """
    recurrent = sum(
        weight.numel()
        for name, weight in model.named_parameters()
        if weight.dim() == 2 and not name.startswith(("i_h.", "h_o."))
    )
    decoder = model.get_parameter("h_o.weight").numel()
    return 2 * (recurrent * tokens + decoder * targets)


def training_flops(trial: ChapterTrial, model: LanguageModel, updates: int) -> int:
    """Return the operations of all updates of a trial; a `detach_every` beyond the window replays windows."""
    tokens = trial.batch * trial.window
    targets = tokens if trial.target == "every" else trial.batch
    replays = trial.epochs * _count_replays(trial, updates // trial.epochs)
    forward = updates * forward_flops(model, tokens, targets) + replays * forward_flops(model, tokens, 0)
    return (1 + BACKWARD) * forward


def _count_replays(trial: ChapterTrial, updates: int) -> int:
    """Return how many windows an epoch of `updates` updates replays for a longer `detach_every`."""
    if trial.reset == "batch":
        return 0
    replays_per_update = max(trial.detach_every // trial.window - 1, 0)
    return sum(min(update, replays_per_update) for update in range(updates))
