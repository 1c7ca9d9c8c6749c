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
from pathlib import Path

import pytest
from as_typed import write
from called import call
from rocrate.rocrate import ROCrate

from ablations.commands import bundle_check
from ablations.commands.bundle import DESCRIPTION
from ablations.ledger import seal, unseal

CELL = "my-cell.py"


def study(folder: Path, model: str, *plugin: str, corpus: str = "texts/mine.txt") -> Path:
    """The bundle of a study of four trials that was run in a folder."""
    (folder / "texts").mkdir(exist_ok=True)
    steep = '[[arm]]\nname = "lr .02"\nset = { lr = 0.02 }\n'
    write(folder, seeds="seeds = 2", widths=(), arms=steep, model=model, corpus=corpus, hidden=8)
    for words in (["run", "small.toml", "-j", "1"], ["bundle", "small", "-o", "small.zip"]):
        done = call(folder, *words, *plugin)
        assert done.returncode == 0, done.stderr
    return folder / "small.zip"


@pytest.fixture
def told(monkeypatch, command, as_before):
    """Run a command in a folder: its exit code, what it printed, and its errors."""

    def run(folder: Path, *words: str) -> tuple[int, str, str]:
        monkeypatch.chdir(folder)
        return command(*words)

    return run


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


def rewrite(bundle: Path, files: dict[str, bytes], described: bool = False) -> None:
    """Write other files into the bundle, with hashes that fit where a forger sees to that."""
    if described:
        body = json.loads(files[DESCRIPTION])
        kept = [e for e in body["@graph"] if e["@type"] != "File"]
        body["@graph"] = kept + [
            {"@id": name, "@type": "File", "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in files.items()
            if name != DESCRIPTION
        ]
        files = {**files, DESCRIPTION: json.dumps(body).encode()}
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def result_of(files: dict[str, bytes]) -> str:
    return min(name for name in files if name.startswith("ledger/trials/"))


def plan_of(files: dict[str, bytes]) -> str:
    return min(name for name in files if name.startswith("ledger/plans/"))


def test_a_bundle_is_checked_and_replayed_where_nothing_else_of_the_study_is(told, bundle: Path) -> None:
    code, out, err = told(bundle.parent, "verify", "small.zip", "-n", "2")
    assert (code, err) == (0, "")
    assert "4 of 4 results, 0 faults" in out and "2 of 2 bit-identical" in out
    assert sorted(path.name for path in bundle.parent.iterdir()) == ["small.zip"], "nothing is left behind"


def test_a_bundle_is_an_ro_crate_that_describes_every_file_by_its_hash(bundle: Path) -> None:
    crate, files = ROCrate(bundle), contents(bundle)
    described = {entity.id: entity["sha256"] for entity in crate.data_entities if entity.type == "File"}
    assert described == {n: hashlib.sha256(d).hexdigest() for n, d in files.items() if n != DESCRIPTION}
    root = crate.root_dataset
    assert all(root[key] for key in ("name", "description", "datePublished", "license", "studyHash"))
    parts = {name.partition("/")[0] for name in files}
    assert parts == {"ledger", "pages", "text", "source", "environment.txt", DESCRIPTION}
    assert "source/bench/chapter/training/loop.py" in files and b"torch==" in files["environment.txt"]


def faults(bundle: Path) -> str:
    with bundle_check.checked(bundle, trust=False) as checked:
        return "\n".join(checked.faults)


def test_a_fault_fails_a_bundle_all_of_whose_trials_are_the_same_again(told, bundle: Path) -> None:
    files = contents(bundle)
    a_verdict(files)
    rewrite(bundle, files, described=True)
    code, out, _ = told(bundle.parent, "verify", "small.zip", "-n", "1")
    assert code == 1 and "1 of 1 bit-identical" in out and "comparison.csv: is not what the results" in out


def changed_loss(files: dict[str, bytes]) -> None:
    name = result_of(files)
    body = unseal(files[name])
    body["result"]["metrics"]["valid_loss"] -= 0.5
    files[name] = seal({key: value for key, value in body.items() if key != "sha256"})


def another_rate(files: dict[str, bytes]) -> None:
    """The trials of one arm stand under the name of the other."""
    name = plan_of(files)
    plan = unseal(files[name])["plan"]
    first, second = plan["arms"]
    first["trials"], second["trials"] = second["trials"], first["trials"]
    files[name] = seal({"plan": plan})


def other_curves(files: dict[str, bytes]) -> None:
    """Details that are not those that the result names."""
    name = min(name for name in files if name.startswith("ledger/details/"))
    files[name] = files[name].replace(b'"epochs":[', b'"epochs": [')


def a_verdict(files: dict[str, bytes]) -> None:
    files["pages/small/comparison.csv"] = files["pages/small/comparison.csv"].replace(
        b",open,", b",better by more than \xce\xb4,"
    )


PAGE = "pages/small/index.html"


def a_verdict_in_a_figure(files: dict[str, bytes]) -> None:
    files[PAGE] = files[PAGE].replace(b"</main>", b"<svg><text>VERDICT: lr .02 better</text></svg></main>", 1)


def a_word_in_a_figure(files: dict[str, bytes]) -> None:
    before, text, after = files[PAGE].partition(b"</text>")
    files[PAGE] = before + b" better" + text + after


def a_point_moved_in_a_figure(files: dict[str, bytes]) -> None:
    seed = files[PAGE].index(b"data-seed")
    there = re.compile(rb'[xy]="([\d.]+)"').search(files[PAGE], seed)
    assert there is not None
    files[PAGE] = files[PAGE][: there.start(1)] + b"7" + files[PAGE][there.start(1) :]


def another_page(files: dict[str, bytes]) -> None:
    files["pages/index.html"] = files[PAGE]


def another_source(files: dict[str, bytes]) -> None:
    files["source/bench/chapter/training/optimizer.py"] += b"# edited\n"


def a_source_less(files: dict[str, bytes]) -> None:
    del files["source/bench/chapter/run.py"]


def a_result_less(files: dict[str, bytes]) -> None:
    del files[result_of(files)]


@pytest.mark.parametrize(
    ("spoil", "said", "sealed_again"),
    [
        (changed_loss, "is not as it was described", "comparison.csv: is not what the results give"),
        (other_curves, "is not as it was described", "its details are damaged or missing"),
        (another_rate, "is not as it was described", "was trained with another lr"),
        (a_verdict, "comparison.csv: is not as it was", "comparison.csv: is not what the results give"),
        (a_verdict_in_a_figure, "index.html: is not as it was", "index.html: is not what the results give"),
        (a_word_in_a_figure, "index.html: is not as it was", "index.html: is not what the results give"),
        (a_point_moved_in_a_figure, "index.html: is not as it", "index.html: is not what the results give"),
        (another_page, "is not described", "pages/index.html: is no page of these results"),
        (another_source, "optimizer.py: is not as it", "source/: is not what trained lm4 with engine loop"),
        (a_source_less, "is described and not there", "source/: lacks bench/chapter/run.py"),
        (a_result_less, "is described and not there", ""),
    ],
    ids=lambda value: getattr(value, "__name__", None) or None,
)  # fmt: skip
def test_a_planted_change_is_found_also_where_its_hashes_were_made_to_fit(
    bundle: Path, spoil: Callable[[dict[str, bytes]], None], said: str, sealed_again: str
) -> None:
    files = contents(bundle)
    spoil(files)
    rewrite(bundle, files)
    assert said in faults(bundle)
    rewrite(bundle, files, described=True)
    assert sealed_again in faults(bundle)


def test_a_coordinate_that_another_machine_rounds_otherwise_is_no_fault(bundle: Path) -> None:
    files = contents(bundle)
    seed = files[PAGE].index(b"data-seed")
    there = re.compile(rb'[xy]="([\d.]+)"').search(files[PAGE], seed)
    assert there is not None
    moved = f"{float(there[1]) + 0.1:.1f}".encode()
    files[PAGE] = files[PAGE][: there.start(1)] + moved + files[PAGE][there.end(1) :]
    rewrite(bundle, files, described=True)
    assert faults(bundle) == ""


def test_a_text_of_which_a_tenth_is_missing_is_found_when_a_trial_is_trained_again(bundle: Path) -> None:
    files = contents(bundle)
    (name,) = (name for name in files if name.startswith("text/"))
    rewrite(bundle, {**files, name: files[name][: -len(files[name]) // 10]}, described=True)
    done = call(bundle.parent, "verify", "small.zip", "-n", "1")
    assert done.returncode == 1 and "mine.txt was edited" in done.stdout, done.stdout + done.stderr


def linked(bundle: Path) -> None:
    link = zipfile.ZipInfo("pages/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr(link, "/etc/passwd")


def without_plan(bundle: Path) -> None:
    files = contents(bundle)
    rewrite(bundle, {name: data for name, data in files.items() if name != plan_of(files)})


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
        *map(adds, ("pages/../../evil.html", "/tmp/evil.html", "pages/.bashrc", "plugins/a/b.py")),
        adds("pages/bomb", size=10**8),
        adds("pages/a", "pages/a/b"),
        adds("ledger/plans/0123456789abcdef.json"),  # a second one
        without_plan,
        linked,
        with_damaged_compression,
        lambda bundle: bundle.write_bytes(b"PK\x03\x04" + bytes(100)),
        lambda bundle: bundle.write_bytes(bundle.read_bytes()[:-3000]),
    ],
)
def test_a_hostile_or_broken_archive_gets_one_line_and_writes_nothing(
    told, bundle: Path, spoil: Callable[[Path], None], monkeypatch
) -> None:
    monkeypatch.setattr(bundle_check, "MAX_BYTES", 10**7)
    spoil(bundle)
    code, out, err = told(bundle.parent, "verify", "small.zip")
    assert (code, out, err.count("\n")) == (2, "", 1) and err.startswith("unrolled: small.zip: ")
    assert sorted(path.name for path in bundle.parent.rglob("*")) == ["small.zip"]


@pytest.fixture(scope="module")
def with_plugin(tmp_path_factory) -> Path:
    """The bundle of a study with a cell whose file leaves a trace, `ran` beside it, where it is run."""
    folder = tmp_path_factory.mktemp("cell")
    assert call(folder, "new", "cell", CELL).returncode == 0
    with (folder / CELL).open("a") as file:
        file.write(f"\nopen({str(folder / 'ran')!r}, 'a').close()\n")
    return study(folder, "my-cell", "--plugin", CELL)


def test_foreign_code_runs_only_where_it_is_trusted(told, with_plugin: Path, tmp_path: Path) -> None:
    shutil.copy(with_plugin, tmp_path)
    trace = with_plugin.with_name("ran")
    trace.unlink()
    code, out, _ = told(tmp_path, "verify", "small.zip", "-n", "1")
    assert code == 1 and "1 plug-in was not run: --trust runs foreign code" in out and "0 faults" in out
    assert not trace.exists()
    code, out, _ = told(tmp_path, "verify", "small.zip", "-n", "1", "--trust")
    assert code == 0 and "1 of 1 bit-identical" in out and trace.exists()


def test_a_text_that_may_not_be_passed_on_is_left_out_and_missed_in_the_replay(
    told, made: Path, tmp_path: Path
) -> None:
    assert told(made.parent, "bundle", "small", "-o", str(tmp_path / "small.zip"), "--no-text")[0] == 0
    done = call(tmp_path, "verify", "small.zip", "-n", "1")
    assert (
        done.returncode == 1 and "0 faults" in done.stdout and "texts/mine.txt: No such file" in done.stdout
    )


def test_a_text_from_outside_the_authors_folder_is_read_from_the_bundle(told, tmp_path: Path) -> None:
    for name in ("author", "elsewhere", "reviewer"):
        (tmp_path / name).mkdir()
    text = tmp_path / "elsewhere" / "mine.txt"
    shutil.copy(study(tmp_path / "author", "lm2", corpus=str(text)), tmp_path / "reviewer")
    text.unlink()
    code, out, _ = told(tmp_path / "reviewer", "verify", "small.zip", "-n", "1")
    assert code == 0 and "1 of 1 bit-identical" in out


def test_a_bundle_that_verify_could_not_check_is_not_written(made: Path, with_plugin: Path, need) -> None:
    need("ssh-keygen")
    for author, words, said in [
        (made, ("-o", "small.txt"), "-o small.txt: a bundle's name ends in .zip; -o small.txt.zip"),
        (with_plugin, ("-o", "new.zip"), "model 'my-cell': is not in the zoo; "),
    ]:
        done = call(author.parent, "bundle", "small", *words)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1) and said in done.stderr
        assert {path.name for path in author.parent.glob("*.[zt][ix][pt]")} <= {"small.zip", "text.txt"}


def test_what_was_edited_since_it_was_trained_is_not_bundled(tmp_path: Path) -> None:
    made = study(tmp_path, "lm2")
    with (tmp_path / "texts" / "mine.txt").open("a") as text:
        text.write("more words .")
    done = call(tmp_path, "bundle", "small", "-o", str(made))
    said = "study 'small': no one could train it again: mine.txt was edited; restore that"
    assert done.returncode == 2 and said in done.stderr


def test_the_searches_and_winners_of_a_tuned_study_are_as_planned(told, tmp_path: Path) -> None:
    arms = '[[arm]]\nname = "wide"\nset = { hidden = 16 }\n[tuning]\nlr = [1e-3, 1e-2]\nseeds = 1\n'
    write(tmp_path, seeds="seeds = 2", widths=(), arms=arms, model="lm2", hidden=8)
    assert call(tmp_path, "run", "small.toml").returncode == 0
    assert told(tmp_path, "bundle", "small", "-o", "small.zip")[0] == 0
    code, out, _ = told(tmp_path, "verify", "small.zip", "-n", "1")
    assert code == 0 and ", 0 faults" in out


def test_flags_of_a_bundle_are_refused_for_a_study(told, made: Path) -> None:
    code, _, said = told(made.parent, "verify", "small", "--trust")
    assert code == 2 and "--trust: is for a bundle; name its .zip" in said
    shutil.copy(made, made.with_name("renamed.file"))
    assert "2 of 2 bit-identical" in told(made.parent, "verify", "renamed.file", "-n", "2")[1]
    made.with_name("renamed.file").unlink()


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
