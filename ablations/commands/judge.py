"""`unrolled judge`: is a candidate better than the incumbent of its chain? Both are trained, seed by seed."""

import json
import math
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from unrolled.ablations.commands.run import INTERRUPTED, format_command_line
from unrolled.ablations.commits.chain import Version, find_folder, has_chain, read_chain
from unrolled.ablations.commits.chain_rows import describe_proposal, write_page
from unrolled.ablations.commits.judge import Judging, conclude, prepare_proposal
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import JudgeOptions, refuse_flags
from unrolled.ablations.runner.process import plain_reason
from unrolled.ablations.study import plan_store
from unrolled.ablations.training.comparison import prepare_folder
from unrolled.ablations.training.run_studies import run_studies
from unrolled.bench.errors import BadInput, plural, require, visible
from unrolled.reports.statistics.chain import ProposalOutcome, smallest_gain
from unrolled.reports.statistics.sequential import Looks

if TYPE_CHECKING:
    from unrolled.reports.comparison import Comparison

EXIT_CODES = {
    ProposalOutcome.KEEP: 0,
    ProposalOutcome.CRASH: 1,
    ProposalOutcome.DISCARD: 3,
    ProposalOutcome.UNDECIDED: 4,
    ProposalOutcome.REFUSED: 5,
    ProposalOutcome.SIMPLER: 6,
}
_RULES = ("seeds", "set", "plugin", "to_the_end")  # options that would change the chain's rules


def judge(candidate: str, study: str, options: JudgeOptions) -> int:
    """Judge a candidate, record the outcome in its chain, and print it in a line or as JSON.

    Returns the exit code of EXIT_CODES. All else is printed to standard error.
    """
    try:
        if options.dry_run:
            return _print_state(options)
        with redirect_stdout(sys.stderr):
            judging, code = _judge_under_lock(candidate, study, options)
    except BadInput as error:
        if options.json:
            print(json.dumps({"outcome": "bad input", "exit_code": 2, "reason": visible(error)}))
        raise
    except KeyboardInterrupt:
        if options.json:
            facts = {"outcome": "undecided", "exit_code": INTERRUPTED, "reason": "open: interrupted"}
            print(json.dumps(facts))
        return INTERRUPTED
    facts = _collect_facts(judging, code, options)
    print(json.dumps(facts) if options.json else visible(describe_proposal(judging)))
    return code


def _print_state(options: JudgeOptions) -> int:
    """Print what the next proposal of a chain is to be compared with, and which gains can be shown."""
    folder = find_folder(options.chain, Ledger(options.results))
    cure = "judge its first candidate: --incumbent main"
    require(has_chain(folder), "has not begun", place=f"--chain {options.chain}", cure=cure)
    record = read_chain(folder)
    level, _ = record.compute_levels()
    spread = record.measure_spread()
    gain = smallest_gain(spread, level, Looks(record.chain.looks)) if spread and level else None
    facts = {
        "chain": record.chain.name,
        "incumbent": _describe_version(record.incumbent),
        "proposals": len(record.proposals),
        "level": level,
        "error_budget_left": record.compute_budget(),
        "spread": spread,
        "smallest_gain": gain if gain and math.isfinite(gain) else None,
    }
    if options.json:
        print(json.dumps(facts))
        return 0
    commit = record.incumbent.commit
    print(visible(f"incumbent: {commit.description} ({plural(len(record.proposals), 'proposal')} so far)"))
    budget = f"{record.compute_budget():.3g} of {record.chain.alpha:g}"
    print(f"error budget left: {budget}; the next proposal has level {level:.2g}")
    if spread:
        known = f"{gain:.3g}" if gain and math.isfinite(gain) else "none"
        print(f"gain that is kept with a chance of .8: {known} (SD of the pairs' differences {spread:.3g})")
    return 0


