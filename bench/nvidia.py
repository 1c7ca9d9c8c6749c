"""What nvidia-smi says of a GPU. Also for processes that have no torch: it comes with the driver."""

import functools
import os
import shutil
import subprocess
from contextlib import suppress


def asked() -> dict[str, float]:
    """The first visible GPU's utilisation (%) and memory in use (MiB), or nothing where there is none."""
    with suppress(ValueError):
        busy, memory = map(float, _ask("utilization.gpu", "memory.used"))
        return {"gpu": busy, "gpu_memory": memory}
    return {}


@functools.cache
def driver() -> str:
    """The driver's version, or "" where there is none."""
    return next(iter(_ask("driver_version")), "")


def _ask(*what: str) -> list[str]:
    """What nvidia-smi answers, in the order of the question; nothing where it cannot."""
    program, visible = shutil.which("nvidia-smi"), os.environ.get("CUDA_VISIBLE_DEVICES")
    if program is None or visible == "":
        return []
    words = [program, f"--query-gpu={','.join(what)}", "--format=csv,noheader,nounits"]
    if visible:
        words.append(f"--id={visible}")
    with suppress(OSError, subprocess.SubprocessError, IndexError):
        said = subprocess.run(words, capture_output=True, text=True, timeout=5, check=True).stdout
        return [part.strip() for part in said.splitlines()[0].split(",")]
    return []
