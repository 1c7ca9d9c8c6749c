"""The command `unrolled`: its subcommands and their flags. A subcommand's module is imported when it runs."""

import argparse
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from io import TextIOWrapper
from math import inf
from pathlib import Path
from typing import Any

from ablations.flags import Parser, completed, count, device, mib, new_file, port, positive, time_span
from bench.chapter.models.registry import suggestion
from bench.trial import BadInput, visible


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0, 1 trials failed or have no result, 2 bad input, 3 an arm is worse, 130 interrupted."""
    if isinstance(sys.stdout, TextIOWrapper):  # a terminal may not have our signs: "–" becomes "\\u2013"
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        args = parse(sys.argv[1:] if argv is None else argv)
        code: int = pkgutil.resolve_name(args.do)(args)
        sys.stdout.flush()
        return code
    except BadInput as error:
        print(f"unrolled: {_short(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `unrolled plan … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a disk that is full, a folder that cannot be written
        cure = "put that right, then run again; everything recorded so far is kept"
        print(f"unrolled: {_short(error)}; {cure}", file=sys.stderr)
        return 2


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The flags of a command line, and in `do` the function that it calls.

    Raises BadInput for an unknown command, and SystemExit after `--help`.
    """
    name, *rest = argv or [""]
    if name not in COMMANDS:
        _top().parse_args([name] if name.startswith("-") else [])  # --help, or a flag that is unknown
        raise BadInput(_unknown(name), cure="see `unrolled --help`")
    found: argparse.Namespace = parser(name).parse_args(rest)
    return found


def parser(name: str) -> Parser:
    """The parser of one command."""
    command = COMMANDS[name]
    made = Parser(
        prog=f"unrolled {name}",
        description=command.help,
        epilog="\n  unrolled ".join(["examples:", *examples(name)]),
    )
    for add in command.flags:
        add(made)
    made.set_defaults(do=f"ablations.{command.do or f'commands.{name}'}:{name}")
    return made


def _top() -> Parser:
    width = max(map(len, COMMANDS)) + 2
    about = "Reproducible benchmarks and ablations of recurrent language models."
    lines = "\n".join(f"  {name:<{width}}{command.help}" for name, command in COMMANDS.items())
    made = Parser(
        prog="unrolled",
        usage="unrolled COMMAND [FLAGS]",
        description=f"{about}\n\ncommands:\n{lines}",
        epilog="begin with `unrolled studies`; `unrolled COMMAND --help` has flags and examples",
    )
    made.add_argument("--version", action="version", version=f"unrolled {metadata.version('unrolled')}")
    return made


def completion(args: argparse.Namespace) -> int:
    """Print the script by which a shell completes commands, flags, studies and files."""
    from ablations.study.study_file import shipped  # imports pydantic

    top = _top()
    commands = top.add_subparsers()
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.help, parents=[parser(name)], add_help=False)
    print(completed(top, args.shell, [*shipped(), "all"]))
    return 0


def _unknown(name: str) -> str:
    from ablations.study.study_file import shipped  # imports pydantic: not for every command

    if not name:
        return f"no command; known: {', '.join(COMMANDS)}"
    if name in ("golden", *shipped()):
        return f"unknown command {name!r}; did you mean `unrolled run {name}`?"
    return f"unknown command {name!r}; {suggestion(name, list(COMMANDS))}"


def _short(error: Exception) -> str:
    """One line; a word too long to be a file's name (255 bytes) is cut: it is a value gone wrong."""
    return re.sub(r"([^\s/]{60})[^\s/]{196,}", r"\1…", visible(error))


def _flag(*names: str, **options: Any) -> Callable[[Parser], object]:
    """A function that adds one flag to a parser."""
    return lambda p: p.add_argument(*names, **options)


