"""Real schedulers and workers on 127.0.0.1. Trials wait at a gate, so that nothing here depends on time."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.nvml_stand_in import Machine, uuid
from tests.helpers.processes import helpers_path, is_alive, wait_for
from tests.helpers.stub_trials import WORK, make_gpu_trial, make_trial, read_results, serialize_result, steady
from tests.helpers.supervisor import make_supervisor
from tests.helpers.trial_counts import RunCounts, run_and_count
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner import cluster
from unrolled.ablations.runner.parallel import TrialConditions, run_trials
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.text import hash_corpus
from unrolled.bench.errors import BadInput
from unrolled.bench.program.program_trial import ProgramTrial


def copy_edited_code(folder: Path) -> Path:
    """Copy the project with another comment in one file, and return the copy."""
    for name in ("unrolled", "bench", "ablations", "reports"):
        shutil.copytree(
            Path(cluster.__file__).parents[2] / name,
            folder / "code" / name,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    with (folder / "code/bench/chapter/metrics.py").open("a") as file:
        file.write("# edited\n")
    return folder / "code"


def test_a_cluster_yields_the_local_runners_results_and_bits(two_workers: str, ledger: Ledger) -> None:
    trials = [make_trial(seed) for seed in range(8)] + [make_trial(8, "raises")]
    begun_trials: list[ChapterTrial] = []
    supervisor = make_supervisor(is_wanted=lambda trial: not begun_trials.append(trial))
    tally = run_and_count(trials, ledger, TrialConditions(run_import=WORK, cluster=two_workers), supervisor)
    assert tally == RunCounts(measured_count=8, failed_count=1)
    assert begun_trials == trials
    results = read_results(ledger, trials)
    assert [serialize_result(results[stub.id]) for stub in trials[:8]] == [
        serialize_result(steady(stub)) for stub in trials[:8]
    ]
    assert results[trials[8].id].reason == "ValueError: two lines"
    assert "about to fail" in results[trials[8].id].output
    assert run_and_count(
        trials, ledger, TrialConditions(run_import=WORK, cluster="tcp://nobody:1")
    ) == RunCounts(stored_count=9)


@pytest.fixture
def start_driver(two_workers: str, processes, gate, tmp_path: Path) -> Callable[[int], subprocess.Popen[str]]:
    """Return a function that starts a driver of gated trials, always into the same ledger."""
    words = {"cluster": two_workers, "folder": tmp_path / "results", "act": "gated", "gate": gate.folder}
    return lambda count: processes.start_driver(count=count, **words)


@pytest.fixture
def interrupted_driver(start_driver, processes, gate) -> subprocess.Popen[str]:
    """Return a driver of fifty trials that has had one Ctrl-C, with two under way."""
    driver = start_driver(50)
    wait_for(lambda: len(gate.list_attempts()) == 2)
    os.killpg(driver.pid, signal.SIGINT)
    processes.read_until("^finishing the running trials")
    return driver


def test_ctrl_c_lets_the_trials_under_way_finish(interrupted_driver, processes, gate) -> None:
    gate.open_for(*range(50))
    assert interrupted_driver.wait(60) == 130
    assert (
        "RunCounts(measured_count=2, failed_count=0, stored_count=0, left_count=48, interrupted=True)"
        in processes.logs[-1].read_text()
    )
    assert len(gate.list_attempts()) == 2


def test_ctrl_c_twice_ends_the_trials_on_the_workers(
    interrupted_driver, start_driver, processes, gate
) -> None:
    os.killpg(interrupted_driver.pid, signal.SIGINT)
    assert interrupted_driver.wait(60) == 130
    assert "left_count=50, interrupted=True" in processes.logs[-1].read_text()
    wait_for(lambda: not any(is_alive(process) for _, process, _ in gate.list_attempts()))
    gate.open_for(*range(50))
    assert start_driver(3).wait(60) == 0, "the workers are there for the next driver"
    assert "RunCounts(measured_count=3, failed_count=0" in processes.logs[-1].read_text()


def test_a_killed_driver_takes_its_trials_with_it(start_driver, processes, gate, ledger: Ledger) -> None:
    driver = start_driver(4)
    gate.open_for(0)
    # the next one starts before it is kept
    wait_for(lambda: len(gate.list_attempts()) == 3 and ledger.find_result_files())
    driver.kill()
    wait_for(lambda: not any(is_alive(process) for _, process, _ in gate.list_attempts()))
    gate.open_for(1, 2, 3, 4)
    assert start_driver(5).wait(60) == 0
    assert (
        "RunCounts(measured_count=4, failed_count=0, stored_count=1, left_count=0"
        in processes.logs[-1].read_text()
    )


def test_a_worker_with_other_code_is_refused_before_any_trial(
    processes, ledger: Ledger, tmp_path: Path
) -> None:
    processes.start_scheduler()
    processes.start_worker()
    worker = processes.start_worker(code=str(copy_edited_code(tmp_path)))
    with pytest.raises(
        BadInput, match=f"^worker {worker} has another bench/chapter/metrics.py than the driver"
    ):
        run_trials([make_trial()], ledger, TrialConditions(run_import=WORK, cluster=processes.address))
    assert not ledger.find_result_files()


def test_a_trial_that_a_worker_computes_otherwise_ends_the_run(
    two_workers: str, ledger: Ledger, tmp_path: Path
) -> None:
    """Whatever joins or changes after the workers were checked: the trial's own process checks again."""
    (tmp_path / "text.txt").write_text("the cat sat on the mat and the dog sat on the log . " * 60)
    chapter_trial = ChapterTrial(model="lm4", seed=0, corpus=str(tmp_path / "text.txt")).identify()
    changed_trial = replace(chapter_trial, versions="torch 0.4.1")
    with pytest.raises(BadInput, match=r"^worker tcp://.* torch [\d.]+ is loaded, but torch 0\.4\.1 when"):
        run_trials([changed_trial], ledger, TrialConditions(cluster=two_workers))
    assert not ledger.find_result_files()


