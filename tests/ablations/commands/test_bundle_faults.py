"""Bundles that were changed, forged or broken: each fault is found, and nothing of it is run or written."""

import hashlib
import json
import re
import shutil
import stat
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import pytest
from bundle_files import first_name, read_files, verify_bundle, write_files
from called import check_command, run_command

from unrolled.ablations.bundles import bundle_check
from unrolled.ablations.bundles.bundle_file import DESCRIPTION
from unrolled.ablations.ledger import seal, unseal

PLACE = "0" * 64
"""A folder of files of a bundle, as hashes name them."""
Spoil = Callable[[dict[str, bytes]], None]


def forge(bundle: Path, spoil: Spoil) -> None:
    """Change files of the bundle, and the hashes with them."""
    spoil(files := read_files(bundle))
    body = json.loads(files[DESCRIPTION])
    entities = [e for e in body["@graph"] if e["@type"] != "File"]
    body["@graph"] = entities + [
        {"@id": name, "@type": "File", "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
        if name != DESCRIPTION
    ]
    write_files(bundle, {**files, DESCRIPTION: json.dumps(body).encode()})


def find_faults(bundle: Path) -> str:
    """Return the faults that a check finds, a line each."""
    with bundle_check.check_bundle(bundle, False, bundle.parent / "out") as check:
        assert bool(check.faults) != (bundle.parent / "out" / "small").exists(), "no page of a fault"
        return "\n".join(check.faults)


def edit_file(folder: str, old: bytes, new: bytes) -> Spoil:
    """Return a change of the first file below a folder, or of the one whose path ends so."""

    def edit(files: dict[str, bytes]) -> None:
        name = next((name for name in files if name.endswith(folder)), None) or first_name(files, folder)
        assert old in files[name]
        files[name] = files[name].replace(old, new, 1)

    return edit


def reseal_file(folder: str, change: Callable[[dict[str, Any]], None]) -> Spoil:
    """Return a change of the first file below a folder that seals it again."""

    def reseal(files: dict[str, bytes]) -> None:
        name = first_name(files, folder)
        body = unseal(files[name])
        change(body)
        files[name] = seal({key: value for key, value in body.items() if key != "sha256"})

    return reseal


def change_loss(body: dict[str, Any]) -> None:
    """Lower the loss of a result."""
    body["result"]["metrics"]["valid_loss"] -= 0.5


def swap_seeds(body: dict[str, Any]) -> None:
    """Swap the trials of an arm between its seeds."""
    trials = body["plan"]["arms"][1]["trials"]
    body["plan"]["arms"][1]["trials"] = dict(zip(trials, reversed(trials.values()), strict=True))


def change_title(body: dict[str, Any]) -> None:
    """Change the title of an arm."""
    body["plan"]["arms"][0]["title"] = "LMModel7"


def add_distance(body: dict[str, Any]) -> None:
    """Claim that equal trials of the chapter differ."""
    body["plan"]["nondeterminism"] = {"valid_loss": 9.0}


def remove_machine(body: dict[str, Any]) -> None:
    """Remove the machine of a result."""
    body["result"]["provenance"] = 0


edit_curves = edit_file("ledger/details", b'"curves":{', b'"curves": {')  # not those that the result names
edit_source = edit_file("source/bench/chapter/training/optimizer.py", b"import", b"# edited\nimport")


def remove_source(files: dict[str, bytes]) -> None:
    """Remove a file of the source."""
    del files["source/bench/chapter/run.py"]


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


def test_a_number_that_was_changed_is_found_when_its_trial_is_trained_again(bundle: Path) -> None:
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
        (remove_source, "source/: lacks bench/chapter/run.py"),
    ],
)
def test_a_planted_change_is_found_also_where_its_hashes_were_made_to_fit(
    bundle: Path, spoil: Spoil, message: str
) -> None:
    forge(bundle, spoil)
    assert message in find_faults(bundle)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (swap_seeds, "another seed, device or setting (seeds 0, 1)"),
        (change_title, "its trials have another title"),
        (add_distance, "equal trials are said to differ"),
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


