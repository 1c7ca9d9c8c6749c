"""Trials of device cuda on the workers of a cluster, whose GPUs are a stand-in."""

import os
from pathlib import Path

import pytest
from gpu_trials import WORK, trial
from nvml_stand_in import Machine, uuid

from ablations.ledger import Ledger
from ablations.runner.parallel import Counts, TrialConditions, run_trials
from bench.errors import BadInput

STAND_INS = Path(__file__).parents[3] / "stand_ins"


@pytest.fixture
def with_gpus(processes, nvml: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Start a worker that sees these GPUs, `visible` of them."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import cuda_stand_in\n")
    monkeypatch.setenv("PYTHONPATH", f"{site}{os.pathsep}{STAND_INS}")
    processes.scheduler()
    nvml.has({}, {"used": 700})

    def start(*flags: str, visible: str) -> str:
        return processes.worker(*flags, CUDA_VISIBLE_DEVICES=visible)

    return start


def test_a_worker_a_gpu_gives_each_trial_its_own(with_gpus, processes, ledger: Ledger) -> None:
    for index in ("0", "1"):
        with_gpus("--resources", "GPU=1", visible=index)
    trials = [trial(seed, sleep=0.3) for seed in range(4)]
    assert run_trials(trials, ledger, TrialConditions(work=WORK, cluster=processes.address)) == Counts(done=4)
    results = ledger.results(each.id for each in trials).values()
    assert {r.environment["CUDA_VISIBLE_DEVICES"] for r in results} == {uuid(0), uuid(1)}
    for result in results:
        index = result.environment["gpu_index"]
        assert result.environment["gpu_uuid"] == uuid(int(index))
        assert result.metrics["gpu_memory_used"] == (700.0 if index == "1" else 0.0)


def test_a_worker_without_a_gpu_is_refused_for_trials_that_need_one(
    with_gpus, processes, ledger: Ledger
) -> None:
    with_gpus(visible="")
    with pytest.raises(BadInput, match="no worker declares a GPU; start one worker a GPU"):
        run_trials([trial()], ledger, TrialConditions(work=WORK, cluster=processes.address))
    address = with_gpus("--resources", "GPU=1", visible="")
    refused = rf"^worker {address} has no GPU for device cuda \(no GPU is visible\): see `nvidia-smi -L`"
    with pytest.raises(BadInput, match=refused):
        run_trials([trial()], ledger, TrialConditions(work=WORK, cluster=processes.address))
    assert run_trials(
        [trial(device="cpu")], ledger, TrialConditions(work=WORK, cluster=processes.address)
    ) == Counts(done=1)
