"""Sections about long distances: states over many steps, gradients far back, a digit to be recalled."""

from functools import partial
from statistics import fmean

from bench.trial import counted
from reports.chapter.shown import WINDOW, Shown, TextTable, percent
from reports.figures import measurements as figures
from reports.figures.drawing import plot, power
from reports.figures.measurements import STATES, Data
from reports.figures.svg import picture
from reports.formats import count, listed, number

CELLS = ("ReLU", "tanh", "LSTM", "GRU")
PLAIN, GATED = CELLS[:2], CELLS[2:]
RECALL = (*CELLS, "LSTM, bias 1")
BACK = WINDOW
LEFT = 0.01  # share of a gradient below which it has vanished
GROWS = 1.25  # from the window's end to the end of the text
LEARNT = 0.9  # accuracy


def growth(data: Data) -> Shown:
    """How far states grow over many steps."""
    steps = max(int(n) for run in data["states"]["ReLU"]["end"]["h"] for n in run)
    names = {state: f"{state[0]}’s {state[1]}" for state in STATES}
    at = {
        n: {s: max(float(run[str(n)]) for run in data["states"][s[0]]["end"][s[1]]) for s in STATES}
        for n in (BACK, steps)
    }
    said = ", ".join(f"{names[s]} {power(round(v, 2))}" for s, v in at[steps].items())
    times = {names[s]: at[steps][s] / at[BACK][s] for s in STATES}
    growing = [f"{name} grows {number(by, 1)}-fold" for name, by in times.items() if by > GROWS]
    return Shown(
        answer="Each layer multiplies, so that numbers and gradients can grow or shrink by a factor at every "
        "step, in the extreme to infinity or zero, and a weight then learns too fast or not at all; in "
        f"trained networks here {listed(growing) if growing else 'no state grows'} from {BACK} words to "
        f"{count(steps)}.",
        text=f"Trained networks of one layer read {count(steps)} words of validation text without a reset. "
        f"The largest number in the state at the end: {said}. After {BACK} words it is "
        + ", ".join(power(round(v, 2)) for v in at[BACK].values())
        + " in the same order. By their formulas tanh, a GRU's h and an LSTM's h stay between −1 and 1; "
        "the LSTM's c adds at most 1 a word; ReLU has no such bound.",
        picture=picture(
            "q-growth",
            "The largest number in the state over many steps",
            "Largest absolute entry of the state by words read, one panel a state, both logarithmic. At "
            f"the end: {said}.",
            partial(figures.growth, data["states"]),
        ),
        caption="The largest |entry| of the state against words read, both logarithmic. Dashed: before "
        f"training. Solid: after. One line for each of {len(data['seeds'])} seeds.",
    )


def gradients(data: Data) -> Shown:
    """How much of a loss's gradient is left k words back, while a network is trained."""
    far = data["gradients"]
    epochs = sorted(int(e) for e in far["ReLU"])
    start, end = str(epochs[0]), str(epochs[-1])
    last = data["back"] - 1
    rows = tuple(
        (cell, *(power(far[cell][str(e)][BACK]) for e in epochs), power(far[cell][end][last]))
        for cell in CELLS
    )
    return Shown(
        answer="Every step back multiplies a gradient once more, and if almost none of it reaches an early "
        f"word, the weights are not told how to use that word. {_vanished(far, start)} "
        f"{_trained(far, start, end)}",
        text="The loss of one word is differentiated by the embedding of the word k places before it, along "
        "the training text with the state carried from its beginning. The table has what is left "
        f"{BACK} words back, as a share of what the newest word gets; below {LEFT:g} it counts as vanished. "
        f"{_gates(far, end, last)}",
        picture=picture(
            "q-gradients",
            "The gradient k words back, by epochs of training",
            "Share of the newest word's gradient by distance, logarithmic, one panel a cell, one line an "
            "epoch.",
            partial(figures.gradients, far, CELLS),
        ),
        caption="‖∂(loss)/∂(embedding k words back)‖ as a share of that at k = 0, one layer of each cell, in "
        f"double precision: geometric mean over {len(data['seeds'])} seeds, one line for each number of "
        "epochs.",
        table=TextTable(
            f"Share of the gradient {BACK} words back",
            ("Cell", *(counted(e, "epoch") for e in epochs), f"{last} words back, at the end"),
            rows,
        ),
    )


def _vanished(far: Data, start: str) -> str:
    gone = [c for c in CELLS if far[c][start][BACK] < LEFT]
    times = min(far[c][start][BACK] for c in GATED) / max(far[c][start][BACK] for c in PLAIN)
    kept = f", though with gates at least {count(times)} times as much is left" if times >= 2 else ""
    if len(gone) == len(CELLS):
        return f"Before training the gradient vanishes within {BACK} words, with gates and without{kept}."
    rest = f"{listed(gone)} lose it within {BACK} words" if gone else f"no cell loses it within {BACK} words"
    return f"Before training {rest}{kept}."


