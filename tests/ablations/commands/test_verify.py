"""`unrolled verify`, and who tells of another kind of machine: real trials in real processes."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.helpers.command_call import check_command, run_command
from tests.helpers.command_process import write_study
from tests.helpers.new_process import new_fork_server
from unrolled.ablations.cli import main
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.runner.parallel import TrialConditions
from unrolled.ablations.training import replay
from unrolled.ablations.training.replay import (
    Replay,
    allow_for_noise,
    describe_difference,
    draw_sample,
    replay_trials,
)
from unrolled.bench.errors import BadInput
from unrolled.bench.metric import Metric
from unrolled.bench.program.program_trial import ProgramTrial
from unrolled.bench.study_rules import StudyRules
from unrolled.bench.trial import Result

pytestmark = pytest.mark.usefixtures("skip_mlflow_in_module")

ARMS = """
[[arm]]
name = "other text"
set = { corpus = "other.txt" }
[[arm]]
name = "too steep"
set = { lr = 1e30 }
[[arm]]
name = "last"
"""


def write_project(folder: Path, last: str = "hidden = 16") -> Path:
    """Write a study of four arms, the last of which has the setting `last`, and return its folder."""
    lines = 'seeds = 1\nmetrics = [{ name = "valid_loss", delta = 0.5 }]'
    return write_study(folder, seeds=lines, widths=(), epochs=2, arms=f"{ARMS}set = {{ {last} }}\n")


@pytest.fixture(scope="module")
def finished_project(tmp_path_factory) -> Path:
    """Return the folder of the study after a run."""
    folder = write_project(tmp_path_factory.mktemp("trained"))
    (folder / "other.txt").write_text("a dog and a cat and a bird sat on a mat , said the cat . " * 60)
    check_command(folder, "run", "small.toml", "-j", "1")
    return folder


@pytest.fixture
def folder(finished_project: Path, tmp_path: Path, monkeypatch) -> Path:
    """Return a copy of the folder, in which this process works."""
    monkeypatch.chdir(shutil.copytree(finished_project, tmp_path / "study"))
    return Path.cwd()


@pytest.fixture
def verify(folder: Path) -> Callable[..., tuple[int, str]]:
    def verify(*words: str) -> tuple[int, str]:
        process = run_command(folder, "verify", "small", *words)
        return process.returncode, process.stdout

    return verify


def load_project_plan(folder: Path) -> Plan:
    """Return the plan of the study."""
    return plan_store.load_plan("small", Ledger(folder / "results"))


def list_results(folder: Path, status: str) -> list[Result]:
    """Return the results with this status."""
    ledger = Ledger(folder / "results")
    return [
        result
        for id in ledger.find_result_files()
        if (result := ledger.read_result(id)) and result.status == status
    ]


def test_verify_finds_the_same_numbers_in_fresh_processes_a_divergence_included(folder, verify) -> None:
    assert (len(list_results(folder, "done")), len(list_results(folder, "diverged"))) == (3, 1)
    assert verify() == (0, "4 of 4 bit-identical\n")
    assert verify("-n", "3") == (0, "3 of 3 bit-identical\n")


def test_verify_finds_losses_that_were_changed_and_sealed_again(folder, verify) -> None:
    def improve_loss(result: Result) -> Result:
        first, (epoch, loss) = result.curves["valid_loss"]
        return replace(result, curves={**result.curves, "valid_loss": (first, (epoch, loss - 0.25))})

    for result in (results := list_results(folder, "done")):
        Ledger(folder / "results").record_result(improve_loss(result))
    last_loss = results[-1].curves["valid_loss"][1][1]
    code, output = verify()
    assert code == 1 and output.endswith("1 of 4 bit-identical, 3 not\n")
    assert f"valid_loss at 1 {last_loss - 0.25!r} in the ledger, {last_loss!r} in the replay\n" in output


def test_failed_trials_are_counted_as_not_trained_again(folder, verify) -> None:
    result = list_results(folder, "done")[0]
    ledger = Ledger(folder / "results")
    ledger.remove_result(result.trial.id)
    ledger.record_result(replace(result, status="failed", reason="out of memory", metrics={}, curves={}))
    assert verify() == (0, "not trained again: 1 failed trial\n3 of 3 bit-identical\n")


def test_a_result_without_its_details_is_not_drawn(folder, verify, capsys) -> None:
    shutil.rmtree("results/details")
    ledger = Ledger(Path("results"))
    with pytest.raises(BadInput, match="has no finished trial"):
        draw_sample(plan_store.load_plan("small", ledger), ledger, 1)
    assert capsys.readouterr().err.count("its details are damaged or missing") == 4


def test_nobody_can_know_which_trials_are_trained_again(finished_project) -> None:
    ledger = Ledger(finished_project / "results")
    ids = {draw_sample(plan_store.load_plan("small", ledger), ledger, 1)[0].trial.id for _ in range(64)}
    assert len(ids) > 1  # 4 trials: the same one 64 times has a chance of 4^-63


def test_an_interrupted_replay_is_no_difference(folder, verify, monkeypatch) -> None:
    monkeypatch.setattr(
        replay,
        "replay_trials",
        lambda results, *_: [Replay(r, "", "interrupted", was_interrupted=True) for r in results],
    )
    assert verify() == (130, "0 of 4 bit-identical, 4 could not be replayed (interrupted: 4)\n")


def program_result(accuracy: float, status: str = "done", **metrics: float) -> Result:
    """Return a result of a program with these metrics."""
    return Result(
        trial=ProgramTrial(seed=0, run="./train"), status=status, metrics={"accuracy": accuracy, **metrics}
    )


@pytest.mark.parametrize(
    ("stored", "new", "is_explained", "trainings"),
    [
        (program_result(0.5), [0.6, 0.6], False, 1),  # the new ones agree: the stored one was changed
        (program_result(0.5), [0.6, 0.62], False, 3),
        (program_result(0.5), [0.6, 0.65], True, 1),
        (program_result(0.5), [0.6, 0.61, 0.64], True, 2),  # the first two were close by chance
        (program_result(0.6, clicks=1.0), [0.6, 0.6], True, 1),  # what is judged is the same
        (program_result(0.5, clicks=1.0), [0.6, 0.6], False, 3),
        (program_result(0.5, "diverged"), [0.6, 0.8], False, 3),
    ],
)
def test_noise_explains_a_judged_difference_up_to_four_times_its_size(
    monkeypatch, stored: Result, new: list[float], is_explained: bool, trainings: int
) -> None:
    clicks = ({"clicks": 2.0 + n} if "clicks" in stored.metrics else {} for n in range(9))
    new_result, *results = [program_result(accuracy, **next(clicks)) for accuracy in [*new, *new[-1:] * 3]]
    queue = iter(results)
    monkeypatch.setattr(
        replay, "run_in_temporary_ledger", lambda trials, _: ({trials[0].id: next(queue)}, False)
    )
    plan: Any = SimpleNamespace(
        rules=StudyRules(name="s", question="?", metrics=(Metric("accuracy", 0.01),)),
        tolerances={},
        make_result_in_study=lambda result: result,
    )
    outcomes = [Replay(stored, describe_difference(stored, new_result, plan), new_result=new_result)]
    (outcome,), _ = allow_for_noise(outcomes, plan, TrialConditions())
    assert (outcome.difference == "") is is_explained
    assert len(results) - len(list(queue)) == trainings


def test_another_step_of_a_divergence_is_named(finished_project) -> None:
    result = list_results(finished_project, "diverged")[0]
    altered = replace(result, reason=result.reason.replace("step 2", "step 9"))
    difference = describe_difference(altered, result, load_project_plan(finished_project))
    assert re.search("is nan at step 9.* in the ledger, .*is nan at step 2.* in the replay", difference)


def test_a_trial_of_other_versions_is_named_with_its_loss_distance(folder) -> None:
    result = list_results(folder, "done")[0]
    metrics = {**result.metrics, "valid_loss": result.metrics["valid_loss"] + 0.125}
    altered = replace(result, trial=replace(result.trial, versions="torch 0.4.1"), metrics=metrics)
    conditions = TrialConditions(preload=("unrolled.bench.chapter.warm_up",))
    (outcome,) = replay_trials([altered], conditions, load_project_plan(folder))
    assert re.fullmatch(r"torch 0.4.1 → [\d.]+, by which valid_loss is 0.12 apart", outcome.obstacle)


def test_the_step_and_tensor_where_the_last_bit_differs_are_named(
    folder, restore_registries, monkeypatch
) -> None:
    import torch

    from unrolled.bench.chapter.chapter_run import run_trial
    from unrolled.bench.chapter.training.record import TrainingRecord

    result = list_results(folder, "done")[0]
    step = TrainingRecord.add_step

    def add_changed_step(self, loss, lr, mom, weights):
        weights = list(weights)
        if len(self.losses) == 4:  # in the fifth step
            bias = dict(weights)["h_h.bias"].data
            bias[3] = torch.nextafter(bias[3], torch.tensor(9.0))
        step(self, loss, lr, mom, weights)

    monkeypatch.setattr(TrainingRecord, "add_step", add_changed_step)
    difference = describe_difference(run_trial(result.trial), result, load_project_plan(folder))
    assert difference.startswith("differs from step 5, tensor h_h.bias: train_loss at 0 ")


def test_verify_counts_what_it_cannot_replay_and_says_why(folder, verify, capsys) -> None:
    with Path("other.txt").open("a") as file:
        file.write("and more")
    output = "3 of 4 bit-identical, 1 could not be replayed (other.txt was edited: 1)\n"
    assert verify() == (1, output)
    Path("other.txt").unlink()
    code, output = verify()
    assert code == 1
    assert "could not be replayed (corpus other.txt: No such file or directory; give the path" in output
    Path("text.txt").write_text("all is new " * 900)
    assert verify()[1].startswith("0 of 4 bit-identical, 4 could not be replayed (text.txt was edited: 3; ")


def test_verify_counts_trials_whose_plugin_is_missing_or_was_edited(folder, verify, capsys) -> None:
    plugin = Path("mine.py")
    assert main(["new", "cell", str(plugin)]) == 0
    write_project(folder, 'model = "mine"')
    check_command(folder, "run", "small.toml", "-j", "1", "--plugin", "mine.py")
    capsys.readouterr()
    code, output = verify()
    assert code == 1 and output.startswith("3 of 4 bit-identical, 1 could not be replayed (")
    assert "'mine'" in output
    plugin.write_text(plugin.read_text() + "\n# edited\n")
    code, output = verify("--plugin", "mine.py")
    assert (code, output) == (
        1,
        "3 of 4 bit-identical, 1 could not be replayed (the plug-in was edited: 1)\n",
    )


def test_results_of_another_machine_kind_are_named(folder, verify) -> None:
    """The baseline and two arms by one CPU capability, and an arm that is declared later by another one."""
    capability = list_results(folder, "done")[0].provenance["cpu_capability"]
    if capability == "DEFAULT":
        pytest.skip("this CPU has no other capability")
    difference = f"cpu capability {capability} / DEFAULT"
    write_project(folder, "hidden = 12")
    with new_fork_server():
        output = check_command(folder, "run", "small.toml", "-j", "1", ATEN_CPU_CAPABILITY="default")
    pairs = f"1 of 2 pairs compares results of two kinds of machine ({difference}): their differences include"
    assert f"small: WARNING: {pairs} rounding of the machine\n" in output

    page, index = (Path("out", name).read_text() for name in ("small/index.html", "index.html"))
    answer = page[page.index('id="answer"') : page.index("</section>")]
    assert pairs in answer and pairs in index
    assert f"1 of 2 pairs of speeds not compared: unlike machines: {difference}." in page

    code, output = verify()
    reverse = f"cpu capability DEFAULT / {capability}"
    assert code == 1 and output.endswith("3 of 4 bit-identical, 1 not\n")
    assert f"; trained on another kind of machine, then / now: {reverse}, by which valid_loss is " in output
