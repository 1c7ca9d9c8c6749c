"""`unrolled bundle` and `unrolled verify FILE.zip`: a study handed on, spoiled, and checked elsewhere."""

import hashlib
import json
import re
import shutil
import stat
import subprocess
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import pytest
from as_typed import write_study
from called import check_command, run_command
from rocrate.rocrate import ROCrate

from unrolled.ablations.bundles import bundle_check
from unrolled.ablations.bundles.bundle_file import DESCRIPTION
from unrolled.ablations.ledger import seal, unseal

CELL = "my-cell.py"
PLACE = "0" * 64
"""A folder of files of a bundle, as hashes name them."""


def make_bundle(folder: Path, model: str, *plugin: str, corpus: str = "texts/mine.txt") -> Path:
    """The bundle of a study of four trials that was run in a folder."""
    (folder / corpus).parent.mkdir(exist_ok=True)
    arm = '[[arm]]\nname = "lr .02"\nset = { lr = 0.02 }\n'
    write_study(folder, seeds="seeds = 2", widths=(), arms=arm, model=model, corpus=corpus, hidden=8)
    check_command(folder, "run", "small.toml", "-j", "1", *plugin)
    check_command(folder, "bundle", "small", "-o", "small.zip", *plugin)
    return folder / "small.zip"


@pytest.fixture(scope="module")
def source_bundle(tmp_path_factory) -> Path:
    """The bundle of a study on a text of the user's own."""
    return make_bundle(tmp_path_factory.mktemp("author"), "lm4")


@pytest.fixture
def bundle(source_bundle: Path, tmp_path: Path) -> Path:
    """A copy of it where nothing else of the study is."""
    return Path(shutil.copy(source_bundle, tmp_path))


