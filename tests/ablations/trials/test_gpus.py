"""Which GPU a trial's process sees, and what becomes of it where the GPU is crowded, full or lost."""

from collections import Counter
from pathlib import Path

import pytest
import stub_trials
from gpu_trials import WORK, trial
from nvml_stand_in import Machine, uuid

from ablations.ledger import Ledger
from ablations.trials.gpus import Gpus, Slot
from ablations.trials.process import Limits
from ablations.trials.runner import Counts, run_trials
from bench.devices import usable
from bench.trial import BadInput, Result, Trial


def ran(ledger: Ledger, trials: list[Trial], workers: int, **words) -> dict[int, Result]:
    """The results by seed, of trials on the GPUs that there are."""
    run_trials(trials, ledger, work=WORK, workers=workers, gpus=usable().gpus, **words)
    return {result.trial.seed: result for result in ledger.results(each.id for each in trials).values()}


@pytest.mark.parametrize(
    ("machine", "slots", "expected"),
    [
        ([{}], 3, {uuid(0): 3}),
        ([{}] * 2, 4, {uuid(0): 2, uuid(1): 2}),
        ([{}] * 8, 8, {uuid(index): 1 for index in range(8)}),
        ([{"mig": [{}, None, {}]}, {}], 3, {uuid(0, 0): 1, uuid(0, 2): 1, uuid(1): 1}),
        ([{"used": 79_900}, {}], 2, {uuid(1): 2}),
        ([{"used": 79_000}, {}], 3, {uuid(0): 1, uuid(1): 2}),
    ],
    ids=["one", "two", "eight", "instances", "one full", "one with room for one"],
)
def test_slots_are_spread_over_gpus_and_each_trial_sees_its_own_alone(
    nvml: Machine, ledger: Ledger, tmp_path: Path, machine: list, slots: int, expected: dict[str, int]
) -> None:
    nvml.has(*machine)
    (tmp_path / "log").touch()
    trials = [trial(seed, "meets", log=str(tmp_path / "log"), slots=slots) for seed in range(slots)]
    results = ran(ledger, trials, slots)
    assert Counter(r.environment["CUDA_VISIBLE_DEVICES"] for r in results.values()) == expected
    assert {r.environment["CUDA_DEVICE_ORDER"] for r in results.values()} == {"PCI_BUS_ID"}
    known = {gpu.uuid: gpu.index for gpu in usable().gpus}
    for result in results.values():
        seen = result.environment["CUDA_VISIBLE_DEVICES"]
        assert (result.environment["gpu_uuid"], result.environment["gpu_index"]) == (seen, known[seen])
        assert result.environment["trials_at_a_time"] == slots


def test_a_trial_on_the_cpu_sees_no_gpu(nvml: Machine, ledger: Ledger) -> None:
    nvml.has({})
    (result,) = ran(ledger, [trial(device="cpu")], 1).values()
    assert result.environment["CUDA_VISIBLE_DEVICES"] == ""
    assert "gpu_uuid" not in result.environment and "gpu_memory_used" not in result.metrics


def test_a_users_own_code_sees_the_trials_gpu_from_its_first_line(
    nvml: Machine, ledger: Ledger, tmp_path: Path
) -> None:
    """As torch looks for GPUs once, and a plug-in may let it."""
    nvml.has({}, {})
    seen, plug_in = tmp_path / "seen", tmp_path / "mine.py"
    plug_in.write_text(
        "import os\nfrom pathlib import Path\nfrom bench.plugins import regularizer\n\n"
        f"Path({str(seen)!r}).write_text(os.environ.get('CUDA_VISIBLE_DEVICES', 'all'))\n\n"
        "@regularizer('own')\ndef own(output):\n    return output.raw.mean()\n"
    )
    assert ran(ledger, [trial()], 1, preload=[str(plug_in)])[0].done
    assert seen.read_text() == uuid(0)


def test_a_trial_goes_to_the_gpu_with_the_fewest_trials(nvml: Machine) -> None:
    nvml.has({}, {})
    cards, begun = Gpus(usable().gpus, 4, pytest.fail), []

    def begin(slot: Slot) -> Result:
        begun.append(slot.gpu.index)
        if len(begun) < 4:
            cards.run(begin)  # while this one is on its GPU
        return stub_trials.steady(trial())

    cards.run(begin)
    cards.close()
    assert begun == ["0", "1", "0", "1"]


