"""Made-up results, plans of results, and ledgers that hold both."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.helpers.study_rules import take_rules
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.plan import Plan, PlannedArm
from unrolled.ablations.plans.planning import list_trial_fields, make_plan
from unrolled.ablations.study.study import Study
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.metric import Metric
from unrolled.bench.trial import Result, Scalar


def write_to_mlflow(
    plan: Plan,
    results: Mapping[str, Iterable[Result]],
    uri: str,
    report: tuple[Any, ...] = (),
) -> tuple[int, int]:
    """Write results to MLflow and return how many were written and how many were there already."""
    from unrolled.ablations.mlflow.mlflow_runs import MlflowRuns

    runs = MlflowRuns(plan, uri)
    trials = [(arm, r) for arm, of_arm in results.items() for r in of_arm]
    written = sum(runs.write_trial(arm, result) for arm, result in trials)
    if report:
        runs.publish_report(*report)
    return written, len(trials) - written


def build_plan(
    results: Mapping[str, Sequence[Result]] | None = None,
    changes: Mapping[str, Mapping[str, Scalar]] | None = None,
    **facts: Any,
) -> Plan:
    """Return the plan whose trials these results are, by arm."""
    arms = tuple(
        PlannedArm(
            name=arm,
            model=getattr(arm_results[0].trial, "model", "") if arm_results else "lm1",
            title=arm_results[0].trial.title if arm_results else "",
            settings_hash=canonical_json(arm_results[0].trial.comparable_content).decode()
            if arm_results
            else "",
            changes=(changes or {}).get(arm, {}),
            trial_ids={r.trial.seed: r.trial.id for r in arm_results},
            trial_fields=list_trial_fields(arm_results[0].trial) if arm_results else {},
        )
        for arm, arm_results in (results or {}).items()
    )
    seeds = tuple(sorted({seed for arm in arms for seed in arm.trial_ids}))
    defaults = {
        "study": "s",
        "study_hash": "h",
        "question": "?",
        "about": "",
        "metrics": (Metric("valid_loss", 0.02),),
    }
    defaults |= {
        "command": "unrolled",
        "trainer_name": "chapter",
        "seeds": seeds,
        "looks": (max(len(seeds), 1),),
        "arms": arms,
    }
    facts = {**defaults, **facts}
    return Plan(rules=take_rules(facts), **facts)


def store_plan_and_results(folder: Path, plan: Plan, results: Mapping[str, Sequence[Result]]) -> Ledger:
    """Store a plan and its results and return the ledger."""
    ledger = Ledger(folder)
    for arm_results in results.values():
        for result in arm_results:
            ledger.record_result(result)
    plan_store.store_plan(plan, ledger)
    return ledger


def store_study_results(folder: Path, study: Study, make_result: Callable[[ChapterTrial], Result]) -> Path:
    """Store a result of every trial of a study and return the ledger's folder."""
    ledger = Ledger(folder)
    plan, trials = make_plan(study, f"unrolled run {study.name}")
    plan_store.store_plan(plan, ledger)
    for trial in trials:
        ledger.record_result(make_result(trial))
    return folder


MACHINE = {"cpu": "EPYC 9V74", "threads": 1, "device": "cpu", "torch_build": "abc", "commit": "c0ffee12345"}


def make_result(
    seed: int, penalty: float = 0.0, code: str = "v1", slowdown: float = 1.0, **machine: Any
) -> Result:
    """Return a finished trial of one version of the code: the loss is the seed's luck and the version's."""
    luck = random.Random(seed).gauss(0, 0.06)
    noise = random.Random(f"{code}{seed}").gauss(0, 0.004)
    loss = 1.3 + luck + penalty + noise
    return Result(
        trial=ChapterTrial(model="lm1", seed=seed, source=code, data="3a3e30cd"),
        status="done",
        started=1_770_000_000.0 + seed,
        attempt_seconds=2.0,
        metrics={"valid_loss": loss, "speed_train": 9000 / slowdown * (1 + 0.001 * seed)},
        fingerprints={"weights": f"w{loss}", "metrics": f"m{loss}"},
        provenance={**MACHINE, **machine},
    )


def change_trial(result: Result, **settings: Any) -> Result:
    """Return the result as that of a trial with these settings."""
    return replace(result, trial=replace(result.trial, **settings))


def write_ledger(folder: Path, arms: dict[str, list[Result]], **facts: Any) -> Path:
    """Write a ledger of these results, by arm, and return its folder."""
    return store_plan_and_results(folder, build_plan(arms, **facts), arms).root
