"""`unrolled show`: print a corpus, the models, the trials of a study, or one trial."""

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from ablations.commands.plan import load_plugins
from ablations.commands.seed_scheduler import SeedScheduler
from ablations.ledger import Ledger
from ablations.options import ShowOptions
from ablations.study import plan as plans
from ablations.study.plan import Plan
from ablations.study.retraining import find
from ablations.study.settings import parse_set, resolve
from bench.chapter.models.registry import ZOO
from bench.chapter.models.spec import PENALTIES
from bench.chapter.retrained import continuation, retrained
from bench.chapter.trial import ChapterTrial
from bench.errors import BadInput, visible
from bench.trial import Result, Trial
from reports.formats import duration

WIDTH = 100  # characters of a line
BAR = 20  # characters of a full bar
EIGHTHS = " ▏▎▍▌▋▊▉"
LEVELS = "▁▂▃▄▅▆▇█"
CONFUSIONS = 8  # that are shown
LONGEST = 60  # characters of a learning curve


def show(what: str, options: ShowOptions) -> int:
    """Print a corpus, the models, the trials of a study, or one trial with all that is known of it."""
    load_plugins(options.plugin)
    if what == "models":
        return _print_models()
    ledger = Ledger(options.results)
    if plans.is_stored(what, ledger):
        plans.stored(what, ledger)  # raises where it cannot be read
    stored = {} if what == "corpus" else {plan.study: plan for plan in plans.all_stored(ledger)}
    if options.generate and what in ("corpus", *stored):
        place = f"--generate {options.generate}"
        raise BadInput(f"{what} is no trial", place=place, cure="give the identity of one")
    if what == "corpus":
        return _print_corpus(options)
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
        again = retrained(result)
        text = continuation(again, options.generate)
        _print(describe_continuation(result.trial, *text, str(again)))
    return 0


def _print(lines: Iterable[str]) -> None:
    print("\n".join(map(visible, lines)))


def _print_models() -> int:
    """Print the models and the penalties, and what can be set on each."""
    for spec in ZOO.values():
        options = ", ".join(f"{key}={value}" for key, value in spec.options.items()) or "no options"
        print(f"{spec.name:<14} {spec.title:<18} {spec.about}\n{'':<14} {options}")
    for penalty in PENALTIES.values():
        print(f"{penalty.name:<14} {penalty.title:<18} {penalty.about}")
        print(f"{'':<14} an option of every trained model: {penalty.name}=0.0")
    return 0


def _print_corpus(options: ShowOptions) -> int:
    """Print the first batches of the validation set, decoded into words."""
    from bench.chapter.corpus import batches, load  # torch: not for the ledger's trials

    given: dict[str, Any] = {}
    for key, values in map(parse_set, options.set):
        if len(values) > 1 or key in given:
            cure = "leave the others out"
            raise BadInput("a corpus is shown for one value", place=f"--set {key}", cure=cure)
        given[key] = values[0]
    trial = ChapterTrial(seed=0, **resolve({"model": options.model, **given}))
    data = load(trial)
    train, valid = batches(trial, data)
    asked = valid.positions[valid.order].numel()
    print(f"{data.name}: {len(data.ids):,} tokens, vocabulary {len(data.vocab):,}, sha256 {data.sha256[:12]}")
    print(f"training {len(train):,} batches, validation {len(valid):,} batches, {asked:,} targets")
    for number, (inputs, targets) in zip(range(options.batches), valid, strict=False):
        shown = min(options.rows, len(inputs))
        print(f"\nvalidation batch {number}, its first {shown} rows of {len(inputs)}:")
        for row, target in zip(inputs[:shown], targets[:shown].view(shown, -1), strict=True):
            print(visible(f"  {' '.join(data.decode(row))}  →  {' '.join(data.decode(target))}"))
    return 0


def describe_trial(result: Result, uses: Sequence[str] = ()) -> Iterator[str]:
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
    yield from _section("by kind of token: accuracy, loss, share of the whole loss", _roles(result))
    yield from _section("where it fails, in the passage below", _confusions(result))
    yield from _section("passage: a wrong guess follows the missed token in ‹›", _passage(result))
    yield from _section("witnesses", _witnesses(result))
    yield from _section("fingerprints", [f"{key:<8} {value}" for key, value in result.fingerprints.items()])
    yield from _section("what it printed last", result.output.splitlines()[-40:])


