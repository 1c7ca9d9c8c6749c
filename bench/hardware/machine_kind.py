"""Kinds of machine: the facts of a result that can change the bits of a trial. Imports no torch.

A trial gives the same bits on every machine of one kind. Results from different kinds may differ in rounding:
such pairs are listed, their speeds are not compared, and a checkpoint from another kind is not resumed.
"""

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from unrolled.bench.phrases import choose_form, plural

FACTS = {
    "cpu": "cpu",
    "cpu_capability": "cpu capability",
    "mkldnn": "oneDNN",
    "threads": "threads",
    "torch": "torch",
    "torch_build": "torch build",
    "device": "device",
    "gpu": "gpu",
    "driver": "driver",
    "cuda": "CUDA",
    "cudnn": "cuDNN",
}
"""Facts of `bench.hardware.machine.read_machine_facts` by name, and as a sentence calls them."""

GPU_VARIABLES = (
    "TORCH_BLAS_PREFER_CUBLASLT",
    "TORCH_CUDNN_USE_HEURISTIC_MODE_B",
    "TORCH_CUDNN_V8_API_DISABLED",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUBLASLT_WORKSPACE_SIZE",
    "TORCH_CUBLASLT_UNIFIED_WORKSPACE",
    "NVIDIA_TF32_OVERRIDE",
)
"""The members of `VARIABLES` that change nothing on a CPU."""

CAPABILITY_VARIABLE = "ATEN_CPU_CAPABILITY"
"""The variable that decides the fact `cpu_capability`, which only a process that has loaded torch knows."""

VARIABLES = (
    CAPABILITY_VARIABLE,
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
    "OPENBLAS_CORETYPE",
    "GLIBC_TUNABLES",
    "TORCH_LINEAR_FLATTEN_3D",
    "TORCH_MKLDNN_MATMUL_MIN_DIM",
    *GPU_VARIABLES,
)
"""Environment variables that choose other arithmetic, and whose effect cannot be read back."""

_VALUE_LENGTH = 40  # characters of a value in a sentence
_VALUES_NAMED = 3  # values of a fact that a sentence names


def find_machine_kind(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts of a result's provenance that define its kind of machine; {} if it records none."""
    packages, variables = (provenance.get(part) or {} for part in ("packages", "variables"))
    values = {**provenance, "torch": packages.get("torch")}
    facts = {name: _format_fact(values[name]) for name in FACTS if values.get(name) not in (None, "")}
    idle_variables = [*GPU_VARIABLES] if facts.get("device") == "cpu" else []
    idle_variables += [CAPABILITY_VARIABLE] if "cpu_capability" in facts else []
    decisive_variables = [name for name in VARIABLES if name in variables and name not in idle_variables]
    return facts | {name: _format_fact(variables[name]) for name in decisive_variables}


def describe_machine_difference(kinds: Iterable[Mapping[str, str]]) -> str:
    """Return the facts that differ between kinds of machine: "threads 1 / 2"; "" if none is known to differ.

    An environment variable that a kind lacks was not set there. Any other missing fact is unknown, and does
    not count as a difference.
    """
    recorded_kinds = [kind for kind in kinds if kind]
    differences = []
    for name in dict.fromkeys(chain.from_iterable(recorded_kinds)):
        default = "not set" if name in VARIABLES else None
        facts = [kind.get(name, default) for kind in recorded_kinds]
        values = list(dict.fromkeys(fact for fact in facts if fact is not None))
        if len(values) > 1:
            differences.append(f"{FACTS.get(name, name)} {' / '.join(map(_shorten, values[:_VALUES_NAMED]))}")
    return ", ".join(differences)


def describe_mixed_pairs(pairs: Iterable[tuple[Mapping[str, str], Mapping[str, str]]]) -> str:
    """Return a clause on the pairs whose sides ran on different kinds of machine; "" if there are none."""
    pairs = list(pairs)
    mixed_pairs = [pair for pair in pairs if pair[0] != pair[1] and describe_machine_difference(pair)]
    if not mixed_pairs:
        return ""
    verb = choose_form(len(mixed_pairs), "compares", "compare")
    return (
        f"{len(mixed_pairs)} of {plural(len(pairs), 'pair')} {verb} results of two kinds of machine "
        f"({describe_machine_difference(chain.from_iterable(mixed_pairs))}): "
        "their differences include rounding of the machine"
    )


def _format_fact(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _shorten(value: str) -> str:
    return value if len(value) <= _VALUE_LENGTH else value[: _VALUE_LENGTH - 1].rstrip() + "…"
