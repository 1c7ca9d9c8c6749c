"""z-loss (Chowdhery et al., 2022, "PaLM", section 5): keeps the softmax's normaliser near 1."""

from unrolled import regularizer


@regularizer("z_loss", "z-loss")
def z_loss(output):
    """The mean square of ln Z."""
    return output.logits.logsumexp(-1).square().mean()  # output.logits (b, t, vocab)
