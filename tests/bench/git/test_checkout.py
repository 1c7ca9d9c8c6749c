"""The files of a commit in a folder of their own, written once, restored where they were edited."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.bad_input import raises_bad_input
from tests.helpers.git_repository import git, read_texts
from unrolled.bench.git.checkout import Checkout, check_out
from unrolled.bench.git.repository import Repository
from unrolled.bench.program.at_start.sitecustomize import REPORT
from unrolled.bench.program.import_report import AT_START_FOLDER, FOLDER_VARIABLES
from unrolled.bench.sources.identity import ROOT


def check_out_commit(folder: Path, name: str, place: str = "", *data: str) -> Checkout:
    """Return a checkout of a commit, with links to data."""
    repository = Repository.containing(folder, folder.parent / "objects")
    return check_out(repository, repository.resolve(name), folder.parent / "commits", place, data)


def test_commits_with_the_same_files_share_a_checkout_which_is_written_once(folder: Path) -> None:
    first = check_out_commit(folder, "main").root
    mark = (first / "src/train.py").stat().st_ino
    git(folder, "commit", "-q", "--allow-empty", "-m", "other words")
    for name in ("main", "worktree"):
        assert check_out_commit(folder, name).root == first
    assert (first / "src/train.py").stat().st_ino == mark
    assert check_out_commit(folder, "main~2").root != first


def test_edited_and_missing_files_of_a_checkout_are_restored(folder: Path) -> None:
    checkout = check_out_commit(folder, "main").root
    texts = read_texts(checkout)
    (checkout / "src/train.py").write_text("print(9)\n")
    (checkout / "run.sh").unlink()
    (checkout / "made.txt").write_text("by the program")
    check_out_commit(folder, "main")
    assert read_texts(checkout) == texts | {"made.txt": "by the program"}
    assert sorted(checkout.parent.iterdir()) == [checkout, checkout.with_name(f"{checkout.name}.made")]


def test_data_that_git_does_not_have_are_linked_and_tracked_files_stay(
    folder: Path,
) -> None:
    plain = check_out_commit(folder, "main").root
    for _ in range(2):
        linked = check_out_commit(folder, "main", "", "weights.bin", "src/train.py").root
    assert (linked / "weights.bin").readlink() == folder / "weights.bin"
    assert not (linked / "src/train.py").is_symlink()
    assert not (plain / "weights.bin").exists()


def test_a_program_below_the_top_has_its_place_and_data(folder: Path) -> None:
    (folder / "src" / "text.bin").write_bytes(b"text")
    checkout = check_out_commit(folder, "main", "src", "text.bin", "../weights.bin")
    assert checkout.folder == checkout.root / "src"
    assert checkout.tracked == ("train.py",)
    assert (checkout.folder / "text.bin").exists()
    assert (checkout.root / "weights.bin").exists()
    (folder.parent / "outside.txt").write_text("")
    with raises_bad_input("outside", key="data: ../../outside.txt"):
        check_out_commit(folder, "main", "src", "../../outside.txt")
    with raises_bad_input("nowhere", place="commit 'main'"):
        check_out_commit(folder, "main", "nowhere", "x")


@pytest.fixture
def pointer(folder: Path) -> Path:
    """Return a pointer of Git LFS to the bytes `weights`, in the last commit."""
    path = folder / "model.pt"
    oid = hashlib.sha256(b"weights").hexdigest()
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "a pointer")
    return path


def test_a_pointer_of_lfs_is_refused(folder: Path, pointer: Path) -> None:
    with raises_bad_input("`data`", place="commit 'main'", key="model.pt"):
        check_out_commit(folder, "main", "", "model.pt")


def test_the_version_of_an_lfs_pointer_is_linked(folder: Path, pointer: Path) -> None:
    pointer.write_bytes(b"weights")
    checkout = check_out_commit(folder, "main", "", "model.pt")
    assert (checkout.root / "model.pt").read_bytes() == b"weights"
    pointer.write_bytes(b"weights of another version")
    with raises_bad_input("another version", place="commit 'main'", key="model.pt"):
        check_out_commit(folder, "main", "", "model.pt")


def test_a_submodule_is_refused_only_below_the_programs_folder(folder: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(folder), "other")
    git(folder, "submodule", "--quiet", "add", str(tmp_path / "other"), "library")
    git(folder, "commit", "-qm", "a submodule")
    check_out_commit(folder, "main", "src")
    with raises_bad_input(place="commit 'main'", key="library"):
        check_out_commit(folder, "main")


def test_a_checkout_is_restored_though_an_edit_puts_times_back(folder: Path) -> None:
    checkout = check_out_commit(folder, "main").root
    texts = read_texts(checkout)
    train = checkout / "src/train.py"
    state = train.stat()
    train.write_text("print(9)\n")
    os.utime(train, ns=(state.st_atime_ns, state.st_mtime_ns))
    (checkout / "random.py").write_text("")
    check_out_commit(folder, "main")
    assert read_texts(checkout) == texts


def test_data_behind_a_tracked_link_replace_no_file(folder: Path) -> None:
    (folder / "store").mkdir()
    (folder / "store" / "x.txt").write_text("first")
    (folder / "data").symlink_to("store")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "a link to a folder")
    (folder / "store" / "x.txt").write_text("edited")
    checkout = check_out_commit(folder, "main", "", "data/*.txt").root
    assert (checkout / "data" / "x.txt").read_text() == "first"


def test_unrolleds_own_reporter_is_no_file_of_the_program(tmp_path: Path) -> None:
    place = tmp_path / "checkout" / AT_START_FOLDER.relative_to(ROOT)
    place.parent.mkdir(parents=True)
    shutil.copytree(AT_START_FOLDER, place)
    report = tmp_path / "report"
    folders = dict(zip(FOLDER_VARIABLES, (str(ROOT), str(tmp_path / "checkout"), ""), strict=True))
    variables = {**folders, REPORT: str(report), "PYTHONPATH": str(AT_START_FOLDER)}
    words = [sys.executable, "-c", "import at_start.sitecustomize"]  # the commit's own reports, too
    subprocess.run(words, cwd=place.parent, env=os.environ | variables, check=True)
    assert "foreign" not in report.read_text()
