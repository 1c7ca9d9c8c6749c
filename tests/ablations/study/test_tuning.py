"""Tuning: equal budgets, seeds of their own, winners by mean, and no trial more than once."""

import io
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout, suppress
from dataclasses import replace
from itertools import product
from math import inf
from pathlib import Path

import pytest
from unlogged import Unlogged

from unrolled.ablations.commands.run import _run_study
from unrolled.ablations.commands.summaries import summarise_arms
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import RunOptions
from unrolled.ablations.runner.parallel import TrialConditions, run_trials
from unrolled.ablations.study import loading, plan, stored_plans, tuning
from unrolled.ablations.study.loading import load, override
from unrolled.ablations.study.study import Arm, Study
from unrolled.ablations.training.comparison import compare_plan, read
from unrolled.ablations.training.study_run import Budget
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.errors import BadInput
from unrolled.bench.metric import Metric
from unrolled.bench.trial import Result, failure

SMALL = """
name = "tuned"
question = "Does dropout still hurt at its own best rate?"
metrics = [{ name = "valid_loss", delta = 0.2 }]
seeds = 6
aa = true
[baseline]
model = "lm6"
[design.one_at_a_time]
dropout = [0.1, 0.2]
[tuning]
lr = [0.003, 0.01, 0.03]
seeds = 2
"""
TEXT = SMALL.replace(
    "[tuning]",
    """
[[arm]]
name = "faster"
set = { lr = 0.03 }
[[arm]]
name = "other task"
set = { split = "blocks" }
[[arm]]
name = "counts"
set = { model = "ngram-2" }
[tuning]""",
)
DECLARED = 4 * 6  # of SMALL: the baseline, two dropouts and A/A, on six seeds
SEARCHED = 3 * 3 * 2  # three arms on three levels and two seeds
WINNERS = 6  # of three, two are at their declared level
TOTAL = DECLARED + SEARCHED + WINNERS


Write = Callable[[str], Study]


@pytest.fixture
def study(loaded: Write) -> Study:
    return loaded(TEXT)


def searched(study: Study) -> list[tuple[Arm, ChapterTrial]]:
    return [(search, search.trial(seed)) for search in study.searches for seed in search.seeds]


# What is planned.


def test_trained_arms_on_the_baseline_s_task_search_with_equal_budgets_on_seeds_of_their_own(
    study: Study,
) -> None:
    budgets = Counter((search.tunes, trial.lr, trial.seed) for search, trial in searched(study))
    arms, levels = ("LMModel6", "dropout 0.1", "dropout 0.2"), (0.003, 0.01, 0.03)
    assert budgets == dict.fromkeys(product(arms, levels, (2000, 2001)), 1)


def test_a_search_moves_the_setting_and_nothing_else(study: Study) -> None:
    arms = {arm.name: arm for arm in study.arms}
    for search, trial in searched(study):
        assert trial.factors() == {
            **ChapterTrial(seed=0, **arms[search.tunes].settings).factors(),
            "lr": search.level,
        }
    # at the declared level it is the declared trial but for its seed
    declared = ChapterTrial(seed=2000, **study.baseline.settings)
    assert declared.id in {trial.id for _, trial in searched(study)}


@pytest.mark.parametrize(
    ("setting", "levels"),
    [
        ("hidden", {8, 16}),  # an option of the model
        ("window", {8, 16}),  # a detach_every that is the window's follows it
        ("detach_every", {8, 16}),
    ],
)
def test_any_numeric_setting_can_be_tuned(loaded: Write, setting: str, levels: set[int]) -> None:
    study = loaded(TEXT.replace("lr = [0.003, 0.01, 0.03]", f"{setting} = {sorted(levels)}"))
    assert {trial.factors()[setting] for _, trial in searched(study)} == levels
    assert all(t.detach_every == t.window for _, t in searched(study)) or setting == "detach_every"


@pytest.mark.parametrize(
    ("old", "new"),
    [("[0.003, 0.01, 0.03]", "[0.003, 0.01]"), ("seeds = 2", "seeds = 3"), ("lr = [0.003", "wd = [0.003")],
)
def test_the_plan_s_hash_covers_the_tuning(study: Study, loaded: Write, old: str, new: str) -> None:
    assert loaded(TEXT.replace(old, new)).plan_hash != study.plan_hash
    assert loaded(TEXT.partition("[tuning]")[0]).plan_hash != study.plan_hash


def test_the_command_line_keeps_the_tuning(study: Study) -> None:
    changed = override(study, seeds="0-2", sets=[("epochs", [3])]).searches
    assert [(s.setting, s.level, s.seeds) for s in changed] == [
        (s.setting, s.level, s.seeds) for s in study.searches
    ]
    assert {search.settings["epochs"] for search in changed} == {3}


def test_searches_and_winners_count_towards_the_limit(study: Study, monkeypatch) -> None:
    # 7 arms × (6 seeds + 3 levels × 2 seeds + 6 seeds of a winner)
    monkeypatch.setattr(loading, "LIMIT", 126)
    assert load(study.path) == study
    monkeypatch.setattr(loading, "LIMIT", 125)
    with pytest.raises(BadInput, match="plans up to 126 trials, more than 125"):
        load(study.path)


