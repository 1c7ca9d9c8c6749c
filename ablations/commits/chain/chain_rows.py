"""A chain in words: a line for each outcome, and the rows of its page."""

from pathlib import Path

from unrolled.ablations.commits.chain.candidate import ChainEntry
from unrolled.ablations.commits.chain.chain_record import ChainRecord, Proposal, name_study, read_chains
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.study.study_reader import parse_study
from unrolled.bench.metric import Metric
from unrolled.bench.phrases import plural
from unrolled.reports.commits.chain_page import ChainPage, ChainSummary, ProposalRow, render_chain
from unrolled.reports.formats import MINUS, format_day, format_duration, format_p
from unrolled.reports.page.render import render_index
from unrolled.reports.page.summary import find_page
from unrolled.reports.presentation import PROGRAM_PRESENTATION
from unrolled.reports.scale import Scale
from unrolled.reports.statistics.gain_test import ProposalOutcome

RULES = {
    "saffron": (
        "If differences are normal, the expected number of false keeps is at most {:g} of that of keeps; "
        "of none, it is of one (SAFFRON)."
    ),
    "family-wise": "At most {:g} of chains have a false keep, if differences are normal (alpha spending).",
}


def write_outcome_line(entry: ChainEntry) -> str:
    """Return the outcome of a proposal in a line."""
    proposal = entry.proposal
    record = entry.record
    commit = proposal.candidate.commit
    outcome = proposal.outcome or ProposalOutcome.UNDECIDED
    scale = find_scale(entry.metric)
    numbers = []
    if proposal.difference is not None and proposal.outcome not in (
        ProposalOutcome.REFUSED,
        ProposalOutcome.CRASH,
    ):
        numbers.append(f"{scale.title} {describe_numbers(proposal, scale)}")
    parts = [
        *numbers,
        proposal.reason,
        *proposal.remarks,
        "as it was judged before" if entry.is_old else "",
        f"error budget left {record.compute_budget():.3g}, which began at {record.first_budget:g}",
    ]
    return f"{outcome}: {commit.hash[:10]} {commit.subject}: {'; '.join(filter(None, parts))}"


def find_scale(metric: Metric) -> Scale:
    """Return how the metric of a chain is read."""
    return PROGRAM_PRESENTATION.find_scale(metric.name).adapt_to(metric)


def describe_numbers(proposal: Proposal, scale: Scale) -> str:
    """Return the difference of a proposal, with its bound, the number of pairs and their training time."""
    text = scale.describe_difference(proposal.difference or 0.0)
    is_kept = proposal.outcome == ProposalOutcome.KEEP and proposal.bound is not None
    if is_kept and proposal.bound:
        text += f", at least {scale.describe_difference(proposal.bound)} at level {proposal.level:.2g}"
    pairs = f"after {plural(proposal.pairs, 'pair')}"
    return f"{text}, {pairs} ({format_duration(proposal.seconds)} of training)"


def write_page(record: ChainRecord, ledger: Ledger, out: Path) -> Path:
    """Write the page of a chain, and the index that links it. Returns the page's path."""
    page = out / record.chain.name / "index.html"
    file = parse_study(record.chain.study_text)
    metric = file.metrics[0].metric
    chain = ChainPage(
        name=record.chain.name,
        question=file.question,
        answer=record.answer,
        facts=_list_facts(record),
        rows=[_make_row(proposal, record, metric, page) for proposal in record.proposals],
        course=[
            _describe_incumbent(number, record, find_scale(metric)) for number in record.incumbent_numbers
        ],
        others=_list_others(record, file.name, ledger),
    )
    render_chain(chain, page)
    render_index(out)
    return page


def _list_facts(record: ChainRecord) -> list[str]:
    """Return sentences on the rule, the error budget, the pairs and the training."""
    chain = record.chain
    level, _ = record.compute_levels()
    pairs = plural(sum(proposal.pairs for proposal in record.proposals), "pair")
    seconds = sum(proposal.seconds for proposal in record.proposals)
    looks = ", ".join(map(str, chain.looks))
    return [
        RULES[chain.level_rule].format(chain.alpha),
        f"{record.compute_budget():.3g} of the error budget is left, which began at {record.first_budget:g}.",
        f"The next proposal has level {level:.2g}.",
        f"Looks after {looks} pairs, on seeds that are drawn for each proposal.",
        f"Since {format_day(chain.began_at)} {pairs} and {format_duration(seconds)} of training.",
        "Verdicts hold for this evaluation data.",
    ]


def _make_row(proposal: Proposal, record: ChainRecord, metric: Metric, page: Path) -> ProposalRow:
    """Return the row of a proposal."""
    scale = find_scale(metric)
    commit = proposal.candidate.commit
    is_measured = proposal.difference is not None
    lines = proposal.candidate.lines - record.find_candidate(proposal.incumbent_number).lines
    gain, least_gain = (
        None if number is None else metric.gain_sign * number / metric.zone
        for number in (proposal.difference, proposal.bound)
    )
    study_page = find_page(name_study(record.chain.name, proposal.number), page.parent)
    return ProposalRow(
        number=proposal.number,
        commit=f"{commit.hash[:10]} {commit.subject}",
        outcome=_describe_outcome(proposal),
        difference=scale.format_difference_with_unit(proposal.difference, sign=True) if is_measured else "",
        bound=scale.format_difference_with_unit(proposal.bound, sign=True)
        if proposal.outcome == ProposalOutcome.KEEP
        else "",
        pairs=proposal.pairs,
        level=f"{proposal.level:.2g}" if proposal.is_tested else "",
        p=format_p(proposal.p) if proposal.is_tested and proposal.outcome else "",
        lines=f"{lines:+}".replace("-", MINUS) if proposal.candidate.content_hash and lines else "",
        seconds=format_duration(proposal.seconds) if proposal.seconds else "",
        remark="; ".join(filter(None, [proposal.reason, *proposal.remarks])),
        page=str(study_page.relative_to(page.parent)) if study_page.exists() else "",
        gain=gain,
        least_gain=least_gain,
    )


def _describe_outcome(proposal: Proposal) -> str:
    if not proposal.outcome:
        return "open"
    is_not_accepted = proposal.outcome == ProposalOutcome.SIMPLER and not proposal.accepted_as_simpler
    return f"{proposal.outcome}, not accepted" if is_not_accepted else proposal.outcome


def _describe_incumbent(number: int, record: ChainRecord, scale: Scale) -> str:
    """Return a line on an incumbent: its commit, and by how much it differs from the one before it."""
    commit = record.find_candidate(number).commit
    name = f"{commit.hash[:10]} {commit.subject}"
    if not number:
        return f"{name}: the first"
    proposal = record.proposals[number - 1]
    return f"{name}: proposal {number}, {proposal.outcome}, {describe_numbers(proposal, scale)}"


def _list_others(record: ChainRecord, study: str, ledger: Ledger) -> list[ChainSummary]:
    """Return the other chains of a study."""
    return [
        ChainSummary(
            name=rival.chain.name,
            page=f"../{rival.chain.name}/index.html",
            proposal_count=len(rival.proposals),
            keep_count=rival.count_keeps(),
        )
        for rival in read_chains(ledger)
        if rival.chain.name != record.chain.name and parse_study(rival.chain.study_text).name == study
    ]