_results = _flag("--results", type=Path, default=Path("results"), help="folder of the results (the ledger)")
_out = _flag("--out", type=Path, default=Path("out"), help="folder of the reports")
_old = _flag("--remove-old", action="store_true", help="remove results and files that belong to no plan")
_studies = _flag("studies", nargs="+", metavar="STUDY", help="a shipped study, the path of a .toml, or all")
_known = _flag("studies", nargs="*", metavar="STUDY", help="studies that were run; all if none is named")
_port = _flag("--port", type=port, default=5000)
_shell = _flag("shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="bash, zsh or fish")


def _changes(p: Parser) -> None:
    p.add_argument("--seeds", help="seeds to train, such as 0-9 or 0,3,5")
    text = "a setting to change, such as lr=1e-3; several values become arms: lr=1e-3,1e-2"
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUES", help=text)
    p.add_argument("--corpus", metavar="TEXT", help="human-numbers, bible, or the path of a UTF-8 text")
    text = "auto (the default) keeps the device of a stored plan and otherwise chooses the faster one"
    choices = ("auto", "cpu", "cuda")
    p.add_argument("--device", choices=choices, type=device, metavar="|".join(choices), help=text)
    p.add_argument("--yes", action="store_true", help="allow more than 10,000 trials")


def _plugin(p: Parser) -> None:
    text = "a file with models, cells or regularisers of your own"
    p.add_argument("--plugin", action="append", default=[], metavar="FILE.py", help=text)


def _limits(p: Parser) -> None:
    text = "trials at a time (default: one for each core or GPU)"
    p.add_argument("-j", "--workers", type=count, help=text)
    text = "run on the cluster of a Dask scheduler, such as tcp://HOST:8786"
    p.add_argument("--cluster", default="", metavar="ADDRESS", help=text)
    text = "time limit of one trial (default: 3600)"
    p.add_argument("--time-limit", type=positive, default=3600.0, metavar="SECONDS", help=text)
    text = "memory limit of one trial on the CPU (default: 0, no limit)"
    p.add_argument("--memory-limit", type=mib, default=0, metavar="MIB", help=text)


def _run(p: Parser) -> None:
    p.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    p.add_argument("--fail-fast", action="store_true", help="start no more trials after a failure")
    p.add_argument("--retry", action="store_true", help="run failed trials again")
    text = "start no trial that is expected to end later than this, such as 90s, 15m or 2h"
    p.add_argument("--budget", type=time_span, default=inf, metavar="TIME", help=text)


def _verify(p: Parser) -> None:
    p.add_argument("study", metavar="STUDY", help="a study that was run, or the .zip of one")
    text = "number of trials to train again (default: 5)"
    p.add_argument("-n", "--number", type=count, default=5, help=text)
    bundle = p.add_argument_group("for a bundle")
    bundle.add_argument("--trust", action="store_true", help="run its plug-ins: code of someone else's")


def _bundle(p: Parser) -> None:
    p.add_argument("study", metavar="STUDY", help="a study that was run")
    p.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.zip", help="the file to write")
    p.add_argument("--no-text", action="store_true", help="leave texts out: their sha256 stays")


def _compare(p: Parser) -> None:
    text = (
        "one table (.csv, .tsv, .jsonl, .parquet, pytest-benchmark's .json, mlflow:URI) with arms in it; two "
    )
    text += "result sets, before and after (results folders, tables, stored benchmarks, MLflow); or models"
    p.add_argument("sources", nargs="+", metavar="SOURCE", help=text)
    two = p.add_argument_group("for results before and after")
    two.add_argument("--study", help="the study to compare, if there are several")
    text = "the share by which a run may be slower (default: 0.05, which is 5 %%)"
    two.add_argument("--speed-margin", type=positive, metavar="SHARE", help=text)
    two.add_argument("--require-speed", action="store_true", help="fail if speed cannot be compared")
    two.add_argument("--markdown", type=Path, metavar="FILE", help="write a summary for a pull request")
    p = p.add_argument_group("for tables")  # type: ignore[assignment]
    text = "the columns that name an arm, such as model,lr"
    p.add_argument("--arm", default="", metavar="COLUMNS", help=text)
    text = "what rows of two arms share: a seed, a fold, a document"
    p.add_argument("--pair", default="", metavar="COLUMN", help=text)
    text = "what is compared, and the difference that does not matter (a study's plan has its own)"
    p.add_argument("--metric", action="append", default=[], metavar="NAME=DELTA", help=text)
    p.add_argument("--baseline", default="", metavar="ARM", help="default: the arm of the first row")
    for way in ("lower", "higher"):
        text = f"a metric of which {way} is better, where its name does not say so"
        p.add_argument(f"--{way}", action="append", default=[], metavar="COLUMN", help=text)
    p.add_argument("--experiment", default="", metavar="NAME", help="the MLflow experiment")


def _show(p: Parser) -> None:
    p.add_argument(
        "what",
        metavar="WHAT",
        help="the first digits of a trial's identity; or a study that was run, to list its trials; "
        "or models, to list them with their options; or corpus, for the first validation batches as words",
    )
    trial = p.add_argument_group("for a trial")
    text = "train it again and generate N tokens"
    trial.add_argument("--generate", type=count, default=0, metavar="N", help=text)
    corpus = p.add_argument_group("for corpus")
    text = "the model whose chapter settings are used (default: lm4)"
    corpus.add_argument("--model", default="lm4", help=text)
    text = "a setting to change, such as window=8"
    corpus.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=text)
    corpus.add_argument("--batches", type=count, default=2, help="number of batches (default: 2)")
    corpus.add_argument("--rows", type=count, default=3, help="rows of each batch (default: 3)")


