"""`unrolled gate`: is a change less than δ worse than its base? Both are trained, seed by seed, in turn."""

import sys
from statistics import fmean

from unrolled.ablations.commands.run import INTERRUPTED, format_command_line
from unrolled.ablations.commits.gate_study import Gate, make_gate
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import GateOptions, refuse_flags, refuse_folder
from unrolled.ablations.plans import plan_store
from unrolled.ablations.study.study import Study
from unrolled.ablations.terminal import print_line
from unrolled.ablations.training.estimates import SPREAD, measure_spreads
from unrolled.ablations.training.run_studies import run_studies
from unrolled.bench.files.atomic_files import save_file
from unrolled.bench.phrases import escape_markdown
from unrolled.reports.commits.gate_words import describe_gate, write_gate_markdown
from unrolled.reports.formats import format_duration
from unrolled.reports.statistics.gates import predict_gate, predict_gate_pairs
from unrolled.reports.statistics.looks import Looks

NOT_PASSED = 3  # exit code of a gate that is not passed
_RULES = ("seeds", "set", "plugin", "to_the_end")  # options that would change the base's rules


def gate(study: str, options: GateOptions) -> int:
    """Train a change and its base until the change passes or fails. Returns the exit code: 0 if it passed."""
    refuse_flags(
        options,
        _RULES,
        "would change the rules, which are the base's",
        "edit the study in a change of its own",
    )
    refuse_folder(options.markdown, "--markdown")
    change = make_gate(study, options.base, options.head, options.results)
    for remark in change.remarks:
        print_line(remark)
    sides = _describe_sides(change)
    if not change.study.contrasts:
        print_line(sides)
        edit_note = f" (edited: {', '.join(change.edits)})" if change.edits else ""
        others = " but for those that the base decides" if change.remarks else ""
        sentence = f"Passed: no file that counts differs{others}, and nothing is trained{edit_note}"
        print_line(f"{sentence}.")
        _write_markdown(f"**{escape_markdown(sentence)}.**\n\n{escape_markdown(sides)}\n", options)
        return 0
    if options.dry_run:
        print_line(sides)
        return _print_costs(change.study, Ledger(options.results))
    outcome = run_studies([change.study], options, format_command_line())
    comparison = outcome.comparisons.get(change.study.name)
    if comparison is None:
        print_line("Not passed: no time was left.")
        return NOT_PASSED
    _write_markdown(write_gate_markdown(comparison, escape_markdown(sides)), options)
    if outcome.interrupted:
        return INTERRUPTED
    has_passed = comparison.gate is not None and comparison.gate.has_passed
    if not has_passed:
        print_line(f"unrolled: {describe_gate(comparison)}", sys.stderr)
    return 0 if has_passed else NOT_PASSED


def _describe_sides(change: Gate) -> str:
    """Return sentences on the two commits, and remarks on files that the base decides."""
    sides = f"Base: {change.base.description}. Head: {change.head.description}."
    return " ".join([sides, *(f"{remark}." for remark in change.remarks)])


def _write_markdown(text: str, options: GateOptions) -> None:
    if options.markdown:
        save_file(options.markdown, text.encode())


def _print_costs(study: Study, ledger: Ledger) -> int:
    """Print the expected trials and time of a gate, and its chance to pass. Returns the exit code."""
    spreads, seconds = _read_measurements(study, ledger)
    looks = Looks(study.rules.looks)
    chance_to_fail = 0.0
    spreads_and_zones = []
    for metric in study.rules.metrics:
        for arm in study.contrasts:
            sd = spreads.get((arm, metric.name), SPREAD * metric.zone)
            source = "measured" if (arm, metric.name) in spreads else f"a guess, {SPREAD:g} δ"
            if_unchanged, if_worse = (
                predict_gate(looks, sd=sd, zone=metric.zone, effect=effect) for effect in (0.0, metric.zone)
            )
            chance_to_fail += 1 - if_unchanged.passes
            spreads_and_zones.append((sd, metric.zone))
            spread = f"SD of the pairs' differences {sd:.2g} ({source})"
            print_line(f"{arm}, {metric.name}: δ {metric.shown_delta}, {spread}")
            seeds = f"after {if_unchanged.pairs:.0f} seeds"
            print_line(f"  chance to pass: {if_unchanged.passes:.3f} if unchanged, {seeds}")
            print_line(f"  chance to pass: {if_worse.passes:.3f} if worse by δ")
    trials = predict_gate_pairs(looks, tuple(spreads_and_zones)) * len(study.arms)
    cost = f"{format_duration(trials * seconds)} of training" if seconds else "no trial was measured yet"
    chance = f"{max(0.0, 1 - chance_to_fail):.3f}"
    print_line(f"chance to pass by all: at least {chance} if unchanged and if differences are normal")
    print_line(
        f"about {trials:.0f} trials expected, {cost}; {len(study.arms) * study.rules.looks[-1]} at most"
    )
    return 0


def _read_measurements(study: Study, ledger: Ledger) -> tuple[dict[tuple[str, str], float], float]:
    """Return the SD of paired differences by arm and metric, and the mean seconds of a trial.

    They are those of the last gate; {} and 0 if there was none.
    """
    if not plan_store.has_plan(study.name, ledger):
        return {}, 0.0
    plan = plan_store.load_plan(study.name, ledger)
    results = ledger.read_results(plan.ids)
    times = [result.total_seconds for result in results.values() if result.is_done]
    return measure_spreads(plan, results), fmean(times or [0.0])