def test_a_worker_that_may_start_no_process_is_refused_with_the_cure(processes, ledger: Ledger) -> None:
    processes.start_cluster(1, DASK_DISTRIBUTED__WORKER__DAEMON="True")
    with pytest.raises(BadInput, match="DASK_DISTRIBUTED__WORKER__DAEMON=False"):
        run_trials([make_trial()], ledger, TrialConditions(run_import=WORK, cluster=processes.address))


def test_the_users_own_texts_and_plugins_are_shipped_by_their_content(
    two_workers: str, ledger: Ledger, tmp_path: Path
) -> None:
    text = tmp_path / "my.txt"
    plugin = tmp_path / "my_penalty.py"
    text.write_text("één two\nthree", encoding="utf-8")
    plugin.write_text(
        "from unrolled import regularizer\n\n@regularizer('mine')\ndef mine(output):\n    return 0\n"
    )
    words = {"corpus": str(text), "data": hash_corpus(str(text))}
    trials = [
        replace(make_trial(seed, act), **words)
        for seed, act in enumerate(("reads_its_corpus", "names_its_corpus", "names_its_penalties"))
    ]
    run_trials(trials, ledger, TrialConditions(run_import=WORK, plugins=[str(plugin)], cluster=two_workers))
    text_result, name_result, penalty_result = (read_results(ledger, trials)[stub.id] for stub in trials)
    assert text_result.provenance == {"text": "één two\nthree", "beside": "my.txt"}
    assert text_result.trial == trials[0], "with the driver's path"
    assert name_result.reason == f"ValueError: corpus {text}: too short"
    assert f"reading {text}\n" in name_result.output
    assert "mine" in penalty_result.provenance["penalties"]


def test_a_worker_that_joins_later_has_the_users_files_too(
    two_workers: str, ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "my.txt").write_text("one two")
    text = str(tmp_path / "my.txt")
    killer = make_trial(0, "kills_its_worker_at_first", count=str(tmp_path / "count"))
    killer = replace(killer, corpus=text, data=hash_corpus(text))
    assert run_and_count(
        [killer], ledger, TrialConditions(run_import=WORK, cluster=two_workers)
    ) == RunCounts(measured_count=1)
    result = ledger.read_result(killer.id)
    assert result is not None and result.provenance["text"] == "one two"


