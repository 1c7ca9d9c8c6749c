"""Sections of the chapter's page from measurements: sentences that state its numbers, a picture, a table.

Every function takes the measurement's plain data (see `bench.analyses`), as JSON gives it back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from statistics import fmean, stdev

from markupsafe import Markup

from reports.figures import measurements as figures
from reports.figures.drawing import plot, power
from reports.figures.measurements import STATES, Data
from reports.figures.svg import picture
from reports.formats import count, number
from reports.statistics.contrasts import contrast
from reports.statistics.verdicts import Verdict, grounds, sentence, verdict

DELTA = 0.02  # nats; as the studies declare it
ONE = "one contrast,"  # in place of the correction of several
CELLS = ("ReLU", "tanh", "LSTM", "GRU")
BACK = 16  # tokens: the chapter's window


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """Rows of text under headings; the first column names the row."""

    label: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class JudgedWay:
    """A contrast of two ways to train, as a claim: of what, its verdict, the rest of its sentence."""

    what: str
    verdict: Verdict
    text: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An answer from a measurement, and the evidence for it."""

    text: str
    picture: Markup | None = None
    caption: str = ""
    table: TextTable | None = None
    judged: JudgedWay | None = None


def batches(data: Data) -> Shown:
    """What the network reads, in words."""
    asked = {(r["batch"], r["row"]): str(r["asked"]).split()[-1] for r in data["rows"]}
    read = {(r["batch"], r["row"]): str(r["read"]).split()[0] for r in data["rows"]}
    goes_on = all(asked[b - 1, row] == first for (b, row), first in read.items() if b)
    return Shown(
        text=f"The validation set of LMModel4 has {data['batches']} batches of {data['of']} rows. What is "
        "asked for is what is read, moved by one word. In these rows a batch "
        f"{'goes' if goes_on else 'does not go'} on where the same row of the batch before it stopped.",
        table=TextTable(
            label="The first validation batches",
            head=("Where", "Read", "Asked for"),
            rows=tuple((f"batch {r['batch']}, row {r['row']}", r["read"], r["asked"]) for r in data["rows"]),
        ),
    )


def targets(data: Data) -> Shown:
    """One word in three against every word."""
    last, every = (_by_seed(data["losses"][k]) for k in ("last", "every"))
    return _two_ways(
        "targets",
        "One word in three against every word",
        {"one word in three": last, "every word": every},
        ("asked for every word", "asked for one word in three"),
        text="Three words in and one answer out uses one of three answers that the text holds. "
        f"LMModel3's network, its windows of {data['window']} words and {count(data['updates'])} updates "
        f"({count(data['tokens'])} tokens read) are trained on one answer a window or on every one; both "
        "are then asked for every word of the same validation text. Mean loss: "
        f"{number(fmean(last.values()))} nats with one, {number(fmean(every.values()))} with every one.",
        caption="Each line is one seed: the loss on every validation word, after training on one word in "
        "three (above) and on every word (below). Solid where every word is better. Diamonds: means.",
    )


def halved(data: Data) -> Shown:
    """Training with products of half the precision."""
    whole, half = (_by_seed(data[k]) for k in ("float32", "bfloat16"))
    return _two_ways(
        "training",
        "Training in float32 and with products in bfloat16",
        {"float32": whole, "bfloat16": half},
        ("products in bfloat16", "all in float32"),
        text="LMModel4 is trained twice from each seed: all in float32, and as mixed precision has it, with "
        "every matrix product in bfloat16 and weights, sums and updates in float32. Mean validation loss: "
        f"{number(fmean(whole.values()))} nats and {number(fmean(half.values()))} nats.",
        caption="Each line is one seed: its validation loss after training in float32 (above) and with "
        "products in bfloat16 (below). Solid where bfloat16 is better, dashed where it is worse. Diamonds: "
        "means.",
    )


def _by_seed(losses: Mapping[str, float]) -> dict[int, float]:
    return {int(seed): float(loss) for seed, loss in losses.items()}


def _two_ways(
    name: str,
    title: str,
    ways: Mapping[str, Mapping[int, float]],
    said: tuple[str, str],
    *,
    text: str,
    caption: str,
) -> Shown:
    """Losses by seed of two ways to train, the second judged against the first."""
    above, below = ways.values()
    c = contrast(below, above, delta=DELTA)
    v = verdict(c, c.p)
    about = f"Validation loss by seed: {title}. {sentence(v, *said, correction=ONE)}"
    return Shown(
        text=text,
        picture=picture(f"q-{name}", title, about, partial(figures.pairs, above, below, tuple(ways))),
        caption=caption,
        judged=JudgedWay(what=said[0], verdict=v, text=grounds(v, correction=ONE)),
    )