# Who wins.


def result(loss: float, **metrics: float) -> Result:
    return Result(
        trial=ChapterTrial(model="lm6", seed=0), status="done", metrics={"valid_loss": loss, **metrics}
    )


LM6 = ChapterTrial(model="lm6", seed=0)
GONE = failure(LM6, "diverged at step 3", status="diverged", metrics={"valid_loss": 0.0})


@pytest.mark.parametrize(
    ("levels", "metric", "best"),
    [
        ([[result(1.0), result(4.0)], [result(2.0), result(2.0)]], "valid_loss", 1),  # means 2.5 and 2
        ([[result(2.0), result(2.0)], [result(1.0), result(3.0)]], "valid_loss", 0),  # a tie
        ([[result(0, valid_accuracy=0.4)], [result(0, valid_accuracy=0.6)]], "valid_accuracy", 1),
        ([[result(1.0), GONE], [result(9.0), result(9.0)]], "valid_loss", 1),
        ([[result(1.0), result(float("nan"))], [result(9.0), result(9.0)]], "valid_loss", 1),
        ([[result(0, valid_accuracy=0.9), GONE], [result(0, valid_accuracy=0.1)] * 2], "valid_accuracy", 1),
        ([[GONE, GONE], [result(1.0), GONE]], "valid_loss", None),
    ],
)
def test_the_winner_has_the_best_mean_and_a_level_that_diverged_never_wins(
    levels: list[list[Result]], metric: str, best: int | None
) -> None:
    assert tuning.winner(levels, Metric(metric, 0.02)) == best


# Both stages, trained by the command's own code.


class Recorded(Unlogged):
    """Stands in for the thread that writes to MLflow; `stop_after` trials it breaks, as a crash would."""

    stop_after = -1

    def __init__(self, *_: object) -> None:
        self.seen: list[tuple[str, str]] = []
        type(self).last = self

    def write_trial(self, arm: str, read: Callable[[], Result | None]) -> None:
        result = read()
        assert result is not None, "what MLflow is told is in the ledger already"
        self.seen.append((arm, result.trial.id))
        if len(self.seen) == self.stop_after:
            raise KeyboardInterrupt

    def write_missing(self, trials: Iterable[tuple[str, Result]]) -> None:
        self.seen = [(arm, result.trial.id) for arm, result in trials]


def train(folder: Path, study: Study, stop_after: int = -1, **words: object) -> str:
    """Run a study with stub trials; what it printed. After `stop_after` results it crashes."""
    args = RunOptions(results=folder / "results", out=folder / "out", workers=1, **words)
    # warm, as each trial's process asks for its text, Human Numbers
    where = TrialConditions(work="tuned_trials:act", preload=("unrolled.bench.chapter.warm_up",))
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), suppress(KeyboardInterrupt):
        patch.setattr(Recorded, "stop_after", stop_after)
        patch.setattr("unrolled.ablations.commands.run.Writer", Recorded)
        patch.setattr("unrolled.ablations.commands.run.try_first_batches", lambda *_: ())
        patch.setattr("unrolled.ablations.training.study_run.trial_conditions", lambda *_: where)
        _run_study(study, args, Ledger(args.results), Budget(inf))
    return printed.getvalue()


