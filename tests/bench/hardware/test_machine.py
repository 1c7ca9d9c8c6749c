"""What a result says about its machine, and what it keeps to itself."""

import subprocess
from pathlib import Path

import pytest
import torch

from unrolled.bench.chapter import torch_device
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.hardware import machine


def test_the_facts_of_a_machine_hold_no_secret_path_or_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secrets = {"MLFLOW_TRACKING_PASSWORD": "hunter2", "USER": "someone-here", "HOME": "/home/someone-here"}
    for name, value in {**secrets, "OMP_NUM_THREADS": "1"}.items():
        monkeypatch.setenv(name, value)
    torch_device.make_deterministic()
    facts = machine.read_machine_facts()
    assert facts["threads"] == 1
    assert facts["deterministic"] is True
    assert facts["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    names = ("commit", "dirty", "diff", "python", "platform", "cpu", "cpu_capability", "torch_build")
    assert set(names) <= set(facts)
    assert facts["variables"]["OMP_NUM_THREADS"] == "1"
    assert set(facts["variables"]) <= set(machine.VARIABLES)
    text = canonical_json(facts).decode()
    assert not any(s in text for s in ("hunter2", "someone-here", str(Path(machine.__file__).parent)))


def test_without_git_there_is_no_commit_and_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.read_code_version.__wrapped__() == {"commit": "", "dirty": False, "diff": ""}


def test_a_changed_file_may_be_in_any_encoding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, need) -> None:
    need("git")
    code = tmp_path / "machine.py"
    monkeypatch.setattr(machine, "__file__", str(code))
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "as it was"]):
        code.write_bytes(b"as it was")
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True)
    clean = machine.read_code_version.__wrapped__()
    code.write_bytes(b"caf\xe9")  # Latin-1
    edited = machine.read_code_version.__wrapped__()
    assert (len(clean["commit"]), clean["dirty"], clean["diff"]) == (40, False, "")
    assert (edited["commit"], edited["dirty"], len(edited["diff"])) == (clean["commit"], True, 12)
