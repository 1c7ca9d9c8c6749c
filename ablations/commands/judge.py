"""`unrolled judge`: is a candidate better than the incumbent of its chain? Both are trained, seed by seed."""

import json
import math
import sys
from contextlib import redirect_stdout
from typing import Any

from unrolled.ablations.commands.run import INTERRUPTED, format_command_line
from unrolled.ablations.commits.chain.candidate import ChainEntry
from unrolled.ablations.commits.chain.chain_record import (
    CandidateContent,
    Proposal,
    find_folder,
    has_chain,
    read_chain,
)
from unrolled.ablations.commits.chain.chain_rows import find_scale, write_outcome_line
from unrolled.ablations.commits.chain.judgement import judge_candidate
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import JudgeOptions, refuse_flags
from unrolled.ablations.study.study_reader import parse_study
from unrolled.ablations.terminal import print_line
from unrolled.bench.errors import BadInput, require
from unrolled.bench.phrases import make_visible, plural
from unrolled.reports.statistics.gain_test import ProposalOutcome, find_smallest_gain
from unrolled.reports.statistics.looks import Looks

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

    Returns the exit code of EXIT_CODES. All other output goes to standard error.
    """
    try:
        if options.dry_run:
            return _print_state(options)
        with redirect_stdout(sys.stderr):
            cure = "begin a new chain with an edited study"
            refuse_flags(options, _RULES, "would change the rules, which are the chain's", cure)
            entry, interrupted = judge_candidate(candidate, study, options, format_command_line())
    except BadInput as error:
        if options.json:
            print(json.dumps({"outcome": "bad input", "exit_code": 2, "reason": make_visible(error)}))
        raise
    except KeyboardInterrupt:
        if options.json:
            facts = {"outcome": "undecided", "exit_code": INTERRUPTED, "reason": "open: interrupted"}
            print(json.dumps(facts))
        return INTERRUPTED
    code = INTERRUPTED if interrupted else _find_exit_code(entry.proposal)
    facts = _collect_facts(entry, code, options)
    if options.json:
        print(json.dumps(facts))
    else:
        print_line(write_outcome_line(entry))
    return code


def _find_exit_code(proposal: Proposal) -> int:
    """Return the exit code of a proposal: 0 if it becomes the incumbent, else that of its outcome."""
    if proposal.becomes_incumbent:
        return 0
    return EXIT_CODES[ProposalOutcome(proposal.outcome or ProposalOutcome.UNDECIDED)]


def _print_state(options: JudgeOptions) -> int:
    """Print the incumbent of a chain, its error budget and the smallest gain to be shown. Returns 0."""
    folder = find_folder(options.chain, Ledger(options.results))
    cure = "judge its first candidate: --incumbent main"
    if options.incumbent:
        cure = "leave --dry-run out: its first candidate begins it"
    require(has_chain(folder), "has not begun", place=f"--chain {options.chain}", cure=cure)
    record = read_chain(folder)
    level, _ = record.compute_levels()
    spread = record.measure_spread()
    gain = find_smallest_gain(spread, level, Looks(record.chain.looks)) if spread and level else math.inf
    metric = parse_study(record.chain.study_text).metrics[0].metric
    scale = find_scale(metric)
    difference = scale.convert_finite_difference(metric.gain_sign * gain)
    facts = {
        "chain": record.chain.name,
        "incumbent": _describe_content(record.incumbent),
        "proposals": len(record.proposals),
        "level": level,
        "error_budget_left": record.compute_budget(),
        "spread": spread and scale.convert_difference(spread),
        "smallest_gain": difference and abs(difference),
    }
    if options.json:
        print(json.dumps(facts))
        return 0
    count = plural(len(record.proposals), "proposal")
    print_line(f"incumbent: {record.incumbent.commit.description} ({count} so far)")
    budget = f"{record.compute_budget():.3g}, which began at {record.chain.alpha:g}"
    print_line(f"error budget left: {budget}; the next proposal has level {level:.2g}")
    if spread:
        unit = f" {scale.difference_unit if metric.ratio else scale.unit}".rstrip()
        smallest = f"{abs(difference):.3g}{unit}" if difference else "none"
        sd = f"{scale.convert_difference(spread):.3g}{unit}"
        print_line(f"smallest true gain with power .8: {smallest} (the pairs' differences have SD {sd})")
    return 0


def _collect_facts(entry: ChainEntry, code: int, options: JudgeOptions) -> dict[str, Any]:
    """Return the outcome as the fields of --json."""
    record = entry.record
    proposal = entry.proposal
    base = record.find_candidate(proposal.incumbent_number)
    difference, bound = map(
        find_scale(entry.metric).convert_finite_difference, (proposal.difference, proposal.bound)
    )
    return {
        "outcome": proposal.outcome or str(ProposalOutcome.UNDECIDED),
        "exit_code": code,
        "reason": proposal.reason,
        "remarks": list(proposal.remarks),
        "chain": record.chain.name,
        "proposal": proposal.number,
        "is_old": entry.is_old,
        "candidate": _describe_content(proposal.candidate),
        "compared_with": _describe_content(base),
        "incumbent": _describe_content(record.incumbent),
        "metric": entry.metric.name,
        "delta": entry.metric.delta,
        "difference": difference,
        "bound": bound,
        "p": proposal.p if proposal.outcome and proposal.is_tested else None,
        "level": proposal.level,
        "pairs": proposal.pairs,
        "seconds": round(proposal.seconds, 3),
        "seeds": list(proposal.seeds),
        "error_budget_left": record.compute_budget(),
        "page": str(options.out / record.chain.name / "index.html"),
    }


def _describe_content(content: CandidateContent) -> dict[str, Any]:
    """Return a commit as fields of --json."""
    commit = content.commit
    names = {"name": commit.name, "commit": commit.hash, "tree": commit.tree, "subject": commit.subject}
    return {**names, "lines": content.lines}
