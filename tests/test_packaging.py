"""The wheel is what a user installs."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.helpers.command_call import read_trial_counts
from tests.helpers.command_process import COMMAND_LINES, make_environment

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PACKAGES = ("unrolled", "bench", "ablations", "reports")
FILES = ("pyproject.toml", "README.md", "LICENSE")


def list_sources() -> list[str]:
    """Every file of the packages that someone wrote, as in a clone, with git or without."""
    files = [path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()]
    cache_names = {"__pycache__"}
    return sorted(
        str(p) for p in (path.relative_to(ROOT) for path in files) if not cache_names & set(p.parts)
    )


def list_installed_names() -> list[str]:
    """Where the wheel has them: three packages within one, beside which they lie in a clone."""
    return sorted(name if name.startswith("unrolled/") else f"unrolled/{name}" for name in list_sources())


def read_output(*words: object, **options) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in (*FILES, *list_sources()):  # without what a build leaves behind
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    for name in PACKAGES[1:]:
        (source / "unrolled" / name).symlink_to(Path("..", name))
    read_output(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_one_package_with_all_files_of_three(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    assert sorted(names) == list_installed_names()


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """Return an environment in which nothing but the wheel is installed."""
    folder = tmp_path_factory.mktemp("environment")
    read_output(sys.executable, "-m", "venv", "--without-pip", folder)
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python")
    read_output(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel)
    return folder


def test_the_wheel_installs_into_an_empty_environment_and_its_command_plans(environment, tmp_path):
    # The dependencies come from the environment of the tests: what they are is pip's business.
    place = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": sysconfig.get_paths()["purelib"]}}
    plan = read_output(environment / "bin" / "unrolled", "plan", "toggles", **place)
    assert "17 arms, looks after 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60 seeds" in plan
    words = ("-c", "from unrolled import bench; print(bench.__file__)")
    assert read_output(environment / "bin" / "python", *words, **place).startswith(str(environment))


CHAPTER = ("torch", "torchvision", "torchgen", "functorch", "fastai", "fastcore", "num2words")


def test_a_program_is_studied_and_verified_without_the_chapters_packages(environment, tmp_path):
    site = Path(sysconfig.get_paths(vars={"base": str(environment)})["purelib"])
    for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
        name = path.name.partition("-")[0].lower()
        if (
            name not in CHAPTER
            and path.suffix != ".pth"
            and "unrolled" not in name
            and not (site / path.name).exists()
        ):
            (site / path.name).symlink_to(path)
    folder = tmp_path / "empty"
    folder.mkdir()
    python = environment / "bin" / "python"
    place = {"cwd": folder, "env": make_environment(folder)}
    lines = "new program my.toml", "run my.toml --seeds 0", "bundle my.toml -o my.zip"
    output = read_output(python, "-c", COMMAND_LINES, *lines, "verify my.zip --trust -n 1", **place)
    assert read_trial_counts(output).trained == 4
    assert "1 of 1 bit-identical" in output
    refused = subprocess.run(
        [environment / "bin" / "unrolled", "plan", "models"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (
        refused.returncode == 2 and "unrolled[chapter]" in refused.stderr and refused.stderr.count("\n") == 1
    )


def test_an_environment_that_came_with_a_copied_folder_is_installed_again(tmp_path):
    """Its command would run the code of the original."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    command = tmp_path / ".venv" / "bin" / "unrolled"
    for place, installs in ((tmp_path, False), (tmp_path / "original", True)):
        command.write_text(f"#!{place}/.venv/bin/python\n")
        (tmp_path / ".venv" / "installed").touch()
        assert ("pip install" in read_output("make", "-n", "ablations", cwd=tmp_path)) == installs
