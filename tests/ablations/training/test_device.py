"""The device of a study: what is asked for, what its stored plan has, and what is the default."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from as_typed import started_with, succeed_as_typed, write
from called import call, succeed
from nvml_stand_in import VARIABLE, Machine, uuid

from unrolled.ablations.cli import main
from unrolled.ablations.commands.plan import print_plans
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import PlanOptions
from unrolled.ablations.study import loading
from unrolled.ablations.study.study import Study
from unrolled.ablations.training import device
from unrolled.bench.errors import BadInput
from unrolled.bench.machine_kind import find_machine_kind
from unrolled.bench.metric import Metric

STAND_INS = Path(__file__).parents[2] / "stand_ins"
CLUSTER = "tcp://127.0.0.1:1"
TIMED = (Metric("seconds", 5.0, ratio=True),)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(write(tmp_path, "tiny", "seeds = 8", widths=(), epochs=3, hidden=8))
    return tmp_path


def study(name: str, **program) -> Study:
    """A study that ships, or that of a program."""
    if name != "program":
        return loading.load_study(name)
    table = {"run": "./train {seed}", **program}
    return loading.declare_study("mine", program=table, baseline={}, metrics=[{"name": "loss", "delta": 0.1}])


def chosen(name: str, asked: str = "auto", stored: str = "", **flags) -> device.Device:
    return device.choose_device(study(name), PlanOptions(device=asked, **flags), stored)


@pytest.mark.parametrize("gpus", [0, 1, 16])
def test_the_chapter_is_trained_on_the_cpu_and_a_line_tells_of_gpus_that_are_not_used(
    nvml: Machine, gpus: int
) -> None:
    nvml.has(gpus)
    by_default = chosen("toggles")
    assert by_default.kind == "cpu"
    assert (f"{gpus} GPU" in str(by_default)) is ("not used" in str(by_default)) is bool(gpus)
    assert str(by_default).count("\n") == 0


@pytest.mark.parametrize(("gpus", "kind"), [(0, "cpu"), (1, "cuda")])
def test_a_program_gets_the_gpus_that_are_visible(nvml: Machine, gpus: int, kind: str) -> None:
    nvml.has(gpus)
    assert chosen("program").kind == kind


@pytest.mark.parametrize("name", ["toggles", "program"])
@pytest.mark.parametrize(
    ("asked", "stored", "kind"),
    [
        ("cuda", "", "cuda"),
        ("gpu", "cpu", "cuda"),
        ("cpu", "cuda", "cpu"),
        ("auto", "cuda", "cuda"),
        ("auto", "cpu", "cpu"),
    ],
)
def test_a_device_is_the_one_that_is_asked_for_or_that_of_the_stored_plan(
    nvml: Machine, name: str, asked: str, stored: str, kind: str
) -> None:
    nvml.has(1)
    assert chosen(name, asked, stored).kind == kind


@pytest.mark.parametrize("name", ["toggles", "program"])
@pytest.mark.parametrize(
    ("asked", "stored", "kind"), [("auto", "", "cpu"), ("cuda", "", "cuda"), ("auto", "cuda", "cuda")]
)
def test_on_a_cluster_the_driver_needs_no_gpu_and_asks_for_none(
    nvml: Machine, name: str, asked: str, stored: str, kind: str
) -> None:
    on_workers = chosen(name, asked, stored, cluster=CLUSTER)
    assert on_workers.kind == kind and on_workers.hides_gpus


def test_gpus_are_hidden_from_a_program_only_where_its_device_is_the_cpu_beside_them(nvml: Machine) -> None:
    """A machine may have GPUs of which NVML does not tell, and an instance of a divided one is none."""
    assert not chosen("program").hides_gpus and chosen("program", "cpu").hides_gpus
    nvml.has(1)
    assert chosen("program", stored="cpu").hides_gpus
    assert chosen("toggles").hides_gpus


def test_a_study_of_speed_is_refused_on_a_cluster_that_trains_several_trials_at_a_time() -> None:
    with pytest.raises(BadInput) as refused:
        device.choose_device(replace(study("toggles"), metrics=TIMED), PlanOptions(cluster=CLUSTER), "")
    assert refused.value.place == "--cluster" and "seconds" in refused.value.rule


def test_where_speed_is_judged_one_trial_runs_at_a_time(nvml: Machine) -> None:
    nvml.has(2)
    timed = replace(study("program"), metrics=TIMED)
    assert device.choose_device(timed, PlanOptions(workers=4), "").slots == 1


@pytest.mark.parametrize(
    ("gpus", "each", "asked", "places"),
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
def test_a_gpu_trains_one_trial_at_a_time_unless_more_are_asked_for(
    nvml: Machine, gpus: int, each: int, asked: int | None, places: int
) -> None:
    nvml.has(gpus)
    mine = study("program", gpus=each)
    on_gpus = device.choose_device(mine, PlanOptions(workers=asked), "")
    assert (on_gpus.kind, on_gpus.slots, len(on_gpus.gpus)) == ("cuda", places, gpus)


@pytest.mark.parametrize("gpus", [0, 1])
@pytest.mark.parametrize("word", ["plan", "run"])
def test_more_gpus_a_trial_than_are_visible_are_one_line_before_anything_is_trained(
    nvml: Machine, folder: Path, capsys, word: str, gpus: int
) -> None:
    nvml.has(gpus)
    write_program(folder)
    assert main([word, "mine.toml"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "device cuda: " in error and "--device cpu" in error
    assert not list(folder.glob("results/trials/*"))
    assert main(["plan", "mine.toml", "--device", "cpu"]) == 0


def test_gpus_that_a_stored_plan_on_the_cpu_does_not_give_are_told_of(nvml: Machine) -> None:
    nvml.has(2)
    for stored, gpus, is_told in (("cpu", 2, True), ("cpu", 1, False), ("cuda", 2, False)):
        kept = device.choose_device(study("program", gpus=gpus), PlanOptions(), stored)
        assert (kept.kind, "`gpus`" in str(kept)) == (stored, is_told)


def test_gpus_count_in_the_identity_of_a_trial_that_gets_several(nvml: Machine) -> None:
    one, two = (study("program", gpus=number).baseline for number in (1, 2))
    assert one.make_trial().id == two.make_trial().id, "on the CPU there are none"
    assert "gpus" not in one.make_trial(device="cuda").to_dict(), "as in results before there was the key"
    assert one.make_trial(device="cuda").id != two.make_trial(device="cuda").id


def test_a_plan_tells_on_how_many_gpus_it_would_run(nvml: Machine, folder: Path, capsys) -> None:
    nvml.has(5)
    write_program(folder)
    assert main(["plan", "mine.toml"]) == 0
    assert " on 4 GPUs\n" in capsys.readouterr().out
    assert print_plans([study("toggles")], PlanOptions(device="cuda", workers=3)) == 0
    assert " on 3 GPUs\n" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["plan", "run"])
def test_cuda_without_a_gpu_is_one_line_before_anything_is_trained(
    nvml: Machine, folder: Path, capsys, word: str
) -> None:
    assert main([word, "tiny.toml", "--device", "cuda"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("unrolled: device cuda: no GPU is visible; ") and error.count("\n") == 1
    assert not list(folder.glob("results/trials/*"))


def test_a_gpu_that_torch_cannot_use_is_one_line_before_the_first_trial(
    nvml: Machine, folder: Path, capsys
) -> None:
    """The driver is a stand-in, and torch finds no such GPU."""
    nvml.has(1)
    assert main(["run", "tiny.toml", "--device", "cuda"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("unrolled: device cuda: torch cannot use a visible GPU (GPU 0: ")
    assert error.count("\n") == 1 and "https://pytorch.org" in error and "--device cpu" in error
    assert not list(folder.glob("results/trials/*"))


def test_two_trials_at_a_time_have_a_gpu_each_and_the_study_stays_on_gpus(
    nvml: Machine, folder: Path
) -> None:
    """Trained on the CPU, in processes that see one stand-in for a GPU each, which the line of each names."""
    nvml.has(2)
    words = ["run", "tiny.toml", "-j", "2", "--seeds", "0-1", "--device", "cuda"]
    printed = succeed_as_typed(folder, *words, **on_stand_ins(folder, nvml))
    assert "tiny: device cuda: as --device says; " in printed
    told = re.findall(r"^\[\d/2\] .*, GPU (\d) \((GPU-[\d-]+)\)(?:;|$)", printed, re.MULTILINE)
    assert sorted(told) == [(str(i), uuid(i)) for i in range(2)], printed
    ledger = Ledger(folder / "results")
    results = ledger.results(ledger.files()).values()
    assert {result.environment["trials_at_a_time"] for result in results} == {2}

    nvml.has(0)
    kept = succeed(folder, "run", "tiny.toml", "--seeds", "0-1")
    assert "0 trained, 2 already there" in kept, "nothing needs a GPU"
    for words in (["run", "tiny.toml", "--seeds", "0-9"], ["verify", "tiny", "-n", "2"]):
        refused = call(folder, *words)
        assert (refused.returncode, "device cuda: no GPU is visible; " in refused.stderr) == (2, True)


def on_stand_ins(folder: Path, nvml: Machine) -> dict[str, str]:
    """The variables by which the processes of a command have the stand-ins for GPUs."""
    path = f"{started_with(folder, 'import cuda_stand_in')}{os.pathsep}{STAND_INS}"
    return {"PYTHONPATH": path, VARIABLE: str(nvml.path)}


MINE = """
name = "mine"
question = "Which GPUs are there?"
metrics = [{ name = "loss", delta = 0.1 }]
seeds = 2
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


