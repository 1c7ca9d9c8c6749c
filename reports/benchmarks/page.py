"""Benchmarks as a page: a stored run of pytest-benchmark in, tables and pictures out."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from bench.trial import BadInput
from reports import render as pages
from reports.benchmarks.sizes import growth, throughput
from reports.benchmarks.stored import Stored, benchmarks, medians, notes, value
from reports.chapter.shown import Shown, TextTable
from reports.formats import count, machine, markdown_cell, number, pipe_table

ARMS = {
    "notebook": "the chapter's notebook",
    "script": "a plain PyTorch script",
    "learner": "engine `learner`",
    "loop": "engine `loop`",
}
OTHERS = tuple(arm for arm in ARMS if arm != "loop")
ON_CPU = " The notebook trains on the CPU: its loaders name no device. All others train on the GPU."


def render(stored: Stored, out: Path) -> Path:
    """Write `out`/benchmarks.html and return its path. The same run gives the same bytes.

    Raises BadInput where the run has no benchmark of this project.
    """
    shown = {title: one for title, one in _sections(stored) if one}
    if not shown:
        raise BadInput("these timings have no benchmark of this project", cure="`make bench` measures them")
    context = {
        "answer": answer(stored),
        "shown": shown,
        "when": stored.get("datetime", ""),
        "facts": _facts(stored),
    }
    return pages.write_page(out / "benchmarks.html", "benchmarks.html", context)


def _sections(stored: Stored) -> Iterator[tuple[str, Shown | None]]:
    yield "Seconds a trial", _trials(stored)
    yield "Trials an hour, everything included", _study(stored)
    yield "Verdicts a CPU hour", _verdicts(stored)
    yield "Tokens a second, and the arithmetic limit", throughput(stored)
    yield "What growth costs", growth(stored)
    yield "What is not training", _overhead(stored)


def answer(stored: Stored) -> list[str]:
    """The run in a few sentences."""
    said = []
    for info in notes(stored, "study"):
        hourly = info["trials_an_hour"]
        said.append(
            f"{count(hourly['unrolled'])} trials an hour over LMModel1 to LMModel7 and nn.GRU, everything "
            f"included: ×{number(info['ratio'], 1)} the {count(hourly['notebook'])} of the chapter's "
            "notebook."
        )
    gains = [info["seconds"]["notebook"] / info["seconds"]["loop"] for info in _peers(stored)]
    if gains:
        said.append(
            f"One trial on {_place(stored)} takes ×{number(min(gains), 1)} to ×{number(max(gains), 1)} less "
            "time than in the notebook."
        )
    held = [x <= most for one in benchmarks(stored, "overhead") for _, x, most, _ in _limits(one)]
    if held:
        said.append(f"{sum(held)} of {len(held)} limits on what is not training are kept.")
    return said


def metrics(stored: Stored) -> dict[str, float]:
    """Every median by a flat name, as a tracker keeps it."""
    found: dict[str, float] = {}
    for info in notes(stored, "trials"):
        found |= {f"seconds/{info['model']} {arm}": s for arm, s in info["seconds"].items()}
    for info in notes(stored, "study"):
        found |= {f"hourly/{what}": trials for what, trials in info["trials_an_hour"].items()}
        found["hourly/ratio"] = info["ratio"]
    for info in notes(stored, "verdicts"):
        found |= {f"verdicts/{name}": d["verdicts_an_hour"] for name, d in info["designs"].items()}
    for info in notes(stored, "throughput"):
        found["limit/flops"] = info["peak"]
        for cell in info["cells"]:
            name = f"{cell['model']} batch {cell['batch']} hidden {cell['hidden']}"
            found |= {f"{key}/{name}": middle for key, middle in medians(cell["measured"]).items()}
    for one in benchmarks(stored, "overhead"):
        found[f"overhead/{one['extra_info']['what']}"] = value(one)
    return found


def readme(text: str, stored: Stored) -> str:
    """A README with its block between `<!-- speed … -->` and `<!-- /speed -->` filled from a run.

    Raises BadInput where there is no such block, or nothing to put there.
    """
    rows = [("model", *ARMS.values(), "gain")]
    for info in _peers(stored):
        s = info["seconds"]
        gain = f"×{number(s['notebook'] / s['loop'], 1)}"
        rows.append((markdown_cell(info["title"]), *(number(s[arm], 1) for arm in ARMS), gain))
    if len(rows) == 1:
        raise BadInput(
            "these timings hold no model against the chapter's notebook", cure="run the whole `make bench`"
        )
    known = _facts(stored)
    parts = known.get("GPU"), known.get("Processor"), f"{known.get('Cores', '?')} cores"
    place = f"{_place(stored)} ({', '.join(filter(None, parts))})"
    said = f"Seconds a trial on {place}. {''.join(answer(stored)[:1])}".strip()
    filled, found = re.subn(
        r"(?s)(<!-- speed\b.*?-->\n).*?(<!-- /speed -->)",
        lambda match: f"{match[1]}{pipe_table(rows, '---:')}\n{said}\n{match[2]}",
        text,
    )
    if not found:
        raise BadInput(
            "has no place for the table", cure="write <!-- speed --> and <!-- /speed --> there, a line each"
        )
    return filled


def _trials(stored: Stored) -> Shown | None:
    found = list(notes(stored, "trials"))
    if not found:
        return None
    rows = []
    for info in found:
        seconds, loop = info["seconds"], info["seconds"]["loop"]
        cells = [number(seconds.get(arm), 2) for arm in ARMS]
        cells += [f"×{number(seconds[arm] / loop, 2)}" if arm in seconds else "–" for arm in OTHERS]
        rows.append((info["title"], *cells))
    epochs = " or ".join(str(n) for n in sorted({info["measured_epochs"] for info in found}))
    ways, ratios = map(str.capitalize, ARMS), (f"{arm.capitalize()} ÷ loop" for arm in OTHERS)
    return Shown(
        text="Medians of rounds in which the arms took turns: the engines in a process like a trial's, the "
        "others in one as it comes, both warm and with one thread. Timed epochs: "
        f"{epochs}. A whole trial is its start (data, model, optimizer, and what a result keeps) and as many "
        "mean epochs, validation included, as the chapter trains. The notebook has fastai's own loaders with "
        "their worker processes; the script reads tensors made once. Ratios are to the engine loop."
        + (ON_CPU if _machine(stored).get("gpu") else ""),
        table=TextTable("Seconds a trial by model and way", ("Model", *ways, *ratios), rows),
    )


def _study(stored: Stored) -> Shown | None:
    info = next(notes(stored, "study"), None)
    if info is None:
        return None
    names = {"notebook": "the chapter's notebook, one process", "unrolled": "unrolled run"}
    rows = []
    for what, seconds in info["seconds"].items():
        trials, hourly = count(info["trials"][what]), count(info["trials_an_hour"][what])
        rows.append((names[what], trials, number(median(seconds), 1), count(len(seconds)), hourly))
    return Shown(
        text="LMModel1 to LMModel7 and nn.GRU in their chapter settings, from the command's start to its "
        "end. The notebook trains one of each, one after the other. The command trains several seeds of each "
        "in processes of their own, checks and records every result, tells MLflow and writes the report: "
        f"×{number(info['ratio'], 2)} the trials an hour.",
        table=TextTable("Trials an hour", ("Way", "Trials", "Seconds", "Rounds", "Trials an hour"), rows),
    )


def _verdicts(stored: Stored) -> Shown | None:
    info = next(notes(stored, "verdicts"), None)
    if info is None:
        return None
    rows = [
        (name, number(d["verdicts"], 1), count(d["trials"]), number(d["verdicts_an_hour"], 1))
        for name, d in info["designs"].items()
    ]
    head = ("Design", "Contrasts decided", "Trials", "Verdicts a CPU hour")
    return Shown(
        text=f"Studies like `toggles`, of {count(info['contrasts'])} contrasts: its stored differences, "
        "drawn again by seed and smoothed. Each design judges the same studies; the numbers are means.",
        table=TextTable("Verdicts a CPU hour", head, rows),
    )


def _overhead(stored: Stored) -> Shown | None:
    rows = []
    for one in benchmarks(stored, "overhead"):
        for what, measured, most, unit in _limits(one):
            kept = "✓" if measured <= most else "✕"
            rows.append((what, f"{number(measured, 2)} {unit}", f"{most:g} {unit}", kept))
        for part, cost in one["extra_info"].get("parts", {}).items():
            rows.append((f"of it: {part}", number(cost, 2), "", ""))
    if not rows:
        return None
    return Shown(
        text="Start, processes, ledger, MLflow, progress and report, with the limits that they have to keep.",
        table=TextTable("Costs beside training", ("What", "Measured", "Limit", "Kept"), rows),
    )


def _limits(one: Mapping[str, Any]) -> Iterator[tuple[str, float, float, str]]:
    """What was measured, its value, the most that it may be, and the unit of both."""
    info = one["extra_info"]
    yield info["what"], value(one), info["most"], info["unit"]
    if "memory" in info:
        yield "memory of the parent meanwhile", info["memory"], info["memory_most"], "MiB"


def _peers(stored: Stored) -> list[Mapping[str, Any]]:
    return [info for info in notes(stored, "trials") if set(ARMS) <= set(info["seconds"])]


def _machine(stored: Stored) -> Mapping[str, Any]:
    return next((info["machine"] for info in notes(stored, "throughput")), {})


def _place(stored: Stored) -> str:
    return "the GPU" if _machine(stored).get("gpu") else "one core"


def _facts(stored: Stored) -> dict[str, str]:
    known = _machine(stored)
    load = {"Load before, processes": number(known["load"], 1)} if "load" in known else {}
    return machine(known) | load
