"""The device of a study: what is asked for, what its stored plan has, and what is the default."""

import os
from pathlib import Path

import pytest

from tests.helpers.command_call import PrintedCounts, check_command, read_trial_counts, refuse_command
from tests.helpers.command_process import write_sitecustomize, write_study
from tests.helpers.new_process import new_fork_server
from tests.helpers.nvml_stand_in import VARIABLE, Machine, uuid
from tests.helpers.processes import ROOT
from tests.helpers.study_rules import change_rules
from unrolled.ablations.api import run
from unrolled.ablations.cli import main
from unrolled.ablations.commands.plan import print_plans
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import PlanOptions, RunOptions
from unrolled.ablations.study import loading
from unrolled.ablations.study.study import Study
from unrolled.ablations.training import device
from unrolled.bench.errors import BadInput
from unrolled.bench.hardware import devices
from unrolled.bench.hardware.machine_kind import find_machine_kind
from unrolled.bench.metric import Metric

pytestmark = pytest.mark.usefixtures("skip_mlflow")

CLUSTER = "tcp://127.0.0.1:1"
TIMED = (Metric("seconds", 5.0, ratio=True),)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(write_study(tmp_path, "tiny", "seeds = 8", widths=(), epochs=3, hidden=8))
    return tmp_path


def make_study(name: str, **program) -> Study:
    """Return a shipped study, or a program's."""
    if name != "program":
        return loading.load_study(name)
    table = {"run": "./train {seed}", **program}
    return loading.declare_study("mine", program=table, baseline={}, metrics=[{"name": "loss", "delta": 0.1}])


def make_timed_study(name: str) -> Study:
    """Return a study that judges seconds."""
    return change_rules(make_study(name), metrics=TIMED)


def choose_device(name: str, requested: str = "auto", stored: str = "", **flags) -> device.DeviceChoice:
    """Return the device that is chosen for a study."""
    return device.choose_device(make_study(name), PlanOptions(device=requested, **flags), stored)


@pytest.mark.parametrize("gpus", [0, 1, 16])
def test_the_chapter_trains_on_the_cpu_and_counts_unused_gpus(nvml: Machine, gpus: int) -> None:
    nvml.has(gpus)
    default = choose_device("toggles")
    assert default.type == "cpu"
    assert (f"{gpus} GPU" in str(default)) is ("not used" in str(default)) is bool(gpus)
    assert str(default).count("\n") == 0


@pytest.mark.parametrize(("gpus", "kind"), [(0, "cpu"), (1, "cuda")])
def test_a_program_gets_the_gpus_that_are_visible(nvml: Machine, gpus: int, kind: str) -> None:
    nvml.has(gpus)
    assert choose_device("program").type == kind


@pytest.mark.parametrize("name", ["toggles", "program"])
@pytest.mark.parametrize(
    ("requested", "stored", "kind"),
    [
        ("cuda", "", "cuda"),
        ("gpu", "cpu", "cuda"),
        ("cpu", "cuda", "cpu"),
        ("auto", "cuda", "cuda"),
        ("auto", "cpu", "cpu"),
    ],
)
def test_a_device_is_the_one_asked_for_or_the_stored_plans(
    nvml: Machine, name: str, requested: str, stored: str, kind: str
) -> None:
    nvml.has(1)
    assert choose_device(name, requested, stored).type == kind


@pytest.mark.parametrize("name", ["toggles", "program"])
@pytest.mark.parametrize(
    ("requested", "stored", "kind"), [("auto", "", "cpu"), ("cuda", "", "cuda"), ("auto", "cuda", "cuda")]
)
def test_on_a_cluster_the_driver_needs_no_gpu_and_asks_for_none(
    nvml: Machine, name: str, requested: str, stored: str, kind: str
) -> None:
    choice = choose_device(name, requested, stored, cluster=CLUSTER)
    assert choice.type == kind and choice.hides_gpus


def test_gpus_are_hidden_from_a_program_whose_device_is_the_cpu(nvml: Machine) -> None:
    """A machine may have GPUs of which NVML does not tell, and an instance of a divided one is none."""
    assert not choose_device("program").hides_gpus and choose_device("program", "cpu").hides_gpus
    nvml.has(1)
    assert choose_device("program", stored="cpu").hides_gpus
    assert choose_device("toggles").hides_gpus


