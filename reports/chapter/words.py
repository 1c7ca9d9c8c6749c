"""Sections about the text and what trained networks make of it: counts, mistakes, state, gates."""

import math
from collections.abc import Mapping
from functools import partial
from statistics import fmean
from typing import Any

from bench.trial import counted
from reports.chapter.shown import Shown, TextTable, by_seed, percent
from reports.figures import measurements as figures
from reports.figures.drawing import plot
from reports.figures.measurements import HABITS, ROLES, Data
from reports.figures.svg import picture
from reports.formats import count, listed, number

USES = 0.02  # of accuracy: what a state must bring to be called of use
LEAD = "lead digit"


def batches(data: Data) -> Shown:
    """What the network reads, in words."""
    asked = {(r["batch"], r["row"]): str(r["asked"]).split()[-1] for r in data["rows"]}
    read = {(r["batch"], r["row"]): str(r["read"]).split()[0] for r in data["rows"]}
    goes_on = all(asked[b - 1, row] == first for (b, row), first in read.items() if b)
    return Shown(
        answer="What is asked for is what is read, moved by one word; a row of a batch "
        f"{'goes' if goes_on else 'does not go'} on where the same row of the batch before it stopped.",
        text=f"The validation set of LMModel4 has {data['batches']} batches of {data['of']} rows; here are "
        "the first rows of the first ones.",
        table=TextTable(
            "The first validation batches",
            ("Where", "Read", "Asked for"),
            tuple((f"batch {r['batch']}, row {r['row']}", r["read"], r["asked"]) for r in data["rows"]),
        ),
    )


def context(data: Data) -> Shown:
    """How well counting tells the next word from one to five words."""
    names = {"blocks": "random blocks held out", "tail": "the last fifth held out"}
    found = {k: by_seed(data[k]) for k in names}  # by number of words
    one, two = (found["blocks"][n] for n in (1, 2))
    rest = max(v for n, v in found["blocks"].items() if n > 2)
    often = "Mostly" if two > 0.5 else "Less than half of the time"
    helped = f"{'more' if two > one + 0.01 else 'no more'} than from one ({percent(one)})"
    enough = f"more words {'do not help' if rest <= two + 0.01 else 'help'} ({percent(rest)} at best)"
    return Shown(
        answer=f"{often}: counting what followed two words tells {percent(two)} of the words on random "
        f"blocks, {helped}, and {enough}. On the last fifth of the text, the chapter's, two words tell "
        f"{percent(found['tail'][2])}.",
        text="The guess is the word that followed the same words most often in the training text, or fewer "
        "of them where training never holds them together; every number of words is asked for the same "
        "validation words. The last fifth has pairs that training never holds. A study asks for other words, "
        "so that its counts differ a little. A network that keeps a state has all earlier words to go by.",
        picture=picture(
            "q-words",
            "Right by counting, against the number of words read",
            f"Share of validation words told right by counting: {percent(one)} from one word, {percent(two)} "
            "from two, on blocks.",
            partial(
                plot,
                [(n, list(found[k]), [100 * v for v in found[k].values()]) for k, n in names.items()],
                "words read",
                "% right",
            ),
        ),
        caption="Share of the validation words that counting gets right, by the number of words before them.",
    )


def coverage(data: Data, trained: Data) -> Shown:
    """How much of each validation set is new, and whether that is where the LSTM fails."""
    names = {"tail": "last fifth", "blocks": "blocks"}
    tail, blocks = (percent(data[k]["new"]["2"], 1) for k in names)
    pair = "; ".join(f"“{m['pair']}”, {count(m['times'])} times" for m in data["tail"]["most_common"])
    thousand, lead = (_accuracy(trained["roles"]["LMModel6"], kind) for kind in ("thousand", LEAD))
    drawn = [
        (n, [int(g) for g in data[k]["new"]], [100 * v for v in data[k]["new"].values()])
        for k, n in names.items()
    ]
    shares = data["tail"]["new"]["2"] > data["blocks"]["new"]["2"]
    known = (
        f"LMModel6 still gets “thousand” right in {percent(thousand)} and fails at the digit before it "
        f"({percent(lead)}), though training holds numbers that begin with “nine” "
        f"{trained['held']['nine']} times."
        if thousand > lead
        else f"LMModel6 gets “thousand” right in {percent(thousand)} and the digit before it in "
        f"{percent(lead)}."
    )
    return Shown(
        answer=f"The chapter's validation text {'is' if shares else 'is not'} less like its training text "
        "than "
        f"random blocks are: {tail} of its words end a pair that training never holds, against {blocks}.",
        text=f"The chapter validates on the last fifth of the numbers, {count(data['tail']['targets'])} "
        f"words. {f'The pair that is new most often is {pair}. ' if pair else ''}{known}",
        picture=picture(
            "q-coverage",
            "How much of the validation text is new",
            f"Share of words that end n words never seen together in training, by n. Pairs: {tail} and "
            f"{blocks}.",
            partial(plot, drawn, "n, words", "% of validation words"),
        ),
        caption="Share of the validation words that end n words which never stand together in the training "
        "text.",
    )