def read_files(bundle: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_files(bundle: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


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


def first_name(files: dict[str, bytes], folder: str) -> str:
    """The first name of a file below a folder."""
    return min(name for name in files if name.startswith(f"{folder}/"))


def verify_bundle(bundle: Path, *words: str) -> tuple[int, str]:
    """Check a bundle and train one of its trials again; the exit code and what is printed."""
    process = run_command(bundle.parent, "verify", bundle.name, "-n", "1", *words)
    return process.returncode, process.stdout


def test_a_bundle_is_checked_reported_and_replayed_elsewhere(bundle: Path, source_bundle: Path) -> None:
    code, output = verify_bundle(bundle)
    assert code == 0
    assert "4 of 4 results, 0 faults" in output
    assert "1 of 1 bit-identical" in output
    assert {path.name for path in bundle.parent.iterdir()} == {"small.zip", "mlflow.db", "out"}
    page = bundle.parent / "out" / "verified" / "small" / "index.html"
    assert "report: out/verified/small/index.html" in output
    assert "seeds: nothing is decided, as a" in output
    assert page.read_bytes() == (source_bundle.parent / "out" / "small" / "index.html").read_bytes(), (
        "the author's"
    )
    assert "not checked: environment.txt, source/ but for the files that trained the results\n" in output


def test_a_bundle_is_an_ro_crate_that_describes_every_file_by_its_hash(bundle: Path) -> None:
    crate = ROCrate(bundle)
    files = read_files(bundle)
    hashes = {entity.id: entity["sha256"] for entity in crate.data_entities if entity.type == "File"}
    assert hashes == {n: hashlib.sha256(d).hexdigest() for n, d in files.items() if n != DESCRIPTION}
    root = crate.root_dataset
    assert all(root[key] for key in ("name", "description", "datePublished", "license", "studyHash"))
    parts = {name.partition("/")[0] for name in files}
    assert parts == {"ledger", "files", "source", "environment.txt", DESCRIPTION}
    assert "source/bench/chapter/training/loop.py" in files and b"torch==" in files["environment.txt"]


def find_faults(bundle: Path) -> str:
    with bundle_check.check_bundle(bundle, False, bundle.parent / "out") as check:
        assert bool(check.faults) != (bundle.parent / "out" / "small").exists(), "no page of a fault"
        return "\n".join(check.faults)


def edit_file(folder: str, old: bytes, new: bytes) -> Spoil:
    """Another piece of the first file below a folder, or of the one whose path ends so."""

    def edit(files: dict[str, bytes]) -> None:
        name = next((name for name in files if name.endswith(folder)), None) or first_name(files, folder)
        assert old in files[name]
        files[name] = files[name].replace(old, new, 1)

    return edit


def reseal_file(folder: str, change: Callable[[dict[str, Any]], None]) -> Spoil:
    """The first file below a folder with another content, sealed again."""

    def reseal(files: dict[str, bytes]) -> None:
        name = first_name(files, folder)
        body = unseal(files[name])
        change(body)
        files[name] = seal({key: value for key, value in body.items() if key != "sha256"})

    return reseal


def change_loss(body: dict[str, Any]) -> None:
    body["result"]["metrics"]["valid_loss"] -= 0.5


def swap_arms(body: dict[str, Any]) -> None:
    """The trials of one arm stand under the name of the other."""
    first_arm, second_arm = body["plan"]["arms"]
    first_arm["trials"] = second_arm["trials"]
    second_arm["trials"] = first_arm["trials"]


def swap_seeds(body: dict[str, Any]) -> None:
    """The trials of an arm stand under each other's seed."""
    trials = body["plan"]["arms"][1]["trials"]
    body["plan"]["arms"][1]["trials"] = dict(zip(trials, reversed(trials.values()), strict=True))


def swap_settings(body: dict[str, Any]) -> None:
    """Trials and settings of one arm stand under the name and the changes of the other."""
    swap_arms(body)
    first_arm, second_arm = body["plan"]["arms"]
    first_arm["trial_fields"] = second_arm["trial_fields"]
    second_arm["trial_fields"] = first_arm["trial_fields"]


def change_title(body: dict[str, Any]) -> None:
    body["plan"]["arms"][0]["title"] = "LMModel7"


def add_distance(body: dict[str, Any]) -> None:
    """Equal trials of the chapter are said to differ."""
    body["plan"]["nondeterminism"] = {"valid_loss": 9.0}


def remove_machine(body: dict[str, Any]) -> None:
    body["result"]["environment"] = 0


edit_curves = edit_file("ledger/details", b'"curves":{', b'"curves": {')  # not those that the result names
edit_source = edit_file("source/bench/chapter/training/optimizer.py", b"import", b"# edited\nimport")


def remove_source(files: dict[str, bytes]) -> None:
    del files["source/bench/chapter/run.py"]


def shorten_text(files: dict[str, bytes]) -> None:
    name = first_name(files, "files")
    files[name] = files[name][: -len(files[name]) // 10]


def add_text(files: dict[str, bytes]) -> None:
    files[f"files/{'0' * 64}/more.txt"] = b"one two three"


def add_result(files: dict[str, bytes]) -> None:
    result = first_name(files, "ledger/trials")
    files["ledger/trials/01/0123456789abcdef.json"] = files[result]


def add_details(files: dict[str, bytes]) -> None:
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
        (swap_arms, "its trials have another seed, device"),
        (swap_seeds, "another seed, device or setting (seeds 0, 1)"),
        (swap_settings, "arm 'lr .02': its trials have another lr"),
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
    link = zipfile.ZipInfo(f"files/{PLACE}/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr(link, "/etc/passwd")


def damage_compression(bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        entry = archive.infolist()[0]
    data = bytearray(bundle.read_bytes())
    start = entry.header_offset + 30 + len(entry.filename)
    data[start : start + 8] = b"\xff" * 8
    bundle.write_bytes(data)


def add_files(*names: str, size: int = 1) -> Callable[[Path], None]:
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


@pytest.fixture(scope="module")
def plugin_bundle(tmp_path_factory) -> Path:
    """The bundle of a study of a cell whose file reads another and leaves a trace, `ran`, where it is run.

    Its text came from outside of the author's folder, and is gone.
    """
    folder = tmp_path_factory.mktemp("cell")
    text = tmp_path_factory.mktemp("elsewhere") / "mine.txt"
    check_command(folder, "new", "cell", CELL)
    (folder / "scale.txt").touch()
    with (folder / CELL).open("a") as file:
        file.write("from unrolled.bench.plugins import data_file\ndata_file('scale.txt')\n")
        file.write(f"\nopen({str(folder / 'ran')!r}, 'a').close()\n")
    bundle = make_bundle(folder, "my-cell", "--plugin", CELL, corpus=str(text))
    text.unlink()
    return bundle


def test_foreign_code_runs_only_where_it_is_trusted_and_reads_the_bundles_own_text(
    plugin_bundle: Path, tmp_path: Path
) -> None:
    bundle = Path(shutil.copy(plugin_bundle, tmp_path))
    trace = plugin_bundle.with_name("ran")
    trace.unlink()
    code, output = verify_bundle(bundle)
    assert code == 1
    assert "0 faults" in output
    assert "no trial was trained again" in output
    assert not trace.exists()
    code, output = verify_bundle(bundle, "--trust")
    assert code == 0
    assert "1 of 1 bit-identical" in output
    assert trace.exists()
    process = run_command(tmp_path, "verify", "small.zip", "--plugin", str(plugin_bundle.with_name(CELL)))
    assert process.returncode == 2 and process.stderr.startswith("unrolled: --plugin: ")


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
    """The bundle of a study of a function that reads a file."""
    folder = tmp_path_factory.mktemp("program")
    for name, text in {"mine.py": PROGRAM, "words.txt": "one two", "small.toml": STUDY}.items():
        (folder / name).write_text(text)
    check_command(folder, "run", "small.toml")
    check_command(folder, "bundle", "small.toml", "-o", "small.zip")
    return folder / "small.zip"


@pytest.fixture
def program_bundle(source_program_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(source_program_bundle, tmp_path))


def add_file(files: dict[str, bytes]) -> None:
    files[f"{PurePath(first_name(files, 'files')).parent}/more.txt"] = b""


def remove_data(files: dict[str, bytes]) -> None:
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
    """Results whose program reads other files."""

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


@pytest.fixture
def author_folder(source_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the folder in which the study was run."""
    return shutil.copytree(source_bundle.parent, tmp_path / "author", ignore=shutil.ignore_patterns("*.zip"))


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


def test_a_folder_for_the_page_is_for_a_bundle_alone(author_folder: Path) -> None:
    process = run_command(author_folder, "verify", "small", "--out", "elsewhere")
    assert process.returncode == 2 and process.stderr.startswith("unrolled: --out: ")


def test_a_text_that_may_not_be_passed_on_is_left_out_and_missed_in_the_replay(
    author_folder: Path, tmp_path: Path
) -> None:
    check_command(author_folder, "bundle", "small", "-o", str(tmp_path / "small.zip"), "--no-text")
    code, output = verify_bundle(tmp_path / "small.zip")
    assert code == 1
    assert "0 faults" in output
    assert "texts/mine.txt: No such file" in output


def test_a_bundle_that_verify_could_not_check_is_not_written(
    author_folder: Path, plugin_bundle: Path
) -> None:
    with (author_folder / "texts" / "mine.txt").open("a") as text:
        text.write("more words .")
    for folder, name, message in [
        (author_folder, "small.txt", "-o small.txt: a bundle's name ends in .zip; -o small.txt.zip"),
        (
            author_folder,
            "new.zip",
            "study 'small': no one could train it again: mine.txt was edited; restore that",
        ),
        (plugin_bundle.parent, "new.zip", "model 'my-cell': is not in the zoo; "),
    ]:
        process = run_command(folder, "bundle", "small", "-o", name)
        assert (process.returncode, process.stderr.count("\n")) == (2, 1) and message in process.stderr
        assert not (folder / name).exists()


def test_the_lines_of_the_document_print_what_it_says_but_other_numbers_and_verdicts(
    author_folder: Path,
) -> None:
    def list_shapes(text: str) -> list[str]:
        lines = [line for line in text.splitlines() if not line.startswith("  ")]
        return [re.sub(r"plan \w+|\d+", "#", line).replace("toggles", "small") for line in lines]

    document = (Path(__file__).parents[3] / "docs" / "bundle.md").read_text()
    examples = re.findall(r"^\$ unrolled ((?:bundle|verify) .*)\n((?:[^$`].*\n)+)", document, re.MULTILINE)
    assert [command.split()[0] for command, _ in examples] == ["bundle", "verify"]
    for command, output in examples:
        printed_lines = check_command(author_folder, *command.replace("toggles", "small").split())
        assert list_shapes(printed_lines) == list_shapes(output)


def test_the_two_lines_of_the_documents_sign_a_bundle_and_check_it(
    bundle: Path, tmp_path: Path, need
) -> None:
    need("bash", "ssh-keygen")
    archive = bundle.rename(bundle.with_name("toggles.zip"))
    key = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    (tmp_path / "signers").write_text(f"me@example.org {key.with_suffix('.pub').read_text()}")
    document = (Path(__file__).parents[3] / "docs" / "bundle.md").read_text()
    sign, check = (line for line in document.splitlines() if line.startswith("ssh-keygen -Y"))
    run_line = partial(subprocess.run, shell=True, cwd=tmp_path, executable="bash", capture_output=True)
    assert run_line(sign.replace("~/.ssh/id_ed25519", str(key))).returncode == 0
    assert run_line(check).returncode == 0
    archive.write_bytes(archive.read_bytes() + b" ")
    assert run_line(check).returncode != 0
