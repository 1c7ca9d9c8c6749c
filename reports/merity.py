"""AWD-LSTM's own table of ablations, and what a study of the same rows finds beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple

from reports.arms import mean_of, trial_of, values
from reports.comparison import ComparedArm, Comparison
from reports.statistics.contrasts import ArmSummary, Contrast, contrast, summarise

SOURCE = "Merity, Keskar and Socher, “Regularizing and Optimizing LSTM Language Models”, ICLR 2018, table 4"


class PaperAblation(NamedTuple):
    """A row of the paper: (validation, test) perplexities of one run."""

    title: str
    arm: str  # what the studies of these rows call it; "" is the baseline
    penn: tuple[float, float]  # Penn Treebank
    wiki: tuple[float, float]  # WikiText-2


PUBLISHED = (
    PaperAblation("AWD-LSTM (tied)", "", (60.0, 57.3), (68.6, 65.8)),
    PaperAblation("– fine-tuning", "no fine-tuning", (60.7, 58.8), (69.1, 66.0)),
    PaperAblation("– NT-ASGD", "no NT-ASGD", (66.3, 63.7), (73.3, 69.7)),
    PaperAblation("– variable sequence lengths", "no variable sequence lengths", (61.3, 58.9), (69.3, 66.2)),
    PaperAblation("– embedding dropout", "no embedding dropout", (65.1, 62.7), (71.1, 68.1)),
    PaperAblation("– weight decay", "no weight decay", (63.7, 61.0), (71.9, 68.7)),
    PaperAblation("– AR/TAR", "no AR/TAR", (62.7, 60.3), (73.2, 70.1)),
    PaperAblation("– full sized embedding", "full sized embedding", (68.0, 65.6), (73.7, 70.7)),
    PaperAblation("– weight-dropping", "no weight-dropping", (71.1, 68.9), (78.4, 74.9)),
)


class PaperRow(NamedTuple):
    """A row of the paper and ours, in perplexity; `contrast` is against our full model, paired by seed."""

    published: PaperAblation
    row: ComparedArm
    summary: ArmSummary
    contrast: Contrast | None


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """The rows of the paper's table that a study repeats, with the study's corpus, size and settings."""

    lines: tuple[PaperRow, ...]
    corpus: str
    parameters: float | None
    settings: Mapping[str, object]
    seeds: int


def paper_table(c: Comparison) -> PaperTable | None:
    """The table, or None for a study that has none of the paper's rows: they go by the names of its arms."""
    base, rows = c.rows[0], {row.arm.name: row for row in c.rows[1:]}
    trial = trial_of(base.arm)
    found = [(p, rows[p.arm]) for p in PUBLISHED[1:] if p.arm in rows]
    if trial is None or not base.arm.model.startswith("awd") or not found:
        return None
    return PaperTable(
        lines=tuple(_line(p, row, base) for p, row in [(PUBLISHED[0], base), *found]),
        corpus=PurePath(trial.corpus).name,
        parameters=mean_of(base.arm, "model_parameters"),
        settings=trial.factors(),
        seeds=len(c.evidence.seeds),
    )


def _line(published: PaperAblation, row: ComparedArm, base: ComparedArm) -> PaperRow:
    ours, theirs = values(row.arm, "valid_perplexity"), values(base.arm, "valid_perplexity")
    shared = set(ours) & set(theirs) if row is not base and not row.note else set()
    c = contrast(ours, theirs, delta=1.0) if shared else None
    return PaperRow(published, row, summarise(ours), c)
