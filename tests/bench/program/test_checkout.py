"""The files of a commit in a folder of their own, written once, restored where they were edited."""

from pathlib import Path

import pytest
from git_repository import git, make_repository

from unrolled.bench.errors import BadInput
from unrolled.bench.program.checkout import link_data, make_checkout, refuse_missing_files
from unrolled.bench.program.repository import Repository


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_repository(tmp_path / "repository")
    return tmp_path / "repository"


def repository_of(folder: Path) -> Repository:
    return Repository.containing(folder, folder.parent / "objects")


def written(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_commits_with_the_same_files_share_a_checkout_which_is_written_once(
    folder: Path, tmp_path: Path
) -> None:
    repository, places = repository_of(folder), tmp_path / "commits"
    first = make_checkout(repository, repository.resolve("main"), places)
    mark = (first / "src/train.py").stat().st_ino
    git(folder, "commit", "-q", "--allow-empty", "-m", "other words")
    for name in ("main", "worktree"):
        assert make_checkout(repository, repository.resolve(name), places) == first
    assert (first / "src/train.py").stat().st_ino == mark
    assert make_checkout(repository, repository.resolve("main~2"), places) != first


def test_edited_and_missing_files_of_a_checkout_are_restored_and_new_ones_stay(
    folder: Path, tmp_path: Path
) -> None:
    repository, places = repository_of(folder), tmp_path / "commits"
    commit = repository.resolve("main")
    checkout = make_checkout(repository, commit, places)
    before = written(checkout)
    (checkout / "src/train.py").write_text("print(9)\n")
    (checkout / "run.sh").unlink()
    (checkout / "made.txt").write_text("by the program")
    make_checkout(repository, commit, places)
    assert written(checkout) == before | {"made.txt": "by the program"}
    assert [path.name for path in places.iterdir()] == [commit.tree]


def test_data_that_git_does_not_have_are_linked_and_tracked_files_stay(folder: Path, tmp_path: Path) -> None:
    repository = repository_of(folder)
    checkout = make_checkout(repository, repository.resolve("main"), tmp_path / "commits")
    for _ in range(2):
        link_data(folder, checkout, ["weights.bin", "src/train.py"], ["src/train.py"])
    assert (checkout / "weights.bin").readlink() == folder / "weights.bin"
    assert not (checkout / "src/train.py").is_symlink()


@pytest.mark.parametrize("linked", [False, True])
def test_a_pointer_of_lfs_is_refused_unless_its_file_is_linked(
    folder: Path, tmp_path: Path, linked: bool
) -> None:
    (folder / "model.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "a pointer")
    repository = repository_of(folder)
    commit = repository.resolve("main")
    checkout = make_checkout(repository, commit, tmp_path / "commits")
    if linked:
        refuse_missing_files(repository, commit, checkout, "", ["model.pt"])
        link_data(folder, checkout, ["model.pt"], ["model.pt"])
        assert (checkout / "model.pt").is_symlink()
    else:
        with pytest.raises(BadInput) as refused:
            refuse_missing_files(repository, commit, checkout, "", [])
        assert refused.value.key == "model.pt" and "data" in refused.value.cure


def test_a_submodule_is_refused_only_below_the_programs_folder(folder: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(folder), "other")
    git(folder, "submodule", "--quiet", "add", str(tmp_path / "other"), "library")
    git(folder, "commit", "-qm", "a submodule")
    repository = repository_of(folder)
    commit = repository.resolve("main")
    checkout = make_checkout(repository, commit, tmp_path / "commits")
    refuse_missing_files(repository, commit, checkout, "src", [])
    with pytest.raises(BadInput) as refused:
        refuse_missing_files(repository, commit, checkout, "", [])
    assert refused.value.key == "library"
