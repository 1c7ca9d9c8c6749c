"""A function studied from Python: trained in processes of its own, found by its module."""

import importlib
import runpy
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers.bad_input import raises_bad_input
from tests.helpers.command_process import make_environment
from unrolled import bundle, declare_study, run, verify
from unrolled.ablations.api import StudyReport
from unrolled.ablations.commands import report
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import VerifyOptions
from unrolled.bench.errors import BadInput
from unrolled.bench.program.program_trial import ProgramTrial

pytestmark = pytest.mark.usefixtures("skip_mlflow")

CODE = """
import random
from helper import scale

def train(seed: int, width: int = 1, deep: bool = False) -> dict[str, float]:
    random.seed(seed)
    return {"accuracy": random.gauss(0.8, 0.01) + scale * width + 0.1 * deep}
"""
METRICS = [{"name": "accuracy", "delta": 0.01}]
_NUMBER = count()


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Return a function that writes and imports a module of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, value in make_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "helper.py").write_text("scale = 0.1\n")
    monkeypatch.delitem(sys.modules, "helper", raising=False)

    def import_module(code: str, *, package: bool = False) -> ModuleType:
        name = f"mine_{next(_NUMBER)}"
        file = tmp_path / name / "__init__.py" if package else tmp_path / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(code)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    return import_module


def run_study(module: ModuleType, **keys: object) -> StudyReport:
    """Run a study of a module's function."""
    arms = {"one_at_a_time": {"width": [2], "deep": [True]}, "metrics": METRICS, "seeds": 2}
    return run(declare_study("mine", module.train, **{**arms, **keys}))


def test_a_function_is_trained_judged_and_shown(write_module: Callable[[str], ModuleType]) -> None:
    outcome = run_study(write_module(CODE))
    assert outcome.verdicts.set_index("arm").difference.to_dict() == pytest.approx(
        {"width 2": 0.1, "deep": 0.1}
    )
    assert len(outcome.results) == 6 and "width 2" in str(outcome)
    page = outcome._repr_html_()
    assert "<svg" in page
    assert "<table" in page
    assert page.count("width 2") == 2


