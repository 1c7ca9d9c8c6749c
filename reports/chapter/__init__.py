"""The pages of the chapter's models: how their metrics are read, and what only language models have."""

from unrolled.reports.presentation import COST_COLUMNS, MEASURED_SCALES, Presentation, Scale

PERPLEXITY = Scale(title="perplexity", difference_unit="%", decimals=2, log=1.0)
"""Exp of a loss in nats; a difference of losses is a ratio of perplexities, written in per cent."""

CHAPTER = Presentation(
    interval_clause=", given this validation set",
    scales=MEASURED_SCALES
    | {
        "valid_loss": Scale(
            title="validation loss", level_unit="nats", difference_unit="nats", decimals=2, finest=3,
            second_scale=PERPLEXITY,
        ),
        "train_loss": Scale(
            title="training loss", level_unit="nats", difference_unit="nats", decimals=2, finest=3,
        ),
        "valid_accuracy": Scale(
            title="validation accuracy", level_unit="%", difference_unit="points", factor=100.0, decimals=1,
            finest=1, reaches="predicts {} of the words",
        ),
        "valid_perplexity": Scale(title="validation perplexity"),
        "valid_bits": Scale(title="validation bits a token", level_unit="bits", difference_unit="bits"),
        "speed_train": Scale(title="training speed", level_unit="tokens/s", difference_unit="tokens/s"),
        "gpu_memory_peak": Scale(title="peak GPU memory", level_unit="MiB", difference_unit="MiB"),
    },
    costs={
        "model_parameters": Scale(title="parameters", decimals=0),
        "train_updates": Scale(title="updates", decimals=0),
        "train_tokens": Scale(title="tokens trained on", decimals=0),
        "train_flops": Scale(title="GFLOPs of training", factor=1e-9, decimals=1),
        "speed_steady": Scale(title="tokens/s after the first epoch", decimals=0),
    }
    | COST_COLUMNS
    | {"gpu_memory_peak": Scale(title="peak GPU memory (MiB)", decimals=0)},
    columns=("valid_accuracy", "valid_perplexity"),
    figure_columns={"speed_train": "Tokens/s", "model_parameters": "Parameters"},
    task=("corpus", "split", "target"),
    template="chapter.html",
    extras="unrolled.reports.chapter.page:find_extras",
    curves="unrolled.reports.chapter.page:read_curves",
    step="epoch",
    sample_records=("passage", "continuation"),
)  # fmt: skip
"""What the pages of the chapter's studies have."""
