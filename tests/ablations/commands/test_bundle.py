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
from as_typed import write
from called import call, succeed
from rocrate.rocrate import ROCrate

from unrolled.ablations.bundles import bundle_check
from unrolled.ablations.bundles.bundle_file import DESCRIPTION
from unrolled.ablations.ledger import seal, unseal

CELL = "my-cell.py"
PLACE = "0" * 64
"""A folder of files of a bundle, as hashes name them."""


def study(folder: Path, model: str, *plugin: str, corpus: str = "texts/mine.txt") -> Path:
    """The bundle of a study of four trials that was run in a folder."""
    (folder / corpus).parent.mkdir(exist_ok=True)
    steep = '[[arm]]\nname = "lr .02"\nset = { lr = 0.02 }\n'
    write(folder, seeds="seeds = 2", widths=(), arms=steep, model=model, corpus=corpus, hidden=8)
    succeed(folder, "run", "small.toml", "-j", "1", *plugin)
    succeed(folder, "bundle", "small", "-o", "small.zip", *plugin)
    return folder / "small.zip"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The bundle of a study on a text of the user's own."""
    return study(tmp_path_factory.mktemp("author"), "lm4")


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    """A copy of it where nothing else of the study is."""
    return Path(shutil.copy(made, tmp_path))


def contents(bundle: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(bundle: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


Spoil = Callable[[dict[str, bytes]], None]


def forge(bundle: Path, spoil: Spoil) -> None:
    """Change files of the bundle, and the hashes with them."""
    spoil(files := contents(bundle))
    body = json.loads(files[DESCRIPTION])
    kept = [e for e in body["@graph"] if e["@type"] != "File"]
    body["@graph"] = kept + [
        {"@id": name, "@type": "File", "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
        if name != DESCRIPTION
    ]
    rewrite(bundle, {**files, DESCRIPTION: json.dumps(body).encode()})


def first(files: dict[str, bytes], folder: str) -> str:
    """The first name of a file below a folder."""
    return min(name for name in files if name.startswith(f"{folder}/"))


def verify(bundle: Path, *words: str) -> tuple[int, str]:
    """Check a bundle and train one of its trials again; the exit code and what is printed."""
    done = call(bundle.parent, "verify", bundle.name, "-n", "1", *words)
    return done.returncode, done.stdout


def test_a_bundle_is_checked_reported_and_replayed_where_nothing_else_of_the_study_is(
    bundle: Path, made: Path
) -> None:
    code, out = verify(bundle)
    assert code == 0 and "4 of 4 results, 0 faults" in out and "1 of 1 bit-identical" in out
    assert {path.name for path in bundle.parent.iterdir()} == {"small.zip", "mlflow.db", "out"}
    page = bundle.parent / "out" / "verified" / "small" / "index.html"
    assert "report: out/verified/small/index.html" in out and "seeds: nothing is decided, as a" in out
    assert page.read_bytes() == (made.parent / "out" / "small" / "index.html").read_bytes(), "the author's"
    assert "not checked: environment.txt, source/ but for the files that trained the results\n" in out


def test_a_bundle_is_an_ro_crate_that_describes_every_file_by_its_hash(bundle: Path) -> None:
    crate, files = ROCrate(bundle), contents(bundle)
    described = {entity.id: entity["sha256"] for entity in crate.data_entities if entity.type == "File"}
    assert described == {n: hashlib.sha256(d).hexdigest() for n, d in files.items() if n != DESCRIPTION}
    root = crate.root_dataset
    assert all(root[key] for key in ("name", "description", "datePublished", "license", "studyHash"))
    parts = {name.partition("/")[0] for name in files}
    assert parts == {"ledger", "files", "source", "environment.txt", DESCRIPTION}
    assert "source/bench/chapter/training/loop.py" in files and b"torch==" in files["environment.txt"]


def faults(bundle: Path) -> str:
    with bundle_check.check_bundle(bundle, False, bundle.parent / "out") as checked:
        assert bool(checked.faults) != (bundle.parent / "out" / "small").exists(), "no page of a fault"
        return "\n".join(checked.faults)


def edits(folder: str, old: bytes, new: bytes) -> Spoil:
    """Another piece of the first file below a folder, or of the one whose path ends so."""

    def edit(files: dict[str, bytes]) -> None:
        name = next((name for name in files if name.endswith(folder)), None) or first(files, folder)
        assert old in files[name]
        files[name] = files[name].replace(old, new, 1)

    return edit


def reseals(folder: str, change: Callable[[dict[str, Any]], None]) -> Spoil:
    """The first file below a folder with another content, sealed again."""

    def reseal(files: dict[str, bytes]) -> None:
        name = first(files, folder)
        body = unseal(files[name])
        change(body)
        files[name] = seal({key: value for key, value in body.items() if key != "sha256"})

    return reseal


def changed_loss(body: dict[str, Any]) -> None:
    body["result"]["metrics"]["valid_loss"] -= 0.5


def swapped_arms(body: dict[str, Any]) -> None:
    """The trials of one arm stand under the name of the other."""
    one, other = body["plan"]["arms"]
    one["trials"], other["trials"] = other["trials"], one["trials"]


def swapped_seeds(body: dict[str, Any]) -> None:
    """The trials of an arm stand under each other's seed."""
    trials = body["plan"]["arms"][1]["trials"]
    body["plan"]["arms"][1]["trials"] = dict(zip(trials, reversed(trials.values()), strict=True))


def swapped_settings(body: dict[str, Any]) -> None:
    """Trials and settings of one arm stand under the name and the changes of the other."""
    swapped_arms(body)
    one, other = body["plan"]["arms"]
    one["trial_fields"], other["trial_fields"] = other["trial_fields"], one["trial_fields"]


def another_title(body: dict[str, Any]) -> None:
    body["plan"]["arms"][0]["title"] = "LMModel7"


def a_distance(body: dict[str, Any]) -> None:
    """Equal trials of the chapter are said to differ."""
    body["plan"]["nondeterminism"] = {"valid_loss": 9.0}


def no_machine(body: dict[str, Any]) -> None:
    body["result"]["environment"] = 0


other_curves = edits("ledger/details", b'"curves":{', b'"curves": {')  # not those that the result names
another_source = edits("source/bench/chapter/training/optimizer.py", b"import", b"# edited\nimport")


def a_source_less(files: dict[str, bytes]) -> None:
    del files["source/bench/chapter/run.py"]


def a_shorter_text(files: dict[str, bytes]) -> None:
    name = first(files, "files")
    files[name] = files[name][: -len(files[name]) // 10]


def another_text(files: dict[str, bytes]) -> None:
    files[f"files/{'0' * 64}/more.txt"] = b"one two three"


def a_result_of_no_arm(files: dict[str, bytes]) -> None:
    result = first(files, "ledger/trials")
    files["ledger/trials/01/0123456789abcdef.json"] = files[result]


def details_of_no_result(files: dict[str, bytes]) -> None:
    details = first(files, "ledger/details")
    files["ledger/details/01/0123456789abcdef.0123456789abcdef.json"] = files[details]


def test_a_fault_fails_a_bundle_all_of_whose_trials_are_the_same_again_whatever_its_name(
    bundle: Path,
) -> None:
    forge(bundle, a_result_of_no_arm)
    code, out = verify(bundle.rename(bundle.with_suffix(".file")))
    assert code == 1 and "1 of 1 bit-identical" in out
    assert "ledger/trials/01/0123456789abcdef.json: belongs to no trial of the plan" in out
    assert "no page is written" in out and not (bundle.parent / "out").exists()


def test_a_number_that_was_changed_is_found_when_its_trial_is_trained_again(bundle: Path) -> None:
    forge(bundle, reseals("ledger/trials", changed_loss))
    done = call(bundle.parent, "verify", "small.zip", "-n", "4")
    assert done.returncode == 1 and ", 0 faults" in done.stdout
    assert "3 of 4 bit-identical, 1 not" in done.stdout


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (other_curves, "its details are damaged or missing"),
        (a_shorter_text, "/mine.txt: is not the text that was trained on"),
        (another_text, "/more.txt: belongs to no trial"),
        (details_of_no_result, "0123456789abcdef.json: belongs to no trial of the plan"),
        (another_source, "source/: is not what trained lm4 with engine loop"),
        (a_source_less, "source/: lacks bench/chapter/run.py"),
    ],
)
def test_a_planted_change_is_found_also_where_its_hashes_were_made_to_fit(
    bundle: Path, spoil: Spoil, said: str
) -> None:
    forge(bundle, spoil)
    assert said in faults(bundle)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (swapped_arms, "its trials have another seed, device"),
        (swapped_seeds, "another seed, device or setting (seeds 0, 1)"),
        (swapped_settings, "arm 'lr .02': its trials have another lr"),
        (another_title, "its trials have another title"),
        (a_distance, "equal trials are said to differ"),
    ],
)
def test_a_bundle_whose_plan_contradicts_itself_is_none(
    bundle: Path, spoil: Callable[[dict[str, Any]], None], said: str
) -> None:
    forge(bundle, reseals("ledger/plans", spoil))
    done = call(bundle.parent, "verify", bundle.name)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("unrolled: small.zip: small.zip/ledger/plans/") and said in done.stderr


