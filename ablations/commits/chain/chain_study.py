"""A proposal as a study: the incumbent of a chain beside a candidate, by the rules of the chain.

The rules are the text of the chain's study, and the files that it lists as `data` and `frozen`.
"""

import hashlib
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from unrolled.ablations.commits.chain.chain_record import CandidateContent
from unrolled.ablations.commits.commit_pair import CommitPair, find_file_place, list_base_patterns
from unrolled.ablations.study.checkouts import make_checkouts
from unrolled.ablations.study.loading import make_study
from unrolled.ablations.study.program_factory import ProgramFactory
from unrolled.ablations.study.study import Arm, Study
from unrolled.ablations.study.study_errors import name_error_place
from unrolled.ablations.study.study_file import ArmTable, DesignTable, StudyFile
from unrolled.ablations.study.study_reader import parse_study
from unrolled.bench.errors import BadInput, require
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.git.repository import LINK, Commit, Repository
from unrolled.bench.metric import FEWEST_SEEDS, judges_cost
from unrolled.bench.program.program_trial import ProgramTrial
from unrolled.bench.sources.code_lines import count_code_lines
from unrolled.bench.sources.file_selection import match_names
from unrolled.bench.study_rules import StoppingRule
from unrolled.reports.statistics.gain_test import CHAIN_LOOKS
from unrolled.reports.statistics.looks import Looks

INCUMBENT = "incumbent"
CANDIDATE = "candidate"
LAST_KEEP = "last keep"
"""The arms of a proposal.

A simpler candidate is compared with the last proposal that was kept because it helps. LAST_KEEP is an arm
only if the incumbent was accepted as simpler, so that the last keep is another commit.
"""
_SEEDS = 2**31
"""Seeds are drawn below this number, so that every library accepts them."""


@dataclass(frozen=True)
class ChainStudy:
    """The study of a chain: its text and tables, the path of its file, and the repository of its commits."""

    text: str
    tables: StudyFile
    path: Path
    repository: Repository

    @property
    def looks(self) -> tuple[int, ...]:
        """The numbers of pairs after which a proposal is judged."""
        return self.tables.looks or CHAIN_LOOKS.pair_counts

    def make_study(self, commits: Mapping[str, Commit]) -> Study:
        """Return a study whose arms are these commits, by their names, the incumbent first.

        The study has no checkouts and no seeds of its own yet.
        """
        settings = {key: value for key, value in self.tables.baseline.items() if key != "commit"}
        candidate = commits.get(CANDIDATE)
        updates = {
            "question": f"Does it help: {candidate.subject}"[:200] if candidate else self.tables.question,
            "baseline": {**settings, "commit": INCUMBENT},
            "baseline_name": INCUMBENT,
            "design": DesignTable(),
            "arm": tuple(ArmTable(name=name, set={"commit": name}) for name in commits if name != INCUMBENT),
            "aa": False,
            "seeds": self.looks[-1],
            "looks": None,
        }
        with name_error_place(str(self.path)):
            study = make_study(self.tables.model_copy(update=updates), str(self.path), confirmed=True)
        rules = replace(study.rules, looks=self.looks, stopping_rule=StoppingRule.PROPOSAL, to_the_end=True)
        return replace(study, rules=rules)

    def list_frozen_patterns(self, pair: CommitPair) -> list[str]:
        """Return patterns, from the repository's top, of the files that no proposal may edit."""
        factory = self.make_study({INCUMBENT: pair.base}).baseline.factory
        assert isinstance(factory, ProgramFactory)
        with name_error_place(str(self.path)):
            return list_base_patterns(factory, pair.repository.find_subfolder(self.path.parent), pair)

    def hash_frozen_files(self, pair: CommitPair) -> dict[str, str]:
        """Return the mode and the blob of each frozen file of the incumbent, by its path."""
        patterns = self.list_frozen_patterns(pair)
        names = sorted({name for pattern in patterns for name in match_names(pair.base_files, pattern)})
        return {name: " ".join(pair.base_files[name]) for name in names}

    def list_edits_of_rules(self, pair: CommitPair) -> list[str]:
        """Return the frozen files that a candidate edits, and the study's file if its text differs."""
        edits = [pair.describe_edit(name) for name in pair.find_edits(self.list_frozen_patterns(pair))]
        place = find_file_place(self.path, pair.repository)
        tree_entry = pair.head_files.get(place)
        if tree_entry:
            text = pair.repository.read_file(tree_entry).decode("utf-8-sig", errors="replace")
            if tree_entry.mode == LINK or text != self.text:
                edits.append(f"{place}, the study")
        return edits

    def check_out(
        self, study: Study, commits: Mapping[str, Commit], pair: CommitPair, results: Path
    ) -> Study:
        """Return the study with a checkout of each of these commits. Raises BadInput as `make_checkouts`."""
        factory = study.baseline.factory
        assert isinstance(factory, ProgramFactory)
        factory = replace(factory, study_place=self.repository.find_subfolder(self.path.parent))
        tracked_files = {*pair.base_files, *pair.head_files}
        factory = make_checkouts(factory, self.repository, commits, results, tracked_files)
        return replace(study, arms=tuple(replace(arm, factory=factory) for arm in study.arms))


