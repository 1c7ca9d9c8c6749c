"""Trials of device cuda on a machine without a GPU: they are trained on the CPU, and all else is as on a GPU.

A sitecustomize.py imports this, so that every process of a command has it: NVML is the stand-in, torch counts
as fit for its GPUs, and where a trial asks torch for a GPU it gets the CPU.
"""

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from tests.helpers import nvml_stand_in

nvml_stand_in.install()


def _on_the_cpu(torch_device: ModuleType) -> None:
    torch_device.select_device = lambda kind: torch_device.torch.device("cpu")  # type: ignore[attr-defined]


def _nameless(machine: ModuleType) -> None:
    machine._read_gpu_facts = lambda: {"gpu": "stand-in"}  # type: ignore[attr-defined]


def _fit_for_torch(devices: ModuleType) -> None:
    devices._find_torch_fault = lambda gpus: ""  # type: ignore[attr-defined]


CHANGED: dict[str, Callable[[ModuleType], None]] = {
    "unrolled.bench.chapter.torch_device": _on_the_cpu,
    "unrolled.bench.hardware.machine": _nameless,
    "unrolled.bench.hardware.devices": _fit_for_torch,
}


class Finder(importlib.abc.MetaPathFinder):
    """Finds these modules as they are, and changes them once they are loaded."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name not in CHANGED:
            return None
        change = CHANGED.pop(name)  # now it is found as ever
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.loader is not None
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            change(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, Finder())
