"""Epoch checkpoints: a long trial, killed and resumed, ends with the bits of an undisturbed one.

The parent process names a folder in UNROLLED_CHECKPOINTS; if it does not, no checkpoint is written. A file
holds a sha256, followed by the hashed state in torch's own format. The checksum is compared before the
state is read with `weights_only=True`; a damaged file is ignored.
"""

import hashlib
import io
import os
import time
from pathlib import Path
from typing import Any

import torch

from unrolled.bench.errors import BadInput
from unrolled.bench.files.atomic_files import save_file
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.hardware import machine
from unrolled.bench.hardware.machine_kind import find_machine_kind

FOLDER_VARIABLE = "UNROLLED_CHECKPOINTS"
INTERVAL_VARIABLE = "UNROLLED_CHECKPOINT_SECONDS"
"""The time between two checkpoints: 60 s by default. Shorter trials write none."""


class Checkpoint:
    """The last stored state of one trial. It is written at intervals of time, which change no result.

    It is resumed only on the kind of machine that wrote it, because another kind would end with other bits.
    The file's name holds the trial, the device and a hash of the kind (see `bench.hardware.machine_kind`).
    """

    def __init__(self, trial_id: str, device: torch.device) -> None:
        self.path: Path | None = None
        if folder := os.environ.get(FOLDER_VARIABLE):
            self.path = Path(folder) / f"{trial_id}.{device.type}.{_hash_machine_kind(device.type)}.pt"
        self.interval = float(os.environ.get(INTERVAL_VARIABLE, 60))
        self.last_save = time.monotonic()

    def is_due(self) -> bool:
        """Return True if it is time to save."""
        return self.path is not None and time.monotonic() - self.last_save >= self.interval

    def save(self, state: dict[str, Any]) -> None:
        """Write tensors and plain data atomically. Prints a line if they cannot be written."""
        assert self.path is not None
        buffer = io.BytesIO()
        torch.save(state, buffer)
        body = buffer.getvalue()
        try:
            save_file(self.path, hashlib.sha256(body).digest() + body)
        except BadInput as error:
            print(f"no checkpoint was written: {error}")
        self.last_save = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the stored state, or None if there is none or its checksum is wrong."""
        if self.path is None or not self.path.exists():
            return None
        content = self.path.read_bytes()
        checksum = content[:32]
        body = content[32:]
        if hashlib.sha256(body).digest() != checksum:
            return None
        state: dict[str, Any] = torch.load(io.BytesIO(body), weights_only=True)
        return state


def _hash_machine_kind(device: str) -> str:
    """Return twelve hex digits for the kind of machine that this process runs on."""
    return hashlib.sha256(canonical_json(find_machine_kind(machine.read_machine_facts(device)))).hexdigest()[
        :12
    ]