@pytest.fixture
def small(loaded: Write) -> Study:
    return loaded(SMALL)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, str, list[tuple[str, str]]]:
    """The folder of a study that was run whole, what the run printed, and what MLflow was told."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "mine.toml").write_text(SMALL)
    return folder, train(folder, load(folder / "mine.toml")), Recorded.last.seen


def stored(tmp_path: Path) -> plan.Plan:
    return stored_plans.stored("tuned", Ledger(tmp_path / "results"))


def test_winners_are_trained_on_the_study_s_seeds_and_shared_trials_once(whole) -> None:
    # dropout 0.1 does best at .003; 0.2 at .03, where a seed diverged, so at .01; the baseline at .01
    folder, told, logged = whole
    assert f"{TOTAL - 1} trained, 0 already there, 0 failed, 1 diverged" in told
    found = stored(folder)
    assert [(arm.tunes, arm.name) for arm in found.tuned] == [
        ("LMModel6", "LMModel6, its best lr 0.01"),
        ("dropout 0.1", "dropout 0.1, its best lr 0.003"),
        ("dropout 0.2", "dropout 0.2, its best lr 0.01"),
    ]
    declared = {arm.name: arm.trials for arm in found.arms}
    assert found.tuned[0].trials == declared["LMModel6"] and found.tuned[2].trials == declared["dropout 0.2"]
    assert set(found.tuned[1].trials) == set(range(6))
    assert len(found.ids) == len(set(found.ids)) == TOTAL
    assert sorted(id for _, id in logged) == sorted(found.ids)
    assert Counter(arm for arm, _ in logged)["dropout 0.1, its best lr 0.003"] == 6
    assert Counter(arm for arm, _ in logged)["dropout 0.1, lr 0.03 (search)"] == 2


def test_winners_are_trained_seed_by_seed_however_long_one_takes(loaded: Write, tmp_path: Path) -> None:
    text = SMALL.replace("dropout = [0.1, 0.2]", "epochs = [1, 30]").replace(
        "0.003, 0.01, 0.03", "0.003, 0.03"
    )
    train(tmp_path, loaded(text.replace("seeds = 6\naa = true", "seeds = 2")))
    found, ledger = stored(tmp_path), Ledger(tmp_path / "results")
    winners = [id for arm in found.tuned for id in arm.trials.values()]
    in_time = sorted(winners, key=lambda id: ledger.path(id).stat().st_mtime_ns)
    assert [found.arm_and_seed[id][1] for id in in_time] == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("at", [DECLARED + 7, DECLARED + SEARCHED + 2])
def test_a_crash_in_either_stage_leaves_the_plan_with_its_searches_and_only_the_rest_to_train(
    small, tmp_path, at
) -> None:
    train(tmp_path, small, stop_after=at)
    assert len(list((tmp_path / "results" / "trials").rglob("*.json"))) == at
    before, searching = stored(tmp_path), at < DECLARED + SEARCHED
    assert sum(len(search.trials) for search in before.searches) == SEARCHED
    assert (before.tuned == ()) == searching
    # the one that diverges is the last of the searches
    trained, there = TOTAL - at - searching, at - (not searching)
    assert f"{trained} trained, {there} already there, 0 failed, 1 diverged, 0 left" in train(tmp_path, small)
    assert len(list((tmp_path / "results" / "trials").rglob("*.json"))) == TOTAL
    assert "tuned: 0 trained" in train(tmp_path, small)
    after = stored(tmp_path)
    assert (after.planned, after.searches) == (before.planned, before.searches) and len(after.tuned) == 3
    assert sorted(id for _, id in Recorded.last.seen) == sorted(after.ids)


def test_nothing_wins_before_every_search_has_ended_nor_where_all_levels_failed(loaded, tmp_path) -> None:
    study = loaded(SMALL.replace("[0.1, 0.2]", "[0.1, 0.3]"))
    told = train(tmp_path, study, fail_fast=True)
    assert ", 0 left" not in told, "one search fails, and others did not start"
    assert stored(tmp_path).tuned == ()
    train(tmp_path, study)
    assert [arm.tunes for arm in stored(tmp_path).tuned] == ["LMModel6", "dropout 0.1"]


def test_ctrl_c_at_the_last_search_starts_no_winner(small, tmp_path, monkeypatch) -> None:
    def interrupted(*args, **keys):
        return replace(run_trials(*args, **keys), interrupted=True)

    monkeypatch.setattr("unrolled.ablations.training.study_run.run_trials", interrupted)
    assert f"{DECLARED + SEARCHED - 1} trained" in train(tmp_path, small)
    assert stored(tmp_path).tuned == ()


def test_the_page_says_both_verdicts_of_an_arm_that_is_tuned_and_flags_none_that_stays_worse(whole) -> None:
    # At the shared .01 the dropout costs .1 and the wrong rate .52; at its own .003 it costs .1 alone.
    folder, told, _ = whole
    page = (folder / "out" / "tuned" / "index.html").read_text()
    assert told.strip().endswith("index.html")
    assert "At its own best learning rate" in page
    both = "“worse by more than δ” at the shared learning rate, “worse by less than δ” at"
    assert f"<span data-claim>{both}" in page and "⇄ FLIP</span> <span" not in page


def test_report_and_mlflow_get_each_arm_s_search_and_winner(whole) -> None:
    folder, plan = whole[0], stored(whole[0])
    compared = compare_plan(plan, read(plan, Ledger(folder / "results")))
    found = compared.design
    assert [(t.arm, t.setting, t.best, t.budget) for t in found.tuned] == [
        ("LMModel6", "lr", 0.01, 6),
        ("dropout 0.1", "lr", 0.003, 6),
        ("dropout 0.2", "lr", 0.01, 6),
    ]
    assert [len(arm.results) for arm in found.arms] == [6, 6, 6, 6]
    for search in found.tuned:
        assert [(level, *results) for level, results in search.levels.items()] == [
            (level, 2000, 2001) for level in (0.003, 0.01, 0.03)
        ]
        assert set(search.own.results) == set(range(6))
        assert {r.trial.lr for r in search.own.results.values()} == {search.best}
    made = summarise_arms(plan, compared)
    assert [(one.name, one.role) for one in made] == [
        *((arm.name, "arm") for arm in (*plan.arms, *plan.tuned)),
        *((arm.name, "search") for arm in plan.searches),
    ]
    for one, arm in zip(made, (*plan.arms, *plan.tuned, *plan.searches), strict=True):
        assert one.trials == tuple(arm.trials.values())
        done = one.seeds == f"{len(arm.trials)} of {len(arm.trials)}"
        assert done == ("valid_loss" in one.metrics)
        assert done or "diverged" in one.seeds or "failed" in one.seeds
    said = {one.name: one.verdict for one in made}
    assert all("at the shared learning rate" in said[arm.name] for arm in plan.tuned[1:])
