"""A trial is computed as it was planned or not at all, whatever changes meanwhile."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from tests.helpers.bad_input import raises_bad_input
from tests.helpers.stub_trials import run_in_process
from tests.helpers.supervisor import make_supervisor
from tests.helpers.trial_counts import RunCounts, run_and_count
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.runner.parallel import TrialConditions, run_trials
from unrolled.bench.chapter import plugins
from unrolled.bench.chapter.chapter_trial import ChapterTrial

WORK = "unrolled.bench.chapter.chapter_run:run_trial"
WARM = "unrolled.bench.chapter.warm_up"
PROJECT = Path(__file__).parents[3]
CELL = """
from torch import nn
from unrolled import cell

@cell("mine")
class Mine(nn.RNNCell):
    def forward(self, x, h=None):
        h = super().forward(x, h)
        return h, h
"""


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Return the file of a small text."""
    path = tmp_path / "text.txt"
    path.write_text("the cat sat on the mat and the dog sat on the log . " * 60)
    return path


@pytest.fixture
def make_trial(text: Path) -> Callable[..., ChapterTrial]:
    """Return a function that makes a trial on the text."""

    def make(model: str = "lm4", seed: int = 0) -> ChapterTrial:
        settings = {"window": 4, "batch": 8, "epochs": 1, "options": {"hidden": 8}}
        return ChapterTrial(model=model, seed=seed, corpus=str(text), **settings).identify()

    return make


def test_a_text_that_is_replaced_while_a_study_runs_stops_it(
    make_trial: Callable[..., ChapterTrial], text: Path, tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path / "results")
    trials = [make_trial(seed=seed) for seed in range(3)]
    original = text.read_text()
    with raises_bad_input(text, "run the study again"):
        run_trials(
            trials,
            ledger,
            TrialConditions(preload=[WARM]),
            make_supervisor(receive_result=lambda result: text.write_text("other words " * 400)),
        )
    assert list(ledger.read_results(trial.id for trial in trials)) == [trials[0].id]
    text.write_text(original)
    assert run_and_count(trials, ledger, TrialConditions(preload=[WARM])) == RunCounts(
        measured_count=2, stored_count=1
    )
    assert (
        len({result.trial.data for result in ledger.read_results(trial.id for trial in trials).values()}) == 1
    )


def test_a_text_that_is_gone_stops_the_study(make_trial: Callable[..., ChapterTrial], text: Path) -> None:
    trial = make_trial()
    text.unlink()
    with raises_bad_input(text):
        run_in_process(trial, WORK, preload=[WARM])


EDITED = """
import json, os, signal, sys
from multiprocessing import forkserver
from pathlib import Path
from unrolled.ablations.runner.child import ProcessConditions
from unrolled.ablations.runner.process import run_in_process
from unrolled.bench import chapter
from unrolled.bench.errors import BadInput
from unrolled.bench.chapter.chapter_trial import ChapterTrial

def train(trial):
    conditions = ProcessConditions(preload=["unrolled.bench.chapter.warm_up"])
    result = run_in_process(trial, conditions, checkpoints=Path("checkpoints"))
    return result.fingerprints["weights"]

settings = {"corpus": sys.argv[1], "window": 4, "batch": 8, "epochs": 1, "options": {"hidden": 8}}
trial = ChapterTrial(model="lm4", seed=0, **settings).identify()
first = train(trial)
optimizer = Path(chapter.__file__).with_name("training") / "optimizer.py"
edited = optimizer.read_text().replace("EPS = 1e-5", "EPS = 1e-3")
assert edited != optimizer.read_text()
optimizer.write_text(edited)
second = train(trial)  # by the code that was loaded when the study began
os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)
try:
    third = train(trial)
except BadInput as error:
    third = str(error)
print(json.dumps([first, second, third]))
"""