def order(data: Data) -> Shown:
    """What the carried state is worth, by how the network was trained."""
    means = {o: {h: fmean(v.values()) for h, v in by.items()} for o, by in data["reading"].items()}
    in_order, shuffled = (_use(means[o]) for o in ("grouped", "shuffled"))
    outlived = (
        " No gradient crossed the start of a window in training, and yet the state from before it is of use: "
        "a memory can outlive the reach of the gradients."
        if means["grouped"]["kept"] > means["grouped"]["zeroed"] + USES
        else ""
    )
    return Shown(
        answer="A state tells of the words before it, from which only text in order goes on. To a network "
        f"trained in order it {in_order}; to one trained on shuffled windows it {shuffled}. "
        f"A state of other words at every window serves the first {_others(means['grouped'])}",
        text="LMModel6 is trained with the windows in the chapter's order (each row of a batch goes on where "
        "it stopped) or shuffled, its state carried from batch to batch in both. Both then read the "
        "validation text in order: with the state kept, with zeros at the start of every window, and with "
        "the state of another row, which has read other words. Accuracy, mean of "
        f"{counted(len(data['seeds']), 'seed')}.{outlived}",
        picture=picture(
            "q-reading",
            "Accuracy by training order and by what is done with the state",
            "; ".join(
                f"{o}: " + ", ".join(f"{h} {number(v, 3)}" for h, v in by.items()) for o, by in means.items()
            ),
            partial(figures.reading, data["reading"]),
        ),
        caption="Accuracy on the validation text, a dot a seed, by the order in training (panels) and the "
        "state that a window starts from.",
        table=TextTable(
            "Accuracy by order in training and by state",
            ("Trained on windows", *(f"state {h}" for h in HABITS)),
            tuple(
                ("in order" if o == "grouped" else o, *(number(by[h], 3) for h in HABITS))
                for o, by in means.items()
            ),
        ),
    )


def _others(means: Mapping[str, float]) -> str:
    """How a state of other words serves, against none, and what that says of resets."""
    other, zeroed = means["another row's"], means["zeroed"]
    if other < zeroed - USES:
        where = "at the start of an epoch and before validation"
        return f"worse than none ({number(other, 3)}); a reset {where} spares it that for one window each."
    how = "better" if other > zeroed + USES else "no better"
    resets = "nothing here asks for the chapter's resets where other text begins"
    return f"{how} than none ({number(other, 3)}), so {resets}."


def _use(means: Mapping[str, float]) -> str:
    """What the kept state brings against zeros: 'brings 0.171 (…)'."""
    kept, zeroed = means["kept"], means["zeroed"]
    said = f"({number(kept, 3)} right with it, {number(zeroed, 3)} with zeros)"
    if abs(kept - zeroed) <= USES:
        return f"brings nothing {said}"
    return f"{'brings' if kept > zeroed else 'costs'} {number(abs(kept - zeroed), 3)} of accuracy {said}"


