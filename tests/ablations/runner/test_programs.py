"""A program in its process: what of it is a result, what it sees, and how it ends."""

import json
import math
import sys
from pathlib import Path

import pytest

from tests.helpers.bad_input import raises_bad_input
from tests.helpers.new_process import new_fork_server
from tests.helpers.processes import is_alive, wait_for
from tests.helpers.program_project import run_program
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import RunOptions
from unrolled.ablations.training.device import DeviceChoice
from unrolled.ablations.training.study_run import make_trial_conditions
from unrolled.bench.program.listener import PIPE_SECONDS
from unrolled.bench.program.program_trial import ProgramTrial


@pytest.mark.parametrize(
    ("program", "status", "reason"),
    [
        ("print('{\"loss\": NaN}')", "done", ""),
        ("import sys; sys.exit('no such file')", "failed", "exit code 1: no such file"),
        ("raise ValueError('two\\nlines')", "failed", "exit code 1: ValueError: two lines"),
        (
            "import sys; sys.stderr.write('wrong\\n'); print('bye'); sys.exit(1)",
            "failed",
            "exit code 1: wrong",
        ),
        ("print('loss: 0.3')", "done", ""),
        ("import os; os.kill(os.getpid(), 9)", "failed", "killed by signal 9 (3 attempts)"),
    ],
)
def test_the_end_of_a_program_is_a_result_with_its_reason(
    tmp_path: Path, program: str, status: str, reason: str
) -> None:
    result = run_program(tmp_path, program)
    assert (result.status, result.reason) == (status, reason)
    assert bool(result.output) == ('loss"' not in program and "kill" not in program)


def test_a_program_that_does_not_exist_is_a_failure(tmp_path: Path) -> None:
    assert "no-such-program" in run_program(tmp_path, "", run="no-such-program {seed}").reason


@pytest.mark.parametrize(
    ("file", "metrics"), [("m.csv", "{out}/*.csv"), ("my [a].csv", "{out}/my {name}.csv")]
)
def test_metrics_come_from_the_file_that_is_named(tmp_path: Path, file: str, metrics: str) -> None:
    code = f"import sys, pathlib; pathlib.Path(sys.argv[2], '{file}').write_text('step,loss\\n1,2.5\\n')"
    code += "\nprint('{\"loss\": 9}')"
    result = run_program(tmp_path, code, metrics_source=metrics, settings={"name": "[a]"})
    assert result.is_done and result.metrics["loss"] == 2.5
    assert run_program(tmp_path, code, metrics_source=file).reason.endswith(f"{{out}} has {file}")


def test_a_file_without_numbers_is_shown_by_its_first_row(tmp_path: Path) -> None:
    code = "import sys, pathlib; pathlib.Path(sys.argv[2], 'm.json').write_text('{\"eval\": {\"loss\": 1}}')"
    reason = run_program(tmp_path, code, metrics_source="{out}/m.json").reason
    assert "its m.json has no number" in reason and "{'eval': {'loss': 1}}" in reason


@pytest.mark.parametrize("metrics", ["", "{out}/m.jsonl"])
def test_the_rows_of_a_program_that_failed_stay_in_its_result(tmp_path: Path, metrics: str) -> None:
    code = "import sys\nfile = open(sys.argv[2] + '/m.jsonl', 'w') if len(sys.argv) > 3 else sys.stdout\n"
    code += "print('{\"step\": 1, \"loss\": NaN}', file=file, flush=True)\nsys.exit('no number')"
    run_line = "python train.py {seed} {out}" + (" file" if metrics else "")
    result = run_program(tmp_path, code, run=run_line, metrics_source=metrics)
    assert (result.status, result.reason, list(result.curves)) == (
        "failed",
        "exit code 1: no number",
        ["loss"],
    )
    assert result.trial.decide_status(result, ["loss"]).diverged


def test_a_programs_own_seconds_replace_no_measured_ones(tmp_path: Path) -> None:
    result = run_program(tmp_path, 'print(\'{"loss": 1, "seconds": 9999, "memory_peak": -1}\')')
    assert result.metrics["seconds"] < 999 and result.metrics["memory_peak"] > 0


def test_a_link_is_kept_as_the_file_that_it_leads_to(tmp_path: Path) -> None:
    code = "import os, sys; os.chdir(sys.argv[2]); open('step9.pt', 'w').write('9')"
    run_program(
        tmp_path, f"{code}\nos.symlink('step9.pt', 'zbest.pt')\nprint('{{\"loss\": 1}}')", keep=("*.pt",)
    )
    texts = {path.name: path.read_text() for path in tmp_path.glob("results/kept/*/*")}
    assert texts == {"step9.pt": "9", "zbest.pt": "9"}


@pytest.mark.parametrize("end", ["", "time.sleep(99)"])
def test_a_row_that_is_too_long_fails_the_trial(tmp_path: Path, end: str) -> None:
    statement = "print('{\"a\": ' + '1' * (1 << 20), flush=True)"
    code = "\n".join(["import time", "print('{\"loss\": 1}')", statement, end])
    result = run_program(tmp_path, code)
    assert result.status == "failed" and "row of numbers" in result.reason


def test_python_is_the_interpreter_that_runs_unrolled_also_behind_env(tmp_path: Path) -> None:
    code = "import os, sys; sys.exit(os.environ['LR'] + sys.executable)"
    result = run_program(tmp_path, code, run="env LR=0.1 python train.py {seed}", settings={"lr": 0.1})
    assert result.reason == f"exit code 1: 0.1{sys.executable}"


