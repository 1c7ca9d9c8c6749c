"""Sections of the chapter's page about numbers, formulas and parts, as those of `measurements`."""

from functools import partial
from statistics import fmean

from reports.chapter.measurements import Shown, TextTable
from reports.figures import measurements as figures
from reports.figures.drawing import plot, power
from reports.figures.measurements import Data
from reports.figures.svg import picture
from reports.formats import count, number

FORMATS = ("float32", "float16", "bfloat16")


def spacing(data: Data) -> Shown:
    """Where floating-point numbers are dense."""
    at = data["exponents"].index(0)
    gaps = ", ".join(f"{power(data['gaps'][f][at])} in {f}" for f in FORMATS)
    first = ", ".join(f"{count(data['first_gap'][f])} in {f}" for f in FORMATS)
    x = [2.0**e for e in data["exponents"]]
    return Shown(
        text=f"Those near zero. From 1 to the next number it is {gaps}, and with every doubling of the "
        "magnitude the distance doubles: a format keeps a number of digits, not of decimals. "
        f"{number(100 * data['share_below_one'], 1)} % of all positive float32 lie below 1. The first "
        f"whole number that cannot be held: {first}.",
        picture=picture(
            "q-spacing",
            "Distance to the next number",
            f"Distance from a number to the next against its magnitude, both logarithmic. At 1: {gaps}.",
            partial(
                plot,
                [(f, x, data["gaps"][f]) for f in FORMATS],
                "magnitude",
                "distance to the next",
                log=True,
            ),
        ),
        caption="Distance from a number to the next one of the same format, at every power of two.",
    )


def precision(data: Data, cells: Data) -> Shown:
    """What half the precision costs: repeated products, and a trained network."""
    steps, errors = data["steps"], {f: data["errors"][f] for f in ("float32", "bfloat16")}
    one, half = (power(e[-1]) for e in errors.values())
    times = fmean(b / f for f, b in zip(*errors.values(), strict=True))
    rounding = cells["rounding"]
    moved = {f: max(abs(r[f]["loss"] - r["float64"]["loss"]) for r in rounding) for f in rounding[0]}
    rows = tuple(
        (
            f,
            number(fmean(r[f]["loss"] for r in rounding), 5),
            power(moved[f]),
            f"{number(100 * min(r[f]['same'] for r in rounding), 2)} %",
        )
        for f in ("float64", *errors)
    )
    return Shown(
        text=f"Multiply vectors by one orthogonal matrix {steps[-1]} times: their length should not "
        f"change. The relative error ends at {one} in float32 and at {half} in bfloat16, on average "
        f"{count(times)} times as large. Trained LSTMs of one layer, read in these formats, change their "
        f"validation loss by up to {power(moved['float32'])} and {power(moved['bfloat16'])} nats. "
        "That is evaluation alone; the next question trains.",
        picture=picture(
            "q-precision",
            "Rounding error of repeated products",
            f"Relative error by the number of products, both logarithmic: {one} and {half} at the end.",
            partial(plot, [(f, steps, e) for f, e in errors.items()], "products", "relative error", log=True),
        ),
        caption=f"Relative error of x ← Q·x, Q orthogonal of size {data['size']}, against double precision.",
        table=TextTable(
            label="Trained LSTMs read in three formats",
            head=(
                "Format",
                f"Loss, mean of {len(rounding)} seeds",
                "Largest change",
                "Same guesses, at least",
            ),
            rows=rows,
        ),
    )


def tanh(data: Data) -> Shown:
    """tanh is a sigmoid, stretched."""
    steep = data["steepest"]
    return Shown(
        text="tanh(x) = 2σ(2x) − 1: on the grid drawn here the two sides differ by at most "
        f"{power(data['gap'])}. tanh reaches from −1 to 1 and is centred on 0; σ reaches from 0 to 1, "
        f"which suits a gate. At its steepest tanh has a slope of {number(steep['tanh'], 2)} and σ one of "
        f"{number(steep['sigmoid'], 2)}.",
        picture=picture(
            "q-tanh",
            "tanh from the sigmoid",
            "tanh(x) and σ(x) as lines, 2σ(2x) − 1 as rings that lie on tanh.",
            partial(figures.tanh, data),
        ),
        caption="Lines: tanh(x) and σ(x). Rings: 2σ(2x) − 1.",
    )