def grammar(data: Data) -> Shown:
    """Which kind of word costs the loss, and which digits are taken for which."""
    runs = data["roles"]["LMModel6"]
    nats, words = ({k: sum(run[k][i] for run in runs) for k in runs[0]} for i in (0, 2))
    share = {k: n / sum(nats.values()) for k, n in nats.items()}
    loss, kind = sum(nats.values()) / sum(words.values()), max(nats, key=lambda k: nats[k])
    lead = figures.guesses(data["lead"]["LMModel6"])
    digit = max(lead, key=lambda d: lead[d].total() - lead[d][d])  # the one that is missed most often
    wrong = max(sorted(lead[digit]), key=lambda guess: lead[digit][guess])
    times, asked, six = lead[digit][wrong], lead[digit].total(), lead[digit][digit]
    seven = sum(run.get(digit, {}).get(digit, 0) for run in data["lead"]["LMModel7"])
    better = [_accuracy(data["roles"][m], kind) for m in ("LMModel7", "LMModel6")]
    regular = f"LMModel7 gets {percent(better[0])} of them right, LMModel6 {percent(better[1])}"
    rows = tuple(
        (k, *(percent(_accuracy(runs, k)) for runs in data["roles"].values()), percent(share[k]))
        for k in ROLES
        if k in share
    )
    return Shown(
        answer=f"A loss is not an accuracy: {percent(share[kind])} of LMModel6's validation loss "
        f"({number(loss, 2)} nats) comes from one kind of word, the {kind}, "
        f"{percent(words[kind] / sum(words.values()))} of the words; {regular}.",
        text=f"Where the first digit of a number is asked for and “{digit}” is right, LMModel6 says "
        f"“{wrong}” most often, {count(times)} of {count(asked)} times, and “{digit}” {count(six)} times; "
        f"LMModel7 says “{digit}” {count(seven)} times. The training text begins "
        f"{count(data['held'].get(digit, 0))} numbers with “{digit}” and {count(data['held'].get('two', 0))} "
        f"with “two”. A first digit costs LMModel6 {_price(nats[LEAD] / words[LEAD], len(data['held']))}. "
        f"All seeds together ({len(data['seeds'])}).",
        picture=picture(
            "q-grammar",
            "Guesses at the first digit of a number",
            f"For each right digit, how often each digit is guessed, LMModel6 and LMModel7. “{digit}”: "
            f"“{wrong}” {times} of {asked} times by LMModel6.",
            partial(figures.confusions, data["lead"]),
        ),
        caption="Guesses where a number's first digit is asked for: a bar for each right digit, cut by "
        "what was guessed, in % of the times that it was right.",
        table=TextTable(
            "Right by kind of word",
            ("Kind of word", *(f"{m} right" for m in data["roles"]), "Share of LMModel6's loss"),
            rows,
        ),
    )


def _price(each: float, digits: int) -> str:
    """Nats for a first digit, against those of an even guess, and what it says of a network's certainty."""
    even = math.log(digits)
    than, so = ("more", ": it is overconfident") if each > even else ("less", "")
    guess = f"the {number(even, 1)} of an even guess among {digits}"
    return f"{number(each, 1)} nats in the mean, {than} than {guess}{so}"


def _accuracy(runs: list[dict[str, Any]], kind: str) -> float:
    return float(sum(run[kind][1] for run in runs) / sum(run[kind][2] for run in runs))


def gates(data: Data) -> Shown:
    """When the forget gate forgets, and where the states lie."""
    means = {
        gate: {k: fmean(run[gate][k] for run in data["gates"]) for k in run_kinds}
        for gate, run_kinds in ((g, list(by)) for g, by in data["gates"][0].items())
    }
    forget = {g: by for g, by in means.items() if g.startswith("forget")}
    gate = max(forget, key=lambda g: max(forget[g].values()) - min(forget[g].values()))
    low, high = (pick(forget[gate], key=lambda k: forget[gate][k]) for pick in (min, max))
    least, most = (f"{_named(kind)} ({number(forget[gate][kind], 2)})" for kind in (low, high))
    dot = f"{number(forget[gate]['separator'], 2)} there in the mean, "
    there = "least of it there" if low == "separator" else f"{dot}least at {least}"
    kinds = [k for k in ROLES if k in forget[gate]]
    return Shown(
        answer="The cell state (c) is the memory, which gates change; the hidden state (h) is what is told "
        f"of it at each word. The chapter expects a period to reset c; in LMModel6 the forget gate keeps "
        f"{there} and most at {most}.",
        text="Mean opening of each gate over the layer's 64 numbers and "
        f"{counted(len(data['seeds']), 'seed')}, by the kind of word that is read, along the validation "
        "text; 0 forgets all, 1 keeps all. A mean can hide single numbers that are reset. The sentence above "
        f"is of {gate.removeprefix('forget, ')}, where the forget gate moves most. The figure has the last "
        "layer's h of one seed in the two directions in which it varies most.",
        picture=picture(
            "q-states",
            "States of LMModel6 by the kind of word that was read",
            f"Points in two directions of largest variance, marked by kind: {listed(kinds)}.",
            partial(figures.states, data["states"]),
        ),
        caption="The hidden state after single words, in the two directions of largest variance (PCA): a "
        "point a word, by its kind.",
        table=TextTable(
            "Mean opening of the gates",
            ("Gate", *kinds),
            tuple((g, *(number(by[k], 2) for k in kinds)) for g, by in sorted(means.items())),
        ),
    )


def _named(kind: str) -> str:
    return {"separator": "“.”", "hundred": "“hundred”", "thousand": "“thousand”", "tens": "a ten"}.get(
        kind, f"a {kind}"
    )
