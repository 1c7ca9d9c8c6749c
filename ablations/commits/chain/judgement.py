"""Judging a proposal: from the name of a commit to an outcome in the record of a chain.

the name of a commit
  │ candidate.prepare_proposal finds the proposal of this content, or records a new one
entry: ChainEntry                what one call of `unrolled judge` works on
  ├ record: ChainRecord          the chain, as its files have it: its rules and all proposals
  ├ proposal: Proposal           the candidate in the record: seeds and levels, and later the outcome
  └ study: Study                 what trains it beside the incumbent; None if nothing is to be trained
      │ run_studies, and reports.statistics.proposals.decide_proposal
decision: ProposalDecision       of all trials: more seeds are wanted, the candidate crashed or is refused,
  │                              or the verdict holds
  └ verdict: ProposalVerdict     of the numbers of complete pairs: keep, simpler, discard or undecided
      │ _conclude_proposal, and record.save_proposal
proposal and record with the outcome
"""

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from unrolled.ablations.commits.chain.candidate import ChainEntry, prepare_proposal
from unrolled.ablations.commits.chain.chain_record import Proposal
from unrolled.ablations.commits.chain.chain_rows import write_page
from unrolled.ablations.commits.chain.second_training import doubt_candidate
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import JudgeOptions
from unrolled.ablations.plans import plan_store
from unrolled.ablations.publishing.plan_page import prepare_folder
from unrolled.ablations.runner.process import format_reason
from unrolled.ablations.training.run_studies import run_studies
from unrolled.bench.errors import require
from unrolled.reports.compare.design import choose_seconds
from unrolled.reports.statistics.gain_test import ProposalOutcome
from unrolled.reports.statistics.proposals import ProposalDecision

if TYPE_CHECKING:
    from unrolled.reports.compare.comparison import Comparison


def judge_candidate(
    candidate: str, path: str, options: JudgeOptions, command: str = ""
) -> tuple[ChainEntry, bool]:
    """Judge a candidate by the study in a file, while no other process judges a candidate of the chain.

    Returns its entry in the chain, and whether Ctrl-C ended the training. Raises BadInput.
    """
    require(
        options.chain, "is missing", place="--chain", cure="name the chain of the proposals: --chain night"
    )
    ledger = Ledger(options.results)
    prepare_folder(options.out)
    with ledger.lock_chain(options.chain):
        entry = prepare_proposal(candidate, path, options, ledger)
        interrupted = False
        if entry.study:
            entry, interrupted = _train_proposal(entry, options, ledger, command)
        write_page(entry.record, ledger, options.out)
    return entry, interrupted


def _train_proposal(
    entry: ChainEntry, options: JudgeOptions, ledger: Ledger, command: str
) -> tuple[ChainEntry, bool]:
    """Train the study of a proposal and record the outcome. Returns also whether Ctrl-C ended the run."""
    assert entry.study is not None
    study = entry.study
    run_options = replace(options, out=options.out / entry.record.chain.name)
    run_outcome = run_studies([study], run_options, command)
    comparison = run_outcome.comparisons.get(study.name)
    decision = comparison.proposal if comparison else None
    if comparison is None or decision is None:
        proposal = replace(entry.proposal, reason="open: no time was left")
    else:
        seconds = sum(map(choose_seconds, comparison.list_all_results()))
        proposal = _conclude_proposal(entry, decision, seconds)
        if proposal.outcome == ProposalOutcome.CRASH:
            proposal = replace(proposal, reason=_explain_crash(comparison) or proposal.reason)
    if proposal.outcome == ProposalOutcome.KEEP and options.verify:
        plan = plan_store.load_plan(study.name, ledger)
        if doubt := doubt_candidate(study, plan, ledger, options):
            proposal = replace(proposal, outcome=ProposalOutcome.REFUSED, p=1.0, reason=doubt)
    if proposal.outcome == ProposalOutcome.SIMPLER:
        proposal = replace(proposal, accepted_as_simpler=options.accept_simpler)
    if proposal.becomes_incumbent:
        # a copy beside the ledger, because git may lose the commit, for example in a rebase
        entry.repository.keep_tree(proposal.candidate.commit.tree)
    record = entry.record.save_proposal(proposal)
    return replace(entry, record=record, proposal=proposal), run_outcome.interrupted


def _explain_crash(comparison: "Comparison") -> str:
    """Return the seed and the reason of the first trial of the candidate that failed."""
    results = comparison.design.arms[1].results
    failed_trials = [(seed, result) for seed, result in results.items() if result.status == "failed"]
    return next((f"seed {seed}: {format_reason(result)}" for seed, result in failed_trials), "")


def _conclude_proposal(entry: ChainEntry, decision: ProposalDecision, seconds: float) -> Proposal:
    """Return the proposal with its numbers and its outcome, which is "" while more trials are wanted."""
    verdict = decision.verdict
    proposal = entry.proposal
    sign = entry.metric.gain_sign
    bound = None if verdict.bound in (float("inf"), float("-inf")) else sign * verdict.bound
    proposal = replace(
        proposal,
        difference=None if verdict.gain is None else sign * verdict.gain,
        bound=bound,
        sd=decision.sd,
        pairs=verdict.pair_count,
        seconds=seconds,
    )
    if decision.stalled:
        return replace(proposal, reason=f"open: {decision.stalled}; --retry trains it again")
    if not decision.has_ended:
        return replace(proposal, reason=f"open: the next look is after {verdict.requested_pair_count} pairs")
    if decision.crash or decision.refusal:
        outcome = ProposalOutcome.CRASH if decision.crash else ProposalOutcome.REFUSED
        reason = decision.crash or decision.refusal
        return replace(proposal, outcome=outcome, reason=reason, ended_at=time.time())
    return replace(
        proposal,
        outcome=verdict.outcome,
        p=verdict.p_value,
        simpler_p=1.0 if verdict.simpler_p is None else verdict.simpler_p,
        reason=decision.discard_reason,
        ended_at=time.time(),
    )
