"""Trials of device cuda that need no GPU: they report what a GPU's trial would see, or fail as it would.

`options["log"]` is a file to which each adds its seed and the GPU that its process sees.
"""

import os
import time
from dataclasses import replace
from pathlib import Path

import stub_trials

from bench.trial import BadInput, Result, Trial

WORK = "gpu_trials:act"


FAILURES = {
    "loses its GPU": RuntimeError("CUDA error: unspecified launch failure"),  # once it has disappeared
    "finds no GPU": BadInput("device cuda: torch 2.13.0 finds no GPU; see `nvidia-smi`, or use --device cpu"),
    "finds no memory": RuntimeError("CUDA error: out of memory"),
}


def trial(seed: int = 0, act: str = "ends", device: str = "cuda", **options) -> Trial:
    return replace(stub_trials.trial(seed, act, **options), device=device)


def act(trial: Trial) -> Result:
    return globals()[trial.options["act"]](trial)


def seen() -> str:
    return os.environ["CUDA_VISIBLE_DEVICES"]


def told(trial: Trial, what: str) -> None:
    with Path(str(trial.options["log"])).open("a") as file:
        file.write(f"{trial.seed} {what} {seen()}\n")


def ends(trial: Trial) -> Result:
    names = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")
    time.sleep(float(trial.options.get("sleep", 0.0)))
    return replace(stub_trials.steady(trial), environment={name: os.environ.get(name) for name in names})


def meets(trial: Trial) -> Result:
    """Wait until as many trials have begun as there are slots."""
    told(trial, "begins")
    while Path(str(trial.options["log"])).read_text().count("begins") < int(trial.options["slots"]):
        time.sleep(0.01)
    return ends(trial)


def runs_out_of_memory_in_company(trial: Trial) -> Result:
    """Seed 0 finds too little memory the first time, while seed 1 is on its GPU."""
    log = Path(str(trial.options["log"]))
    told(trial, "begins")
    begun = log.read_text().count("begins")
    if trial.seed == 0 and begun <= 2:
        while "1 begins" not in log.read_text():
            time.sleep(0.01)
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    time.sleep(0.5)
    told(trial, "ends")
    return ends(trial)


def never_has_memory(trial: Trial) -> Result:
    told(trial, "begins")
    raise RuntimeError("CUDA out of memory. Tried to allocate 80.00 GiB")


def fails_there(trial: Trial) -> Result:
    """Fail on the GPU that the file `there` names, as `failure` says."""
    if seen() == Path(str(trial.options["there"])).read_text():
        raise FAILURES[str(trial.options["failure"])]
    return ends(trial)


def calls_its_gpu_lost(trial: Trial) -> Result:
    raise RuntimeError("CUDA error: no CUDA-capable device is detected")