def list_trials(plan: Plan, results: Mapping[str, Result]) -> Iterator[str]:
    """A line for each of a study's trials, seed by seed; those not needed so far come last."""
    pending = SeedScheduler(plan, results).pending
    needed = pending | results.keys()
    cells = sorted(plan.arm_and_seed.items(), key=lambda cell: cell[1][1])  # a stored plan has seeds as text
    for id, (arm, seed) in sorted(cells, key=lambda cell: cell[0] not in needed):
        result = results.get(id)
        if result is None:
            word = "missing" if id in pending else "not needed so far"
        elif result.done:
            word = "  ".join(result.main_numbers)
        else:
            word = result.trouble
        yield f"{id}  seed {seed:<4} {word:<32}  {arm.name}"


def describe_continuation(
    trial: Trial, prompt: Sequence[str], words: Sequence[str], about: str
) -> Iterator[str]:
    """A continuation under its prompt, and which model wrote it."""
    asked, answer = (_joined(trial, [_token(trial, token) for token in text]) for text in (prompt, words))
    title = "continuation of the first validation window"
    yield from _section(title, [*asked, "→", *answer, f"({about})"])


def bar(share: float, width: int = BAR) -> str:
    """A share of 0 to 1 as a bar of eighths of a character, padded to `width`."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    return ("█" * (eighths // 8) + EIGHTHS[eighths % 8]).strip().ljust(width)


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
    points: dict[str, list[tuple[float, float]]] = {
        name: list(curve) for name, curve in result.curves.items()
    }
    for epoch in result.epochs:
        for name in ("train_loss", "valid_loss", "accuracy"):
            points.setdefault(name, []).append((epoch.epoch, getattr(epoch, name)))
    width = max(map(len, points), default=0)
    return [f"{name:<{width}}  {_curve(curve)}" for name, curve in points.items()]


def _curve(points: Sequence[tuple[float, float]]) -> str:
    values = [value for _, value in points]
    drawn = values[:: math.ceil(len(values) / LONGEST)]
    ends = f"{sparkline(drawn)}  {values[0]:.4g} → {values[-1]:.4g}"
    finite = [point for point in points if math.isfinite(point[1])]
    if not finite:
        return ends
    lowest, highest = (choose(finite, key=itemgetter(1)) for choose in (min, max))
    return f"{ends}, from {lowest[1]:.4g} at {lowest[0]:g} to {highest[1]:.4g} at {highest[0]:g}"


def _roles(result: Result) -> list[str]:
    roles = {name: sums for name, sums in result.roles.items() if sums[2]}
    total = sum(nats for nats, _, _ in roles.values()) or 1.0
    width = max(map(len, roles), default=0)
    return [
        f"{name:<{width}}  {bar(hits / count)} {hits / count:>6.1%} of {count:<8,} "
        f"{nats / count:>7.4f} nats  {nats / total:>4.0%}"
        for name, (nats, hits, count) in roles.items()
    ]


def _confusions(result: Result) -> list[str]:
    wrong = Counter((row["token"], row["guess"]) for row in result.passage if row["token"] != row["guess"])
    return [
        f"{count}× {_token(result.trial, guess)} for {_token(result.trial, token)}"
        for (token, guess), count in wrong.most_common(CONFUSIONS)
    ]


def _passage(result: Result) -> list[str]:
    marked = []
    for token, guess in ((row["token"], row["guess"]) for row in result.passage):
        wrong = "" if token == guess else f"‹{_token(result.trial, guess)}›"
        marked.append(_token(result.trial, token) + wrong)
    return _joined(result.trial, marked)


def _witnesses(result: Result) -> list[str]:
    return [
        f"{'✓' if w['ok'] else '✗ DEAD TOGGLE:'} {name}: declared {w['declared']}, seen {w['seen']}"
        for name, w in result.witnesses.items()
    ]


def _joined(trial: Trial, tokens: Sequence[str]) -> list[str]:
    """Words with spaces between, characters without."""
    if _in_characters(trial):
        whole = "".join(tokens)
        return [whole[at : at + WIDTH] for at in range(0, len(whole), WIDTH)]
    return textwrap.wrap(" ".join(tokens), WIDTH, break_on_hyphens=False)


def _token(trial: Trial, token: str) -> str:
    return token.replace("\n", "⏎").replace(" ", "␣") if _in_characters(trial) else token


def _in_characters(trial: Trial) -> bool:
    return trial.task.get("tokens") == "char"
