"""What is shown while trials run, and the arms after each look, on a terminal and elsewhere."""

import fcntl
import io
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from rich.console import Console

from tests.helpers.command_process import make_environment, write_study
from tests.helpers.processes import ProgramGroup, helpers_path, wait_for
from tests.helpers.stub_results import build_plan, change_trial, make_result
from unrolled.ablations.publishing.plan_comparison import compare_plan
from unrolled.ablations.training.progress import Remaining, describe_result, show_progress
from unrolled.ablations.training.terminal_table import print_arms
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.trial import Result, make_failed_result
from unrolled.reports.words.page_warnings import list_warnings

TRIAL = ChapterTrial(model="lm4", seed=0)
LONGEST = "four gates, one layer, nn.LSTM's weights"  # of the arms that ship
AGAINST = "reset before, one layer, nn.GRU's weights"


def make_terminal() -> tuple[Console, io.StringIO]:
    """Return a terminal of 80 columns, and what is written to it."""
    output = io.StringIO()
    return Console(highlight=False, force_terminal=True, width=80, file=output), output


def strip_codes(text: str) -> str:
    """Return a terminal's text without its control codes."""
    return re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", text)


def test_a_studys_name_is_no_command_to_the_terminal() -> None:
    console, written = make_terminal()
    names = {TRIAL.id: "arm\x1b]0;too"}
    with show_progress(console, "a[/b]\x1b]0;owned", names, [], lambda: Remaining(0, 0, 0)) as show:
        show(make_failed_result(TRIAL, "no\x1b]0;reason"))
    output = written.getvalue()
    assert "a[/b]␛]0;owned" in output
    assert "arm␛]0;too: FAILED: no␛]0;reason" in output
    assert "\x1b]0;" not in output


def test_eighty_columns_hold_the_bar_the_time_left_and_the_trial() -> None:
    console, written = make_terminal()
    names = {TRIAL.id: f"{LONGEST}/seed=0"}
    metric_names = ["valid_accuracy", "valid_loss"]
    metrics = {"valid_loss": 1.5, "valid_accuracy": 0.25}
    remaining = Remaining(101, 9.0, 90.0)
    with show_progress(console, "regularization", names, metric_names, lambda: remaining) as show:
        show(Result(trial=TRIAL, status="done", metrics=metrics, attempt_seconds=1.25))
    output = strip_codes(written.getvalue())
    assert re.search(
        r"(?m)regularization +[━╸╺]+ +1/102 .* [0-9.]+ s left, study ([0-9.]+ to )?[0-9.]+ s *$", output
    )
    latest = " ".join(output[output.rindex("accuracy") :].split())
    assert latest == f"accuracy 0.2500, loss 1.5000: {LONGEST}/seed=0, 1.2 s"


@pytest.mark.parametrize(
    ("remaining", "text"),
    [
        (Remaining(3, 30.0, 30.0), "60 s left"),
        (Remaining(3, 60.0, 900.0), "2 min left, study 2 to 30 min"),
        (Remaining(3, 30.0, 9000.0), "60 s left, study 60 s to 5.0 h"),
        (Remaining(3, 30.0, 30.1), "60 s left, study 60 s"),
        (Remaining(0, 0.0, 0.0), ""),
    ],
)
def test_the_time_left_is_of_look_and_study(remaining: Remaining, text: str) -> None:
    assert remaining.describe_time(pace=2.0) == text