def _trained(far: Data, start: str, end: str) -> str:
    reach = [c for c in CELLS if far[c][end][BACK] > max(LEFT, far[c][start][BACK])]
    if len(reach) == len(CELLS):
        overcome = "overcomes that here and " if any(far[c][start][BACK] < LEFT for c in CELLS) else ""
        return f"Training {overcome}lets it reach further in all of them."
    return f"Training lets it reach {BACK} words back in {listed(reach) if reach else 'none of them'}."


def _gates(far: Data, end: str, last: int) -> str:
    """Which cells keep more of the gradient, at the window's length and as far as was looked."""
    left, said = {c: far[c][end] for c in CELLS}, []
    for more, ours, less, theirs in (("gated", GATED, "plain", PLAIN), ("plain", PLAIN, "gated", GATED)):
        at = [str(k) for k in (BACK, last) if min(left[c][k] for c in ours) > max(left[c][k] for c in theirs)]
        if at:
            said.append(f"both {more} cells keep more of it {listed(at)} words back than both {less} ones")
    return f"After training {'; '.join(said) or 'neither the gated nor the plain cells keep more of it'}."


def recall(data: Data) -> Shown:
    """Which cell learns to recall a digit over how many fillers."""
    found = {c: {int(k): fmean(v) for k, v in data["accuracy"][c].items()} for c in RECALL}
    accuracy = {c: dict(sorted(by.items())) for c, by in found.items()}
    reach = {c: max((k for k, a in by.items() if a >= LEARNT), default=0) for c, by in accuracy.items()}
    best, most = max(reach.values()), max(next(iter(accuracy.values())))
    far = [c for c, k in reach.items() if k == best]
    drawn = [(c, list(by), list(by.values())) for c, by in accuracy.items()]
    rows = tuple((c, *(number(a, 2) for a in by.values())) for c, by in accuracy.items())
    plain, gated = ([reach[c] for c in group] for group in (PLAIN, GATED))
    furthest = f" Furthest: {listed(far)}, over {best}{' or more' if best == most else ''} words."
    return Shown(
        answer="The cell state c can stay as it is where its gates allow it; the hidden state h is what is "
        f"shown of it. Within {data['steps']} updates here {_memory(plain, gated)}{furthest if best else ''} "
        f"{_one_state(reach['GRU'], reach['LSTM'])} {_opened(reach['LSTM'], reach[RECALL[-1]])}",
        text="A network reads one of nine digits, then k times the same filler, and is asked which digit it "
        "was: only a state that lasts helps. One layer of 64, at the chapter's learning rate for the cell "
        f"({_rates(data['lr'])}), {data['steps']} updates of {data['rows']} texts for each k; mean of "
        f"{counted(len(data['seeds']), 'seed')}. A cell learns a distance where at least "
        f"{percent(LEARNT)} are right; guessing reaches {percent(data['chance'])}. “LSTM, bias "
        "1” begins with forget gates that are mostly open: the biases of torch's begin near 0, where a "
        "gate forgets half of its state at every word.",
        picture=picture(
            "q-recall",
            "A digit recalled over k words",
            "Accuracy by the number of fillers, one line a cell. "
            + ", ".join(f"{c}: {k} fillers" for c, k in reach.items()),
            partial(plot, drawn, "fillers between the digit and the question", "accuracy"),
        ),
        caption="Accuracy after training, by the number of fillers between the digit and the question.",
        table=TextTable(
            "Accuracy by the number of fillers",
            ("Cell", *(f"{k} fillers" for k in next(iter(accuracy.values())))),
            rows,
        ),
    )


def _rates(lr: Data) -> str:
    """'0.003 for ReLU and tanh, 0.01 for LSTM'."""
    cells = {rate: [c for c in RECALL if lr[c] == rate] for rate in sorted(set(lr.values()))}
    return ", ".join(f"{rate:g} for {listed(named)}" for rate, named in cells.items())


def _one_state(gru: int, lstm: int) -> str:
    """Whether recall takes a second state: a GRU has one, which its update gate can keep."""
    if gru >= lstm:
        return "Two states are not needed for it: a GRU keeps its only one."
    return "A GRU, which keeps its only state, gets less far than an LSTM."


def _opened(closed: int, opened: int) -> str:
    """Whether an LSTM reaches further if its forget gates begin open."""
    if opened > closed:
        return f"With forget gates that begin open an LSTM gets from {closed} words to {opened}."
    return "Forget gates that begin open do not take an LSTM further."


def _memory(plain: list[int], gated: list[int]) -> str:
    if min(gated) > max(plain):
        return "cells with gates recall a digit over more words than cells without."
    if max(gated) > max(plain):
        return "a cell with gates recalls a digit over the most words, but not every cell with gates does."
    return "gates do not help to recall a digit over more words."
