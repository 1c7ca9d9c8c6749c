"""Plans of made-up results, and ledgers that hold both."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.study import plan as plans
from unrolled.ablations.study import plan_store
from unrolled.ablations.study.plan import Plan, PlannedArm
from unrolled.ablations.study.study import Study
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.metric import Metric
from unrolled.bench.trial import Result, Scalar, canonical_json


def sync(
    plan: Plan,
    results: Mapping[str, Iterable[Result]],
    where: str,
    report: tuple[Any, ...] = (),
) -> tuple[int, int]:
    """Write results, by arm, to MLflow; how many were written, and how many were there already."""
    from unrolled.ablations.mlflow.study_runs import StudyRuns

    runs, trials = StudyRuns(plan, where), [(arm, r) for arm, of_arm in results.items() for r in of_arm]
    written = sum(runs.write_trial(arm, result) for arm, result in trials)
    if report:
        runs.publish_report(*report)
    return written, len(trials) - written


def planned(
    results: Mapping[str, Sequence[Result]] | None = None,
    changes: Mapping[str, Mapping[str, Scalar]] | None = None,
    **facts: Any,
) -> Plan:
    """The plan whose trials these results are, by arm."""
    arms = tuple(
        PlannedArm(
            name=arm,
            model=getattr(made[0].trial, "model", "") if made else "lm1",
            title=made[0].trial.title if made else "",
            settings_hash=canonical_json(made[0].trial.settings_key).decode() if made else "",
            changes=(changes or {}).get(arm, {}),
            trials={r.trial.seed: r.trial.id for r in made},
            trial_fields=plans.shared_fields(made[0].trial) if made else {},
        )
        for arm, made in (results or {}).items()
    )
    seeds = tuple(sorted({seed for arm in arms for seed in arm.trials}))
    default = {
        "study": "s",
        "hash": "h",
        "question": "?",
        "about": "",
        "metrics": (Metric("valid_loss", 0.02),),
    }
    default |= {
        "command": "unrolled",
        "trainer": "chapter",
        "seeds": seeds,
        "looks": (max(len(seeds), 1),),
        "arms": arms,
    }
    return Plan(**{**default, **facts})


def kept(folder: Path, plan: Plan, results: Mapping[str, Sequence[Result]]) -> Ledger:
    """A ledger that holds the plan and these results."""
    ledger = Ledger(folder)
    for made in results.values():
        for result in made:
            ledger.record(result)
    plan_store.store_plan(plan, ledger)
    return ledger


def recorded(folder: Path, study: Study, result: Callable[[ChapterTrial], Result]) -> Path:
    """The folder of a ledger that has a result of every trial of a study."""
    ledger = Ledger(folder)
    plan, trials = plans.make_plan(study, f"unrolled run {study.name}")
    plan_store.store_plan(plan, ledger)
    for trial in trials:
        ledger.record(result(trial))
    return folder