def _new(p: Parser) -> None:
    kinds = ("cell", "model", "regularizer", "study")
    p.add_argument("kind", choices=kinds, metavar="KIND", help="cell, model, regularizer or study")
    p.add_argument("file", type=new_file, metavar="FILE", help="my_cell.py, my.toml; it must not exist")


@dataclass(frozen=True)
class Command:
    """A subcommand: its line in `--help`, the functions that add its flags, the module of its function."""

    help: str
    flags: tuple[Callable[[Parser], object], ...] = ()
    do: str = ""  # below `ablations`; its own module in `commands` if empty


COMMANDS = {
    "studies": Command(
        "list the studies: question, arms, time, and how far each is", (_known, _plugin, _results, _old)
    ),
    "plan": Command(
        "print a study's arms, its cost, and the seeds until it is decided",
        (_studies, _changes, _plugin, _results),
    ),
    "run": Command(
        "train the missing trials of a study, log and report them",
        (_studies, _changes, _plugin, _results, _out, _limits, _run),
    ),
    "report": Command("render reports from stored results", (_known, _results, _out)),
    "verify": Command(
        "train some trials again and compare every number", (_plugin, _results, _verify, _limits)
    ),
    "bundle": Command("write a study with all that a reviewer needs", (_plugin, _results, _bundle)),
    "compare": Command(
        "judge arms of a table, results before and after, or models, pair by pair",
        (_compare, _changes, _plugin, _results, _out, _limits, _run),
    ),
    "sync": Command("write to MLflow the results that it lacks", (_known, _results)),
    "ui": Command("browse MLflow on 127.0.0.1", (_port,), "mlflow.ui"),
    "show": Command(
        "print a trial, the trials of a study, the models, or a corpus", (_plugin, _results, _show)
    ),
    "new": Command("write a file of your own to start from", (_new,)),
    "completion": Command("print a shell's script that completes all of this", (_shell,), "cli"),
}

EXAMPLES = """
studies
studies --plugin my_cell.py
studies toggles
studies --remove-old
plan toggles
plan my.toml --set lr=1e-3,1e-2
plan awd --corpus my.txt
run models toggles
run models --seeds 0
run my.toml --plugin my_cell.py --set model=lm6,my-cell
run all --budget 1h
run golden
report
report toggles --out elsewhere
verify toggles
verify my-study --plugin my_cell.py -n 20
verify toggles.zip
bundle toggles -o toggles.zip
compare results-before results --study toggles --markdown summary.md
compare before.json after.json --speed-margin 0.1
compare runs.csv --arm model --pair seed --metric accuracy=0.02
compare lm4 lm7 --seeds 10-19
compare mlflow:sqlite:///mlflow.db --experiment mine --arm model --pair seed --metric loss=0.05
sync
sync toggles --results elsewhere
ui
ui --port 5001
show models --plugin my_cell.py
show toggles
show 3fa9 --generate 50
show corpus --set corpus=my.txt --set window=8
new study my.toml
new cell my_cell.py
completion bash > ~/.local/share/bash-completion/completions/unrolled
completion zsh > ~/.zfunc/_unrolled
"""
"""What `unrolled COMMAND --help` shows of each command."""


def examples(name: str) -> list[str]:
    """A command's examples, without `unrolled`."""
    return [line for line in EXAMPLES.splitlines() if line.partition(" ")[0] == name]


if __name__ == "__main__":
    sys.exit(main())
