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
from nvml_stand_in import Machine, uuid
from processes import lives
from stub_trials import WORK, bits, gpu_trial, steady, trial, whole

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner import cluster
from unrolled.ablations.runner.parallel import Counts, TrialConditions, run_trials
from unrolled.bench.chapter.text import data_hash
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.errors import BadInput
from unrolled.bench.program.trial import ProgramTrial


def other_code(folder: Path) -> Path:
    """A copy of the project in which one file has another comment."""
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


def test_a_cluster_yields_the_local_runners_results_and_bits(two: str, ledger: Ledger) -> None:
    trials = [trial(seed) for seed in range(8)] + [trial(8, "raises")]
    started: list[ChapterTrial] = []
    wanted = lambda trial: not started.append(trial)  # noqa: E731
    tally = run_trials(trials, ledger, TrialConditions(run_function=WORK, cluster=two), is_wanted=wanted)
    assert tally == Counts(done=8, failed=1)
    assert started == trials
    kept = whole(ledger, trials)
    assert [bits(kept[each.id]) for each in trials[:8]] == [bits(steady(each)) for each in trials[:8]]
    assert kept[trials[8].id].reason == "ValueError: two lines"
    assert "about to fail" in kept[trials[8].id].output
    assert run_trials(trials, ledger, TrialConditions(run_function=WORK, cluster="tcp://nobody:1")) == Counts(
        skipped=9
    )


@pytest.fixture
def drive(two: str, processes, gate, tmp_path: Path) -> Callable[[int], subprocess.Popen[str]]:
    """Start a driver of that many gated trials on two workers, always into the same ledger."""
    words = {"cluster": two, "folder": tmp_path / "results", "act": "gated", "gate": gate.folder}
    return lambda count: processes.driver(count=count, **words)


@pytest.fixture
def interrupted(drive, processes, gate, wait_for: Callable) -> subprocess.Popen[str]:
    """A driver of fifty trials that has had one Ctrl-C, with two under way."""
    driver = drive(50)
    wait_for(lambda: len(gate.begun()) == 2)
    os.killpg(driver.pid, signal.SIGINT)
    processes.read_until("^finishing the running trials")
    return driver


def test_ctrl_c_lets_the_trials_under_way_finish(interrupted, processes, gate) -> None:
    gate.open(*range(50))
    assert interrupted.wait(60) == 130
    assert "Counts(done=2, failed=0, skipped=0, left=48, interrupted=True)" in processes.logs[-1].read_text()
    assert len(gate.begun()) == 2


def test_ctrl_c_twice_ends_the_trials_on_the_workers(
    interrupted, drive, processes, gate, wait_for: Callable
) -> None:
    os.killpg(interrupted.pid, signal.SIGINT)
    assert interrupted.wait(60) == 130
    assert "left=50, interrupted=True" in processes.logs[-1].read_text()
    wait_for(lambda: not any(lives(process) for _, process, _ in gate.begun()))
    gate.open(*range(50))
    assert drive(3).wait(60) == 0, "the workers are there for the next driver"
    assert "Counts(done=3, failed=0" in processes.logs[-1].read_text()


def test_a_killed_driver_takes_its_trials_with_it(
    drive, processes, gate, ledger: Ledger, wait_for: Callable
) -> None:
    driver = drive(4)
    gate.open(0)
    wait_for(lambda: len(gate.begun()) == 3 and ledger.files())  # the next one starts before it is kept
    driver.kill()
    wait_for(lambda: not any(lives(process) for _, process, _ in gate.begun()))
    gate.open(1, 2, 3, 4)
    assert drive(5).wait(60) == 0
    assert "Counts(done=4, failed=0, skipped=1, left=0" in processes.logs[-1].read_text()


def test_a_worker_with_other_code_is_refused_by_name_before_the_first_trial(
    processes, ledger: Ledger, tmp_path: Path
) -> None:
    processes.scheduler()
    processes.worker()
    odd = processes.worker(code=str(other_code(tmp_path)))
    with pytest.raises(BadInput, match=f"^worker {odd} has another bench/chapter/metrics.py than the driver"):
        run_trials([trial()], ledger, TrialConditions(run_function=WORK, cluster=processes.address))
    assert not ledger.files()


def test_a_trial_that_a_worker_cannot_compute_as_planned_ends_the_run_by_name(
    two: str, ledger: Ledger, tmp_path: Path
) -> None:
    """Whatever joins or changes after the workers were checked: the trial's own process checks again."""
    (tmp_path / "text.txt").write_text("the cat sat on the mat and the dog sat on the log . " * 60)
    planned = ChapterTrial(model="lm4", seed=0, corpus=str(tmp_path / "text.txt")).identify()
    other = replace(planned, versions="torch 0.4.1")
    with pytest.raises(BadInput, match=r"^worker tcp://.* torch [\d.]+ is loaded, but torch 0\.4\.1 when"):
        run_trials([other], ledger, TrialConditions(cluster=two))
    assert not ledger.files()


def test_a_worker_that_may_start_no_process_is_refused_with_the_cure(processes, ledger: Ledger) -> None:
    processes.cluster(1, DASK_DISTRIBUTED__WORKER__DAEMON="True")
    with pytest.raises(BadInput, match="DASK_DISTRIBUTED__WORKER__DAEMON=False"):
        run_trials([trial()], ledger, TrialConditions(run_function=WORK, cluster=processes.address))


