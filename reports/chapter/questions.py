"""The sections of the chapter's page, in the order of the book's questionnaire."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from reports.chapter import distances, mechanics, trainings, words
from reports.chapter.questionnaire import HIGHER
from reports.chapter.shown import Shown
from reports.chapter.studied import bears, clipped, detached, helped, of_parts
from reports.comparison import Comparison
from reports.formats import listed


@dataclass(frozen=True, kw_only=True)
class Question:
    """One section: the book's questions that it answers (`book`; R for its further research), its own words.

    `measured` names measurements, and `show` turns their data into an answer; `study` names a study.
    `answer` is for a section without a measurement: what is true by definition. `lead` turns the study's
    comparison into the sentence that stands first.

    `along` draws a study's arms along a factor, a line for each level of another: (factor, lines, label);
    without it the forest plot is drawn. With `best` the study's sentence names the best levels instead of the
    verdicts; they must be asked for the same words. `setup` describes what the study keeps equal; it contains
    no claim. `default` names a study of `make ablations`, its contrasts that answer too, by the name or a
    setting of their arms, and their setup.
    """

    id: str
    book: tuple[str, ...]
    title: str
    asked: str
    answer: str = ""
    lead: Callable[[Comparison], str] | None = None
    measured: tuple[str, ...] = ()
    show: Callable[..., Shown] | None = None
    study: str = ""
    setup: str = ""
    along: tuple[str, str, str] | None = None
    best: bool = False
    default: tuple[str, tuple[str, ...], str] = ("", (), "")

    @property
    def numbers(self) -> str:
        """'Questions 9 and 14 of the book'."""
        if not self.book:
            return "Beyond the book's questions"
        return f"Question{'s' if len(self.book) > 1 else ''} {listed(self.book)} of the book"


TOGGLED = "LMModel7 with one change an arm."

QUESTIONS = (
    Question(
        id="read",
        book=("1", "2", "13"),
        title="The first batches",
        asked="What do the first batches of the validation set say, in words?",
        measured=("batches",),
        show=words.batches,
    ),
    Question(
        id="context",
        book=("3", "4", "5", "8", "R1"),
        title="Third word from two",
        asked="Can the third word be told from the two before it, and would more words help?",
        measured=("context",),
        show=words.context,
        study="context",
        setup="The study trains LMModel2 on one to five words, without a state, with the same number of "
        "updates on as many answers, and holds it against counts of the same words (5-gram counts). A "
        "window starts at every word; validation text is random blocks.",
        along=("window", "model", "words read"),
        best=True,
        default=(
            "models",
            ("LMModel1", "LMModel2"),
            "LMModel1 reads three words, LMModel2 the same in a loop; bigram counts go by one word.",
        ),
    ),
    Question(
        id="depth",
        book=("6", "7", "10", "18", "19"),
        title="Deeper RNNs",
        asked="Unrolled, an RNN has many layers already: does stacking more help?",
        answer="The layers of time share one matrix, and between the newest word and the answer stands only "
        "one of them; stacked layers have matrices of their own and act on every word.",
        lead=partial(helped, doing="stacking layers, on random blocks,"),
        study="depth",
        setup="The study trains nn.RNN with one, two and four layers, with ReLU and with tanh, at three "
        "learning rates, and holds each depth against one layer. Validation text is random blocks.",
        along=("layers", "nonlinearity lr", "layers"),
        best=True,
        default=(
            "models",
            ("LMModel5", "nn.RNN, ReLU"),
            "Two layers of nn.RNN on the chapter's own validation text. Both bring an input matrix too, "
            "which LMModel4 has not (one layer of it: question 17), and LMModel5 brings tanh in place of "
            "ReLU.",
        ),
    ),
    Question(
        id="order",
        book=("9", "14"),
        title="Order and reset",
        asked="Why must the text be read in order, and when should the state be forgotten?",
        measured=("trained",),
        show=words.order,
        study="order",
        setup="The study trains LMModel6 on three orders of the windows without a state, and in each with "
        "one. Grouped, the chapter's: each row of a batch goes on where it stopped. Sequential: a batch "
        "takes the next windows of the text, so that its rows do not go on. Shuffled: windows are drawn at "
        "random. Validation text is random blocks.",
        along=("order", "reset", "order of the windows"),
    ),
    Question(
        id="history",
        book=("11", "12"),
        title="Why detach",
        asked="What does a kept state cost, and what does detaching it save?",
        measured=("history",),
        show=mechanics.history,
    ),
    Question(
        id="targets",
        book=("15", "16"),
        title="One word in three",
        asked="What is lost by asking for one word after every three?",
        measured=("targets",),
        show=trainings.targets,
    ),
    Question(
        id="stability",
        book=("17",),
        title="Why LMModel4 is unstable",
        asked="Why is the training of LMModel4 unstable?",
        measured=("stability",),
        show=trainings.stability,
        lead=clipped,
        study="stability",
        setup="The study changes one thing at a time, and holds each form of the network against itself. "
        "Clipping bounds the norm of the gradient, and with it what a spike can do to the weights.",
    ),
    Question(
        id="detach",
        book=("20",),
        title="Detaching less often",
        asked="Should the state be detached less often, and for which cell?",
        answer="With fewer detachments an error can be traced to earlier words; that helps only as far as a "
        "gradient arrives there and the words there tell something.",
        lead=detached,
        study="detach",
        setup="Every arm of the study, one layer of a cell, reads windows of 16 words and makes the same "
        "updates; only how often the state is detached differs: every 1, 4, 16, 64 or 128 words, so that a "
        "gradient reaches 0, 1.5, 7.5, 55.5 or 119.5 words back in the mean; the last two replay the "
        "windows before. Validation text is random blocks.",
        along=("detach_every", "model", "words that a gradient reaches back, in the mean"),
        best=True,
        default=("toggles", ("detach_every",), TOGGLED),
    ),
    Question(
        id="growth",
        book=("21",),
        title="Growing activations",
        asked="Why can many layers make very large or very small numbers, and why does it matter?",
        measured=("cells",),
        show=distances.growth,
    ),
    Question(
        id="spacing",
        book=("22",),
        title="Precise numbers",
        asked="Where are a computer's numbers the most precise?",
        measured=("spacing",),
        show=mechanics.spacing,
    ),
    Question(
        id="precision",
        book=(),
        title="Half the bits",
        asked="What does a number format of half the size cost?",
        measured=("precision", "cells"),
        show=mechanics.precision,
    ),
    Question(
        id="training",
        book=(),
        title="Training in half the bits",
        asked="Does training with half the bits cost accuracy?",
        measured=("halved",),
        show=trainings.halved,
    ),
    Question(
        id="gradients",
        book=("23",),
        title="Vanishing gradients",
        asked="Why do vanishing gradients keep a network from learning?",
        measured=("cells",),
        show=distances.gradients,
    ),
    Question(
        id="recall",
        book=("24",),
        title="Recall over a distance",
        asked="What are two states good for: which cell learns to keep one word in mind?",
        measured=("recall",),
        show=distances.recall,
    ),
    Question(
        id="gates",
        book=("25",),
        title="Gates and states",
        asked="What do an LSTM's states hold, and when does it forget?",
        measured=("trained",),
        show=words.gates,
    ),
    Question(
        id="tanh",
        book=("26",),
        title="tanh and sigmoid",
        asked="How is tanh related to the sigmoid?",
        measured=("tanh",),
        show=mechanics.tanh,
    ),
    Question(
        id="lstm",
        book=("27", "28", "29", "R2"),
        title="LSTM from scratch",
        asked="Is an LSTM written from scratch the same as nn.LSTM?",
        measured=("same",),
        show=mechanics.lstms,
        study="lstm",
        setup="In the study each form is trained from the initial weights of nn.LSTM, against nn.LSTM, and "
        "from its own, against the same form with nn.LSTM's.",
    ),
    Question(
        id="rate",
        book=("30",),
        title="Higher learning rates",
        asked="Does the LSTM bear a higher learning rate, and why?",
        answer=HIGHER,
        lead=bears,
        study="learning-rate",
        setup="Four cells of one layer each at the same four learning rates, each held against itself at "
        ".003. Validation text is random blocks.",
        along=("lr", "model", "learning rate"),
        best=True,
        default=("toggles", ("lr",), TOGGLED),
    ),
    Question(
        id="parts",
        book=("31", "37", "38", "39"),
        title="What each part brings",
        asked="What do dropout, AR, TAR, weight tying, weight decay and momentum each bring?",
        answer="Dropout and weight tying change the network, activation regularization (AR) and its temporal "
        "form (TAR) the loss, weight decay and momentum the update.",
        lead=of_parts,
        study="regularization",
        setup="One part left out of LMModel7, one added to LMModel6, and all sixteen combinations of four. "
        "Out and in are the settings of LMModel6 and LMModel7: weight decay of 0.01 and 0.1, momentum of "
        "0.95, 0.85, 0.95 and 0.8, 0.7, 0.8.",
        default=("toggles", ("tying", "dropout", "alpha", "beta", "wd", "moms"), TOGGLED),
    ),
    Question(
        id="scale",
        book=("32", "33", "34", "35", "36"),
        title="Dropout's scale",
        asked="Why does dropout divide by 1−p, and when?",
        measured=("dropout",),
        show=mechanics.dropout,
    ),
    Question(
        id="gru",
        book=("R3",),
        title="GRU from scratch",
        asked="Is a GRU written from scratch the same as nn.GRU?",
        measured=("same",),
        show=mechanics.grus,
        study="gru",
        setup="The reset gate acts after the matrix product (nn.GRU, the first version of Cho et al. 2014) "
        "or before it (their later one). Each form is trained from the initial weights of nn.GRU, against "
        "nn.GRU, and from its own, against the same form with nn.GRU's.",
        default=("models", ("nn.GRU",), "nn.GRU in the settings of LMModel6, which is nn.LSTM."),
    ),
    Question(
        id="anatomy",
        book=("R4",),
        title="AWD-LSTM, part by part",
        asked="What does the chapter call each part of AWD-LSTM?",
        measured=("anatomy",),
        show=mechanics.anatomy,
        default=(
            "models",
            ("AWD-LSTM",),
            "fastai's AWD_LSTM, trained as LMModel7 is. It changes many parts at once, four more dropouts "
            "among them; which of them costs what, this contrast does not tell.",
        ),
    ),
    Question(
        id="grammar",
        book=(),
        title="Loss and accuracy",
        asked="Which words does a trained network get wrong, and what does the loss make of it?",
        measured=("trained",),
        show=words.grammar,
    ),
    Question(
        id="split",
        book=(),
        title="Another split",
        asked="How new is the chapter's validation text, and do other texts put the models in another order?",
        measured=("coverage", "trained"),
        show=words.coverage,
        study="split",
        setup="Split tail is the last fifth of the text, which is the chapter's; split blocks is random "
        "blocks of it. Contrasts are among arms of one split, since losses on two validation sets do not "
        "compare; the order is judged for every pair of arms, on the seeds of the first look.",
        along=("split", "model", "validation text"),
    ),
)

STUDIES = tuple(dict.fromkeys(study for q in QUESTIONS for study in (q.study, q.default[0]) if study))
"""The studies that the page shows."""
