"""What a program imports counts: files beside it, packages of its own Python, sources without a version."""

import json
import os
import shutil
import subprocess
import venv
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.bad_input import raises_bad_input
from tests.helpers.new_process import forget_code, forget_read_files
from unrolled.bench.errors import BadInput
from unrolled.bench.program.identity import file_facts, program_identity
from unrolled.bench.program.program_trial import ProgramTrial
from unrolled.bench.sources.identity import record_source


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def install(site: Path, name: str, version: str, code: str = "", **origin: object) -> None:
    """Install a package of one module, from the index or from an `origin`."""
    for old in site.glob(f"{name}-*"):
        shutil.rmtree(old)
    info = site / f"{name}-{version}.dist-info"
    write(info / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    write(info / "WHEEL", "Wheel-Version: 1.0\n")
    write(info / "RECORD", f"{name}/__init__.py,sha256={hash(code)},\n{info.name}/RECORD,,\n")
    write(site / name / "__init__.py", code)
    if origin:
        write(info / "direct_url.json", json.dumps({"url": "file:///x", **origin}))


@pytest.fixture(scope="module")
def new_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment of Python without packages."""
    folder = tmp_path_factory.mktemp("environment")
    venv.EnvBuilder(symlinks=True).create(folder)
    return folder


@pytest.fixture
def environment(new_environment: Path, tmp_path: Path) -> Path:
    """Return another Python, which has the package `first` in version 1.0."""
    folder = Path(shutil.copytree(new_environment, tmp_path / "env", symlinks=True))
    install(find_site(folder), "first", "1.0")
    return folder


def find_site(environment: Path) -> Path:
    """Return the folder of an environment's packages."""
    return next(environment.glob("lib/*/site-packages"))


def identify_program(folder: Path, run: str = "python train.py {seed}", **fields: object) -> ProgramTrial:
    """Return a trial of the program as a process that starts now identifies it."""
    forget_read_files()
    return ProgramTrial(seed=0, run=run, folder=str(folder), **fields).identify()  # type: ignore[arg-type]


def read_versions(trial: ProgramTrial) -> dict[str, str]:
    """Return the versions of the packages that count, by name."""
    return dict(pair.split(" ") for pair in trial.versions.split(", "))


def test_the_packages_of_another_python_count(environment: Path, tmp_path: Path) -> None:
    write(
        tmp_path / "study/train.py",
        "import first, json\ntry:\n    import second\nexcept ImportError:\n    pass\n",
    )
    run, site = f"{environment}/bin/python train.py {{seed}}", find_site(environment)
    ids = {}
    for change in ("nothing", "upgraded", "added", "from a folder", "from it again"):
        if change == "upgraded":
            install(site, "first", "1.1")
        elif change == "added":
            install(site, "second", "2.0")
        elif change.startswith("from"):
            install(site, "second", "2.0", change, dir_info={})
        trial = identify_program(tmp_path / "study", run)
        ids[trial.id] = read_versions(trial)
    assert [each.get("first") for each in ids.values()] == ["1.0", *["1.1"] * 4]
    assert [each["second"].partition("+")[0] for each in ids.values()] == ["absent", "absent", *["2.0"] * 3]
    declared = identify_program(tmp_path / "study", run, packages=("first",))
    assert read_versions(declared).keys() == {"unrolled", "python", "first"}
    with pytest.raises(BadInput) as refusal:
        identify_program(tmp_path / "study", run, packages=("third",))
    assert refusal.value.key == "'third'"


def test_a_required_package_counts_if_it_has_compiled_code(environment: Path, tmp_path: Path) -> None:
    site = find_site(environment)
    with (site / "first-1.0.dist-info" / "METADATA").open("a") as metadata:
        for requirement in ("arrays>=1", "words", "plots; extra == 'all'", "absent ; sys_platform == 'x'"):
            print(f"Requires-Dist: {requirement}", file=metadata)
    write(tmp_path / "study/train.py", "import first\n")
    run = f"{environment}/bin/python train.py {{seed}}"
    package_versions = []
    for version in ("1.0", "1.1"):
        for name in ("arrays", "words", "plots"):
            install(site, name, version)
            if name != "words":
                with (site / f"{name}-{version}.dist-info" / "RECORD").open("a") as record:
                    print(f"{name}/core.cpython-311-x86_64-linux-gnu.so,,", file=record)
        package_versions.append(read_versions(identify_program(tmp_path / "study", run)))
    assert [each["arrays"] for each in package_versions] == ["1.0", "1.1"]
    assert {*package_versions[1]} == {"unrolled", "python", "first", "arrays"}


def test_the_sources_of_an_editable_package_count(environment: Path, tmp_path: Path) -> None:
    site = find_site(environment)
    install(site, "mylib", "0.1", dir_info={"editable": True})
    shutil.rmtree(site / "mylib")
    write(site / "__editable__.mylib.pth", str(tmp_path / "src"))
    write(tmp_path / "src/mylib/__init__.py", "import first\n")
    write(tmp_path / "src/mylib/core/rate.py", "sign = 1\n")
    write(tmp_path / "study/train.py", "import mylib\n")
    run = f"{environment}/bin/python train.py {{seed}}"
    before = identify_program(tmp_path / "study", run)
    assert read_versions(before)["first"] == "1.0" and str(tmp_path / "src/mylib") in before.outside_paths
    write(tmp_path / "src/mylib/core/rate.py", "sign = -1\n")
    assert identify_program(tmp_path / "study", run).id != before.id


def test_modules_in_pythonpath_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "study/train.py", "import lib.inner, data\n")
    write(tmp_path / "path/lib/inner.py", "a = 1\n")
    write(tmp_path / "path/unused.py")
    write(tmp_path / "path/data/no_module.csv")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    ids = set()
    for name in ("path/lib/inner.py", "path/sitecustomize.py"):
        ids.add(identify_program(tmp_path / "study").id)
        write(tmp_path / name, "a = 2\n")
    ids.add(identify_program(tmp_path / "study").id)
    monkeypatch.delenv("PYTHONPATH")
    by_word = identify_program(tmp_path / "study", "env PYTHONPATH=../path python train.py {seed}")
    assert len(ids) == 3 and any("inner.py" in name for name in by_word.list_hashed_files())
    write(tmp_path / "path/unused.py", "a = 3\n")
    assert identify_program(tmp_path / "study", by_word.run).id == by_word.id


