"""The command `unrolled`: its subcommands and their flags. A subcommand's module is imported when it runs."""

import argparse
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

from ablations.flags import Parser, count, device, mib, one_of, port, positive
from bench.models.registry import suggestion
from bench.trial import BadInput, visible


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0, 1 trials failed or have no result, 2 bad input, 3 gate failed, 130 interrupted."""
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
        print(f"unrolled: {_short(error)}: {cure}", file=sys.stderr)
        return 2


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The flags of a command line, and in `do` the function that it calls.

    Raises BadInput for an unknown command, and SystemExit after `--help`.
    """
    name, *rest = argv or [""]
    if name not in COMMANDS:
        _top().parse_args([name] if name.startswith("-") else [])  # --help, or a flag that is unknown
        raise BadInput(f"{_unknown(name)}; see `unrolled --help`")
    found: argparse.Namespace = parser(name).parse_args(rest)
    return found


def parser(name: str) -> Parser:
    """The parser of one command."""
    command = COMMANDS[name]
    made = Parser(prog=f"unrolled {name}", description=command.help)
    for add in command.flags:
        add(made)
    made.set_defaults(do=f"ablations.{command.do or f'commands.{name}'}:{name}")
    return made


def _top() -> Parser:
    width = max(map(len, COMMANDS)) + 2
    about = "Reproducible benchmarks and ablations of recurrent language models."
    lines = "\n".join(f"  {name:<{width}}{command.help}" for name, command in COMMANDS.items())
    return Parser(
        prog="unrolled",
        usage="unrolled COMMAND [FLAGS]",
        description=f"{about}\n\ncommands:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _unknown(name: str) -> str:
    from ablations.design.study_file import shipped  # imports pydantic: not for every command

    if not name:
        return f"no command; known: {', '.join(COMMANDS)}"
    if name in ("golden", *shipped()):
        return f"unknown command {name!r}; did you mean `unrolled run {name}`?"
    return f"unknown command {name!r}{suggestion(name, list(COMMANDS))}"


def _short(error: Exception) -> str:
    """One line; a word too long to be a file's name (255 bytes) is cut: it is a value gone wrong."""
    return re.sub(r"([^\s/]{60})[^\s/]{196,}", r"\1…", visible(error))


def _studies(p: Parser) -> None:
    p.add_argument("studies", nargs="+", metavar="STUDY", help="a shipped study, the path of a .toml, or all")
    p.add_argument("--seeds", help="0-9, or 0,3,5")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUES", help="lr=1e-3,1e-2")
    p.add_argument("--corpus", metavar="TEXT", help="human-numbers, bible, or the path of a UTF-8 text")
    text = "auto (the default) keeps a stored plan's device and else takes the faster one"
    p.add_argument("--device", type=device, metavar="auto|cpu|cuda", help=text)
    p.add_argument("--yes", action="store_true", help="plan more than 10,000 trials")


def _known(p: Parser) -> None:
    text = "studies that were run; all of them if none is named"
    p.add_argument("studies", nargs="*", metavar="STUDY", help=text)


def _plugin(p: Parser) -> None:
    p.add_argument("--plugin", action="append", default=[], metavar="FILE.py", help="code of your own")


def _results(p: Parser) -> None:
    p.add_argument("--results", type=Path, default=Path("results"), help="the ledger's folder")


def _out(p: Parser) -> None:
    p.add_argument("--out", type=Path, default=Path("reports/out"), help="the reports' folder")


def _limits(p: Parser) -> None:
    p.add_argument(
        "-j", "--workers", type=count, help="trials at a time (one a core, or as many as GPUs bear)"
    )
    p.add_argument(
        "--cluster", default="", metavar="ADDRESS", help="run there: a Dask scheduler, tcp://HOST:8786"
    )
    p.add_argument("--time-limit", type=positive, default=3600.0, metavar="SECONDS", help="of one trial")
    text = "of one trial on the CPU; 0 is none"
    p.add_argument("--memory-limit", type=mib, default=0, metavar="MIB", help=text)


def _run(p: Parser) -> None:
    p.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    p.add_argument("--fail-fast", action="store_true", help="start no more after a failure")
    p.add_argument("--retry", action="store_true", help="run failed trials again")


def _prune(p: Parser) -> None:
    p.epilog = "unrolled prune shows what would go; unrolled prune --yes removes it"
    p.add_argument("--yes", action="store_true", help="remove them; without it they are only counted")


def _verify(p: Parser) -> None:
    p.add_argument("study", metavar="STUDY", help="a study that was run")
    p.add_argument("-n", "--number", type=count, default=5, help="trials to replay")


def _benchmarks(p: Parser) -> None:
    p.add_argument("file", type=Path, nargs="?", metavar="FILE", help="of pytest-benchmark")
    p.add_argument("--readme", type=Path, metavar="FILE.md", help="fill its block <!-- speed --> too")


def _gate(p: Parser) -> None:
    text = "a results folder, mlflow:URI (#COMMIT chooses), or pytest-benchmark's JSON: a file or a folder"
    p.add_argument("baseline", metavar="BASELINE", help=text)
    p.add_argument("candidate", metavar="CANDIDATE", help="what is held against it, of the same kind")
    p.add_argument("--study", help="which study, where there are several")
    p.add_argument("--metric", help="the baseline's plan names it; else valid_loss")
    p.add_argument("--delta", type=positive, metavar="NATS", help="as the baseline's plan declares it")
    p.add_argument("--speed-margin", type=positive, default=0.05, metavar="SHARE", help="0.05 is 5 %% slower")
    p.add_argument("--require-speed", action="store_true", help="fail where speed cannot be compared")
    p.add_argument("--markdown", type=Path, metavar="FILE", help="write a summary for a pull request")


def _show(p: Parser) -> None:
    p.add_argument(
        "what",
        metavar="WHAT",
        help="a trial's identity, or how that begins; a study that was run: its trials; "
        "corpus: the first validation batches, decoded into words",
    )
    trial = p.add_argument_group("of a trial")
    trial.add_argument(
        "--generate", type=count, default=0, metavar="N", help="train it again, write N tokens"
    )
    corpus = p.add_argument_group("of a corpus")
    corpus.add_argument("--model", default="lm4", help="whose chapter settings decide window and order")
    corpus.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="window=8")
    corpus.add_argument("--batches", type=count, default=2)
    corpus.add_argument("--rows", type=count, default=3)