def test_eighty_columns_hold_an_arms_numbers_and_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = {
        name: [change_trial(make_result(s, penalty, name), source="v1", lr=lr) for s in range(10)]
        for name, penalty, lr in (("base", 0.0, 0.1), (LONGEST, 0.5, 0.2), (AGAINST, 0.2, 0.3))
    }
    plan = build_plan(results, {LONGEST: {"lr": 0.2}, AGAINST: {"lr": 0.3}})
    arms = *plan.arms[:2], replace(plan.arms[2], against=LONGEST)
    by_id = {result.trial.id: result for of_arm in results.values() for result in of_arm}
    comparison = compare_plan(replace(plan, arms=arms), by_id)
    outputs = {}
    for no_color in ("", "1"):
        monkeypatch.setenv("NO_COLOR", no_color)
        console, written = make_terminal()
        print_arms(comparison, console)
        outputs[no_color] = written.getvalue()
    assert "\x1b[31m▼" not in outputs["1"] and "\x1b[32m▲ better > δ" in outputs[""]
    assert strip_codes(outputs[""]) == strip_codes(outputs["1"])
    lines = [line.rstrip() for line in strip_codes(outputs[""]).splitlines()]
    assert max(map(len, lines)) <= 80 and not any("…" in line for line in lines)
    assert re.search(r"1\.\d\d nats +– +10 +baseline", "\n".join(lines))
    assert re.search(r"−0\.30\d? +10 +▲ better > δ", "\n".join(lines))
    words = " ".join(" ".join(lines).split())
    assert "reference" in words


def test_a_trial_that_learnt_nothing_has_a_warning() -> None:
    warning = "always predicts “the”"
    results = {name: [make_result(s, 0.1, name) for s in range(3)] for name in ("base", "broken")}
    results["broken"][1:] = [replace(r, records={"warning": warning}) for r in results["broken"][1:]]
    plan = build_plan(results, {"broken": {"lr": 0.2}})
    by_id = {result.trial.id: result for of_arm in results.values() for result in of_arm}
    assert describe_result("broken/seed=2", results["broken"][2], ["valid_loss"]).endswith(f", {warning}")
    assert f"broken {warning} on 2 seeds" in list_warnings(compare_plan(plan, by_id))


@pytest.fixture
def programs() -> Iterator[ProgramGroup]:
    group = ProgramGroup()
    yield group
    group.kill_all()


def test_a_terminal_shows_arms_after_a_look_and_after_ctrl_c(tmp_path: Path, programs: ProgramGroup) -> None:
    arms = f'[[arm]]\nname = "{LONGEST}"\nset = {{ hidden = 24 }}\n'
    arms += f'[[arm]]\nname = "{AGAINST}"\nset = {{ hidden = 32 }}\nagainst = "{LONGEST}"\n'
    write_study(tmp_path, seeds="looks = [5, 100]\nto_the_end = true", widths=(), arms=arms)
    controller, terminal_end = pty.openpty()
    fcntl.ioctl(terminal_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    variables = make_environment(tmp_path, TERM="xterm-256color", PYTHONPATH=helpers_path(), SLEEP="0.05")
    variables.pop("COLUMNS", None)
    words = sys.executable, "-m", "tests.helpers.look_study", "run", "small.toml"
    program = programs.start(*words, cwd=tmp_path, env=variables, stdout=terminal_end, stderr=terminal_end)
    os.close(terminal_end)
    output = bytearray()
    reader = Thread(target=_read_all, args=(controller, output))
    reader.start()
    wait_for(lambda: b"verdict" in output or program.poll() is not None)
    assert program.poll() is None, output.decode()
    os.killpg(program.pid, signal.SIGINT)
    assert program.wait(120) == 130
    reader.join(10)
    text = strip_codes(output.decode())
    bars = [line for line in re.split(r"[\r\n]+", text) if re.search("[━╸╺]|s left|accuracy 0|/seed=", line)]
    assert any("left, study" in line for line in bars)
    assert max(map(len, bars)) <= 80 and not any("…" in line for line in bars)
    assert f"{LONGEST}/seed=" in " ".join(text.split())
    outcome = text[text.rindex("Ctrl-C again stops them") :]
    assert max(map(len, re.split(r"[\r\n]+", outcome.partition("\n")[2]))) <= 80, "words are not broken"
    assert re.search(r"against +accuracy +\(points\) +seeds +verdict", outcome)
    assert "\x1b[" in output.decode()[-2000:] or "better" not in outcome


def _read_all(descriptor: int, output: bytearray) -> None:
    """Read what a terminal shows until the last process closes it."""
    with suppress(OSError):
        while data := os.read(descriptor, 65536):
            output.extend(data)
    os.close(descriptor)
