"""Designs of synthetic studies (known effects, failures, names that bite), and what tests read of a page."""

import math
from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from tests.helpers.arms import break_trials, make_arm
from tests.helpers.study_rules import change_rules, take_rules
from unrolled.bench.metric import Metric
from unrolled.bench.program.program_trial import ProgramTrial
from unrolled.bench.study_rules import Audit, AuditedChange
from unrolled.bench.trial import Result
from unrolled.reports.chapter.chapter_pages import CHAPTER_PRESENTATION
from unrolled.reports.compare import comparison
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.compare.design import Design, DesignArm
from unrolled.reports.compare.trial_frame import tabulate_results
from unrolled.reports.foreign import table_design
from unrolled.reports.foreign.columns import Columns, arrange_table
from unrolled.reports.presentation import PROGRAM_PRESENTATION
from unrolled.reports.statistics.estimators import mean_tails, moments

LM7_OPTIONS = {"dropout": 0.4, "tying": True}
LM7_SETTINGS = {"alpha": 2.0, "beta": 1.0, "wd": 0.1, "moms": (0.8, 0.7, 0.8)}
LOOKS: dict[str, Any] = {"seeds": tuple(range(40)), "looks": (10, 15, 20, 30, 40)}
BOTH = (Metric("valid_accuracy", 0.02), Metric("valid_loss", 0.05))
# Losses by seed, in nats, whose statistics are known: see statistics/test_contrasts.py.
BASE_LOSSES = dict(enumerate((1.22, 1.31, 1.27, 1.40, 1.25, 1.29, 1.33, 1.24)))
LOWER_LOSSES = dict(enumerate((1.17, 1.28, 1.21, 1.36, 1.21, 1.22, 1.30, 1.20)))
SIMILAR_LOSSES = dict(enumerate((1.21, 1.32, 1.26, 1.41, 1.25, 1.28, 1.34, 1.24)))
HOSTILE_NAMES = (
    "_base",
    "<script>alert(1)</script>",
    "$x_$ & \\frac",
    "nul\0\x1b[31m\u202e",
    "=1+1",
    "x" * 300,
    "{{ 7*7 }}",
)

SHOWN_NAMES = ("_base", "<script>alert(1)</script>", "$x_$ & \\frac", "nul␀␛[31m\ufffd", "=1+1", "{{ 7*7 }}")
"""Those names as a page shows them, but for the longest."""


def four_errors(rate: float, studies: int) -> float:
    """Return four standard errors of a rate over studies: with fixed seeds a failure is no accident."""
    return 4 * math.sqrt(rate * (1 - rate) / studies)


def equivalence_p(x: np.ndarray, delta: float) -> np.ndarray:
    """Return the p that each mean of samples (…, S) lies within ±δ."""
    m = moments(x)
    return np.maximum(mean_tails(m, -delta)[0], mean_tails(m, delta)[1])


def compare(design: Design) -> Comparison:
    """Return the comparison of a study's arms by the table of its results."""
    return comparison.compare(tabulate_results(design), design)


def compare_table(frame: pd.DataFrame, columns: Columns) -> Comparison:
    """Return the comparison of the arms of a table from elsewhere."""
    frame = frame.reset_index(drop=True)
    table = arrange_table(frame, columns, "elsewhere.csv")
    design = table_design.make_design(frame, table, columns, "elsewhere.csv", "compare-elsewhere")
    return comparison.compare(table, design)


def design_arms(arms: tuple[DesignArm, ...], *, delta: float = 0.03, **facts: Any) -> Design:
    """Return the design of a study of these arms by the loss, which looks once."""
    fields: dict[str, Any] = {
        "study": "regularization",
        "question": "Which parts of LMModel7 carry its gain over LMModel6?",
        "metrics": (Metric("valid_loss", delta),),
        "seeds": tuple(range(10)),
        "study_hash": "9f86d081884c7d65",
        "declared_at": 1_770_000_000.0,
        "command": "unrolled run regularization -j 2",
        "presentation": CHAPTER_PRESENTATION,
    }
    fields |= facts
    fields = {"looks": (len(fields["seeds"]),), **fields}
    return Design(rules=take_rules(fields), arms=arms, **fields)


@cache
def make_realistic_design() -> Design:
    """Return a design with every verdict but one, a sweep, a full 2² factorial, failures and another task."""
    return design_arms(
        (
            make_arm("LMModel6", 0.0),
            make_arm(
                "LMModel7", -0.50, 0.03, model="lm7", changes={"model": "lm7"}, options=LM7_OPTIONS,
                settings=LM7_SETTINGS, parameters=33502,
            ),
            make_arm("dropout 0.4", -0.12, options={"dropout": 0.4}),
            make_arm("tying", -0.06, 0.07, options={"tying": True}),
            make_arm("dropout and tying", -0.24, options={"dropout": 0.4, "tying": True}),
            make_arm("from scratch", 0.0, 0.012, model="lstm-chunk", speed=5200.0),
            make_arm("clip 0.5", 0.012, 0.006, settings={"clip": 0.5}),
            break_trials(make_arm("lr 3e-2", 0.31, 0.10, settings={"lr": 0.03}), diverged=(3,)),
            make_arm("lr 3e-3", 0.16, 0.04, settings={"lr": 0.003}),
            break_trials(make_arm("no reset", 0.01, 0.06, settings={"reset": "never"}), failed=(7,)),
            make_arm("random blocks", -0.9, settings={"split": "blocks"}),
        )
    )  # fmt: skip


