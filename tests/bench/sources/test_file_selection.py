"""Which files count where a study names them by patterns, and where it names none."""

from pathlib import Path

import pytest

from tests.helpers.bad_input import raises_bad_input
from unrolled.bench.files.atomic_files import make_output_folder
from unrolled.bench.sources.file_selection import match_files, select_default_code, select_tracked_code

STUDY = 'name = "mine"\nquestion = "?"\n[baseline]\nlr = 1\n'


def write_files(folder: Path, *names: str) -> None:
    """Write files with these names."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(STUDY if name.endswith("study.toml") else "{}")


def test_code_counts_by_default_wherever_it_lies_and_configuration_beside_it(tmp_path: Path) -> None:
    code_files = [
        *("train.py", "src/deep/net.py", "src/fast.so", "scripts/all.sh", "Makefile", "uv.lock"),
        *("pyproject.toml", "requirements-gpu.txt", "environment.yml", "settings.json", "src/base.yaml"),
        *("conf/model/small.yaml", "src/configs/a.ini"),
    ]
    write_files(tmp_path, *code_files)
    write_files(
        tmp_path,
        "data/labels.json",
        "runs/1/hparams.yaml",
        "notes.txt",
        "train.csv",
        ".venv/x.py",
        "study.toml",
    )
    assert sorted(select_default_code(tmp_path)) == sorted(code_files)


def test_files_of_unrolled_mlflow_and_environments_never_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///my.db?timeout=9")
    write_files(tmp_path, "train.py", "data/a.csv")
    written = [
        *("results/kept/1/train.py", "out/mine/trials.csv", "mlruns/0/meta.py", "mlflow.db", "my.db-wal"),
        *("__pycache__/train.pyc", "env/lib/x.py", "conda/lib/x.py", "my-study.toml"),
    ]
    write_files(tmp_path, *written, "env/pyvenv.cfg", "conda/conda-meta/history")
    for folder in ("results", "out"):
        make_output_folder(tmp_path / folder)
    assert list(match_files(tmp_path, ["*", "**/*"])) == ["data/a.csv", "train.py"]
    assert list(match_files(tmp_path, [str(tmp_path / "**/*.csv")])) == [str(tmp_path / "data/a.csv")]
    assert list(select_default_code(tmp_path)) == ["train.py"]
    by_mlflow = ["mlartifacts/1/model.json", "mlflow.db", "mlruns/0/meta.py"]
    write_files(tmp_path, *by_mlflow)
    assert list(select_tracked_code(tmp_path, ["train.py", *by_mlflow])) == ["train.py"], (
        "`git add -A` takes them, too"
    )
    with raises_bad_input(key="'results/*'"):
        match_files(tmp_path, ["results/*"])


def test_a_pattern_has_the_files_below_the_folders_that_it_matches(tmp_path: Path) -> None:
    write_files(tmp_path, "d/one.csv", "d/sub/two.csv", "d/sub/.hidden")
    (tmp_path / "d" / "empty").mkdir()
    (tmp_path / "d" / "sub" / "back").symlink_to("..")  # in a circle
    for pattern in ("d/*", "d", "d/"):
        names = {str(path.relative_to(tmp_path)) for path in match_files(tmp_path, [pattern]).values()}
        assert {"d/one.csv", "d/sub/two.csv"} <= names
        assert "d/sub/.hidden" not in names
    for pattern in ("d/empty", "e/*"):
        with raises_bad_input(key=repr(pattern)):
            match_files(tmp_path, [pattern])


def test_a_linked_folder_is_searched_and_a_circle_of_links_ends(tmp_path: Path) -> None:
    write_files(tmp_path / "elsewhere", "helper.py")
    write_files(tmp_path / "here", "src/train.py")
    (tmp_path / "here" / "src" / "again").symlink_to("..")
    (tmp_path / "here" / "lib").symlink_to(tmp_path / "elsewhere")
    assert list(select_default_code(tmp_path / "here")) == ["lib/helper.py", "src/train.py"]
