"""A kind of machine is what changes bits, as it is in force in the trial's process."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from unrolled.bench.chapter import torch_device
from unrolled.bench.hardware import machine
from unrolled.bench.hardware.machine_kind import (
    FACTS,
    VARIABLES,
    describe_machine_difference,
    describe_mixed_pairs,
    find_machine_kind,
)

OTHERWISE = """
import json, torch
torch.backends.mkldnn.enabled = False
from unrolled.bench.hardware import machine
from unrolled.bench.chapter import torch_device
torch_device.make_deterministic()
print(json.dumps(machine.read_machine_facts()))
"""


def test_the_threads_in_force_in_a_process_are_of_the_kind() -> None:
    """And the build of torch, whose text names the capability of the CPU, is not its echo."""
    torch_device.make_deterministic()
    kind = find_machine_kind(machine.read_machine_facts())
    assert kind["torch"]
    assert kind["threads"] == "1"
    differences = ["ONEDNN_MAX_CPU_ISA not set / SSE41"]
    if kind["mkldnn"] != "off":  # else this torch has no oneDNN
        differences.insert(0, "oneDNN on / off")
    if kind["cpu_capability"] != "DEFAULT":  # else this CPU has no other capability
        differences.insert(0, f"cpu capability {kind['cpu_capability']} / DEFAULT")
    shell = {"ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "2", "ONEDNN_MAX_CPU_ISA": "SSE41"}
    output = subprocess.check_output([sys.executable, "-c", OTHERWISE], env={**os.environ, **shell})
    assert describe_machine_difference([kind, find_machine_kind(json.loads(output))]) == ", ".join(
        differences
    )
    assert set(VARIABLES) < set(machine.VARIABLES)


NAMES = ("CUBLAS_WORKSPACE_CONFIG", "CUBLASLT_WORKSPACE_SIZE", "TORCH_CUBLASLT_UNIFIED_WORKSPACE")


@pytest.mark.parametrize("name", NAMES)
def test_the_workspace_of_a_gpu_is_part_of_its_kind_alone(name: str) -> None:
    set_ = {"variables": {name: "1"}}
    unset: Mapping[str, Mapping[str, str]] = {"variables": {}}
    on_gpu, on_cpu = (
        [find_machine_kind({"device": device, **variables}) for variables in (unset, set_)]
        for device in ("cuda", "cpu")
    )
    assert (describe_machine_difference(on_gpu), describe_machine_difference(on_cpu)) == (
        f"{name} not set / 1",
        "",
    )


def test_a_cpu_capability_of_unknown_effect_is_of_the_kind() -> None:
    unset = {"device": "cpu", "variables": {}}
    set_ = {"device": "cpu", "variables": {"ATEN_CPU_CAPABILITY": "default"}}
    difference = "ATEN_CPU_CAPABILITY not set / default"
    assert describe_machine_difference([find_machine_kind(unset), find_machine_kind(set_)]) == difference
    kinds = [find_machine_kind({"cpu_capability": "DEFAULT", **variables}) for variables in (unset, set_)]
    assert describe_machine_difference(kinds) == ""


@pytest.mark.parametrize("name", FACTS)
def test_every_fact_of_a_kind_tells_two_machines_apart(name: str) -> None:
    first, second = ({"packages": {"torch": v}} if name == "torch" else {name: v} for v in ("a", "b"))
    assert (
        describe_machine_difference([find_machine_kind(first), find_machine_kind(second)])
        == f"{FACTS[name]} a / b"
    )


def test_a_trial_on_the_cpu_has_another_kind_than_on_a_gpu() -> None:
    """By the device alone: a missing fact is not counted, and a CPU's trial has no fact of a GPU."""
    first = {"device": "cpu"}
    second = {"device": "cuda", "gpu": "H100", "driver": "570.1", "cuda": "12.8"}
    assert (
        describe_machine_difference([find_machine_kind(first), find_machine_kind(second)])
        == "device cpu / cuda"
    )


def test_an_unknown_fact_is_no_difference() -> None:
    for kinds in ([{}, {"cpu": "a"}], [{"cpu": "a"}, {"cpu": "a", "gpu": "H100"}]):
        assert describe_machine_difference(kinds) == ""
    assert find_machine_kind({"variables": None, "packages": None, "commit": "abc", "cpu": ""}) == {}


def test_pairs_of_two_kinds_are_counted_and_named() -> None:
    a = {"threads": "1"}
    b = {"threads": "2"}
    assert describe_mixed_pairs([(a, a), (b, b), ({}, a)]) == describe_mixed_pairs([]) == ""
    sentence = describe_mixed_pairs([(a, b), (a, a)])
    assert "1 of 2 pairs" in sentence
    assert "(threads 1 / 2)" in sentence


def test_a_long_value_of_a_fact_is_cut_in_a_sentence() -> None:
    long_value = "a" * 60
    difference = describe_machine_difference([{"cpu": long_value}, {"cpu": "b"}])
    assert difference.endswith(f" {long_value[:39]}… / b")
