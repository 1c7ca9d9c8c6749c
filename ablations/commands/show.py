"""`unrolled show`: print a corpus, the models, the trials of a study, or one trial."""

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from pkgutil import resolve_name

from unrolled.ablations.commands import chapter
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import ShowOptions, refuse
from unrolled.ablations.study import stored_plans
from unrolled.ablations.study.loading import load_plugins
from unrolled.ablations.study.plan import Plan
from unrolled.ablations.study.retraining import find
from unrolled.ablations.study.study_file import shipped
from unrolled.ablations.training.comparison import PRESENTATIONS
from unrolled.ablations.training.seed_scheduler import SeedScheduler
from unrolled.bench.errors import BadInput, visible
from unrolled.bench.metric import kind_of
from unrolled.bench.trial import Result
from unrolled.reports.formats import duration

WIDTH = 100  # characters of a line
LEVELS = "▁▂▃▄▅▆▇█"
LONGEST = 60  # characters of a learning curve


def show(what: str, options: ShowOptions) -> int:
    """Print a corpus, the models, the trials of a study, or one trial with all that is known of it."""
    load_plugins(options.plugin)
    if what != "corpus":
        refuse(options, ("model", "set", "batches", "rows"), "is for corpus", "leave it out")
    if what == "models":
        return chapter.print_models()
    ledger = Ledger(options.results)
    if what.endswith(".toml") or what in shipped() or stored_plans.has_plan(what, ledger):
        what = stored_plans.stored(what, ledger).study  # raises where it was not run, or cannot be read
    stored = {} if what == "corpus" else {plan.study: plan for plan in stored_plans.all_stored(ledger)}
    if options.generate and what in ("corpus", *stored):
        place = f"--generate {options.generate}"
        raise BadInput(f"{what} is no trial", place=place, cure="give the identity of one")
    if what == "corpus":
        return chapter.print_corpus(options)
    if plan := stored.get(what):
        _print(list_trials(plan, ledger.results(plan.ids)))
        return 0
    result = find(what, ledger)
    uses = []
    for plan in stored.values():
        if arm_and_seed := plan.arm_and_seed.get(result.trial.id):
            uses.append(f"{plan.study}: {arm_and_seed[0].name}, seed {arm_and_seed[1]}")
    _print(describe_trial(result, uses))
    if options.generate:
        _print(_section(*chapter.generate(result, options.generate)))
    return 0


def _print(lines: Iterable[str]) -> None:
    print("\n".join(map(visible, lines)))


def describe_trial(result: Result, uses: Sequence[str]) -> Iterator[str]:
    """The stored facts of a trial; `uses` lists its studies, arms and seeds."""
    trial = result.trial
    end = f"{result.status} in {duration(result.spent)}"
    yield f"trial {trial.id}: {trial.title}, seed {trial.seed}: {end}"
    yield from (f"  in {use}" for use in uses)
    if not result.done:
        yield from ("", f"{result.trouble} (attempts: {result.attempts})")
    settings = [f"{key} {value}" for key, value in trial.factors().items()]
    yield from _section("settings", _wrapped(settings))
    yield from _section("result", _wrapped([f"{name} {x:,.6g}" for name, x in result.metrics.items()]))
    yield from _section("learning curves", _curves(result))
    if own := PRESENTATIONS[trial.trainer].trial:
        for title, lines in resolve_name(own)(result):
            yield from _section(title, lines)
    yield from _section("witnesses", _witnesses(result))
    yield from _section("fingerprints", [f"{key:<8} {value}" for key, value in result.fingerprints.items()])
    yield from _section("what it printed last", result.output.splitlines()[-40:])


def list_trials(plan: Plan, results: Mapping[str, Result]) -> Iterator[str]:
    """A line for each of a study's trials, seed by seed; those not needed so far come last."""
    pending = SeedScheduler(plan, results).pending
    needed = pending | results.keys()
    for id, (arm, seed) in sorted(plan.arm_and_seed.items(), key=lambda cell: cell[0] not in needed):
        result = plan.judge_result(results[id]) if id in results else None
        if result is None:
            word = "missing" if id in pending else "not needed so far"
        elif result.done:
            word = "  ".join(result.main_numbers([metric.name for metric in plan.metrics]))
        else:
            word = result.trouble
        yield f"{id}  seed {seed:<4} {word:<32}  {arm.name}"


def sparkline(values: Sequence[float]) -> str:
    """One character a value, from the lowest to the highest of them; × where there is no number."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    scale = (len(LEVELS) - 1) / (high - low) if high > low else 0.0
    return "".join(LEVELS[round((v - low) * scale)] if math.isfinite(v) else "×" for v in values)


def _section(title: str, body: Sequence[str]) -> Iterator[str]:
    if body:
        yield from ("", title)
        yield from (f"  {line}" for line in body)


def _wrapped(parts: Sequence[str]) -> list[str]:
    """Parts side by side, in lines; a part stays whole where it can."""
    whole = " · ".join(part.replace(" ", "\xa0") for part in parts)
    return [line.replace("\xa0", " ") for line in textwrap.wrap(whole, WIDTH, break_on_hyphens=False)]


def _curves(result: Result) -> list[str]:
    """A line for each metric that has a curve: its first and last value, the lowest and the highest."""
    curves = {n: points for n, points in result.curves.items() if points and kind_of(n) == "quality"}
    width = max(map(len, curves), default=0)
    return [f"{name:<{width}}  {_curve(points)}" for name, points in curves.items()]


def _curve(points: Sequence[tuple[float, float]]) -> str:
    values = [value for _, value in points]
    drawn = values[:: math.ceil(len(values) / LONGEST)]
    ends = f"{sparkline(drawn)}  {values[0]:.4g} → {values[-1]:.4g}"
    finite = [point for point in points if math.isfinite(point[1])]
    if not finite:
        return ends
    lowest, highest = (choose(finite, key=itemgetter(1)) for choose in (min, max))
    return f"{ends}, lowest {lowest[1]:.4g} at {lowest[0]:g}, highest {highest[1]:.4g} at {highest[0]:g}"


def _witnesses(result: Result) -> list[str]:
    return [
        f"{'✓' if w['ok'] else '✗ DEAD TOGGLE:'} {name}: declared {w['declared']}, seen {w['seen']}"
        for name, w in result.witnesses.items()
    ]