def test_files_beside_a_program_count_that_its_files_import(tmp_path: Path) -> None:
    for name in ("study/other.py", "study/pkg/unused.py", "study/pkg/fast.cpython-311-x86_64-linux-gnu.so"):
        write(tmp_path / name)
    write(tmp_path / "study/train.py", "import helper\nfrom pkg import part\nimport pkg.fast\n")
    write(tmp_path / "study/helper.py")
    write(tmp_path / "study/pkg/__init__.py")
    write(tmp_path / "study/pkg/part.py", "from .deep.er import x\nfrom . import near\n")
    write(tmp_path / "study/pkg/deep/er.py")
    write(tmp_path / "study/pkg/near.py")
    imported = identify_program(tmp_path / "study", code_patterns=("train.py",)).list_hashed_files()
    assert sorted(imported) == [
        "helper.py",
        *("pkg/__init__.py", "pkg/deep/er.py", "pkg/fast.cpython-311-x86_64-linux-gnu.so"),
        *("pkg/near.py", "pkg/part.py", "train.py"),
    ]
    write(tmp_path / "below/train.py")
    beside = identify_program(tmp_path / "below", "python ../study/train.py {seed}")
    assert beside.identify().id == beside.id
    assert {"../study/helper.py", "../study/other.py"} & {*beside.list_hashed_files()} == {
        "../study/helper.py"
    }
    write(tmp_path / "study/helper.py", "edited = True\n")
    assert beside.identify().id != beside.id, "also in a process that knows the file from before"


def test_modules_of_unrolled_count_that_a_program_imports_by_name(tmp_path: Path) -> None:
    write(tmp_path / "train.py", "from unrolled import declare_study, run\n")
    assert list(identify_program(tmp_path).list_hashed_files()) == ["train.py"]
    write(tmp_path / "train.py", "from unrolled.bench.chapter.models import lstm\n")
    trial = identify_program(tmp_path)
    hashed_files = trial.list_hashed_files()
    assert {"unrolled:bench/chapter/models/lstm.py", "unrolled:bench/chapter/models/recurrent.py"} <= {
        *hashed_files
    }
    assert "torch" in read_versions(trial) and trial.outside_paths == []


@pytest.mark.parametrize(
    ("files", "has_numpy"),
    [
        (["tools/numpy.py"], True),  # which no import finds
        (["numpy/data.csv"], True),  # a folder gives way to an installed package
        (["numpy.py"], False),
        (["numpy/__init__.py"], False),
    ],
)
def test_a_name_hides_an_installed_package_where_python_finds_it_first(
    tmp_path: Path, files: list[str], has_numpy: bool
) -> None:
    write(tmp_path / "train.py", "import numpy\n")
    for name in files:
        write(tmp_path / name)
    assert ("numpy" in read_versions(identify_program(tmp_path))) is has_numpy


