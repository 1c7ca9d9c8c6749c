"""The command as a user types it: real processes, real trials of a small text, a real MLflow database."""

import io
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import command_without_mlflow
from tests.helpers.command_call import (
    PrintedCounts,
    check_command,
    read_facts,
    read_trial_counts,
    run_command,
)
from tests.helpers.command_process import (
    check_process,
    list_imports,
    make_environment,
    read_mlflow_runs,
    write_sitecustomize,
    write_study,
)
from tests.helpers.contrasts import LOOKS
from tests.helpers.processes import wait_for
from unrolled.ablations.cli import app, main
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.training import estimates, run_studies
from unrolled.bench.hardware.devices import count_cores
from unrolled.bench.phrases import plural
from unrolled.reports.statistics.expected_seeds import predict_contrast
from unrolled.reports.statistics.futility import FUTILE_CHANCE


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(write_study(tmp_path, seeds="seeds = 2", widths=(8, 16)))
    return tmp_path


# Of a program that has no network, and of its trials.
BLOCKED = """
import socket
honest = socket.socket.connect
def connect(self, address):
    if self.family != socket.AF_UNIX:
        open("dialled.txt", "a").write(f"{address}\\n")
        raise OSError("the network is blocked")
    return honest(self, address)
socket.socket.connect = connect
"""