def _learner(p: Parser) -> None:
    p.add_argument("trial", metavar="TRIAL", help="its identity, or how that begins")
    p.add_argument("--save", type=Path, required=True, metavar="FILE.pth", help="a torch state_dict")


def _port(p: Parser) -> None:
    p.add_argument("--port", type=port, default=5000)


def _folder(p: Parser) -> None:
    p.add_argument("--folder", type=Path, default=Path("server"), help="where its data are kept")


def _new(p: Parser) -> None:
    kind = one_of("cell", "model", "regularizer", "study")
    p.add_argument("kind", type=kind, metavar="KIND", help="cell, model, regularizer or study")
    p.add_argument("file", type=Path, metavar="FILE", help="my_cell.py, my.toml; it must not exist")


@dataclass(frozen=True)
class Command:
    """A subcommand: its line in `--help`, what adds its flags, and the module that has its function."""

    help: str
    flags: tuple[Callable[[Parser], None], ...] = ()
    do: str = ""  # below `ablations`; its own module in `commands` if empty


COMMANDS = {
    "plan": Command("arms, trials, cost, and what so many seeds can decide", (_studies, _plugin, _results)),
    "run": Command(
        "train what is missing, log it, report it", (_studies, _plugin, _results, _out, _limits, _run)
    ),
    "status": Command("how far each study is, and what belongs to none", (_known, _results)),
    "prune": Command("remove results, checkpoints and set-aside files of no plan", (_results, _prune)),
    "report": Command("render reports from the ledger", (_known, _results, _out)),
    "verify": Command(
        "train ended trials again and compare every number", (_plugin, _results, _verify, _limits)
    ),
    "gate": Command("did a change make results or speed worse? two result sets", (_gate,)),
    "chapter": Command("answer the chapter's questions on one page", (_results, _out)),
    "benchmarks": Command("show what `make bench` has stored", (_results, _out, _benchmarks)),
    "sync": Command("bring MLflow level with the ledger", (_known, _results)),
    "ui": Command("browse MLflow on 127.0.0.1", (_port,), "tracking.server"),
    "server": Command(
        "MLflow on PostgreSQL, for several drivers at once", (_port, _folder), "tracking.server"
    ),
    "models": Command("the models, and what can be set on each", (_plugin,)),
    "show": Command("look inside a trial, a study or a corpus", (_plugin, _results, _show)),
    "learner": Command("train a finished trial again and save its weights", (_plugin, _results, _learner)),
    "new": Command("write a file of your own to start from", (_new,)),
}


if __name__ == "__main__":
    sys.exit(main())
