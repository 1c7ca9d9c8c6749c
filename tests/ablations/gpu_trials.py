"""Trials of device cuda that need no GPU: they report what a GPU's trial would see, or fail as it would."""

import os
import time
from dataclasses import replace
from pathlib import Path

import stub_trials

from bench.chapter.trial import ChapterTrial
from bench.trial import Result

WORK = "gpu_trials:act"


def trial(seed: int = 0, act: str = "ends", device: str = "cuda", **options) -> ChapterTrial:
    return replace(stub_trials.trial(seed, act, **options), device=device)


def act(trial: ChapterTrial) -> Result:
    return globals()[trial.options["act"]](trial)


def ends(trial: ChapterTrial) -> Result:
    names = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")
    time.sleep(float(trial.options.get("sleep", 0.0)))
    return replace(stub_trials.steady(trial), environment={name: os.environ.get(name) for name in names})


def meets(trial: ChapterTrial) -> Result:
    """Wait until as many trials have begun as there are places."""
    log = Path(str(trial.options["log"]))
    with log.open("a") as file:
        file.write("begins\n")
    while log.read_text().count("begins") < int(trial.options["places"]):
        time.sleep(0.01)
    return ends(trial)


def has_no_memory(trial: ChapterTrial) -> Result:
    raise RuntimeError("CUDA out of memory. Tried to allocate 80.00 GiB")
