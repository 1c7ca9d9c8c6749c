"""What is typed wrongly: one line that says what was meant, and never the usage above it."""

import pytest

from ablations.cli import main


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "no command; known: plan, run, status, "),
        (["pln", "toggles"], "unknown command 'pln'; did you mean 'plan'?; see `unrolled --help`"),
        (["golden"], "unknown command 'golden'; did you mean `unrolled run golden`?"),
        (["toggles", "--seeds", "0"], "unknown command 'toggles'; did you mean `unrolled run toggles`?"),
        (["x" * 10_000], f"unknown command '{'x' * 59}…"),
        (
            ["new", "cel", "my.py"],
            "argument KIND: unknown 'cel'; did you mean 'cell'?; see `unrolled new --help`",
        ),
        (["plan"], "the following arguments are required: STUDY; see `unrolled plan --help`"),
        (["plan", "gru", "--sseeds", "3"], "unknown flag '--sseeds'; did you mean '--seeds'?"),
        (["plan", "gru", "--sseeds=3"], "unknown flag '--sseeds'; did you mean '--seeds'?"),
        (["plan", "--sseeds", "3", "gru"], "unknown flag '--sseeds'; did you mean '--seeds'?"),
        (["run", "gru", "--dry-rum"], "unknown flag '--dry-rum'; did you mean '--dry-run'?"),
        (["--verbose", "plan", "gru"], "unknown flag '--verbose'; known: -h, --help; see `unrolled --help`"),
        (["plan", "gru", "--se", "3"], "ambiguous option: --se could match --seeds, --set"),
        (["plan", "gru", "--seeds"], "argument --seeds: expected one argument; see `unrolled plan --help`"),
        (
            ["run", "gru", "--epochs", "3"],
            "unknown flag '--epochs'; a setting is written --set epochs=VALUE;",
        ),
        (
            ["plan", "lstm", "--dropout=.1"],
            "unknown flag '--dropout'; a setting is written --set dropout=VALUE",
        ),
        (["verify", "gru", "toggles"], "unexpected 'toggles'; see `unrolled verify --help`"),
        (["run", "gru", "-j", "two"], "argument -j/--workers: two is not an integer of at least 1"),
        (["run", "gru", "--time-limit=1h"], "argument --time-limit: 1h is not a number above 0"),
        (["ui", "--port", "65536"], "argument --port: 65536 is not a port, 1 to 65535"),
        (["plan", "x" * 10_000], f"no shipped study '{'x' * 59}… exists; known: "),
    ],
)
def test_what_is_mistyped_is_one_line_with_the_cure(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"unrolled: {told}")
    assert captured.err.count("\n") == 1 and len(captured.err) < 400
    assert captured.out == ""


@pytest.mark.parametrize("words", [["--help"], ["plan", "--help"]])
def test_help_is_told_on_the_standard_output_and_is_no_mistake(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(words)
    captured = capsys.readouterr()
    assert captured.out.startswith("usage: unrolled") and captured.err == ""