def test_code_edited_during_a_study_reaches_none_of_its_trials(tmp_path: Path, text: Path) -> None:
    """The fork server goes on with what it loaded; one that is started anew loads the edit and is refused."""
    for name in ("unrolled", "bench", "ablations"):
        subprocess.run(["cp", "-rp", str(PROJECT / name), str(tmp_path / name)], check=True)
    words = [sys.executable, "-c", EDITED, str(text)]
    variables = {**os.environ, "PYTHONPATH": str(tmp_path)}
    process = subprocess.run(words, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    first, second, third = json.loads(process.stdout.splitlines()[-1])
    assert first == second
    assert "run the study again" in third


@pytest.mark.usefixtures("restore_registries")
def test_a_plugin_is_loaded_only_by_the_trials_that_use_it(
    make_trial: Callable[..., ChapterTrial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else its file does to torch reaches no other trial."""
    expected = run_in_process(make_trial(), WORK, preload=[WARM])
    plugin = tmp_path / "my_cell.py"
    plugin.write_text(CELL + "\nnn.Linear.forward = lambda self, x: x @ self.weight.t() * 0.5 + self.bias\n")
    monkeypatch.setattr(nn.Linear, "forward", nn.Linear.forward)  # to be put back, as the file is loaded here
    plugins.load_plugin(str(plugin))
    ledger = Ledger(tmp_path / "results")
    trials = [make_trial("lm4"), make_trial("mine")]
    run_trials(trials, ledger, TrialConditions(preload=[WARM], plugins=[str(plugin)]))
    weights = [
        result.fingerprints["weights"]
        for result in ledger.read_results(trial.id for trial in trials).values()
    ]
    assert len(weights) == 2 and weights[0] == expected.fingerprints["weights"]


@pytest.mark.usefixtures("restore_registries")
@pytest.mark.parametrize("moment", ["when it is loaded", "while it trains, and caught"])
def test_a_file_that_a_plugin_reads_undeclared_fails_the_trial(
    make_trial: Callable[..., ChapterTrial], tmp_path: Path, moment: str
) -> None:
    (tmp_path / "scale.txt").write_text("1.0")
    plugin = tmp_path / "my_cell.py"
    statement = f"Path({str(tmp_path / 'scale.txt')!r}).read_text()\n"
    forward = "def forward(self, x, h=None):\n"
    indent = " " * 8
    attempt = f"{indent}try: {statement}{indent}except Exception: pass\n"
    body = statement + CELL if "loaded" in moment else CELL.replace(forward, forward + attempt)
    plugin.write_text(f"from pathlib import Path\n{body}")
    plugins.load_plugin(str(plugin))
    result = run_in_process(make_trial("mine"), WORK, preload=[WARM], plugins=[str(plugin)])
    assert result.status == "failed"
    assert "my_cell.py: " in result.reason
    assert "`data_file('scale.txt')`" in result.reason


@pytest.mark.usefixtures("restore_registries")
def test_a_plugin_edited_and_put_back_leaves_no_result(
    make_trial: Callable[..., ChapterTrial], tmp_path: Path
) -> None:
    (tmp_path / "late.py").write_text("SCALE = 1\n")
    plugin = tmp_path / "my_cell.py"
    forward = "def forward(self, x, h=None):\n"
    indent = " " * 8
    edit = f"{indent}if FILE.read_text() == 'SCALE = 1\\n' and 'late' not in sys.modules:\n"
    edit += f"{indent}    FILE.write_text('SCALE = 9\\n')\n{indent}    import late\n"
    edit += f"{indent}    FILE.write_text('SCALE = 1\\n')\n"
    head = f"import sys\nfrom pathlib import Path\nFILE = Path({str(tmp_path / 'late.py')!r})\n"
    plugin.write_text(f"{head}sys.path.append(str(FILE.parent))\n{CELL.replace(forward, forward + edit)}")
    plugins.load_plugin(str(plugin))
    with raises_bad_input("late.py", "run the study again"):
        run_in_process(make_trial("mine"), WORK, preload=[WARM], plugins=[str(plugin)])


@pytest.mark.usefixtures("restore_registries")
def test_a_plugin_may_read_counted_files_and_its_own(
    make_trial: Callable[..., ChapterTrial], tmp_path: Path
) -> None:
    (tmp_path / "scale.txt").write_text("1.0")
    plugin = tmp_path / "my_cell.py"
    lines = f"""
import tempfile
from pathlib import Path
from unrolled import data_file
SCALE = data_file("scale.txt")
NOTES = Path({str(tmp_path)!r}, "notes.txt")
NOTES.write_text("mine")
"""
    forward = "def forward(self, x, h=None):\n"
    indent = " " * 8
    reads = f"{indent}SCALE.read_text(), NOTES.read_text(), Path('/proc/self/statm').read_text()\n"
    plugin.write_text(lines + CELL.replace(forward, forward + reads))
    plugins.load_plugin(str(plugin))
    assert run_in_process(make_trial("mine"), WORK, preload=[WARM], plugins=[str(plugin)]).is_done
