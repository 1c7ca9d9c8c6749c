"""A candidate of a chain: from the name of a commit to a proposal in the chain's record.

A proposal is recorded with its seeds and levels before its first trial, and with its outcome after the last
one. If the process is killed in between, the next process that judges the same content resumes it.
"""

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from unrolled.ablations.commits.chain.chain_record import (
    FALSE_KEEP_SHARE,
    CandidateContent,
    Chain,
    ChainRecord,
    Proposal,
    begin_chain,
    find_folder,
    has_chain,
    name_study,
    read_chain,
    read_chains,
)
from unrolled.ablations.commits.chain.chain_study import (
    CANDIDATE,
    INCUMBENT,
    LAST_KEEP,
    ChainStudy,
    complete_study,
    draw_seeds,
    identify_content,
    parse_chain_study,
)
from unrolled.ablations.commits.commit_pair import STUDY_FILE, CommitPair, find_program_folder, read_study_at
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import JudgeOptions
from unrolled.ablations.plans import plan_store
from unrolled.ablations.study.checkouts import open_repository
from unrolled.ablations.study.study import Study
from unrolled.ablations.study.study_reader import read_study_text
from unrolled.bench.errors import BadInput, require
from unrolled.bench.git.repository import WORK_TREE, Commit, Repository
from unrolled.bench.metric import Metric
from unrolled.reports.presentation import PROGRAM_PRESENTATION
from unrolled.reports.statistics.gain_test import ProposalOutcome, count_pairs_to_show
from unrolled.reports.statistics.looks import Looks

_NEW_CHAIN = "begin a new chain for it: --chain OTHER --incumbent REF"


@dataclass(frozen=True)
class ChainEntry:
    """A proposal with the record of its chain, and the study that trains it: see `judgement`."""

    record: ChainRecord
    proposal: Proposal
    metric: Metric
    repository: Repository
    study: Study | None = None  # None if nothing is to be trained
    is_old: bool = False  # whether an earlier call found the outcome


def prepare_proposal(name: str, path: str, options: JudgeOptions, ledger: Ledger) -> ChainEntry:
    """Find or record the proposal of a commit, before anything is trained. The chain has to be locked.

    Raises BadInput for a chain that has not begun or has other rules, and if the incumbent cannot be read.
    """
    repository = open_repository(find_program_folder(path), options.results)
    file_path = Path(path) if path else repository.root / STUDY_FILE
    commit = repository.resolve(name)
    folder = find_folder(options.chain, ledger)
    if has_chain(folder):
        record = read_chain(folder)
        _check_options(record, options, repository)
        chain_study = parse_chain_study(record.chain.study_text, file_path, repository)
    else:
        chain_study, record = _begin_chain(file_path, repository, options, ledger)
    return _Candidate(record, chain_study, commit, options, ledger).enter_candidate()


def _begin_chain(
    path: Path, repository: Repository, options: JudgeOptions, ledger: Ledger
) -> tuple[ChainStudy, ChainRecord]:
    """Record a new chain and return it with its study."""
    place = f"--chain {options.chain}"
    cure = "name what its first candidate is compared with: --incumbent main"
    require(options.incumbent, "has not begun", place=place, cure=cure)
    first = repository.resolve(options.incumbent)
    chain_study = parse_chain_study(read_study_at(path, repository, first), path, repository)
    require(
        options.chain != chain_study.tables.name and not plan_store.has_plan(options.chain, ledger),
        "is the name of a study",
        place=place,
        cure="give the chain another name: their pages would be one",
    )
    pair = CommitPair(repository, first, first)
    commits = {INCUMBENT: replace(first, name=INCUMBENT)}
    study = chain_study.check_out(chain_study.make_study(commits), commits, pair, options.results)
    chain = Chain(
        name=options.chain,
        study_text=chain_study.text,
        frozen_blobs=chain_study.hash_frozen_files(pair),
        looks=chain_study.looks,
        level_rule="family-wise" if options.family_wise else "saffron",
        alpha=FALSE_KEEP_SHARE,
        first_incumbent=identify_content(study, INCUMBENT, first),
        began_at=time.time(),
    )
    repository.keep_tree(first.tree)
    return chain_study, begin_chain(chain, find_folder(options.chain, ledger))