def test_a_file_that_was_changed_added_or_taken_out_is_found_by_its_hash(bundle: Path) -> None:
    files = contents(bundle)
    result = first(files, "ledger/trials")
    text = first(files, "files")
    files[text] += b"more"
    del files[result]
    rewrite(bundle, {**files, f"plugins/{DESCRIPTION}": b""})
    found = faults(bundle).splitlines()
    assert {
        f"{text}: is not as it was described",
        f"{result}: is described and not there",
        f"plugins/{DESCRIPTION}: is not described",
    } <= set(found)


def test_another_title_in_the_description_is_found(bundle: Path) -> None:
    files = contents(bundle)
    files[DESCRIPTION] = files[DESCRIPTION].replace(b"unrolled: small", b"unrolled: better")
    rewrite(bundle, files)
    assert faults(bundle) == f"{DESCRIPTION}: its name is not the plan's"


def linked(bundle: Path) -> None:
    link = zipfile.ZipInfo(f"files/{PLACE}/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr(link, "/etc/passwd")


def with_damaged_compression(bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        first = archive.infolist()[0]
    data = bytearray(bundle.read_bytes())
    start = first.header_offset + 30 + len(first.filename)
    data[start : start + 8] = b"\xff" * 8
    bundle.write_bytes(data)


def adds(*names: str, size: int = 1) -> Callable[[Path], None]:
    return lambda bundle: rewrite(bundle, {**contents(bundle), **dict.fromkeys(names, bytes(size))})


@pytest.mark.parametrize(
    "spoil",
    [
        *map(adds, (f"files/{PLACE}/../../evil.py", "/tmp/evil.html", "source/.bashrc", "plugins/../b.py")),
        *map(adds, ("pages/small/index.html", "source/more/evil.py", "more.txt")),
        adds(f"files/{PLACE}/bomb", size=10**8),
        adds("plugins/a", "plugins/a/b"),
        adds("ledger/plans/0123456789abcdef.json"),  # a second one
        partial(forge, spoil=reseals("ledger/trials", no_machine)),
        linked,
        with_damaged_compression,
        lambda bundle: bundle.write_bytes(b"PK\x03\x04" + bytes(100)),
        lambda bundle: bundle.write_bytes(bundle.read_bytes()[:-3000]),
    ],
)
def test_a_hostile_or_broken_archive_gets_one_line_and_writes_nothing(
    bundle: Path, spoil: Callable[[Path], None], monkeypatch
) -> None:
    monkeypatch.setattr(bundle_check, "MAX_BYTES", 10**7)
    spoil(bundle)
    done = call(bundle.parent, "verify", "small.zip")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("unrolled: small.zip: ")
    assert {path.name for path in bundle.parent.rglob("*")} == {"small.zip", "mlflow.db"}


@pytest.fixture(scope="module")
def with_plugin(tmp_path_factory) -> Path:
    """The bundle of a study of a cell whose file reads another and leaves a trace, `ran`, where it is run.

    Its text came from outside of the author's folder, and is gone.
    """
    folder, text = tmp_path_factory.mktemp("cell"), tmp_path_factory.mktemp("elsewhere") / "mine.txt"
    succeed(folder, "new", "cell", CELL)
    (folder / "scale.txt").touch()
    with (folder / CELL).open("a") as file:
        file.write("from unrolled.bench.plugins import data_file\ndata_file('scale.txt')\n")
        file.write(f"\nopen({str(folder / 'ran')!r}, 'a').close()\n")
    made = study(folder, "my-cell", "--plugin", CELL, corpus=str(text))
    text.unlink()
    return made


def test_foreign_code_runs_only_where_it_is_trusted_and_reads_the_bundles_own_text(
    with_plugin: Path, tmp_path: Path
) -> None:
    bundle, trace = Path(shutil.copy(with_plugin, tmp_path)), with_plugin.with_name("ran")
    trace.unlink()
    code, out = verify(bundle)
    assert code == 1 and "0 faults" in out and "no trial was trained again" in out
    assert not trace.exists()
    code, out = verify(bundle, "--trust")
    assert code == 0 and "1 of 1 bit-identical" in out and trace.exists()
    again = call(tmp_path, "verify", "small.zip", "--plugin", str(with_plugin.with_name(CELL)))
    assert again.returncode == 2 and again.stderr.startswith("unrolled: --plugin: ")


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
def made_of_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a study of a function that reads a file."""
    folder = tmp_path_factory.mktemp("program")
    for name, text in {"mine.py": PROGRAM, "words.txt": "one two", "small.toml": STUDY}.items():
        (folder / name).write_text(text)
    succeed(folder, "run", "small.toml")
    succeed(folder, "bundle", "small.toml", "-o", "small.zip")
    return folder / "small.zip"


@pytest.fixture
def of_program(made_of_program: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made_of_program, tmp_path))


def another_file(files: dict[str, bytes]) -> None:
    files[f"{PurePath(first(files, 'files')).parent}/more.txt"] = b""


def less_data(files: dict[str, bytes]) -> None:
    del files[next(name for name in files if name.endswith("/words.txt"))]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (edits("/mine.py", b"lr +", b"2 * lr +"), "/: the code was edited"),
        (edits("/words.txt", b"one", b"six"), "/: data was edited"),
        (another_file, "/more.txt: belongs to no trial"),
        (less_data, "/: .*words.txt"),
    ],
)
def test_a_program_that_was_changed_is_a_fault_though_it_is_not_run(
    of_program: Path, spoil: Spoil, said: str
) -> None:
    forge(of_program, spoil)
    code, out = verify(of_program)
    assert code == 1 and re.search(f"✗ files/[0-9a-f]{{64}}{said}", out) and ", 1 fault\n" in out


def naming(pattern: str) -> Spoil:
    """Results whose program reads other files."""

    def change(files: dict[str, bytes]) -> None:
        for name in [name for name in files if name.startswith("ledger/trials")]:
            body = unseal(files[name])
            body["result"]["trial"]["data_files"] = [pattern]
            files[name] = seal({key: value for key, value in body.items() if key != "sha256"})

    return change


def test_files_outside_of_a_bundle_are_read_for_a_trusted_program_alone(of_program: Path) -> None:
    outside = of_program.with_name("secret.txt")
    outside.touch()
    forge(of_program, naming(str(outside)))
    code, out = verify(of_program)
    elsewhere = "files/ of a program that reads files elsewhere"
    assert code == 1 and f", 0 faults\nnot checked: environment.txt, source/, {elsewhere}\n" in out
    code, out = verify(of_program, "--trust")
    assert code == 1 and "/: data was edited" in out
    forge(of_program, naming("../**"))
    assert elsewhere in verify(of_program)[1]


@pytest.fixture
def author(made: Path, tmp_path: Path) -> Path:
    """A copy of the folder in which the study was run."""
    return shutil.copytree(made.parent, tmp_path / "author", ignore=shutil.ignore_patterns("*.zip"))


def test_a_ledger_whose_plan_was_forged_is_neither_reported_nor_bundled_nor_verified(author: Path) -> None:
    (file,) = (author / "results" / "plans").glob("*.json")
    files = {"plans/one": file.read_bytes()}
    reseals("plans", swapped_seeds)(files)
    file.write_bytes(files["plans/one"])
    for words in (["report"], ["verify"], ["bundle", "-o", "small.zip"]):
        done = call(author, *words, "small")
        assert (done.returncode, done.stderr.count("\n")) == (
            2,
            1,
        ) and "is not what this version writes" in done.stderr


def test_a_folder_for_the_page_is_for_a_bundle_alone(author: Path) -> None:
    done = call(author, "verify", "small", "--out", "elsewhere")
    assert done.returncode == 2 and done.stderr.startswith("unrolled: --out: ")


def test_a_text_that_may_not_be_passed_on_is_left_out_and_missed_in_the_replay(
    author: Path, tmp_path: Path
) -> None:
    succeed(author, "bundle", "small", "-o", str(tmp_path / "small.zip"), "--no-text")
    code, out = verify(tmp_path / "small.zip")
    assert code == 1 and "0 faults" in out and "texts/mine.txt: No such file" in out


def test_a_bundle_that_verify_could_not_check_is_not_written(author: Path, with_plugin: Path) -> None:
    with (author / "texts" / "mine.txt").open("a") as text:
        text.write("more words .")
    for folder, name, said in [
        (author, "small.txt", "-o small.txt: a bundle's name ends in .zip; -o small.txt.zip"),
        (author, "new.zip", "study 'small': no one could train it again: mine.txt was edited; restore that"),
        (with_plugin.parent, "new.zip", "model 'my-cell': is not in the zoo; "),
    ]:
        done = call(folder, "bundle", "small", "-o", name)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1) and said in done.stderr
        assert not (folder / name).exists()


def test_the_lines_of_the_document_print_what_it_says_but_other_numbers_and_verdicts(author: Path) -> None:
    def shape(text: str) -> list[str]:
        lines = [line for line in text.splitlines() if not line.startswith("  ")]
        return [re.sub(r"plan \w+|\d+", "#", line).replace("toggles", "small") for line in lines]

    document = (Path(__file__).parents[3] / "docs" / "bundle.md").read_text()
    examples = re.findall(r"^\$ unrolled ((?:bundle|verify) .*)\n((?:[^$`].*\n)+)", document, re.MULTILINE)
    assert [command.split()[0] for command, _ in examples] == ["bundle", "verify"]
    for command, output in examples:
        printed = succeed(author, *command.replace("toggles", "small").split())
        assert shape(printed) == shape(output)


def test_the_two_lines_of_the_documents_sign_a_bundle_and_check_it(
    bundle: Path, tmp_path: Path, need
) -> None:
    need("bash", "ssh-keygen")
    zipped, key = bundle.rename(bundle.with_name("toggles.zip")), tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    (tmp_path / "signers").write_text(f"me@example.org {key.with_suffix('.pub').read_text()}")
    document = (Path(__file__).parents[3] / "docs" / "bundle.md").read_text()
    sign, verify = (line for line in document.splitlines() if line.startswith("ssh-keygen -Y"))
    typed = partial(subprocess.run, shell=True, cwd=tmp_path, executable="bash", capture_output=True)
    assert typed(sign.replace("~/.ssh/id_ed25519", str(key))).returncode == 0
    assert typed(verify).returncode == 0
    zipped.write_bytes(zipped.read_bytes() + b" ")
    assert typed(verify).returncode != 0
