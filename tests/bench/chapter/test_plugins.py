"""A user's own file: what it registers, what is refused, and what of it counts in a trial's identity."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.bad_input import raises_bad_input
from tests.helpers.new_process import forget_read_files
from tests.helpers.zoo import NEURAL, engines
from unrolled.bench.chapter import plugins, time_estimates
from unrolled.bench.chapter.chapter_run import run_trial
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.first_batch import check_first_batch
from unrolled.bench.chapter.models.recurrent import Output
from unrolled.bench.chapter.models.registry import ZOO, find_model
from unrolled.bench.chapter.models.spec import PLUGIN_PENALTIES
from unrolled.bench.chapter.regularization import compute_penalties
from unrolled.bench.chapter.training import learner
from unrolled.bench.chapter.training.train import build_model
from unrolled.bench.sources.identity import read_package_version

FILES = {f"mylayers/{name}.py": "" for name in ("__init__", "deeper", "late")}
FILES |= {"mylayers/mixing.py": "from . import deeper\n", "scale.txt": "1.0"}
IMPORTS = "from mylayers import mixing\ndef rarely():\n    import mylayers.late\n"
READS = "from unrolled import data_file\nSCALE = data_file('scale.txt').read_text()\n"
PARTS = {
    "its own file": ("", "my.py"),
    "a package that it imports": (IMPORTS, "mylayers/__init__.py"),
    "a module that it imports": (IMPORTS, "mylayers/mixing.py"),
    "a module that only its module imports": (IMPORTS, "mylayers/deeper.py"),
    "a module that a function imports": (IMPORTS, "mylayers/late.py"),
    "a data file that it declares": (READS, "scale.txt"),
}


def reload(path: Path) -> None:
    """Load an edited file as another process would."""
    ZOO.pop("mine", None)
    PLUGIN_PENALTIES.clear()
    forget_read_files()
    for name in [name for name in sys.modules if name.startswith("mylayers")]:
        del sys.modules[name]
    sys.modules.pop(next(name for name in sys.modules if name.startswith("unrolled_plugin_")))
    plugins.load_plugin(str(path))


# Registering


@pytest.mark.parametrize("kind", ["cell", "model"])
@engines
def test_ten_lines_are_a_model_that_learns(
    make_small_trial: Callable[..., ChapterTrial], load_plugin: Callable[..., Path], kind: str, engine: str
) -> None:
    load_plugin(kind)
    trial = make_small_trial("mine", engine=engine, epochs=3, options={"hidden": 8})
    check_first_batch(trial)
    result = run_trial(trial)
    assert result.is_done
    assert all(w["ok"] for w in result.witnesses.values())
    assert result.curves["valid_loss"][-1][1] < result.curves["valid_loss"][0][1]


def test_a_plugin_starts_from_lmmodel6_or_from_its_own_keywords(load_plugin: Callable[..., Path]) -> None:
    path = load_plugin("cell")
    assert ZOO["mine"].settings == {**ZOO["lm6"].settings, "epochs": 1}
    assert ZOO["mine"].options == ZOO["lm6"].options
    assert (ZOO["mine"].title, ZOO["mine"].description) == ("my cell", "from my.py")
    assert plugins.load_plugin(str(path)) is plugins.load_plugin(f"{path.parent}/./my.py"), (
        "loading it twice is once"
    )
    ZOO.pop("mine")
    load_plugin("model", name="model.py")
    assert ZOO["mine"].options == {"hidden": 8}


def test_a_cells_own_keywords_are_options_and_reach_every_layer(
    load_plugin: Callable[..., Path], make_small_trial: Callable[..., ChapterTrial]
) -> None:
    signature = "inputs, hidden):\n        super().__init__()"
    load_plugin(
        "cell", signature, signature.replace(")", ", sharp=1.0, device=None)", 1) + "; self.sharp = sharp"
    )
    assert ZOO["mine"].options == {**ZOO["lm6"].options, "sharp": 1.0}
    trial = make_small_trial("mine", options={"hidden": 8, "layers": 2, "sharp": 3.0})
    model: Any = build_model(trial, 9)
    assert [cell.sharp for cell in model.rnn.cells] == [3.0, 3.0]
    assert check_first_batch(trial).is_done


# Mistakes that are found when a file is loaded

HEAD = '@cell("mine", "my cell", epochs=1)'
ARGUMENTS = "inputs, hidden)"
RETURN = "        return h, h\n"
MEAN = ".abs().mean()\n"
LATER = "import torch\ndef rarely():\n    import later\n"
MISTAKES = {  # kind, a part of its file, another, the line or none, what the refusal names
    "an import of a function": ("cell", "import torch\n", LATER, "", "later.py"),
    "after a cell": ("cell", RETURN, f"{RETURN}nowhere\n", "line 16", "'nowhere'"),
    "after a penalty": ("regularizer", MEAN, f"{MEAN}nowhere\n", "line 7", "'nowhere'"),
    "a file beside it": ("cell", "import torch\n", "import beside\n", "line 2", "beside.py"),
    "no data": ("cell", "import torch\n", f"import torch\n{READS}", "", "data_file('scale.txt')"),
    "syntax": ("cell", "def forward(", "def forward((", "line 12", "invalid syntax"),
    "missing package": ("cell", "import torch\n", "import nowhere\n", "line 2", "'nowhere'"),
    "old import": (
        "cell",
        "from unrolled import cell\n",
        "from unrolled.bench.plugins import cell\n",
        "line 4",
        "`from unrolled import cell`",
    ),
    "attribute": ("cell", "nn.Module", "nn.Modul", "line 7", "'Modul'"),
    "exits": ("cell", "import torch\n", "raise SystemExit(3)\n", "line 2", "sys.exit()"),
    "nothing": ("cell", f"{HEAD}\n", "", "", "@cell or @model"),
    "no name": ("cell", HEAD, "@cell", "", '@cell("my-name")'),
    "bad name": ("cell", '"mine"', '"my cell"', "", "cell 'my cell'"),
    "taken by the zoo": ("cell", '"mine"', '"lm6"', "", "model 'lm6'"),
    "setting": ("cell", "epochs=1", "epoch=1", "", "'epoch'"),
    "no default": ("model", "hidden=8", "hidden", "", "'hidden' needs a default"),
    "odd default": ("model", "hidden=8", "hidden=8, a=(1, 2)", "", "'a' needs a default"),
    "setting as keyword": ("model", "hidden=8", "hidden=8, lr=1", "", "'lr' is a setting"),
    "cell keyword": ("cell", ARGUMENTS, "inputs, hidden, gate)", "", "'gate' needs a default"),
    "cell keyword taken": ("cell", ARGUMENTS, "inputs, hidden, dropout=0.1)", "", "'dropout' is a setting"),
    "penalty no name": ("regularizer", '("small", "small activations")', "", "", '@regularizer("my-name")'),
    "penalty bad name": ("regularizer", '"small"', '"too-small"', "", "regularizer 'too-small'"),
    "penalty a setting": ("regularizer", '"small"', '"alpha"', "", "regularizer 'alpha'"),
    "penalty an option": ("regularizer", '"small"', '"dropout"', "", "regularizer 'dropout'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_file_is_refused_and_registers_nothing(
    load_plugin: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str
) -> None:
    (tmp_path / "beside.py").touch()
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "later.py").write_text("def (:\n")
    monkeypatch.syspath_prepend(tmp_path / "packages")
    names = ZOO.keys() | PLUGIN_PENALTIES.keys()
    kind, old, new, line, named = MISTAKES[mistake]
    with raises_bad_input(named, place=f"plug-in {tmp_path}/my.py", key=line):
        load_plugin(kind, old, new)
    assert ZOO.keys() | PLUGIN_PENALTIES.keys() == names


def test_a_plugin_may_call_options_of_its_own_like_sizes(
    load_plugin: Callable[..., Path], make_small_trial: Callable[..., ChapterTrial]
) -> None:
    load_plugin("model", "hidden=8):", 'hidden=8, layers="2-2", embedding=0):')
    trial = make_small_trial("mine", options={"hidden": 8, "layers": "3-3", "embedding": 0})
    assert time_estimates.estimate_seconds(trial) > 0
    assert check_first_batch(trial).is_done


@pytest.mark.parametrize("kind", ["cell", "regularizer"])
def test_a_name_that_another_file_took_is_refused(
    load_plugin: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    load_plugin(kind, name="first.py")
    with raises_bad_input("another name", place=f"plug-in {tmp_path}/second.py"):
        load_plugin(kind, name="second.py")


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("none.py", lambda path: None),
        ("none", lambda path: None),
        ("loop.py", lambda path: path.symlink_to(path.name)),
        ("pipe.py", os.mkfifo),
        ("huge.py", lambda path: path.touch() or os.truncate(path, 10**10)),
    ],
)
def test_a_path_that_is_no_file_of_python_is_refused_at_once(
    tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    make(tmp_path / name)
    with raises_bad_input(place=f"plug-in {tmp_path}/{name}"):
        plugins.load_plugin(str(tmp_path / name))


# Identity


@pytest.mark.parametrize("part", PARTS)
def test_an_edit_of_a_plugins_part_makes_other_trials_of_it(
    load_plugin: Callable[..., Path],
    make_small_trial: Callable[..., ChapterTrial],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
) -> None:
    """And is refused between planning and the trial."""
    line, file = PARTS[part]
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mylayers").mkdir()
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)

    def ids() -> list[str]:
        return [make_small_trial(name).identify().id for name in ("mine", "lm6")]

    path = load_plugin("cell", "import torch\n", f"import torch\n{line}")
    old_ids = ids()
    trial = make_small_trial("mine").identify()
    (tmp_path / "other.py").write_text("# a comment elsewhere\n")
    reload(path)
    assert ids() == old_ids
    trial.read_planned_file_states()
    (tmp_path / file).write_text(f"{(tmp_path / file).read_text()}# edited\n")
    reload(path)  # in the process of a trial
    new_ids = ids()
    assert old_ids[0] != new_ids[0]
    assert old_ids[1] == new_ids[1]
    with raises_bad_input("plug-in", "run the study again"):
        trial.read_planned_file_states()


def test_a_family_that_a_plugin_builds_on_counts(load_plugin: Callable[..., Path]) -> None:
    load_plugin(
        "model",
        "from torch import nn",
        "from torch import nn\nfrom unrolled.bench.chapter.models.lstm import BuiltinLSTM",
    )
    assert [Path(file).name for file in ZOO["mine"].sources.zoo_files] == ["lstm.py", "recurrent.py"]


def test_an_installed_package_that_a_plugin_imports_counts_by_its_version(
    load_plugin: Callable[..., Path], make_small_trial: Callable[..., ChapterTrial]
) -> None:
    load_plugin("cell", "import torch\n", "import torch, numpy, json\n")
    versions = f"torch {read_package_version('torch')}, numpy {read_package_version('numpy')}"
    assert make_small_trial("mine").identify().versions == versions


def test_a_trial_whose_plugin_is_not_loaded_says_so(make_small_trial: Callable[..., ChapterTrial]) -> None:
    with raises_bad_input("'small'", "--plugin FILE.py", place="model 'lm6'"):
        make_small_trial(options={"hidden": 8, "small": 0.5}).identify()
    with raises_bad_input("--plugin FILE.py", place="model 'mine'"):
        make_small_trial("mine").identify()


# Regularisers


def test_a_penalty_is_optimised_recorded_apart_and_witnessed_in_both_engines(
    load_plugin: Callable[..., Path], make_small_trial: Callable[..., ChapterTrial]
) -> None:
    load_plugin("regularizer")
    means = []
    for engine in ("learner", "loop"):
        trials = [
            make_small_trial(engine=engine, options={"hidden": 8, "small": strength})
            for strength in (0.0, 2.0)
        ]
        plain, penalised = map(run_trial, trials)
        assert plain.fingerprints["weights"] != penalised.fingerprints["weights"]
        assert "small" not in plain.witnesses
        assert "train_penalty_small" not in plain.metrics
        means.append(penalised.metrics["train_penalty_small"])
        witness = penalised.witnesses["small"]
        assert (witness["ok"], witness["declared"], witness["seen"]) == (True, 2.0, means[-1])
        # The first step's loss is the raw one: the penalty is no part of it.
        assert plain.trace["sums"][:5] == penalised.trace["sums"][:5]
    assert means[0] > 0
    assert means[0] == pytest.approx(means[1], rel=1e-3)


def test_a_penalty_is_its_strength_times_what_the_function_returns(load_plugin: Callable[..., Path]) -> None:
    load_plugin("regularizer")
    dropped = torch.tensor([[[1.0, -3.0]]])
    output = Output(dropped, dropped, dropped)
    trial = ChapterTrial(model="lm6", seed=0, options={"small": 0.5})
    assert compute_penalties(trial, output) == {"small": torch.tensor(1.0)}  # .5 · (|1| + |−3|)/2
    assert compute_penalties(ChapterTrial(model="lm6", seed=0, options={"small": 0.0}), output) == {}
    models = {name for name in ZOO if "small" in find_model(name).options}
    assert models == {*NEURAL}


def test_a_penalty_that_the_engine_forgets_is_a_dead_toggle(
    load_plugin: Callable[..., Path],
    make_small_trial: Callable[..., ChapterTrial],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load_plugin("regularizer")
    monkeypatch.setattr(learner.Regularizer, "after_loss", lambda self: None)
    result = run_trial(make_small_trial(engine="learner", options={"hidden": 8, "small": 2.0}))
    witness = result.witnesses["small"]
    assert (witness["ok"], witness["declared"], witness["seen"]) == (False, 2.0, 0.0)


def test_a_penalty_counts_in_the_identity_of_the_trials_that_have_it(
    load_plugin: Callable[..., Path], make_small_trial: Callable[..., ChapterTrial]
) -> None:
    plain = make_small_trial(options={"hidden": 8}).identify().id

    def ids() -> list[str]:
        return [
            make_small_trial(options={"hidden": 8, "small": strength}).identify().id
            for strength in (0.0, 0.5, 1.0)
        ]

    path = load_plugin("regularizer")
    old_ids = ids()
    path.write_text(path.read_text().replace("abs", "square"))
    reload(path)
    new_ids = ids()
    assert old_ids[0] == new_ids[0] == plain
    assert len({*old_ids, *new_ids}) == 5
