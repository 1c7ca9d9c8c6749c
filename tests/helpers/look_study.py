"""A study of `look_trials` in a folder, and `unrolled` with these trials for its work."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from tests.helpers.command_process import TEXT, make_environment
from tests.helpers.command_without_mlflow import SilentWriter
from tests.helpers.look_trials import log
from tests.helpers.new_process import new_fork_server
from tests.helpers.processes import ProgramGroup, helpers_path
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans import plan_store
from unrolled.ablations.publishing.plan_comparison import compare_plan
from unrolled.ablations.publishing.plan_page import read_page_results
from unrolled.ablations.runner.parallel import TrialConditions

if TYPE_CHECKING:
    from unrolled.reports.compare.comparison import Comparison

STUDY = """
name = "looks"
question = "Which width?"
metrics = [{ name = "valid_loss", delta = 0.05 }, { name = "valid_accuracy", delta = 0.02 }]
looks = [5, 6, 8]
to_the_end = true
aa = true
[baseline]
model = "lm4"
corpus = "text.txt"
[design.one_at_a_time]
hidden = [8, 24, 32]
[[arm]]
name = "another task"
set = { hidden = 48, split = "blocks" }
"""


def log_page(comparison: "Comparison", out: Path) -> Path:
    """Write the page's looks to the log, in place of the page."""
    looks_taken = max(arm.contrast.look.k + 1 for arm in comparison.arms_with_contrast if arm.contrast)
    log(f"page {looks_taken} 0")
    return out / "index.html"


def return_nothing(*_: object) -> tuple[()]:
    """Stand in for a step of the command."""
    return ()


@contextmanager
def replace_trials() -> Iterator[None]:
    """Give the command these trials for its work, and neither MLflow nor pages, within the block."""
    from unrolled.ablations.training import run_studies, study_run

    def conditions(*args: Any) -> TrialConditions:
        return replace(choose_conditions(*args), run_import="tests.helpers.look_trials:act", preload=())

    choose_conditions = study_run.make_trial_conditions
    with ExitStack() as stack:
        for module, name, stand_in in (
            (study_run, "make_trial_conditions", conditions),
            (study_run, "render_page", log_page),
            (run_studies, "render_page", log_page),
            (run_studies, "Writer", SilentWriter),
            *((run_studies, name, return_nothing) for name in ("make_mlflow_report", "check_first_batches")),
        ):
            stack.enter_context(patch.object(module, name, stand_in))
        yield


class StudyOnDisk:
    """A folder with the study, in which the command runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = ""  # of the last run
        self.programs = ProgramGroup()
        self.log = folder / "log"
        self.ledger = Ledger(folder / "results")
        self.log.touch()
        self.variables = {"PYTHONPATH": helpers_path(), "LOG": str(self.log)}
        (folder / "text.txt").write_text(TEXT * 7)  # as long as its batches are
        (folder / "looks.toml").write_text(STUDY)

    def start(self, *words: str, **variables: str) -> "subprocess.Popen[str]":
        return self.programs.start(
            *(sys.executable, "-m", "tests.helpers.look_study", "run", "looks.toml", *words),
            cwd=self.folder,
            env=make_environment(self.folder, **self.variables, **variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *words: str, code: int = 0, **variables: str) -> str:
        """Run the command to its end, in this process; keep its output, and return it."""
        from tests.helpers.command_call import run_command

        with new_fork_server(), replace_trials():
            completed = run_command(self.folder, "run", "looks.toml", *words, **self.variables, **variables)
        self.output = completed.stdout + completed.stderr
        assert completed.returncode == code, self.output
        return self.output

    def list_logged(self, event: str) -> list[tuple[int, int]]:
        """Return width and seed of every trial that started, or ended, in order."""
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return [(int(hidden), int(seed)) for word, hidden, seed in lines if word == event]

    def list_trained_trials(self) -> set[tuple[int, int]]:
        """Return width and seed of every result in the ledger."""
        results = self.ledger.read_results(self.ledger.find_result_files()).values()
        return {(int(result.trial.flat_settings()["hidden"]), result.trial.seed) for result in results}

    def compare(self) -> "Comparison":
        """Return the comparison of the study's results, whatever was seen before."""
        plan = plan_store.load_plan("looks", self.ledger)
        results = read_page_results(plan, self.ledger)
        return compare_plan(
            replace(plan, seen_pairs={}, earlier_number_hashes=(), earlier_verdicts={}), results
        )

    def list_states(self) -> dict[str, str]:
        """Return "decided" or "open" for each contrast, by its arm."""
        return {arm.name: arm.state.text for arm in self.compare().arms if arm.state.has_contrast}

    def outcome(self) -> tuple[str, ...]:
        """Return each table of the study and the words of each verdict."""
        from unrolled.reports.page.exports import write_comparison_csv

        comparison = self.compare()
        views = (comparison, *comparison.other_views)
        return (
            *map(write_comparison_csv, views),
            *(str(arm.verdict) for view in views for arm in view.arms),
        )


if __name__ == "__main__":
    from unrolled.ablations.cli import main

    with replace_trials():
        sys.exit(main())
