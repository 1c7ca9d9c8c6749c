"""What a GPU alone can show: `pytest tests/bench -m gpu`. Elsewhere these tests are skipped."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.zoo import NEURAL, engines
from unrolled.bench.chapter import torch_device
from unrolled.bench.chapter.chapter_trial import ChapterTrial, make_chapter_trial
from unrolled.bench.chapter.training import checkpoint, loop, optimizer, train
from unrolled.bench.trial import Result

DEVICE = "cuda"
UPDATES = 5
ALONE = """
import json, sys
from unrolled import train
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.files.canonical_json import canonical_json
print(canonical_json(train(ChapterTrial(**json.loads(sys.argv[1]))).to_dict()).decode())
"""

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def make_settings(name: str, **changes: Any) -> dict[str, Any]:
    """Return the keywords of the model's trial in the chapter's set-up, of two epochs."""
    return asdict(make_chapter_trial(name, **{"device": DEVICE, "epochs": 2, **changes}))


def start_trial(settings: dict[str, Any], **variables: str) -> Callable[[], Result]:
    """Start the trial in a fresh process; the function that is returned waits for its result."""
    command = [sys.executable, "-c", ALONE, json.dumps(settings)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **variables})

    def wait() -> Result:
        output, _ = process.communicate()
        assert process.returncode == 0
        result = Result.from_dict(json.loads(output.splitlines()[-1]))
        assert result.is_done, result.reason
        return result

    return wait


@engines
@pytest.mark.parametrize("name", NEURAL)
def test_a_trial_on_a_gpu_has_the_same_bits_twice(name: str, engine: str) -> None:
    settings = make_settings(name, engine=engine)
    first, second = (wait() for wait in [start_trial(settings), start_trial(settings)])
    assert first.fingerprints == second.fingerprints
    assert {key: w for key, w in first.witnesses.items() if not w["ok"]} == {}
    assert first.metrics["gpu_memory_peak"] > 0
    assert first.provenance["gpu_uuid"]


@pytest.mark.parametrize(
    ("name", "changes"),
    [("lm7", {}), ("awd-scratch", {"detach_every": 4})],
    ids=["carried state", "stretches of a window"],
)
def test_a_resumed_trial_has_the_bits_of_an_undisturbed_one(
    tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    settings = make_settings(name, **changes)
    variables = {checkpoint.FOLDER_VARIABLE: str(tmp_path), checkpoint.INTERVAL_VARIABLE: "0"}
    undisturbed = start_trial(settings, **variables)()
    resumed = start_trial(settings, **variables)()  # from the last state but one, which the first has left
    assert resumed.metrics["seconds"] > resumed.attempt_seconds, "else it began anew"
    assert resumed.fingerprints == undisturbed.fingerprints


def prepare_steps(settings: dict[str, Any]) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return functions that repeat five updates and a validation of a trial, both made once before."""
    torch_device.make_deterministic()
    trial = ChapterTrial(**settings)
    device = torch.device(DEVICE)
    data, training, validation = train.load_data(trial)
    model = train.build_model(trial, len(data.vocab)).to(device)
    training = replace(training, batch_windows=training.batch_windows[:UPDATES], device=device)
    validation = validation.to(device)
    adam = optimizer.build_adam(model, trial.wd)
    cycle = list(optimizer.one_cycle(UPDATES, trial.lr, trial.moms))

    def update() -> None:
        list(loop._take_steps(trial, model, training, adam, cycle))

    def validate() -> None:
        loop.validate_model(trial, model, validation)

    update(), validate()
    return update, validate


CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in NEURAL),
    ("awd-scratch", {"detach_every": 4}),
    ("lm6", {"detach_every": 48}),
    ("awd", {"clip": 0.25}),
]


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype feature")
@pytest.mark.parametrize(("name", "changes"), CASES)
def test_neither_updates_nor_a_validation_wait(name: str, changes: dict[str, Any]) -> None:
    parts = prepare_steps(make_settings(name, **changes))
    torch.cuda.set_sync_debug_mode("error")
    try:
        for part in parts:
            part()
    finally:
        torch.cuda.set_sync_debug_mode("default")
