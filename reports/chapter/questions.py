"""The questions of the chapter's page, in the order in which the chapter raises them."""

from collections.abc import Callable
from dataclasses import dataclass

from reports.chapter import measurements, mechanics
from reports.chapter.measurements import Shown


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question, and its short title.

    `measured` names a measurement, and `show` turns its data into an answer; `study` names a study.

    `along` draws a study's arms along a factor, a line for each level of another: (factor, lines, label);
    without it the forest plot is drawn. `setup` describes what the study keeps equal; it contains no claim.
    """

    id: str
    title: str
    asked: str
    measured: tuple[str, ...] = ()
    show: Callable[..., Shown] | None = None
    study: str = ""
    setup: str = ""
    along: tuple[str, str, str] | None = None


QUESTIONS = (
    Question(
        id="context",
        title="Third word from two",
        asked="Can the third word be told from the two before it, and would more words help?",
        study="context",
        setup=(
            "One to five words in, no state, the same number of updates for each; beside each, what "
            "counting the same words reaches."
        ),
        along=("window", "model", "words read"),
    ),
    Question(
        id="order",
        title="Order and reset",
        asked="Why must the text be read in order, and when should the state be forgotten?",
        study="order",
        setup=(
            "A kept state is of use only where the next batch goes on with the same text. Three orders "
            "of the windows, three habits of forgetting."
        ),
        along=("order", "reset", "order of the windows"),
    ),
    Question(
        id="history",
        title="Why detach",
        asked="What does a kept state cost, and what does detaching it save?",
        measured=("history",),
        show=mechanics.history,
    ),
    Question(
        id="read",
        title="The first batches",
        asked="What do the first batches of the validation set say, in words?",
        measured=("batches",),
        show=measurements.batches,
    ),
    Question(
        id="targets",
        title="One word in three",
        asked="What is lost by asking for one word after every three?",
        measured=("targets",),
        show=measurements.targets,
    ),
    Question(
        id="stability",
        title="Why LMModel4 is unstable",
        asked="Why is the training of LMModel4 unstable?",
        measured=("stability",),
        show=measurements.stability,
        study="stability",
        setup="The study changes one thing of LMModel4 at a time.",
    ),
    Question(
        id="depth",
        title="Deeper RNNs",
        asked="Unrolled, an RNN has many layers already: does stacking more help?",
        study="depth",
        setup=(
            "The layers of time share one matrix; stacked layers have matrices of their own. One to four "
            "of them, with ReLU and with tanh."
        ),
        along=("layers", "nonlinearity", "layers"),
    ),
    Question(
        id="detach",
        title="Detaching less often",
        asked="Should the state be detached less often, and for which cell?",
        study="detach",
        setup=(
            "Every arm reads windows of 64 words and makes the same updates; only how far gradients flow "
            "back differs."
        ),
        along=("detach_every", "model", "tokens that gradients flow back"),
    ),
    Question(
        id="growth",
        title="Growing activations",
        asked="How do many steps make activations very large or very small?",
        measured=("cells",),
        show=measurements.growth,
    ),
    Question(
        id="spacing",
        title="Precise numbers",
        asked="Where are a computer's numbers the most precise?",
        measured=("spacing",),
        show=mechanics.spacing,
    ),
    Question(
        id="precision",
        title="Half the precision",
        asked="What does a number format of half the size cost?",
        measured=("precision", "cells"),
        show=mechanics.precision,
    ),
    Question(
        id="training",
        title="Training in half of it",
        asked="Does training in half the precision cost anything?",
        measured=("halved",),
        show=measurements.halved,
    ),
    Question(
        id="gradients",
        title="Vanishing gradients",
        asked="Why do vanishing gradients keep a network from learning?",
        measured=("cells",),
        show=measurements.gradients,
    ),
    Question(
        id="tanh",
        title="tanh and sigmoid",
        asked="How is tanh related to the sigmoid?",
        measured=("tanh",),
        show=mechanics.tanh,
    ),
    Question(
        id="lstm",
        title="LSTM from scratch",
        asked="Is an LSTM written from scratch the same as nn.LSTM?",
        measured=("same",),
        show=mechanics.lstms,
        study="lstm",
        setup="In the study each form is trained from the initial weights of nn.LSTM, and from its own.",
    ),
    Question(
        id="rate",
        title="Higher learning rates",
        asked="Why does the LSTM bear a higher learning rate?",
        study="learning-rate",
        setup="Five models at the same four learning rates, everything else as in the chapter.",
        along=("lr", "model", "learning rate"),
    ),
    Question(
        id="scale",
        title="Dropout's scale",
        asked="Why does dropout divide by 1−p, and when?",
        measured=("dropout",),
        show=mechanics.dropout,
    ),
    Question(
        id="parts",
        title="What each part brings",
        asked="What do dropout, AR, TAR, weight tying, weight decay and momentum each bring?",
        study="regularization",
        setup=(
            "AR adds α times the mean square of the activations after dropout, TAR β times that of their "
            "change from step to step before it. One part left out of LMModel7, one added to LMModel6, "
            "and all sixteen combinations of four."
        ),
    ),
    Question(
        id="split",
        title="Another split",
        asked="Would other validation text tell another story?",
        measured=("coverage",),
        show=measurements.coverage,
        study="split",
        setup="Contrasts are among arms on the blocks; losses on two validation sets do not compare.",
        along=("split", "model", "validation text"),
    ),
    Question(
        id="gru",
        title="GRU from scratch",
        asked="And a GRU, in either of its published forms?",
        measured=("same",),
        show=mechanics.grus,
        study="gru",
        setup="The reset gate acts after the matrix product (cuDNN, nn.GRU) or before it (Cho et al.).",
    ),
    Question(
        id="anatomy",
        title="AWD-LSTM, line by line",
        asked="What does the chapter call each line of AWD-LSTM?",
        measured=("anatomy",),
        show=mechanics.anatomy,
    ),
)