def stability(data: Data) -> Shown:
    """Why LMModel4 is unstable: its numbers, and those of a network that tanh bounds."""
    relu, tanh = data["LMModel4"], data["tanh"]
    ends = [[s["accuracy"][-1] for s in runs] for runs in (relu, tanh)]
    low, high = min(ends[0]), max(ends[0])
    falls = [
        sum(b < a - 0.02 for s in runs for a, b in zip(s["accuracy"], s["accuracy"][1:], strict=False))
        for runs in (relu, tanh)
    ]
    spread = [number(stdev(e), 3) if len(e) > 1 else "–" for e in ends]
    radius = [number(fmean(s["radius"][-1] for s in runs), 2) for runs in (relu, tanh)]
    grown = [power(round(max(max(s["activation"]) for s in runs), 2)) for runs in (relu, tanh)]
    steep = [[max(s["gradient"]) for s in runs] for runs in (relu, tanh)]
    norms = [f"{number(min(s), 1)} to {number(max(s), 1)}" for s in steep]
    return Shown(
        text="LMModel4 multiplies its state by one matrix at every word, through a whole epoch. Over "
        f"{len(relu)} seeds the spectral radius of that matrix goes from "
        f"{number(fmean(s['radius'][0] for s in relu), 2)} to {radius[0]}; above 1, only the activation "
        f"function bounds the product. ReLU does not: the largest activation reaches {grown[0]}, and the "
        f"largest gradient norm of a training is {norms[0]}. With tanh (nn.RNN, one layer) the radius "
        f"ends at {radius[1]}, the largest activation is {grown[1]}, the largest norm {norms[1]}. "
        f"LMModel4 ends between {number(low, 3)} and {number(high, 3)} accuracy, SD {spread[0]} (tanh: "
        f"{spread[1]}), and falls by more than .02 from one epoch to the next {falls[0]} times (tanh: "
        f"{falls[1]}).",
        picture=picture(
            "q-watched",
            f"LMModel4 watched over {len(relu)} trainings",
            "Four panels by epoch: validation accuracy, largest activation, largest gradient norm, "
            "spectral radius of the hidden-to-hidden matrix. LMModel4 solid, a tanh network dashed. "
            f"Largest activations: {grown[0]} and {grown[1]}.",
            partial(figures.stability, relu, tanh),
        ),
        caption="By epoch, one line a seed. Solid: LMModel4 (ReLU). Dashed: nn.RNN of one layer with "
        "tanh. Activation and gradient norm are the largest of an epoch, on logarithmic scales.",
    )


def growth(data: Data) -> Shown:
    """How far states grow over many steps."""
    steps = max(int(n) for run in data["states"]["ReLU"]["end"]["h"] for n in run)
    largest = [
        (
            f"{cell}'s {part}" if cell == "LSTM" else cell,
            max(float(r[str(steps)]) for r in data["states"][cell]["end"][part]),
        )
        for cell, part in STATES
    ]
    said = ", ".join(f"{name} {power(round(value, 2))}" for name, value in largest)
    return Shown(
        text="A state that is multiplied at every word grows or shrinks by a factor a word, unless "
        f"something bounds it. After {count(steps)} words of validation text, read on and on by trained "
        f"networks of one layer, the largest number in the state is: {said}. tanh, a GRU's h and an "
        "LSTM's h cannot leave −1 to 1, by their formulas. ReLU and the LSTM's cell state c have no such "
        "bound: the one repeats a product, the other adds, and forgets by a gate below 1.",
        picture=picture(
            "q-growth",
            "The largest number in the state over many steps",
            "Largest absolute entry of the state by tokens read, one panel a state, both logarithmic. At "
            f"the end: {said}.",
            partial(figures.growth, data["states"]),
        ),
        caption="The largest |entry| of the state against tokens read, both logarithmic. Dashed: before "
        f"training. Solid: after. One line for each of {len(data['seeds'])} seeds.",
    )


def gradients(data: Data) -> Shown:
    """How much of a gradient is left k tokens back."""
    far = data["gradients"]
    said = "; ".join(f"{c} {power(far[c]['start'][BACK])} and {power(far[c]['end'][BACK])}" for c in CELLS)
    rising = [c for c in CELLS if max(far[c]["end"]) > 1]
    return Shown(
        text="A weight learns from a word only through the gradient that arrives there. What arrives at "
        f"the word {BACK} tokens back, as a share of what arrives at the last one, before and after "
        f"training: {said}. "
        + (
            "After training the share exceeds 1 somewhere on the way back, where the gradient grows: "
            f"{', '.join(rising)}."
            if rising
            else "After training it exceeds 1 nowhere within these tokens: gradients vanish here and do not "
            "explode."
        ),
        picture=picture(
            "q-gradients",
            "The gradient k tokens back",
            "Share of the last word's gradient by distance in tokens, logarithmic, before and after "
            f"training. {said}.",
            partial(figures.gradients, far, CELLS),
        ),
        caption="‖∂(last output)/∂(embedding k tokens back)‖ as a share of that at k = 0, one layer of "
        f"each cell, in double precision; geometric mean over {len(data['seeds'])} seeds.",
    )


def coverage(data: Data) -> Shown:
    """How much of each validation set is new."""
    names = {"tail": "last fifth", "blocks": "blocks"}
    tail, blocks = (f"{number(100 * data[k]['new']['2'], 1)} %" for k in names)
    pair = "; ".join(
        f"most often “{m['pair']}”, {count(m['times'])} times" for m in data["tail"]["most_common"]
    )
    drawn = [
        (n, [int(g) for g in data[k]["new"]], [100 * v for v in data[k]["new"].values()])
        for k, n in names.items()
    ]
    return Shown(
        text=f"The chapter validates on the last fifth of the numbers. {tail} of its "
        f"{count(data['tail']['targets'])} targets end a pair of words that training never "
        f"holds{f' ({pair})' if pair else ''}, against {blocks} where random contiguous blocks are held "
        "out. The one split asks whether a model goes on counting where nothing has been seen, the other "
        "whether it has learnt what it was shown.",
        picture=picture(
            "q-coverage",
            "How much of the validation text is new",
            f"Share of targets that end n words never seen together in training, by n. Pairs: {tail} and "
            f"{blocks}.",
            partial(plot, drawn, "n, words", "% of targets"),
        ),
        caption="Share of validation targets whose last n words, the target among them, never stand "
        "together in the training text.",
    )
