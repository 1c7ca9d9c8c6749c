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

WAIT = "import time; time.sleep(600); "
FILL = f"import os; open(os.environ['UNROLLED_OUT'] + '/big', 'wb').truncate(2 << 30); {WAIT}"
TOO_LONG = "seed 0: time limit of 3 s"
TOO_LARGE = "disk limit of 16 MiB: write less to {out}, or raise `disk` in [program]"
LIMITS = {TOO_LONG, TOO_LARGE}  # whose checkpoint a higher limit goes on from

IN_A_PROGRAM = {  # mistake → a text of the example, what stands in its place, and what is told
    "a flag that is ignored": ("alpha=args.decay", "alpha=1e-4", "arm 'decay 1.0': decay = 1.0: no effect"),
    "a seed that is ignored": ("=args.seed", "=0", "arm 'baseline': seeds 0 and 1 tell the same"),
    "a metric that is missing": (
        '"valid_accuracy": m',
        '"accuracy": m',
        "reports no valid_accuracy; did you mean 'accuracy'?",
    ),
    "a flag of another spelling": (
        "--hidden {",
        "--width {",
        "exit code 2: train.py: error: unrecognized arguments: --width",
    ),
    "it never ends": ("import argparse", f"{WAIT}import argparse", TOO_LONG),
    "it fills its disk": ("import argparse", f"{FILL}import argparse", TOO_LARGE),
}
IN_A_FUNCTION = {
    "a parameter that is ignored": ("leaf=leaf", "leaf=1", "arm 'leaf 8': leaf = 8: no effect seen"),
    "a seed that is ignored": ("=seed", "=0", "arm 'baseline': seeds 0, 1, 2, 3 and 4 tell the same"),
    "a metric that is missing": ('{"valid_accuracy": t', '{"accuracy": t', "reports no valid_accuracy"),
    "a parameter of another spelling": ('"leaf": [', '"leafs": [', "did you mean 'leaf'?"),
    "it never ends": ("x, x_valid", f"{WAIT}x, x_valid", TOO_LONG),
    "it fills its disk": ("x, x_valid", f"{FILL}x, x_valid", TOO_LARGE),
}


def check_results(folder: Path, most: int, message: str) -> None:
    """Check that at most so many trials ended, and that no checkpoint stays that nothing goes on from."""
    assert len(Ledger(folder / "results").files()) <= most
    assert message in LIMITS or not list((folder / "results" / "checkpoints").glob("*"))


@pytest.mark.parametrize("mistake", IN_A_PROGRAM)
def test_a_mistake_in_a_program_is_told_in_one_line_before_the_rest_is_trained(
    tmp_path: Path, mistake: str
) -> None:
    old, new, message = IN_A_PROGRAM[mistake]
    folder = Path(shutil.copytree(EXAMPLES / "digits", tmp_path / "digits"))
    no_arm = [("decay = [1.0]", "")] if "seed" in mistake else []
    disk = [("[program]", "[program]\ndisk = 16")] if message == TOO_LARGE else []
    replace_texts([*folder.iterdir()], [*SMALLER["digits"], (old, new), *no_arm, *disk])
    limit = "3" if message == TOO_LONG else "300"
    words = ("run", "digits.toml", "-j", "1", "--seeds", "0-1", "--time-limit", limit)
    (line,) = refuse_command(folder, *words).splitlines()
    assert message in line
    check_results(folder, 4 if "flag that is ignored" in mistake else 2, message)


@pytest.mark.parametrize("mistake", IN_A_FUNCTION)
def test_a_mistake_in_a_function_is_told_in_one_line_before_the_rest_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str
) -> None:
    preload_scikit_learn(monkeypatch)
    old, new, message = IN_A_FUNCTION[mistake]
    file = Path(shutil.copy(EXAMPLES / "own_function.py", tmp_path))
    no_arm = [('"leaf": [8]', "")] if "seed" in mistake else []
    disk = ", program={'disk': 16}" if message == TOO_LARGE else ""
    options = ("metrics)", f"metrics, seeds=5{disk}), LIMITS")
    replace_texts([file], [*SMALLER["own_function"], (old, new), *no_arm, options])
    limits = RunOptions(time_limit=3 if message == TOO_LONG else 300)
    with pytest.raises(BadInput) as excinfo:
        run_script(tmp_path, file.name, LIMITS=limits)
    (line,) = str(excinfo.value).splitlines()
    assert message in line
    check_results(
        tmp_path, {"a parameter that is ignored": 10, "a seed that is ignored": 5}.get(mistake, 2), message
    )
