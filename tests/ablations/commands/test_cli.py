"""What is mistyped is one line with the cure; and what helps to type: examples, completion."""

import shlex
from importlib import metadata

import pytest

from unrolled.ablations.cli import app, list_examples, main

COMMANDS = [name for name in app if not name.startswith("-")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pln", "toggles"], "did you mean 'plan'?"),
        (["goldn"], "did you mean 'golden'?"),
        (["toggles", "--seeds", "0"], "did you mean `unrolled run toggles`?"),
        (["x" * 10_000], f"'{'x' * 59}…"),
        (["new", "cel", "my.py"], 'Did you mean "cell"?'),
        (["plan"], "STUDIES"),
        (["plan", "gru", "--sseeds", "3"], "did you mean --seeds?"),
        (["plan", "gru", "--sseeds=3"], "did you mean --seeds?"),
        (["run", "gru", "--dry-rum"], "did you mean --dry-run?"),
        (["plan", "gru", "--seed", "3"], "did you mean --seeds?"),
        (["--quiet", "plan", "gru"], "--quiet"),
        (["plan", "gru", "--seeds"], "--seeds"),
        (["run", "gru", "--epochs", "3"], "--set epochs=VALUE"),
        (["plan", "lstm", "--dropout=.1"], "--set dropout=VALUE"),
        *(
            (["run", "gru", f"--{name}", "2"], f"unknown option --{name}; see `unrolled run --help`")
            for name in ("data", "job", "folds", "gpus")
        ),
        (["show", "modells"], "did you mean 'models'?"),
        (["verify", "gru", "toggles"], "toggles"),
        (["run", "gru", "-j", "two"], "two"),
        (["run", "gru", "--workers=0"], "--workers"),
        (["run", "gru", "--memory-limit=-5"], "--memory-limit"),
        *((["run", "gru", f"--time-limit={value}"], "--time-limit") for value in ("1h", "nan", "0", "-1")),
        *(
            (["run", "gru", f"--budget={value}"], "a time above 0 such as 90s")
            for value in ("15", "-1m", "0s", "1d", "m", "nan", "1e9s")
        ),
        (["ui", "--port", "65536"], "--port"),
        (["plan", "x" * 10_000], f"'{'x' * 59}…"),
    ],
)
def test_a_mistyped_command_is_one_line_with_the_cure(words: list[str], message: str, capsys) -> None:
    assert main(words) == 2
    streams = capsys.readouterr()
    assert streams.err.startswith("unrolled: ") and message in streams.err
    assert streams.err.count("\n") == 1 and len(streams.err) < 400
    assert streams.out == ""


def test_the_version_is_that_of_the_installed_package(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"unrolled {metadata.version('unrolled')}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_commands_help_has_examples_that_it_takes(name: str, capsys) -> None:
    assert list_examples(name) and main([name, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())  # a narrow terminal has long examples in two lines
    for line in list_examples(name):
        assert f"unrolled {line}" in text
        function, _, _ = app.parse_args(shlex.split(line), exit_on_error=False, print_error=False)
        assert function is app[name].default_command
