"""Epoch checkpoints: a long trial, killed and resumed, ends with the bits of an undisturbed one.

The parent names a folder in UNROLLED_CHECKPOINTS; without it nothing is kept. A file is the sha256 of what
follows, and that in torch's own format, read with `weights_only=True` after the checksum. A damaged file
counts as none.
"""

import hashlib
import io
import os
import time
from pathlib import Path
from typing import Any

import torch

from unrolled.bench import machine
from unrolled.bench.errors import BadInput
from unrolled.bench.files import save
from unrolled.bench.machine_kind import kind
from unrolled.bench.trial import canonical

FOLDER = "UNROLLED_CHECKPOINTS"
EVERY = "UNROLLED_CHECKPOINT_SECONDS"
"""How long training goes on before its state is written again: 60 s. Shorter trials write none."""


class Checkpoint:
    """The last stored state of one trial. The clock decides when it is written; results do not depend on it.

    It is resumed only on the kind of machine that wrote it, since another kind would end with other bits;
    the file's name holds the trial, the device and a hash of the kind (see `bench.machine_kind`).
    """

    def __init__(self, trial_id: str, device: torch.device) -> None:
        folder = os.environ.get(FOLDER)
        self.path = Path(folder) / f"{trial_id}.{device.type}.{_kind(device.type)}.pt" if folder else None
        self.every = float(os.environ.get(EVERY, 60))
        self.last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to write."""
        return self.path is not None and time.monotonic() - self.last >= self.every

    def save(self, state: dict[str, Any]) -> None:
        """Write tensors and plain data atomically. If they cannot be written, a line is printed."""
        assert self.path is not None
        buffer = io.BytesIO()
        torch.save(state, buffer)
        body = buffer.getvalue()
        try:
            save(self.path, hashlib.sha256(body).digest() + body)
        except BadInput as error:
            print(f"no checkpoint was written: {error}")
        self.last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The stored state; None if there is none or its checksum is wrong."""
        if self.path is None or not self.path.exists():
            return None
        data = self.path.read_bytes()
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            return None
        state: dict[str, Any] = torch.load(io.BytesIO(data[32:]), weights_only=True)
        return state


def _kind(device: str) -> str:
    """Twelve hex digits of this process's kind of machine."""
    return hashlib.sha256(canonical(kind(machine.facts(device)))).hexdigest()[:12]