def test_python_that_cannot_be_read_is_refused_where_it_is_run(tmp_path: Path) -> None:
    write(tmp_path / "train.py", "import json\n")
    texts = {"old.py": "print 1\n", "deep.py": f"x = {'-' * 10_000}1\n", "sum.py": f"x = {'1+' * 10_000}1\n"}
    for name, text in {**texts, "open.py": f"x = {'(' * 10_000}", "nul.py": "\0"}.items():
        write(tmp_path / name, text)
        assert name in identify_program(tmp_path).list_hashed_files(), "it lies there, and no one runs it"
        for fields in ({"run": f"python {name} {{seed}}"}, {"code_patterns": (name,)}):
            with raises_bad_input(place=tmp_path / name):
                identify_program(tmp_path, **fields)
    assert "numpy" in read_versions(
        identify_program(tmp_path, code_patterns=("old.py",), packages=("numpy",))
    )


def test_a_python_that_cannot_be_asked_is_refused_in_a_line(tmp_path: Path) -> None:
    write(tmp_path / "train.py", "import json\n")
    write(tmp_path / "python2", "#!/bin/sh\nexit 3\n")
    (tmp_path / "python2").chmod(0o755)
    with raises_bad_input("3.8", key="run"):
        identify_program(tmp_path, "./python2 train.py {seed}")
    write(tmp_path / "uv.lock")
    with raises_bad_input(key="packages"):
        identify_program(tmp_path, "uv run train.py {seed}", packages=("numpy",))


def test_a_file_that_was_just_written_is_read_again(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "1")
    facts = file_facts.inspect_file(tmp_path / "a.csv")
    assert not facts.is_settled and file_facts.inspect_file(tmp_path / "a.csv") is not facts


@pytest.fixture
def settle_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have files count as settled at once, so that a test does not wait."""
    monkeypatch.setattr(file_facts, "_SETTLED_NS", 0)


@pytest.mark.usefixtures("settle_files")
def test_a_trials_process_reads_again_only_what_changed(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "study/train.py", "import first\n")
    write(tmp_path / "study/large.bin", "3 GB")
    run = f"{environment}/bin/python train.py {{seed}}"
    trial = identify_program(tmp_path / "study", run, data_patterns=("large.bin",))
    read: list[Path] = []
    real = file_facts._read_imports
    monkeypatch.setattr(file_facts, "_read_imports", lambda path: [read.append(path), real(path)][1])
    questions: list[object] = []
    answer = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: [questions.append(a), answer(*a, **k)][1])

    def check() -> None:
        forget_read_files()
        for calls in (read, questions):
            calls.clear()
        trial.read_planned_file_states()

    check()
    assert (read, questions) == ([], [])
    stat = (tmp_path / "study/large.bin").stat()
    write(tmp_path / "study/large.bin", "3 gb")
    os.utime(tmp_path / "study/large.bin", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with raises_bad_input("data", "large.bin"):
        check()
    assert [path.name for path in read] == ["large.bin"]
    write(tmp_path / "study/large.bin", "3 GB")
    install(find_site(environment), "first", "1.1")
    with raises_bad_input("first 1.0 → 1.1"):
        check()
    assert questions


@pytest.mark.parametrize(
    ("fields", "readers"),
    [
        ({}, set()),
        ({"patterns": {"loss": r"(?P<value>\d)"}}, {"line_patterns.py"}),
        ({"metrics_source": "{out}/m.log", "patterns": {"loss": "(?P<value>.)"}}, {"line_patterns.py"}),
        ({"metrics_source": "{out}/m.csv"}, {"delimited.py"}),
        ({"metrics_source": "{out}/m.json", "rows_key": "log_history"}, {"json_value.py"}),
        ({"metrics_source": "{out}/*.jsonl"}, {"json_lines.py"}),
        ({"metrics_source": "{out}/*tfevents*"}, {"tensorboard.py"}),
        ({"metrics_source": "mlflow"}, {"mlflow_store.py"}),
    ],
)
def test_an_edit_of_what_reads_its_numbers_makes_other_trials_and_of_other_readers_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, object], readers: set[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)  # every package is installed
    write(tmp_path / "train.py")
    trial = identify_program(tmp_path, **fields)
    counted = set()
    for path in program_identity.HASHED_FILES:
        forget_code()
        record_source(path, b"EDITED = True")
        if replace(trial, versions="").identify().id != trial.id:
            counted.add(path)
    forget_code()
    assert {path.name for path in counted.difference(program_identity.SHARED_READERS)} == readers
    assert counted.issuperset(program_identity.SHARED_READERS)
