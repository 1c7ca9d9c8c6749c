"""`unrolled show`: print a corpus, the models, or one trial."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from unrolled.ablations.commands import chapter
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import ShowOptions, refuse_flags
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.study.loading import load_plugins
from unrolled.ablations.terminal import print_line
from unrolled.bench.trial import Result
from unrolled.reports.compare.compared_arm import collect_arm_witnesses
from unrolled.reports.formats import format_duration


def show(name: str, options: ShowOptions) -> int:
    """Print a corpus, the models, or the stored facts of a trial. Returns the exit code."""
    load_plugins(options.plugin)
    if name != "corpus":
        refuse_flags(options, ("set", "batches", "rows"), "is for corpus", "leave it out")
    if name in ("corpus", "models"):
        refuse_flags(options, ("generate",), f"{name} is no trial", "give the identity of one")
        return chapter.print_corpus(options) if name == "corpus" else chapter.print_models()
    ledger = Ledger(options.results)
    result = ledger.find_result(name)
    uses = [
        f"{plan.study_name}: {arm.name}, seed {seed}{_describe_divergence(result, plan)}"
        for plan in plan_store.load_plans(ledger)
        for id, (arm, seed) in plan.arm_and_seed_by_id.items()
        if id == result.trial.id
    ]
    _print_lines(describe_trial(result, uses))
    if options.generate:
        _print_lines(_format_section(*chapter.generate_text(result, options.generate)))
    return 0


def _describe_divergence(result: Result, plan: Plan) -> str:
    """Return why a trial counts as diverged in a study that judges its numbers; "" if it does not."""
    in_study = plan.make_result_in_study(result)
    return f", diverged: {in_study.reason}" if in_study.diverged and result.is_done else ""


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print_line(line)


def describe_trial(result: Result, uses: Sequence[str]) -> Iterator[str]:
    """Yield lines on a trial: `uses` (its studies, arms and seeds), settings, result, witnesses, output."""
    trial = result.trial
    end = f"{result.status} in {format_duration(result.training_seconds)}"
    yield f"trial {trial.id}: {trial.title}, seed {trial.seed}: {end}"
    yield from (f"  in {use}" for use in uses)
    if not result.is_done:
        yield from ("", f"{result.trouble} (attempts: {result.attempts})")
    settings = [f"{key} {value}" for key, value in trial.flat_settings().items()]
    yield from _format_section("settings", _wrap_parts(settings))
    yield from _format_section(
        "result", _wrap_parts([f"{name} {x:,.6g}" for name, x in result.metrics.items()])
    )
    yield from _format_section("witnesses", [str(witness) for witness in collect_arm_witnesses([result])])
    yield from _format_section(
        "fingerprints", [f"{key:<8} {value}" for key, value in result.fingerprints.items()]
    )
    yield from _format_section("what it printed last", result.output.splitlines()[-40:])


def _format_section(title: str, body: Sequence[str]) -> Iterator[str]:
    if body:
        yield from ("", title)
        yield from (f"  {line}" for line in body)


def _wrap_parts(parts: Sequence[str]) -> list[str]:
    """Return lines of parts side by side, which break between parts: "lr 0.01 · epochs 5"."""
    text = " · ".join(part.replace(" ", "\xa0") for part in parts)
    return [line.replace("\xa0", " ") for line in textwrap.wrap(text, chapter.WIDTH, break_on_hyphens=False)]
