"""Figures of the chapter's page: its measurements, and a study's arms along one of its factors."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from bench.trial import Scalar, Trial, counted
from reports.arms import trial_of
from reports.comparison import ComparedArm, Comparison
from reports.figures.drawing import (
    DASHES,
    MARKERS,
    around,
    axes_at,
    blank,
    estimates,
    logarithmic,
    name_ends,
    side_by_side,
    single,
)
from reports.figures.svg import COLOURS, picture
from reports.statistics.contrasts import ArmSummary

Data = Mapping[str, Any]

WATCHED = {"accuracy": "accuracy", "activation": "largest activation", "gradient": "largest gradient"}
ROLES = ("separator", "lead digit", "thousand", "digit", "hundred", "tens", "teen")
HABITS = ("kept", "zeroed", "another row's")  # of a state
STATES = (("ReLU", "h"), ("tanh", "h"), ("LSTM", "h"), ("LSTM", "c"), ("GRU", "h"))


def pairs(above: Mapping[int, float], below: Mapping[int, float], names: Sequence[str]) -> Figure:
    """One line a seed, from its accuracy in one way of training above to that in another below."""
    left, width = 170, 758
    figure = blank(178)
    ax = axes_at(figure, left, 14, width, 120)
    ax.grid(visible=False)
    ax.grid(axis="x")
    ax.spines["left"].set_visible(False)
    for seed in sorted(set(above) & set(below)):
        colour, line = ("improves", "-") if below[seed] > above[seed] else ("worsens", "--")
        look: dict[str, Any] = {"marker": "o", "ms": 4, "mew": 0, "lw": 1.1, "alpha": 0.75}
        ax.plot([above[seed], below[seed]], [0, 1], color=COLOURS[colour], ls=line, **look)
    for y, (values, name) in enumerate(zip((above, below), names, strict=True)):
        ax.plot([fmean(values.values())], [y], "D", ms=8, mew=0, color=COLOURS["ink"], zorder=3)
        place = ax.get_yaxis_transform()
        ax.text(-left / width, y, name, transform=place, va="center", weight="bold")
    ax.set(yticks=[], ylim=(1.3, -0.5), xlabel="validation accuracy")
    return figure


def stability(relu: Sequence[Data], tanh: Sequence[Data]) -> Figure:
    """Three panels by epoch, one line a seed: LMModel4 solid, the same with tanh dashed."""
    figure, axes = side_by_side(len(WATCHED), 170)
    for ax, (key, title) in zip(axes, WATCHED.items(), strict=True):
        for runs, colour, dash in ((tanh, "arm1", (0, (4, 2))), (relu, "arm2", "-")):
            for one in runs:
                x = range(1, 1 + len(one[key]))
                ax.plot(x, one[key], color=COLOURS[colour], lw=1, alpha=0.7, ls=dash)
        if key != "accuracy":
            logarithmic(ax)
        ax.set_title(title, weight="bold", pad=7)
        ax.set_xlabel("epoch")
        ax.locator_params(axis="x", nbins=4, integer=True)
    return figure


def growth(states: Data) -> Figure:
    """The largest number of each state against tokens read: dashed before training, solid after."""
    figure, axes = side_by_side(len(STATES), 140)
    runs = {
        (cell, part, when): [sorted((int(n), float(v)) for n, v in run.items()) for run in both[part]]
        for cell, part in STATES
        for when, both in states[cell].items()
    }
    seen = [value for group in runs.values() for run in group for _, value in run]
    for i, (ax, (cell, part)) in enumerate(zip(axes, STATES, strict=True)):
        for when, dash in (("start", (0, (3, 2))), ("end", "-")):
            for run in runs[cell, part, when]:
                ax.plot(*zip(*run, strict=True), color=COLOURS[f"arm{i % 8 + 1}"], lw=1.3, ls=dash)
        logarithmic(ax)
        logarithmic(ax, "x")
        steps = [n for n, _ in runs[cell, part, "end"][0]]
        ticks = (steps[0], steps[len(steps) // 2], steps[-1])
        ax.set_xticks(ticks, [str(n) for n in ticks])
        ax.set_ylim(min(seen) / 1.5, max(seen) * 1.5)
        ax.set_title(f"{cell}, {part}" if cell == "LSTM" else cell, weight="bold", pad=7)
        ax.set_xlabel("words read")
    return figure


def gradients(far: Data, names: Sequence[str]) -> Figure:
    """One panel a cell: the share of the gradient that is left by distance, a line for each epoch."""
    figure, axes = side_by_side(len(names), 230)
    for ax, name in zip(axes, names, strict=True):
        logarithmic(ax)
        for i, epoch in enumerate(sorted(far[name], key=int)):
            look: dict[str, Any] = {"color": COLOURS[f"arm{i + 1}"], "ls": (0, DASHES[i])}
            label = counted(int(epoch), "epoch")
            ax.plot(range(len(far[name][epoch])), far[name][epoch], label=label, lw=1.6, **look)
        ax.set(ylim=(1e-9, 10), title=name, xlabel="words back")
    look = {"frameon": False, "labelcolor": COLOURS["ink"], "handlelength": 2.6}
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncol=5, **look)
    return figure


def reading(by_order: Data) -> Figure:
    """One panel an order of training: accuracy by what is done with the state, a dot a seed."""
    figure, axes = side_by_side(len(by_order), 150)
    ends = around([v for by in by_order.values() for seeds in by.values() for v in seeds.values()])
    for ax, (order, by) in zip(axes, by_order.items(), strict=True):
        for i, seeds in enumerate(by[habit] for habit in HABITS):
            look: dict[str, Any] = {"color": COLOURS[f"arm{i + 1}"], "mew": 0}
            ax.plot([i] * len(seeds), list(seeds.values()), "o", ms=5, alpha=0.6, **look)
            ax.plot([i], [fmean(seeds.values())], MARKERS[i], ms=10, **look)
        ax.set_xticks(range(len(HABITS)), [f"state {habit}" for habit in HABITS])
        title = f"trained on windows {'in order' if order == 'grouped' else order}: accuracy"
        ax.set(xlim=(-0.5, len(HABITS) - 0.5), ylim=ends, title=title)
    return figure


def guesses(runs: Sequence[Data]) -> dict[str, Counter[str]]:
    """By the digit that is right, how often each word is guessed, over all runs."""
    digits = dict.fromkeys(digit for run in runs for digit in run)
    return {d: sum((Counter(run.get(d, {})) for run in runs), Counter[str]()) for d in digits}


def confusions(lead: Data) -> Figure:
    """For each right digit and model a bar, cut by what was guessed; small parts are put together."""
    totals = {(d, model): n for model, runs in lead.items() for d, n in guesses(runs).items()}
    left, height = 200, 34
    edge: dict[str, Any] = {"edgecolor": COLOURS["ink"], "lw": 0.6}
    figure = blank(len(totals) * height + 62)
    ax = axes_at(figure, left, 8, 700, len(totals) * height)
    ax.grid(visible=False)
    for y, ((digit, _), counts) in enumerate(sorted(totals.items())):
        start, whole, rest = 0.0, sum(counts.values()), 100.0
        for guess, times in counts.most_common():
            width = 100 * times / whole
            if width < 4:
                break
            colour = COLOURS["equivalent" if guess == digit else "band"]
            ax.barh(y, width, left=start, height=0.72, color=colour, alpha=0.55, **edge)
            text = f"{guess} {width:.0f} %" if width > 11 else guess if width > 6 else ""
            ax.text(start + width / 2, y, text, ha="center", va="center", weight="bold")
            start, rest = start + width, rest - width
        if rest > 0.5:
            ax.barh(y, rest, left=start, height=0.72, color="none", **edge)
            ax.text(start + rest / 2, y, "others" if rest > 8 else "", ha="center", va="center")
    ax.set_yticks(range(len(totals)), [f"right: “{d}”, {m}" for d, m in sorted(totals)])
    ax.set(xlim=(0, 100), ylim=(len(totals) - 0.4, -0.6), xlabel="% of the guesses")
    return figure


def states(points: Sequence[Data]) -> Figure:
    """States in two directions, marked by the kind of word that was read."""
    figure, ax = single(300)
    for i, kind in enumerate(ROLES):
        here = [(p["x"], p["y"]) for p in points if p["kind"] == kind]
        if here:
            look: dict[str, Any] = {"color": COLOURS[f"arm{(i + 1) % 8}"], "mew": 0, "alpha": 0.75}
            ax.plot(*zip(*here, strict=True), MARKERS[i], ms=6, label=kind, **look)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, labelcolor=COLOURS["ink"])
    ax.set(xlabel="first direction", ylabel="second direction")
    return figure


def tanh(data: Data) -> Figure:
    """tanh and σ as lines, 2σ(2x) − 1 as rings that lie on tanh."""
    figure, ax = single(200)
    x, curves = data["x"], data["curves"]
    value = dict(zip(x, curves["sigmoid"], strict=True))
    rings = [(v, 2 * value[2 * v] - 1) for v in x if 2 * v in value][::2]
    ax.plot(*zip(*rings, strict=True), "o", ms=7, mfc="none", color=COLOURS["muted"])
    ax.plot(x, curves["tanh"], color=COLOURS["arm1"], lw=2)
    ax.plot(x, curves["sigmoid"], color=COLOURS["arm2"], lw=2, ls=(0, (5, 2)))
    name_ends(ax, [(1.0, "tanh(x)", COLOURS["arm1"]), (0.99, "σ(x)", COLOURS["arm2"])])
    ax.set_xlabel("x")
    return figure


def lines(c: Comparison, factor: str, by: str) -> dict[str, dict[Any, ComparedArm]]:
    """A study's arms by their level of one factor, for each level of another."""
    found: dict[str, dict[Any, ComparedArm]] = {}
    for row in c.rows:
        trial = trial_of(row.arm)
        if trial and (row.index == 0 or row.arm.changes):  # the A/A arm changes nothing and is left out
            factors = trial.factors()
            line = (
                row.arm.title if by == "model" else ", ".join(_level(b, factors.get(b)) for b in by.split())
            )
            level = reach(trial) if factor == "detach_every" else factors.get(factor)
            found.setdefault(line, {}).setdefault(level, row)
    return found