def history(data: Data) -> Shown:
    """The section on detaching: the autograd graph with and without it."""
    cut, whole = data["detached"], data["not detached"]
    batches = len(whole["nodes"])
    memory = {name: [b / 2**20 for b in data[name]["bytes"]] for name in ("detached", "not detached")}
    last = [number(m[-1], 1) for m in memory.values()]
    return Shown(
        text="A state that is kept drags along how it was computed. In LMModel4, without detaching, the "
        f"backward pass of batch {batches} walks through {count(whole['nodes'][-1])} nodes, back to the "
        f"first word of the epoch, and {last[1]} MiB are held for it; each batch adds as much again. "
        f"Detached after each batch, it is {count(cut['nodes'][-1])} nodes and {last[0]} MiB, however long "
        "the text. What remains is truncated backpropagation through time (BPTT): the state goes on, and "
        f"gradients flow back {data['window']} words.",
        picture=picture(
            "q-history",
            "Memory held for the backward pass, by batch",
            f"MiB held against batches read: {last[0]} at the end with detaching, {last[1]} without.",
            partial(
                plot,
                [(name, range(1, batches + 1), held) for name, held in memory.items()],
                "batches read",
                "MiB held",
            ),
        ),
        caption="Memory of the tensors that the backward pass of a batch needs, by batches read since the "
        "last reset.",
    )


def lstms(data: Data) -> Shown:
    """LSTM cells from scratch against torch's."""
    return _same(
        {name: found for name, found in data.items() if name.startswith("LSTM")},
        "cat([h, x]) lets one matrix do the work of two; chunk(4) takes the four gates out of one product.",
    )


def grus(data: Data) -> Shown:
    """The GRU cell from scratch against torch's."""
    return _same(
        {name: found for name, found in data.items() if name.startswith("GRU")},
        "The form that resets before the matrix product is another function, which nn.GRU does not have.",
    )


def _same(data: Data, remark: str) -> Shown:
    worst = max(max(d.values()) for d in data.values())
    cells = sorted(data)
    return Shown(
        text="Given the same weights, a cell from scratch and torch's own differ by at most "
        f"{power(worst)} in double precision, gradients included. {remark} Whether they also train alike is "
        "the study's question.",
        table=TextTable(
            label="Largest difference from torch's cell with the same weights",
            head=("Cell", "Outputs", "Gradient at the input"),
            rows=tuple((n, power(data[n]["outputs"]), power(data[n]["gradients"])) for n in cells),
        ),
    )


def dropout(data: Data) -> Shown:
    """The section on the factor 1/(1−p) of dropout."""
    losses, means = data["losses"], data["means"]
    half = next(m for m in means if m["p"] == 0.5)
    drawn = [
        (n, [m["p"] for m in means], [m[k] for m in means])
        for n, k in (("divided", "scaled"), ("not", "unscaled"))
    ]
    return Shown(
        text="So that the layer behind it meets the same mean with dropout and without: ones after "
        f"dropout of .5 have a mean of {number(half['scaled'], 3)} with the division by 1−p and of "
        f"{number(half['unscaled'], 3)} without. It is done in training only, and evaluation stays as it "
        f"is. One trained LMModel7 (p = {data['p']:g}, seed {data['seed']}) has a validation loss of "
        f"{number(losses['as it is'])} nats; with the larger activations that it would meet had training "
        f"not divided, {number(losses['not scaled'])}; with dropout left on in evaluation, "
        f"{number(losses['left on'])}. One seed illustrates and proves nothing.",
        picture=picture(
            "q-divided",
            "Dropout with and without its division",
            "Mean of ones after dropout against p: it stays at 1 with the division and falls as 1−p without.",
            partial(plot, drawn, "p", "mean of the ones"),
        ),
        caption="The mean of many ones after dropout, against p, divided by 1−p and not.",
    )


def anatomy(data: Data) -> Shown:
    """AWD-LSTM's lines, by the chapter's names."""
    rows = data["rows"]
    good = sum(bool(r["ok"]) for r in rows)
    return Shown(
        text=f"Each of {len(rows)} parts of fastai's AWD_LSTM and of what trains it was exercised alone; "
        f"{good} of them were seen to do what the chapter's word for them says.",
        table=TextTable(
            label="The parts of AWD-LSTM",
            head=("Line", "In the chapter", "Seen"),
            rows=tuple((r["line"], r["concept"], f"{'✓' if r['ok'] else '✕'} {r['seen']}") for r in rows),
        ),
    )