MEETS = """
import json, os, pathlib, sys, time
meeting, out = map(pathlib.Path, sys.argv[2:])
(meeting / str(os.getpid())).touch()
while len(os.listdir(meeting)) < 2:
    time.sleep(0.01)
(out / str(os.getpid())).touch()
time.sleep(0.3)
print(json.dumps({"loss": len(os.listdir(out))}))
"""


def test_two_drivers_may_have_equal_trials_on_one_cluster_at_once(two_workers: str, tmp_path: Path) -> None:
    (tmp_path / "meeting").mkdir()
    (tmp_path / "train.py").write_text(MEETS)
    words = {
        "run": f"python train.py {{seed}} {tmp_path / 'meeting'} {{out}}",
        "code_patterns": ("train.py",),
    }
    program_trial = ProgramTrial(seed=0, folder=str(tmp_path), **words).identify()
    ledgers = [Ledger(tmp_path / "one"), Ledger(tmp_path / "two")]
    with ThreadPoolExecutor() as pool:
        drivers = [
            pool.submit(run_and_count, [program_trial], ledger, TrialConditions(cluster=two_workers))
            for ledger in ledgers
        ]
    assert [driver.result() for driver in drivers] == [RunCounts(measured_count=1)] * 2
    assert [
        ledger.read_results([program_trial.id])[program_trial.id].metrics["loss"] for ledger in ledgers
    ] == [
        1,
        1,
    ]


def test_no_scheduler_and_no_workers_are_told_in_a_line(
    processes, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    for address in ("tcp://127.0.0.1:1", "carrier-pigeon://1"):
        with pytest.raises(BadInput, match=f"^--cluster {address}: no scheduler answers"):
            run_trials([make_trial()], ledger, TrialConditions(run_import=WORK, cluster=address))
    monkeypatch.setattr(cluster, "NO_WORKER_SECONDS", 1.0)
    processes.start_scheduler()
    with pytest.raises(BadInput, match=r"no worker for 1 s; start some, then run the same command"):
        run_trials([make_trial()], ledger, TrialConditions(run_import=WORK, cluster=processes.address))


# Trials of device cuda, on GPUs that are a stand-in.


@pytest.fixture
def start_gpu_worker(processes, nvml: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that starts a worker on the GPUs in `visible`."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import tests.helpers.cuda_stand_in\n")
    monkeypatch.setenv("PYTHONPATH", helpers_path(site))
    processes.start_scheduler()
    nvml.has(2)

    def start(*flags: str, visible: str) -> str:
        return processes.start_worker(*flags, CUDA_VISIBLE_DEVICES=visible)

    return start


def test_a_worker_a_gpu_gives_each_trial_its_own(start_gpu_worker, processes, ledger: Ledger) -> None:
    for index in ("0", "1"):
        start_gpu_worker("--resources", "GPU=1", visible=index)
    trials = [make_gpu_trial(seed, sleep=0.3) for seed in range(4)]
    assert run_and_count(
        trials, ledger, TrialConditions(run_import=WORK, cluster=processes.address)
    ) == RunCounts(measured_count=4)
    results = ledger.read_results(trial.id for trial in trials).values()
    assert {r.provenance["CUDA_VISIBLE_DEVICES"] for r in results} == {uuid(0), uuid(1)}
    for result in results:
        assert result.provenance["gpu_uuid"] == uuid(int(result.provenance["gpu_index"]))


def test_a_worker_without_a_gpu_is_refused_for_trials_that_need_one(
    start_gpu_worker, processes, ledger: Ledger
) -> None:
    start_gpu_worker(visible="")
    with pytest.raises(BadInput, match="no worker declares 1 GPU; start workers"):
        run_trials([make_gpu_trial()], ledger, TrialConditions(run_import=WORK, cluster=processes.address))
    address = start_gpu_worker("--resources", "GPU=1", visible="")
    message = rf"^worker {address} cannot train on its GPUs: device cuda: no GPU is visible; see `nvidia-smi"
    with pytest.raises(BadInput, match=message):
        run_trials([make_gpu_trial()], ledger, TrialConditions(run_import=WORK, cluster=processes.address))
    assert run_and_count(
        [make_gpu_trial(device="cpu")], ledger, TrialConditions(run_import=WORK, cluster=processes.address)
    ) == RunCounts(measured_count=1)