def test_a_study_of_speed_is_refused_on_a_cluster() -> None:
    with pytest.raises(BadInput) as excinfo:
        device.choose_device(make_timed_study("toggles"), PlanOptions(cluster=CLUSTER), "")
    assert excinfo.value.place == "--cluster" and "seconds" in excinfo.value.rule


def test_where_speed_is_judged_one_trial_runs_at_a_time(nvml: Machine) -> None:
    nvml.has(2)
    study = make_timed_study("program")
    assert device.choose_device(study, PlanOptions(workers=4), "").slots == 1


@pytest.mark.parametrize(
    ("gpus", "gpus_per_trial", "workers", "places"),
    [
        (1, 1, None, 1),
        (2, 1, None, 2),
        (1, 1, 3, 3),
        (2, 1, 1, 1),
        (4, 2, None, 2),
        (5, 2, None, 2),
        (4, 4, 2, 2),
    ],
)
def test_a_gpu_trains_one_trial_unless_more_are_asked_for(
    nvml: Machine, gpus: int, gpus_per_trial: int, workers: int | None, places: int
) -> None:
    nvml.has(gpus)
    study = make_study("program", gpus=gpus_per_trial)
    choice = device.choose_device(study, PlanOptions(workers=workers), "")
    assert (choice.type, choice.slots, len(choice.gpus)) == ("cuda", places, gpus)


@pytest.mark.parametrize("gpus", [0, 1])
def test_more_gpus_a_trial_than_are_visible_are_refused(nvml: Machine, gpus: int) -> None:
    nvml.has(gpus)
    study = make_study("program", gpus=2)
    with pytest.raises(BadInput) as excinfo:
        device.choose_device(study, PlanOptions(), "")
    assert excinfo.value.place == "device cuda"
    assert "--device cpu" in excinfo.value.cure
    assert device.choose_device(study, PlanOptions(device="cpu"), "").type == "cpu"


def test_gpus_unused_by_a_stored_plan_on_the_cpu_are_told_of(nvml: Machine) -> None:
    nvml.has(2)
    for stored, gpus, has_line in (("cpu", 2, True), ("cpu", 1, False), ("cuda", 2, False)):
        choice = device.choose_device(make_study("program", gpus=gpus), PlanOptions(), stored)
        assert (choice.type, "`gpus`" in str(choice)) == (stored, has_line)


def test_gpus_count_in_the_identity_of_a_trial_that_gets_several(nvml: Machine) -> None:
    single, double = (make_study("program", gpus=number).baseline for number in (1, 2))
    assert single.make_unidentified_trial().id == double.make_unidentified_trial().id, (
        "on the CPU there are none"
    )
    assert single.make_unidentified_trial(device="cuda").to_dict()["gpus"] == 1
    assert (
        single.make_unidentified_trial(device="cuda").id != double.make_unidentified_trial(device="cuda").id
    )


def test_a_plan_tells_on_how_many_gpus_it_would_run(nvml: Machine, folder: Path, capsys) -> None:
    nvml.has(5)
    write_program(folder)
    assert main(["plan", "mine.toml"]) == 0
    assert " on 4 GPUs\n" in capsys.readouterr().out
    assert print_plans([make_study("toggles")], PlanOptions(device="cuda", workers=3)) == 0
    assert " on 3 GPUs\n" in capsys.readouterr().out


@pytest.mark.parametrize("gpus", [0, 1])
def test_a_gpu_that_torch_cannot_use_is_refused_before_the_first_trial(
    nvml: Machine, folder: Path, gpus: int
) -> None:
    """The driver is a stand-in, so that torch finds no such GPU."""
    nvml.has(gpus)
    with pytest.raises(BadInput) as excinfo:
        run("tiny.toml", RunOptions(device="cuda"))
    assert excinfo.value.place == "device cuda"
    assert not list(folder.glob("results/trials/*"))


