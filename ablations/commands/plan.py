"""`unrolled plan`: choose studies, and print their trials, costs and power. Nothing is trained."""

import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from statistics import fmean

from ablations.commands import device
from ablations.design import costs, loading, study
from ablations.design.plan import device_of
from ablations.design.settings import parse_set
from ablations.design.study_file import shipped
from ablations.flags import cores
from ablations.ledger import Ledger
from bench import plugins
from bench.trial import BadInput, counted, visible

LARGE = 10_000_000
"""Bytes of a text that takes more than a second to read."""


def chosen(args: Namespace) -> Iterator[study.Study]:
    """The studies named on the command line, changed by --plugin, --seeds, --set and --corpus.

    "all" leaves out those that need a GPU. Raises BadInput.
    """
    load_plugins(args)
    names = shipped() if args.studies == ["all"] else args.studies
    sets = [parse_set(text) for text in args.set]
    if args.corpus is not None:
        if not args.corpus.strip() or "corpus" in dict(sets):
            raise BadInput(f"--corpus {args.corpus!r}: give one text, by its name or path, and once")
        sets.append(("corpus", [args.corpus]))
    limits = {"confirmed": args.yes}
    for name in names:
        found = loading.load(name, **limits)
        if found.file.gpu and args.studies == ["all"]:
            continue
        if args.seeds is not None or sets:
            found = loading.override(found, args.seeds, sets, **limits)
        _tell_large_texts(found)
        yield found


def _tell_large_texts(found: study.Study) -> None:
    for name in dict.fromkeys(arm.settings["corpus"] for arm in found.arms):
        with suppress(OSError, ValueError):  # no file: a corpus of the project's, or refused once it is read
            if (size := Path(name).stat().st_size) > LARGE:
                print(f"reading {visible(name)}: {size / 1e6:.0f} MB", file=sys.stderr)


def load_plugins(args: Namespace) -> None:
    """Load the files of --plugin, which register models and regularisers."""
    for name in args.plugin:
        plugins.load(name)


def plan(args: Namespace) -> int:
    """Print the trials of studies, their costs, and the effects that their seeds can detect."""
    for found in chosen(args):
        print_plan(found, cores(), device.choose(found, args, device_of(found.name, Ledger(args.results))))
    return 0


def print_plan(found: study.Study, workers: int, on: device.Device) -> None:
    """One study's arms, trials, expected seconds, device, and what its seeds can decide."""
    cells = study.trials(found, lambda trial: trial)
    seconds = {arm.name: 0.0 for arm in found.arms}
    for arm, trial in cells:
        seconds[arm.name] += costs.expected_seconds(trial)
    searching = [costs.expected_seconds(t) for _, t in study.search_trials(found, lambda trial: trial)]
    total = sum(seconds.values()) + sum(searching)
    width = max(len(visible(name)) for name in seconds)
    print(f"{visible(found.name)}: {visible(found.question)}\n")
    print(f"{'arm':<{width}}  seconds  what it changes")
    for arm in found.arms:
        changes = ", ".join(f"{key}={visible(value)}" for key, value in arm.changes.items()) or "–"
        against = f", against {visible(arm.against)}" if arm.against else ""
        print(f"{visible(arm.name):<{width}}  {seconds[arm.name]:>7.0f}  {changes}{against}")
        for other in arm.also:
            print(f"{'':<{width}}           also: {visible(other)}")
    once = sum(arm.counted for arm in found.arms)
    arms, of_each = counted(len(found.arms) - once, "arm"), counted(len(found.seeds), "seed")
    more = f" + {once} trained once" if once else ""
    size = f"{arms} × {of_each}{more} = {counted(len(cells), 'trial')}"
    print(f"\n{size}, plan {found.plan[:12]}")
    if t := found.tuning:
        tuned = len(searching) // (len(t.levels) * len(t.seeds))
        winners = tuned * len(found.seeds)
        total += winners * fmean(searching)
        levels, of_each = counted(len(t.levels), "level"), counted(len(t.seeds), "seed")
        size = f"{counted(tuned, 'arm')} × {levels} of {t.setting} × {of_each}"
        print(f"tuning: {size} = {len(searching)} trials, and at most {winners} for the winners")
    print(f"about {total:.0f} CPU seconds: {total / workers / 60:.0f} min on {counted(workers, 'core')}")
    print(on)
    print("\n".join(_promise(costs.contrasts(found), len(found.seeds), found.equivalence)))


def _promise(contrasts: int, seeds: int, equivalence: float) -> list[str]:
    """Lines on the effects that a number of seeds can detect, for a number of contrasts."""
    from reports.statistics.power import (
        ALPHA,
        FEWEST_SEEDS,
        minimum_detectable_effect,
        seeds_for_exact,
        seeds_needed,
        smallest_exact_p,
    )

    family = max(contrasts, 1)
    need = seeds_for_exact(family)
    decided = f"{counted(seeds, 'seed')}, {counted(contrasts, 'contrast')}"
    lines = [f"{decided}; the smallest exact p is {smallest_exact_p(seeds):.2g}"]
    if seeds >= 2:
        effect = minimum_detectable_effect(seeds, alpha=ALPHA / family)
        lines.append(
            f"detects (80 % power, after Holm) an effect of {effect:.2f} SD of the paired differences, "
            f"δ = {equivalence:g} if their SD is {equivalence / effect:.2g}"
        )
    if seeds < FEWEST_SEEDS:
        lines.append(
            f"WARNING: every verdict will be INCONCLUSIVE: a verdict needs at least {FEWEST_SEEDS} seeds"
        )
    elif seeds < need:
        lines.append(f"WARNING: no exact test can reach {ALPHA:g} after Holm: that needs {need} seeds")
    lines.append(f"an effect of one SD needs {seeds_needed(1.0, ALPHA / family)} seeds")
    return lines
