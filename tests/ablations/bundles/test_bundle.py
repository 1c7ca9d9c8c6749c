"""`unrolled bundle` and `unrolled verify FILE.zip`: a study handed on and checked elsewhere."""

import hashlib
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest
from rocrate.rocrate import ROCrate

from tests.ablations.bundles.bundle_files import make_bundle, read_files, verify_bundle
from tests.helpers.command_call import check_command, refuse_command
from unrolled.ablations.bundles.bundle_file import DESCRIPTION

CELL = "my-cell.py"


def test_a_bundle_is_checked_reported_and_replayed_elsewhere(bundle: Path, source_bundle: Path) -> None:
    code, output = verify_bundle(bundle)
    assert code == 0
    assert "4 of 4 results, 0 faults" in output
    assert "1 of 1 bit-identical" in output
    assert {path.name for path in bundle.parent.iterdir()} == {"small.zip", "mlflow.db", "out"}
    page = bundle.parent / "out" / "verified" / "small" / "index.html"
    assert "report: out/verified/small/index.html" in output
    assert page.read_bytes() == (source_bundle.parent / "out" / "small" / "index.html").read_bytes(), (
        "the author's"
    )
    assert "not checked: environment.txt, source/" in output
    assert "date and marks" in output


def test_a_bundle_is_an_ro_crate_with_the_hash_of_every_file(bundle: Path) -> None:
    crate = ROCrate(bundle)
    files = read_files(bundle)
    hashes = {entity.id: entity["sha256"] for entity in crate.data_entities if entity.type == "File"}
    assert hashes == {n: hashlib.sha256(d).hexdigest() for n, d in files.items() if n != DESCRIPTION}
    root = crate.root_dataset
    assert all(root[key] for key in ("name", "description", "datePublished", "license", "studyHash"))
    parts = {name.partition("/")[0] for name in files}
    assert parts == {"ledger", "files", "source", "environment.txt", DESCRIPTION}
    assert "source/bench/chapter/training/loop.py" in files and b"torch==" in files["environment.txt"]


@pytest.fixture(scope="module")
def plugin_bundle(tmp_path_factory) -> Path:
    """Return the bundle of a cell that reads a file and leaves a trace, `ran`, where it is run.

    Its text came from outside of the author's folder, and is gone.
    """
    folder = tmp_path_factory.mktemp("cell")
    text = tmp_path_factory.mktemp("elsewhere") / "mine.txt"
    check_command(folder, "new", "cell", CELL)
    (folder / "scale.txt").touch()
    with (folder / CELL).open("a") as file:
        file.write("from unrolled import data_file\ndata_file('scale.txt')\n")
        file.write(f"\nopen({str(folder / 'ran')!r}, 'a').close()\n")
    bundle = make_bundle(folder, "my-cell", "--plugin", CELL, corpus=str(text))
    text.unlink()
    return bundle


def test_foreign_code_runs_only_if_trusted_and_reads_the_bundles_text(
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
    errors = refuse_command(tmp_path, "verify", "small.zip", "--plugin", str(plugin_bundle.with_name(CELL)))
    assert errors.startswith("unrolled: --plugin: ")


def test_a_folder_for_the_page_is_for_a_bundle_alone(author_folder: Path) -> None:
    errors = refuse_command(author_folder, "verify", "small", "--out", "elsewhere")
    assert errors.startswith("unrolled: --out: ")


def test_a_replay_misses_a_text_that_may_not_be_passed_on(author_folder: Path, tmp_path: Path) -> None:
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
    for folder, name, cause in [
        (author_folder, "small.txt", "-o small.txt: "),
        (author_folder, "new.zip", "study 'small': no one could train it again: mine.txt "),
        (plugin_bundle.parent, "new.zip", "study 'small': no one could train it again: model 'my-cell': "),
    ]:
        errors = refuse_command(folder, "bundle", "small", "-o", name)
        assert errors.startswith(f"unrolled: {cause}") and errors.count("\n") == 1
        assert not (folder / name).exists()


def test_the_document_shows_what_its_commands_print(
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