def test_no_gpu_is_no_slot(nvml: Machine, ledger: Ledger) -> None:
    with pytest.raises(BadInput, match="device cuda: no GPU was given"):
        ran(ledger, [trial()], 1)


def test_out_of_memory_is_tried_again_once_no_other_trial_is_on_the_gpu(
    nvml: Machine, ledger: Ledger, tmp_path: Path
) -> None:
    nvml.has({})
    log = tmp_path / "log"
    log.touch()
    act = "runs_out_of_memory_in_company"
    results = ran(ledger, [trial(seed, act, log=str(log)) for seed in range(4)], 2)
    assert all(result.done for result in results.values())
    assert results[0].attempts == 2
    lines = [line.rsplit(" ", 1)[0] for line in log.read_text().splitlines()]
    again = len(lines) - 1 - lines[::-1].index("0 begins")
    assert lines[again + 1] == "0 ends", f"{lines}: another began beside it"
    assert lines[:again].count("1 begins") == lines[:again].count("1 ends") == 1


def test_out_of_memory_alone_is_a_failure(nvml: Machine, ledger: Ledger, tmp_path: Path) -> None:
    nvml.has({})
    (result,) = ran(ledger, [trial(0, "never_has_memory", log=str(tmp_path / "log"))], 1).values()
    assert result.reason.startswith("out of memory (CUDA out of memory.") and result.attempts == 2
    assert (tmp_path / "log").read_text().count("begins") == 2


@pytest.fixture
def later(nvml: Machine, ledger: Ledger, tmp_path: Path):
    """Train as many trials on GPUs of which the first changes before they begin, and then fails them."""

    def train(now: list[dict], failure: str, count: int) -> Counter[str]:
        nvml.has(*[{}] * len(now))
        found = usable().gpus
        nvml.has(*now)
        (tmp_path / "there").write_text(uuid(0))
        words = {"there": str(tmp_path / "there"), "failure": failure}
        trials = [trial(seed, "fails_there", **words) for seed in range(count)]
        assert run_trials(trials, ledger, work=WORK, workers=2, gpus=found) == Counts(done=count)
        results = ledger.results(each.id for each in trials).values()
        return Counter(result.environment["CUDA_VISIBLE_DEVICES"] for result in results)

    return train


def test_a_gpu_that_others_have_filled_gets_no_more_trials(later, warned: list[str]) -> None:
    assert later([{"used": 79_900}, {}], "finds no memory", 3) == {uuid(1): 3}
    assert warned == ["GPU 0 (GPU-00000000) has 100 MiB free, a trial needs 600: it gets no more trials"]


@pytest.mark.parametrize(("failure", "now"), [("loses its GPU", {"lost": True}), ("finds no GPU", {})])
def test_a_trial_whose_gpu_disappears_is_tried_on_another(
    later, warned: list[str], failure: str, now: dict
) -> None:
    """As NVML says, or as torch does."""
    assert later([now, {}], failure, 4) == {uuid(1): 4}
    assert len(warned) == 1 and warned[0].startswith("GPU 0 (GPU-00000000) is lost (")
    assert warned[0].endswith("): it gets no more trials")


def test_without_any_gpu_left_the_run_ends_with_a_line_and_keeps_what_it_has(later, ledger: Ledger) -> None:
    kept = trial(9, device="cpu")
    run_trials([kept], ledger, work=WORK)
    with pytest.raises(BadInput, match=r"^no GPU is left: GPU 0 \(GPU-00000000\) is lost \(.*\); see"):
        later([{"lost": True}], "loses its GPU", 1)
    assert list(ledger.files()) == [kept.id]


def test_a_trial_that_calls_every_gpu_lost_is_a_failure_after_as_many_as_attempts(
    nvml: Machine, ledger: Ledger, warned: list[str]
) -> None:
    nvml.has(*[{}] * 5)
    limits = Limits(attempts=2)
    (result,) = ran(ledger, [trial(0, "calls_its_gpu_lost")], 5, limits=limits).values()
    assert "no CUDA-capable device" in result.reason and result.attempts == 2
