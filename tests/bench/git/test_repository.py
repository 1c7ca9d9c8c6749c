"""Commits are read from a repository that stays as it was."""

from pathlib import Path

import pytest

from tests.helpers.bad_input import raises_bad_input
from tests.helpers.git_repository import git, hash_files, read_texts
from unrolled.bench.git.repository import GITLINK, Repository, is_pointer


def open_repository(folder: Path) -> Repository:
    """Return the repository that holds a folder."""
    return Repository.containing(folder, folder.parent / "objects")


@pytest.fixture
def repository(folder: Path) -> Repository:
    """Return the repository of the work tree."""
    return open_repository(folder)


def write_commit(repository: Repository, name: str, out: Path) -> Path:
    """Write the files of a commit or of the work tree into a new folder."""
    out.mkdir()
    repository.write_files(repository.resolve(name).tree, out)
    return out


def test_the_files_of_a_commit_are_written_elsewhere_and_the_repository_stays(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "src/train.py").write_text("print(3)\n")  # edited, one staged, one new, one removed
    (folder / "staged.py").write_text("")
    git(folder, "add", "staged.py")
    (folder / "new.py").write_text("")
    (folder / "run.sh").unlink()
    hashes = hash_files(folder)
    repository = Repository.containing(folder / "src", tmp_path / "objects")
    for name, expected in {
        "HEAD~1": {".gitignore": "*.bin\n", "run.sh": "#!/bin/sh\n", "src/train.py": "print(1)\n"},
        "main": {".gitignore": "*.bin\n", "run.sh": "#!/bin/sh\n", "src/train.py": "print(2)\n"},
        "worktree": {".gitignore": "*.bin\n", "src/train.py": "print(3)\n", "staged.py": "", "new.py": ""},
    }.items():
        assert read_texts(write_commit(repository, name, tmp_path / name)) == expected
    assert (tmp_path / "main/run.sh").stat().st_mode & 0o111
    assert hash_files(folder) == hashes


def test_a_clean_work_tree_has_the_tree_of_head(folder: Path, repository: Repository) -> None:
    (folder / ".gitattributes").write_text("*.py text eol=crlf\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "attributes")
    (folder / "src/train.py").write_bytes(b"print(2)\r\n")  # as a checkout under these attributes has it
    git(folder, "config", "core.fileMode", "false")
    (folder / "run.sh").chmod(0o644)
    head = repository.resolve("HEAD")
    work_tree = repository.resolve("worktree")
    assert work_tree.tree == head.tree
    assert work_tree.subject == head.subject == "attributes"


def test_line_ends_are_those_of_the_commits_own_attributes(
    folder: Path, repository: Repository, tmp_path: Path
) -> None:
    (folder / ".gitattributes").write_text("*.py text eol=crlf\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "attributes")
    for name, expected in {"HEAD": b"print(2)\r\n", "HEAD~1": b"print(2)\n"}.items():
        out = write_commit(repository, name, tmp_path / name)
        assert (out / "src/train.py").read_bytes() == expected


def test_a_commit_tells_hash_subject_and_date(folder: Path) -> None:
    commit = open_repository(folder).resolve("main")
    assert commit.hash == git(folder, "rev-parse", "HEAD")
    assert commit.subject == "second, with ünïcode"
    assert commit.author_date == git(folder, "show", "-s", "--format=%aI")


def test_an_unknown_name_is_refused_with_the_nearest(folder: Path, repository: Repository) -> None:
    git(folder, "branch", "feature/rope")
    with raises_bad_input("'feature/rope'", key="commit 'feature/rpoe'"):
        repository.resolve("feature/rpoe")


@pytest.mark.parametrize("name", ["--help", "-h", "", "main:src/train.py", "a b", "main\n"])
def test_a_text_that_is_no_name_of_a_commit_is_refused(repository: Repository, name: str) -> None:
    with raises_bad_input(key=f"commit {name!r}"):
        repository.resolve(name)


def test_the_work_tree_of_a_repository_without_a_commit_is_refused(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    with raises_bad_input("commit its files", place=f"repository {tmp_path}", key="commit 'HEAD'"):
        Repository.containing(tmp_path, tmp_path / "objects").resolve("worktree")


def test_variables_that_git_sets_for_its_hooks_do_not_name_another_repository(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unrelated = tmp_path / "other"
    unrelated.mkdir()
    git(unrelated, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(unrelated / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert open_repository(folder).root == folder


def test_a_folder_outside_a_repository_is_refused(tmp_path: Path) -> None:
    with raises_bad_input("git init", place=tmp_path):
        open_repository(tmp_path)


def test_a_repository_of_another_user_is_refused_until_the_cure_is_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.chdir(folder)
    with raises_bad_input(place=f"repository {folder}") as excinfo:
        open_repository(Path("src"))
    git(tmp_path, *excinfo.value.cure.split()[1:])
    assert open_repository(Path("src")).root == folder


def test_a_machine_without_git_is_told_to_install_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with raises_bad_input("install git", place="commit"):
        open_repository(folder)


def test_a_shallow_clone_without_the_merge_base_is_told_to_fetch(
    folder: Path, repository: Repository, tmp_path: Path
) -> None:
    git(folder, "checkout", "-qb", "feature", "HEAD~1")
    git(folder, "commit", "-q", "--allow-empty", "-m", "feature")
    assert repository.find_merge_base("main", "feature") == git(folder, "rev-parse", "main~1")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth", "1", "--no-single-branch", f"file://{folder}", str(clone))
    with raises_bad_input("--unshallow", key="commits origin/main and origin/feature"):
        open_repository(clone).find_merge_base("origin/main", "origin/feature")


def test_submodules_and_pointers_of_lfs_are_seen(
    folder: Path, repository: Repository, tmp_path: Path
) -> None:
    library = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(folder), str(library))
    git(folder, "submodule", "--quiet", "add", str(library), "library")
    (folder / ".gitattributes").write_text("*.pt filter=lfs\n")
    (folder / "model.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n")
    git(folder, "-c", "filter.lfs.required=false", "add", "-A")
    git(folder, "commit", "-qm", "stored elsewhere")
    files = repository.list_files(repository.resolve("HEAD").tree)
    assert files["library"].mode == GITLINK
    assert "src/train.py" in files
    out = write_commit(repository, "HEAD", tmp_path / "out")
    assert [name for name in files if is_pointer(out / name)] == ["model.pt"]


def test_a_linked_work_tree_and_a_bare_repository_are_read(folder: Path, tmp_path: Path) -> None:
    git(folder, "worktree", "add", "-q", str(tmp_path / "linked"), "-b", "linked")
    (tmp_path / "linked/src/train.py").write_text("print(4)\n")
    git(tmp_path, "clone", "-q", "--bare", str(folder), str(tmp_path / "bare.git"))
    for place, name, expected in (
        ("linked/src", "worktree", "print(4)\n"),
        ("bare.git", "main", "print(2)\n"),
    ):
        out = write_commit(open_repository(tmp_path / place), name, tmp_path / f"out-{name}")
        assert (out / "src/train.py").read_text() == expected