def write_program(folder: Path, study: str = MINE) -> None:
    (folder / "mine.toml").write_text(study)
    (folder / "train.py").write_text(TRAIN)


def test_a_program_is_trained_on_the_visible_gpus_by_default_and_stays_there(
    nvml: Machine, folder: Path
) -> None:
    write_program(folder)
    nvml.has(2)
    stand_ins = on_stand_ins(folder, nvml)
    succeed_as_typed(folder, "run", "mine.toml", **stand_ins)
    assert {*(folder / "seen").read_text().split()} == {f"{uuid(0)},{uuid(1)}"}
    ledger = Ledger(folder / "results")
    results = ledger.results(ledger.files()).values()
    assert {result.trial.device for result in results} == {"cuda"}
    assert {find_machine_kind(result.environment)["gpu"] for result in results} == {"NVIDIA Stand-in"}
    succeed_as_typed(folder, "verify", "mine.toml", "-n", "1", **stand_ins)
    nvml.has(0)
    more = call(folder, "run", "mine.toml", "--seeds", "0-3")
    assert (more.returncode, more.stderr.count("\n")) == (2, 1), "the CPU would give other numbers"


def test_without_a_visible_gpu_a_program_keeps_what_its_user_has_set(nvml: Machine, folder: Path) -> None:
    write_program(folder, MINE.replace("gpus = 2\n", ""))
    variables = {**on_stand_ins(folder, nvml), "CUDA_VISIBLE_DEVICES": "MIG-0"}
    succeed_as_typed(folder, "run", "mine.toml", **variables)
    assert {*(folder / "seen").read_text().split()} == {"MIG-0"}
    (folder / "seen").unlink()
    succeed_as_typed(folder, "run", "mine.toml", "--device", "cpu", "--results", "others", **variables)
    assert (folder / "seen").read_text().strip("\n") == ""
