"""Bundles that were changed, forged or broken: each fault is found, and nothing of it is run or written."""

import stat
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.ablations.bundles.bundle_files import (
    Spoil,
    edit_file,
    first_name,
    forge,
    read_files,
    reseal_file,
    verify_bundle,
    write_files,
)
from tests.helpers.command_call import run_command
from unrolled.ablations.bundles import unpacking
from unrolled.ablations.bundles.bundle_check import check_bundle
from unrolled.ablations.bundles.bundle_file import DESCRIPTION
from unrolled.ablations.bundles.unpacking import unpack_bundle

PLACE = "0" * 64
"""A folder of files of a bundle, as hashes name them."""


def find_faults(bundle: Path) -> str:
    """Return the faults that a check finds, a line each."""
    with unpack_bundle(bundle, is_trusted=False) as unpacked:
        faults = check_bundle(unpacked, bundle.parent / "out")
    assert bool(faults) != (bundle.parent / "out" / "small").exists(), "no page of a fault"
    return "\n".join(faults)


def change_loss(body: dict[str, Any]) -> None:
    """Lower the loss of a result."""
    body["result"]["metrics"]["valid_loss"] -= 0.5


def swap_seeds(body: dict[str, Any]) -> None:
    """Swap the trials of an arm between its seeds."""
    trials = body["plan"]["arms"][1]["trial_ids"]
    body["plan"]["arms"][1]["trial_ids"] = dict(zip(trials, reversed(trials.values()), strict=True))


def change_title(body: dict[str, Any]) -> None:
    """Change the title of an arm."""
    body["plan"]["arms"][0]["title"] = "LMModel7"


def add_distance(body: dict[str, Any]) -> None:
    """Claim that equal trials of the chapter differ."""
    body["plan"]["repetition_differences"] = {"valid_loss": 9.0}


def hide_numbers(body: dict[str, Any]) -> None:
    """Say that a number differs between equal trials, so that no replay would compare it."""
    body["plan"]["unjudged_repetition_differences"] = {"valid_loss": 0.1}


def remove_machine(body: dict[str, Any]) -> None:
    """Remove the machine of a result."""
    body["result"]["provenance"] = 0


edit_curves = edit_file("ledger/details", b'"curves":{', b'"curves": {')  # not those that the result names
edit_source = edit_file("source/bench/chapter/training/optimizer.py", b"return", b"return 2 *")
break_source = edit_file("source/bench/chapter/training/optimizer.py", b"def ", b"def def ")


def remove_source(files: dict[str, bytes]) -> None:
    """Remove a file of the source."""
    del files["source/bench/chapter/chapter_run.py"]


def shorten_text(files: dict[str, bytes]) -> None:
    """Cut the end of the text."""
    name = first_name(files, "files")
    files[name] = files[name][: -len(files[name]) // 10]


def add_text(files: dict[str, bytes]) -> None:
    """Add a text of no trial."""
    files[f"files/{'0' * 64}/more.txt"] = b"one two three"


def add_result(files: dict[str, bytes]) -> None:
    """Add a result of no arm."""
    result = first_name(files, "ledger/trials")
    files["ledger/trials/01/0123456789abcdef.json"] = files[result]


def add_details(files: dict[str, bytes]) -> None:
    """Add details of no result."""
    details = first_name(files, "ledger/details")
    files["ledger/details/01/0123456789abcdef.0123456789abcdef.json"] = files[details]


def test_a_fault_fails_a_bundle_whose_trials_are_bit_identical(
    bundle: Path,
) -> None:
    forge(bundle, add_result)
    code, output = verify_bundle(bundle.rename(bundle.with_suffix(".file")))
    assert code == 1 and "1 of 1 bit-identical" in output
    assert "ledger/trials/01/0123456789abcdef.json: belongs to no trial of the plan" in output
    assert "no page is written" in output and not (bundle.parent / "out").exists()


def test_a_changed_number_is_found_by_training_its_trial_again(bundle: Path) -> None:
    forge(bundle, reseal_file("ledger/trials", change_loss))
    process = run_command(bundle.parent, "verify", "small.zip", "-n", "4")
    assert process.returncode == 1 and ", 0 faults" in process.stdout
    assert "3 of 4 bit-identical, 1 not" in process.stdout


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (edit_curves, "its details are damaged or missing"),
        (shorten_text, "/mine.txt: is not the text that was trained on"),
        (add_text, "/more.txt: belongs to no trial"),
        (add_details, "0123456789abcdef.json: belongs to no trial of the plan"),
        (edit_source, "source/: is not what trained lm4 with engine loop"),
        (break_source, "source/: is not what trained lm4 with engine loop"),
        (remove_source, "source/: lacks bench/chapter/chapter_run.py"),
    ],
)
def test_a_planted_change_is_found_though_its_hashes_fit(bundle: Path, spoil: Spoil, message: str) -> None:
    forge(bundle, spoil)
    assert message in find_faults(bundle)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (swap_seeds, "another seed, device or setting (seeds 0, 1)"),
        (change_title, "its trials have another title"),
        (add_distance, "equal trials are said to differ"),
        (hide_numbers, "valid_loss, which is judged"),
    ],
)
def test_a_bundle_whose_plan_contradicts_itself_is_none(
    bundle: Path, spoil: Callable[[dict[str, Any]], None], message: str
) -> None:
    forge(bundle, reseal_file("ledger/plans", spoil))
    process = run_command(bundle.parent, "verify", bundle.name)
    assert (process.returncode, process.stdout, process.stderr.count("\n")) == (2, "", 1)
    assert process.stderr.startswith("unrolled: small.zip: small.zip/ledger/plans/")
    assert message in process.stderr


