"""A judge that is killed loses nothing, and two at once do not share a chain."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ablations.commits.chain.chain_project import (
    TRAIN,
    judge,
    make_project,
    model_source,
    read_record,
)
from tests.helpers import command_without_mlflow
from tests.helpers.command_process import make_environment
from tests.helpers.commit_project import count_trials
from tests.helpers.git_repository import commit_change, git
from tests.helpers.processes import wait_for
from unrolled.ablations.commits.chain.chain_record import read_chain
from unrolled.ablations.commits.chain.chain_study import draw_seeds
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans.plan_store import load_plan
from unrolled.bench.errors import BadInput

pytestmark = pytest.mark.usefixtures("skip_mlflow")

WORDS = ("judge", "HEAD", "--chain", "night", "--incumbent", "main", "--json", "--workers", "1")


def make_proposal(folder: Path, train: str = TRAIN) -> Path:
    """Make a repository with a program, in which a better model is proposed."""
    make_project(folder)
    (folder / "train.py").write_text(train)
    git(folder, "commit", "-q", "--allow-empty", "-am", "program")
    commit_change(folder, "better", model__py=model_source(BASE="0.8", STREAM="1"))
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_proposal(tmp_path / "project")


def write_waiting_program(barrier: Path) -> str:
    """Return the text of a program that waits while a file is there."""
    loop = f"while os.path.exists({str(barrier)!r}):\n    time.sleep(0.01)\n"
    return f"import os, time\n{loop}{TRAIN}"


def start_judge(folder: Path) -> subprocess.Popen[bytes]:
    """Start to judge the proposal in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, command_without_mlflow.__file__, *WORDS],
        cwd=folder,
        env=make_environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def test_a_killed_judge_goes_on_to_the_same_end(tmp_path: Path) -> None:
    barrier = tmp_path / "barrier"
    project = make_proposal(tmp_path / "project", train=write_waiting_program(barrier))
    process = start_judge(project)
    wait_for(lambda: count_trials(project) >= 3)
    barrier.touch()
    assert judge(project)[0] == 2, "another judge is on the chain"
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    barrier.unlink()
    (half_done,) = read_record(project).proposals
    assert half_done.outcome == ""
    assert count_trials(project) < 2 * 5
    copy = tmp_path / "copy"  # has the record, and none of the trials
    shutil.copytree(project, copy, symlinks=True)
    shutil.rmtree(copy / "results" / "trials")
    code, facts = judge(project)
    assert (code, facts["outcome"], facts["proposal"]) == (0, "keep", 1)
    assert tuple(facts["seeds"]) == half_done.seeds
    assert facts["level"] == half_done.level
    code, copy_facts = judge(copy)
    same = ("outcome", "seeds", "difference", "bound", "p", "level", "pairs")
    assert [copy_facts[key] for key in same] == [facts[key] for key in same]


def test_a_chain_of_noisy_programs_that_is_stopped_within_two_proposals_keeps_its_rules(
    tmp_path: Path,
) -> None:
    noise = "random.SystemRandom().gauss(0, 0.003)"
    folder = make_proposal(
        tmp_path / "project", train=re.sub("^noise = .*$", f"noise = {noise}", TRAIN, flags=re.MULTILINE)
    )

    def stop_judge(kill: Callable[[int, int], None], signal_number: int) -> None:
        least = count_trials(folder) + 2
        process = start_judge(folder)
        wait_for(lambda: count_trials(folder) >= least)
        kill(process.pid, signal_number)
        process.communicate()
        assert read_record(folder).proposals[-1].outcome == ""

    stop_judge(os.kill, signal.SIGINT)
    judge(folder, "--workers", "1")
    commit_change(folder, "p2", model__py=model_source(BASE="1.1", STREAM="2"))
    stop_judge(os.killpg, signal.SIGKILL)
    commit_change(folder, "p3", model__py=model_source(BASE="1.2", STREAM="3"))
    judge(folder, "--workers", "1")
    git(folder, "checkout", "-q", "p2")  # which is taken up again after another one was judged
    judge(folder, "--workers", "1")

    proposals = read_record(folder).proposals
    assert [(p.outcome, p.pairs) for p in proposals] == [("keep", 5), ("discard", 2), ("discard", 2)]
    assert len({seed for p in proposals for seed in p.seeds}) == 3 * 5
    assert count_trials(folder) == 2 * (5 + 2 + 2), "each pair of each look once"
    distances = [
        load_plan(f"night-000{n}", Ledger(folder / "results")).repetition_differences for n in (1, 2, 3)
    ]
    assert distances[0]["loss"] > 0
    assert distances == distances[:1] * 3
    pages = [folder / f"out/night/night-000{number}/index.html" for number in (1, 2, 3)]
    assert all("Not deterministic" in page.read_text() for page in pages)


def test_a_chain_with_a_missing_or_damaged_file_is_refused(project: Path) -> None:
    for _ in range(2):
        judge(project, candidate="main" if not (project / "results").exists() else "HEAD")
    folder = project / "results" / "chains" / "night"
    first = folder / "0001.json"
    text = first.read_text()
    first.write_text(text.replace("refused", "discard"))
    with pytest.raises(BadInput, match="damaged"):
        read_chain(folder)
    first.unlink()
    code, facts = judge(project)
    assert code == 2 and "0001.json" in facts["reason"]


def test_seeds_that_the_ledger_has_are_not_drawn(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge(project)
    used = Ledger(project / "results").list_seeds()
    proposal = read_record(project).proposals[0]
    assert used <= {*proposal.seeds}
    seed = min(used)
    draws = iter([seed, seed + 1, seed + 1, seed + 2])
    monkeypatch.setattr("secrets.randbelow", lambda _: next(draws))
    assert draw_seeds(2, {seed}) == (seed + 1, seed + 2)
