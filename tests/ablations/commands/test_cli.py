"""What is mistyped gets one line with the cure; and what helps to type: examples, completion."""

import shlex
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from ablations.cli import COMMANDS, examples, main, parse, parser


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "no command; known: studies, plan, run, "),
        (["pln", "toggles"], "unknown command 'pln'; did you mean 'plan'?; see `unrolled --help`"),
        (["golden"], "unknown command 'golden'; did you mean `unrolled run golden`?"),
        (["toggles", "--seeds", "0"], "unknown command 'toggles'; did you mean `unrolled run toggles`?"),
        (["x" * 10_000], f"unknown command '{'x' * 59}…"),
        (["new", "cel", "my.py"], "argument KIND: unknown 'cel'; did you mean 'cell'?; see `unrolled new "),
        (["plan"], "the following arguments are required: STUDY; see `unrolled plan --help`"),
        (["plan", "gru", "--sseeds", "3"], "unknown flag '--sseeds'; did you mean '--seeds'?"),
        (["plan", "gru", "--sseeds=3"], "unknown flag '--sseeds'; did you mean '--seeds'?"),
        (["plan", "--sseeds", "3", "gru"], "unknown flag '--sseeds'; did you mean '--seeds'?"),
        (["run", "gru", "--dry-rum"], "unknown flag '--dry-rum'; did you mean '--dry-run'?"),
        (["--quiet", "plan", "gru"], "unknown flag '--quiet'; known: -h, --help, --version; see `unrolled"),
        (["plan", "gru", "--seed", "3"], "unknown flag '--seed'; did you mean '--seeds'?"),
        (["run", "gru", "--c=3"], "unknown flag '--c'; did you mean '--corpus' or '--cluster'?"),
        (["plan", "gru", "--seeds"], "argument --seeds: expected one argument; see `unrolled plan --help`"),
        (["run", "gru", "--epochs", "3"], "unknown flag '--epochs'; a setting is written --set epochs=VALUE"),
        (["plan", "lstm", "--dropout=.1"], "unknown flag '--dropout'; a setting is written --set dropout="),
        (["verify", "gru", "toggles"], "unexpected 'toggles'; see `unrolled verify --help`"),
        (["run", "gru", "-j", "two"], "argument -j/--workers: two is not an integer of at least 1"),
        (["run", "gru", "--workers=0"], "argument -j/--workers: 0 is not an integer of at least 1"),
        (["run", "gru", "--memory-limit=-5"], "argument --memory-limit: -5 is not an integer of at least 1"),
        *(
            (
                ["run", "gru", f"--time-limit={value}"],
                f"argument --time-limit: {value} is not a number above 0",
            )
            for value in ("1h", "nan", "0", "-1")
        ),
        *(
            (
                ["run", "gru", f"--budget={value}"],
                f"argument --budget: {value} is not a time above 0 such as 90s",
            )
            for value in ("15", "-1m", "0s", "1d", "", "m", "nan", "1e9s")
        ),
        (["ui", "--port", "65536"], "argument --port: 65536 is not a port, 1 to 65535"),
        (["plan", "x" * 10_000], f"no shipped study '{'x' * 59}… exists; known: "),
    ],
)
def test_what_is_mistyped_is_one_line_with_the_cure(words: list[str], told: str, capsys) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"unrolled: {told}")
    assert captured.err.count("\n") == 1 and len(captured.err) < 400
    assert captured.out == ""


@pytest.mark.parametrize("words", [["--help"], ["plan", "--help"]])
def test_help_is_told_on_the_standard_output_and_is_no_mistake(words: list[str], capsys) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(words)
    captured = capsys.readouterr()
    assert captured.out.startswith("usage: unrolled") and captured.err == ""


def test_the_version_is_that_of_the_installed_package(capsys) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--version"])
    assert capsys.readouterr().out == f"unrolled {metadata.version('unrolled')}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_commands_help_has_examples_that_it_takes(name: str) -> None:
    assert examples(name)
    for line in examples(name):
        assert f"  unrolled {line}\n" in parser(name).format_help()
        assert parse(shlex.split(line.partition(">")[0])).do.endswith(f":{name}")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("st", {"studies"}),
        ("run to", {"toggles"}),
        ("run models my", {"my.toml"}),
        ("new ", {"cell", "model", "regularizer", "study"}),
        ("run gru --device c", {"cpu", "cuda"}),
        ("plan toggles --se", {"--seeds", "--set"}),
    ],
)
def test_bash_completes_commands_flags_studies_and_files(
    typed: str, offered: set[str], tmp_path: Path, capfd, need
) -> None:
    need("bash")
    assert main(["completion", "bash"]) == 0
    (tmp_path / "complete").write_text(capfd.readouterr().out)
    for name in ("my.toml", "weights.pth"):
        (tmp_path / name).touch()
    words = " ".join(map(shlex.quote, ["unrolled", *typed.split(" ")]))
    ask = f"COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _shtab_unrolled"
    command = ["bash", "-c", f'. ./complete; {ask}; printf "%s\n" "${{COMPREPLY[@]}}"']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert set(done.stdout.splitlines()) == offered


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_every_command_and_study(shell: str, capsys) -> None:
    assert main(["completion", shell]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in (*COMMANDS, "toggles", "learning-rate", "--seeds"))
    assert "(*):" not in told, "zsh would complete the first of several studies alone"