def _check_options(record: ChainRecord, options: JudgeOptions, repository: Repository) -> None:
    """Raise BadInput for options that contradict the rule or the incumbent of the chain."""
    place = f"--chain {options.chain}"
    is_other = options.family_wise and record.chain.level_rule != "family-wise"
    require(not is_other, "has begun without --family-wise", place=place, cure=_NEW_CHAIN)
    if options.incumbent:
        tree = repository.resolve(options.incumbent).tree
        trees = [record.find_candidate(number).commit.tree for number in record.incumbent_numbers]
        incumbent = record.incumbent.commit
        require(
            tree in trees,
            f"has another incumbent, {incumbent.hash[:10]} {incumbent.subject}",
            place=place,
            key=f"--incumbent {options.incumbent}",
            cure=f"leave it out, or {_NEW_CHAIN}",
        )


@dataclass(frozen=True)
class _Candidate:
    """A commit that is proposed to a chain, and the rules that it has to keep."""

    record: ChainRecord
    chain_study: ChainStudy
    commit: Commit
    options: JudgeOptions
    ledger: Ledger

    def enter_candidate(self) -> ChainEntry:
        """Return the entry of the candidate's proposal: an earlier one of the same content, or a new one."""
        incumbent = replace(self.record.incumbent.commit, name=INCUMBENT)
        pair = CommitPair(self.chain_study.repository, incumbent, self.commit)
        if edits := self.chain_study.list_edits_of_rules(pair):
            return self._end_untrained(
                ProposalOutcome.REFUSED, f"edits what the chain has frozen: {', '.join(edits)}"
            )
        self._check_study()
        self._check_incumbent(pair)
        commits = {INCUMBENT: incumbent, CANDIDATE: replace(self.commit, name=CANDIDATE)}
        try:
            study = self._check_out(commits, pair)
            candidate = identify_content(study, CANDIDATE, self.commit)
        except BadInput as error:
            return self._end_untrained(ProposalOutcome.CRASH, f"cannot be run: {error}")
        if reason := self._explain_old_content(candidate):
            return self._end_untrained(ProposalOutcome.REFUSED, reason, candidate)
        if proposal := self._find_judged_proposal(candidate.content_hash):
            return self._resume_proposal(replace(proposal, candidate=candidate), study, pair)
        return self._add_proposal(candidate, study, pair)

    def _explain_old_content(self, candidate: CandidateContent) -> str:
        """Return which incumbent, earlier or present, has the content of a candidate; "" if none has.

        A commit that has become the incumbent may be judged again: its proposal is returned as it ended.
        """
        *replaced_numbers, present_number = self.record.incumbent_numbers
        for number in replaced_numbers:
            if self.record.find_candidate(number).content_hash == candidate.content_hash:
                return f"is an earlier incumbent, {self._describe_commit(number)}: was the branch rewound?"
        incumbent = self.record.incumbent
        is_judged_again = present_number > 0 and candidate.commit.tree == incumbent.commit.tree
        if candidate.content_hash == incumbent.content_hash and not is_judged_again:
            return "no file that counts differs from the incumbent's"
        return ""

    def _check_study(self) -> None:
        """Raise BadInput if the study's file differs from the one that the chain began with."""
        path = self.chain_study.path
        if path.exists():
            text = read_study_text(str(path))[1]
            rule = "is not the study that the chain began with"
            require(
                text == self.chain_study.text, rule, place=str(path), cure=f"put it back, or {_NEW_CHAIN}"
            )

    def _check_incumbent(self, pair: CommitPair) -> None:
        """Raise BadInput if the incumbent's data, or its code outside of the commit, have changed since."""
        commits = {INCUMBENT: pair.base}
        present = identify_content(self._check_out(commits, pair), INCUMBENT, pair.base)
        require(
            present.content_hash == self.record.incumbent.content_hash,
            "its data, or code that is not in its commit, was edited since it became the incumbent",
            place=f"--chain {self.options.chain}",
            key=f"incumbent {self._describe_commit(self.record.incumbent_number)}",
            cure=f"restore what has changed, or {_NEW_CHAIN}",
        )

    def _check_out(self, commits: dict[str, Commit], pair: CommitPair) -> Study:
        return self.chain_study.check_out(
            self.chain_study.make_study(commits), commits, pair, self.options.results
        )

    def _find_judged_proposal(self, content: str) -> Proposal | None:
        """Return the latest proposal of this content. One that the chain could not afford does not count."""
        judged_proposals = [
            proposal
            for proposal in self.record.proposals
            if proposal.candidate.content_hash == content
            and (proposal.is_tested or proposal.outcome != ProposalOutcome.UNDECIDED)
        ]
        return judged_proposals[-1] if judged_proposals else None

    def _resume_proposal(self, proposal: Proposal, study: Study, pair: CommitPair) -> ChainEntry:
        """Return an earlier proposal: as it ended or, if it is open, to be trained with its seeds."""
        is_retried = proposal.outcome == ProposalOutcome.CRASH and proposal.is_tested and self.options.retry
        has_same_incumbent = proposal.incumbent_number == self.record.incumbent_number
        if proposal.outcome == ProposalOutcome.SIMPLER and self.options.accept_simpler and has_same_incumbent:
            self.chain_study.repository.keep_tree(proposal.candidate.commit.tree)
            return self._save_proposal(replace(proposal, accepted_as_simpler=True), is_old=True)
        if proposal.outcome and not is_retried:
            return ChainEntry(self.record, proposal, self._metric, self.chain_study.repository, is_old=True)
        if not has_same_incumbent:
            reason = "another candidate became the incumbent before it was judged"
            return self._save_proposal(
                replace(proposal, outcome=ProposalOutcome.UNDECIDED, reason=reason, ended_at=time.time())
            )
        return self._save_with_study(replace(proposal, outcome="", reason=""), study, pair)

    def _add_proposal(self, candidate: CandidateContent, study: Study, pair: CommitPair) -> ChainEntry:
        """Record a new proposal with its levels and seeds, if the chain can afford it."""
        record = self.record
        is_simpler = candidate.lines < record.incumbent.lines
        level, simpler_level = record.compute_levels()
        if reason := self._explain_lack(level):
            return self._end_untrained(ProposalOutcome.UNDECIDED, reason, candidate)
        used_seeds = self.ledger.list_seeds()
        for chain in read_chains(self.ledger):
            used_seeds |= {seed for proposal in chain.proposals for seed in proposal.seeds}
        proposal = replace(
            self._make_proposal(candidate),
            level=level,
            simpler_level=simpler_level if is_simpler else 0.0,
            seeds=draw_seeds(record.chain.looks[-1], used_seeds),
            remarks=tuple(self._list_remarks()),
        )
        return self._save_with_study(proposal, study, pair)

    def _explain_lack(self, level: float) -> str:
        """Return why a gain of δ cannot be shown at a level; "" if it can, or before the spread is known."""
        looks = Looks(self.record.chain.looks)
        if not level > 0:
            return "no error budget is left: begin a new chain"
        spread = self.record.measure_spread()
        if spread is None:
            return ""
        metric = self._metric
        pairs = count_pairs_to_show(metric.zone, spread, level, looks)
        if pairs is not None and pairs <= looks.last_pair_count:
            return ""
        number = "more pairs than can be counted" if pairs is None else f"{pairs} pairs"
        scale = PROGRAM_PRESENTATION.find_scale(metric.name).adapt_to(metric)
        gain = scale.format_delta(metric.gain_sign * metric.zone)
        return f"a gain of {gain} takes {number}; the last look has {looks.last_pair_count}"

    def _list_remarks(self) -> list[str]:
        """Return a remark if the candidate's commit does not come after the incumbent's in the history."""
        incumbent = self.record.incumbent.commit
        repository = self.chain_study.repository
        incumbent_name = self._describe_commit(self.record.incumbent_number)
        if WORK_TREE in (self.commit.name, incumbent.name) or self.commit.hash == incumbent.hash:
            return []
        if repository.is_ancestor(self.commit.hash, incumbent.hash):
            return [f"it comes before the incumbent, {incumbent_name}: was the branch rewound?"]
        if not repository.is_ancestor(incumbent.hash, self.commit.hash):
            return [f"it does not follow the incumbent, {incumbent_name}, whose gain it may lack"]
        return []

    def _end_untrained(
        self, outcome: ProposalOutcome, reason: str, candidate: CandidateContent | None = None
    ) -> ChainEntry:
        """Record a proposal that is not trained, unless the same one was recorded before."""
        for proposal in self.record.proposals:
            is_same = proposal.candidate.commit.tree == self.commit.tree and not proposal.is_tested
            if is_same and (proposal.outcome, proposal.reason) == (outcome, reason):
                return ChainEntry(
                    self.record, proposal, self._metric, self.chain_study.repository, is_old=True
                )
        proposal = self._make_proposal(candidate or CandidateContent(commit=self.commit))
        return self._save_proposal(replace(proposal, outcome=outcome, reason=reason, ended_at=time.time()))

    def _make_proposal(self, candidate: CandidateContent) -> Proposal:
        return Proposal(
            number=len(self.record.proposals) + 1,
            candidate=candidate,
            incumbent_number=self.record.incumbent_number,
            last_keep_number=self.record.last_keep_number,
            began_at=time.time(),
        )

    def _save_proposal(self, proposal: Proposal, *, is_old: bool = False) -> ChainEntry:
        """Record a proposal."""
        record = self.record.save_proposal(proposal)
        return ChainEntry(record, proposal, self._metric, self.chain_study.repository, is_old=is_old)

    def _save_with_study(self, proposal: Proposal, study: Study, pair: CommitPair) -> ChainEntry:
        """Record a proposal that is to be trained, and return it with its study."""
        entry = self._save_proposal(proposal)
        if proposal.simpler_level and proposal.incumbent_number != proposal.last_keep_number:
            last_keep = self.record.find_candidate(proposal.last_keep_number).commit
            commits = {
                INCUMBENT: pair.base,
                CANDIDATE: replace(self.commit, name=CANDIDATE),
                LAST_KEEP: replace(last_keep, name=LAST_KEEP),
            }
            study = self._check_out(commits, pair)
        study = complete_study(study, name_study(self.record.chain.name, proposal.number), proposal.seeds)
        rules = replace(study.rules, gain_level=proposal.level, simpler_level=proposal.simpler_level)
        return replace(entry, study=self._copy_repetition(replace(study, rules=rules)))

    def _copy_repetition(self, study: Study) -> Study:
        """Return the study with the distance of two equal trials, if an earlier proposal measured it."""
        for proposal in reversed(self.record.tested_proposals):
            with suppress(BadInput):
                plan = plan_store.load_plan(name_study(self.record.chain.name, proposal.number), self.ledger)
                if plan.repetition_differences is not None:
                    return replace(
                        study,
                        repetition_differences=plan.repetition_differences,
                        unjudged_repetition_differences=plan.unjudged_repetition_differences,
                    )
        return study

    @property
    def _metric(self) -> Metric:
        return self.chain_study.tables.metrics[0].metric

    def _describe_commit(self, number: int) -> str:
        commit = self.record.find_candidate(number).commit
        source = f"proposal {number}" if number else "the first"
        return f"{commit.hash[:10]} {commit.subject} ({source})"