def parse_chain_study(text: str, path: Path, repository: Repository) -> ChainStudy:
    """Return the study of a chain from the text of its file. Raises BadInput for every mistake in it."""
    with name_error_place(str(path)):
        file = parse_study(text)
        require(
            file.program, "is missing", key="[program]", cure="a chain trains a program of the repository"
        )
        if file.looks:
            _check_looks(file.looks)
    return ChainStudy(text, file.locate(path.parent), path, repository)


def _check_looks(looks: tuple[int, ...]) -> None:
    """Raise BadInput for looks that do not rise, or that end before a verdict is possible."""
    try:
        last = Looks(looks).last_pair_count
    except ValueError as error:
        raise BadInput(error, key=f"looks = {list(looks)}", cure="write numbers that rise") from error
    rule = f"a verdict needs {FEWEST_SEEDS} pairs"
    require(last >= FEWEST_SEEDS, rule, key=f"looks = {list(looks)}", cure="add a later look")


def identify_content(study: Study, name: str, commit: Commit) -> CandidateContent:
    """Return the content of an arm that has a checkout. Raises BadInput if its files cannot be read."""
    arm: Arm = next(arm for arm in study.arms if arm.name == name)
    with name_error_place(f"{name} {commit.name!r}"):
        trial = arm.make_unidentified_trial().identify()
    assert isinstance(trial, ProgramTrial)
    return CandidateContent(
        commit=commit,
        content_hash=hashlib.sha256(canonical_json(trial.comparable_content)).hexdigest()[:16],
        lines=count_code_lines(facts.path for facts in trial.snapshot.code.values()),
    )


def draw_seeds(number: int, used_seeds: Collection[int]) -> tuple[int, ...]:
    """Draw different seeds, none of them used before, from the operating system's generator."""
    seeds: dict[int, None] = {}
    while len(seeds) < number:
        seed = secrets.randbelow(_SEEDS)
        if seed not in used_seeds:
            seeds[seed] = None
    return tuple(seeds)


def complete_study(study: Study, name: str, seeds: tuple[int, ...]) -> Study:
    """Return the study of a proposal under its name, with its own seeds.

    If a time, a speed or memory is judged, the name enters the identity of the trials, so that no trial of
    another proposal is used again.
    """
    occasion = {"occasion": name} if judges_cost(study.rules.metrics) else {}
    arms = [replace(arm, fields={**arm.fields, **occasion}) for arm in study.arms]
    return replace(study, rules=replace(study.rules, name=name, seeds=seeds), arms=tuple(arms))
