"""The ledger of results: what it stores, and what it refuses to read."""

import errno
import json
import os
import random
import subprocess
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from tests.helpers.bad_input import raises_bad_input
from tests.helpers.stub_trials import make_trial, steady
from unrolled.ablations.ledger import Ledger
from unrolled.bench.files.atomic_files import save_file
from unrolled.bench.files.canonical_json import canonical_json
from unrolled.bench.trial import RESULT_FORMAT, Result, make_failed_result


def list_files(folder: Path) -> list[str]:
    """Return the files below a folder, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_recorded_result_reads_back_to_the_same_bits(ledger: Ledger) -> None:
    result = steady(make_trial(7))
    ledger.record_result(result)
    assert ledger.read_result(result.trial.id) == result
    text = ledger.find_result_path(result.trial.id).read_text("ascii")
    assert list(json.loads(text)) == ["details", "format", "result", "sha256"]
    assert text.count("\n") == 1
    mark = json.loads(text)["details"]
    stem = f"{result.trial.id[:2]}/{result.trial.id}"
    assert list_files(ledger.root) == [f"details/{stem}.{mark[:16]}.json", f"trials/{stem}.json"]


def test_equal_parts_of_results_are_in_memory_once(ledger: Ledger) -> None:
    witness: dict[str, float] = {"ok": True, "declared": 1, "seen": 1}
    for seed, value in enumerate((witness, witness, {**witness, "seen": 1.0}, {**witness, "seen": True})):
        ledger.record_result(
            replace(steady(make_trial(seed)), witnesses={"alpha": value}, provenance={"cpu": "one"})
        )
    results = [*ledger.read_results(make_trial(seed).id for seed in range(4)).values()]
    assert len({id(result.provenance) for result in results}) == 1
    first, second, *other_witnesses = (result.witnesses["alpha"] for result in results)
    assert first is second
    assert [type(witness_read["seen"]) for witness_read in other_witnesses] == [float, bool]


def flip_bits(content: bytes, bits: Iterable[int]) -> Iterator[bytes]:
    """Yield the content with one of these bits flipped."""
    for bit in bits:
        data = bytearray(content)
        data[bit // 8] ^= 1 << bit % 8
        yield bytes(data)


def test_every_truncation_and_flipped_bit_of_details_is_noticed(ledger: Ledger, warnings: list[str]) -> None:
    ledger.record_result(steady(make_trial()))
    path, details = ledger.find_trial_files(make_trial().id)
    numbers = path.read_bytes()
    content = details.read_bytes()
    variants = [content[:length] for length in range(0, len(content), 7)]
    variants += flip_bits(content, random.Random(20240229).sample(range(8 * len(content)), 200))
    for data in variants:
        path.write_bytes(numbers)
        details.write_bytes(data)
        assert ledger.read_result(make_trial().id) is None and not path.exists()
    assert len(warnings) == len(variants)


def test_a_replaced_result_never_has_the_details_of_the_one_before(ledger: Ledger) -> None:
    """Two studies may train one trial at once: a reader finds all of the one result or all of the other."""
    first, second = (
        replace(steady(make_trial()), output=word * 9, attempt_seconds=s)
        for word, s in (("a", 1.0), ("b", 2.0))
    )
    stop = threading.Event()

    def write(result: Result) -> None:
        while not stop.is_set():
            ledger.record_result(result)

    ledger.record_result(first)
    threads = [threading.Thread(target=write, args=(result,)) for result in (first, second)]
    for thread in threads:
        thread.start()
    readings = [ledger.read_result(make_trial().id) for _ in range(300)]
    stop.set()
    for thread in threads:
        thread.join()
    assert all(result in (first, second) for result in readings)


@pytest.mark.parametrize("status", ["done", "diverged"])
def test_a_failure_replaces_no_finished_training_which_counts_the_attempts_before(
    ledger: Ledger, status: str
) -> None:
    finished = replace(steady(make_trial()), status=status, started=4.0)
    failures = [make_failed_result(make_trial(), "exit code 1", started=float(i)) for i in (1, 2, 2, 5)]
    for result in (*failures[:3], finished, finished, failures[3]):
        ledger.record_result(result)
    assert ledger.read_result(make_trial().id) == replace(finished, attempts=3)


@pytest.mark.parametrize("renames", [0, 1])
def test_a_kill_while_a_result_is_replaced_leaves_the_earlier_one(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    """After none of its two files was renamed, and after the details were."""
    earlier = steady(make_trial())
    ledger.record_result(earlier)
    replace_file = Path.replace
    calls = iter(range(9))

    def kill_at_rename(self: Path, target: Path) -> Path:
        if next(calls) == renames:
            os._exit(9)
        return replace_file(self, target)

    monkeypatch.setattr(Path, "replace", kill_at_rename)
    if (child := os.fork()) == 0:
        ledger.record_result(replace(earlier, output="another"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert ledger.read_result(make_trial().id) == earlier


def test_every_truncation_and_flipped_bit_is_noticed_and_set_aside(
    ledger: Ledger, warnings: list[str]
) -> None:
    """Of the envelope every bit: one of the format turns 1 into 3, which is damage and no newer version."""
    ledger.record_result(steady(make_trial()))
    path = ledger.find_result_path(make_trial().id)
    content = path.read_bytes()
    count = 8 * len(content)
    head = 8 * content.index(b'"result"')
    tail = 8 * content.rindex(b'"sha256"')
    bits = {*range(head), *range(tail, count), *random.Random(20240229).sample(range(count), 200)}
    variants = [*(content[:length] for length in range(len(content))), *flip_bits(content, bits)]
    for data in variants:
        path.write_bytes(data)
        assert ledger.read_result(make_trial().id) is None and not path.exists(), data
    moved_files = {line.rpartition("moved to ")[2] for line in warnings}
    assert moved_files == {str(path) for path in (ledger.root / "set-aside").iterdir()}
    assert len(moved_files) == len(variants) > 1200
    ledger.record_result(steady(make_trial()))
    assert ledger.read_result(make_trial().id) == steady(make_trial())


def write_in_format(ledger: Ledger, result_format: int, result: dict) -> Path:
    """Write a sealed result in a format and return its path."""
    body = {"format": result_format, "result": result}
    path = ledger.find_result_path(make_trial().id)
    save_file(path, canonical_json({**body, "sha256": sha256(canonical_json(body)).hexdigest()}) + b"\n")
    return path


@pytest.mark.parametrize("result_format", [RESULT_FORMAT - 1, RESULT_FORMAT + 1])
def test_another_format_is_refused_and_its_file_left_alone(ledger: Ledger, result_format: int) -> None:
    path = write_in_format(ledger, result_format, {"something": "else"})
    with raises_bad_input(f"format {result_format}", place=path):
        ledger.read_result(make_trial().id)
    assert path.exists()


@pytest.mark.parametrize("result", [{"something": "else"}, steady(make_trial(1)).to_dict()])
def test_a_sealed_file_of_something_else_is_set_aside(
    ledger: Ledger, warnings: list[str], result: dict
) -> None:
    write_in_format(ledger, RESULT_FORMAT, result)
    assert ledger.read_result(make_trial().id) is None
    assert len(warnings) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_failed_write_is_one_line_and_leaves_the_earlier_result(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    earlier = steady(make_trial())
    ledger.record_result(earlier)
    _, details_file = ledger.find_trial_files(make_trial().id)

    def raise_error(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", raise_error)
        with raises_bad_input(os.strerror(number), place=details_file):
            ledger.record_result(replace(earlier, attempt_seconds=9.0))
    assert ledger.read_result(make_trial().id) == earlier
    assert len(list_files(ledger.root)) == 2, "the half-written files are gone"


def test_a_full_disk_loses_nothing_and_can_be_resumed(tmp_path: Path, small_disk) -> None:
    with small_disk(tmp_path / "disk", "128k"):
        ledger = Ledger(tmp_path / "disk" / "results")
        trials = [make_trial(seed) for seed in range(40)]
        with raises_bad_input(os.strerror(errno.ENOSPC)):
            for stub in trials:
                ledger.record_result(steady(stub))
        results = ledger.read_results(stub.id for stub in trials)
        assert 0 < len(results) < 40
        assert len([name for name in list_files(ledger.root) if name.endswith(".json")]) == 2 * len(results)
        subprocess.run(["mount", "-o", "remount,size=1m", str(tmp_path / "disk")], check=True)
        for stub in trials:
            if stub.id not in results:
                ledger.record_result(steady(stub))
        assert len(ledger.read_results(stub.id for stub in trials)) == 40


def test_a_read_only_disk_can_be_read_and_refuses_writes(
    tmp_path: Path, small_disk, warnings: list[str]
) -> None:
    with small_disk(tmp_path / "disk", "1m"):
        ledger = Ledger(tmp_path / "disk", warnings.append)
        ledger.record_result(steady(make_trial()))
        empty_file = ledger.find_result_path(make_trial(9).id)
        empty_file.parent.mkdir(exist_ok=True)
        empty_file.touch()
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "disk")], check=True)
        assert ledger.read_result(make_trial().id) == steady(make_trial())
        assert ledger.read_result(make_trial(9).id) is None and empty_file.exists()
        assert os.strerror(errno.EROFS) in warnings[0]
        for seed in range(2):  # of an existing folder, and of one to be made
            with raises_bad_input(os.strerror(errno.EROFS)):
                ledger.record_result(steady(make_trial(seed)))
        with raises_bad_input(os.strerror(errno.EROFS)), ledger.lock_study("study"):
            pass


def test_a_file_or_folder_in_the_way_is_refused_by_name(tmp_path: Path, ledger: Ledger) -> None:
    taken = tmp_path / "taken"
    taken.write_text("in the way")
    with raises_bad_input(place=taken):
        Ledger(taken).record_result(steady(make_trial()))
    path = ledger.find_result_path(make_trial().id)
    path.mkdir(parents=True)
    with raises_bad_input(os.strerror(errno.EISDIR), place=path):
        ledger.read_result(make_trial().id)


def test_a_study_that_runs_keeps_others_out_until_it_is_killed(ledger: Ledger, start_study) -> None:
    study = start_study(ledger.root, count=4, sleep=30)
    study.read_until("start")
    with raises_bad_input("'stub'", study.process.pid), ledger.lock_study("stub"):
        pass
    with raises_bad_input("a study of this ledger"), ledger.lock_all():
        pass
    with ledger.lock_study("another study"):
        pass
    study.kill()
    locks = (ledger.root / "locks").iterdir()
    stale = next(path for path in locks if path.read_text() == f"{study.process.pid}\n")
    with ledger.lock_study("stub"), ledger.lock_study("another study"):
        assert stale.read_text() == f"{os.getpid()}\n"
    with ledger.lock_all(), raises_bad_input("removed", os.getpid()), ledger.lock_study("stub"):
        pass


def test_a_study_that_measures_costs_is_run_beside_no_other(ledger: Ledger) -> None:
    """Two such runs trained side by side, each one trial at a time."""
    with (
        ledger.lock_study("costs", alone=True),
        raises_bad_input("cost", os.getpid()),
        ledger.lock_study("b"),
    ):
        pass
    with ledger.lock_study("b"), raises_bad_input("alone"), ledger.lock_study("costs", alone=True):
        pass


def test_a_lock_is_free_after_its_block_whatever_its_name(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), ledger.lock_study(""):
        1 / 0  # noqa: B018
    for name in ("../../etc/passwd", "a\0b", "x" * 5000, "", "<script>"):
        with ledger.lock_study(name):
            pass
    folders = [name.rpartition("/")[0] for name in list_files(ledger.root) if name.startswith("locks")]
    assert folders == ["locks"] * 6, "and the ledger's own"