def test_the_users_own_texts_and_plug_ins_are_shipped_by_their_content(
    two: str, ledger: Ledger, tmp_path: Path
) -> None:
    text, plug_in = tmp_path / "my.txt", tmp_path / "my_penalty.py"
    text.write_text("één two\nthree", encoding="utf-8")
    plug_in.write_text(
        "from unrolled.bench.plugins import regularizer\n\n"
        "@regularizer('mine')\ndef mine(output):\n    return 0\n"
    )
    words = {"corpus": str(text), "data": data_hash(str(text))}
    trials = [
        replace(trial(seed, act), **words)
        for seed, act in enumerate(("reads_its_corpus", "names_its_corpus", "names_its_penalties"))
    ]
    run_trials(trials, ledger, TrialConditions(run_function=WORK, preload=[str(plug_in)], cluster=two))
    read, named, penalties = (whole(ledger, trials)[each.id] for each in trials)
    assert read.environment == {"text": "één two\nthree", "beside": "my.txt"}
    assert read.trial == trials[0], "with the driver's path"
    assert named.reason == f"ValueError: corpus {text}: too short"
    assert f"reading {text}\n" in named.output
    assert "mine" in penalties.environment["penalties"]


def test_a_worker_that_joins_later_has_the_users_files_too(two: str, ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "my.txt").write_text("one two")
    text = str(tmp_path / "my.txt")
    mine = trial(0, "kills_its_worker_at_first", count=str(tmp_path / "count"))
    mine = replace(mine, corpus=text, data=data_hash(text))
    assert run_trials([mine], ledger, TrialConditions(run_function=WORK, cluster=two)) == Counts(done=1)
    result = ledger.read(mine.id)
    assert result is not None and result.environment["text"] == "one two"


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


def test_drivers_with_ledgers_of_their_own_may_have_equal_trials_on_one_cluster_at_once(
    two: str, tmp_path: Path
) -> None:
    (tmp_path / "meeting").mkdir()
    (tmp_path / "train.py").write_text(MEETS)
    words = {"run": f"python train.py {{seed}} {tmp_path / 'meeting'} {{out}}", "code": ("train.py",)}
    shared = ProgramTrial(seed=0, folder=str(tmp_path), **words).identify()
    ledgers = [Ledger(tmp_path / "one"), Ledger(tmp_path / "two")]
    with ThreadPoolExecutor() as pool:
        drivers = [pool.submit(run_trials, [shared], each, TrialConditions(cluster=two)) for each in ledgers]
    assert [driver.result() for driver in drivers] == [Counts(done=1)] * 2
    assert [each.results([shared.id])[shared.id].metrics["loss"] for each in ledgers] == [1, 1]


def test_no_scheduler_and_no_workers_are_told_in_a_line(
    processes, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    for address in ("tcp://127.0.0.1:1", "carrier-pigeon://1"):
        with pytest.raises(BadInput, match=f"^--cluster {address}: no scheduler answers"):
            run_trials([trial()], ledger, TrialConditions(run_function=WORK, cluster=address))
    monkeypatch.setattr(cluster, "NO_WORKER_SECONDS", 1.0)
    processes.scheduler()
    with pytest.raises(BadInput, match=r"no worker for 1 s; start some, then run the same command"):
        run_trials([trial()], ledger, TrialConditions(run_function=WORK, cluster=processes.address))


# Trials of device cuda, on GPUs that are a stand-in.

STAND_INS = Path(__file__).parents[3] / "stand_ins"


@pytest.fixture
def with_gpus(processes, nvml: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Start a worker that sees these GPUs, `visible` of them."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import cuda_stand_in\n")
    monkeypatch.setenv("PYTHONPATH", f"{site}{os.pathsep}{STAND_INS}")
    processes.scheduler()
    nvml.has(2)

    def start(*flags: str, visible: str) -> str:
        return processes.worker(*flags, CUDA_VISIBLE_DEVICES=visible)

    return start


def test_a_worker_a_gpu_gives_each_trial_its_own(with_gpus, processes, ledger: Ledger) -> None:
    for index in ("0", "1"):
        with_gpus("--resources", "GPU=1", visible=index)
    trials = [gpu_trial(seed, sleep=0.3) for seed in range(4)]
    assert run_trials(
        trials, ledger, TrialConditions(run_function=WORK, cluster=processes.address)
    ) == Counts(done=4)
    results = ledger.results(each.id for each in trials).values()
    assert {r.environment["CUDA_VISIBLE_DEVICES"] for r in results} == {uuid(0), uuid(1)}
    for result in results:
        assert result.environment["gpu_uuid"] == uuid(int(result.environment["gpu_index"]))


def test_a_worker_without_a_gpu_is_refused_for_trials_that_need_one(
    with_gpus, processes, ledger: Ledger
) -> None:
    with_gpus(visible="")
    with pytest.raises(BadInput, match="no worker declares 1 GPU; start workers"):
        run_trials([gpu_trial()], ledger, TrialConditions(run_function=WORK, cluster=processes.address))
    address = with_gpus("--resources", "GPU=1", visible="")
    refused = rf"^worker {address} cannot train on its GPUs: device cuda: no GPU is visible; see `nvidia-smi"
    with pytest.raises(BadInput, match=refused):
        run_trials([gpu_trial()], ledger, TrialConditions(run_function=WORK, cluster=processes.address))
    assert run_trials(
        [gpu_trial(device="cpu")], ledger, TrialConditions(run_function=WORK, cluster=processes.address)
    ) == Counts(done=1)