def _level(factor: str, value: Scalar | None) -> str:
    """A level in the name of a line: "tanh", and "lr 0.003" for a number."""
    return value if isinstance(value, str) else f"{factor} {value}"


def levels(name: str, c: Comparison, factor: str, by: str, label: str) -> Markup | None:
    """A study's arms along one factor, a line for each level of another; None where it has no results yet."""
    found = lines(c, factor, by)
    if not any(row.summary.mean is not None for line in found.values() for row in line.values()):
        return None
    each = by.replace(" ", " and ")
    about = (
        f"{c.title} against {label}, one line for each {each}: seeds as dots, means joined, 95 % intervals."
    )
    return picture(name, f"{c.title} against {label}", about, lambda: _levels(c, found, label))


def reach(trial: Trial) -> float:
    """How many words a gradient flows back, in the mean over the words of a window."""
    every, window = trial.detach_every, trial.window
    return max(every - window, 0) + (min(every, window) - 1) / 2


def _levels(c: Comparison, found: Mapping[str, Mapping[Any, ComparedArm]], label: str) -> Figure:
    figure, ax = single()
    met = dict.fromkeys(level for line in found.values() for level in line)
    order = list(met) if any(isinstance(level, str) for level in met) else sorted(met)
    ax.set_xticks(range(len(order)), [f"{x:g}" if isinstance(x, float) else str(x) for x in order])
    ax.set_xlim(-0.3, len(order) - 0.7)
    ax.set(xlabel=label, ylabel=c.label)
    drawn: list[tuple[str, list[tuple[float, ArmSummary]]]] = []
    for name, line in found.items():
        shift = 0.05 * (len(drawn) - (len(found) - 1) / 2)
        points = sorted((order.index(x) + shift, r.summary) for x, r in line.items() if r.summary.n)
        if any(s.mean is not None for _, s in points):
            drawn.append((name, points))
    estimates(ax, drawn)
    return figure
