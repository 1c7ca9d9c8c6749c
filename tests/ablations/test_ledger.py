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
from stub_trials import steady, trial

from unrolled.ablations.ledger import Ledger
from unrolled.bench.errors import BadInput
from unrolled.bench.files import save_file
from unrolled.bench.trial import FORMAT, Result, canonical_json, failed_result


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_recorded_result_reads_back_to_the_same_bits(ledger: Ledger) -> None:
    result = steady(trial(7))
    ledger.record(result)
    assert ledger.read(result.trial.id) == result
    text = ledger.path(result.trial.id).read_text("ascii")
    assert list(json.loads(text)) == ["details", "format", "result", "sha256"]
    assert text.count("\n") == 1
    mark, shown = json.loads(text)["details"], f"{result.trial.id[:2]}/{result.trial.id}"
    assert files(ledger.root) == [f"details/{shown}.{mark[:16]}.json", f"trials/{shown}.json"]


def test_equal_parts_of_results_are_in_memory_once_and_numbers_keep_their_types(ledger: Ledger) -> None:
    seen = {"ok": True, "declared": 1, "seen": 1}
    for seed, given in enumerate((seen, seen, {**seen, "seen": 1.0}, {**seen, "seen": True})):
        ledger.record(replace(steady(trial(seed)), witnesses={"alpha": given}, environment={"cpu": "one"}))
    found = [*ledger.results(trial(seed).id for seed in range(4)).values()]
    assert len({id(result.environment) for result in found}) == 1
    first, second, *others = (result.witnesses["alpha"] for result in found)
    assert first is second and [type(other["seen"]) for other in others] == [float, bool]


def flipped(whole: bytes, bits: Iterable[int]) -> Iterator[bytes]:
    """The data with one of these bits the other way round."""
    for bit in bits:
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        yield bytes(data)


def test_every_truncation_and_flipped_bit_of_details_is_noticed(ledger: Ledger, warned: list[str]) -> None:
    ledger.record(steady(trial()))
    path, details = ledger.paths(trial().id)
    numbers, whole = path.read_bytes(), details.read_bytes()
    damaged = [whole[:length] for length in range(0, len(whole), 7)]
    damaged += flipped(whole, random.Random(20240229).sample(range(8 * len(whole)), 200))
    for data in damaged:
        path.write_bytes(numbers)
        details.write_bytes(data)
        assert ledger.read(trial().id) is None and not path.exists()
    assert len(warned) == len(damaged)


def test_a_replaced_result_never_has_the_details_of_the_one_before(ledger: Ledger) -> None:
    """Two studies may train one trial at once: a reader finds all of the one result or all of the other."""
    once, again = (
        replace(steady(trial()), output=word * 9, seconds=s) for word, s in (("a", 1.0), ("b", 2.0))
    )
    ended = threading.Event()

    def write(result: Result) -> None:
        while not ended.is_set():
            ledger.record(result)

    ledger.record(once)
    threads = [threading.Thread(target=write, args=(result,)) for result in (once, again)]
    for thread in threads:
        thread.start()
    read = [ledger.read(trial().id) for _ in range(300)]
    ended.set()
    for thread in threads:
        thread.join()
    assert all(result in (once, again) for result in read)


@pytest.mark.parametrize("status", ["done", "diverged"])
def test_a_failure_never_replaces_a_training_that_ended_and_is_replaced_by_one(
    ledger: Ledger, status: str
) -> None:
    ended, failed = replace(steady(trial()), status=status), failed_result(trial(), "killed by signal 9")
    for result in (failed, ended, failed):
        ledger.record(result)
    assert ledger.read(trial().id) == ended