@pytest.mark.parametrize("users", ["", "1"])
def test_safe_path_reaches_a_program_only_if_the_user_sets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, users: str
) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", users)
    code = (
        "import json, os; print(json.dumps({'loss': 1, 'safe': len(os.environ.get('PYTHONSAFEPATH', ''))}))"
    )
    with new_fork_server():
        assert run_program(tmp_path, code).metrics["safe"] == len(users)


def test_a_program_sees_its_seed_its_folder_its_threads_and_no_gpu(tmp_path: Path) -> None:
    names = "UNROLLED_SEED", "UNROLLED_OUT", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"
    code = (
        f"import os, json, sys; print([os.environ[name] for name in {names}], file=sys.stderr); sys.exit(1)"
    )
    result = run_program(tmp_path, code, threads=2)
    seed, out, threads, gpus = json.loads(result.output.strip().replace("'", '"'))
    assert (seed, threads, gpus) == ("3", "2", "") and result.trial.id in out


def test_a_programs_children_end_with_it(tmp_path: Path) -> None:
    code = "import subprocess; child = subprocess.Popen(['sleep', '99'])\nprint('{\"loss\": %d}' % child.pid)"
    result = run_program(tmp_path, code)
    wait_for(lambda: not is_alive(int(result.metrics["loss"])))
    bound = 2 * PIPE_SECONDS  # as the child holds both pipes
    assert result.metrics["seconds"] < bound, "which is not the program's time"


EDITS_ITSELF = """
import json, os, pathlib, sys
file = pathlib.Path(sys.argv[1])
text, stat = file.read_text(), file.stat()
file.write_text(text.replace("1", "9"))
loss = json.loads(file.read_text().partition(" = ")[2])
file.write_text(text)
os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
print(json.dumps({"loss": loss}))
raise SystemExit(int(sys.argv[2]))
"""


@pytest.mark.parametrize(("file", "code"), [("helper.py", 0), ("data.txt", 0), ("helper.py", 1)])
def test_a_file_edited_while_it_trained_and_put_back_leaves_no_result(
    tmp_path: Path, file: str, code: int
) -> None:
    """Neither a failure is, which the edit may have caused."""
    for name in ("helper.py", "data.txt"):
        (tmp_path / name).write_text("LOSS = 1")
    patterns = {"code_patterns": ("*.py",), "data_patterns": ("*.txt",)}
    with raises_bad_input(file, "run the study again"):
        run_program(tmp_path, EDITS_ITSELF, run=f"python train.py {file} {code} {{seed}}", **patterns)
    assert not Ledger(tmp_path / "results").find_result_files()
    assert not list((tmp_path / "results" / "checkpoints").iterdir()), (
        "nor does another attempt go on from it"
    )


PRINTS_TEXT = """
import sys
seed = int(sys.argv[1])
print(f"epoch 1 | loss {seed + 0.5:.2f}\\repoch 2 | loss {seed + 0.25:.2f}", file=sys.stderr)
print(f"final accuracy: {seed / 10:.1%}")
"""
PATTERNS = {
    "loss": r"epoch (?P<step>\d+) \| loss (?P<value>\S+)",
    "accuracy": r"accuracy: (?P<value>\S+)",
    "perplexity": r"perplexity = (?P<value>\S+)",
}


def test_patterns_read_both_pipes_and_progress_bars_of_a_program(
    tmp_path: Path,
) -> None:
    result = run_program(tmp_path, PRINTS_TEXT, patterns=PATTERNS)
    assert result.metrics["loss"] == 3.25 and result.metrics["accuracy"] == 30
    assert result.curves["loss"] == ((1, 3.5), (2, 3.25))
    verdict = result.trial.decide_status(result, ["perplexity"])
    assert verdict.status == "failed" and "perplexity" in verdict.reason


LOGS_TO_MLFLOW = """
import sys, mlflow
with mlflow.start_run():
    mlflow.log_metric("val/loss", int(sys.argv[1]) + 0.5, step=1)
"""


@pytest.mark.slow
def test_metrics_that_a_program_logs_to_mlflow_are_read(tmp_path: Path) -> None:
    result = run_program(tmp_path, LOGS_TO_MLFLOW, metrics_source="mlflow")
    assert result.is_done, result.reason
    assert result.metrics["val/loss"] == 3.5


def test_a_program_has_only_the_limits_of_its_study() -> None:
    endless, limited = (ProgramTrial(seed=0, run="./train", time_limit=limit) for limit in (0.0, 90.0))
    device = DeviceChoice("cpu", "", 1)
    assert make_trial_conditions([endless], RunOptions(), device).limits.time_limit == math.inf
    assert endless.disk_limit == 0
    assert make_trial_conditions([limited], RunOptions(), device).limits.time_limit == 90
    assert make_trial_conditions([limited], RunOptions(time_limit=5), device).limits.time_limit == 5


def test_a_result_says_whose_packages_are_assumed_where_no_python_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("python train.py")
    program = "print('{\"loss\": 1.0}')"
    script_result = run_program(
        tmp_path, program, run="bash run.sh {seed}", code_patterns=("train.py", "run.sh")
    )
    python_result = run_program(tmp_path, program, run="python train.py {seed}")
    assert "bash" in script_result.provenance["packages are"]
    assert "packages are" not in python_result.provenance
