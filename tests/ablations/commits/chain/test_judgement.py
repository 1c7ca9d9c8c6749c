"""`unrolled judge`: each outcome has its exit code, its record and its place in the chain."""

import json
import math
import random
import shutil
from pathlib import Path

import pytest

from tests.ablations.commits.chain.chain_project import (
    SPREAD_STUDY,
    STUDY,
    call_judge,
    judge,
    make_project,
    model_source,
    read_record,
)
from tests.helpers.command_call import run_command
from tests.helpers.commit_project import count_trials
from tests.helpers.git_repository import commit_change, git, hash_files
from unrolled.reports.statistics.chain_levels import compute_next_level

pytestmark = pytest.mark.usefixtures("skip_mlflow")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project whose chains draw the same seeds in each run, as a few nulls in a hundred are kept."""
    monkeypatch.setattr("secrets.randbelow", random.Random(20261130).randrange)
    return make_project(tmp_path / "project")


def test_what_helps_is_kept_becomes_the_incumbent_and_is_not_trained_again(project: Path) -> None:
    commit_change(project, "better", model__py=model_source(BASE="0.8", STREAM="1"))
    files = hash_files(project / ".git")
    code, facts = judge(project)
    assert code == 0
    assert facts["outcome"] == "keep"
    assert facts["difference"] == pytest.approx(-0.2, abs=0.05)
    assert facts["difference"] < facts["bound"] < 0
    assert (facts["pairs"], facts["p"] < facts["level"]) == (5, True)
    assert facts["incumbent"] == facts["candidate"]
    assert hash_files(project / ".git") == files, "nothing is written into the repository"
    trials = count_trials(project)
    assert judge(project)[1] == {**facts, "is_old": True}
    commit_change(project, "worse", "better", model__py=model_source(BASE="0.9", STREAM="2"))
    code, facts = judge(project)
    assert (code, facts["outcome"]) == (3, "discard")
    assert facts["compared_with"]["subject"] == "a change: better", "though main is worse than both"
    assert count_trials(project) > trials
    page = project / "out" / "night" / "index.html"
    text = page.read_text()
    assert "1 of 2 proposals kept" in text and "night-0002/index.html" in text
    assert "night/index.html" in (project / "out" / "index.html").read_text()
    shutil.rmtree(project / "out")
    assert run_command(project, "report").returncode == 0
    assert page.read_text() == text
    listing = run_command(project, "studies").stdout
    assert "1 of 2 proposals kept" in listing and "night-0001" not in listing


def test_a_proposal_that_changes_nothing_is_refused_without_a_level(project: Path) -> None:
    commit_change(project, "words", README__md="Other words.\n")
    code, facts = judge(project)
    assert (code, facts["outcome"], facts["level"]) == (5, "refused", 0)
    assert count_trials(project) == 0
    assert judge(project)[1]["proposal"] == 1, "the same again is no second proposal"
    commit_change(project, "comment", model__py=model_source() + "# a comment\n")
    code, facts = judge(project)
    assert (code, facts["outcome"]) == (5, "refused")
    assert "no number changes" in facts["reason"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("evaluate__py", "def score(x):\n    return x / 2\n"),
        ("unrolled__toml", STUDY.replace("0.1 }", "9.0 }")),
        ("evaluate__so", "shadows"),
    ],
)
def test_a_proposal_that_edits_what_judges_it_is_refused(project: Path, name: str, text: str) -> None:
    commit_change(project, "cheats", **{name: text})
    code, facts = judge(project)
    assert (code, facts["outcome"]) == (5, "refused")
    assert name.replace("__", ".") in facts["reason"]
    assert count_trials(project) == 0


def test_a_crash_counts_as_p_1_after_the_first_trial_alone(project: Path) -> None:
    commit_change(project, "broken", model__py="raise SystemExit('no such thing')\n")
    code, facts = judge(project)
    assert (code, facts["outcome"], facts["p"]) == (1, "crash", 1)
    assert facts["level"] > 0 and "no such thing" in facts["reason"]
    assert count_trials(project) <= 4
    commit_change(project, "unreadable", train__py="def\n")
    code, facts = judge(project)
    assert (code, facts["outcome"], facts["level"]) == (1, "crash", 0)
    levels = [proposal.level for proposal in read_record(project).proposals]
    assert levels == [compute_next_level("saffron", [], 0.1), 0.0]


def test_what_is_simpler_becomes_the_incumbent_where_that_is_accepted(project: Path) -> None:
    commit_change(project, "short", model__py=model_source("", STREAM="1"))
    code, facts = judge(project)
    assert (code, facts["outcome"]) == (6, "simpler")
    assert facts["incumbent"]["lines"] > facts["candidate"]["lines"]
    trials = count_trials(project)
    code, facts = judge(project, "--accept-simpler")
    assert (code, facts["outcome"], facts["is_old"]) == (0, "simpler", True)
    assert facts["incumbent"] == facts["candidate"]
    assert count_trials(project) == trials
    commit_change(
        project, "shorter", "short", model__py="BASE = 1.0\nSTREAM = 2\n", train__py=_join_lines(project)
    )
    code, facts = judge(project, "--accept-simpler")
    assert (code, facts["outcome"]) == (0, "simpler")
    plan = read_record(project).proposals[1]
    assert (plan.incumbent_number, plan.last_keep_number) == (1, 0), (
        "and is compared with main, the last that was kept"
    )
    page = (project / "out" / "night" / "night-0002" / "index.html").read_text()
    assert "last keep" in page


def _join_lines(folder: Path) -> str:
    """Return the program in fewer lines."""
    text = (folder / "train.py").read_text()
    return text.replace(
        "import json, random, sys, time\nimport evaluate, model\n",
        "import json, random, sys, time, evaluate, model\n",
    )


def test_without_time_a_proposal_stays_open_and_goes_on_with_its_seeds(project: Path) -> None:
    commit_change(project, "better", model__py=model_source(BASE="0.8", STREAM="1"))
    code, first = judge(project, "--budget", "0.1s")
    assert (code, first["outcome"]) == (4, "undecided")
    code, second = judge(project)
    assert (code, second["outcome"]) == (0, "keep")
    same = ("proposal", "seeds", "level")
    assert [first[key] for key in same] == [second[key] for key in same]


def test_an_open_proposal_ends_where_another_candidate_became_the_incumbent(project: Path) -> None:
    commit_change(project, "open", model__py=model_source(BASE="0.9", STREAM="1"))
    assert judge(project, "--budget", "0.1s")[0] == 4
    commit_change(project, "better", model__py=model_source(BASE="0.8", STREAM="2"))
    code, facts = judge(project)
    assert (code, facts["level"]) == (0, compute_next_level("saffron", [1.0], 0.1)), (
        "an open one counts as p = 1"
    )
    trials = count_trials(project)
    code, facts = judge(project, candidate="open")
    assert (code, facts["outcome"], facts["p"]) == (4, "undecided", 1)
    assert "another candidate" in facts["reason"]
    assert count_trials(project) == trials


def test_what_cannot_be_shown_is_not_trained(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", SPREAD_STUDY.replace("0.1 }", "0.001 }"))
    for number in ("1", "2"):
        commit_change(project, f"worse{number}", model__py=model_source(BASE="1.1", STREAM=number))
        assert judge(project)[0] == 3
    trials = count_trials(project)
    commit_change(project, "other", model__py=model_source(STREAM="3"))
    code, facts = judge(project)
    assert (code, facts["outcome"], facts["level"], facts["seeds"]) == (4, "undecided", 0, [])
    assert "a gain of 0.001 takes" in facts["reason"] and "the last look has 5" in facts["reason"]
    assert count_trials(project) == trials


def test_a_dry_run_has_the_spread_of_a_ratio_in_per_cent(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", SPREAD_STUDY.replace("0.1 }", '"20%" }'))
    for number in ("1", "2"):
        commit_change(project, f"worse{number}", model__py=model_source(BASE="1.3", STREAM=number))
        judge(project)
    words = ("judge", "HEAD", "--chain", "night", "--dry-run")
    state = json.loads(run_command(project, *words, "--json").stdout)
    spread = 100 * math.expm1(read_record(project).measure_spread() / 100)
    assert state["spread"] == pytest.approx(spread, rel=1e-12)
    shown = f"{state['smallest_gain']:.3g} % (the pairs' differences have SD {spread:.3g} %)"
    assert shown in run_command(project, *words).stdout


def test_levels_follow_the_rule_and_seeds_are_new(project: Path) -> None:
    for number in range(1, 4):
        base = {1: "1.1", 2: "0.8", 3: "1.1"}[number]
        commit_change(project, f"p{number}", model__py=model_source(BASE=base, STREAM=str(number)))
        judge(project)
    proposals = read_record(project).proposals
    assert [p.outcome for p in proposals] == ["discard", "keep", "discard"]
    ps = [p.p for p in proposals]
    assert [p.level for p in proposals] == [compute_next_level("saffron", ps[:n], 0.1) for n in range(3)]
    seeds = [seed for p in proposals for seed in p.seeds]
    assert len({*seeds}) == 3 * 5
    commit_change(project, "p4", model__py=model_source(BASE="0.8", STREAM="4"))
    judge(project, "--family-wise", chain="strict")
    (strict,) = read_record(project, "strict").proposals
    assert strict.level == compute_next_level("family-wise", [], 0.1)
    assert not {*strict.seeds} & {*seeds}
    state = json.loads(
        run_command(project, "judge", "HEAD", "--chain", "night", "--dry-run", "--json").stdout
    )
    assert state["level"] == compute_next_level("saffron", ps, 0.1)
    assert state["smallest_gain"] > 0
    assert "Other chains of this study" in (project / "out" / "strict" / "index.html").read_text()


@pytest.mark.parametrize(
    ("words", "cure"), [((), "--incumbent main"), (("--incumbent", "main"), "--dry-run")]
)
def test_a_dry_run_of_a_new_chain_says_what_begins_it(
    project: Path, words: tuple[str, ...], cure: str
) -> None:
    process = run_command(project, "judge", "HEAD", "--chain", "night", "--dry-run", *words)
    assert process.returncode == 2 and cure in process.stderr.partition("; ")[2]


def test_a_rewound_branch_is_told(project: Path) -> None:
    commit_change(project, "better", model__py=model_source(BASE="0.8", STREAM="1"))
    assert judge(project)[0] == 0
    git(project, "checkout", "-q", "main")
    code, facts = judge(project)
    assert (code, facts["outcome"]) == (5, "refused")
    assert "rewound" in facts["reason"]
    commit_change(project, "aside", model__py=model_source(BASE="1.0", STREAM="3"))
    code, facts = judge(project)
    assert code == 3
    assert "does not follow the incumbent" in facts["remarks"][0]


def test_the_incumbents_files_outlive_its_commit(project: Path) -> None:
    commit_change(project, "better", model__py=model_source(BASE="0.8", STREAM="1"))
    assert judge(project)[0] == 0
    git(project, "checkout", "-q", "main")
    git(project, "branch", "-D", "better")
    git(project, "reflog", "expire", "--expire=now", "--all")
    git(project, "gc", "-q", "--prune=now")
    commit_change(project, "next", model__py=model_source(BASE="0.6", STREAM="2"))
    code, facts = judge(project)
    assert (code, facts["compared_with"]["subject"]) == (0, "a change: better")


def test_one_number_under_every_seed_and_numbers_of_no_seed_are_refused(project: Path) -> None:
    commit_change(project, "prints", train__py="print('{\"loss\": 0.1}')\n")
    code, facts = judge(project)
    assert (code, facts["outcome"]) == (5, "refused")
    assert "the same number under every seed" in facts["reason"]
    text = "import json, random\nprint(json.dumps({'loss': random.gauss(0.1, 0.02)}))\n"
    commit_change(project, "draws", train__py=text)
    code, facts = judge(project, "--verify")
    assert (code, facts["outcome"], facts["p"]) == (5, "refused", 1)
    assert "other numbers" in facts["reason"]
    assert read_record(project).incumbent_number == 0


def test_a_kept_candidate_that_takes_no_time_fails_verification(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_change(project, "better", model__py=model_source(BASE="0.8", STREAM="1"))
    monkeypatch.setattr("unrolled.ablations.commits.chain.second_training.DOUBTED_SHARE", 10.0)
    code, facts = judge(project, "--verify")
    assert (code, facts["outcome"]) == (5, "refused")
    assert "does it train?" in facts["reason"]
    monkeypatch.undo()
    commit_change(project, "honest", model__py=model_source(BASE="0.8", STREAM="2"))
    assert judge(project, "--verify")[0] == 0


def test_a_failing_incumbent_is_bad_input_and_a_diverging_candidate_discarded(
    project: Path,
) -> None:
    commit_change(project, "diverges", model__py=model_source(BASE="float('inf')", STREAM="1"))
    code, facts = judge(project)
    assert (code, facts["outcome"], facts["p"]) == (3, "discard", 1)
    assert "diverged" in facts["reason"]
    commit_change(project, "broken", model__py="raise SystemExit('no such thing')\n")
    commit_change(project, "mended", "broken", model__py=model_source(STREAM="1"))
    code, facts = judge(project, "--incumbent", "broken", chain="other")
    assert code == 2 and "no such thing" in facts["reason"]


def test_bad_input_is_told_in_a_line_and_as_json(project: Path) -> None:
    commit_change(project, "better", model__py=model_source(BASE="0.8", STREAM="1"))
    for words, name in {
        ("judge", "HEAD"): "--chain",
        ("judge", "HEAD", "--chain", "night"): "--incumbent",
        ("judge", "HEAD", "--chain", "a/b", "--incumbent", "main"): "a/b",
        ("judge", "nothing", "--chain", "night", "--incumbent", "main"): "nothing",
        ("judge", "HEAD", "--chain", "night", "--incumbent", "main", "--seeds", "0-4"): "--seeds",
    }.items():
        process = run_command(project, *words, "--json")
        assert process.returncode == 2
        assert name in json.loads(process.stdout)["reason"]
        assert process.stderr.count("\n") == 1
    assert not (project / "results" / "chains").exists()
    call_judge(project, candidate="main")
    (project / "unrolled.toml").write_text(STUDY.replace("0.1 }", "0.2 }"))
    code, facts = judge(project)
    assert code == 2 and "new chain" in facts["reason"]
    (project / "unrolled.toml").write_text(STUDY)
    code, facts = judge(project, "--incumbent", "better")
    assert code == 2 and "another incumbent" in facts["reason"]
    code, facts = judge(project, "--family-wise")
    assert code == 2 and "--family-wise" in facts["reason"]
    code, facts = judge(project, "--incumbent", "main", candidate="main")
    assert code == 5, "the incumbent may be named again"
