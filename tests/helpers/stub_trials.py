"""Trials that need no torch and behave as well or as badly as told. Also a program that runs a study of them.

`act` is the work; `options["act"]` names the function below that does it.
"""

import ctypes
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.models.spec import PLUGIN_PENALTIES
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.trial import Result

if TYPE_CHECKING:  # a trial's process imports this module, and has no ledger
    from unrolled.ablations.ledger import Ledger

WORK = "tests.helpers.stub_trials:act"
LEAKED: list[str] = []
"""What `leaks` left in this module."""


def make_trial(seed: int = 0, act: str = "steady", device: str = "cpu", **options) -> ChapterTrial:
    """Return a trial that behaves as `act` says."""
    return ChapterTrial(model="stub", seed=seed, device=device, options={"act": act, **options})


def make_gpu_trial(
    seed: int = 0, act: str = "tells_its_gpu", device: str = "cuda", **options
) -> ChapterTrial:
    """Return a trial on a GPU."""
    return make_trial(seed, act, device, **options)


def act(trial: ChapterTrial) -> Result:
    """Run the function of this module that the trial's option `act` names."""
    return _run_act(trial.options["act"], trial)


def _run_act(name: object, trial: ChapterTrial) -> Result:
    function: Callable[[ChapterTrial], Result] = globals()[str(name)]
    return function(trial)


def steady(trial: ChapterTrial) -> Result:
    """Return numbers that depend on the trial alone. Seeds from `free` on wait for the file `until`."""
    dice = random.Random(trial.id)
    time.sleep(float(trial.options.get("sleep", 0.0)))
    if "until" in trial.options and trial.seed >= int(trial.options.get("free", 0)):
        while not Path(str(trial.options["until"])).exists():
            time.sleep(0.01)
    drawn = ("train_loss", "valid_loss", "valid_accuracy")
    curves = {name: tuple((float(epoch), dice.random()) for epoch in range(3)) for name in drawn}
    curves |= dict.fromkeys(
        ("speed_train_seconds", "speed_valid_seconds"), ((0.0, 0.0), (1.0, 0.0), (2.0, 0.0))
    )
    return Result(
        trial=trial,
        status="done",
        curves=curves,
        metrics={"valid_loss": dice.random(), "valid_perplexity": float("inf")},
        records={
            "roles": {"digit": [dice.random(), 3, 4]},
            "passage": [{"token": "één", "guess": "two", "p": dice.random()}],
        },
        witnesses={"hidden": {"ok": True, "declared": 64, "seen": 64}},
        fingerprints={"weights": dice.randbytes(32).hex()},
    )


def run_in_process(trial: ChapterTrial, run_import: str = WORK, **conditions) -> Result:
    """Run a trial in a process of its own and return its result."""
    from unrolled.ablations.runner.child import ProcessConditions
    from unrolled.ablations.runner.process import run_in_process

    result = run_in_process(
        trial, ProcessConditions(run_import=run_import, **conditions), checkpoints=Path("checkpoints")
    )
    assert result is not None
    return result


def read_results(ledger: "Ledger", trials: Iterable[ChapterTrial]) -> dict[str, Result]:
    """Return the results of these trials in the ledger, by identity."""
    return {trial.id: result for trial in trials if (result := ledger.read_result(trial.id))}


def serialize_result(result: Result) -> bytes:
    """Return the part of a result that must be the same in every run of the trial."""
    return canonical_json(
        replace(result, attempts=0, started=0.0, attempt_seconds=0.0, provenance={}).to_dict()
    )


def gated(trial: ChapterTrial) -> Result:
    """Write "seed, own pid, worker's pid" into the log of the folder `gate`; wait for its file <seed>."""
    folder = Path(str(trial.options["gate"]))
    with (folder / "log").open("a") as log:
        log.write(f"{trial.seed} {os.getpid()} {find_worker_pid()}\n")
    while not (folder / str(trial.seed)).exists():
        time.sleep(0.01)
    return steady(trial)


def kills_its_worker(trial: ChapterTrial) -> Result:
    os.kill(find_worker_pid(), signal.SIGKILL)
    time.sleep(60)  # until the worker's death ends this process
    raise AssertionError("outlived its worker")


def kills_its_worker_at_first(trial: ChapterTrial) -> Result:
    count = Path(str(trial.options["count"]))
    if not count.exists():
        count.touch()
        kills_its_worker(trial)
    return reads_its_corpus(trial)


def reads_its_corpus(trial: ChapterTrial) -> Result:
    provenance = {"text": Path(trial.corpus).read_text(), "beside": Path(trial.corpus).name}
    return replace(steady(trial), provenance=provenance)


def names_its_corpus(trial: ChapterTrial) -> Result:
    print(f"reading {trial.corpus}")
    raise ValueError(f"corpus {trial.corpus}: too short")


def names_its_penalties(trial: ChapterTrial) -> Result:
    return replace(steady(trial), provenance={"penalties": sorted(PLUGIN_PENALTIES)})


def find_worker_pid() -> int:
    parent = multiprocessing.parent_process()
    assert parent is not None and parent.pid is not None
    return parent.pid


def raises(trial: ChapterTrial) -> Result:
    print("about to fail")
    raise ValueError("two\nlines")


def exits(trial: ChapterTrial) -> Result:
    sys.exit("enough")


def diverges(trial: ChapterTrial) -> Result:
    return Result(
        trial=trial, status="diverged", reason="diverged at step 3", metrics={"valid_loss": float("nan")}
    )


def starts_threads(trial: ChapterTrial) -> Result:
    while True:
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()


def fills_memory(trial: ChapterTrial) -> Result:
    hoard = []
    while True:
        hoard.append(bytearray(1 << 24))


