"""The chapter's questionnaire in our words and its numbering, a line for each, and where the evidence is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Asked:
    """One of the questions that close the chapter; `number` counts its further research as R1 to R4."""

    number: str
    asked: str
    short: str
    sections: tuple[str, ...]  # questions of the page


QUESTIONNAIRE = (
    Asked(
        "1",
        "What to do when a data set is too slow to work with?",
        "Find a small one that has the same problem: most studies here train on Human Numbers.",
        ("read",),
    ),
    Asked(
        "2",
        "Why are the texts joined before training?",
        "So that windows of equal length cover them, each going on where another ended.",
        ("read",),
    ),
    Asked(
        "3",
        "Which two changes make an ordinary network read three words?",
        "Each layer also takes in the next word, and all layers share one matrix.",
        ("context",),
    ),
    Asked(
        "4",
        "How do layers share a matrix in PyTorch?",
        "One Linear is created, and called several times.",
        ("context",),
    ),
    Asked(
        "5",
        "Write a module that tells the third word from two.",
        "LMModel2 with a window of two.",
        ("context",),
    ),
    Asked(
        "6",
        "What is a recurrent neural network?",
        "One layer, applied again at every word to its own last output: a loop.",
        ("depth",),
    ),
    Asked("7", "What is the hidden state?", "What the loop hands on from word to word.", ("growth",)),
    Asked("8", "What is it in LMModel1?", "h, written out three times.", ("context",)),
    Asked(
        "9",
        "Why must the text come in order to keep the state?",
        "A state belongs to the words that follow it, in the same row.",
        ("order", "read"),
    ),
    Asked(
        "10",
        "What is an unrolled recurrent network?",
        "Its loop, written out as one layer for each word.",
        ("depth",),
    ),
    Asked(
        "11",
        "Why does a kept state cost memory and time, and what is the cure?",
        "Its history grows with every batch; detach it.",
        ("history",),
    ),
    Asked(
        "12",
        "What is BPTT?",
        "The gradient of the unrolled loop; truncated, it goes back no further than the last detach.",
        ("detach", "history"),
    ),
    Asked("13", "Print the first batches of the validation set as text.", "Here they are.", ("read",)),
    Asked(
        "14",
        "What does ModelResetter do, and why?",
        "It zeroes the state before training and before validation: other text follows.",
        ("order",),
    ),
    Asked("15", "What is lost with one answer for three words?", "Two answers of three.", ("targets",)),
    Asked(
        "16",
        "Why does LMModel4 need a loss function of its own?",
        "It answers at every word: answers and targets are flattened to one list.",
        ("targets",),
    ),
    Asked(
        "17",
        "Why is its training unstable?",
        "One matrix is multiplied at every word, and ReLU does not bound the product.",
        ("stability", "growth"),
    ),
    Asked(
        "18",
        "Many layers in time: why stack more?",
        "Those in time share one matrix; stacked ones have their own.",
        ("depth",),
    ),
    Asked(
        "19",
        "Draw a stacked RNN.",
        "Layer 2 reads, at every word, what layer 1 puts out.",
        ("depth", "anatomy"),
    ),
    Asked(
        "20",
        "Why should detaching less often help, and why may it not?",
        "More words can be blamed; but a plain RNN's gradient fades or explodes on the way.",
        ("detach", "gradients"),
    ),
    Asked(
        "21",
        "Why do deep networks make very large or very small numbers, and why does it matter?",
        "Each layer multiplies; the numbers and their gradients leave what can be computed with.",
        ("growth", "precision"),
    ),
    Asked("22", "Which numbers are the most precise?", "Those near zero.", ("spacing",)),
    Asked(
        "23",
        "Why do vanishing gradients prevent training?",
        "What does not reach a word teaches nothing about it.",
        ("gradients",),
    ),
    Asked(
        "24",
        "Why two states in an LSTM?",
        "The cell state adds up and remembers; the hidden state is what is told of it now.",
        ("growth", "gradients"),
    ),
    Asked("25", "What are they called?", "Cell state (c) and hidden state (h).", ("growth",)),
    Asked("26", "What is tanh, and what has it to do with the sigmoid?", "tanh(x) = 2σ(2x) − 1.", ("tanh",)),
    Asked("27", "What is cat([h, input]) for?", "One matrix then reads state and input together.", ("lstm",)),
    Asked("28", "What does chunk do?", "It cuts a tensor into equal parts: here the four gates.", ("lstm",)),
    Asked(
        "29",
        "Why is the refactored LSTMCell the same?",
        "The four gates' matrices stand in one, and are cut apart after the product.",
        ("lstm",),
    ),
    Asked(
        "30",
        "Why can LMModel6 have a higher learning rate?",
        "The chapter's answer: its gates keep gradients in range. The study measures how much higher.",
        ("rate", "gradients"),
    ),
    Asked(
        "31",
        "Which three regularisers does AWD-LSTM have?",
        "Dropout, activation regularisation and temporal activation regularisation.",
        ("parts", "anatomy"),
    ),
    Asked(
        "32", "What is dropout?", "Zeroing each activation with probability p, while training.", ("scale",)
    ),
    Asked(
        "33",
        "Why are activations scaled with dropout, and when?",
        "To keep their mean; in training only.",
        ("scale",),
    ),
    Asked(
        "34",
        "What is the line for that returns x unless self.training?",
        "In evaluation nothing is dropped.",
        ("scale",),
    ),
    Asked("35", "Experiment with bernoulli_.", "It draws the mask: ones with probability 1 − p.", ("scale",)),
    Asked(
        "36",
        "How is a model put into training and evaluation mode?",
        "model.train() and model.eval().",
        ("scale",),
    ),
    Asked(
        "37",
        "Activation regularisation as an equation; how does it differ from weight decay?",
        "α times the mean square of the activations after dropout; weight decay is on weights.",
        ("parts", "anatomy"),
    ),
    Asked(
        "38",
        "The temporal one; why not for images?",
        "β times the mean square of the change from word to word; pixels have no such order in time.",
        ("parts", "anatomy"),
    ),
    Asked("39", "What is weight tying?", "The output layer uses the embedding's matrix.", ("parts",)),
    Asked(
        "R1",
        "Why may LMModel2 begin with h = 0?",
        "A number is broadcast: 0 plus an embedding has the embedding's shape.",
        ("context",),
    ),
    Asked("R2", "Write an LSTM from scratch.", "Twice, in both of the chapter's forms.", ("lstm",)),
    Asked(
        "R3",
        "Write a GRU from scratch and hold it against PyTorch's.",
        "In both published forms; one of them is nn.GRU.",
        ("gru",),
    ),
    Asked(
        "R4",
        "Map each line of AWD-LSTM's source to the chapter.",
        "Line by line, with what each was seen to do.",
        ("anatomy",),
    ),
)
