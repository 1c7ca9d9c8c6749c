"""The pages of the chapter's models: how their metrics are read, and what only language models have."""

from unrolled.reports.formats import format_number
from unrolled.reports.presentation import COSTS, MEASURED, FigureColumn, Presentation, Scale

PERPLEXITY = Scale(title="perplexity", difference_unit="%", digits=2, log=1.0)
"""Exp of a loss in nats; a difference of losses is a ratio of perplexities, written in per cent."""


def format_thousands(x: float) -> str:
    """Return a number in thousands: 4.5k."""
    return f"{format_number(x / 1000, 1)}k"


CHAPTER = Presentation(
    interval_clause=", given this validation set",
    scales=MEASURED
    | {
        "valid_loss": Scale(
            title="validation loss", level_unit="nats", difference_unit="nats", digits=2, finest=3,
            second_scale=PERPLEXITY,
        ),
        "train_loss": Scale(
            title="training loss", level_unit="nats", difference_unit="nats", digits=2, finest=3,
        ),
        "valid_accuracy": Scale(
            title="validation accuracy", level_unit="%", difference_unit="points", factor=100.0, digits=1,
            finest=1, reaches="predicts {} of the words",
        ),
        "valid_perplexity": Scale(title="validation perplexity"),
        "valid_bits": Scale(title="validation bits a token", level_unit="bits", difference_unit="bits"),
        "speed_train": Scale(title="training speed", level_unit="tokens/s", difference_unit="tokens/s"),
        "gpu_memory_peak": Scale(title="peak GPU memory", level_unit="MiB", difference_unit="MiB"),
    },
    costs={
        "model_parameters": Scale(title="parameters", digits=0),
        "train_updates": Scale(title="updates", digits=0),
        "train_tokens": Scale(title="tokens trained on", digits=0),
        "train_flops": Scale(title="GFLOPs of training", factor=1e-9, digits=1),
        "speed_steady": Scale(title="tokens/s after the first epoch", digits=0),
    }
    | COSTS
    | {"gpu_memory_peak": Scale(title="peak GPU memory (MiB)", digits=0)},
    columns=("valid_accuracy", "valid_perplexity"),
    figure_columns={
        "speed_train": FigureColumn("Tokens/s", format_thousands),
        "model_parameters": FigureColumn("Parameters", format_thousands),
    },
    task=("corpus", "split", "target"),
    template="chapter.html",
    extras="unrolled.reports.chapter.page:find_extras",
    curves="unrolled.reports.chapter.page:read_curves",
    step="epoch",
    sample_records=("passage", "continuation"),
)  # fmt: skip
"""What the pages of the chapter's studies have."""
