"""A plan: a study as declared, with the identity of every trial. It is stored before any trial is trained.

Reports and MLflow read the plan and the ledger, never the study file or the present code. An edited study has
other trials and another plan, so that no old result can enter a new report.
"""

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.study.seeds import format_seeds
from unrolled.ablations.study.study import ArmDescription
from unrolled.bench.git.repository import Commit
from unrolled.bench.metric import FEWEST_SEEDS, judges_cost
from unrolled.bench.mlflow_metrics import MlflowMetrics
from unrolled.bench.phrases import phrase_standing
from unrolled.bench.study_rules import StudyRules, find_base
from unrolled.bench.trainer import TRAINERS, Trainer
from unrolled.bench.trial import Result, ResultInStudy, Trial

Id = Annotated[str, Field(pattern="^[0-9a-f]{12,}$")]  # a trial's identity, which becomes the name of a file

_STRICT = ConfigDict(strict=True, extra="forbid")
SEEDS_CHECKED_FIRST = 2
"""Seeds of each arm of a program that are trained before the others, to check them."""


@dataclass(frozen=True, kw_only=True)
class PlannedArm(ArmDescription):
    """An arm of a plan, with the identity of its trial for each seed of the study."""

    model: str
    """The chapter's name of its model, such as lm7; "" of a program."""
    title: str
    """What is trained, as a page calls it: see `Trial.title`."""
    trial_ids: Mapping[int, Id]
    """Identities in the numeric order of seeds: JSON keys are text, in whose order 10 comes before 2."""
    trial_fields: Mapping[str, Any]
    """Fields of its trials that enter their identity, except seed and device: see `make_planned_trial`."""
    settings_hash: str = ""
    """Hash of its trials' settings and data, whatever seed and code: see `Trial.comparable_content`."""
    commit: Commit | None = None
    """Of a program: the commit whose code runs, if the arm's settings name one."""

    __pydantic_config__ = _STRICT  # for reading a stored plan

    def __post_init__(self) -> None:
        """Put the trials in the order of their seeds."""
        object.__setattr__(self, "trial_ids", dict(sorted(self.trial_ids.items())))


ArmPair = tuple[PlannedArm, PlannedArm]
"""An arm, and the arm that it is compared with."""


@dataclass(frozen=True, kw_only=True)
class PlanDeclaration:
    """An earlier plan of a study: when it was declared, its trials, and the pairs with results by then."""

    study_hash: str
    declared_at: float
    trial_ids: tuple[Id, ...]
    seen_pairs: Mapping[str, int]

    __pydantic_config__ = _STRICT