@cache
def make_switched_design() -> Design:
    """Return the design of a study of LMModel7's parts: leave one out, add one to LMModel6, and the full 2⁴.

    Tying brings −.2, dropout −.1, AR −.05 and TAR nothing; tying and dropout together .08 less than that.
    """
    on = {"tying": True, "dropout": 0.4, "alpha": 2.0, "beta": 1.0, "wd": 0.1}
    off = {"tying": False, "dropout": 0.0, "alpha": 0.0, "beta": 0.0, "wd": 0.01}

    def cell(name: str, model: str = "lm7", **changes: Any) -> DesignArm:
        settings = on | changes
        t, d, a = (bool(settings[key]) for key in ("tying", "dropout", "alpha"))
        options = {key: settings.pop(key) for key in ("tying", "dropout")}
        effect = -0.2 * t - 0.1 * d + 0.08 * t * d - 0.05 * a
        model_change = {"model": model} if model != "lm7" else {}
        return make_arm(
            name,
            effect,
            0.004,
            model=model,
            options=options,
            settings=settings,
            changes={**model_change, **changes},
        )

    keys = ("tying", "dropout", "alpha", "beta")
    corners = [corner for n in (2, 3, 4) for corner in combinations(keys, n)]
    remaining_levels = ({key: level for key, level in off.items() if key != added} for added in off)
    return design_arms(
        (
            cell("LMModel7"),
            *(cell(f"no {key}", **{key: off[key]}) for key in off),
            cell("LMModel6", "lm6", **off),
            *(
                cell(f"LMModel6 + {key}", "lm6", **levels)
                for key, levels in zip(off, remaining_levels, strict=True)
            ),
            *(cell(f"without {' '.join(x)}", **{key: off[key] for key in x}) for x in corners),
        ),
        study="switched",
        question="Which parts of LMModel7 matter?",
        setting_titles={"alpha": "AR", "beta": "TAR", "wd": "weight decay"},
    )


def make_looked_design(*more_arms: DesignArm, **facts: Any) -> Design:
    """Return the design of a study after two looks.

    One contrast was decided at the first, with two trials too many; others are open.
    """
    return design_arms(
        (
            make_arm("base", 0.0, seeds=16),
            make_arm("strong", -0.5, seeds=12, settings={"clip": 1.0}),
            make_arm("weak", 0.02, 0.2, seeds=17, settings={"clip": 2.0}),
            break_trials(make_arm("lost", 0.3, seeds=12, settings={"clip": 3.0}), failed=tuple(range(5))),
            *more_arms,
        ),
        **{"study": "looked", "metrics": BOTH, **LOOKS, **facts},
    )


def make_laddered_design() -> Design:
    """Return a ladder whose first rung is compared with counts, a reference that has no epochs."""
    counts = make_arm("counts", 0.4, 0.0, model="ngram-2")
    results = {s: replace(r, curves={}, metrics=_leave_updates_out(r)) for s, r in counts.results.items()}
    rungs = [make_arm(f"rung {i}", -0.3 * i, settings={"clip": float(i)}) for i in range(1, 4)]
    compared_rungs = [
        replace(a, against=b) for a, b in zip(rungs, ("counts", "rung 1", "rung 2"), strict=True)
    ]
    return make_looked_design(
        replace(counts, results=results), *compared_rungs, study="ladder", seen_pairs={"rung 1": 12}
    )


def _leave_updates_out(result: Result) -> dict[str, float]:
    """Return a result's metrics without its number of updates."""
    return {name: value for name, value in result.metrics.items() if name != "train_updates"}


@cache
def make_hostile_design() -> Design:
    """Return a design whose names would run as markup, mathematics or a formula, or end a string."""
    return design_arms(
        tuple(make_arm(name, 0.1 * i, changes={"note": name}) for i, name in enumerate(HOSTILE_NAMES)),
        study='"><img src=x onerror=alert(1)>',
        question="</title><script>alert(2)</script>",
        command="unrolled run '`$(rm)`'",
        about="a\ud800b",
    )


def make_program_design(*metrics: Metric) -> Design:
    """Return a program's study of two arms with curves; seed 9 stops a step before the others."""
    arms = []
    for name, lr, error, seconds in (("baseline", 0.1, 0.2, 4.0), ("lr 0.5", 0.5, 0.1, 2.0)):
        results = {}
        for seed in range(10):
            trial = ProgramTrial(
                seed=seed, run="python train.py --lr {lr} --seed {seed}", settings={"lr": lr}
            )
            last = error + 0.003 * (seed % 4) * (1 + lr)
            curve = tuple((100.0 * i, last + 1 / (i + 1)) for i in range(4 - (seed == 9)))
            numbers = {"error": last, "train_loss": 3 * last, "seconds": seconds * (1 + seed % 3 / 50)}
            curves = dict.fromkeys(("train_loss", "error"), curve)
            results[seed] = Result(trial=trial, status="done", metrics=numbers, curves=curves)
        arms.append(DesignArm(name=name, title="train.py", changes={"lr": lr}, results=results))
    return design_arms(tuple(arms), study="program", metrics=metrics, presentation=PROGRAM_PRESENTATION)


def make_audited_design() -> Design:
    """Return an audit of two changes of a program, of which the first could not be judged."""
    first, second = (
        AuditedChange(name=f"{digit * 7} change {digit}", hash=digit * 40, added=1, deleted=12, **facts)
        for digit, facts in (("1", {"reason": "takes no seed"}), ("2", {"arm": "lr 0.5"}))
    )
    audit = Audit(changes=(first, second), forward=False)
    design = make_program_design(Metric("error", 0.01), Metric("train_loss", 0.1))
    return change_rules(design, name="audit", audit=audit)


def make_pair_design(**facts: Any) -> Design:
    """Return the design of a study of a baseline and an arm that is .1 worse."""
    return design_arms((make_arm("base", 0.0), make_arm("b", 0.1, settings={"clip": 1.0})), **facts)