@pytest.mark.parametrize("renamed", [0, 1])
def test_a_kill_while_a_result_is_replaced_leaves_the_earlier_one(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, renamed: int
) -> None:
    """After none of its two files was renamed, and after the details were."""
    earlier = steady(trial())
    ledger.record(earlier)
    honest, calls = Path.replace, iter(range(9))

    def killed(self: Path, target: Path) -> Path:
        if next(calls) == renamed:
            os._exit(9)
        return honest(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    if (child := os.fork()) == 0:
        ledger.record(replace(earlier, output="another"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert ledger.read(trial().id) == earlier


def test_every_truncation_and_flipped_bit_is_noticed_and_set_aside(ledger: Ledger, warned: list[str]) -> None:
    """Of the envelope every bit: one of the format turns 1 into 3, which is damage and no newer version."""
    ledger.record(steady(trial()))
    path = ledger.path(trial().id)
    whole = path.read_bytes()
    count, head, tail = 8 * len(whole), 8 * whole.index(b'"result"'), 8 * whole.rindex(b'"sha256"')
    bits = {*range(head), *range(tail, count), *random.Random(20240229).sample(range(count), 200)}
    damaged = [*(whole[:length] for length in range(len(whole))), *flipped(whole, bits)]
    for data in damaged:
        path.write_bytes(data)
        assert ledger.read(trial().id) is None and not path.exists(), data
    aside = {line.rpartition("moved to ")[2] for line in warned}
    assert aside == {str(path) for path in (ledger.root / "set-aside").iterdir()}
    assert len(aside) == len(damaged) > 1200
    ledger.record(steady(trial()))
    assert ledger.read(trial().id) == steady(trial())


def write_in_format(ledger: Ledger, format: int, result: dict) -> Path:
    body = {"format": format, "result": result}
    path = ledger.path(trial().id)
    save_file(path, canonical_json({**body, "sha256": sha256(canonical_json(body)).hexdigest()}) + b"\n")
    return path


@pytest.mark.parametrize("format", [FORMAT - 1, FORMAT + 1])
def test_another_format_is_refused_and_its_file_left_alone(ledger: Ledger, format: int) -> None:
    path = write_in_format(ledger, format, {"something": "else"})
    with pytest.raises(BadInput) as refused:
        ledger.read(trial().id)
    assert refused.value.place == str(path) and refused.value.cure
    assert path.exists()


@pytest.mark.parametrize("result", [{"something": "else"}, steady(trial(1)).to_dict()])
def test_a_sealed_file_of_something_else_is_set_aside(
    ledger: Ledger, warned: list[str], result: dict
) -> None:
    write_in_format(ledger, FORMAT, result)
    assert ledger.read(trial().id) is None
    assert len(warned) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_failed_write_is_one_line_and_leaves_the_earlier_result(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    earlier = steady(trial())
    ledger.record(earlier)

    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(BadInput, match=os.strerror(number)) as raised:
            ledger.record(replace(earlier, seconds=9.0))
    assert "\n" not in str(raised.value)
    assert str(ledger.paths(trial().id)[1]) in str(raised.value)
    assert ledger.read(trial().id) == earlier
    assert len(files(ledger.root)) == 2, "the half-written files are gone"


def test_a_full_disk_loses_nothing_and_can_be_resumed(tmp_path: Path, small_disk) -> None:
    with small_disk(tmp_path / "disk", "128k"):
        ledger = Ledger(tmp_path / "disk" / "results")
        trials = [trial(seed) for seed in range(40)]
        with pytest.raises(BadInput, match=r"No space left on device.* make room"):
            for each in trials:
                ledger.record(steady(each))
        kept = ledger.results(each.id for each in trials)
        assert 0 < len(kept) < 40
        assert len([name for name in files(ledger.root) if name.endswith(".json")]) == 2 * len(kept)
        subprocess.run(["mount", "-o", "remount,size=1m", str(tmp_path / "disk")], check=True)
        for each in trials:
            if each.id not in kept:
                ledger.record(steady(each))
        assert len(ledger.results(each.id for each in trials)) == 40


def test_a_disk_mounted_read_only_can_be_read_and_says_that_it_cannot_be_written(
    tmp_path: Path, small_disk, warned: list[str]
) -> None:
    with small_disk(tmp_path / "disk", "1m"):
        ledger = Ledger(tmp_path / "disk", warned.append)
        ledger.record(steady(trial()))
        damaged = ledger.path(trial(9).id)
        damaged.parent.mkdir(exist_ok=True)
        damaged.touch()
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "disk")], check=True)
        assert ledger.read(trial().id) == steady(trial())
        assert ledger.read(trial(9).id) is None and damaged.exists()
        assert "could not be moved (Read-only file system)" in warned[0]
        for seed in range(2):  # of an existing folder, and of one to be made
            with pytest.raises(BadInput, match="Read-only file system"):
                ledger.record(steady(trial(seed)))
        with pytest.raises(BadInput, match="Read-only file system"), ledger.lock_study("study"):
            pass


def test_what_is_in_the_way_of_a_file_is_one_clear_line(tmp_path: Path, ledger: Ledger) -> None:
    (tmp_path / "taken").write_text("in the way")
    with pytest.raises(BadInput, match=r"taken: is a file; give the folder of the results"):
        Ledger(tmp_path / "taken").record(steady(trial()))
    ledger.path(trial().id).mkdir(parents=True)
    with pytest.raises(BadInput, match="cannot be read"):
        ledger.read(trial().id)


def test_a_study_that_runs_keeps_others_out_until_it_is_killed(ledger: Ledger, start_study) -> None:
    study = start_study(ledger.root, count=4, sleep=30)
    study.read_until("start")
    told = rf"'stub' is already being run by process {study.process.pid};"
    with pytest.raises(BadInput, match=told), ledger.lock_study("stub"):
        pass
    with pytest.raises(BadInput, match=r"^a study of this ledger is being run; wait"), ledger.lock_all():
        pass
    with ledger.lock_study("another study"):
        pass
    study.kill()
    locks = (ledger.root / "locks").iterdir()
    stale = next(path for path in locks if path.read_text() == f"{study.process.pid}\n")
    with ledger.lock_study("stub"), ledger.lock_study("another study"):
        assert stale.read_text() == f"{os.getpid()}\n"
    told = rf"^old results are being removed from it by process {os.getpid()}; wait"
    with ledger.lock_all(), pytest.raises(BadInput, match=told), ledger.lock_study("stub"):
        pass


def test_a_lock_is_free_after_its_block_and_a_hostile_name_stays_in_the_folder(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), ledger.lock_study(""):
        1 / 0  # noqa: B018
    for name in ("../../etc/passwd", "a\0b", "x" * 5000, "", "<script>"):
        with ledger.lock_study(name):
            pass
    folders = [name.rpartition("/")[0] for name in files(ledger.root) if name.startswith("locks")]
    assert folders == ["locks"] * 6, "and the ledger's own"