def test_a_file_that_was_changed_added_or_taken_out_is_found_by_its_hash(bundle: Path) -> None:
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
    monkeypatch.setattr(bundle_check, "MAX_BYTES", 10**7)
    spoil(bundle)
    process = run_command(bundle.parent, "verify", "small.zip")
    assert (process.returncode, process.stdout, process.stderr.count("\n")) == (2, "", 1)
    assert process.stderr.startswith("unrolled: small.zip: ")
    assert {path.name for path in bundle.parent.rglob("*")} == {"small.zip", "mlflow.db"}


PROGRAM = """
from pathlib import Path, PurePath


def train(seed, lr):
    return {"accuracy": lr + seed / 100 + len(Path("words.txt").read_text())}
"""
STUDY = """
name = "small"
question = "?"
metrics = [{ name = "accuracy", delta = 0.01 }]
seeds = 2
baseline.lr = 0.1
design.one_at_a_time.lr = [0.2]
[program]
function = "mine:train"
data = ["words.txt"]
"""


@pytest.fixture(scope="module")
def source_program_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle of a study of a function that reads a file."""
    folder = tmp_path_factory.mktemp("program")
    for name, text in {"mine.py": PROGRAM, "words.txt": "one two", "small.toml": STUDY}.items():
        (folder / name).write_text(text)
    check_command(folder, "run", "small.toml")
    check_command(folder, "bundle", "small.toml", "-o", "small.zip")
    return folder / "small.zip"


@pytest.fixture
def program_bundle(source_program_bundle: Path, tmp_path: Path) -> Path:
    """Return a copy of the program's bundle."""
    return Path(shutil.copy(source_program_bundle, tmp_path))


def add_file(files: dict[str, bytes]) -> None:
    """Add a file beside those of the program."""
    files[f"{PurePath(first_name(files, 'files')).parent}/more.txt"] = b""


def remove_data(files: dict[str, bytes]) -> None:
    """Remove the data of the program."""
    del files[next(name for name in files if name.endswith("/words.txt"))]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (edit_file("/mine.py", b"lr +", b"2 * lr +"), "/: the code was edited"),
        (edit_file("/words.txt", b"one", b"six"), "/: data was edited"),
        (add_file, "/more.txt: belongs to no trial"),
        (remove_data, "/: .*words.txt"),
    ],
)
def test_a_program_that_was_changed_is_a_fault_though_it_is_not_run(
    program_bundle: Path, spoil: Spoil, message: str
) -> None:
    forge(program_bundle, spoil)
    code, output = verify_bundle(program_bundle)
    assert code == 1
    assert re.search(f"✗ files/[0-9a-f]{{64}}{message}", output)
    assert ", 1 fault\n" in output


def rename_data_files(pattern: str) -> Spoil:
    """Return a change by which the results' program reads other files."""

    def change(files: dict[str, bytes]) -> None:
        for name in [name for name in files if name.startswith("ledger/trials")]:
            body = unseal(files[name])
            body["result"]["trial"]["data_files"] = [pattern]
            files[name] = seal({key: value for key, value in body.items() if key != "sha256"})

    return change


def test_files_outside_of_a_bundle_are_read_for_a_trusted_program_alone(program_bundle: Path) -> None:
    secret = program_bundle.with_name("secret.txt")
    secret.touch()
    forge(program_bundle, rename_data_files(str(secret)))
    code, output = verify_bundle(program_bundle)
    exception = "files/ of a program that reads files elsewhere"
    assert code == 1 and f", 0 faults\nnot checked: environment.txt, source/, {exception}\n" in output
    code, output = verify_bundle(program_bundle, "--trust")
    assert code == 1 and "/: data was edited" in output
    forge(program_bundle, rename_data_files("../**"))
    assert exception in verify_bundle(program_bundle)[1]


def test_a_ledger_whose_plan_was_forged_is_neither_reported_nor_bundled_nor_verified(
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