def fills_memory_like_torch(trial: ChapterTrial) -> Result:
    raise RuntimeError(
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes. Error code 12"
    )


def loops(trial: ChapterTrial) -> Result:
    while True:
        pass


def ignores_sigterm(trial: ChapterTrial) -> Result:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.kill(os.getpid(), signal.SIGTERM)
    while True:
        time.sleep(1)


def sleeps_without_releasing_python(trial: ChapterTrial) -> Result:
    ctypes.PyDLL(None).sleep(3600)
    raise AssertionError("slept to the end")


def leaves(trial: ChapterTrial) -> Result:
    os._exit(0)


def floods(trial: ChapterTrial) -> Result:
    for _ in range(100):
        os.write(1, b"x" * (1 << 20))
    print("\nthe last words")
    raise RuntimeError("flooded")


def kills_itself(trial: ChapterTrial) -> Result:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("survived")


def answers_when_its_child_is_killed(trial: ChapterTrial) -> Result:
    """As one whose child is needed would fail: at once, before it is killed itself."""
    *_, answer, _ = multiprocessing.current_process()._args  # type: ignore[attr-defined]
    data = canonical_json(steady(trial).to_dict())
    subprocess.Popen(["sleep", "3600"]).wait()
    os.write(answer.fileno(), data)
    return loops(trial)


def answers_garbage(trial: ChapterTrial) -> Result:
    *_, answer, _ = multiprocessing.current_process()._args  # type: ignore[attr-defined]
    os.write(answer.fileno(), b'{"status": "done"}')
    os._exit(0)


def answers_for_another(trial: ChapterTrial) -> Result:
    return steady(replace(trial, seed=trial.seed + 1))


def returns_nothing(trial: ChapterTrial) -> Result:
    return None  # type: ignore[return-value]


def measures_oddly(trial: ChapterTrial) -> Result:
    return replace(steady(trial), metrics={"valid_loss": object()})  # type: ignore[dict-item]


def leaves_a_grandchild(trial: ChapterTrial) -> Result:
    """Start a process that would outlive the trial, then do as `then` says."""
    grandchild = subprocess.Popen(["sleep", "3600"])
    Path(f"{trial.options['pid']}-{trial.seed}").write_text(str(grandchild.pid))
    return _run_act(trial.options.get("then", "steady"), trial)


def leaves_an_orphan(trial: ChapterTrial) -> Result:
    """Start a process in a session of its own, whose parent ends at once, then do as `then` says."""
    orphan = 'setsid sleep 3600 >/dev/null 2>&1 & echo $! >"$0.$$"; mv "$0.$$" "$0"'
    pid = f"{trial.options['pid']}-{trial.seed}"
    subprocess.run(["sh", "-c", orphan, pid], check=True)
    return _run_act(trial.options.get("then", "steady"), trial)


def leaks(trial: ChapterTrial) -> Result:
    """Leave every mess that outlives a function call."""
    os.environ["LEAKED"] = "1"
    os.chdir("/")
    os.umask(0o777)
    random.seed(1)
    sys.setrecursionlimit(60)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    LEAKED.append("a name")
    threading.Thread(target=time.sleep, args=(3600,)).start()
    return steady(trial)


def inspects_its_process(trial: ChapterTrial) -> Result:
    """Return what the process is like before the trial has done anything."""
    umask = os.umask(0)
    provenance = {
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        "umask": umask,
        "recursion": sys.getrecursionlimit(),
        "sigterm": str(signal.getsignal(signal.SIGTERM)),
        "sigint": str(signal.getsignal(signal.SIGINT)),
        "leaked": bool(LEAKED),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "main": getattr(sys.modules["__main__"], "__file__", None),
        "modules": sorted(sys.modules),
        "pid": os.getpid(),
        "hash": hash("a string"),
    }
    return replace(steady(trial), provenance=provenance)


def tells_its_gpu(trial: ChapterTrial) -> Result:
    provenance = {name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")}
    return replace(steady(trial), provenance=provenance)


def meets(trial: ChapterTrial) -> Result:
    """Wait until as many trials have begun as there are places."""
    log = Path(str(trial.options["log"]))
    with log.open("a") as file:
        file.write("begins\n")
    while log.read_text().count("begins") < int(trial.options["places"]):
        time.sleep(0.01)
    return tells_its_gpu(trial)


def has_no_gpu_memory(trial: ChapterTrial) -> Result:
    raise RuntimeError("CUDA out of memory. Tried to allocate 80.00 GiB")


def run_study(
    folder: str, count: int, workers: int = 1, attempts: int = 3, cluster: str = "", **options
) -> None:
    """Run a study of `count` trials as the command would: under the study's lock."""
    from tests.helpers.supervisor import make_supervisor
    from tests.helpers.trial_counts import run_and_count
    from unrolled.ablations.ledger import Ledger
    from unrolled.ablations.runner.child import Limits
    from unrolled.ablations.runner.parallel import TrialConditions

    ledger = Ledger(Path(folder))
    with ledger.lock_study("stub"), redirect_stderr(sys.stdout):
        print("locked", flush=True)
        tally = run_and_count(
            [make_trial(seed, **options) for seed in range(count)],
            ledger,
            TrialConditions(
                run_import=WORK,
                workers=workers,
                cluster=cluster,
                limits=Limits(attempts=attempts, time_limit=600),
            ),
            make_supervisor(
                is_wanted=lambda trial: not print("start", trial.seed, flush=True),
                receive_result=lambda result: print("result", result.trial.seed, result.reason, flush=True),
            ),
        )
    print(tally, flush=True)
    sys.exit(130 if tally.interrupted else int(tally.failed_count > 0))


if __name__ == "__main__":
    run_study(**json.loads(sys.argv[1]))
