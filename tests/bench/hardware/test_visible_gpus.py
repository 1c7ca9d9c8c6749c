"""Which GPUs are visible, over a stand-in for the driver's library."""

import inspect

import pynvml
import pytest

from tests.helpers import nvml_stand_in as stand_in
from tests.helpers.bad_input import raises_bad_input
from tests.helpers.nvml_stand_in import Machine, uuid
from unrolled.bench.hardware.devices import check_gpus, list_visible_gpus


def test_the_stand_in_is_called_as_pynvml_is() -> None:
    for name in stand_in.FUNCTIONS:
        theirs = inspect.signature(getattr(pynvml, name)).parameters
        assert list(inspect.signature(getattr(stand_in, name)).parameters) == list(theirs), name


@pytest.mark.parametrize(
    ("machine", "variable", "indices"),
    [
        (0, None, []),
        (8, None, [*range(8)]),
        (8, "", []),
        (8, "-1", []),
        (8, "NoDevFiles", []),
        (8, "3", [3]),
        (8, " 5, 0 ", [5, 0]),
        (8, "1,1", [1]),
        (8, "1,8,2", [1]),
        (8, "1,-1,2", [1]),
        (8, uuid(6), [6]),
        (8, f"{uuid(6)[:12]},2", [6, 2]),
        (8, "GPU-0000", []),
        (8, "MIG-0000", []),
    ],
)
def test_gpus_are_named_up_to_the_first_name_that_fits_none(
    nvml: Machine, monkeypatch: pytest.MonkeyPatch, machine: int, variable: str | None, indices: list
) -> None:
    nvml.has(machine)
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert [gpu.uuid for gpu in list_visible_gpus()] == [uuid(index) for index in indices]


def test_without_a_driver_no_gpu_is_visible(nvml: Machine) -> None:
    nvml.path.unlink()
    assert list_visible_gpus() == ()
    with raises_bad_input("--device cpu", place="device cuda"):
        check_gpus(list_visible_gpus(), 1)


def test_trials_on_the_cpu_need_no_gpu() -> None:
    check_gpus((), 0, with_torch=True)
