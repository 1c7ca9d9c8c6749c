"""The cores that trials are trained on."""

import subprocess
import sys
from pathlib import Path

import pytest

from unrolled.bench.hardware.devices import count_cores

COUNT = "from unrolled.bench.hardware.devices import count_cores; print(count_cores())"
HALF = {
    "v2": {"cpu.max": "50000 100000\n"},
    "v1": {"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"},
}


@pytest.mark.skipif(count_cores() == 1, reason="there is one core in any case")
@pytest.mark.parametrize("version", HALF)
def test_a_container_with_half_a_core_counts_one_and_not_the_machines(
    tmp_path: Path, version: str, need
) -> None:
    """As `docker --cpus=.5`: in a mount namespace whose control group says so."""
    need("unshare", "mount")
    for name, value in HALF[version].items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(value)
    script = f'mount --bind "{tmp_path}" /sys/fs/cgroup && exec "{sys.executable}" -c "{COUNT}"'
    command = ["unshare", "--mount", "sh", "-c", script]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        pytest.skip(f"needs the right to mount: {process.stderr}")
    assert process.stdout == "1\n"
