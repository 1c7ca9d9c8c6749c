"""A chain of proposals: its rules, what became of each proposal, and the incumbent that follows from them.

    results/chains/NAME/chain.json    the study, the frozen files, the rule and the first incumbent
    results/chains/NAME/0001.json     a proposal: before its first trial, and again with its outcome

Every file is written as a whole, and the first one only once. The state of a chain is computed from its
files, so that a killed process leaves nothing behind that must be repaired.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import TypeVar

from pydantic import ConfigDict, TypeAdapter

from unrolled.ablations.ledger import Ledger, explain_misread, list_folder, read_required, seal, unseal
from unrolled.ablations.plans.plan import Plan
from unrolled.bench.errors import BadInput, require
from unrolled.bench.files.atomic_files import save_file
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.git.repository import Commit
from unrolled.bench.phrases import plural
from unrolled.bench.study_rules import StoppingRule
from unrolled.reports.statistics.chain_levels import LAMBDA, compute_next_level
from unrolled.reports.statistics.gain_test import ProposalOutcome

FALSE_KEEP_SHARE = 0.1
"""The share of keeps that may be false; with alpha spending, the chance that any keep is false."""
FALSE_SIMPLER_SHARE = 0.05
"""The share of candidates accepted as simpler that may be false: δ worse, or more, than the last keep."""
FEWEST_SPREAD_PAIRS = 8
"""The fewest pairs of a chain that estimate the spread of paired differences."""
CHAINS_FOLDER = "chains"
Stored = TypeVar("Stored")
_CURE = "restore it from a copy, or begin a new chain"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,57}")
_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True)
class CandidateContent:
    """A commit, the hash of its content and its size."""

    commit: Commit
    content_hash: str = ""  # hash of the files, data and settings that count; "" if they cannot be read
    lines: int = 0  # number of lines of code

    __pydantic_config__ = _STRICT


@dataclass(frozen=True, kw_only=True)
class Chain:
    """The rules of a chain, which no proposal changes."""

    name: str
    study_text: str  # text of the study file
    frozen_blobs: Mapping[str, str]  # mode and blob of each frozen file of the repository, by its path
    looks: tuple[int, ...]
    level_rule: str  # saffron | family-wise: how levels are set, see `reports.statistics.chain_levels`
    alpha: float
    first_incumbent: CandidateContent  # the first incumbent
    began_at: float  # unix seconds

    __pydantic_config__ = _STRICT


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A candidate, the seeds and levels that it was given before its first trial, and its outcome.

    A proposal that is refused, or that the chain cannot afford, is not trained: its level is 0.
    """

    number: int
    candidate: CandidateContent
    incumbent_number: int = 0  # number of the proposal that was the incumbent; 0 for the first incumbent
    last_keep_number: int = 0  # number of the last proposal that was kept because it helps; 0 for none
    level: float = 0.0
    simpler_level: float = 0.0  # 0 if the candidate is not simpler
    seeds: tuple[int, ...] = ()
    outcome: str = ""  # "" while the proposal is open
    p: float = 1.0  # p of the hypothesis that it does not help
    simpler_p: float = 1.0  # p of the hypothesis that it is δ worse than the last keep
    difference: float | None = None  # mean of candidate − incumbent, in the metric's unit
    bound: float | None = None  # the difference is better than this, with an error rate of `level`
    sd: float | None = None  # standard deviation of the paired differences
    pairs: int = 0
    seconds: float = 0.0  # seconds of training, of all trials of both sides
    reason: str = ""
    remarks: tuple[str, ...] = ()
    accepted_as_simpler: bool = False  # whether a simpler candidate has become the incumbent
    began_at: float = 0.0  # unix seconds
    ended_at: float = 0.0

    __pydantic_config__ = _STRICT

    @property
    def is_tested(self) -> bool:
        """True if it was given a level."""
        return self.level > 0

    @property
    def becomes_incumbent(self) -> bool:
        """True if the next proposals are compared with it."""
        return self.outcome == ProposalOutcome.KEEP or (
            self.outcome == ProposalOutcome.SIMPLER and self.accepted_as_simpler
        )


_CHAIN = TypeAdapter(Chain)
_PROPOSAL = TypeAdapter(Proposal)


