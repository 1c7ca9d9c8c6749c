"""Six mistakes in a program and in a function of docs/examples, and what their user is told."""

import shutil
from pathlib import Path

import pytest
from called import refuse_command, run_script
from small_examples import EXAMPLES, SMALLER, preload_scikit_learn, replace_texts

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import RunOptions
from unrolled.bench.errors import BadInput

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_mlflow")]

WAIT = "import time; time.sleep(600)"
FILL = f"import os; open(os.environ['UNROLLED_OUT'] + '/big', 'wb').truncate(2 << 30); {WAIT}"

NO_ARM = {"digits": ("decay = [1.0]", ""), "own_function": ('"leaf": [8]', "")}
FIRST = {"digits": "import argparse", "own_function": "x, x_valid"}
"""The first thing that each of them does."""

MISTAKES = {  # mistake → example → a text, what stands in its place, and what is told
    "a flag that is ignored": {
        "digits": ("alpha=args.decay", "alpha=1e-4", "arm 'decay 1.0': decay = 1.0: no effect seen"),
        "own_function": ("leaf=leaf", "leaf=1", "arm 'leaf 8': leaf = 8: no effect seen"),
    },
    "a seed that is ignored": {
        "digits": ("=args.seed", "=0", "arm 'baseline': seeds 0 and 1 tell the same"),
        "own_function": ("=seed", "=0", "arm 'baseline': seeds 0, 1, 2, 3 and 4 tell the same"),
    },
    "a metric that is missing": {
        "digits": (
            '"valid_accuracy": m',
            '"accuracy": m',
            "tells no valid_accuracy; did you mean 'accuracy'?",
        ),
        "own_function": ('{"valid_accuracy": t', '{"accuracy": t', "tells no valid_accuracy"),
    },
    "a flag of another spelling": {
        "digits": (
            "--hidden {",
            "--width {",
            "exit code 2: train.py: error: unrecognized arguments: --width",
        ),
        "own_function": ('"leaf": [', '"leafs": [', "did you mean 'leaf'?"),
    },
    "a program that never ends": {
        name: (first, f"{WAIT}; {first}", "seed 0: time limit of 3 s") for name, first in FIRST.items()
    },
    "a program that fills its disk": {
        name: (
            first,
            f"{FILL}; {first}",
            "disk limit of 16 MiB: write less to {out}, or raise `disk` in [program]",
        )
        for name, first in FIRST.items()
    },
}


MAX_TRIALS = {"a flag that is ignored": 10, "a seed that is ignored": 5}
"""Trials that are trained before it is told, where these are not two: all seeds of the function are tried."""


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("example", FIRST)
def test_a_mistake_is_told_in_one_line_before_the_rest_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, example: str, mistake: str
) -> None:
    *replacement, message = MISTAKES[mistake][example]
    for path in EXAMPLES.glob("own_function.py" if example == "own_function" else f"{example}/*.*"):
        shutil.copy(path, tmp_path)
    no_arm = [NO_ARM[example]] if "seed" in mistake else []
    replace_texts(list(tmp_path.iterdir()), [*SMALLER[example], tuple(replacement), *no_arm])
    limit = 3 if "never ends" in mistake else 300
    if "disk" in mistake and example != "own_function":
        replace_texts(list(tmp_path.iterdir()), [("[program]", "[program]\ndisk = 16")])
    if example == "own_function":
        preload_scikit_learn(monkeypatch)
        program = ", program={'disk': 16}" if "disk" in mistake else ""
        replace_texts([tmp_path / "own_function.py"], [("metrics)", f"metrics, seeds=5{program}), LIMITS")])
        with pytest.raises(BadInput) as excinfo:
            run_script(tmp_path, "own_function.py", LIMITS=RunOptions(time_limit=limit))
        (line,) = str(excinfo.value).splitlines()
    else:
        seeds = ("--seeds", "0-1") if "ignored" in mistake else ()
        (line,) = refuse_command(
            tmp_path, "run", f"{example}.toml", "-j", "1", "--time-limit", str(limit), *seeds
        ).splitlines()
    assert message in line
    assert len(Ledger(tmp_path / "results").files()) <= MAX_TRIALS.get(mistake, 2)
    is_limit = "never ends" in mistake or "fills" in mistake  # whose checkpoint a higher one goes on from
    assert is_limit or not list((tmp_path / "results" / "checkpoints").glob("*"))