def test_a_study_is_trained_logged_and_reported_once_without_a_network(folder):
    output = check_process(folder, "run", "small.toml", PYTHONPATH=write_sitecustomize(folder, BLOCKED))
    assert not (folder / "dialled.txt").exists()
    assert read_trial_counts(output) == PrintedCounts(trained=6)
    path = output.strip().splitlines()[-1].removeprefix("report: ")
    assert path in output.partition("[1/6]")[0], "it is told before the first trial, too"
    page = folder / path
    assert "Does a narrower network do worse?" in page.read_text()
    assert len(Ledger(folder / "results").find_result_files()) == 6
    assert len(read_mlflow_runs(folder, "trial")) == 6
    page_bytes = page.read_bytes()

    assert read_trial_counts(check_command(folder, "run", "small.toml")) == PrintedCounts(stored=6)
    assert len(read_mlflow_runs(folder, "trial")) == 6
    assert page.read_bytes() == page_bytes

    assert run_command(folder, "run", "small.toml", "--set", "batch=4000").returncode == 2
    summary = "0 of 2 contrasts decided by validation accuracy; 6 of 6 trials finished, none failed"
    assert summary in read_facts(folder, "small"), "a refused study leaves the plan that was run"


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["run", "togles"], "'toggles'"),
        (["run", "small.tom"], "'small.toml'"),
        (["run", "missing.toml"], "missing.toml: "),
        (["run", "small.toml", "missing.toml"], "missing.toml: "),
        (["run", "small.toml", "--seeds=-1"], "seeds: "),
        (["run", "small.toml", "--seeds", "1.5"], "seeds: "),
        (["run", "small.toml", "--seeds", "1,1"], "seeds: "),
        (["plan", "small.toml", "--set", "lrr=1"], "'lr'"),
        *(
            (
                (word, "small.toml", "--set", "batch=4000"),
                "batch = 4000",
            )
            for word in ("plan", "run")
        ),
        (["run", "small.toml", "--set", "corpus='nowhere.txt'"], "nowhere.txt"),
        (
            ["report", "toggles"],
            "`unrolled run toggles`",
        ),
        (["report", "chapter"], "`unrolled run chapter.toml`"),
        (["report", "small.toml"], "`unrolled run small.toml`"),
        (["verify", "toggles"], "`unrolled run toggles`"),
        (["bundle", "small.toml"], "-o: "),
        (["verify", "toggles", "--trust"], "--trust: "),
        (["plan", "small.toml", "--seeds", ""], "seeds: "),
        (["plan", "small.toml", "--corpus", "a"], "--set corpus=VALUE"),
        (["plan", "small.toml", "--set", "corpus=a", "--set", "corpus=b"], "corpus"),
        (["show", "corpus", "--set", "window=8,16"], "--set window: "),
        (["show", "corpus", "--set=window=8", "--set=window=16"], "--set window: "),
        (["show", "models", "--set", "window=8"], "--set: "),
        (["show", "corpus", "--generate", "5"], "--generate: "),
        (["report", "small"], "small"),
        (["show", "small"], "small"),
        (["run", "small.toml", "--out", "text.txt"], "--out text.txt: "),
        (["run", "small.toml", "--set", "corpus='a\nb\x1b.txt'"], "corpus a b␛.txt: "),
        (["show", "models", "--plugin", "."], "plug-in .: "),
        (["compare", "folder.csv", "--metric", "loss=1"], "folder.csv: "),
        (["verify", "missing.zip"], "missing.zip: "),
        (["new", "program", "a.toml", "--for", "folder.csv"], "folder.csv: "),
        (["new", "program", "a.toml", "--for", "empty.py"], "empty.py: "),
        (["gate", "--markdown", "."], "--markdown .: "),
        (["audit", "a..b", "--markdown", "folder.csv"], "--markdown folder.csv: "),
        *(
            ([*words, "--out", "text.txt"], "--out text.txt: ")
            for words in (["report"], ["compare", "runs.csv", "--arm", "arm", "--metric", "loss=1"])
        ),
        *(
            (words, "UTF-8")
            for words in (["report", "\udcff"], ["run", "small.toml", "--plugin", "\udcff.py"])
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_its_place_or_cure_and_exit_code_2(
    folder, words, place, call_command
):
    (folder / "folder.csv").mkdir()
    (folder / "empty.py").touch()
    (folder / "runs.csv").write_text("arm,loss\na,1\nb,2\n")
    code, _, error = call_command(*words)
    assert code == 2
    assert place in error
    assert error.count("\n") == 1
    assert not (folder / "results" / "trials").exists()


@pytest.mark.parametrize("seeds", ["0", "0-3"])
def test_the_plan_warns_of_too_few_seeds_for_any_verdict(folder, seeds, call_command):
    code, output, _ = call_command("plan", "small.toml", "--seeds", seeds)
    assert code == 0
    assert "WARNING: nothing will be decided: a verdict needs at least 5 seeds\n" in output
    assert f"\nseed{'s' if '-' in seeds else ''}: {seeds}\n" in output


def test_the_plan_gives_a_contrasts_cost_and_chance_of_a_verdict(folder, call_command):
    write_study(folder, "looks", seeds="looks = [10, 15, 20, 30, 40]", widths=(8, 16))
    code, output, _ = call_command("plan", "looks.toml")
    chances = [
        predict_contrast(LOOKS, sd=0.03, zone=0.02, effect=effect, family_size=2, futility=FUTILE_CHANCE)
        for effect in (0.0, 0.02, 0.04)
    ]
    cells = "  ".join(f"{c.seeds:.0f} ({100 * c.right:.0f} %)" for c in chances)
    (row,) = [line for line in output.splitlines() if line.startswith("hidden 16")]
    assert code == 0 and re.sub(" +", " ", f"0.03 {cells}") in re.sub(" +", " ", row)
    assert "seeds (chance) if the true difference is\n" in output
    trials = [float(x) for x in re.findall(r"if .*: about (\d+) trials expected, ", output)]
    # both arms as long as it is open, the baseline as long as one of both is
    assert all(3 * c.seeds < n < 2 * c.seeds + 40 for c, n in zip(chances, trials, strict=True))
    assert "3 arms, looks after 10, 15, 20, 30, 40 seeds, plan " in output
    assert "if nothing differs: about " in output and "if every difference is 2 δ: about " in output


def test_a_noisy_study_expects_fewer_seeds_unless_it_goes_to_the_end(folder, call_command, monkeypatch):
    monkeypatch.setattr(estimates, "SPREAD", 3.0)
    write_study(folder, "looks", seeds="looks = [10, 15, 20, 30, 40]", widths=(8, 16))
    trials = [
        float(
            re.search(
                r"if nothing differs: about (\d+) trials", call_command("plan", "looks.toml", *flags)[1]
            )[1]
        )
        for flags in ([], ["--to-the-end"])
    ]
    assert trials[0] < 0.75 * trials[1]


def test_the_plan_says_which_arm_has_no_contrast(folder, call_command):
    write_study(folder, "tasks", arms='[[arm]]\nname = "letters"\nset = { tokens = "char" }\n')
    code, output, _ = call_command("plan", "tasks.toml")
    assert code == 0 and "no contrast, as it is of another task: tokens\n" in output


@pytest.mark.parametrize(
    ("places", "words"), [("1", "on 1 core\n"), ("9999", f"on {plural(count_cores(), 'core')}\n")]
)
def test_a_dry_run_counts_places_and_no_more_cores_than_there_are(folder, places, words, call_command):
    code, output, _ = call_command("run", "small.toml", "--dry-run", "-j", places)
    assert code == 0 and words in output


def test_help_plan_models_and_studies_import_no_torch(tmp_path):
    assert list_imports(tmp_path, "--help", "plan toggles", "show models", "studies") == (0, set())


def test_every_command_and_flag_has_a_help_and_stands_in_the_documents():
    folder = Path(__file__).parents[3] / "docs"
    pages = "".join(path.read_text("utf-8") for path in folder.glob("*.md"))
    for name in (command for command in app if not command.startswith("-")):
        assert app[name].help, name
        assert f"unrolled {name}" in pages, f"no document mentions `unrolled {name}`"
        for argument in app[name].assemble_argument_collection(parse_docstring=True):
            if argument.show:
                assert argument.parameter.help, f"{argument.name} of `unrolled {name}` has no help"
            if argument.show and argument.name.startswith("--"):
                assert argument.name in pages, f"no document mentions {argument.name}"


# Of a fork server that is to stand still in the middle of the import of torch.
LOADS_SLOWLY = """
import pathlib, sys, time
class Gate:
    def find_spec(self, name, path=None, target=None):
        if name == "torch.nn" and any("forkserver" in word for word in sys.orig_argv):
            pathlib.Path("loading").touch()
            while not pathlib.Path("interrupted").exists():
                time.sleep(0.01)
sys.meta_path.insert(0, Gate())
"""


def test_ctrl_c_while_torch_is_loaded_ends_without_a_traceback(folder):
    options = {
        "cwd": folder,
        "env": make_environment(folder, PYTHONPATH=write_sitecustomize(folder, LOADS_SLOWLY)),
    }
    words = [sys.executable, command_without_mlflow.__file__, "run", "small.toml"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True, **options)
    wait_for((folder / "loading").exists)
    os.killpg(process.pid, signal.SIGINT)
    (folder / "interrupted").touch()
    errors = process.communicate(timeout=600)[1]
    assert errors.count("\n") == 1, errors
    assert "Ctrl-C again" in errors
    assert process.returncode == 130


def test_a_terminal_without_our_signs_gets_their_numbers(folder, monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["plan", "small.toml"]) == 0
    assert rb"\u03b4 = 0.02" in terminal.buffer.getvalue()  # δ


def test_a_port_in_use_is_one_line(call_command):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code, _, error = call_command("ui", "--port", port)
    assert code == 2 and error.startswith(f"unrolled: --port {port}: Address already in use")
    assert error.count("\n") == 1


@pytest.mark.usefixtures("skip_mlflow")
def test_only_arms_without_a_result_are_tried_on_their_first_batch(folder, call_command, monkeypatch):
    arms_by_run = []

    def check_first_batches(arms, *_):
        arms_by_run.append([name.partition(",")[0] for name in arms])

    monkeypatch.setattr(run_studies, "check_first_batches", check_first_batches)
    for widths, seeds in (((8,), "0"), ((8, 16), "0-1"), ((8, 16), "0-1")):
        write_study(folder, widths=widths)
        assert call_command("run", "small.toml", "--seeds", seeds, "-j", "2")[0] == 0
    assert arms_by_run == [["LMModel4", "hidden 8"], ["hidden 16"], []]
