"""`unrolled show`: print a corpus, the models, the trials of a study, or one trial."""

from collections.abc import Iterable
from typing import Any

from ablations.commands import trial_view
from ablations.commands.plan import load_plugins
from ablations.commands.seed_scheduler import SeedScheduler
from ablations.ledger import Ledger
from ablations.options import ShowOptions
from ablations.runner.retrained import continuation, find, retrained
from ablations.study import plan as plans
from ablations.study.settings import parse_set, resolve
from bench.chapter.models.registry import ZOO
from bench.chapter.models.spec import PENALTIES
from bench.errors import BadInput, visible
from bench.trial import Trial


def show(what: str, options: ShowOptions) -> int:
    """Print a corpus, the models, the trials of a study, or one trial with all that is known of it."""
    load_plugins(options.plugin)
    if what == "models":
        return _models()
    ledger = Ledger(options.results)
    if plans.is_stored(what, ledger):
        plans.stored(what, ledger)  # raises where it cannot be read
    stored = {} if what == "corpus" else {plan.study: plan for plan in plans.all_stored(ledger)}
    if options.generate and what in ("corpus", *stored):
        place = f"--generate {options.generate}"
        raise BadInput(f"{what} is no trial", place=place, cure="give the identity of one")
    if what == "corpus":
        return _corpus(options)
    if plan := stored.get(what):
        have = ledger.results(plan.ids)
        named = [(id, arm.name, seed) for id, (arm, seed) in plan.arm_and_seed.items()]
        _print(trial_view.listing(named, have, SeedScheduler(plan, have).pending))
        return 0
    result = find(what, ledger)
    uses = []
    for plan in stored.values():
        if arm_and_seed := plan.arm_and_seed.get(result.trial.id):
            uses.append(f"{plan.study}: {arm_and_seed[0].name}, seed {arm_and_seed[1]}")
    _print(trial_view.lines(result, uses))
    if options.generate:
        again = retrained(result)
        _print(trial_view.generated(result.trial, *continuation(again, options.generate), str(again)))
    return 0


def _print(lines: Iterable[str]) -> None:
    print("\n".join(map(visible, lines)))


def _models() -> int:
    """Print the models and the penalties, and what can be set on each."""
    for spec in ZOO.values():
        options = ", ".join(f"{key}={value}" for key, value in spec.options.items()) or "no options"
        print(f"{spec.name:<14} {spec.title:<18} {spec.about}\n{'':<14} {options}")
    for penalty in PENALTIES.values():
        print(f"{penalty.name:<14} {penalty.title:<18} {penalty.about}")
        print(f"{'':<14} an option of every trained model: {penalty.name}=0.0")
    return 0


def _corpus(options: ShowOptions) -> int:
    """Print the first batches of the validation set, decoded into words."""
    from bench.chapter.corpus import batches, load  # torch: not for the ledger's trials

    given: dict[str, Any] = {}
    for key, values in map(parse_set, options.set):
        if len(values) > 1 or key in given:
            cure = "leave the others out"
            raise BadInput("a corpus is shown for one value", place=f"--set {key}", cure=cure)
        given[key] = values[0]
    trial = Trial(seed=0, **resolve({"model": options.model, **given}))
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
