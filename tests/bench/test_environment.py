"""What a result says about its machine, and what it keeps to itself."""

import getpass
from pathlib import Path

import pytest
import torch

from bench import environment
from bench.trial import canonical


def test_the_facts_name_what_can_move_a_bit() -> None:
    environment.deterministic()
    facts = environment.facts.__wrapped__()
    assert facts["threads"] == 1 and facts["deterministic"] is True
    assert facts["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {"commit", "dirty", "diff", "python", "platform", "cpu", "cpu_capability", "torch_build"} <= set(
        facts
    )


def test_no_secret_path_or_user_gets_into_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    facts = environment.facts.__wrapped__()
    text = canonical(facts).decode()
    assert facts["variables"]["OMP_NUM_THREADS"] == "1"
    assert set(facts["variables"]) <= set(environment.VARIABLES)
    assert "hunter2" not in text
    assert str(Path(environment.__file__).parent) not in text and f"/{getpass.getuser()}" not in text


def test_without_git_there_is_no_commit_and_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.code_version() == {"commit": "", "dirty": False, "diff": ""}


def test_determinism_is_set_whatever_was_set_before() -> None:
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    environment.deterministic()
    assert torch.get_default_dtype() is torch.float32 and torch.is_grad_enabled()
    assert torch.get_num_threads() == 1 and torch.are_deterministic_algorithms_enabled()
