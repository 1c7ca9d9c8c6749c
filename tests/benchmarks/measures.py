"""What benchmarks ask of a process of its own: one line of JSON in, one line of JSON out, until the end.

So each arm of a comparison has the environment that it has in real use (malloc's settings, one thread), no
arm finds what another one left, and arms take turns without starting anew.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from unrolled.bench.chapter import torch_device
from unrolled.bench.chapter.chapter_run import run_trial
from unrolled.bench.chapter.chapter_trial import make_chapter_trial
from unrolled.bench.chapter.corpus import Batches
from unrolled.bench.chapter.metrics import count_training_flops
from unrolled.bench.chapter.training import loop
from unrolled.bench.chapter.training.train import build_model
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.hardware.machine import read_machine_facts

VOCAB = 30  # as Human Numbers


def trial(arm: str, model: str, epochs: int) -> dict[str, float]:
    """Return the seconds before the first update and of a mean epoch, validation included, of one arm."""
    if arm in ("notebook", "script"):
        from tests.helpers import peers

        return asdict(getattr(peers, arm)(model, epochs))
    result = run_trial(make_chapter_trial(model, engine=arm, epochs=epochs))
    parts = ("speed_train_seconds", "speed_valid_seconds")
    training = sum(seconds for part in parts for _, seconds in result.curves[part])
    start = result.metrics["seconds"] - training
    return {"start": start, "epoch": training / epochs, "loss": result.metrics["valid_loss"]}


def here() -> torch.device:
    """Return the GPU where there is one."""
    return torch_device.select_device("cuda" if torch.cuda.is_available() else "cpu")


def pace(model: str, updates: int, batch: int = 64, window: int = 16, **options: int) -> dict[str, float]:
    """Tokens a second in training and in evaluation, on random tokens, and how much arithmetic that was.

    The first epoch warms up and is not counted.
    """
    device = here()
    size = {"batch": batch, "window": window}
    plan = make_chapter_trial(model, options=options, epochs=2, detach_every=0, **size)
    net = build_model(plan, VOCAB)
    data = _draw_windows(updates, batch, window)
    torch_device.read_gpu_memory(device)  # what was held before is not its own

    record = loop.train_model(plan, net, data, data, device)
    memory = torch_device.read_gpu_memory(device)
    last = record.epochs[-1]
    operations = count_training_flops(replace(plan, epochs=1), net, updates)
    return {
        "train": data.token_count / last.speed_train_seconds,
        "evaluate": data.token_count / last.speed_valid_seconds,
        "update": last.speed_train_seconds / updates,
        "flops": operations / last.speed_train_seconds,
        **memory,
    }


def _draw_windows(updates: int, batch: int, window: int) -> Batches:
    """Return batches of random tokens."""
    generator = torch.Generator().manual_seed(0)
    text = torch.randint(VOCAB, (updates * batch, window + 1), generator=generator)
    rows = torch.arange(updates * batch).view(updates, batch)
    inputs = text[:, :-1].contiguous()
    targets = text[:, 1:].contiguous()
    return Batches(inputs, targets, positions=targets, batch_windows=rows, partial_batch=rows.flatten()[:0])


def peak(times: int, size: int = 0) -> dict[str, float]:
    """Most operations a second that a product of two square matrices reaches, in single precision.

    A GPU needs larger ones than a core before it does little else than multiply.
    """
    device = here()
    size = size or (8192 if device.type == "cuda" else 1024)
    a, b = torch.randn(2, size, size, device=device)
    clock = torch_device.Clock(device)
    best = 0.0
    for factors in _kept_by_library(a, b):
        for _ in range(times):
            clock.lap()
            nn.functional.linear(*factors)
            best = max(best, 2 * size**3 / clock.lap())
    return {"flops": best}


def _kept_by_library(a: torch.Tensor, b: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Return two matrices as each library keeps them: oneDNN, nn.LSTM's, can be twice as fast as MKL."""
    yield a, b
    if a.device.type == "cpu" and torch.backends.mkldnn.is_available():
        yield a.to_mkldnn(), b.to_mkldnn()


def seeds(count: int, model: str, workers: int) -> dict[str, float]:
    """Return the seconds to train so many seeds of one epoch side by side, each in a process of its own."""
    from unrolled.ablations.ledger import Ledger
    from unrolled.ablations.runner.parallel import TrialConditions, run_trials

    trials = [make_chapter_trial(model, seed, epochs=1) for seed in range(count)]
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        ledger = Ledger(Path(folder))
        run_trials(
            trials,
            ledger,
            TrialConditions(preload=("unrolled.bench.chapter.warm_up",), workers=workers),
        )
        seconds = time.perf_counter() - start
        assert [result.is_done for result in ledger.read_all_results()] == [True] * count
    return {"seconds": seconds}


def result(model: str, epochs: int) -> dict[str, Any]:
    """Return a whole result, as the ledger keeps it."""
    return json.loads(canonical_json(run_trial(make_chapter_trial(model, epochs=epochs)).to_dict()))


def machine() -> dict[str, Any]:
    """Return what the numbers were measured on."""
    facts = read_machine_facts()
    names = ("commit", "dirty", "python", "platform", "cpu", "cpu_capability", "cpus", "device", "gpu",
            "driver", "cuda", "packages")  # fmt: skip
    return {name: facts[name] for name in names if name in facts}


def main() -> None:
    """Answer until standard input ends. What a measurement prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    if sys.argv[1:] == ["one-thread"]:
        torch.set_num_threads(1)
    else:
        torch_device.make_deterministic()
    for line in sys.stdin:
        words = json.loads(line)
        answer = globals()[words.pop("do")](**words)
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
