"""Sections from small trainings: one word in three, half the precision, the instability of LMModel4."""

from collections.abc import Sequence
from functools import partial
from statistics import fmean, stdev

from scipy import stats

from reports.chapter.shown import Shown, by_seed, two_ways
from reports.figures import measurements as figures
from reports.figures.drawing import power
from reports.figures.measurements import Data
from reports.figures.svg import picture
from reports.formats import count, number
from reports.statistics.verdicts import Word

FALL = 0.02  # of accuracy, from one epoch to the next


def targets(data: Data) -> Shown:
    """One word in three against every word."""
    third, every = (by_seed(data["accuracy"][k]) for k in ("third", "every"))
    loss = [fmean(data["loss"][k].values()) for k in ("third", "every")]
    unused = "Two of three answers that the text holds go unused"
    return two_ways(
        "targets",
        "LMModel4 asked after every third word and after every word",
        {"every third word": third, "every word": every},
        answers={
            Word.IMPROVES: f"{unused}, and that costs accuracy.",
            Word.WORSENS: f"{unused}; here that costs nothing, and using them all makes the network worse.",
            Word.EQUIVALENT: f"{unused}; here that makes no difference that matters.",
            Word.NEGLIGIBLE: f"{unused}; here that makes a difference too small to matter.",
            Word.INCONCLUSIVE: f"{unused}; whether that costs accuracy, these seeds do not decide.",
        },
        text=f"LMModel4 reads windows of {data['window']} words ({count(data['updates'])} updates, "
        f"{count(data['tokens'])} words). Its training loss counts the answer after every third word, or "
        "every answer; text, windows and updates are the same, and both networks are then asked for every "
        f"word of the validation text. Mean accuracy: {number(fmean(third.values()), 3)} from every third "
        f"answer, {number(fmean(every.values()), 3)} from every one. The losses, {number(loss[0], 2)} and "
        f"{number(loss[1], 2)} nats, are another measure: they punish a confident mistake.",
        caption="Accuracy on every validation word, after training on every third answer (above) and on "
        "every answer (below).",
    )


def halved(data: Data) -> Shown:
    """Training with products of half the precision."""
    whole, half = (by_seed(data[k]) for k in ("float32", "bfloat16"))
    return two_ways(
        "training",
        "Training in float32 and with products in bfloat16",
        {"all in float32": whole, "products in bfloat16": half},
        answers={
            Word.IMPROVES: "No: with products in bfloat16 LMModel4 ends more accurate.",
            Word.WORSENS: "Yes: with products in bfloat16 LMModel4 ends less accurate.",
            Word.EQUIVALENT: "No: LMModel4 ends as accurate, but for a difference too small to matter.",
            Word.NEGLIGIBLE: "Hardly: LMModel4 changes, by less than matters.",
            Word.INCONCLUSIVE: "These seeds do not decide whether LMModel4 loses accuracy.",
        },
        text="LMModel4 is trained twice from each seed: all in float32, and as mixed precision has it, with "
        "every matrix product in bfloat16 and weights, sums and updates in float32. Mean accuracy: "
        f"{number(fmean(whole.values()), 3)} and {number(fmean(half.values()), 3)}.",
        caption="Accuracy after training in float32 (above) and with products in bfloat16 (below).",
    )


def stability(data: Data) -> Shown:
    """Why LMModel4 is unstable: LMModel4, and the same network with tanh."""
    relu, tanh = data["ReLU"], data["tanh"]
    steep = [[max(s["gradient"]) for s in runs] for runs in (relu, tanh)]
    larger, smaller = (sum(a > b for a, b in zip(*s, strict=True)) for s in (steep, steep[::-1]))
    ends = [[s["accuracy"][-1] for s in runs] for runs in (relu, tanh)]
    falls = [_falls(runs) for runs in (relu, tanh)]
    norms = [f"{number(min(s), 1)} to {number(max(s), 1)}" for s in steep]
    grown = [power(round(max(max(s["activation"]) for s in runs), 2)) for runs in (relu, tanh)]
    of = len(relu)
    return Shown(
        answer=f"{_spikes(larger, smaller, of)}{_spread(*ends)}",
        text=f"LMModel4 is trained with its ReLU and with tanh in its place, from the same {of} seeds and "
        f"initial weights. The largest gradient norm of a training is {norms[0]} with ReLU and {norms[1]} "
        f"with tanh, and larger with ReLU on {larger} of {of} seeds; the largest activation is {grown[0]} "
        f"and {grown[1]}. LMModel4 ends between {number(min(ends[0]), 3)} and {number(max(ends[0]), 3)} "
        f"accuracy (with tanh between {number(min(ends[1]), 3)} and {number(max(ends[1]), 3)}), and falls by "
        f"more than {FALL:g} from one epoch to the next {falls[0]} times (with tanh {falls[1]}).",
        picture=picture(
            "q-watched",
            f"LMModel4 over {of} trainings, with ReLU and with tanh",
            "Three panels by epoch: validation accuracy, largest activation, largest gradient norm. ReLU "
            f"solid, tanh dashed. Largest gradient norms: {norms[0]} and {norms[1]}.",
            partial(figures.stability, relu, tanh),
        ),
        caption="By epoch, one line a seed. Solid: LMModel4 (ReLU). Dashed: the same with tanh. Activation "
        "and gradient norm are the largest of an epoch, on logarithmic scales.",
    )


def _falls(runs: Sequence[Data]) -> int:
    pairs = [pair for s in runs for pair in zip(s["accuracy"], s["accuracy"][1:], strict=False)]
    return sum(after < before - FALL for before, after in pairs)


def _spikes(larger: int, smaller: int, of: int) -> str:
    if larger >= 0.9 * of:
        again = "The state is multiplied by the same matrix at every word"
        steep = f"the largest gradients are larger with ReLU than with tanh on {larger} of {of} seeds"
        return f"{again}, and {steep}; "
    if smaller >= 0.9 * of:
        return "It is not ReLU's gradients: the largest of tanh are larger; "
    return "Its gradients do not set it apart from the same network with tanh; "


def _spread(relu: Sequence[float], tanh: Sequence[float]) -> str:
    """Whether accuracies differ more from seed to seed with ReLU, by the ratio of the SDs."""
    if min(len(relu), len(tanh)) < 3 or not stdev(relu) or not stdev(tanh):
        return "how much its results vary from seed to seed, these seeds do not tell."
    ratio, free = stdev(relu) / stdev(tanh), (len(relu) - 1, len(tanh) - 1)
    low, high = (ratio / float(stats.f.ppf(q, *free)) ** 0.5 for q in (0.975, 0.025))
    said = f"(ratio of the SDs {number(ratio, 2)}, 95 % interval {number(low, 2)} to {number(high, 2)})"
    if low > 1:
        return f"LMModel4's accuracy varies more from seed to seed than with tanh in its place {said}."
    if high < 1:
        return f"yet LMModel4's accuracy varies less from seed to seed than with tanh in its place {said}."
    return f"whether its accuracy varies more from seed to seed than with tanh is undecided {said}."
