"""What nvidia-smi says of a GPU. Also for processes that have no torch: it comes with the driver."""

import os
import shutil
import subprocess
from contextlib import suppress


def asked() -> dict[str, float]:
    """The first visible GPU's utilisation (%) and memory in use (MiB), or nothing where there is none."""
    program, visible = shutil.which("nvidia-smi"), os.environ.get("CUDA_VISIBLE_DEVICES")
    if program is None or visible == "":
        return {}
    ask = [program, "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
    if visible:
        ask.append(f"--id={visible}")
    with suppress(OSError, subprocess.SubprocessError, ValueError, IndexError):
        said = subprocess.run(ask, capture_output=True, text=True, timeout=5, check=True).stdout
        busy, memory = said.splitlines()[0].split(",")
        return {"gpu": float(busy), "gpu_memory": float(memory)}
    return {}
