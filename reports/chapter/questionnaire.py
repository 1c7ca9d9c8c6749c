"""The book's questionnaire and further research, in our words and its numbering, each with its answer."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One question of the book, with a short answer; `see`, `code`: sections with evidence, source code.

    `measured` names a section whose own answer, made from a measurement, is the answer here too; `studied`
    one whose study's is. Names in `see` and `code` are separated by spaces.
    """

    number: str
    asked: str
    answer: str
    see: str
    measured: str = ""
    studied: str = ""
    code: str = ""


HIGHER = (
    "The chapter gives no reason. The usual one is that an LSTM adds to its cell state c, so that along c "
    "neither numbers nor gradients are multiplied by a matrix at every word; along h they still are. It is "
    "not tested here."
)
"""Why an LSTM is said to bear a higher learning rate."""

LINES = (
    Line(
        "1",
        "What to do when a data set is too slow to work with?",
        "Find or make a small one that has the same problem: most studies here train on Human Numbers.",
        "read",
    ),
    Line(
        "2",
        "Why are the texts joined before training?",
        "So that windows of equal length cover them, each going on where another ended.",
        "read",
    ),
    Line(
        "3",
        "Which two changes make an ordinary network read three words?",
        "The first layer gets the first word alone and each later layer the next word beside what the layer "
        "before it put out; and all layers share one matrix.",
        "context",
        code="LMModel1",
    ),
    Line(
        "4",
        "How do layers share a matrix in PyTorch?",
        "One Linear is created, and called several times.",
        "context",
    ),
    Line(
        "5",
        "Write a module that predicts the third word from two.",
        "LMModel2 with a window of two: its loop runs over however many words it is given.",
        "context",
        code="LMModel2",
    ),
    Line(
        "6",
        "What is a recurrent neural network?",
        "One layer, applied again at every word to its own last output and to the next word: a loop.",
        "depth",
    ),
    Line(
        "7",
        "What is the hidden state?",
        "The activations that the loop hands on from word to word, and changes at each.",
        "growth",
    ),
    Line(
        "8",
        "What is it in LMModel1?",
        "What its three layers make one after the other: h1, h2, h3.",
        "context",
    ),
    Line(
        "9",
        "Why must the text come in order to keep the state?",
        "A state sums up the words before it, so that it is of use only to the words that come next in its "
        "row.",
        "order read",
        measured="order",
    ),
    Line(
        "10",
        "What is an unrolled recurrent network?",
        "Its loop, written out as one layer for each word.",
        "depth",
    ),
    Line(
        "11",
        "Why does a kept state cost memory and time, and what is the cure?",
        "The backward pass walks through all of its history; detach the state after each batch.",
        "history",
        measured="history",
    ),
    Line(
        "12",
        "What is BPTT?",
        "Backpropagation through time: the gradient of the unrolled loop. Truncated, as in the chapter, it "
        "goes back no further than the last detach, through 16 words at most where windows have 16.",
        "detach history",
    ),
    Line(
        "13",
        "Print the first batches of the validation set as text.",
        "The first section has them, and this is the code that prints them.",
        "read",
        code="batches",
    ),
    Line(
        "14",
        "What does ModelResetter do, and why?",
        "It zeroes the state at the start of every epoch and before each validation: other text follows.",
        "order",
    ),
    Line("15", "What is lost with one answer for three words?", "", "targets", measured="targets"),
    Line(
        "16",
        "Why does LMModel4 need a loss function of its own?",
        "It answers at every word: answers of 64×16×30 (rows, words, vocabulary) and targets of 64×16 are "
        "flattened to 1024×30 and 1024, which the cross-entropy takes.",
        "targets",
    ),
    Line("17", "Why is its training unstable?", "", "stability growth", measured="stability"),
    Line(
        "18",
        "Many layers in time: why stack more?",
        "Those in time share one matrix, and only one of them lies between the newest word and the output; "
        "stacked ones have their own.",
        "depth",
    ),
    Line(
        "19", "Draw a stacked RNN.", "Layer 2 reads, at every word, what layer 1 puts out.", "depth anatomy"
    ),
    Line(
        "20",
        "Why should detaching less often help, and why may it not?",
        "An error can then be traced to earlier words; but on its way back the gradient may fade or explode.",
        "detach gradients",
        measured="gradients",
        studied="detach",
    ),
    Line(
        "21",
        "Why do deep networks make very large or very small numbers, and why does it matter?",
        "",
        "growth precision",
        measured="growth",
    ),
    Line("22", "Which numbers are the most precise?", "", "spacing", measured="spacing"),
    Line("23", "Why do vanishing gradients prevent training?", "", "gradients", measured="gradients"),
    Line("24", "Why two states in an LSTM?", "", "recall gates", measured="recall"),
    Line("25", "What are they called?", "Cell state (c) and hidden state (h).", "gates"),
    Line("26", "What is tanh, and what has it to do with the sigmoid?", "", "tanh", measured="tanh"),
    Line(
        "27",
        "What is cat([h, input]) for?",
        "One matrix then reads state and input together: W·[h; x] = W_h·h + W_x·x.",
        "lstm",
    ),
    Line(
        "28",
        "What does chunk do?",
        "It cuts a tensor into equal parts, the last one smaller where the length does not divide: here "
        "the four gates.",
        "lstm",
    ),
    Line(
        "29",
        "Why is the refactored LSTMCell the same?",
        "The four gates' matrices stand in one, and are cut apart after the product; and as W·[h; x] = "
        "W_h·h + W_x·x, a Linear for h and one for x do the same as one for both.",
        "lstm",
        measured="lstm",
        code="GatesCell ChunkCell",
    ),
    Line(
        "30",
        "Why can LMModel6 have a higher learning rate?",
        HIGHER,
        "rate",
        studied="rate",
    ),
    Line(
        "31",
        "Which three regularisers does AWD-LSTM have?",
        "Dropout, activation regularisation and temporal activation regularisation.",
        "parts anatomy",
    ),
    Line(
        "32",
        "What is dropout?",
        "Zeroing each activation at random, with probability p, while training.",
        "scale",
        code="Dropout",
    ),
    Line(
        "33",
        "Why are activations scaled with dropout, and when?",
        "To keep their mean; in training only.",
        "scale",
        measured="scale",
    ),
    Line(
        "34",
        "What is the line for that returns x unless self.training?",
        "In evaluation nothing is dropped.",
        "scale",
    ),
    Line(
        "35",
        "Experiment with bernoulli_.",
        "It draws the mask: torch.empty(1000).bernoulli_(0.6).mean() is near 0.6, the share of ones. In "
        "dropout they come with probability 1 − p.",
        "scale",
    ),
    Line(
        "36",
        "How is a model put into training and evaluation mode?",
        "model.train() and model.eval().",
        "scale",
    ),
    Line(
        "37",
        "Activation regularisation as an equation; how does it differ from weight decay?",
        "loss + α · mean(a²), a the activations after dropout. Weight decay is on weights; fastai's is "
        "decoupled: it shrinks them at each update and is no term of the loss.",
        "parts anatomy",
        code="activation",
    ),
    Line(
        "38",
        "The temporal one; why not for images?",
        "loss + β · mean((hₜ − hₜ₋₁)²), the change of the activations from word to word; pixels have no such "
        "order in time.",
        "parts anatomy",
        code="temporal_activation",
    ),
    Line("39", "What is weight tying?", "The output layer uses the embedding's matrix.", "parts"),
    Line(
        "R1",
        "Why may LMModel2 begin with h = 0?",
        "A number is broadcast: 0 plus an embedding has the embedding's shape.",
        "context",
    ),
    Line(
        "R2",
        "Write an LSTM from scratch.",
        "Twice, in both of the chapter's forms: see the code of question 29.",
        "lstm",
        measured="lstm",
    ),
    Line(
        "R3",
        "Write a GRU from scratch and hold it against PyTorch's.",
        "In both published forms.",
        "gru",
        measured="gru",
        studied="gru",
        code="ResetAfterCell ResetBeforeCell",
    ),
    Line(
        "R4",
        "Map each line of AWD-LSTM's source to the chapter.",
        "Part by part, with what each was seen to do.",
        "anatomy",
        measured="anatomy",
    ),
)
