"""The command `unrolled`: a thin layer on the functions of `ablations.commands`."""

import atexit
import gc
import os
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from cyclopts import App, CycloptsError, Parameter, validators

from unrolled.ablations.options import (
    AuditOptions,
    CompareOptions,
    GateOptions,
    JudgeOptions,
    PlanOptions,
    RunOptions,
    ShowOptions,
    StoredOptions,
    VerifyOptions,
)
from unrolled.ablations.usage_errors import explain_usage, shorten_line
from unrolled.bench.errors import BadInput
from unrolled.bench.formats.file_formats import FORMATS

app = App(
    name="unrolled",
    help="Does it help? An answer for the chapter's models and for any training script, with enough seeds.",
    help_epilogue="Begin with `unrolled studies`; `unrolled COMMAND --help` has flags and examples.",
    help_format="plaintext",
    default_parameter=Parameter(negative=(), show_default=False),
    result_action="return_value",
    version=f"unrolled {metadata.version('unrolled')}",
)
app.register_install_completion_command()

EXAMPLES = """
studies
studies --remove-old
plan toggles
plan my.toml --set lr=1e-3,1e-2
plan awd --set corpus=my.txt
run models toggles
run models --seeds 0
run my.toml --set model=lm4,lm6
run all --budget 1h
report
report toggles --out elsewhere
verify toggles
verify my-study --plugin my_cell.py -n 20
verify toggles.zip
bundle toggles -o toggles.zip
compare runs.csv --arm model --pair seed --metric accuracy=0.02
compare before.csv after.csv --arm source --pair seed --metric accuracy=0.02
compare results-before results --study toggles --arm arm,source
compare lm6 my-cell --plugin my_cell.py
compare mlflow:sqlite:///mlflow.db --experiment mine --arm model --pair seed --metric loss=0.05
gate
gate unrolled.toml --base main --head worktree
gate --dry-run
audit main..HEAD
audit v1.0..main my.toml --forward --markdown audit.md
judge HEAD --chain night --incumbent main
judge HEAD --chain night --json
judge worktree my.toml --chain night --accept-simpler --verify
sync
sync toggles --results elsewhere
ui
ui --port 5001
golden
show models --plugin my_cell.py
show 3fa9
show 3fa9 --generate 50
show corpus --set corpus=my.txt --set window=8
new study my.toml
new cell my_cell.py
new program my.toml
new program my.toml --for train.py
"""
"""The examples that `unrolled COMMAND --help` shows."""

Studies = Annotated[tuple[str, ...], Parameter(help="A shipped study, the path of a .toml, or all.")]
RunStudies = Annotated[
    tuple[str, ...], Parameter(help="Studies that were run, by name or .toml; all if none is named.")
]
RunStudy = Annotated[str, Parameter(help="A study that was run, by its name or .toml.")]
Source = Annotated[
    tuple[str, ...],
    Parameter(
        help=f"A table with arms in it ({', '.join(FORMATS)}, mlflow:URI); several tables or results "
        "folders, which make one; or models"
    ),
]
What = Annotated[
    str,
    Parameter(
        help="The first digits of a trial's identity, which its study's page has; models, to list them with "
        "their options; or corpus, for the first validation batches as words."
    ),
]
Kind = Annotated[
    Literal["cell", "model", "regularizer", "study", "program"], Parameter(help="What the file is to hold.")
]
NewFile = Annotated[Path, Parameter(help="my_cell.py, my.toml; it must not exist.")]
ForScript = Annotated[
    Path | None, Parameter(name="--for", help="Of a program: a script that exists, whose flags are read.")
]
RemoveOld = Annotated[bool, Parameter(help="Remove results and files that belong to no plan.")]
Zip = Annotated[Path, Parameter(alias="-o", help="The .zip to write.")]
NoText = Annotated[bool, Parameter(help="Leave texts out: their sha256 stays.")]
Port = Annotated[
    int,
    Parameter(
        help="The port of MLflow's pages (default: 5000).", validator=validators.Number(gte=1, lte=65535)
    ),
]
Results = Annotated[Path, Parameter(help="Folder of the results (the ledger).")]
Out = Annotated[Path, Parameter(help="Folder of the reports.")]
Function = TypeVar("Function", bound=Callable[..., int])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns its exit code:

    0: all is well
    1: trials failed or have no result
    2: bad input
    3: an arm is worse, a gate is not passed, or a proposal is to be discarded
    4, 5, 6: a proposal is undecided, refused, or simpler
    130: interrupted
    """
    # searching loaded modules for garbage takes a tenth of the time of `report`, and a twentieth at its end
    gc.set_threshold(100_000, 20, 100)
    atexit.register(gc.freeze)
    if isinstance(sys.stdout, TextIOWrapper):  # replace characters that the terminal's encoding lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        words = sys.argv[1:] if argv is None else argv
        code = app(words, exit_on_error=False, print_error=False)
        sys.stdout.flush()
        return code or 0
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has closed the pipe, as in `unrolled plan … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except CycloptsError as error:
        line = shorten_line(explain_usage(error, [name for name in app if not name.startswith("-")]))
    except BadInput as error:
        line = shorten_line(error)
    except UnicodeEncodeError as error:  # an argument is not UTF-8, such as a name in Latin-1
        text = error.object[max(0, error.start - 40) : error.end + 40]
        line = f"{text!a}: is not UTF-8; rename it"
    except OSError as error:  # such as a full disk, or a folder that cannot be written
        cure = "put that right, then run again; everything recorded so far is kept"
        line = f"{shorten_line(error)}; {cure}"
    print(f"unrolled: {line}", file=sys.stderr)
    return 2


def list_examples(name: str) -> list[str]:
    """Return a command's examples, without `unrolled`."""
    return [line for line in EXAMPLES.splitlines() if line.partition(" ")[0] == name]