@dataclass(frozen=True)
class ChainRecord:
    """A chain and its proposals in order, as the files of its folder have them."""

    folder: Path
    chain: Chain
    proposals: tuple[Proposal, ...] = field(default=())

    @cached_property
    def incumbent_number(self) -> int:
        """The number of the proposal that is the incumbent; 0 for the first incumbent."""
        return self.incumbent_numbers[-1]

    @cached_property
    def last_keep_number(self) -> int:
        """The number of the last proposal that was kept because it helps; 0 for the first incumbent."""
        keeps = [proposal for proposal in self.proposals if proposal.outcome == ProposalOutcome.KEEP]
        return keeps[-1].number if keeps else 0

    def find_candidate(self, number: int) -> CandidateContent:
        """Return the candidate of a proposal; the first incumbent for 0."""
        return self.proposals[number - 1].candidate if number else self.chain.first_incumbent

    @property
    def incumbent(self) -> CandidateContent:
        """The commit that the next proposal is compared with, and its content."""
        return self.find_candidate(self.incumbent_number)

    @property
    def incumbent_numbers(self) -> list[int]:
        """The numbers of all that were the incumbent, in order; 0 for the first."""
        return [0, *(proposal.number for proposal in self.proposals if proposal.becomes_incumbent)]

    @property
    def tested_proposals(self) -> list[Proposal]:
        """The proposals that were given a level, in order."""
        return [proposal for proposal in self.proposals if proposal.is_tested]

    @property
    def answer(self) -> str:
        """A sentence on what became of the proposals, and on what the incumbent is."""
        keeps = self.count_keeps()
        simpler = len(self.incumbent_numbers) - 1 - keeps
        counts = f"{keeps} of {plural(len(self.proposals), 'proposal')} kept"
        if simpler:
            counts += f", and {simpler} accepted as simpler"
        commit = self.incumbent.commit
        return f"{counts}; the incumbent is {commit.hash[:10]} {commit.subject}"

    def count_keeps(self) -> int:
        """Return the number of proposals that were kept because they help."""
        return sum(proposal.outcome == ProposalOutcome.KEEP for proposal in self.proposals)

    def compute_levels(self) -> tuple[float, float]:
        """Return the levels of the next proposal: of the test that it helps, and that it is simpler.

        The rule computes the levels of all earlier proposals again, in the order of their numbers. A computed
        level may differ from `Proposal.level`: if two proposals were open at once, the second got its level
        before the first had ended. No outcome changes, because a kept proposal enters with p = 0 and any
        other with p ≥ λ.
        """
        ps = [
            0.0 if proposal.outcome == ProposalOutcome.KEEP else max(proposal.p, LAMBDA)
            for proposal in self.tested_proposals
        ]
        simpler_ps = [
            0.0 if proposal.outcome == ProposalOutcome.SIMPLER else max(proposal.simpler_p, LAMBDA)
            for proposal in self.tested_proposals
            if proposal.simpler_level
        ]
        level = compute_next_level(self.chain.level_rule, ps, self.chain.alpha)
        return level, compute_next_level(self.chain.level_rule, simpler_ps, FALSE_SIMPLER_SHARE)

    def compute_budget(self) -> float:
        """Return the remaining error budget: what keeps have earned, less what levels have spent.

        Alpha spending: α − Σ level. SAFFRON: α · max(keeps, ½) − Σ level / (1 − λ) over the proposals with
        p > λ. Those with a smaller p have spent nothing, because they may help.
        """
        if self.chain.level_rule == "family-wise":
            return self.chain.alpha - sum(proposal.level for proposal in self.tested_proposals)
        earned = self.chain.alpha * max(self.count_keeps(), 0.5)
        spent = sum(proposal.level for proposal in self.tested_proposals if proposal.p > LAMBDA)
        return earned - spent / (1 - LAMBDA)

    @property
    def first_budget(self) -> float:
        """The error budget before the first proposal."""
        return replace(self, proposals=()).compute_budget()

    def measure_spread(self) -> float | None:
        """Return the median over proposals of the SD of paired differences; None for too few pairs."""
        spreads = [(proposal.sd, proposal.pairs) for proposal in self.tested_proposals if proposal.sd]
        if sum(pairs for _, pairs in spreads) < FEWEST_SPREAD_PAIRS:
            return None
        return median(sd for sd, _ in spreads)

    def save_proposal(self, proposal: Proposal) -> "ChainRecord":
        """Write a proposal's file, and return the record with it."""
        save_file(self.folder / f"{proposal.number:04}.json", seal({"proposal": asdict(proposal)}))
        by_number = {stored.number: stored for stored in self.proposals} | {proposal.number: proposal}
        return replace(self, proposals=tuple(by_number.values()))


def name_study(chain: str, number: int) -> str:
    """Return the name of a proposal's study, and of its page: "night", 3 → "night-0003"."""
    return f"{chain}-{number:04}"


def find_page_folder(plan: Plan, out: Path) -> Path:
    """Return the folder above a study's page: `out`, or `out`/night for a proposal of the chain "night"."""
    return (
        out / plan.study_name.rpartition("-")[0] if plan.rules.stopping_rule == StoppingRule.PROPOSAL else out
    )


def find_folder(name: str, ledger: Ledger) -> Path:
    """Return the folder of a chain. Raises BadInput for a name that is no plain word."""
    cure = "letters, digits, - and _, such as --chain night"
    require(_NAME.fullmatch(name), "is no name of a chain", place=f"--chain {name!r}", cure=cure)
    return ledger.root / CHAINS_FOLDER / name


def has_chain(folder: Path) -> bool:
    """Return True if a chain has begun in a folder."""
    return (folder / "chain.json").exists()


def begin_chain(chain: Chain, folder: Path) -> ChainRecord:
    """Write the file of a new chain."""
    save_file(folder / "chain.json", seal({"chain": asdict(chain)}))
    return ChainRecord(folder, chain)


def read_chain(folder: Path) -> ChainRecord:
    """Return the chain of a folder. Raises BadInput if a file is missing or damaged.

    A damaged file is not set aside, because the levels follow from all earlier proposals.
    """
    chain = _read_file(folder / "chain.json", "chain", _CHAIN)
    paths = sorted(list_folder(folder, "[0-9]*.json"), key=lambda path: int(path.stem))
    for number, path in enumerate(paths, 1):
        expected_name = f"{number:04}.json"
        require(path.name == expected_name, "is missing", place=folder, key=expected_name, cure=_CURE)
    proposals = [_read_file(path, "proposal", _PROPOSAL) for path in paths]
    return ChainRecord(folder, chain, tuple(proposals))


def read_chains(ledger: Ledger) -> list[ChainRecord]:
    """Return every chain of a ledger that can be read, by name."""
    records = []
    for folder in filter(has_chain, list_folder(ledger.root / CHAINS_FOLDER)):
        try:
            records.append(read_chain(folder))
        except BadInput as error:
            ledger.warn_once(f"{error.place}: {error.rule}; skipped")
    return records


def _read_file(path: Path, key: str, adapter: TypeAdapter[Stored]) -> Stored:
    """Return the content of a file of a chain. Raises BadInput if it is damaged."""
    with explain_misread(path, "is damaged, or of another version", _CURE):
        return adapter.validate_json(canonical_json(unseal(read_required(path))[key]))