def test_two_trials_have_a_gpu_each_and_the_study_stays_on_gpus(
    nvml: Machine, folder: Path, monkeypatch
) -> None:
    """Trained on the CPU, in processes that see one stand-in for a GPU each."""
    nvml.has(2)
    monkeypatch.setattr(devices, "_find_torch_fault", lambda gpus: "")
    words = ["run", "tiny.toml", "-j", "2", "--seeds", "0-1", "--device", "cuda"]
    train_with_stand_ins(folder, *words, **stand_in_variables(folder, nvml))
    ledger = Ledger(folder / "results")
    provenances = [result.provenance for result in ledger.read_results(ledger.find_result_files()).values()]
    assert sorted(provenance["gpu_uuid"] for provenance in provenances) == [uuid(0), uuid(1)]
    assert {provenance["trials_at_a_time"] for provenance in provenances} == {2}

    nvml.has(0)
    next_output = check_command(folder, "run", "tiny.toml", "--seeds", "0-1")
    assert read_trial_counts(next_output) == PrintedCounts(stored=2), "nothing needs a GPU"
    for words in (["run", "tiny.toml", "--seeds", "0-9"], ["verify", "tiny", "-n", "2"]):
        assert "device cuda" in refuse_command(folder, *words)


def stand_in_variables(folder: Path, nvml: Machine) -> dict[str, str]:
    """Return the variables by which the processes of a command see stand-ins for GPUs.

    They are loaded by name, as a program's identity would follow an import to every file of this project.
    """
    code = "import importlib; importlib.import_module('tests.helpers.cuda_stand_in')"
    path = write_sitecustomize(folder, code)
    return {"PYTHONPATH": f"{path}{os.pathsep}{ROOT}", VARIABLE: str(nvml.path)}


def train_with_stand_ins(folder: Path, *words: str, **variables: str) -> str:
    """Run a command whose trials see these variables, and return its output."""
    with new_fork_server():
        return check_command(folder, *words, **variables)


STUDY = """
name = "mine"
question = "Which GPUs are there?"
metrics = [{ name = "loss", delta = 0.1 }]
seeds = 1
[program]
run = "python train.py {seed} {width}"
code = ["train.py"]
gpus = 2
[baseline]
width = 1
[design.one_at_a_time]
width = [2]
"""
TRAIN = """
import json, os, sys
seed, width = map(int, sys.argv[1:])
with open("seen", "a") as file:
    print(os.environ.get("CUDA_VISIBLE_DEVICES", "all"), file=file)
print(json.dumps({"loss": seed + width / 7}))
"""


def write_program(folder: Path, study: str = STUDY) -> None:
    """Write a program and its study."""
    (folder / "mine.toml").write_text(study)
    (folder / "train.py").write_text(TRAIN)


def test_a_program_trains_on_visible_gpus_and_stays_there(nvml: Machine, folder: Path) -> None:
    write_program(folder)
    nvml.has(2)
    stand_ins = stand_in_variables(folder, nvml)
    train_with_stand_ins(folder, "run", "mine.toml", **stand_ins)
    assert {*(folder / "seen").read_text().split()} == {f"{uuid(0)},{uuid(1)}"}
    ledger = Ledger(folder / "results")
    results = ledger.read_results(ledger.find_result_files()).values()
    assert {result.trial.device for result in results} == {"cuda"}
    assert {find_machine_kind(result.provenance)["gpu"] for result in results} == {"NVIDIA Stand-in"}
    train_with_stand_ins(folder, "verify", "mine.toml", "-n", "1", **stand_ins)
    nvml.has(0)
    errors = refuse_command(folder, "run", "mine.toml", "--seeds", "0-1")
    assert errors.count("\n") == 1, "the CPU would give other numbers"


def test_without_a_visible_gpu_a_program_keeps_what_its_user_has_set(nvml: Machine, folder: Path) -> None:
    write_program(folder, STUDY.replace("gpus = 2\n", ""))
    variables = {**stand_in_variables(folder, nvml), "CUDA_VISIBLE_DEVICES": "MIG-0"}
    train_with_stand_ins(folder, "run", "mine.toml", **variables)
    assert {*(folder / "seen").read_text().split()} == {"MIG-0"}
