"""The command `unrolled`: words and flags. Nothing heavy is imported before a word is known to need it."""

import argparse
import os
import pkgutil
import re
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple

from ablations.flags import Parser, count, device, mib, port, positive
from bench.trial import BadInput, visible

DEVICE = "auto (the default) keeps a stored plan's device and else takes the faster one"

Words = Any
"""What argparse's add_subparsers returns; its class has no public name."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0, 1 trials failed or have no result, 2 bad input, 3 gate failed, 130 interrupted."""
    if isinstance(sys.stdout, TextIOWrapper):  # a terminal may not have our signs: "–" becomes "\\u2013"
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        args = parser().parse_args(argv)
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


def _short(error: Exception) -> str:
    """One line; a word too long to be a file's name (255 bytes) is cut: it is a value gone wrong."""
    return re.sub(r"([^\s/]{60})[^\s/]{196,}", r"\1…", visible(error))


class Command(Parser):
    """The whole command: whoever names a study where a word should stand is told how to run it."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            from ablations.design.written import shipped

            if value in ("golden", *shipped()):
                self.error(f"unknown word {value!r}; did you mean `unrolled run {value}`?")
        super()._check_value(action, value)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = Command(
        prog="unrolled", description="Reproducible benchmarks and ablations of recurrent language models."
    )
    words, flags = top.add_subparsers(required=True, metavar="WORD", parser_class=Parser), _flags()
    _study_words(words, flags)
    _result_words(words, flags)
    _server_words(words)
    _own_words(words, flags)
    return top


class Flags(NamedTuple):
    """What several words share."""

    studies: argparse.ArgumentParser  # that may be run, and how they are changed
    known: argparse.ArgumentParser  # that were run
    plugin: argparse.ArgumentParser
    results: argparse.ArgumentParser
    out: argparse.ArgumentParser


def _flags() -> Flags:
    studies = _studies("STUDY", "a shipped study, the path of a .toml, or all")
    studies.add_argument("--seeds", help="0-9, or 0,3,5")
    studies.add_argument("--set", action="append", default=[], metavar="KEY=VALUES", help="lr=1e-3,1e-2")
    studies.add_argument("--corpus", metavar="TEXT", help="human-numbers, bible, or the path of a UTF-8 text")
    studies.add_argument("--device", type=device, metavar="auto|cpu|cuda", help=DEVICE)
    studies.add_argument("--yes", action="store_true", help="plan more than 10,000 trials")
    known = _studies("STUDY", "studies that were run; all of them if none is named", "*")
    plugin, results, out = (argparse.ArgumentParser(add_help=False) for _ in range(3))
    plugin.add_argument("--plugin", action="append", default=[], metavar="FILE.py", help="code of your own")
    results.add_argument("--results", type=Path, default=Path("results"), help="the ledger's folder")
    out.add_argument("--out", type=Path, default=Path("reports/out"), help="the reports' folder")
    return Flags(studies, known, plugin, results, out)


def _study_words(words: Words, flags: Flags) -> None:
    studies, known, plugin, results, out = flags
    text = "arms, trials, cost, and what so many seeds can decide"
    _word(words, "plan", text, studies, plugin, results, do="words.looking")
    text = "train what is missing, log it, report it"
    _run_flags(_word(words, "run", text, studies, plugin, results, out, do="words.running"))
    _word(words, "status", "how far each study is, and what belongs to none", known, results)
    text = "remove results, checkpoints and set-aside files that belong to no plan"
    prune = _word(words, "prune", text, results, do="words.pruning")
    prune.epilog = "unrolled prune shows what would go; unrolled prune --yes removes it"
    prune.add_argument("--yes", action="store_true", help="remove them; without it they are only counted")


def _result_words(words: Words, flags: Flags) -> None:
    _, known, plugin, results, out = flags
    _word(words, "report", "render reports from the ledger", known, results, out, do="words.reporting")
    text = "train ended trials again and compare every number"
    verify = _word(words, "verify", text, plugin, results)
    verify.add_argument("study", metavar="STUDY", help="a study that was run")
    verify.add_argument("-n", "--number", type=count, default=5, help="trials to replay")
    _limits(verify)
    text = "did a change make results or speed worse? two result sets"
    _gate(_word(words, "gate", text, do="words.gating"))
    _word(words, "chapter", "answer the chapter's questions on one page", results, out, do="words.chapter")
    timed = _word(
        words, "benchmarks", "show what `make bench` has stored", results, out, do="words.benchmarks"
    )
    timed.add_argument("file", type=Path, nargs="?", metavar="FILE", help="of pytest-benchmark")
    timed.add_argument("--readme", type=Path, metavar="FILE.md", help="fill its block <!-- speed --> too")
    _word(words, "sync", "bring MLflow level with the ledger", known, results)


def _server_words(words: Words) -> None:
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--port", type=port, default=5000)
    _word(words, "ui", "browse MLflow on 127.0.0.1", where, do="tracking.server")
    text = "MLflow on PostgreSQL, for several drivers at once"
    server = _word(words, "server", text, where, do="tracking.server")
    server.add_argument("--folder", type=Path, default=Path("server"), help="where its data are kept")


def _own_words(words: Words, flags: Flags) -> None:
    plugin, results = flags.plugin, flags.results
    _word(words, "models", "the zoo", plugin, do="words.looking")
    _show(_word(words, "show", "look inside a trial, a study or a corpus", plugin, results, do="inside"))
    learner = _word(words, "learner", "train a finished trial again and save its weights", plugin, results)
    learner.set_defaults(do="ablations.inside:save")
    learner.add_argument("trial", metavar="TRIAL", help="its identity, or how that begins")
    learner.add_argument("--save", type=Path, required=True, metavar="FILE.pth", help="a torch state_dict")
    new = _word(words, "new", "write a file of your own to start from", do="words.scaffold")
    new.add_argument("kind", choices=("cell", "model", "regularizer", "study"))
    new.add_argument("file", type=Path, metavar="FILE", help="my_cell.py, my.toml; it must not exist")


def _studies(metavar: str, text: str, count: str = "+") -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("studies", nargs=count, metavar=metavar, help=text)
    return parent


def _word(
    words: Words, name: str, text: str, *parents: argparse.ArgumentParser, do: str = "words.commands"
) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = words.add_parser(name, help=text, description=text, parents=parents)
    made.set_defaults(do=f"ablations.{do}:{name}")
    return made


def _run_flags(run: argparse.ArgumentParser) -> None:
    _limits(run)
    run.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    run.add_argument("--fail-fast", action="store_true", help="start no more after a failure")
    run.add_argument("--retry", action="store_true", help="run failed trials again")


def _limits(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "-j", "--workers", type=count, help="trials at a time (one a core, or as many as GPUs bear)"
    )
    run.add_argument(
        "--cluster", default="", metavar="ADDRESS", help="run there: a Dask scheduler, tcp://HOST:8786"
    )
    run.add_argument("--time-limit", type=positive, default=3600.0, metavar="SECONDS", help="of one trial")
    run.add_argument("--memory-limit", type=mib, default=0, metavar="MIB", help="of one trial; 0 is none")


def _show(show: argparse.ArgumentParser) -> None:
    show.add_argument(
        "what",
        metavar="WHAT",
        help="a trial's identity, or how that begins; a study that was run: its trials; "
        "corpus: the first validation batches, decoded into words",
    )
    trial = show.add_argument_group("of a trial")
    trial.add_argument(
        "--generate", type=count, default=0, metavar="N", help="train it again, write N tokens"
    )
    corpus = show.add_argument_group("of a corpus")
    corpus.add_argument("--model", default="lm4", help="whose chapter settings decide window and order")
    corpus.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="window=8")
    corpus.add_argument("--batches", type=count, default=2)
    corpus.add_argument("--rows", type=count, default=3)


def _gate(gate: argparse.ArgumentParser) -> None:
    text = "a results folder, mlflow:URI (#COMMIT chooses), or pytest-benchmark's JSON: a file or a folder"
    gate.add_argument("baseline", metavar="BASELINE", help=text)
    gate.add_argument("candidate", metavar="CANDIDATE", help="what is held against it, of the same kind")
    gate.add_argument("--study", help="which study, where there are several")
    gate.add_argument("--metric", help="the baseline's plan names it; else valid_loss")
    gate.add_argument("--delta", type=positive, metavar="NATS", help="as the baseline's plan declares it")
    gate.add_argument(
        "--speed-margin", type=positive, default=0.05, metavar="SHARE", help="0.05 is 5 %% slower"
    )
    gate.add_argument("--require-speed", action="store_true", help="fail where speed cannot be compared")
    gate.add_argument("--markdown", type=Path, metavar="FILE", help="write a summary for a pull request")


if __name__ == "__main__":
    sys.exit(main())