def _judge_under_lock(candidate: str, study: str, options: JudgeOptions) -> tuple[Judging, int]:
    """Judge a candidate while no other process judges one of the chain. Returns it and the exit code."""
    cure = "begin a new chain with an edited study"
    refuse_flags(options, _RULES, "would change the rules, which are the chain's", cure)
    require(
        options.chain, "is missing", place="--chain", cure="name the chain of the proposals: --chain night"
    )
    ledger = Ledger(options.results)
    prepare_folder(options.out)
    with ledger.lock_chain(options.chain):
        judging = prepare_proposal(candidate, study, options, ledger)
        interrupted = False
        if judging.study:
            judging, interrupted = _train(judging, options, ledger)
        write_page(judging.record, ledger, options.out)
    if interrupted:
        return judging, INTERRUPTED
    outcome = ProposalOutcome(judging.proposal.outcome or ProposalOutcome.UNDECIDED)
    is_accepted = outcome is ProposalOutcome.SIMPLER and judging.proposal.accepted
    return judging, 0 if is_accepted else EXIT_CODES[outcome]


def _train(judging: Judging, options: JudgeOptions, ledger: Ledger) -> tuple[Judging, bool]:
    """Train what a proposal asks for and record what it shows. Returns also whether Ctrl-C ended it."""
    assert judging.study is not None
    study = judging.study
    run_options = replace(options, out=options.out / judging.record.chain.name)
    outcome = run_studies([study], run_options, format_command_line())
    comparison = outcome.comparisons.get(study.name)
    proposal = judging.proposal
    if comparison is None or comparison.proposal is None:
        proposal = replace(proposal, reason="open: no time was left")
    else:
        proposal = conclude(judging, comparison.proposal, _sum_seconds(comparison))
        if proposal.outcome == ProposalOutcome.CRASH:
            proposal = replace(proposal, reason=_explain_crash(comparison) or proposal.reason)
    if proposal.outcome == ProposalOutcome.KEEP and options.verify:
        from unrolled.ablations.commits.second_training import doubt_candidate

        if doubt := doubt_candidate(study, plan_store.load_plan(study.name, ledger), ledger, options):
            proposal = replace(proposal, outcome=ProposalOutcome.REFUSED, p=1.0, reason=doubt)
    if proposal.outcome == ProposalOutcome.SIMPLER:
        proposal = replace(proposal, accepted=options.accept_simpler)
    if proposal.becomes_incumbent:
        judging.keep_files()
    record = judging.record.save_proposal(proposal)
    return replace(judging, record=record, proposal=proposal), outcome.interrupted


def _explain_crash(comparison: "Comparison") -> str:
    """Return the seed and the reason of the first trial of the candidate that failed."""
    results = comparison.design.arms[1].results
    failed = [(seed, result) for seed, result in results.items() if result.status == "failed"]
    return next((f"seed {seed}: {plain_reason(result)}" for seed, result in failed), "")


def _sum_seconds(comparison: "Comparison") -> float:
    """Return the seconds that the trials of a proposal took."""
    return sum(r.total_seconds for arm in comparison.design.arms for r in arm.results.values())


def _collect_facts(judging: Judging, code: int, options: JudgeOptions) -> dict[str, Any]:
    """Return the outcome as JSON has it."""
    record, proposal = judging.record, judging.proposal
    compared = record.find_version(proposal.incumbent)
    return {
        "outcome": proposal.outcome or str(ProposalOutcome.UNDECIDED),
        "exit_code": code,
        "reason": proposal.reason,
        "remarks": list(proposal.remarks),
        "chain": record.chain.name,
        "proposal": proposal.number,
        "is_old": judging.is_old,
        "candidate": _describe_version(proposal.candidate),
        "compared_with": _describe_version(compared),
        "incumbent": _describe_version(record.incumbent),
        "metric": judging.metric.name,
        "delta": judging.metric.zone,
        "difference": proposal.difference,
        "bound": proposal.bound,
        "p": proposal.p if proposal.outcome and proposal.is_tested else None,
        "level": proposal.level,
        "pairs": proposal.pairs,
        "seconds": round(proposal.seconds, 3),
        "seeds": list(proposal.seeds),
        "error_budget_left": record.compute_budget(),
        "page": str(options.out / record.chain.name / "index.html"),
    }


def _describe_version(version: Version) -> dict[str, Any]:
    """Return a commit as JSON has it."""
    commit = version.commit
    names = {"name": commit.name, "commit": commit.hash, "tree": commit.tree, "subject": commit.subject}
    return {**names, "lines": version.lines}