def add_command(function: Function) -> Function:
    """Register a command under its function's name, with its examples."""
    name = function.__name__
    epilogue = "\n  unrolled ".join(["examples:", *list_examples(name)])
    app.command(function, name=name, help_epilogue=epilogue, sort_key=len(list(app)))
    return function


@add_command
def studies(
    *, results: Results = Path("results"), out: Out = Path("out"), remove_old: RemoveOld = False
) -> int:
    """List the studies: results and answer, or question."""
    from unrolled.ablations.commands.studies import studies

    return studies(results, out, remove_old)


@add_command
def plan(studies: Studies, /, *, options: PlanOptions = PlanOptions()) -> int:
    """Print a study's arms, its cost, and the seeds until it is decided."""
    from unrolled.ablations.commands.plan import print_plans

    return print_plans(studies, options)


@add_command
def run(studies: Studies, /, *, options: RunOptions = RunOptions()) -> int:
    """Train the missing trials of a study, log and report them."""
    from unrolled.ablations.commands.run import run

    return run(studies, options)


@add_command
def report(studies: RunStudies = (), /, *, results: Results = Path("results"), out: Out = Path("out")) -> int:
    """Render reports from stored results."""
    from unrolled.ablations.commands.report import report

    return report(studies, results, out)


@add_command
def verify(
    study: Annotated[str, Parameter(help="A study that was run, or the .zip of one.")],
    /,
    *,
    options: VerifyOptions = VerifyOptions(),
) -> int:
    """Train some trials again and compare every number."""
    from unrolled.ablations.commands.verify import verify

    return verify(study, options)


@add_command
def bundle(
    study: RunStudy,
    /,
    *,
    output: Zip,
    no_text: NoText = False,
    options: StoredOptions = StoredOptions(),
) -> int:
    """Write a study with all that a reviewer needs."""
    from unrolled.ablations.commands.bundle import bundle

    return bundle(study, output, options, no_text=no_text)


@add_command
def compare(sources: Source, /, *, options: CompareOptions = CompareOptions()) -> int:
    """Judge arms of a table, or models, pair by pair."""
    from unrolled.ablations.commands.compare import compare

    return compare(sources, options)


@add_command
def gate(
    study: Annotated[str, Parameter(help="The study's .toml (default: unrolled.toml at the top).")] = "",
    /,
    *,
    options: GateOptions = GateOptions(),
) -> int:
    """Train a change and its base in turn: is it less than δ worse?"""
    from unrolled.ablations.commands.gate import gate

    return gate(study, options)


@add_command
def audit(
    commits: Annotated[str, Parameter(help="Two commits with dots between them: main..HEAD.")],
    study: Annotated[str, Parameter(help="The study's .toml (default: unrolled.toml at the top).")] = "",
    /,
    *,
    options: AuditOptions = AuditOptions(),
) -> int:
    """Which commits of a branch help? Each is taken back alone."""
    from unrolled.ablations.commands.audit import audit

    return audit(commits, study, options)


@add_command
def judge(
    candidate: Annotated[str, Parameter(help="The proposal: a commit, or worktree.")],
    study: Annotated[str, Parameter(help="The study's .toml (default: unrolled.toml at the top).")] = "",
    /,
    *,
    options: JudgeOptions = JudgeOptions(),
) -> int:
    """Keep or discard a proposal? It is trained beside its chain's incumbent."""
    from unrolled.ablations.commands.judge import judge

    return judge(candidate, study, options)


@add_command
def sync(studies: RunStudies = (), /, *, results: Results = Path("results")) -> int:
    """Write to MLflow the results that it lacks."""
    from unrolled.ablations.commands.sync import sync

    return sync(studies, results)


@add_command
def ui(*, port: Port = 5000) -> int:
    """Browse MLflow on 127.0.0.1."""
    from unrolled.ablations.mlflow.ui import show_ui

    return show_ui(port)


@add_command
def golden() -> int:
    """Replay the book's notebook: its printed rows beside ours."""
    from unrolled.ablations.commands.chapter import replay_notebook

    return replay_notebook()


@add_command
def show(what: What, /, *, options: ShowOptions = ShowOptions()) -> int:
    """Print a trial, the models, or a corpus."""
    from unrolled.ablations.commands.show import show

    return show(what, options)


@add_command
def new(kind: Kind, file: NewFile, /, *, script: ForScript = None) -> int:
    """Write a file of your own to start from."""
    from unrolled.ablations.commands.new import new

    return new(kind, file, script)


if __name__ == "__main__":
    sys.exit(main())