@dataclass(frozen=True, kw_only=True)
class EarlierVerdict:
    """The verdict of an earlier plan on a contrast, by the seeds with results of both sides."""

    study: str
    declared_at: float  # time of its declaration, in unix seconds
    arm: str
    baseline: str
    seeds: tuple[int, ...]
    metric: str
    delta: str  # δ, as shown
    verdict: str  # the verdict in words
    command_template: str  # template of the command line

    __pydantic_config__ = _STRICT

    def describe(self, template: str) -> str:
        """Return the verdict in a line, with its command line if its template is not `template`."""
        sides = f"{self.arm} against {self.baseline} in study {self.study}"
        judged = f"{self.verdict} ({self.metric}, δ {self.delta})"
        command = f", run as `{self.command_template}`" if self.command_template != template else ""
        return f"{sides}, seeds {format_seeds(self.seeds)}: {judged}{command}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study as it was declared, and when. A ledger stores the latest plan of each study."""

    rules: StudyRules
    arms: tuple[PlannedArm, ...]
    study_hash: str
    """sha256 of the resolved study."""
    command: str
    """The command that was typed; "" if the study was run from Python."""
    trainer_name: str
    """One of `bench.trainer.TRAINERS`."""
    declared_at: float = field(default_factory=time.time)
    """Time of the declaration, in unix seconds."""
    command_template: str = ""
    """The command line of a program, with its settings in braces."""
    setting_titles: Mapping[str, str] = field(default_factory=dict)
    """Titles of the settings that arms change: alpha is AR."""
    seen_pairs: Mapping[str, int] = field(default_factory=dict)
    """By arm, the pairs with results when the plan was declared: see `seen_results`; {} if `is_shipped`."""
    earlier_number_hashes: tuple[Mapping[int, str], ...] = ()
    """Hashes, by seed, of the judged numbers that a page has shown of arms with other identities.

    A user who rewords the command line gets new identities and the same numbers. If both sides of a contrast
    repeat such numbers, its pairs count as seen.
    """
    is_shipped: bool = False
    """True for a study that comes with Unrolled, unchanged: it was declared before there were results."""
    earlier_verdicts: Mapping[str, tuple[EarlierVerdict, ...]] = field(default_factory=dict)
    """By arm, the verdicts of earlier plans on its contrast in the ledger."""
    unlisted_verdicts: Mapping[str, tuple[EarlierVerdict, ...]] = field(default_factory=dict)
    """Verdicts on contrasts that only other plans of the study had, and of plans since this was declared.

    They are by the keys of `contrast_keys`, and the next plan of the study counts them.
    """
    earlier_plans: tuple[PlanDeclaration, ...] = ()
    """Earlier plans of the same study that have results."""
    device: str = "cpu"
    """cpu or cuda, the same for every trial, so that no contrast mixes the two."""
    repeats_first_trial: bool = True
    """Whether the first trial is trained twice. If not, the plan makes fewer claims. Not in `study_hash`."""
    stop_reason: str = ""
    """Why the first trials stopped the study; "" if they did not."""
    repetition_differences: Mapping[str, float] | None = None
    """By judged quality, how much two runs of the same trial of a program's baseline differ.

    It is {} if the two runs agree, and None before they were trained.
    """
    unjudged_repetition_differences: Mapping[str, float] = field(default_factory=dict)
    """By other metric in which the two runs differ, how much."""

    __pydantic_config__ = _STRICT

    @property
    def study_name(self) -> str:
        """The name of its study."""
        return self.rules.name

    @property
    def trainer(self) -> Trainer:
        """What the trainer of its trials supplies."""
        return TRAINERS[self.trainer_name]

    @property
    def mlflow_metrics(self) -> MlflowMetrics:
        """The metrics and curves of its trials that MLflow shows."""
        return self.trainer.mlflow_metrics.load()

    def make_result_in_study(self, result: Result) -> ResultInStudy:
        """Return the result with the status that it has in this study, by its judged metrics.

        In a study that judges time, a resumed training counts as failed, since its time is not the whole.
        """
        if name := self._commit_names.get(result.trial.id):
            result = replace(result, trial=result.trial.rename_commit(name))
        result = result.trial.decide_status(result, self.rules.metric_names)
        if result.is_done and self._has_partial_time(result):
            reason = "it was resumed from an earlier attempt, so that only a part of its time was measured"
            result = replace(result, status="failed", reason=f"{reason}; --retry trains it anew")
        return ResultInStudy(result)

    def make_results_in_study(self, results: Mapping[str, Result]) -> dict[str, ResultInStudy]:
        """Return results, by trial, with the status that each has in this study.

        Results of `find_mixed_seeds` are left out.
        """
        return self.drop_mixed_seeds({id: self.make_result_in_study(x) for id, x in results.items()})

    def drop_mixed_seeds(self, results: Mapping[str, ResultInStudy]) -> dict[str, ResultInStudy]:
        """Return the results, by trial, without those of `find_mixed_seeds`."""
        mixed_seeds = self.find_mixed_seeds(results)
        mixed_ids = {arm.trial_ids[seed] for seed in mixed_seeds for arm in self.arms}
        return {id: result for id, result in results.items() if id not in mixed_ids}

    def find_mixed_seeds(self, results: Mapping[str, Result]) -> list[int]:
        """Return the seeds that several runs measured, as where ledgers are merged; [] if no cost is judged.

        A failed trial has no cost, and may be of any run.
        """
        if not judges_cost(self.rules.metrics):
            return []
        tokens_by_seed: dict[int, set[str]] = defaultdict(set)
        for id, (_, seed) in self.arm_and_seed_by_id.items():
            if id in results and results[id].status != "failed":
                tokens_by_seed[seed].add(results[id].run_token)
        return [seed for seed, tokens in tokens_by_seed.items() if len(tokens) > 1]

    def should_retrain(self, stored: Result, *, retry: bool) -> bool:
        """Return True if a trial is to be trained again, in place of a stored result that counts as failed.

        - True if the training failed.
        - True, with `retry`, if the judged time is the time of a resumed training.
        - False if the training ended without a judged metric, as another training would lack it, too.
        """
        checked = stored.trial.decide_status(stored, self.rules.metric_names)
        if stored.status == "failed":
            return checked.status == "failed"
        return retry and checked.is_done and self._has_partial_time(stored)

    def _has_partial_time(self, result: Result) -> bool:
        return judges_cost(self.rules.metrics) and bool(result.provenance.get("resumed"))

    @cached_property
    def _commit_names(self) -> dict[str, str]:
        """By trial, the name of the commit whose code it runs, where the study names one."""
        return {id: arm.commit.name for arm in self.arms if arm.commit for id in arm.trial_ids.values()}

    def make_planned_trial(self, arm: PlannedArm, seed: int) -> Trial:
        """Return the trial of an arm for a seed of the plan, without the places of its files."""
        trial_class = self.trainer.trial_type.load()
        commit = {"commit": arm.commit.name} if arm.commit else {}
        return trial_class(**arm.trial_fields, **commit, seed=seed + arm.seed_offset, device=self.device)

    @property
    def tolerances(self) -> dict[str, float]:
        """By metric, how far apart two equal trials may be: as measured if not judged, ∞ for judged costs."""
        costs = dict.fromkeys(self.rules.judged_costs, math.inf)
        return {**self.unjudged_repetition_differences, **costs}

    @property
    def arm_and_seed_by_id(self) -> dict[str, tuple[PlannedArm, int]]:
        """The arm and the seed of every trial by its identity, in the order of seeds, then of arms."""
        by_id: dict[str, tuple[PlannedArm, int]] = {}
        for seed in sorted(self.rules.seeds):
            for arm in self.arms:
                by_id.setdefault(arm.trial_ids[seed], (arm, seed))
        return by_id

    @property
    def arm_names_by_id(self) -> dict[str, str]:
        """The name of every trial's arm by identity."""
        return {id: arm.name for id, (arm, _) in self.arm_and_seed_by_id.items()}

    @property
    def ids(self) -> list[str]:
        """The identity of every trial, in the order of `arm_and_seed_by_id`."""
        return list(self.arm_and_seed_by_id)

    @property
    def arm_pairs(self) -> list[ArmPair]:
        """Every arm but the baseline, with the one that it is compared with."""
        return [(arm, find_base(arm, self.arms)) for arm in self.arms[1:]]

    def find_standing(self, arm: PlannedArm) -> tuple[str, ...]:
        """Return the standing of an arm's contrast when the plan was declared: see `phrase_standing`."""
        return phrase_standing(arm.exploratory or arm.name in self.seen_pairs, self.count_attempts(arm))

    def count_attempts(self, arm: PlannedArm) -> int:
        """Return how many plans have judged an arm's contrast, this one included.

        Of the baseline, it is the plans of the study that had its trials. Whoever has seen these may have
        added seeds for this reason, and may compare it with arms of other studies.
        """
        if arm.name != self.arms[0].name:
            return 1 + len(self.earlier_verdicts.get(arm.name, ()))
        ids = set(arm.trial_ids.values())
        return 1 + sum(
            declaration.declared_at < self.declared_at
            and len(ids & set(declaration.trial_ids)) >= FEWEST_SEEDS
            for declaration in self.earlier_plans
        )

    @property
    def contrast_keys(self) -> dict[str, str]:
        """By arm, the settings' hashes of the arm and of its base, which identify the contrast in any study.

        They are sorted, a line each. An arm of the same settings as its base is left out.
        """
        pairs = {arm.name: {arm.settings_hash, base.settings_hash} for arm, base in self.arm_pairs}
        return {name: "\n".join(sorted(pair)) for name, pair in pairs.items() if len(pair) > 1}

    def read_results(self, ledger: Ledger) -> dict[str, ResultInStudy]:
        """Return the results (without details) of the trials that the ledger has, by identity."""
        return self.make_results_in_study(ledger.read_results(self.ids))


def awaits_repetition(plan: Plan) -> bool:
    """Return True if the baseline's first trial has yet to be trained a second time."""
    return plan.repeats_first_trial and plan.repetition_differences is None


def list_first_trials(plan: Plan) -> list[str]:
    """Return the identities of the trials that are trained before the others."""
    return list_trials(plan.arms, plan.rules.seeds[:SEEDS_CHECKED_FIRST])


def list_trials(arms: Iterable[PlannedArm], seeds: Sequence[int]) -> list[str]:
    """Return the identities of these arms' trials, seed by seed, each once."""
    arms = list(arms)
    return list(dict.fromkeys(arm.trial_ids[seed] for seed in seeds for arm in arms))
