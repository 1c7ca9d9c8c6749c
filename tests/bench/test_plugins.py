"""A user's own file: what it registers, what is refused, and what of it counts in a trial's identity."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench import plugins
from bench.identity import _CONTENTS, check, identify, source_hash, version
from bench.models.recurrent import Output
from bench.models.registry import PENALTIES, ZOO, spec_of
from bench.preflight import preflight
from bench.regularization import penalties
from bench.run import run_trial
from bench.training import learner
from bench.training.train import build
from bench.trial import BadInput, Trial

pytestmark = pytest.mark.usefixtures("as_before")

CELL = """
import torch
from torch import nn
from bench.plugins import cell

@cell("mine", "my cell", epochs=1)
class Mine(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.mix = nn.Linear(inputs + hidden, hidden)

    def forward(self, x, h=None):
        h = x.new_zeros(len(x), self.mix.out_features) if h is None else h
        h = torch.tanh(self.mix(torch.cat([x, h], 1)))
        return h, h
"""

MODEL = """
from torch import nn
from bench.models.recurrent import LanguageModel, Output
from bench.plugins import model

@model("mine")
class Mine(LanguageModel):
    def __init__(self, vocab, hidden=8):
        super().__init__()
        self.i_h, self.h_o = nn.Embedding(vocab, hidden), nn.Linear(hidden, vocab)
        self.rnn = nn.GRU(hidden, hidden, batch_first=True)

    def unroll(self, tokens, state):
        return self.rnn(self.embed(tokens), state)

    def read(self, hidden):
        return Output(self.h_o(hidden), hidden, hidden)
"""

REGULARIZER = """
from bench.plugins import regularizer

@regularizer("small", "small activations")
def small(output):
    return output.dropped.abs().mean()
"""


IMPORTING = (
    CELL.replace("import torch\n", "import torch\nfrom mylayers import mixing\n")
    + """
    def rarely(self):
        import mylayers.late
"""
)


@pytest.fixture
def plug(tmp_path: Path) -> Callable[..., Path]:
    """Write a file, with some text of it replaced, and load it."""

    def write(text: str, old: str = "", new: str = "", name: str = "my.py") -> Path:
        assert old in text
        path = tmp_path / name
        path.write_text(text.replace(old, new, 1) if old else text)
        plugins.load(str(path))
        return path

    return write


def again(path: Path) -> None:
    """Load an edited file as another process would."""
    ZOO.pop("mine", None)
    PENALTIES.clear()
    source_hash.cache_clear()
    _CONTENTS.clear()
    for name in [name for name in sys.modules if name.startswith("mylayers")]:
        del sys.modules[name]
    sys.modules.pop(next(name for name in sys.modules if name.startswith("unrolled_plugin_")))
    plugins.load(str(path))


# Registering


@pytest.mark.parametrize("text", [CELL, MODEL], ids=["cell", "model"])
@pytest.mark.parametrize("engine", ["learner", "loop"])
def test_ten_lines_are_a_model_that_learns(
    small: Callable[..., Trial], plug: Callable[..., Path], text: str, engine: str
) -> None:
    plug(text)
    trial = small("mine", engine=engine, epochs=3, options={"hidden": 8})
    preflight(trial)
    result = run_trial(trial)
    assert result.done and all(w["ok"] for w in result.witnesses.values())
    assert result.epochs[-1].valid_loss < result.epochs[0].valid_loss


def test_a_plug_in_starts_from_lmmodel6_or_from_its_own_keywords(plug: Callable[..., Path]) -> None:
    path = plug(CELL)
    assert ZOO["mine"].settings == {**ZOO["lm6"].settings, "epochs": 1}
    assert ZOO["mine"].options == ZOO["lm6"].options
    assert (ZOO["mine"].title, ZOO["mine"].about) == ("my cell", "from my.py")
    assert plugins.load(str(path)) is plugins.load(f"{path.parent}/./my.py"), "loading it twice is once"
    ZOO.pop("mine")
    plug(MODEL, name="model.py")
    assert ZOO["mine"].options == {"hidden": 8}


def test_a_cells_own_keywords_are_options_and_reach_every_layer(
    plug: Callable[..., Path], small: Callable[..., Trial]
) -> None:
    text = CELL.replace("super().__init__()", "super().__init__(); self.sharp = sharp")
    plug(text, "inputs, hidden)", "inputs, hidden, sharp=1.0, device=None)")
    assert ZOO["mine"].options == {**ZOO["lm6"].options, "sharp": 1.0}
    trial = small("mine", options={"hidden": 8, "layers": 2, "sharp": 3.0})
    assert [cell.sharp for cell in build(trial, 9).rnn.cells] == [3.0, 3.0]
    assert preflight(trial).done


# Mistakes that are found when a file is loaded

HEAD = '@cell("mine", "my cell", epochs=1)'
ARGUMENTS = "inputs, hidden)"
MISTAKES = {
    "syntax": (CELL, "def forward(", "def forward((", "line 12: .*correct it"),
    "missing package": (CELL, "import torch\n", "import nowhere\n", "needs the package 'nowhere'"),
    "attribute": (CELL, "nn.Module", "nn.Modul", "line 7: AttributeError: .*Modul"),
    "exits": (CELL, "import torch\n", "raise SystemExit(3)\n", r"ends the program .*take sys.exit\(\) out"),
    "nothing": (CELL, f"{HEAD}\n", "", "registers nothing; decorate a class"),
    "no name": (CELL, HEAD, "@cell", r'@cell needs a name; write @cell\("my-name"\)'),
    "bad name": (CELL, '"mine"', '"my cell"', "cell 'my cell': letters, digits"),
    "taken by the zoo": (CELL, '"mine"', '"lm6"', "model 'lm6': exists already; choose another"),
    "setting": (CELL, "epochs=1", "epoch=1", "'epoch' is not a setting; known: alpha, "),
    "no default": (MODEL, "hidden=8", "hidden", "its keyword 'hidden' needs a default"),
    "odd default": (MODEL, "hidden=8", "hidden=8, a=(1, 2)", "its keyword 'a' needs a default; a number"),
    "setting as keyword": (MODEL, "hidden=8", "hidden=8, lr=1", "its keyword 'lr' is a setting already"),
    "cell keyword": (CELL, ARGUMENTS, "inputs, hidden, gate)", "cell 'mine': its keyword 'gate' needs"),
    "cell keyword taken": (CELL, ARGUMENTS, "inputs, hidden, dropout=0.1)", "'dropout' is a setting already"),
    "penalty no name": (REGULARIZER, '("small", "small activations")', "", "@regularizer needs a name"),
    "penalty bad name": (REGULARIZER, '"small"', '"too-small"', "'too-small': letters, digits and _"),
    "penalty a setting": (REGULARIZER, '"small"', '"alpha"', "regularizer 'alpha': a setting is called so"),
    "penalty an option": (
        REGULARIZER,
        '"small"',
        '"dropout"',
        "regularizer 'dropout': a setting is called so",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_file_when_it_is_loaded(plug: Callable[..., Path], mistake: str) -> None:
    text, old, new, said = MISTAKES[mistake]
    with pytest.raises(BadInput, match=rf"^plug-in /\S+/my\.py: .*{said}") as found:
        plug(text, old, new)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("text", [CELL, REGULARIZER], ids=["cell", "regularizer"])
def test_a_name_that_another_file_took_is_refused(plug: Callable[..., Path], text: str) -> None:
    plug(text, name="first.py")
    with pytest.raises(BadInput, match=r"second\.py: \w+ '\w+': exists already; choose another name"):
        plug(text, name="second.py")


def test_a_file_beside_the_plug_in_is_not_imported_behind_the_identitys_back(
    plug: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "layers.py").write_text("")
    with pytest.raises(BadInput, match=r"imports layers.py beside it; .* put both into one"):
        plug(CELL, "import torch\n", "import torch, layers\n")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.py", "No such file or directory; give the path of a Python file"),
        ("none", r"no such module; .*my_cell\.py"),
    ],
)
def test_a_file_that_is_not_there_is_refused(name: str, said: str) -> None:
    with pytest.raises(BadInput, match=f"^plug-in {name}: {said}"):
        plugins.load(name)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, "is not a regular file"),
        (lambda path: path.touch() or os.truncate(path, 10**10), "has 10,0"),
    ],
)
def test_a_pipe_or_a_huge_file_is_refused_at_once(
    make: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    make(tmp_path / "cell.py")
    with pytest.raises(BadInput, match=f"cell.py: {said}"):
        plugins.load(str(tmp_path / "cell.py"))


# Identity


def test_editing_the_file_of_a_model_makes_other_trials_of_it_and_of_no_other(
    plug: Callable[..., Path], small: Callable[..., Trial], tmp_path: Path
) -> None:
    """And an edit between planning and the trial is refused."""

    def ids() -> list[str]:
        return [identify(small(name)).id for name in ("mine", "lm6")]

    path = plug(CELL)
    before, trial = ids(), identify(small("mine"))
    (tmp_path / "other.py").write_text("# a comment elsewhere\n")
    again(path)
    assert ids() == before
    check(trial)
    path.write_text(CELL.replace("tanh", "sigmoid"))
    again(path)  # in the process of a trial
    after = ids()
    assert before[0] != after[0] and before[1] == after[1]
    with pytest.raises(BadInput, match=r"its plug-in was edited after .* run the study again"):
        check(trial)


def test_a_family_of_the_zoo_that_a_plug_in_builds_on_counts_too(plug: Callable[..., Path]) -> None:
    plug(MODEL, "from torch import nn", "from torch import nn\nfrom bench.models.lstm import BuiltinLSTM")
    assert [Path(file).name for file in ZOO["mine"].sources.families] == ["lstm.py", "recurrent.py"]


def test_a_module_that_a_plug_in_imports_counts_wherever_it_imports_it(
    plug: Callable[..., Path], small: Callable[..., Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that only the module itself imports, and one that is imported inside of a function."""
    package = tmp_path / "mylayers"
    package.mkdir()
    for name in ("__init__", "mixing", "deeper", "late"):
        (package / f"{name}.py").write_text("from . import deeper\n" if name == "mixing" else "")
    monkeypatch.syspath_prepend(tmp_path)
    plug(IMPORTING)
    counted = {Path(file).name for file in ZOO["mine"].sources.files}
    assert counted == {"my.py", "__init__.py", "mixing.py", "deeper.py", "late.py"}
    before = identify(small("mine")).id
    (package / "deeper.py").write_text("EDITED = True\n")
    again(tmp_path / "my.py")
    assert identify(small("mine")).id != before


def test_a_data_file_that_a_plug_in_declares_counts(
    plug: Callable[..., Path], small: Callable[..., Trial], tmp_path: Path
) -> None:
    (tmp_path / "scale.txt").write_text("1.0")
    path = plug(CELL, "import cell\n", "import cell, data_file\nSCALE = data_file('scale.txt').read_text()\n")
    before = identify(small("mine")).id
    (tmp_path / "scale.txt").write_text("2.0")
    again(path)
    assert identify(small("mine")).id != before
    (tmp_path / "scale.txt").unlink()
    with pytest.raises(BadInput, match=r"data_file\('scale.txt'\): there is no file "):
        again(path)


def test_an_installed_package_that_a_plug_in_imports_counts_by_its_version(
    plug: Callable[..., Path], small: Callable[..., Trial]
) -> None:
    plug(CELL, "import torch\n", "import torch, numpy, json\n")
    assert identify(small("mine")).versions == f"torch {version('torch')}, numpy {version('numpy')}"


def test_a_trial_whose_plug_in_is_not_loaded_says_so(small: Callable[..., Trial]) -> None:
    with pytest.raises(BadInput, match=r"no option 'small'; .* --plugin FILE\.py"):
        identify(small(options={"hidden": 8, "small": 0.5}))
    with pytest.raises(BadInput, match=r"'mine': is not in the zoo.*--plugin FILE\.py"):
        identify(small("mine"))


# Regularisers


def test_a_penalty_is_optimised_recorded_apart_and_witnessed_in_both_engines(
    plug: Callable[..., Path], small: Callable[..., Trial]
) -> None:
    plug(REGULARIZER)
    means = []
    for engine in ("learner", "loop"):
        trials = [small(engine=engine, options={"hidden": 8, "small": strength}) for strength in (0.0, 2.0)]
        without, with_it = map(run_trial, trials)
        assert without.fingerprints["weights"] != with_it.fingerprints["weights"]
        assert "small" not in without.witnesses and "train_penalty_small" not in without.metrics
        means.append(with_it.metrics["train_penalty_small"])
        assert with_it.witnesses["small"] == {"ok": True, "declared": 2.0, "seen": means[-1]}
        # The first step's loss is the raw one: the penalty is no part of it.
        assert without.trace["sums"][:5] == with_it.trace["sums"][:5]
    assert means[0] > 0 and means[0] == pytest.approx(means[1], rel=1e-3)


def test_a_penalty_is_its_strength_times_what_the_function_returns(plug: Callable[..., Path]) -> None:
    plug(REGULARIZER)
    dropped = torch.tensor([[[1.0, -3.0]]])
    output = Output(dropped, dropped, dropped)
    trial = Trial(model="lm6", seed=0, options={"small": 0.5})
    assert penalties(trial, output) == {"small": torch.tensor(1.0)}  # .5 · (|1| + |−3|)/2
    assert penalties(Trial(model="lm6", seed=0, options={"small": 0.0}), output) == {}
    having = {name for name in ZOO if "small" in spec_of(name).options}
    assert having == {name for name, spec in ZOO.items() if not spec.counted}


def test_a_penalty_that_the_engine_forgets_is_a_dead_toggle(
    plug: Callable[..., Path], small: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    plug(REGULARIZER)
    monkeypatch.setattr(learner.Regularizer, "after_loss", lambda self: None)
    result = run_trial(small(engine="learner", options={"hidden": 8, "small": 2.0}))
    assert result.witnesses["small"] == {"ok": False, "declared": 2.0, "seen": 0.0}


def test_a_penalty_counts_in_the_identity_of_the_trials_that_have_it(
    plug: Callable[..., Path], small: Callable[..., Trial]
) -> None:
    plain = identify(small(options={"hidden": 8})).id

    def ids() -> list[str]:
        return [identify(small(options={"hidden": 8, "small": strength})).id for strength in (0.0, 0.5, 1.0)]

    path = plug(REGULARIZER)
    before = ids()
    path.write_text(REGULARIZER.replace("abs", "square"))
    again(path)
    after = ids()
    assert before[0] == after[0] == plain
    assert len({*before, *after}) == 5


PENALTY_MISTAKES = {
    "shape": ("abs().mean()", "abs()", r"returns a tensor of shape \(8, 4, 8\); return one number"),
    "number": ("output.dropped.abs().mean()", "1.0", "returns no tensor; return one number"),
    "detached": ("abs()", "detach().abs()", "has no gradient; compute it from the output"),
    "reward": ("return output", "return -output", "gives a penalty of -.*; it should be at least 0"),
    "nothing": ("return output", "output", "returns no tensor; return one number"),
    "chance": ("abs().mean()", "abs().mean() * __import__('random').random()", "draws random numbers that"),
    "attribute": ("output.dropped", "output.droped", "fail on their first batch: AttributeError: .*droped"),
}


@pytest.mark.parametrize("mistake", PENALTY_MISTAKES)
def test_a_mistake_in_a_penalty_is_found_on_one_batch(
    plug: Callable[..., Path], small: Callable[..., Trial], mistake: str
) -> None:
    old, new, said = PENALTY_MISTAKES[mistake]
    plug(REGULARIZER, old, new)
    with pytest.raises(BadInput, match=rf"^my\.py[:,].* regularizer 'small'.*{said}"):
        preflight(small(options={"hidden": 8, "small": 0.5}))
