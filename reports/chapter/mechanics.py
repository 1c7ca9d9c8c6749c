"""Sections of the chapter's page about numbers, formulas and parts."""

from collections.abc import Mapping
from functools import partial
from statistics import fmean

from reports.chapter.shown import Shown, TextTable, percent
from reports.figures import measurements as figures
from reports.figures.drawing import plot, power
from reports.figures.measurements import Data
from reports.figures.svg import picture
from reports.formats import count, number

FORMATS = ("float32", "float16", "bfloat16")
ROUNDING = 1e-12  # of double precision, over a few steps


def spacing(data: Data) -> Shown:
    """Where floating-point numbers are dense."""
    at = data["exponents"].index(0)
    gaps = ", ".join(f"{power(data['gaps'][f][at])} in {f}" for f in FORMATS)
    first = ", ".join(f"{count(data['first_gap'][f])} in {f}" for f in FORMATS)
    x = [2.0**e for e in data["exponents"]]
    shares = {g / v for f in FORMATS for g, v in zip(data["gaps"][f], x, strict=True)}
    fixed = len(shares) == len(FORMATS)  # one for each format
    relative = (
        ": a format keeps a fixed number of significant digits, so the relative precision is the same at "
        "every magnitude (down to the very smallest numbers, which lose digits)."
        if fixed
        else "; relative to the magnitude the distance differs too."
    )
    return Shown(
        answer=f"Those near zero lie closest together{relative}",
        text=f"From 1 to the next number it is {gaps}"
        f"{', and with every doubling of the magnitude the distance doubles' if fixed else ''}. "
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
    same = {f: min(r[f]["same"] for r in rounding) for f in rounding[0]}
    loss = {f: fmean(r[f]["loss"] for r in rounding) for f in rounding[0]}
    rows = [(f, number(loss[f], 5), power(moved[f]), percent(same[f], 2)) for f in ("float64", *errors)]
    return Shown(
        answer=f"The rounding error grows with every product, to {one} in float32 and {half} in bfloat16 "
        f"after {steps[-1]}; a trained LSTM read in bfloat16 still makes {percent(same['bfloat16'], 1)} of "
        "its guesses as in double precision.",
        text="Vectors are multiplied by one orthogonal matrix, which turns them and changes no length, "
        f"{steps[-1]} times. The error of the vector, relative to its length, is in bfloat16 on average "
        f"{count(times)} times as large as in float32. Trained LSTMs of one layer, read in these formats, "
        f"change their validation loss by up to {power(moved['float32'])} and {power(moved['bfloat16'])} "
        "nats. That is evaluation alone; the next question trains.",
        picture=picture(
            "q-precision",
            "Rounding error of repeated products",
            f"Relative error by the number of products, both logarithmic: {one} and {half} at the end.",
            partial(plot, [(f, steps, e) for f, e in errors.items()], "products", "relative error", log=True),
        ),
        caption=f"Relative error of x ← Q·x, Q orthogonal of size {data['size']}, against double precision.",
        table=TextTable(
            "Trained LSTMs read in three formats",
            ("Format", f"Loss, mean of {len(rounding)} seeds", "Largest change", "Same guesses, at least"),
            rows,
        ),
    )


def tanh(data: Data) -> Shown:
    """tanh is a sigmoid, stretched."""
    steep = data["steepest"]
    return Shown(
        answer="tanh(x) = (eˣ − e⁻ˣ)/(eˣ + e⁻ˣ) squashes any number to between −1 and 1; it is the sigmoid "
        "σ, stretched: tanh(x) = 2σ(2x) − 1.",
        text=f"On the grid drawn here the two sides differ by at most {power(data['gap'])}. tanh is "
        "centred on 0; σ reaches from 0 to 1, which suits a gate. At its steepest tanh has a slope of "
        f"{number(steep['tanh'], 2)} and σ one of {number(steep['sigmoid'], 2)}.",
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
    grows = whole["bytes"][-1] > whole["bytes"][0] and whole["nodes"][-1] > whole["nodes"][0]
    flat = cut["bytes"][-1] == cut["bytes"][0]
    return Shown(
        answer="A kept state drags along how it was computed"
        f"{', and the graph behind it grows with every batch' if grows else ''}; detaching keeps the state "
        f"and drops its history{', so that a batch costs the same however long the text' if flat else ''}.",
        text=f"In LMModel4, without detaching, the backward pass of batch {batches} would walk through "
        f"{count(whole['nodes'][-1])} nodes, back to the first word of the epoch, and {last[1]} MiB are held "
        f"for it. Detached after each batch, it is {count(cut['nodes'][-1])} nodes and {last[0]} MiB. This "
        "is counted without updates; memory and nodes are counted, and time is not. "
        f"{_refusals(data['refused'])} With detaching, what remains is truncated backpropagation through "
        f"time: gradients flow back through the {data['window']} words of a window at most.",
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


def _refusals(refused: Mapping[str, str]) -> str:
    """What torch answers to training without detaching."""
    freed, retained = refused["freed"], refused["retained"]
    second = "backward through the graph a second time" in freed
    inplace = "modified by an inplace operation" in retained
    said = [
        "In training torch refuses the next backward pass: the first one freed the graph"
        if second
        else f"In training torch {f'refuses it (“{freed}”)' if freed else 'does not refuse it'}",
        "with retain_graph=True it refuses as well, since the update has changed the weights, which older "
        "parts of the graph need, in place"
        if inplace
        else f"with retain_graph=True it {f'refuses as well (“{retained}”)' if retained else 'does not'}",
    ]
    return f"{'; '.join(said)}."


def lstms(data: Data) -> Shown:
    """LSTM cells from scratch against torch's."""
    return _same({name: found for name, found in data.items() if name.startswith("LSTM")}, "nn.LSTM", "")


def grus(data: Data) -> Shown:
    """The GRU cell from scratch against torch's."""
    found = {name: found for name, found in data.items() if name.startswith("GRU")}
    other = (
        " The other published form resets before the matrix product: another function, which torch does not "
        "have."
    )
    return _same(found, "nn.GRU", other)


def _same(data: Data, builtin: str, remark: str) -> Shown:
    worst = max(max(d.values()) for d in data.values())
    cells = sorted(data)
    equal = worst < ROUNDING
    return Shown(
        answer=f"With the same weights a cell from scratch {'computes' if equal else 'does not compute'} the "
        f"same as {builtin}: they differ by at most {power(worst)}, which is {'' if equal else 'more than '}"
        f"rounding.{remark}",
        text="Both read the same random input in double precision; outputs and the gradient that reaches the "
        "input are compared. Whether they also train alike is the study's question.",
        table=TextTable(
            "Largest difference from torch's cell with the same weights",
            ("Cell", "Outputs", "Gradient at the input"),
            tuple((n, power(data[n]["outputs"]), power(data[n]["gradients"])) for n in cells),
        ),
    )


def dropout(data: Data) -> Shown:
    """The section on the factor 1/(1−p) of dropout."""
    means = data["means"]
    half = next(m for m in means if m["p"] == 0.5)
    drawn = [
        (n, [m["p"] for m in means], [m[k] for m in means])
        for n, k in (("divided", "scaled"), ("not divided", "unscaled"))
    ]
    kept = all(abs(m["scaled"] - 1) < 0.05 for m in means)
    return Shown(
        answer=f"The division by 1−p {'keeps' if kept else 'does not keep'} the mean that the next layer "
        "meets; it is done in training only"
        f"{', and evaluation changes nothing' if data['nothing in evaluation'] else ''}.",
        text=f"Many ones after dropout of .5 have a mean of {number(half['scaled'], 3)} with the division "
        f"and of {number(half['unscaled'], 3)} without it. The mask comes from bernoulli_(1 − p): ones with "
        "probability 1 − p, zeros otherwise.",
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
    good, named = sum(bool(r["ok"]) for r in rows), sum("no word" not in r["concept"] for r in rows)
    return Shown(
        answer=f"The chapter has a word for {named} of {len(rows)} parts of AWD-LSTM; exercised alone, "
        f"{'every part' if good == len(rows) else f'{good} of {len(rows)}'} did what the table says of it.",
        text="The parts are those of fastai's AWD_LSTM and of what trains it.",
        table=TextTable(
            "The parts of AWD-LSTM",
            ("Line", "In the chapter", "Seen"),
            tuple((r["line"], r["concept"], f"{'✓' if r['ok'] else '✕'} {r['seen']}") for r in rows),
        ),
    )
