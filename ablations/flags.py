"""The command line's parser and types of values: each mistake is one line with the likely correction."""

import argparse
import os
import re
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from bench.chapter.models.registry import ZOO, suggestion
from bench.trial import BadInput, Trial


class Parser(argparse.ArgumentParser):
    """A parser that raises BadInput: one line without the usage, with the likely correction.

    Flags are written in full: an abbreviation that fits one flag today would fit two tomorrow.
    """

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Raise BadInput, naming the help of the command."""
        raise BadInput(message, cure=f"see `{self.prog} --help`")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does; an unknown flag is reported with the likeliest known one."""
        found, left = self.parse_known_args(args, namespace)
        if left:
            flag = next((each.partition("=")[0] for each in left if each.startswith("-")), None)
            self.error(f"unknown flag {flag!r}{self._meant(flag)}" if flag else f"unexpected {left[0]!r}")
        return found

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Raise ArgumentError for none of the choices, naming the likeliest of them."""
        if action.choices is not None and value not in action.choices:
            told = f"unknown {value!r}; {suggestion(value, list(action.choices))}"
            raise argparse.ArgumentError(action, told)

    def _meant(self, flag: str) -> str:
        """The flags that begin so; else how a setting is written, for the name of one, or the likeliest."""
        key = flag.lstrip("-").replace("-", "_")
        known = list(self._option_string_actions)
        if begin := [repr(each) for each in known if each.startswith(flag)]:
            return f"; did you mean {' or '.join(begin)}?"
        settings = {*(field.name for field in fields(Trial)), *(k for s in ZOO.values() for k in s.options)}
        if "--set" in known and key in settings:
            return f"; a setting is written --set {key}=VALUE"
        return f"; {suggestion(flag, known)}"


def completed(top: Parser, shell: str, studies: Sequence[str]) -> str:
    """A shell's script that completes the commands of a parser, their flags, files and studies."""
    import shtab

    names, function = " ".join(studies), "_unrolled_study_or_file"
    preambles = {
        "bash": f'{function}() {{ compgen -W "{names}" -- "$1"; compgen -f -- "$1"; }}',
        "zsh": f'{function}() {{ _alternative "studies:study:({names})" "files:file:_files" }}',
    }
    study = {**dict.fromkeys(preambles, function), "fish": f"{names} {shtab.FILE['fish']}"}
    commands = next(each.choices for each in top._actions if isinstance(each.choices, dict))
    for action in (each for command in commands.values() for each in command._actions):
        if action.metavar == "STUDY":
            action.complete = study
        elif action.type is Path or str(action.metavar).startswith("FILE"):
            action.complete = shtab.FILE
    script = shtab.complete(top, shell, preamble=preambles.get(shell, ""))
    return script.replace('"(*):', '"*:')  # zsh: every word of several, where shtab completes the first


def count(text: str) -> int:
    """The text as an integer of at least 1."""
    number = int(text) if re.fullmatch("[0-9]{1,18}", text) else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not an integer of at least 1")
    return number


def device(text: str) -> str:
    """The text, with torch's name for a GPU."""
    return "cuda" if text == "gpu" else text


def positive(text: str) -> float:
    """The text as a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not number > 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def time_span(text: str) -> float:
    """The text as seconds: 90s, 15m or 2h."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smh])", text)
    seconds = float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text} is not a time above 0 such as 90s, 15m or 2h")
    return seconds


def port(text: str) -> int:
    """The text as a TCP port, 1 to 65535."""
    if count(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port, 1 to 65535")
    return int(text)


def new_file(text: str) -> Path:
    """The text as the path of a file that can be made: it is not there, and its folder is."""
    path = Path(text)
    if path.exists():
        raise argparse.ArgumentTypeError(f"{path} exists already and is left as it is; choose another name")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path}: there is no such folder; make it, or choose another one")
    return path


def or_zero(kind: Callable[[str], int]) -> Callable[[str], int]:
    """A type like `kind` that also accepts 0, for no limit or any free port."""
    return lambda text: 0 if text == "0" else kind(text)


mib = or_zero(count)


def refuse(args: argparse.Namespace, flags: Iterable[str], rule: str, cure: str) -> None:
    """Raise BadInput for the first of these flags that was given, as it would change nothing."""
    for flag in flags:
        if getattr(args, flag):
            raise BadInput(rule, place=f"--{flag.replace('_', '-')}", cure=cure)


def check_free(port: int) -> None:
    """Raise BadInput if the port is in use on this machine."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        why = os.strerror(error.errno or 0)  # asyncio's message repeats the address
        raise BadInput(why, place=f"--port {port}", cure="choose another one") from error


def cores() -> int:
    """The cores that this process may use: by affinity, and by its container's quota of time, rounded up."""
    from joblib import cpu_count  # numpy: most of a tenth of a second

    return int(cpu_count())