def test_a_study_of_a_function_is_verified_and_bundled_from_python(
    write_module: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    module = write_module(CODE)
    run_study(module)
    study = declare_study("mine", module.train, one_at_a_time={"width": [2]}, metrics=METRICS, seeds=2)
    assert verify(study, VerifyOptions(number=1))
    bundle(study, tmp_path / "mine.zip")
    assert not verify(f"{tmp_path}/mine.zip"), "its code is someone else's"
    assert verify(f"{tmp_path}/mine.zip", VerifyOptions(number=1, trust=True))


def test_a_run_keeps_what_the_index_says_of_its_study(
    write_module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "compare_plan", None)  # by which an index compares what was not kept
    page = run_study(write_module(CODE)).page
    assert page.parent.name in (page.parents[1] / "index.html").read_text()


def test_a_function_of_a_package_is_trained(write_module: Callable[..., ModuleType]) -> None:
    outcome = run_study(write_module(CODE, package=True), one_at_a_time={"deep": [True]})
    assert outcome.results.status.tolist() == ["done"] * 4


def test_a_function_of_a_started_module_is_imported_by_its_full_name(
    write_module: Callable[..., ModuleType], tmp_path: Path
) -> None:
    package = write_module("", package=True).__name__
    end = f"from unrolled import declare_study\nstudy = declare_study('mine', train, metrics={METRICS})\n"
    (tmp_path / package / "inner.py").write_text(f"{CODE}\n{end}")
    program = runpy.run_module(f"{package}.inner", run_name="__main__", alter_sys=True)["study"].file.program
    assert (program.function, program.folder) == (f"{package}.inner:train", str(tmp_path.resolve()))


def test_an_edit_of_a_module_that_it_imports_trains_it_again(
    write_module: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    module = write_module(CODE)
    trial = declare_study("mine", module.train, metrics=METRICS).baseline.make_unidentified_trial().identify()
    assert isinstance(trial, ProgramTrial)
    assert {Path(name).name for name in trial.code_patterns} == {f"{module.__name__}.py", "helper.py"}
    (tmp_path / "helper.py").write_text("scale = 0.2\n")
    assert (
        declare_study("mine", module.train, metrics=METRICS).baseline.make_unidentified_trial().identify().id
        != trial.id
    )


def test_rows_that_a_function_yields_make_a_curve(
    write_module: Callable[[str], ModuleType],
) -> None:
    code = CODE.replace("return", "yield {'step': 1, 'accuracy': 0.5}\n    yield")
    outcome = run_study(write_module(code), baseline={"width": 3}, one_at_a_time={"deep": [True]})
    assert set(outcome.results.width) == {3}
    curve = outcome.comparison.arms[0].counted_arm.results[0].curves["accuracy"]
    assert list(curve[0]) == [1.0, 0.5]


@pytest.mark.parametrize(
    ("old", "new", "place", "named"),
    [
        ("random.gauss(", "random.gaus(", "arm 'baseline', seed 0", "line 7: AttributeError"),
        ("return {", "return 1, {", "arm 'baseline', seed 0", "int"),
        ('"accuracy":', '"acuracy":', "arm 'baseline', seed 0", "'acuracy'"),
        ("(seed)", "(0)", "arm 'baseline'", "seed"),
        ("* width", "", "arm 'width 2'", ""),
    ],
    ids=["an error", "no dictionary", "a metric that is missing", "an ignored seed", "an ignored parameter"],
)
def test_a_mistake_in_a_function_is_refused_before_the_rest_is_trained(
    write_module: Callable[[str], ModuleType], tmp_path: Path, old: str, new: str, place: str, named: str
) -> None:
    with raises_bad_input(named, place=place):
        run_study(write_module(CODE.replace(old, new)), seeds=20)
    assert len(Ledger(tmp_path / "results").find_result_files()) <= 15


def test_a_parameter_that_a_function_lacks_is_refused_by_its_name(
    write_module: Callable[[str], ModuleType],
) -> None:
    with raises_bad_input("'width'", key="'widht'"):
        declare_study("mine", write_module(CODE).train, one_at_a_time={"widht": [2]}, metrics=METRICS)


@pytest.mark.parametrize(
    ("code", "place", "named"),
    [
        ("def train(width=1): ...", "function 'train'", "`seed`"),
        ("def train(seed, width): ...", "function 'train'", "'width'"),
        (
            "def outer():\n    def inner(seed): ...\n    return inner\ntrain = outer()",
            "function 'inner'",
            "at the top of a module",
        ),
        (
            "from functools import partial\ntrain = partial(print, seed=0)",
            "functools.partial(<built-in function print>, seed=0)",
            "is no function",
        ),
        ("train = 'train.py'", "'train.py'", "is no function"),
    ],
)
def test_a_function_that_cannot_be_studied_is_refused(
    write_module: Callable[[str], ModuleType], code: str, place: str, named: str
) -> None:
    with raises_bad_input(named, place=place):
        declare_study("mine", write_module(code).train, metrics=METRICS)


CELL = """def train(seed, width=1):
    import random
    return {"accuracy": random.Random(seed).random() + width}
"""
IN_A_NOTEBOOK = """from unrolled import declare_study, run
metrics = [{"name": "accuracy", "delta": 0.5}]
print(run(declare_study("mine", train, one_at_a_time={"width": [2]}, metrics=metrics, seeds=2)))
"""


@pytest.mark.usefixtures("write_module")
def test_a_function_of_a_notebooks_cell_is_refused_with_a_working_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shells = pytest.importorskip("IPython.core.interactiveshell")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # where a shell puts its own
    shell = shells.InteractiveShell()
    error = shell.run_cell(CELL + IN_A_NOTEBOOK).error_in_exec
    assert isinstance(error, BadInput) and "%%writefile train.py" in error.cure
    shell.run_cell(f"%%writefile train.py\n{CELL}")
    shell.run_cell(f"from train import train\n{IN_A_NOTEBOOK}").raise_error()
    assert "width 2 against baseline" in capsys.readouterr().out