def test_a_changed_added_or_removed_file_is_found_by_its_hash(bundle: Path) -> None:
    files = read_files(bundle)
    result = first_name(files, "ledger/trials")
    text = first_name(files, "files")
    files[text] += b"more"
    del files[result]
    write_files(bundle, {**files, f"plugins/{DESCRIPTION}": b""})
    faults = find_faults(bundle).splitlines()
    assert {
        f"{text}: is not as it was described",
        f"{result}: is described and not there",
        f"plugins/{DESCRIPTION}: is not described",
    } <= set(faults)


def test_another_title_in_the_description_is_found(bundle: Path) -> None:
    files = read_files(bundle)
    files[DESCRIPTION] = files[DESCRIPTION].replace(b"unrolled: small", b"unrolled: better")
    write_files(bundle, files)
    assert find_faults(bundle) == f"{DESCRIPTION}: its name is not the plan's"


def add_link(bundle: Path) -> None:
    """Add a symbolic link out of the bundle."""
    link = zipfile.ZipInfo(f"files/{PLACE}/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr(link, "/etc/passwd")


def damage_compression(bundle: Path) -> None:
    """Damage the compressed data of the first file."""
    with zipfile.ZipFile(bundle) as archive:
        entry = archive.infolist()[0]
    data = bytearray(bundle.read_bytes())
    start = entry.header_offset + 30 + len(entry.filename)
    data[start : start + 8] = b"\xff" * 8
    bundle.write_bytes(data)


def add_files(*names: str, size: int = 1) -> Callable[[Path], None]:
    """Return a change that adds files."""
    return lambda bundle: write_files(bundle, {**read_files(bundle), **dict.fromkeys(names, bytes(size))})


@pytest.mark.parametrize(
    "spoil",
    [
        *map(
            add_files, (f"files/{PLACE}/../../evil.py", "/tmp/evil.html", "source/.bashrc", "plugins/../b.py")
        ),
        *map(add_files, ("pages/small/index.html", "source/more/evil.py", "more.txt")),
        add_files(f"files/{PLACE}/bomb", size=10**8),
        add_files("plugins/a", "plugins/a/b"),
        add_files("ledger/plans/0123456789abcdef.json"),  # a second one
        partial(forge, spoil=reseal_file("ledger/trials", remove_machine)),
        add_link,
        damage_compression,
        lambda bundle: bundle.write_bytes(b"PK\x03\x04" + bytes(100)),
        lambda bundle: bundle.write_bytes(bundle.read_bytes()[:-3000]),
    ],
)
def test_a_hostile_or_broken_archive_gets_one_line_and_writes_nothing(
    bundle: Path, spoil: Callable[[Path], None], monkeypatch
) -> None:
    monkeypatch.setattr(unpacking, "MOST_BYTES", 10**7)
    spoil(bundle)
    process = run_command(bundle.parent, "verify", "small.zip")
    assert (process.returncode, process.stdout, process.stderr.count("\n")) == (2, "", 1)
    assert process.stderr.startswith("unrolled: small.zip: ")
    assert {path.name for path in bundle.parent.rglob("*")} == {"small.zip", "mlflow.db"}


def test_a_forged_plan_is_neither_reported_nor_bundled_nor_verified(
    author_folder: Path,
) -> None:
    (file,) = (author_folder / "results" / "plans").glob("*.json")
    files = {"plans/one": file.read_bytes()}
    reseal_file("plans", swap_seeds)(files)
    file.write_bytes(files["plans/one"])
    for words in (["report"], ["verify"], ["bundle", "-o", "small.zip"]):
        process = run_command(author_folder, *words, "small")
        assert (process.returncode, process.stderr.count("\n")) == (
            2,
            1,
        )
        assert "is not what this version writes" in process.stderr
