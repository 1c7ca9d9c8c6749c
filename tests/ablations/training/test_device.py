"""The device of a study: what is asked for, what its stored plan has, and what is faster."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from as_typed import started_with, unrolled, write
from called import call
from nvml_stand_in import VARIABLE, Machine, uuid

from unrolled.ablations.cli import main
from unrolled.ablations.commands.plan import minutes, print_plans
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import PlanOptions
from unrolled.ablations.study import loading
from unrolled.ablations.study.chapter import resolve
from unrolled.ablations.study.study import Study
from unrolled.ablations.training import device
from unrolled.bench import devices
from unrolled.bench.chapter import costs
from unrolled.bench.chapter.models.registry import ZOO
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.errors import BadInput
from unrolled.bench.metric import Metric

STAND_INS = Path(__file__).parents[2] / "stand_ins"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(write(tmp_path, "tiny", "seeds = 8", widths=(), epochs=3, hidden=8))
    monkeypatch.setattr(device, "cores", lambda: 16)
    return tmp_path


LARGE = [("embedding", [400]), ("hidden", [1150]), ("layers", [3])]
"""AWD-LSTM at the size of its paper: arithmetic decides."""


def study(name: str) -> Study:
    return loading.override(loading.load("awd"), sets=LARGE) if name == "large" else loading.load(name)


def chosen(name: str, asked: str = "auto", before: str = "", **flags) -> device.Device:
    return device.choose_device(study(name), PlanOptions(device=asked, **flags), before)


@pytest.mark.parametrize(
    ("gpus", "how", "told"),
    [
        (1, {"name": "toggles"}, "cpu: at most 5 min on 16 cores, 63 min on one GPU"),
        (1, {"name": "large"}, r"cuda: at most [\d.]+ h on one GPU, [\d.]+ h on 16 cores"),
        (16, {"name": "toggles"}, "cuda: at most 4 min on 16 GPUs, 5 min on 16 cores"),
        (0, {"name": "toggles"}, "cpu: no GPU is visible"),
        (0, {"name": "toggles", "asked": "auto"}, "cpu: no GPU is visible"),
        # whatever is faster now, a stored plan's device stays, but for who names another
        (1, {"name": "toggles", "before": "cuda"}, "cuda: as its stored plan has it; at most 63 min .*"),
        (1, {"name": "large", "before": "cpu"}, "cpu: as its stored plan has it; at most .*"),
        (1, {"name": "toggles", "asked": "cpu", "before": "cuda"}, "cpu: as --device says"),
        # on a cluster the driver needs no GPU
        (0, {"name": "large", "cluster": "tcp://127.0.0.1:1"}, "cpu: on a cluster, unless .*"),
        (0, {"name": "large", "cluster": "tcp://127.0.0.1:1", "asked": "cuda"}, "cuda: as --device says"),
        (0, {"name": "large", "cluster": "tcp://127.0.0.1:1", "before": "cuda"}, "cuda: as its .*"),
    ],
)
def test_the_device_is_the_one_that_is_asked_for_or_stored_or_faster(
    nvml: Machine, folder: Path, gpus: int, how: dict, told: str
) -> None:
    nvml.has(*[{}] * gpus)
    assert re.fullmatch(f"device {told}", str(chosen(**how)))


def test_a_study_of_speed_is_refused_on_a_cluster_that_trains_several_trials_at_a_time(folder: Path) -> None:
    metrics = (Metric("seconds", 5.0, ratio=True),)
    with pytest.raises(BadInput) as refused:
        device.choose_device(replace(study("toggles"), metrics=metrics), PlanOptions(cluster="tcp://:1"), "")
    assert refused.value.place == "--cluster" and "seconds" in refused.value.rule


def test_studies_lists_the_time_of_a_study_of_speed_for_one_core() -> None:
    metrics = (Metric("seconds", 5.0, ratio=True),)
    assert minutes(replace(study("toggles"), metrics=metrics), 8).endswith("on 1 core")
    assert minutes(study("toggles"), 8).endswith("on 8 cores")


@pytest.mark.parametrize(("gpus", "asked", "places"), [(1, None, 1), (2, None, 2), (1, 3, 3), (2, 1, 1)])
def test_a_gpu_trains_one_trial_at_a_time_unless_more_are_asked_for(
    nvml: Machine, folder: Path, gpus: int, asked: int | None, places: int
) -> None:
    nvml.has(*[{}] * gpus)
    large = chosen("large", workers=asked)
    assert (large.slots, large.available.gpus[0].uuid) == (places, uuid(0))


def test_costs_are_the_codes_and_no_measurement_changes_them(nvml: Machine) -> None:
    """The very figures: a choice of the past must be made again the same way."""
    seconds = {name: costs.gpu_seconds(ChapterTrial(seed=0, **resolve({"model": name}))) for name in ZOO}
    assert seconds["lm4"] == pytest.approx(1.1, abs=0.05)
    assert seconds["lm7"] == pytest.approx(0.7, abs=0.05)
    assert all(5 < seconds[name] < 8 for name in ("lstm-gates", "lstm-chunk", "gru-after", "gru-before"))
    large = study("large").baseline.trial()
    assert costs.expected_seconds(large) / costs.gpu_seconds(large) > 40, "arithmetic decides"


@pytest.mark.parametrize(
    ("settings", "times"),
    [({"batch": 128}, 0.5), ({"window": 32}, 0.75), ({"layers": 4}, 2.0), ({"epochs": 30}, 2)],
)
def test_launches_bound_a_small_model_half_of_them_by_position_and_half_by_update(
    settings: dict, times: float
) -> None:
    """Of LMModel7, with batches of 64, windows of 16, 2 layers, 15 epochs and a twentieth of arithmetic."""
    one, other = (ChapterTrial(seed=0, **resolve({"model": "lm7", **more})) for more in ({}, settings))
    assert costs.gpu_seconds(other) / costs.gpu_seconds(one) == pytest.approx(times, rel=0.06)


def test_a_plan_has_the_seconds_of_its_device(nvml: Machine, folder: Path, capsys) -> None:
    nvml.has({})
    seconds = {}
    for kind in ("cpu", "cuda"):
        assert print_plans([study("large")], PlanOptions(device=kind, workers=4)) == 0
        told = capsys.readouterr().out
        seconds[kind] = float(
            re.search(r"(\d+) seconds of training, .* on (\d+ cores?|1 GPU)$", told, re.MULTILINE)[1]
        )
    assert seconds["cpu"] / seconds["cuda"] > 20


@pytest.mark.parametrize("word", ["plan", "run"])
def test_cuda_without_a_gpu_is_one_line_before_anything_is_trained(
    nvml: Machine, folder: Path, capsys, word: str
) -> None:
    assert main([word, "tiny.toml", "--device", "cuda"]) == 2
    assert capsys.readouterr().err == (
        "unrolled: --device cuda: no GPU is visible; see `nvidia-smi -L` and CUDA_VISIBLE_DEVICES, "
        "or use --device cpu\n"
    )
    assert not list(folder.glob("results/trials/*"))


@pytest.mark.parametrize(
    ("gpu", "cuda", "why"),
    [
        ({"capability": (6, 1)}, 12_080, "GPU 0 (GPU-00000000) has compute capability 6.1, torch 2.13.0 is "),
        ({}, 11_080, "torch 2.13.0 is built for CUDA 12.8, the driver runs CUDA 11.8 at most"),
    ],
    ids=["card", "driver"],
)
def test_a_gpu_that_this_torch_cannot_use_is_not_chosen_and_cuda_is_refused_with_the_reason(
    nvml: Machine, folder: Path, capsys, gpu: dict, cuda: int, why: str
) -> None:
    nvml.has(gpu, cuda=cuda)
    told = str(chosen("large"))
    assert told.startswith(f"device cpu: {why}") and told.count("\n") == 0
    for word in ("plan", "run"):
        assert main([word, "tiny.toml", "--device", "cuda"]) == 2
        told = capsys.readouterr().err
        assert told.startswith(f"unrolled: --device cuda: {why}") and told.count("\n") == 1
        assert "https://pytorch.org" in told and "lost" not in told and "--device cpu" in told
    assert not list(folder.glob("results/trials/*"))


def test_two_trials_at_a_time_have_a_gpu_each_and_the_study_stays_on_gpus(
    nvml: Machine, folder: Path
) -> None:
    """Trained on the CPU, in processes that see one stand-in for a GPU each, which the line of each names."""
    nvml.has(*[{"used": 1000, "busy": 50}] * 2)
    path = f"{started_with(folder, 'import cuda_stand_in')}{os.pathsep}{STAND_INS}"
    seen = {"PYTHONPATH": path, VARIABLE: str(folder / "nvml.json")}
    done = unrolled(folder, "run", "tiny.toml", "-j", "2", "--seeds", "0-1", "--device", "cuda", **seen)
    assert done.returncode == 0, done.stderr
    assert "tiny: device cuda: as --device says; about " in done.stdout
    told = re.findall(r"^\[\d/2\] .*, GPU (\d) \((GPU-[\d-]+)\), ", done.stdout, re.MULTILINE)
    assert sorted(told) == [(str(i), uuid(i)) for i in range(2)], done.stdout
    ledger = Ledger(folder / "results")
    results = ledger.results(ledger.files()).values()
    assert {result.environment["trials_at_a_time"] for result in results} == {2}
    used = [result.metrics.get("gpu_memory_used") for result in results]
    assert {*used} - {None} == {1000.0}, "one that ends at once on a busy machine is not read"

    nvml.has()
    kept = call(folder, "run", "tiny.toml", "--seeds", "0-1")
    assert kept.returncode == 0 and "0 trained, 2 already there" in kept.stdout, "nothing needs a GPU"
    more = call(folder, "run", "tiny.toml", "--seeds", "0-9")
    assert (more.returncode, more.stderr) == (
        2,
        "unrolled: device cuda, as the study's stored plan has it: no GPU is visible; "
        "--device cpu trains the whole study on the CPU\n",
    )
    again = call(folder, "verify", "tiny", "-n", "2")
    assert (again.returncode, "device cuda: no GPU is visible" in again.stderr) == (2, True)


def test_a_program_gets_a_gpu_where_it_is_asked_for_whatever_torch_is_installed(
    nvml: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml.has({}, {})
    monkeypatch.setattr(devices, "torch_build", lambda: ("2.13.0", ""))
    program = {"run": "./train {seed}"}
    mine = loading.declare("mine", program=program, baseline={}, metrics=[{"name": "loss", "delta": 0.1}])
    assert device.choose_device(mine, PlanOptions(), "").kind == "cpu"
    on_gpus = device.choose_device(mine, PlanOptions(device="cuda"), "")
    assert (on_gpus.kind, on_gpus.slots, len(on_gpus.available.gpus)) == ("cuda", 2, 2)
    nvml.has()
    stored = device.choose_device(mine, PlanOptions(), "cuda")
    assert stored.kind == "cuda", "of a study that is finished, nothing needs a GPU"
    with pytest.raises(BadInput, match="--device cpu"):
        stored.check()
